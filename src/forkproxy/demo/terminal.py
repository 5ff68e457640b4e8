"""What the demo says in the terminal: progress while it runs, then what arrived; readable without colours."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from forkproxy.demo.checks import Check
from forkproxy.demo.recording import Recording, Stream
from forkproxy.demo.report import verdict
from forkproxy.demo.waves import BARS, bars
from forkproxy.model import Track

_PLAIN_BARS = " .:-=+*#"
_WIDTH = 60


class Terminal:
    """Writes to `target`; colours only where that is a terminal and NO_COLOR is not set."""

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self._began = time.monotonic()
        self._coloured = target.isatty() and not os.environ.get("NO_COLOR")
        try:
            BARS.encode(target.encoding or "ascii")
            self._bars = BARS
        except (UnicodeEncodeError, LookupError):
            self._bars = _PLAIN_BARS

    def title(self, seconds: float) -> None:
        """The first line."""
        self._write(
            f"Two phones talk through forkproxy for {seconds:g} seconds, and a WebSocket server listens in.\n"
        )

    def step(self, who: str, what: str) -> None:
        """A line of progress."""
        self._write(f"{time.monotonic() - self._began:6.1f} s  {who:<9}  {what}")

    def failure(self, message: str, log: Sequence[str]) -> None:
        """The demo could not run."""
        self._write(f"\n{self._red('The demo could not run:')} {message}")
        self._log(log)

    def result(self, recording: Recording, checks: Sequence[Check], page: Path) -> None:
        """What arrived, the checks, and where the page is."""
        stream = Stream(recording.consumer)
        self._write("\nWhat arrived at the consumer")
        for track, speaker in ((Track.INBOUND, "the caller's voice"), (Track.OUTBOUND, "the callee's voice")):
            line = bars(stream.audio(track), _WIDTH, self._bars)
            self._write(f"  {track:<8}  |{line}|  {len(stream.media[track])} frames, {speaker}")
        counts = ", ".join(f"{count} {event}" for event, count in stream.counts.items())
        self._write(f"  messages  {counts or 'none'}\n")
        for check in checks:
            self._write(f"  {self._green('pass') if check.passed else self._red('FAIL')}  {check.title}")
            if not check.passed:
                self._write(f"        {check.evidence}")
        failed = not all(check.passed for check in checks)
        if failed:
            self._log(recording.proxy.log[-15:])
        paint = self._red if failed else self._green
        self._write(f"\n{paint(verdict(checks) + '.')} Open the page: {page}")

    def _log(self, lines: Sequence[str]) -> None:
        if lines:
            self._write("\nThe last lines of its log:")
            for line in lines:
                self._write(f"  {line}")

    def _red(self, text: str) -> str:
        return f"\x1b[1;31m{text}\x1b[0m" if self._coloured else text

    def _green(self, text: str) -> str:
        return f"\x1b[32m{text}\x1b[0m" if self._coloured else text

    def _write(self, line: str) -> None:
        encoding = self._target.encoding or "ascii"
        print(line.encode(encoding, "replace").decode(encoding), file=self._target, flush=True)
