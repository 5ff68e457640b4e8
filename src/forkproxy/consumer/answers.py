"""What the consumer says back on a bidirectional stream: nothing, an echo, or a recording.

Pure: what comes goes in, the messages to send come out.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Protocol

from forkproxy.consumer.audio import loudness
from forkproxy.media.audio import RATE

PIECE = RATE
"""Octets in a media message of a recording; a second of it, as any size is allowed."""
LOUD = 56
"""`loudness` that speech has and noise has not: about -27 dB below the loudest."""
LOUD_FRAMES = 3
"""Loud frames one after the other that count as an interruption."""


class Answer(Protocol):
    """One stream's answers."""

    done: bool
    """Everything has been said and played."""

    def started(self, sid: str) -> list[str]:
        """The stream has started."""

    def heard(self, payload: bytes) -> list[str]:
        """A piece of the caller's audio."""

    def marked(self, name: str) -> list[str]:
        """A mark has come back."""


MakeAnswer = Callable[[], Answer]


def media_message(sid: str, audio: bytes) -> str:
    """Audio to be played."""
    return _json({"event": "media", "streamSid": sid, "media": {"payload": b64encode(audio).decode()}})


def mark_message(sid: str, name: str) -> str:
    """A mark behind the audio so far."""
    return _json({"event": "mark", "streamSid": sid, "mark": {"name": name}})


def clear_message(sid: str) -> str:
    """Away with what waits."""
    return _json({"event": "clear", "streamSid": sid})


def _json(message: dict[str, object]) -> str:
    return json.dumps(message, separators=(",", ":"))


class Silence:
    """Says nothing."""

    done = False

    def started(self, sid: str) -> list[str]:
        return []

    def heard(self, payload: bytes) -> list[str]:
        return []

    def marked(self, name: str) -> list[str]:
        return []


class Echo:
    """Sends back what the caller says, and a mark each second."""

    done = False

    def __init__(self) -> None:
        self._sid = ""
        self._octets = 0
        self._marks = 0

    def started(self, sid: str) -> list[str]:
        self._sid = sid
        return []

    def heard(self, payload: bytes) -> list[str]:
        self._octets += len(payload)
        messages = [media_message(self._sid, payload)]
        if self._octets >= RATE * (self._marks + 1):
            self._marks += 1
            messages.append(mark_message(self._sid, f"echo-{self._marks}"))
        return messages

    def marked(self, name: str) -> list[str]:
        return []


class Recording:
    """Plays mu-law audio once, with a mark a second and one at the end; callers may interrupt it."""

    LAST = "end"

    def __init__(self, audio: bytes, *, barge_in: bool) -> None:
        """
        Args:
            audio: mu-law, 8,000 Hz.
            barge_in: what is left is cleared when the caller speaks.
        """
        self.done = False
        self.interrupted = False
        self._audio = audio
        self._barge_in = barge_in
        self._sid = ""
        self._loud = 0

    def started(self, sid: str) -> list[str]:
        self._sid = sid
        messages = []
        for start in range(0, len(self._audio), PIECE):
            messages.append(media_message(sid, self._audio[start : start + PIECE]))
            if start + PIECE < len(self._audio):
                messages.append(mark_message(sid, f"second-{start // PIECE + 1}"))
        return [*messages, mark_message(sid, self.LAST)]

    def heard(self, payload: bytes) -> list[str]:
        self._loud = self._loud + 1 if loudness(payload) >= LOUD else 0
        if not self._barge_in or self.done or self.interrupted or self._loud < LOUD_FRAMES:
            return []
        self.interrupted = True
        return [clear_message(self._sid)]

    def marked(self, name: str) -> list[str]:
        self.done = self.done or name == self.LAST
        return []
