"""`forkproxy serve`: one process from its start to its end; signals, the ready line, systemd.

The first SIGTERM or SIGINT drains: no new calls, running ones may end by themselves for `sip.drain` seconds.
The second stops at once: running calls are hung up. A third one kills the process.

SIGHUP reads the configuration again. One that has a mistake changes nothing.
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
import time
from pathlib import Path

import uvloop

from forkproxy import __version__
from forkproxy import config as configuration
from forkproxy.app import App
from forkproxy.config import Config
from forkproxy.errors import ForkproxyError, InputError

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
MOST_DESCRIPTORS = 1 << 20
SPARE_DESCRIPTORS = 256
"""Files that are open besides those of the calls: logs, listeners, PJSIP, the interpreter."""


def run(config: Config, path: Path) -> None:
    """Serve until a signal ends it. The log must have been set up.

    Args:
        config: what to begin with.
        path: the file that it came from, which SIGHUP reads again.

    Raises:
        ForkproxyError: it could not start; nothing is left running.
    """
    _raise_descriptor_limit(config)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config, path))


async def _serve(config: Config, path: Path) -> None:
    loop = asyncio.get_running_loop()
    asked: asyncio.Queue[str] = asyncio.Queue()

    def on_signal(number: signal.Signals) -> None:
        asked.put_nowait(number.name)
        if asked.qsize() > 1:  # nothing of ours may stand in the way of a third one
            for each in SIGNALS:
                loop.remove_signal_handler(each)

    show_warnings(config)
    app = App(config)
    app.on_drain = lambda: asked.put_nowait("POST /drain")
    again = asyncio.Event()
    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    loop.add_signal_handler(signal.SIGHUP, again.set)
    await app.start()
    reloading = asyncio.ensure_future(_reload_when_asked(app, path, again))
    try:
        _say(app.ready_line())
        log.info("ready", extra={"version": __version__, "pid": os.getpid()})
        notify("READY=1")
        name = await asked.get()
        notify("STOPPING=1")
        log.info("asked to stop", extra={"signal": name})
        await _drain(app, app.config.sip.drain, asked)
    finally:
        reloading.cancel()
        await app.stop()
    log.info("stopped")


async def _reload_when_asked(app: App, path: Path, again: asyncio.Event) -> None:
    while await again.wait():
        again.clear()
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            await reload(app, path)
        except Exception:
            log.exception("the configuration could not be read again; nothing was changed")
        notify("READY=1")


async def reload(app: App, path: Path) -> None:
    """Read the configuration again and apply it, or say what is wrong with it and change nothing."""
    try:
        # In a thread: files are read and flows parsed, and calls must not wait for that.
        config = await asyncio.to_thread(configuration.load, path)
        ignored = app.reload(config)
    except InputError as error:
        for problem in error.problems:
            show = log.warning if problem.warning else log.error
            show(problem.message, extra={"file": f"{problem.file}:{problem.line}", "path": problem.path})
        log.error("the configuration has mistakes; nothing was changed", extra={"file": str(path)})
        return
    except ForkproxyError as error:
        log.error("the configuration cannot be applied; nothing was changed", extra={"reason": str(error)})
        return
    show_warnings(config)
    for key in ignored:
        log.warning("a change is ignored until the next start", extra={"path": key})
    log.info("the configuration was read again", extra={"file": str(path)})


def show_warnings(config: Config) -> None:
    """Log what is doubtful in a configuration that can be used."""
    for problem in config.warnings:
        log.warning(problem.message, extra={"file": f"{problem.file}:{problem.line}", "path": problem.path})


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
