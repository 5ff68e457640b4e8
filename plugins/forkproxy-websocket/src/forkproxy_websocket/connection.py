"""One WebSocket connection: the protocol of the `websockets` library on a transport of asyncio.

The library's protocol has no I/O of its own, which gives us what its ready-made client does not: both tracks'
messages leave in one write, nothing that a consumer sends is collected unless somebody wants it, and every
way to lose the connection is told apart.

What a consumer may do without harm:

- stop reading: the transport's buffer is bounded, `paused` says that it is full, `drain` waits;
- send: messages are counted and forgotten, frame by frame, or put together where they are wanted; a message
  over the limit ends the connection;
- flood: what comes is looked at in pieces, `WORK` units of work every `REST` seconds; meanwhile TCP holds the
  consumer back;
- ping and not read: pongs are left out while the buffer is full;
- be slow to answer pings, or never do so: see `_keep_alive`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, cast, runtime_checkable

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode
from websockets.http11 import Response
from websockets.protocol import Event, State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from forkproxy.connectors.api import (
    StreamBroken,
    StreamError,
    StreamHandshakeError,
    StreamProtocolError,
    StreamRemoteClosed,
    StreamTlsError,
    describe,
    kind_of,
)

MAX_MESSAGE = 1024 * 1024
"""The largest message that a consumer may send, in octets, unless somebody wants larger ones."""
WRITE_BUFFER = 64 * 1024
"""Octets that wait in the transport before `paused`: about 1.6 seconds of both tracks."""
PIECE = 1024
"""Octets that are looked at in one go; half as many frames can be in them."""
WORK = 64
"""A piece counts as one unit of work, and so does each frame in it."""
REST = 0.01
LAST_INTAKE = 16 * PIECE
"""Octets that are looked at when the connection is lost: there may be a close frame among them."""
PING_EVERY = 20.0
"""Seconds between pings."""
DEAD_AFTER = 60.0
"""Seconds without any acknowledgement of what we sent after which a consumer's host is taken for dead."""
CLOSE_TIMEOUT = 4.0
"""Seconds that the closing handshake may take, the delivery of what still waits included."""

_LAST_ACK_RECEIVED = struct.Struct("24xI28xI")
"""From Linux's struct tcp_info: tcpi_unacked, tcpi_last_ack_recv (milliseconds)."""

_log = logging.getLogger("forkproxy.websocket.protocol")


@runtime_checkable
class Sealable(Protocol):
    """A transport on which others send media, too."""

    def seal(self) -> None:
        """They must not any more: the WebSocket is being closed."""


