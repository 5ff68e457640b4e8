"""Audio that a program sends into a call while it makes it: a voice bot's answers, announcements, whispers.

What is written waits in a queue and is sent at the relay's pace. *Marks* are names put between the pieces of
audio; each is reported when everything that was written before it has been played.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

from forkproxy.media._audio import Narrower
from forkproxy.media._relay import RelayLeg, RelaySpeaker
from forkproxy.media.figures import SpeakerFigures
from forkproxy.model import FRAME_BYTES, AudioFormat

SpeakMode = Literal["replace", "mix"]

BUFFER_SECONDS = 600.0
"""Twilio's buffer of ten minutes."""
MOST_MARKS = 10_000
"""Marks that may wait at a time: their names are a stranger's, and would fill the memory."""
_OCTETS_A_MS = 8


class Speaker:
    """A way for audio into one leg; `MediaLeg.speak` makes it. Everything is for the event loop's thread."""

    def __init__(
        self,
        leg: RelayLeg,
        mode: SpeakMode,
        limit_seconds: float,
        on_mark: Callable[[str, bool], None] | None,
    ) -> None:
        self._core = RelaySpeaker(
            leg, mode == "mix", round(limit_seconds * 1000) * _OCTETS_A_MS, self._progress
        )
        self._on_mark = on_mark
        self._marks: deque[tuple[int, str, bool]] = deque()
        self._marks_refused = 0
        self._format = AudioFormat.MULAW
        self._narrower: Narrower | None = None

    def write(self, audio: bytes, format: AudioFormat = AudioFormat.MULAW) -> int:
        """Append audio, and return how many octets were taken.

        What would not fit into the buffer is refused, from the end of `audio`; once the speaker or its leg is
        closed, that is everything. Linear audio may be cut anywhere: what is left over of a sample waits for
        the next piece.
        """
        if format is AudioFormat.MULAW:
            return self._core.write(bytes(audio))
        if self._narrower is None or self._format is not format:
            self._format, self._narrower = format, Narrower(format.rate // 1000)
        made = self._narrower.feed(bytes(audio))
        taken = self._core.write(made)
        return len(audio) if taken == len(made) else taken * (format.frame_bytes // FRAME_BYTES)

    def mark(self, name: str) -> bool:
        """Have `name` reported when what was written so far has been played: soon, if it has been already.

        `on_mark` is called on the event loop, never from in here, in the order of the marks, with the name
        and with whether `clear` dropped audio before the mark. False: the speaker is closed, or too many
        marks wait.
        """
        if self._core.closed:
            return False
        if len(self._marks) >= MOST_MARKS:
            self._marks_refused += 1
            self._core.refuse_mark()
            return False
        self._marks.append((self._core.written, name, False))
        if len(self._marks) == 1:
            self._core.watch(self._core.written)
        return True

    def clear(self) -> None:
        """Drop what has not been sent yet. The marks that wait are reported, in order.

        At most one packet, which is on its way already, is still heard. What the other leg sends is forwarded
        again at once.
        """
        sent = self._core.clear()
        self._marks = deque(
            (min(position, sent), name, cleared or position > sent) for position, name, cleared in self._marks
        )
        if self._marks:
            self._core.watch(self._marks[0][0])

    def close(self, *, drain: bool = False) -> None:
        """Take no more audio and no more marks.

        With `drain`, what waits is played and its marks are reported before the speaker ends; otherwise it
        is dropped, and `on_mark` is not called any more. A second call may cut short what drains.
        """
        if drain:
            self._core.drain()
        else:
            self._core.close()
            self._marks.clear()

    @property
    def closed(self) -> bool:
        """Whether it has ended: it was closed and has drained, or its leg is closed."""
        return self._core.closed

    @property
    def buffered_ms(self) -> int:
        """Milliseconds of audio that wait."""
        return (self._core.written - self._core.sent) // _OCTETS_A_MS

    @property
    def played_ms(self) -> int:
        """Milliseconds of audio whose time is over."""
        return self.figures().played_ms

    def figures(self) -> SpeakerFigures:
        """What has been counted so far, or in all."""
        core, raw = self._core, self._core.figures()
        return SpeakerFigures(
            written_ms=core.written // _OCTETS_A_MS,
            played_ms=(core.played - raw["cleared"]) // _OCTETS_A_MS,
            cleared_ms=raw["cleared"] // _OCTETS_A_MS,
            refused_ms=core.refused // _OCTETS_A_MS,
            marks_refused=self._marks_refused,
            underruns=raw["underruns"],
            padded=raw["padded"],
        )

    def _progress(self) -> None:
        """One mark is reached; the relay calls again as long as the next one is, too."""
        if not self._marks:
            return
        _, name, cleared = self._marks.popleft()
        self._core.watch(self._marks[0][0] if self._marks else None)
        if self._on_mark is not None:
            self._on_mark(name, cleared)
