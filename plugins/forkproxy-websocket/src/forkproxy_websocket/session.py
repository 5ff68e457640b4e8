"""What a stream and its consumer say to each other, once there is a connection.

The way out: frames, in batches, and between them what a bidirectional stream reports: marks that have been
played, keys that the caller has pressed. A report leaves at once, unless the consumer is behind with reading:
then it waits for its turn, so that memory stays bounded, whatever a consumer asks for without reading.

The way in, on bidirectional streams: `media`, `mark` and `clear`, in the order in which they came.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from forkproxy.connectors.api import Frame, Stream, StreamError
from forkproxy_websocket.connection import Connection
from forkproxy_websocket.dialect import (
    BINARY,
    UNEXPECTED,
    Audio,
    Clear,
    Dialect,
    InvalidMessage,
    Mark,
)
from forkproxy_websocket.history import Kept
from forkproxy_websocket.lanes import Lane, lane, send_all

MOST_REPORTS = 20_000
"""Marks and keys that wait for a consumer that does not read; further ones are lost, reported as 31930."""
OVERFLOW = 31930
"""Twilio's warning: something was discarded, the consumer is too slow."""


Report = tuple[Literal["mark", "dropped", "dtmf", "cleared"], str, float]
"""A mark's name (dropped: by `clear`), a key and its milliseconds, or that `clear` was done."""


