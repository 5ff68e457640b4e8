"""The command ``replay``."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter
from pathlib import Path
from typing import TextIO

from forkproxy.connectors.api import describe
from forkproxy.consumer.audio import WavFile
from forkproxy.consumer.fixture import Fixture, Writer
from forkproxy.errors import ForkproxyError
from forkproxy.replay.client import Connection, play
from forkproxy.replay.player import Received, Result
from forkproxy.replay.script import Script

MOST_STRANGE = 5
"""Messages that are none which are shown, and findings of one code."""


class ReplayError(ForkproxyError):
    """The command cannot run; the message says why."""


class Diary:
    """What the server sent, a line each; media that follow one another in one."""

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self._media: list[Received] = []
        self._strange = 0

    def note(self, received: Received) -> None:
        """The next message."""
        if received.event == "media":
            self._media.append(received)
            return
        self.flush()
        match received.event:
            case "mark":
                self.line(received.ms, f"mark {received.name}")
            case "clear":
                self.line(received.ms, "clear")
            case _:
                self._strange += 1
                if self._strange <= MOST_STRANGE:
                    more = "; no more of these are shown" if self._strange == MOST_STRANGE else ""
                    self.line(received.ms, f"not a message for forkproxy: {received.content[:60]!r}{more}")

    def flush(self) -> None:
        """The media so far."""
        if self._media:
            octets = sum(each.octets for each in self._media)
            count = len(self._media)
            self.line(
                self._media[0].ms,
                f"{count} media {'message' if count == 1 else 'messages'}, {octets / 8000:.2f} s of audio",
            )
            self._media.clear()

    def line(self, ms: float, text: str) -> None:
        """One of its lines."""
        print(f"{ms / 1000:8.2f} s  {text}", file=self._target, flush=True)


def run(
    fixture: Fixture,
    url: str,
    *,
    script: Script,
    connection: Connection,
    transcript: Path | None = None,
    heard: Path | None = None,
    target: TextIO | None = None,
) -> int:
    """Play, tell, and return the exit status: 0, or 1 when the server broke the contract.

    Raises:
        ReplayError: a file cannot be used.
    """
    out = target or sys.stdout
    diary = Diary(out)
    try:
        with contextlib.ExitStack() as stack:
            writer = None
            if transcript is not None:
                file = stack.enter_context(open(transcript, "w", encoding="utf-8"))
                writer = Writer(file, fixture.header.path, fixture.header.headers)
            result = asyncio.run(
                play(
                    fixture,
                    url,
                    script=script,
                    connection=connection,
                    on_received=diary.note,
                    transcript=writer,
                )
            )
        diary.flush()
        if heard is not None:
            sound = WavFile(heard, 1)
            sound.write(0, 0, result.heard)
            sound.close()
    except OSError as error:  # SSLError is one
        raise ReplayError(
            describe(error) if error.filename else f"{connection.ca_file or heard}: {describe(error)}"
        ) from error
    _tell(result, out)
    return 0 if result.passed else 1


def _tell(result: Result, target: TextIO) -> None:
    end = f"; the server closed with {result.close_code}" if result.close_code is not None else ""
    print(
        f"{result.sent} messages sent in {result.seconds:.1f} s, {len(result.received)} received, "
        f"{len(result.marks)} marks sent back{end}",
        file=target,
    )
    shown: Counter[str] = Counter()
    for finding in result.findings:
        shown[finding.rule] += 1
        if shown[finding.rule] <= MOST_STRANGE:
            where = f"message {finding.message}: " if finding.message else ""
            print(f"  {finding.rule}  {where}{finding.text}", file=target)
    for rule, count in result.finding_counts.items():
        if count > MOST_STRANGE:
            print(f"  {rule}  {count} times in all", file=target)
    verdict = "kept" if result.passed else "BROKE"
    print(f"the server {verdict} the contract", file=target, flush=True)
