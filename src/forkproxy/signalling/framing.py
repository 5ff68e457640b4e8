"""Where SIP messages begin and end in a stream (RFC 3261 18.3). Pure: bytes in, messages out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

LIMIT = 65536
"""The longest message that we take, in octets."""
HEADER_LIMIT = 32768
"""The longest header part; a peer that sends more without an end is flooding."""
PING = b"\r\n\r\n"
"""A keep-alive that wants to be answered with CRLF (RFC 5626 3.5.1)."""

_CONTENT_LENGTH = re.compile(rb"\r\n(?:content-length|l)[ \t]*:[ \t]*(\d{1,12})[ \t]*(?=\r\n)", re.IGNORECASE)
_ANY_LENGTH = re.compile(rb"\r\n(?:content-length|l)[ \t]*:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Message:
    """One whole message."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Ping:
    """The peer asks whether we are there."""


@dataclass(frozen=True, slots=True)
class Pong:
    """The peer's answer to a keep-alive of ours."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The stream cannot be followed any further: answer `head` with `status` and close."""

    kind: str
    """``header``, ``length`` or ``oversize``: the name that it is counted by."""
    status: int
    head: bytes
    """What there is of the message that broke it."""


Piece = Message | Ping | Pong | Broken


class Framer:
    """The receiving side of one connection."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._wanted = 0
        self._broken = False
        self._pongs = 0

    def pinged(self) -> None:
        """We have sent a keep-alive: one CRLF more is its answer, not half a ping of the peer's."""
        self._pongs += 1

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._buffer.strip(b"\r\n"))

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Take what came; yields what it completes, in order. Nothing follows a `Broken`."""
        self._buffer += data
        while self._buffer and not self._broken:
            if len(self._buffer) < self._wanted:
                return
            piece = self._next()
            if piece is None:
                return
            if isinstance(piece, Broken):
                self._broken = True
                self._buffer.clear()
            yield piece

    def _next(self) -> Piece | None:
        buffer = self._buffer
        blank = len(buffer) - len(buffer.lstrip(b"\r\n"))
        if self._pongs and buffer.startswith(b"\r\n"):
            self._pongs -= 1
            del buffer[:2]
            return Pong()
        if blank:
            pings = buffer.count(PING, 0, blank)
            if blank == len(buffer) and blank % 4 and blank < 4:
                return None  # perhaps the first half of a ping
            del buffer[:blank]
            return Ping() if pings else self._next() if buffer else None
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(buffer) > HEADER_LIMIT:
                return Broken("oversize", 513, bytes(buffer))
            return None
        if end > HEADER_LIMIT:
            return Broken("oversize", 513, bytes(buffer[:end]))
        head = bytes(buffer[: end + 2])
        lengths = {int(number) for number in _CONTENT_LENGTH.findall(head)}
        if len(lengths) != 1:
            # without a length there is no telling where the next message begins
            kind = "length" if lengths or _ANY_LENGTH.search(head) else "header"
            return Broken(kind, 400, head + b"\r\n")
        total = end + 4 + lengths.pop()
        if total > self._limit:
            return Broken("oversize", 513, head + b"\r\n")
        if len(buffer) < total:
            self._wanted = total
            return None
        self._wanted = 0
        message = bytes(buffer[:total])
        del buffer[:total]
        return Message(message)
