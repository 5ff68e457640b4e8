"""What the consumer shows: a line for each stream that runs, moving, and what came when it has ended."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TextIO

from forkproxy.consumer.audio import LOUDEST
from forkproxy.consumer.session import Meter, Session, Summary

BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = ".:-=+*#%"
MOST_LINES = 20
"""Streams that are shown moving; of the others, how many there are."""
_HISTORY = 24


class Screen:
    """Writes to `target`; meters move only where that is a terminal, colours come only without NO_COLOR."""

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self.live = target.isatty()
        self._coloured = self.live and not os.environ.get("NO_COLOR")
        self._moving = 0
        self._bars = BARS
        try:
            BARS.encode(target.encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            self._bars = PLAIN_BARS
        self._history: dict[tuple[int, str], str] = {}

    def line(self, text: str = "") -> None:
        """Something that stays."""
        self._clear()
        self._write(text)

    def meters(self, sessions: Sequence[Session], now: float) -> None:
        """The streams that run; does nothing where the target is no terminal."""
        if not self.live:
            return
        self._clear()
        shown = sessions[:MOST_LINES]
        for session in shown:
            self._write(self._meter_line(session, now))
        self._moving = len(shown)
        if len(sessions) > len(shown):
            self._write(f"... and {len(sessions) - len(shown)} more")
            self._moving += 1

    def opened(self, session: Session) -> None:
        """A connection came."""
        shake = session.handshake
        self.line(f"[{session.number}] {shake.peer} asks for {shake.path}")

    def closed(self, summary: Summary) -> None:
        """A connection has ended."""
        for key in [key for key in self._history if key[0] == summary.number]:
            del self._history[key]
        for text in summary_lines(summary):
            self.line(text)
        wrong = sum(summary.finding_counts.values())
        if wrong:
            verdict = self._paint("1;31", f"NOT as Twilio Media Streams promises: {_findings(wrong)}")
        else:
            verdict = self._paint("32", "as Twilio Media Streams promises")
        self.line(f"[{summary.number}] {verdict}")

    def _meter_line(self, session: Session, now: float) -> str:
        tracks = "  ".join(
            f"{track} {self._trail(session.number, track, meter)} {meter.frames:>6}"
            for track, meter in sorted(session.meters.items())
        )
        sid = f"{session.sid[:10]}.." if session.sid else "no start yet"
        findings = sum(session.checker.findings.counts.values())
        wrong = self._paint("1;31", f"  {_findings(findings)}") if findings else ""
        gaps = f"  {session.checker.gap_count} gaps" if session.checker.gap_count else ""
        return f"[{session.number}] {sid} {now - session.began:7.1f} s  {tracks}{gaps}{wrong}"

    def _trail(self, number: int, track: str, meter: Meter) -> str:
        mark = self._bars[min(len(self._bars) - 1, meter.level * len(self._bars) // (LOUDEST + 1))]
        trail = (self._history.get((number, track), "").rjust(_HISTORY) + mark)[-_HISTORY:]
        self._history[number, track] = trail
        return trail

    def _clear(self) -> None:
        if self._moving:
            self._target.write(f"\x1b[{self._moving}F\x1b[J")
            self._moving = 0

    def _paint(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text

    def _write(self, line: str) -> None:
        encoding = self._target.encoding or "ascii"
        print(line.encode(encoding, "replace").decode(encoding), file=self._target, flush=True)


def summary_lines(summary: Summary) -> list[str]:
    """What came, in words."""
    head = f"[{summary.number}]"
    name = summary.stream_sid or "a connection without start"
    code = summary.close_code or 1006
    lines = [
        f"{head} {name} ended after {summary.seconds:.1f} s: {_counts(summary)}; closed with {code}"
        + (f" ({summary.close_reason})" if summary.close_reason else "")
    ]
    if summary.parameters:
        lines.append(f"{head}   parameters: " + ", ".join(f"{k}={v}" for k, v in summary.parameters.items()))
    if summary.frames:
        tracks = ", ".join(f"{count} on {track}" for track, count in summary.frames.items())
        lines.append(f"{head}   media: {tracks}; the most delayed came {summary.late_ms:.0f} ms late")
    if summary.marks or summary.waiting_marks:
        waiting = f", and {summary.waiting_marks} did not come back" if summary.waiting_marks else ""
        lines.append(f"{head}   marks: " + " ".join(summary.marks[:20]) + waiting)
    if summary.gap_count:
        first = ", ".join(f"{gap.ms} ms of {gap.track} at {gap.at} ms" for gap in summary.gaps[:3])
        lines.append(f"{head}   gaps: {summary.gap_count}, {summary.gap_ms} ms together: {first}")
    lines += [f"{head}   {finding}" for finding in summary.findings[:10]]
    hidden = sum(summary.finding_counts.values()) - min(10, len(summary.findings))
    if hidden > 0:
        counts = ", ".join(f"{count} {rule}" for rule, count in summary.finding_counts.items())
        lines.append(f"{head}   and {hidden} more ({counts} in all)")
    lines += [f"{head}   {path}" for path in summary.files]
    return lines


def _counts(summary: Summary) -> str:
    return ", ".join(f"{count} {event}" for event, count in summary.counts.items()) or "no messages"


def _findings(count: int) -> str:
    return f"{count} finding{'' if count == 1 else 's'}"