class Session:
    """One stream on one connection."""

    def __init__(
        self,
        stream: Stream,
        dialect: Dialect,
        history: Kept,
        gap: Callable[[int, int], bytes | None] | None = None,
        reports: deque[Report] | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            dialect: a fresh one.
            history: gets what leaves here without Python.
            gap: makes the message for frames that are missing: the first one's number, and how many there are
                on each track. None: they are told by the numbers alone.
            reports: marks and keys that have not been reported yet; all sessions of a stream share it.
            parameters: those that the consumer is told; None: the stream's.
        """
        self._parameters = stream.parameters if parameters is None else parameters
        self._stream = stream
        self._dialect = dialect
        self._history = history
        self._gap = gap
        self._connection: Connection | None = None
        self._lane: Lane | None = None
        self._reports: deque[Report] = deque() if reports is None else reports
        self._expected = 0
        self._written = 0
        self._writes: deque[tuple[int, float]] = deque()

    def backlog(self) -> tuple[int, float]:
        """Octets that were written and not sent yet, and the seconds that the oldest of them have waited."""
        if self._connection is None:
            return 0, 0.0
        if self._lane is not None and (backlog := self._lane.backlog()) is not None:
            return backlog
        unsent, writes = self._connection.unsent, self._writes
        while writes and writes[0][0] <= self._written - unsent:
            writes.popleft()
        return unsent, time.monotonic() - writes[0][1] if writes else 0.0

    def open(self, connection: Connection, expected: int = 0) -> None:
        """Greet the consumer; `expected` is the number of the first frame that it should get.

        Raises:
            StreamError: the connection is lost, here and below.
        """
        stream, dialect = self._stream, self._dialect
        self._connection = connection
        self._expected = expected
        self._send([dialect.connected(), dialect.start(stream.tracks, self._parameters)])
        self._lane = lane(connection, dialect, stream, self._history)
        if stream.bidirectional:
            stream.on_mark(self._marked)
        if stream.bidirectional or dialect.one_way_keys:
            stream.on_digit(self._pressed)

    def go_on(self) -> None:
        """All that waited for this connection has been sent: what follows may leave without Python."""
        if self._lane is not None and self._connection is not None and not self._connection.paused:
            self._lane.attach(self._expected)

    def leave(self) -> None:
        """Nothing more is sent on this connection."""
        self._settle()

    async def send(self, frames: list[Frame]) -> None:
        """Send frames, behind the reports that wait; wait for a consumer that is behind."""
        assert self._connection is not None
        self._settle()
        self._send_waiting()
        self._send_media(frames)
        while self._connection.paused:
            await self._connection.drain()
            self._send_waiting()

    def _send_media(self, frames: list[Frame]) -> None:
        assert self._lane is not None
        begin = 0
        for at, frame in enumerate(frames):
            missing = frame.number - self._expected
            if missing > 0:
                self._stream.log.warning(
                    "audio is missing", extra={"first_frame": self._expected, "frames": missing}
                )
                if self._gap is not None:
                    self._written += self._lane.send(frames[begin:at])
                    self._send([self._gap(self._expected, missing)])
                    begin = at
            self._expected = frame.number + 1 if missing >= 0 else self._expected
        self._written += self._lane.send(frames[begin:])
        self._note()

    def finish(self) -> None:
        """Say that this was all."""
        self._settle()
        self._send_waiting()
        self._send([self._dialect.rest(), self._dialect.stop()])

    def _settle(self) -> bool:
        """Have the frames come here again; whether they did not."""
        if self._lane is None or not self._lane.attached:
            return False
        self._expected = self._lane.settle()
        return True

    def hear(self, message: bytes, binary: bool) -> None:
        """A message of the consumer's. What is wrong with it is reported."""
        stream = self._stream
        if not stream.bidirectional:
            self._unexpected(binary)
            return
        try:
            wanted = self._dialect.read(message, binary)
        except InvalidMessage as error:
            stream.warn(error.code, f"a message of the consumer's is ignored: {error}")
            return
        if wanted.complaint is not None:
            stream.warn(UNEXPECTED, f"a message of the consumer's is not as it should be: {wanted.complaint}")
        match wanted:
            case Audio():
                stream.speak(wanted.payload)
            case Mark():
                stream.mark(wanted.name)
            case Clear():
                stream.clear()
                self._report(("cleared", "", 0.0))

    def _unexpected(self, binary: bool) -> None:
        """A one-way stream takes no messages: they are counted and ignored."""
        if binary:
            self._stream.warn(
                BINARY, "the consumer sent a binary message; messages to forkproxy are JSON text"
            )
        else:
            self._stream.warn(UNEXPECTED, "the consumer sent a message; a one-way stream takes none")

    def _marked(self, name: str, cleared: bool) -> None:
        self._report(("dropped" if cleared else "mark", name, 0.0))

    def _pressed(self, key: str, duration_ms: float) -> None:
        self._report(("dtmf", key, duration_ms))

    def _build(self, report: Report) -> bytes | None:
        """The message, made when it is sent: it is then that it gets its number."""
        kind, text, duration_ms = report
        if kind == "dtmf":
            return self._dialect.dtmf(text, duration_ms)
        return self._dialect.cleared() if kind == "cleared" else self._dialect.mark(text, kind == "dropped")

    def _report(self, report: Report) -> None:
        connection = self._connection
        if connection is None or connection.paused or self._reports:
            if len(self._reports) < MOST_REPORTS:
                self._reports.append(report)
            else:
                self._stream.warn(OVERFLOW, "a mark or a key was discarded: the consumer does not read")
            return
        attached = self._settle()
        try:
            self._send([self._build(report)])
        except StreamError:  # whoever sends the next frames is told
            self._reports.append(report)
        else:
            if attached:
                self.go_on()

    def _send_waiting(self) -> None:
        """Reports that have waited are kept until they are sent, for the next connection perhaps."""
        if self._reports:
            count = len(self._reports)
            self._send([self._build(report) for report in self._reports])
            for _ in range(count):
                self._reports.popleft()

    def _send(self, messages: Iterable[bytes | None]) -> None:
        assert self._connection is not None
        self._written += send_all(self._connection, messages)
        self._note()

    def _note(self) -> None:
        """Remember when what has just been written was, if it waits."""
        assert self._connection is not None
        if self._connection.unsent:
            self._writes.append((self._written, time.monotonic()))
        else:
            self._writes.clear()
