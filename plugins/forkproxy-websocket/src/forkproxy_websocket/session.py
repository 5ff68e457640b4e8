"""What a stream and its consumer say to each other, once there is a connection.

The way out: frames, in batches, and between them what a bidirectional stream reports: marks that have been
played, keys that the caller has pressed. A report leaves at once, unless the consumer is behind with reading:
then it waits for its turn, so that memory stays bounded, whatever a consumer asks for without reading.

The way in, on bidirectional streams: `media`, `mark` and `clear`, in the order in which they came.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Literal

from forkproxy.connectors.api import Frame, Stream, StreamError
from forkproxy_websocket.connection import Connection
from forkproxy_websocket.dialect import (
    BINARY,
    UNEXPECTED,
    Audio,
    Binary,
    Clear,
    Dialect,
    InvalidMessage,
    Mark,
)

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
        gap: Callable[[int, int], bytes | None] | None = None,
        reports: deque[Report] | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            dialect: a fresh one.
            gap: makes the message for frames that are missing: the first one's number, and how many there are
                on each track. None: they are told by the numbers alone.
            reports: marks and keys that have not been reported yet; all sessions of a stream share it.
            parameters: those that the consumer is told; None: the stream's.
        """
        self._parameters = stream.parameters if parameters is None else parameters
        self._stream = stream
        self._dialect = dialect
        self._gap = gap
        self._connection: Connection | None = None
        self._reports: deque[Report] = deque() if reports is None else reports
        self._expected = 0
        self._written = 0
        self._writes: deque[tuple[int, float]] = deque()

    def backlog(self) -> tuple[int, float]:
        """Octets that were written and not sent yet, and the seconds that the oldest of them have waited."""
        if self._connection is None:
            return 0, 0.0
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
        if stream.bidirectional:
            stream.on_mark(self._marked)
        if stream.bidirectional or dialect.one_way_keys:
            stream.on_digit(self._pressed)

    async def send(self, frames: Iterable[Frame]) -> None:
        """Send frames, behind the reports that wait; wait for a consumer that is behind."""
        assert self._connection is not None
        waiting = self._waiting()
        self._send([*waiting, *self._media(frames)])
        self._told(len(waiting))
        if self._connection.paused:
            await self._connection.drain()

    def _media(self, frames: Iterable[Frame]) -> Iterator[bytes | None]:
        media = self._dialect.media
        for frame in frames:
            missing = frame.number - self._expected
            if missing > 0:
                self._stream.log.warning(
                    "audio is missing", extra={"first_frame": self._expected, "frames": missing}
                )
                if self._gap is not None:
                    yield self._gap(self._expected, missing)
            self._expected = frame.number + 1 if missing >= 0 else self._expected
            yield media(frame)

    def finish(self) -> None:
        """Say that this was all."""
        waiting = self._waiting()
        self._send([*waiting, self._dialect.rest(), self._dialect.stop()])
        self._told(len(waiting))

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
        try:
            self._send([self._build(report)])
        except StreamError:  # whoever sends the next frames is told
            self._reports.append(report)

    def _waiting(self) -> list[bytes | None]:
        return [self._build(report) for report in self._reports]

    def _told(self, count: int) -> None:
        """So many reports have been sent; until then they are kept, for the next connection perhaps."""
        for _ in range(count):
            self._reports.popleft()

    def _send(self, messages: Iterable[bytes | None]) -> None:
        assert self._connection is not None
        written = [message for message in messages if message is not None]
        for binary, run in groupby(written, _is_binary):
            self._connection.send(run, binary=binary)
        self._written += sum(map(len, written)) + 8 * len(written)
        if self._connection.unsent:
            self._writes.append((self._written, time.monotonic()))
        else:
            self._writes.clear()


def _is_binary(message: bytes) -> bool:
    return isinstance(message, Binary)
