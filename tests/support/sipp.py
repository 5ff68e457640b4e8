"""SIPp as caller or callee: the scenarios are the files in `tests/interop/sipp`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from tests.support import audio
from tests.support.processes import Process, bound, free_ports, until

SCENARIOS = Path(__file__).parent.parent / "interop" / "sipp"


@dataclass(frozen=True)
class Figures:
    """What SIPp counted, from the last line of its statistics file."""

    created: int
    successful: int
    failed: int
    retransmissions: int


class Sipp:
    """A running SIPp; an async context manager.

    Args:
        scenario: The name of a file in `tests/interop/sipp`, without ``.xml``.
        folder: Where its files go; made.
        remote: Where a caller sends its INVITEs, ``127.0.0.1:5060``; empty for a callee.
        calls: How many calls to place or take; then it ends.
        rate: Calls a second (caller).
        limit: The most calls at a time (caller).
        service: The user part that is dialled.
        hold_ms: The scenario's ``<pause/>``.
        tone: The frequency that a scenario with audio plays (``tone.ul`` in its folder).
        transport: ``udp`` or ``tcp``.
        timeout: Seconds after which the run counts as failed.
        keys: Further ``[keywords]`` of the scenario.
        host: Its address, ``::1`` for IPv6.
        login: The user and the password for ``[authentication]``.
    """

    def __init__(
        self,
        scenario: str,
        folder: Path,
        *,
        remote: str = "",
        calls: int = 1,
        rate: int = 10,
        limit: int = 0,
        service: str = "bob",
        hold_ms: int = 1000,
        tone: float = 440,
        transport: str = "udp",
        timeout: int = 30,
        keys: dict[str, str] | None = None,
        host: str = "127.0.0.1",
        login: tuple[str, str] | None = None,
    ) -> None:
        self.scenario = scenario
        self.folder = folder
        self.port, media, _, _, control = free_ports(5)
        self.transport = transport
        self._host = host
        self.user = service
        self.timeout = timeout
        self._tone = tone
        self._statistics = folder / "statistics.csv"
        self._command: list[str] = [
            "sipp", "-sf", str(SCENARIOS / f"{scenario}.xml"), "-s", service, "-nostdin",
            "-i", host, "-p", str(self.port), "-mi", host, "-mp", str(media),
            "-ci", "127.0.0.1", "-cp", str(control), "-t", {"udp": "u1", "tcp": "t1"}[transport],
            "-m", str(calls), "-d", str(hold_ms), "-timeout", f"{timeout}s", "-timeout_error",
            "-trace_stat", "-stf", str(self._statistics), "-fd", "500ms",
            "-trace_err", "-error_file", "errors.log",
        ]  # fmt: skip
        if remote:
            self._command += ["-r", str(rate), "-l", str(limit or calls), remote]
        if login is not None:
            self._command += ["-au", login[0], "-ap", login[1]]
        for key, value in (keys or {}).items():
            self._command += ["-key", key, value]
        self._process: Process | None = None

    @property
    def uri(self) -> str:
        """What to dial to reach this callee."""
        tail = ";transport=tcp" if self.transport == "tcp" else ""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"sip:{self.user}@{host}:{self.port}{tail}"

    @property
    def process(self) -> Process:
        assert self._process is not None
        return self._process

    async def __aenter__(self) -> Sipp:
        self.folder.mkdir(parents=True)
        (self.folder / "tone.ul").write_bytes(audio.tone_ulaw(self._tone, 2))
        self._process = Process(self.scenario, self._command, self.folder)
        try:
            await until(self._started, timeout=5, what=self.describe, every=0.02)
        except BaseException:
            self._process.kill()
            raise
        return self

    def _started(self) -> bool:
        return bound(self.port, self.transport) or self.process.returncode is not None

    async def __aexit__(self, *_: object) -> None:
        self.process.kill()

    def describe(self) -> str:
        """For a failed test: what SIPp complained of, and its last screen."""
        errors = self.folder / "errors.log"
        complaints = errors.read_text(errors="replace")[-4000:] if errors.exists() else ""
        return f"{complaints}\n{self.process.describe()}"

    async def finished(self) -> Figures:
        """Wait until all calls are over; none of them failed.

        Raises:
            AssertionError: a call failed, or the time is over.
        """
        status = await self.process.exited(self.timeout + 5)
        assert status == 0, self.describe()
        return self.figures()

    def figures(self) -> Figures:
        """The counts so far (twice a second)."""
        rows = list(csv.DictReader(self._statistics.read_text().splitlines(), delimiter=";"))
        last = rows[-1]
        return Figures(
            created=int(last["TotalCallCreated"]),
            successful=int(last["SuccessfulCall(C)"]),
            failed=int(last["FailedCall(C)"]),
            retransmissions=int(last["Retransmissions(C)"]),
        )
