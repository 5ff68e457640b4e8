"""`forkproxy serve`: one process from its start to its end; signals, the ready line, systemd.

The first SIGTERM or SIGINT drains: no new calls, running ones may end by themselves for `sip.drain` seconds.
The second stops at once: running calls are hung up. A third one kills the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys

import uvloop

from forkproxy import __version__
from forkproxy.app import App
from forkproxy.config import Config

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
MOST_DESCRIPTORS = 1 << 20
SPARE_DESCRIPTORS = 256
"""Files that are open besides those of the calls: logs, listeners, PJSIP, the interpreter."""


def run(config: Config) -> None:
    """Serve until a signal ends it. The log must have been set up.

    Raises:
        ForkproxyError: it could not start; nothing is left running.
    """
    _raise_descriptor_limit(config)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config))


async def _serve(config: Config) -> None:
    loop = asyncio.get_running_loop()
    asked: asyncio.Queue[str] = asyncio.Queue()

    def on_signal(number: signal.Signals) -> None:
        asked.put_nowait(number.name)
        if asked.qsize() > 1:  # nothing of ours may stand in the way of a third one
            for each in SIGNALS:
                loop.remove_signal_handler(each)

    app = App(config)
    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    loop.add_signal_handler(signal.SIGHUP, app.reopen)
    await app.start()
    try:
        _say(app.ready_line())
        log.info("ready", extra={"version": __version__, "pid": os.getpid()})
        notify("READY=1")
        name = await asked.get()
        notify("STOPPING=1")
        log.info("asked to stop", extra={"signal": name})
        await _drain(app, config.sip.drain, asked)
    finally:
        await app.stop()
    log.info("stopped")


async def _drain(app: App, grace: float, asked: asyncio.Queue[str]) -> None:
    """Until the calls have ended, `grace` seconds have passed, or another signal comes."""
    draining = asyncio.ensure_future(app.drain(grace))
    impatience = asyncio.ensure_future(asked.get())
    await asyncio.wait([draining, impatience], return_when=asyncio.FIRST_COMPLETED)
    if impatience.done():
        log.warning("stopping at once", extra={"signal": impatience.result()})
    impatience.cancel()
    if not draining.done():
        draining.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await draining


def _say(line: str) -> None:
    """Print the ready line. Nobody has to be there to read it."""
    try:
        print(line, flush=True)
    except (OSError, ValueError) as error:
        log.warning("the ready line could not be printed", extra={"reason": str(error), "line": line})
        # Otherwise the interpreter tries again at its exit and fails with a status of its own.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def notify(state: str) -> None:
    """Tell systemd (sd_notify(3)); without systemd, nothing happens."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.sendto(state.encode(), "\0" + path[1:] if path.startswith("@") else path)
    except OSError as error:
        log.warning("systemd could not be told", extra={"state": state, "reason": str(error)})


def _raise_descriptor_limit(config: Config) -> None:
    """A call takes four sockets for its audio and one for each stream: soon beyond the usual 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    ports = config.media.ports.last - config.media.ports.first + 1
    if soft != resource.RLIM_INFINITY and soft < ports + SPARE_DESCRIPTORS:
        log.warning(
            "the limit of open files is reached before all of media.ports are used",
            extra={"open_files": soft, "ports": ports},
        )
