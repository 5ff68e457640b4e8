"""What the server sends into the call, played as forkproxy plays it: in order, in real time.

A mark is due when the audio before it has been played, or at once when none waits, or when it is cleared
(https://www.twilio.com/docs/voice/media-streams/websocket-messages#mark-message).
"""

from __future__ import annotations

from collections import deque

RATE_MS = 8
"""Octets of mu-law in a millisecond."""
LIMIT_MS = 600_000.0


class Playout:
    """Pure: times are passed in, in milliseconds of the stream, and never go back."""

    def __init__(self, limit_ms: float = LIMIT_MS) -> None:
        self.cleared = 0
        """How often the server has cleared."""
        self._limit_ms = limit_ms
        self._end = 0.0
        self._marks: deque[tuple[float, str]] = deque()
        self._pieces: list[tuple[float, bytes]] = []

    def speak(self, audio: bytes, now: float) -> bool:
        """Audio; False: too much waits, and it is discarded."""
        start = max(self._end, now)
        if start - now + len(audio) / RATE_MS > self._limit_ms:
            return False
        self._pieces.append((start, audio))
        self._end = start + len(audio) / RATE_MS
        return True

    def mark(self, name: str, now: float) -> None:
        """A mark behind the audio so far."""
        self._marks.append((max(self._end, now), name))

    def clear(self, now: float) -> None:
        """Forget what waits; its marks are due."""
        self.cleared += 1
        while self._pieces and self._pieces[-1][0] >= now:
            self._pieces.pop()
        if self._pieces and self._end > now:
            start, audio = self._pieces[-1]
            self._pieces[-1] = (start, audio[: int((now - start) * RATE_MS)])
        self._end = min(self._end, now)
        self._marks = deque((min(due, now), name) for due, name in self._marks)

    def due(self, now: float) -> list[str]:
        """The marks whose time has come."""
        names = []
        while self._marks and self._marks[0][0] <= now:
            names.append(self._marks.popleft()[1])
        return names

    def next(self) -> float | None:
        """When the next mark is due."""
        return self._marks[0][0] if self._marks else None

    @property
    def waiting(self) -> int:
        """Marks that are not due."""
        return len(self._marks)

    def heard(self, until: float) -> bytes:
        """What the caller has heard up to that time, silence included: mu-law."""
        audio = bytearray()
        for start, piece in self._pieces:
            if start >= until:
                break
            audio += b"\xff" * max(0, round(start * RATE_MS) - len(audio))
            audio += piece[: max(0, round((until - start) * RATE_MS))]
        return bytes(audio)