class Connection(asyncio.Protocol):
    """The client's side of a WebSocket, from TCP's connection to its end."""

    def __init__(
        self,
        target: WebSocketURI,
        headers: Mapping[str, str],
        *,
        on_lost: Callable[[StreamError], None],
        on_message: Callable[[bytes, bool], None],
        on_pong: Callable[[bytes], None] | None = None,
        collect: int = 0,
        ping_every: float | None = PING_EVERY,
        subprotocols: Sequence[str] = (),
    ) -> None:
        """Make the protocol for a connection to `target`.

        Args:
            headers: sent with the upgrade request, besides those of the WebSocket protocol.
            on_lost: called once when an open connection ends before `close`; not from inside our methods.
            on_message: called for each message of the consumer: its octets, and whether it is binary.
            on_pong: called with the octets of each pong; what was sent before its ping has been read.
            collect: put messages of up to so many octets together. 0: none is, `on_message` is called for
                each as soon as it begins, with no octets.
            ping_every: seconds; None sends no pings.
            subprotocols: that are offered; the server need not choose one.
        """
        self._core = ClientProtocol(
            target,
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            max_size=collect or MAX_MESSAGE,
            logger=_log,
        )
        self._headers = headers
        self._on_lost = on_lost
        self._on_message = on_message
        self._on_pong = on_pong
        self._collect = collect > 0
        self._message = bytearray()
        self._binary = False
        self._ping_every = ping_every
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._drained: asyncio.Future[None] | None = None
        self._error: StreamError | None = None
        self._leaving = False
        self._intake = bytearray()
        self._intake_timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self.paused = False
        """The buffer is full: `drain` before more is sent."""

    # For whoever streams.

    async def opened(self) -> None:
        """Wait for the end of the opening handshake.

        Raises:
            StreamHandshakeError: the answer is not a proper 101.
        """
        await self._opened

    def send(self, messages: Iterable[bytes], *, binary: bool = False) -> None:
        """Send messages in one write, as text or as binary ones.

        Raises:
            StreamError: the connection is lost.
        """
        if self._error is not None:
            raise self._error
        send = self._core.send_binary if binary else self._core.send_text
        for message in messages:
            send(message)
        self._transport.write(b"".join(self._core.data_to_send()))

    def send_framed(self, frames: bytes) -> None:
        """Send text messages that have been framed and masked already.

        Raises:
            StreamError: the connection is lost.
        """
        if self._error is not None:
            raise self._error
        self._transport.write(frames)

    @property
    def transport(self) -> asyncio.Transport:
        """What it was made on."""
        return self._transport

    def ping(self, data: bytes) -> None:
        """Ask for a pong with `data`, 125 octets at most; nothing happens when the connection is lost."""
        if self._error is None and self._core.state is State.OPEN:
            self._core.send_ping(data)
            self._flush()

    async def drain(self) -> None:
        """Wait until there is room in the buffer.

        Raises:
            StreamError: the connection is lost.
        """
        while self.paused and self._error is None:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await self._drained
        if self._error is not None:
            raise self._error

    async def close(self, timeout: float | None = None) -> None:
        """The closing handshake: deliver what waits, close with 1000, wait for the consumer's side.

        Never raises. After `timeout` seconds (`CLOSE_TIMEOUT`) the connection may still stand: `abort` it.
        """
        self._leaving = True
        if self._core.state is State.OPEN:
            self._core.send_close(1000)
            self._flush()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT if timeout is None else timeout):
                await asyncio.shield(self._closed)

    async def abort(self) -> None:
        """Cut the connection; whatever waits in the buffer is lost."""
        self._leaving = True
        if not self._closed.done():
            self._transport.abort()
            await asyncio.shield(self._closed)

    @property
    def close_code(self) -> int | None:
        """What the consumer closed with: 1005 stands for no code; None: it has not closed."""
        received = self._core.close_rcvd
        return None if received is None else received.code

    @property
    def unsent(self) -> int:
        """Octets in the buffer."""
        return 0 if self._closed.done() else self._transport.get_write_buffer_size()

    # From the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER)
        request = self._core.connect()
        for name, value in self._headers.items():
            request.headers[name] = value
        self._core.send_request(request)
        self._flush()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._wake()

    def data_received(self, data: bytes) -> None:
        self._intake += data
        if self._intake_timer is None:
            self._take_in()

    def eof_received(self) -> None:
        """The consumer has ended its side; the transport closes when this returns."""

    def connection_lost(self, error: Exception | None) -> None:
        for timer in (self._intake_timer, self._watch):
            if timer is not None:
                timer.cancel()
        if self._intake and self._core.state is not State.CLOSED:
            self._core.receive_data(bytes(self._intake[:LAST_INTAKE]))
        self._core.receive_eof()
        if not self._opened.done():
            self._refuse(self._handshake_failure(error))
        elif self._error is None:
            self._lose(self._failure(error))
        self._closed.set_result(None)
        self._wake()

    # What the consumer sends.

    def _take_in(self) -> None:
        """Look at some of what has come; with more, leave the rest for later and hold the consumer back."""
        work = WORK
        while self._intake and work > 0:
            size = PIECE if self._opened.done() else len(self._intake)
            piece = bytes(self._intake[:size])
            del self._intake[:size]
            self._core.receive_data(piece)
            events = self._core.events_received()
            work -= 1 + len(events)
            for event in events:
                self._heard(event)
        if self._core.state is State.CONNECTING and self._core.handshake_exc is not None:
            self._refuse(self._handshake_failure(None))
        elif self._core.state is State.CLOSING and not self._leaving and self._error is None:
            self._lose(self._failure(None))
        if self.paused and self._core.state is State.OPEN:
            self._core.data_to_send()  # pongs for one who does not read
        else:
            self._flush()
        held_back = self._intake_timer is not None
        self._intake_timer = None
        if self._closed.done() or self._transport.is_closing():
            return
        if self._intake:
            if not held_back:
                self._transport.pause_reading()
            self._intake_timer = self._loop.call_later(REST, self._take_in)
        elif held_back:
            self._transport.resume_reading()

    def _heard(self, event: Event) -> None:
        if isinstance(event, WireFrame):
            if event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._heard_message(event)
            elif event.opcode is Opcode.PONG and self._on_pong is not None:
                self._on_pong(bytes(event.data))
        elif isinstance(event, Response) and self._core.handshake_exc is None:
            if not self._opened.done():
                self._opened.set_result(None)
            self._watch = self._loop.call_later(self._ping_every or PING_EVERY, self._keep_alive)

    def _heard_message(self, frame: WireFrame) -> None:
        if frame.opcode is not Opcode.CONT:
            self._binary = frame.opcode is Opcode.BINARY
            if not self._collect:
                self._on_message(b"", self._binary)
        if self._collect:
            self._message += frame.data
            if frame.fin:
                message = bytes(self._message)
                self._message.clear()
                self._on_message(message, self._binary)

    # Out.

    def _flush(self) -> None:
        data = self._core.data_to_send()
        if data and not data[-1]:  # the core's sign for the end of the stream
            self._transport.write(b"".join(data))
            self._transport.close()
        elif data:
            self._transport.write(b"".join(data))

    def _wake(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def _keep_alive(self) -> None:
        """Ping, so that proxies on the way see traffic from the consumer's side, which else says nothing.

        The pong is not waited for: it stands behind all audio that a slow consumer has yet to read. Whether
        its host is alive is asked of TCP, whose acknowledgements do not depend on anybody reading.
        """
        self._watch = self._loop.call_later(self._ping_every or PING_EVERY, self._keep_alive)
        if self._silence() > DEAD_AFTER:
            self._lose(
                StreamBroken(f"the consumer's host has acknowledged nothing for {DEAD_AFTER:g} seconds")
            )
            self._transport.abort()
        elif self._ping_every and not self.paused and self._core.state is State.OPEN:
            self._core.send_ping(b"")
            self._flush()

    def _silence(self) -> float:
        """Seconds since the last acknowledgement, if something waits for one."""
        sock = self._transport.get_extra_info("socket")
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_ACK_RECEIVED.size)
        unacknowledged, last = _LAST_ACK_RECEIVED.unpack(info)
        return last / 1000 if unacknowledged else 0.0

    # The end.

    def _lose(self, error: StreamError) -> None:
        self._error = error
        if isinstance(self._transport, Sealable):
            self._transport.seal()
        self._wake()
        if not self._leaving:
            self._loop.call_soon(self._on_lost, error)

    def _refuse(self, error: StreamError) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)
            self._opened.exception()  # seen, even if nobody waits any more

    def _failure(self, error: Exception | None) -> StreamError:
        """Why an open connection ended."""
        core = self._core
        if core.close_rcvd is not None and core.parser_exc is None:
            return StreamRemoteClosed(f"the consumer closed the WebSocket: {core.close_rcvd}")
        if core.parser_exc is not None and not isinstance(core.parser_exc, EOFError):
            return StreamProtocolError(f"the consumer broke the WebSocket protocol: {core.parser_exc}")
        if error is not None:
            return kind_of(error, connected=True)(f"the connection was cut: {describe(error)}")
        return StreamBroken("the consumer ended the connection without closing the WebSocket")

    def _handshake_failure(self, error: Exception | None) -> StreamError:
        """Why the opening handshake failed; anything but a proper 101 is 31920."""
        cause = self._core.handshake_exc
        if isinstance(cause, InvalidStatus):
            return StreamHandshakeError(_refusal(cause.response))
        if cause is not None and not isinstance(cause.__cause__, EOFError):
            reason = cause.__cause__ or cause
            return StreamHandshakeError(f"the answer to the upgrade request is not usable: {reason}")
        if isinstance(error, ssl.SSLError):  # with TLS 1.3 a server looks at certificates after the handshake
            return StreamTlsError(f"the consumer ended TLS: {describe(error)}")
        detail = f": {describe(error)}" if error is not None else ""
        return StreamHandshakeError(f"the connection was cut before the upgrade request was answered{detail}")


def _refusal(response: Response) -> str:
    status = f"{response.status_code} {response.reason_phrase}".strip()
    text = f"the consumer answered {status} to the upgrade request, not 101"
    if 300 <= response.status_code < 400:
        text += f"; it redirects to {response.headers.get('Location', 'nowhere')!r}, which is not followed"
    return text
