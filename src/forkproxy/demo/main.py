"""The demo from beginning to end: cast the parts, let them talk, check, write the page."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forkproxy import __version__
from forkproxy.demo import certificate, report, scene
from forkproxy.demo.checks import Check, run_checks
from forkproxy.demo.failure import DemoError
from forkproxy.demo.processes import PhoneProcess, Serve
from forkproxy.demo.recording import PhoneReport, Recording, Stream
from forkproxy.demo.terminal import Terminal
from forkproxy.demo.voices import CALLEE, CALLER, SHORTEST, speech
from forkproxy.demo.waves import wav
from forkproxy.model import Track, new_sid

if TYPE_CHECKING:
    from forkproxy.demo.consumer import Consumer

PAGE = "index.html"
RING = 0.6
"""Seconds that the callee rings."""
CLOSE_SECONDS = 5.0
"""How long the WebSocket may stay open after both phones have ended."""
_SLACK = 30.0
"""Seconds that a call may take besides the conversation before a phone gives up."""


def run(out: Path, seconds: float = 6.0) -> int:
    """Run the demo and write the page and what it was made from to the folder `out`, which is made.

    Returns:
        The exit status: 0 when every check passed, otherwise 1.
    """
    terminal = Terminal(sys.stdout)
    try:
        _prepare(out, seconds)
        recording = asyncio.run(_perform(out, seconds, terminal))
    except DemoError as error:
        terminal.failure(str(error), error.log)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        terminal.failure("it was interrupted", ())
        return 1
    checks = run_checks(recording)
    page = _write(out, recording, checks)
    terminal.result(recording, checks, page)
    return 0 if all(check.passed for check in checks) else 1


def _prepare(out: Path, seconds: float) -> None:
    """Say at once what is missing.

    Raises:
        DemoError: something is.
    """
    if not SHORTEST <= seconds <= 600:
        raise DemoError(f"the conversation lasts {SHORTEST:g} to 600 seconds, not {seconds:g}")
    if not entry_points(group="forkproxy.connectors", name="websocket"):
        raise DemoError(
            "the demo streams by the package forkproxy-websocket, which is not installed: "
            "pip install forkproxy-websocket (in a checkout: pip install ./plugins/forkproxy-websocket)"
        )
    try:
        import websockets  # noqa: F401 - only whether it is there
    except ImportError:
        raise DemoError(
            "the demo's consumer needs the package websockets: pip install 'forkproxy[demo]'"
        ) from None
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DemoError(f"the folder for the demo's page cannot be made: {error}") from None


async def _perform(out: Path, seconds: float, terminal: Terminal) -> Recording:
    """One call, from the first process to the last.

    Raises:
        DemoError: a part could not be started or fell over.
    """
    from forkproxy.demo.consumer import Consumer

    started = time.time()
    task = asyncio.current_task()
    assert task is not None  # this runs in one
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # leave no process behind
    terminal.title(seconds)
    with tempfile.TemporaryDirectory(prefix="forkproxy-demo-") as scratch:
        folder = Path(scratch)
        made = certificate.make(folder)
        shutil.copyfile(made.authority, out / "certificate.pem")
        said = {voice.name: folder / f"{voice.name}.ulaw" for voice in (CALLER, CALLEE)}
        for voice in (CALLER, CALLEE):
            said[voice.name].write_bytes(speech(voice, seconds))
        patience = f"--patience={seconds + _SLACK:g}"
        running: list[Serve | PhoneProcess] = []
        try:
            async with Consumer(made) as consumer:
                terminal.step("consumer", f"listens at {consumer.url}")
                callee = await PhoneProcess.start(
                    "callee",
                    folder / "callee.log",
                    *("answer", f"--say={said['callee']}", f"--ring={RING}", "--hang-up", patience),
                )
                running.append(callee)
                callee_uri = await callee.ready()
                terminal.step("callee", f"waits at {callee_uri}")
                account, token = new_sid("AC"), secrets.token_hex(16)
                flow = scene.flow_definition(consumer.url, callee_uri)
                config = scene.write_scene(out, flow, account_sid=account, auth_token=token)
                serve = await Serve.start(config, out / "forkproxy.log")
                running.append(serve)
                terminal.step("forkproxy", serve.ready.removeprefix("forkproxy "))
                uri = f"sip:{scene.NUMBER}@{serve.sip}"
                caller = await PhoneProcess.start(
                    "caller", folder / "caller.log", "call", uri, f"--say={said['caller']}", patience
                )
                running.append(caller)
                await caller.ready()
                terminal.step("caller", f"calls {uri}")
                reports = await _talk(caller, callee, consumer, terminal)
                proxy = await serve.stop()
                recording = Recording(
                    version=__version__,
                    started_at=started,
                    seconds=seconds,
                    account_sid=account,
                    auth_token=token,
                    config=config.read_text(),
                    flow=flow,
                    caller=reports[0],
                    callee=reports[1],
                    consumer=consumer.report(),
                    proxy=proxy,
                )
        finally:
            for process in running:
                await process.kill()
    return recording


async def _talk(
    caller: PhoneProcess, callee: PhoneProcess, consumer: Consumer, terminal: Terminal
) -> tuple[PhoneReport, PhoneReport]:
    """The call itself, until both phones have reported and the WebSocket is closed."""

    def on_event(name: str, event: dict[str, Any]) -> None:
        match name, event["event"]:
            case "callee", "ringing":
                terminal.step("callee", "rings")
            case "caller", "answered":
                terminal.step("caller", "has the answer; they talk")
            case _, "gave-up":
                terminal.step(name, f"gave up after {event['after']:g} s")
            case _, "ended":
                ended = f"the call has ended: {event['status']} {event['reason']}"
                terminal.step(name, "hung up" if event["by"] == "local" else ended)

    async def watch() -> None:
        await consumer.opened.wait()
        terminal.step("consumer", "a WebSocket is open: the stream has been started")
        await consumer.closed.wait()
        terminal.step("consumer", f"it was closed after {len(consumer.report().messages):,} messages")

    async def call() -> PhoneReport:
        report = await caller.report(on_event)
        if report.status != 200:
            callee.release()  # nobody will call it
        return report

    calling, answering = asyncio.create_task(call()), asyncio.create_task(callee.report(on_event))
    watching = asyncio.create_task(watch())
    try:
        reports = await asyncio.gather(calling, answering)
        if consumer.opened.is_set():
            await asyncio.wait([watching], timeout=CLOSE_SECONDS)
    finally:
        for task in (calling, answering, watching):
            task.cancel()
        await asyncio.gather(calling, answering, watching, return_exceptions=True)
    return reports


def _write(out: Path, recording: Recording, checks: Sequence[Check]) -> Path:
    """The page, the recording and the two tracks; returns the page's path."""
    page = out / PAGE
    page.write_text(report.render(recording, checks), encoding="utf-8")
    (out / "recording.json").write_text(recording.model_dump_json(indent=1))
    stream = Stream(recording.consumer)
    for track in Track:
        (out / f"{track}.wav").write_bytes(wav(stream.audio(track)))
    return page.resolve()
