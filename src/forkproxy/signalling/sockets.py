"""The sockets, on asyncio: datagrams in and out, connections with TLS, framing, keep-alives and limits."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

from forkproxy.signalling.framing import PING, Broken, Framer, Message, Ping, Pong
from forkproxy.signalling.mending import refusal
from forkproxy.signalling.tls import Channel, TlsError

if TYPE_CHECKING:
    from forkproxy.signalling._transports import Transport
    from forkproxy.signalling.endpoint import SipEndpoint
    from forkproxy.signalling.listeners import StreamListener

log = logging.getLogger(__name__)

FIRST_MESSAGE = 30.0
"""Seconds in which a new connection must send a whole message, and any must finish what it began."""
HANDSHAKE = 10.0
"""Seconds that a TLS handshake may take."""
IDLE = 600.0
"""Seconds without an octet after which a connection that carries no call is closed."""
LINGER = 1.0
"""Seconds that a peer gets to read why it is being cut off."""
BACKLOG = 1024 * 1024
"""Octets that a peer may leave unread before its connection is given up."""
CONNECT = 10.0
"""Seconds that a connection of ours may take to come about."""
PONG = 10.0
"""Seconds in which a peer that answers keep-alives must answer one (RFC 5626 4.4.1)."""


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
    """One stream connection, from a peer or of ours.

    It begins as a TCP connection that counts against the limits; over TLS the handshake follows. Then it is
    *open*: PJSIP knows of it, and messages pass.
    """

    def __init__(self, listener: StreamListener, transport: Transport | None = None) -> None:
        self._listener = listener
        self._endpoint = listener.endpoint
        self._intake = listener.endpoint.intake
        self._framer = Framer()
        self._socket: asyncio.Transport
        self._host, self._port = "", 0
        self._transport = transport
        """PJSIP's side of it; for a peer's connection it is made when that is open."""
        self._ours = transport is not None
        self._channel: Channel | None = None
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._open = self._spoken = self._admitted = self._leaving = False
        self._watch: asyncio.TimerHandle | None = None
        self._pinger: asyncio.TimerHandle | None = None
        self._answers_pings = False
        self.identities: tuple[str, ...] = ()
        """Whose the peer's certificate is; see `Channel.identities`."""

    # -- coming about ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast(asyncio.Transport, transport)
        self._host, self._port = self._socket.get_extra_info("peername")[:2]
        if not self._ours:
            gate = self._intake.gate
            if not self._listener.admits(self._host) or (gate is not None and gate.shuts_out(self._host)):
                self._intake.count("connections_refused")
                self._socket.abort()
                return
            self._admitted = True
        elif self._transport is None or not self._transport.alive:
            self._socket.abort()
            return
        self._listener.joined(self)
        if self._listener.certificates is None:
            self._opened()
            return
        self._watch = self._loop.call_later(HANDSHAKE, self._too_slow)
        if self._transport is not None:
            context = self._listener.certificates.client
            self._channel = Channel(context, server_side=False, name=self._transport.name or None)
            self._channel.begin()
            self._flush()
        else:
            self._channel = Channel(self._listener.certificates.server, server_side=True)

    def _opened(self) -> None:
        """The connection can carry messages."""
        self._open = True
        if self._watch is not None:
            self._watch.cancel()
        self._heard = self._loop.time()
        if self._channel is not None:
            self.identities = self._channel.identities
        if self._transport is None:
            self._transport = self._listener.home.accept(self._host, self._port, self.send, self._released)
        elif self._transport.alive:
            self._transport.established(self.send, self._released)
            self._endpoint.soon()
        else:
            self._socket.abort()
            return
        self._watch = self._loop.call_later(FIRST_MESSAGE, self._check)
        if self._ours and self._endpoint.keep_alive is not None:
            self._pinger = self._loop.call_later(self._endpoint.keep_alive, self._ping)

    def _too_slow(self) -> None:
        self._refuse_tls("the handshake took too long")

    def _refuse_tls(self, why: str) -> None:
        """No handshake, or the end of one that had succeeded (in TLS 1.3, a client's certificate)."""
        self._intake.count("tls_failed")
        if self._ours and not self._open:
            log.warning("no TLS with %s (%s): %s", self._named(), self._host, why)
        else:
            log.debug("no TLS with %s: %s", self._host, why)
        self._flush()
        self._socket.close()
        self._loop.call_later(LINGER, self._socket.abort)

    def _named(self) -> str:
        return self._transport.name if self._transport is not None else self._host

    # -- out ------------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Queue bytes for the peer."""
        if self._socket.is_closing():
            raise ConnectionError("the connection is closing")
        self._write(data)

    def _write(self, data: bytes) -> None:
        if self._channel is None:
            self._socket.write(data)
        else:
            try:
                self._channel.send(data)
            except TlsError as error:
                raise ConnectionError(str(error)) from error
            self._flush()
        if self._socket.get_write_buffer_size() > BACKLOG:
            self._intake.count("connections_stalled")
            self._socket.abort()

    def _flush(self) -> None:
        """Send what TLS has ready."""
        if self._channel is not None and (ready := self._channel.to_send()) and not self._socket.is_closing():
            self._socket.write(ready)

    def _answer(self, data: bytes) -> None:
        if not self._socket.is_closing():
            self._write(data)

    def close(self) -> None:
        """Close once what is queued has been sent."""
        if self._channel is not None and not self._socket.is_closing():
            self._channel.close()
            self._flush()
        self._socket.close()

    def abort(self) -> None:
        """Close at once."""
        self._socket.abort()

    # -- in -------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._channel is None:
            self._take(data)
            return
        try:
            plain = self._channel.receive(data)
        except TlsError as error:
            self._refuse_tls(str(error))
            return
        self._flush()
        if self._channel.established and not self._open and not self._socket.is_closing():
            self._opened()
        if plain:
            self._take(plain)
        if self._channel.ended:
            self.eof_received()
            self.close()

    def _take(self, data: bytes) -> None:
        """Plain octets."""
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
                case Pong():
                    self._answers_pings = True
                case Broken():
                    self._intake.malformed(piece.kind)
                    response = refusal(piece.head, piece.status, self._host, self._port)
                    if response is not None:
                        self._answer(response)
                    self._give_up()
                    return
            if self._socket.is_closing():
                return

    # -- coming to its end ----------------------------------------------------------------------------------

    def _released(self) -> None:
        """PJSIP has no more use for it."""
        if not self._leaving:
            self.close()

    def _give_up(self) -> None:
        """Say no more and hear no more, but let the answer arrive: unread octets would make it a reset."""
        self._leaving = True
        transport, self._transport = self._transport, None
        if self._channel is not None:
            self._channel.close()
            self._flush()
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
        for timer in (self._watch, self._pinger):
            if timer is not None:
                timer.cancel()
        self._listener.left(self, self._host if self._admitted else None)
        if self._transport is not None:
            if self._ours and not self._open and self._transport.alive:
                self._intake.count("connections_failed")
            self._transport.lost()
            self._transport = None
            self._endpoint.soon()

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

    def _ping(self) -> None:
        """Keeps a connection of ours that carries calls alive in firewalls, and finds out that it is dead."""
        interval = self._endpoint.keep_alive or 0.0
        if self._transport is not None and self._transport.in_use and not self._socket.is_closing():
            self._framer.pinged()
            self._answer(PING)
            if self._answers_pings:
                self._pinger = self._loop.call_later(min(PONG, interval), self._expect, self._heard, interval)
                return
        self._pinger = self._loop.call_later(interval, self._ping)

    def _expect(self, heard: float, interval: float) -> None:
        """The answer to a ping, or anything else, has come in time, or the connection is dead."""
        if self._heard == heard:
            self._intake.count("connections_dead")
            self._socket.abort()
        else:
            self._pinger = self._loop.call_later(max(interval - PONG, 0.0), self._ping)
