"""A media message as text with holes, which native code can fill (no I/O).

A dialect whose media messages are text around these four can be sent without Python; `fill` says how.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from enum import IntEnum

from forkproxy.connectors.api import FRAME_MS


class Hole(IntEnum):
    """What comes into a message; numbered as in ``ext/native/media.pxd``."""

    SEQUENCE = 0
    """The message's own number, counted over all numbered messages of the stream."""
    CHUNK = 1
    """The frame's number, from 1."""
    TIMESTAMP = 2
    """Where the frame begins on the stream's clock, in milliseconds."""
    PAYLOAD = 3
    """The audio, in base64."""


@dataclass(frozen=True, slots=True)
class Template:
    """The media messages of one track."""

    pieces: tuple[bytes, ...]
    """The text before, between and behind the holes."""
    holes: tuple[Hole, ...]

    @classmethod
    def of(cls, form: bytes, holes: tuple[Hole, ...]) -> Template:
        """From a text in which each hole, in this order, is ``%d`` or ``%b``, and nothing else is ``%``."""
        pieces = tuple(form.replace(b"%b", b"%d").split(b"%d"))
        if len(pieces) != len(holes) + 1 or any(b"%" in piece for piece in pieces):
            raise ValueError("the form has other holes")
        return cls(pieces, holes)

    def fill(self, sequence: int, number: int, payload: bytes) -> bytes:
        """The message: what the native code must make of it, octet by octet."""
        values = {
            Hole.SEQUENCE: b"%d" % sequence,
            Hole.CHUNK: b"%d" % (number + 1),
            Hole.TIMESTAMP: b"%d" % (number * FRAME_MS),
            Hole.PAYLOAD: b64encode(payload),
        }
        filled = [values[hole] for hole in self.holes]
        return b"".join(part for pair in zip(self.pieces, [*filled, b""], strict=True) for part in pair)
