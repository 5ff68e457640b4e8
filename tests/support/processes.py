"""Programs as peers: started in a folder of their own, output kept in files, ended by their id."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip the test, naming the program, where a peer is not installed."""
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not installed")


def free_ports(count: int, *, step: int = 1, low: int = 10000, high: int = 19998) -> list[int]:
    """`count` ports, `step` apart, that nobody uses on loopback by UDP or TCP.

    Taken outside the range that the kernel hands out for port 0, at random, so that tests that run side by
    side do not meet.
    """
    for _ in range(200):
        first = random.randrange(low, high - count * step, 2)
        ports = [first + i * step for i in range(count)]
        with ExitStack() as stack:
            try:
                for port in ports:
                    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                        stack.enter_context(socket.socket(socket.AF_INET, kind)).bind(("127.0.0.1", port))
            except OSError:
                continue
            return ports
    raise RuntimeError(f"no {count} free ports between {low} and {high}")


def bound(port: int, transport: str) -> bool:
    """Whether somebody holds this port of IPv4 or IPv6, by ``udp`` or ``tcp``."""
    tables = [Path(f"/proc/net/{transport}{family}") for family in ("", "6")]
    lines = [line for table in tables for line in table.read_text().splitlines()[1:]]
    return any(line.split()[1].endswith(f":{port:04X}") for line in lines)


async def until(
    condition: Callable[[], T], *, timeout: float, what: str | Callable[[], str], every: float = 0.05
) -> T:
    """Wait until `condition()` is true, and give back what it returned.

    Raises:
        AssertionError: it did not become true in `timeout` seconds; says `what` was awaited.
    """
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {timeout:g} s: {what if isinstance(what, str) else what()}")
        await asyncio.sleep(every)
    return value


class Process:
    """A program that runs in `folder`; standard output and error go to files there."""

    def __init__(
        self, name: str, command: Sequence[str | Path], folder: Path, *, env: Mapping[str, str] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.folder = folder
        self.out_file = folder / f"{name}.out"
        self.err_file = folder / f"{name}.err"
        self.command = [str(part) for part in command]
        with self.out_file.open("wb") as out, self.err_file.open("wb") as err:
            self._process = subprocess.Popen(
                self.command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, **(env or {})},
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status; None while it runs, negative when a signal ended it."""
        return self._process.poll()

    @property
    def out(self) -> str:
        return self.out_file.read_text(errors="replace")

    @property
    def err(self) -> str:
        return self.err_file.read_text(errors="replace")

    def describe(self, tail: int = 3000) -> str:
        """The command, its fate and the end of what it said: what a failed test wants to show."""
        fate = "running" if self.returncode is None else f"exit status {self.returncode}"
        said = f"{self.out[-tail:]}\n--- stderr\n{self.err[-tail:]}"
        return f"{self.name} ({fate}): {' '.join(self.command)}\n--- stdout\n{said}"

    def signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            self._process.send_signal(number)

    async def exited(self, timeout: float) -> int:
        """Wait for the end by itself; the exit status."""
        await until(
            lambda: self.returncode is not None, timeout=timeout, what=lambda: f"the end of {self.describe()}"
        )
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        """End it now, whatever it does; for the test's end."""
        if self.returncode is None:
            self._process.kill()
        self._process.wait(10)

    # What the process costs, from /proc.

    def rss(self) -> int:
        """Resident memory in bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no VmRSS for {self.name}")

    def cpu(self) -> float:
        """Seconds of CPU used so far by all threads, exact (the scheduler's sum, not ticks)."""
        total = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def descriptors(self) -> dict[str, int]:
        """Open file descriptors by kind: ``{"socket": 4, "anon_inode": 2, "file": 3, ...}``."""
        kinds: dict[str, int] = {}
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                target = str(entry.readlink())
            except FileNotFoundError:
                continue
            kind = target.split(":", 1)[0] if ":" in target else "file"
            kinds[kind] = kinds.get(kind, 0) + 1
        return kinds
