"""The demo's other processes: `forkproxy serve` and the two phones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forkproxy.demo.failure import DemoError
from forkproxy.demo.recording import PhoneReport, ProxyReport

START_SECONDS = 20.0
STOP_SECONDS = 15.0
_LINE_LIMIT = 1 << 28
"""A phone's report is one line, and holds its audio."""
_TAIL = 15


class Serve:
    """A running `forkproxy serve`."""

    def __init__(self, process: asyncio.subprocess.Process, ready: str, log: Path) -> None:
        self._process = process
        self._log = log
        self.ready = ready
        """Its ready line."""

    @classmethod
    async def start(cls, config: Path, log: Path) -> Serve:
        """Start it and wait for its ready line; its log goes to the file `log`.

        Raises:
            DemoError: it did not get ready.
        """
        with log.open("wb") as target:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "forkproxy",
                "serve",
                str(config),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=target,
            )
        assert process.stdout is not None  # a pipe was asked for
        try:
            line = (await asyncio.wait_for(process.stdout.readline(), START_SECONDS)).decode().strip()
        except TimeoutError:
            line = ""
        except BaseException:
            await _kill(process)
            raise
        if not line.startswith("forkproxy ready "):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 1)
            status = process.returncode
            await _kill(process)
            ended = f"ended with exit status {status}" if status is not None else "did not get ready"
            raise DemoError(f"forkproxy serve {ended}", tail(log))
        return cls(process, line, log)

    @property
    def sip(self) -> str:
        """``127.0.0.1:5060``: where it takes SIP over UDP."""
        listening = self.ready.partition(" sip=")[2].split()[0].split(",")
        return next(part.removeprefix("udp:") for part in listening if part.startswith("udp:"))

    async def stop(self) -> ProxyReport:
        """SIGTERM; kill it when that does not help."""
        status = self._process.returncode
        if status is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                status = await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
            except TimeoutError:
                await self.kill()
        log = self._log.read_text(errors="replace").splitlines()
        return ProxyReport(ready=self.ready, exit_status=status, log=tuple(log))

    async def kill(self) -> None:
        """End it at once, if it has not ended."""
        await _kill(self._process)


class PhoneProcess:
    """One of the phones; `on_event` gets what it tells, but for its report."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    @classmethod
    async def start(cls, name: str, log: Path, *arguments: str) -> PhoneProcess:
        """Start it; it says ``ready`` when it can be called."""
        with log.open("wb") as target:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "forkproxy.demo.phone",
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=target,
                limit=_LINE_LIMIT,
            )
        return cls(name, process, log)

    async def next_event(self) -> dict[str, Any]:
        """What it tells next.

        Raises:
            DemoError: it has ended.
        """
        assert self._process.stdout is not None  # a pipe was asked for
        line = await self._process.stdout.readline()
        if not line:
            status = await self._process.wait()
            raise DemoError(f"the {self.name}'s process ended with exit status {status}", tail(self._log))
        event: dict[str, Any] = json.loads(line)
        return event

    async def ready(self) -> str:
        """Its URI, once it can be called.

        Raises:
            DemoError: it did not get ready.
        """
        try:
            event = await asyncio.wait_for(self.next_event(), START_SECONDS)
        except TimeoutError:
            raise DemoError(f"the {self.name}'s phone did not get ready", tail(self._log)) from None
        return str(event["uri"])

    async def report(self, on_event: Callable[[str, dict[str, Any]], None]) -> PhoneReport:
        """Wait for the end of its call, telling `on_event` (its name, the event) what happens.

        Raises:
            DemoError: it ended without a report.
        """
        while True:
            event = await self.next_event()
            if event["event"] == "report":
                return PhoneReport.model_validate(event["report"])
            on_event(self.name, event)

    def release(self) -> None:
        """Let it end: nobody will call any more."""
        assert self._process.stdin is not None  # a pipe was asked for
        self._process.stdin.close()

    async def kill(self) -> None:
        """End it at once, if it has not ended."""
        await _kill(self._process)


async def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()
    # The loop closes the pipes only when it runs on: leave nothing for the garbage collector to warn about.
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()


def tail(log: Path) -> tuple[str, ...]:
    """The last lines of a log file."""
    return tuple(log.read_text(errors="replace").splitlines()[-_TAIL:])
