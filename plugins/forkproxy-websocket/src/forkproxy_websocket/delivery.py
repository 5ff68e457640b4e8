"""One stream, delivered over one connection, or over as many as it takes.

Without `patience` the stream ends with its connection, as Twilio's do. With it, a connection that is lost, or
cannot be made, is made again, with growing pauses, until there has been none for `patience` seconds. The
frames that come meanwhile wait in the stream's ring; those that were sent and perhaps not read are sent
again. All carry their true numbers, so that a consumer puts the audio together by ``timestamp``.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from forkproxy.connectors.api import (
    Stream,
    StreamError,
    StreamProtocolError,
    StreamRemoteClosed,
    StreamSchemeError,
    StreamUrlError,
)
from forkproxy_websocket.connection import Connection
from forkproxy_websocket.history import Kept
from forkproxy_websocket.session import OVERFLOW, Session

FAREWELL = 1.0
"""Seconds that a consumer gets to end a connection that has failed; nobody waits for its audio any more."""
NORMAL = (1000, 1005)
"""Codes (1005: none) with which a consumer ends a stream on purpose."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0
"""Seconds between two attempts: doubled each time, and cut by up to a half at random."""
STEADY = 5.0
"""Seconds after which a connection counts as standing: pauses and patience begin anew."""
PROBE_EVERY = 50
"""Frame numbers (a second) between the pings that ask how far the consumer has read."""
ASK_EVERY = 1.0
"""Seconds between two looks whether it is time for one."""
AGAIN = 100
"""Frames of the history in one write."""

_TRANSIENT_CLOSES = range(1001, 1016)
_TELLING_CLOSES = (1002, 1003, 1005, 1007, 1008, 1009, 1010)
"""Of these: closes that another attempt would not change."""


def worth_another(error: StreamError, close_code: int | None) -> bool:
    """Whether a new connection may do better: after a crash or a restart, not after a deliberate end."""
    if isinstance(error, StreamRemoteClosed):
        return close_code in _TRANSIENT_CLOSES and close_code not in _TELLING_CLOSES
    return not isinstance(error, StreamUrlError | StreamSchemeError | StreamProtocolError)


class Delivery:
    """Carries one stream to its end."""

    def __init__(
        self,
        stream: Stream,
        open_session: Callable[[], Session],
        connect: Callable[[Session, int], Awaitable[Connection]],
        *,
        patience: float,
        history: Kept,
    ) -> None:
        """
        Args:
            open_session: makes what talks on the next connection.
            connect: makes a connection for it; takes how many there have been before. Raises StreamError.
            patience: seconds without a connection that end the stream; 0: it ends with its first one.
            history: what may be sent again; empty, and of no use without patience.
        """
        self._stream = stream
        self._open_session = open_session
        self._connect = connect
        self._patience = patience
        self._history = history
        self._loop = asyncio.get_running_loop()
        self._connections = 0
        self._pause = FIRST_PAUSE
        self._down_since = self._loop.time()
        self._probed = 0
        self._watch: asyncio.TimerHandle | None = None
        self._session: Session | None = None

    def backlog(self) -> tuple[int, float]:
        """Octets that were written and not sent yet, and the seconds that the oldest of them have waited."""
        return (0, 0.0) if self._session is None else self._session.backlog()

    def read_up_to(self, data: bytes) -> None:
        """A pong: the consumer has read what was sent before our ping with this number."""
        if len(data) <= 10 and data.isdigit():
            self._history.confirm(int(data))

    async def carry(self) -> None:
        """Send all frames, over as many connections as it takes.

        Raises:
            StreamError: the last connection's end, or what kept the next one from being made.
        """
        frames = aiter(self._stream)
        lost: StreamError | None = None
        while True:
            session, connection = await self._connected(lost)
            began = self._loop.time()
            try:
                await self._carry_on(session, connection, lost is not None, frames)
                return
            except StreamError as error:
                lost = error
                await connection.close(FAREWELL if self._patience <= 0 else 0.0)
            finally:
                self._session = None
                session.leave()
                self._unwatch()
                await self._leave(connection, again=lost is not None and self._patience > 0)
            if self._stream.bidirectional and connection.close_code in NORMAL:
                self._stream.log.info("the consumer ended the stream", extra={"reason": str(lost)})
                return
            if self._patience <= 0 or not worth_another(lost, connection.close_code):
                raise lost
            if self._loop.time() - began >= STEADY:
                self._pause, self._down_since = FIRST_PAUSE, self._loop.time()
            self._tell(lost)

    async def _carry_on(self, session: Session, connection: Connection, again: bool, frames: object) -> None:
        self._session = session
        self._stream.created()
        history = self._history
        session.open(connection, history.first if again and history.first is not None else history.next)
        if again:
            sent = history.unconfirmed()
            for at in range(0, len(sent), AGAIN):
                await session.send(sent[at : at + AGAIN])
            self._stream.log.info("connected again", extra={"frames_sent_again": len(sent)})
        if self._patience > 0:
            self._ask(connection)
        session.go_on()
        while (batch := await anext(frames, None)) is not None:  # type: ignore[call-overload]
            if self._patience > 0:
                self._history.add(batch)
                # the pong tells that everything before it has been read, these frames not yet included
                self._probe(connection, batch[0].number)
            await session.send(batch)
            session.go_on()
        session.finish()
        await connection.close()

    def _probe(self, connection: Connection, sent: int) -> None:
        """Ask whether the frames before `sent` have been read, now and then."""
        if self._history.next - self._probed >= PROBE_EVERY and not connection.paused:
            connection.ping(b"%d" % sent)
            self._probed = self._history.next

    def _ask(self, connection: Connection) -> None:
        """Probe each second: what native code sends does not come by here."""
        self._watch = self._loop.call_later(ASK_EVERY, self._ask, connection)
        self._probe(connection, self._history.next)

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def _connected(self, lost: StreamError | None) -> tuple[Session, Connection]:
        while True:
            if lost is not None:
                await asyncio.sleep(self._pause * random.uniform(0.5, 1.0))
                self._pause = min(self._pause * 2, LONGEST_PAUSE)
            session = self._open_session()
            try:
                connection = await self._connect(session, self._connections)
            except StreamError as error:
                waited = self._loop.time() - self._down_since
                if waited >= self._patience or not worth_another(error, None):
                    raise
                if lost is None:
                    self._tell(error)
                lost = error
                continue
            self._connections += 1
            return session, connection

    def _tell(self, error: StreamError) -> None:
        message = f"{error}; forkproxy connects again for up to {self._patience:g} seconds"
        self._stream.warn(error.twilio_code or StreamError.twilio_code, message)
        self._stream.log.warning("%s", message)

    async def _leave(self, connection: Connection, *, again: bool) -> None:
        """Whatever happened: no socket stays, and audio that did not leave is told."""
        if connection.unsent and not again:
            message = f"{connection.unsent} octets of messages could not be sent before the end"
            self._stream.warn(OVERFLOW, message)
            self._stream.log.warning(message)
        await connection.abort()
