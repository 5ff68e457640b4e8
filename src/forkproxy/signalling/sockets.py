"""The sockets, on asyncio: datagrams in and out, stream connections with framing, keep-alives and limits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from forkproxy.signalling.framing import Broken, Framer, Message, Ping
from forkproxy.signalling.mending import refusal

if TYPE_CHECKING:
    from forkproxy.signalling._transports import Transport
    from forkproxy.signalling.endpoint import SipEndpoint
    from forkproxy.signalling.listeners import StreamListener

FIRST_MESSAGE = 30.0
"""Seconds in which a new connection must send a whole message, and any must finish what it began."""
IDLE = 600.0
"""Seconds without an octet after which a connection that carries no call is closed."""
LINGER = 1.0
"""Seconds that a peer gets to read why it is being cut off."""
BACKLOG = 1024 * 1024
"""Octets that a peer may leave unread before its connection is given up."""
CONNECT = 10.0
"""Seconds that a connection of ours may take to come about."""


class Datagrams(asyncio.DatagramProtocol):
    """One UDP socket."""

    def __init__(self, endpoint: SipEndpoint) -> None:
        self._intake = endpoint.intake
        self.socket: asyncio.DatagramTransport
        self.transport: Transport | None = None
        """PJSIP's side of it; set right after the socket is bound."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.socket = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if self.transport is not None:
            host, port = addr[:2]
            self._intake.datagram(
                self.transport, data, host, port, lambda response: self.socket.sendto(response, (host, port))
            )

    def error_received(self, exc: Exception) -> None:
        self._intake.count("send_errors")  # an ICMP message for something that we sent


class Connection(asyncio.Protocol):
    """One stream connection, from a peer or of ours."""

    def __init__(self, listener: StreamListener, transport: Transport | None = None) -> None:
        self._listener = listener
        self._endpoint = listener.endpoint
        self._intake = listener.endpoint.intake
        self._framer = Framer()
        self._socket: asyncio.Transport
        self._host, self._port = "", 0
        self._transport = transport
        """PJSIP's side of it; for a peer's connection it is made when it is there."""
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._spoken = self._admitted = self._leaving = False
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast(asyncio.Transport, transport)
        self._host, self._port = self._socket.get_extra_info("peername")[:2]
        if self._transport is None:
            if not self._listener.admits(self._host):
                self._intake.count("connections_refused")
                self._socket.abort()
                return
            self._admitted = True
            self._transport = self._listener.home.accept(self._host, self._port, self.send, self._released)
        elif not self._transport.alive:
            self._socket.abort()
            return
        else:
            self._transport.established(self.send, self._released)
            self._endpoint.soon()
        self._listener.joined(self)
        self._watch = self._loop.call_later(FIRST_MESSAGE, self._check)

    def send(self, data: bytes) -> None:
        """Queue bytes for the peer."""
        if self._socket.is_closing():
            raise ConnectionError("the connection is closing")
        self._write(data)

    def _write(self, data: bytes) -> None:
        self._socket.write(data)
        if self._socket.get_write_buffer_size() > BACKLOG:
            self._intake.count("connections_stalled")
            self._socket.abort()

    def close(self) -> None:
        """Close once what is queued has been sent."""
        self._socket.close()

    def abort(self) -> None:
        """Close at once."""
        self._socket.abort()

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        self._heard = self._loop.time()
        for piece in self._framer.feed(data):
            match piece:
                case Message():
                    self._spoken = True
                    self._intake.message(transport, piece.data, self._host, self._port, self._answer)
                case Ping():
                    self._intake.count("keepalives")
                    self._answer(b"\r\n")
                case Broken():
                    self._intake.malformed(piece.kind)
                    response = refusal(piece.head, piece.status, self._host, self._port)
                    if response is not None:
                        self._answer(response)
                    self._give_up()
                    return
            if self._socket.is_closing():
                return

    def _released(self) -> None:
        """PJSIP has no more use for it."""
        if not self._leaving:
            self.close()

    def _give_up(self) -> None:
        """Say no more and hear no more, but let the answer arrive: unread octets would make it a reset."""
        self._leaving = True
        transport, self._transport = self._transport, None
        self._socket.write_eof()
        self._loop.call_later(LINGER, self._socket.close)
        if transport is not None:
            transport.lost()
            self._endpoint.soon()

    def eof_received(self) -> bool:
        if self._framer.partial:
            self._intake.malformed("length")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._listener.left(self, self._host if self._admitted else None)
        if self._transport is not None:
            self._transport.lost()
            self._transport = None
            self._endpoint.soon()

    def _answer(self, data: bytes) -> None:
        if not self._socket.is_closing():
            self._write(data)

    def _check(self) -> None:
        """Closes a connection that says nothing, or does not finish what it says."""
        silence = self._loop.time() - self._heard
        carries = self._transport is not None and self._transport.in_use
        limit = IDLE if self._spoken and not self._framer.partial else FIRST_MESSAGE
        if silence >= limit and not carries:
            self._intake.count("connections_idle")
            self.close()
        else:
            self._watch = self._loop.call_later(max(limit - silence, 1.0), self._check)
