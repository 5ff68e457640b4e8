"""What a stream and its consumer say to each other, once there is a connection.

The way out: frames, in batches, and between them what a bidirectional stream reports: marks that have been
played, keys that the caller has pressed. A report leaves at once, unless the consumer is behind with reading:
then it waits for its turn, so that memory stays bounded, whatever a consumer asks for without reading.

The way in, on bidirectional streams: `media`, `mark` and `clear`, in the order in which they came.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Protocol

from forkproxy.connectors.api import Frame, Stream, StreamError
from forkproxy_websocket.connection import Connection
from forkproxy_websocket.dialect import BINARY, UNEXPECTED, Audio, Clear, Dialect, InvalidMessage, Mark

MOST_REPORTS = 20_000
"""Marks and keys that wait for a consumer that does not read; further ones are lost, reported as 31930."""
OVERFLOW = 31930
"""Twilio's warning: something was discarded, the consumer is too slow."""


class _Builder(Protocol):
    """Makes the message when it is sent: it is then that it gets its number."""

    def __call__(self) -> bytes | None: ...


class Session:
    """One stream on one connection."""

    def __init__(self, stream: Stream, dialect: Dialect) -> None:
        self._stream = stream
        self._dialect = dialect
        self._connection: Connection | None = None
        self._reports: deque[_Builder] = deque()

    def open(self, connection: Connection) -> None:
        """Greet the consumer.

        Raises:
            StreamError: the connection is lost, here and below.
        """
        stream, dialect = self._stream, self._dialect
        self._connection = connection
        self._send([dialect.connected(), dialect.start(stream.tracks, stream.parameters)])
        if stream.bidirectional:
            stream.on_mark(self._marked)
            stream.on_digit(self._pressed)

    async def send(self, frames: Iterable[Frame]) -> None:
        """Send frames, behind the reports that wait; wait for a consumer that is behind."""
        assert self._connection is not None
        media = self._dialect.media
        self._send([*self._waiting(), *[media(frame) for frame in frames]])
        if self._connection.paused:
            await self._connection.drain()

    def finish(self) -> None:
        """Say that this was all."""
        self._send([*self._waiting(), self._dialect.stop()])

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

    def _unexpected(self, binary: bool) -> None:
        """A one-way stream takes no messages: they are counted and ignored."""
        if binary:
            self._stream.warn(
                BINARY, "the consumer sent a binary message; messages to forkproxy are JSON text"
            )
        else:
            self._stream.warn(UNEXPECTED, "the consumer sent a message; a one-way stream takes none")

    def _marked(self, name: str, cleared: bool) -> None:
        self._report(partial(self._dialect.mark, name))

    def _pressed(self, key: str, duration_ms: float) -> None:
        self._report(partial(self._dialect.dtmf, key, duration_ms))

    def _report(self, build: _Builder) -> None:
        connection = self._connection
        if connection is None or connection.paused or self._reports:
            if len(self._reports) < MOST_REPORTS:
                self._reports.append(build)
            else:
                self._stream.warn(OVERFLOW, "a mark or a key was discarded: the consumer does not read")
            return
        with contextlib.suppress(StreamError):  # whoever sends the next frames is told
            self._send([build()])

    def _waiting(self) -> list[bytes | None]:
        waiting = [build() for build in self._reports]
        self._reports.clear()
        return waiting

    def _send(self, messages: Iterable[bytes | None]) -> None:
        assert self._connection is not None
        self._connection.send([message for message in messages if message is not None])
