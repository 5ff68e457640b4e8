"""What a stream's language must offer: the messages that it says, and those that it understands.

A dialect is made for each connection and has no I/O: it turns frames, marks and keys into messages, and a
message of the consumer's into a value. `messages` is Twilio's, the others are in `dialects`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from forkproxy.connectors.api import Frame, Track

BINARY, UNEXPECTED = 31950, 31951
"""Twilio's warnings: a binary frame; a message that is none of Twilio's."""


@dataclass(frozen=True, slots=True)
class Audio:
    """Audio for the caller, in the stream's format."""

    payload: bytes
    complaint: str | None = None
    """What the message has that it should not; it is followed all the same."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Wants to be told when all that was said before has been played."""

    name: str
    complaint: str | None = None


@dataclass(frozen=True, slots=True)
class Clear:
    """What waits to be played is not wanted any more."""

    complaint: str | None = None


Incoming = Audio | Mark | Clear
"""What a consumer may want."""


class InvalidMessage(ValueError):
    """A message that nothing can be made of; it is reported and ignored, the stream goes on."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        """Twilio's warning: `BINARY` or `UNEXPECTED`."""


class Binary(bytes):
    """A message that is sent as a binary one; all others are text."""


class Dialect(ABC):
    """The messages of one connection, in order. None: the dialect has no such message."""

    one_way_keys = False
    """The caller's keys are told on one-way streams, too."""

    def connected(self) -> bytes | None:
        """The very first message."""
        return None

    @abstractmethod
    def start(self, tracks: Sequence[Track], parameters: Mapping[str, str]) -> bytes | None:
        """What the stream is: once, before all others but `connected`."""

    @abstractmethod
    def media(self, frame: Frame) -> bytes | None:
        """20 ms of one track; None: they are kept, and will be in a later message."""

    def rest(self) -> bytes | None:
        """What `media` has kept, when no frames come any more."""
        return None

    def mark(self, name: str, cleared: bool = False) -> bytes | None:
        """All that was said before the mark has been played, or dropped (`cleared`)."""
        return None

    def cleared(self) -> bytes | None:
        """What the consumer wanted to be dropped has been."""
        return None

    def dtmf(self, digit: str, duration_ms: float) -> bytes | None:
        """The caller has pressed a key."""
        return None

    def gap(self, number: int, frames: int) -> bytes | None:
        """From frame `number` on, so many frames of every track were dropped and will not come."""
        return None

    def stop(self) -> bytes | None:
        """The end: the last message."""
        return None

    @abstractmethod
    def read(self, message: bytes, binary: bool) -> Incoming:
        """What the consumer wants; for bidirectional streams.

        Raises:
            InvalidMessage: it is no message of the dialect's.
        """
