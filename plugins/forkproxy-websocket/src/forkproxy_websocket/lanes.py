"""How a stream's frames become media messages: in Python, or by native code, with the same octets.

The Python lane is the readable one, and what the native one is tested against. `Session` uses either: it
sends what comes by Python, attaches the native code whenever nothing waits, and settles before it sends.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from itertools import groupby
from typing import Protocol, runtime_checkable

from forkproxy.connectors.api import FRAME_MS, Frame, FrameFlag, Stream, Track
from forkproxy_websocket.connection import Connection
from forkproxy_websocket.dialect import Binary, Dialect
from forkproxy_websocket.history import Kept, SharedHistory
from forkproxy_websocket.templates import Template
from forkproxy_websocket.transport import LineTransport


@runtime_checkable
class Templated(Protocol):
    """A dialect whose media messages are text with holes."""

    sequence_number: int
    """That of the last message."""

    def template(self, track: Track) -> Template:
        """What `Dialect.media` makes of the frames of a track."""


class Lane(Protocol):
    """The media of one stream on its way to one connection."""

    @property
    def attached(self) -> bool:
        """Frames may be leaving without Python."""

    def send(self, frames: list[Frame]) -> int:
        """Send the frames' messages in one write, while not attached; the octets of it, or about.

        Raises:
            StreamError: the connection is lost.
        """

    def attach(self, expected: int) -> None:
        """Have frames leave without Python, if that can be, beginning with the number `expected`."""

    def settle(self) -> int:
        """End that; the number of the frame that is expected next."""

    def backlog(self) -> tuple[int, float] | None:
        """As `Session.backlog`; None: whoever calls `send` knows."""


class PythonLane:
    """Message by message."""

    attached = False

    def __init__(self, connection: Connection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect

    def send(self, frames: list[Frame]) -> int:
        return send_all(self._connection, [self._dialect.media(frame) for frame in frames])

    def attach(self, expected: int) -> None:
        pass

    def settle(self) -> int:
        raise AssertionError("nothing is ever attached")

    def backlog(self) -> None:
        return None


class NativeLane:
    """The stream's frames go straight from the call to the socket, as long as the consumer keeps up.

    What waited before, what the consumer is too slow for, and the stream's last frames come by Python.
    """

    def __init__(
        self,
        connection: Connection,
        transport: LineTransport,
        dialect: Templated,
        stream: Stream,
        history: SharedHistory | None,
    ) -> None:
        from forkproxy_websocket._native import Outlet

        templates = [dialect.template(track) for track in Track]
        inbound, outbound = [(list(each.pieces), list(each.holes)) for each in templates]
        core = None if history is None else history.core
        self._line = transport.line
        self._outlet = Outlet(transport.line, inbound, outbound, FRAME_MS, core)
        self._capsule = self._outlet.capsule
        self._connection = connection
        self._dialect = dialect
        self._stream = stream
        self.attached = False

    def send(self, frames: list[Frame]) -> int:
        self._outlet.sequence = self._dialect.sequence_number
        octets = self._outlet.messages(frames)
        self._dialect.sequence_number = self._outlet.sequence
        self._connection.send_framed(octets)
        return len(octets)

    def attach(self, expected: int) -> None:
        if not self.attached:
            self._outlet.sequence = self._dialect.sequence_number
            self._outlet.expected = expected
            self.attached = self._stream.attach(self._capsule)

    def settle(self) -> int:
        self._stream.detach()
        self.attached = False
        self._dialect.sequence_number = self._outlet.sequence
        return self._outlet.expected

    def backlog(self) -> tuple[int, float]:
        return self._line.backlog()


def send_all(connection: Connection, messages: Iterable[bytes | None]) -> int:
    """Send those messages that there are, each as text or binary as it is; the octets of it, or about.

    Raises:
        StreamError: the connection is lost.
    """
    written = [message for message in messages if message is not None]
    for binary, run in groupby(written, _is_binary):
        connection.send(run, binary=binary)
    return sum(map(len, written)) + 8 * len(written)


def _is_binary(message: bytes) -> bool:
    return isinstance(message, Binary)


def lane(connection: Connection, dialect: Dialect, stream: Stream, history: Kept) -> Lane:
    """The best there is for this connection and this dialect."""
    transport = connection.transport
    if (
        isinstance(transport, LineTransport)
        and isinstance(history, SharedHistory)
        and isinstance(dialect, Templated)
        and _is_filled_so(dialect, stream)
    ):
        return NativeLane(connection, transport, dialect, stream, history)
    return PythonLane(connection, dialect)


def _is_filled_so(dialect: Templated, stream: Stream) -> bool:
    """Whether the templates are those of this very dialect, and not of one that it was derived from."""
    probe = copy.copy(dialect)
    payload = bytes(at % 251 for at in range(stream.format.frame_bytes))
    assert isinstance(probe, Dialect)
    return all(
        probe.template(track).fill(dialect.sequence_number + nth, 6, payload)
        == probe.media(Frame(track, 6, FrameFlag.RECEIVED, payload))
        for nth, track in enumerate(Track, 1)
    )
