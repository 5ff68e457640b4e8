"""Where an endpoint listens: `udp://host:port`, `tcp://host:port`, `tls://host:port`, opened and closed."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from forkproxy.errors import SignallingError
from forkproxy.signalling import _transports
from forkproxy.signalling.sockets import CONNECT, Connection, Datagrams

if TYPE_CHECKING:
    from forkproxy.signalling._transports import Agent, Listener, Transport
    from forkproxy.signalling.endpoint import SipEndpoint
    from forkproxy.signalling.gate import Gate
    from forkproxy.signalling.tls import Certificates

SCHEMES = ("udp", "tcp", "tls")
MAX_CONNECTIONS = 4096
"""Stream connections from peers on one listener."""
MAX_PER_HOST = 256
PER_STRANGER = 20
"""Of one host that is no trunk's, so that trunks always find room;"""
STRANGE_CONNECTIONS = MAX_CONNECTIONS // 8
"""and of all such hosts."""
FLUSH = 0.5
"""Seconds that close() lets connections deliver what is queued."""
RECEIVE_BUFFER = 4 * 1024 * 1024
"""Octets asked for in the kernel, so that a burst of calls is not lost before we get to it."""
_URL = re.compile(r"(?P<scheme>[a-z]+)://(?P<host>\[[^\]]+\]|[^:/\[\]]+):(?P<port>\d{1,5})/?")


@dataclass(frozen=True, slots=True)
class ListenUrl:
    """One entry of `listen`."""

    url: str
    scheme: str
    host: str
    port: int

    @property
    def v6(self) -> bool:
        return ":" in self.host

    @property
    def wildcard(self) -> bool:
        """Whether it listens on every address, so that ours depends on the peer."""
        return ipaddress.ip_address(self.host).is_unspecified


def parse_listen(url: str) -> ListenUrl:
    """Take a listen URL apart.

    Raises:
        SignallingError: it is none, or its scheme or host cannot be served; the message names it.
    """
    match = _URL.fullmatch(url)
    if match is None or int(match["port"]) > 65535:
        raise SignallingError(f"{url!r} is no listen address; write udp://127.0.0.1:5060 or tcp://[::]:5060")
    if match["scheme"] not in SCHEMES:
        raise SignallingError(f"{url!r}: {match['scheme']} is not supported; udp, tcp and tls are")
    host = match["host"].strip("[]")
    if host == "localhost":
        host = "127.0.0.1"
    try:
        ipaddress.ip_address(host)
    except ValueError:
        why = f"{url!r}: {host!r} is no IP address, and names are not looked up here"
        raise SignallingError(why) from None
    return ListenUrl(url, match["scheme"], host, int(match["port"]))


class DatagramListener:
    """An open UDP socket."""

    def __init__(self, url: ListenUrl, protocol: Datagrams, transport: Transport) -> None:
        self.url = url
        self._protocol = protocol
        self.home = transport

    @classmethod
    async def open(cls, endpoint: SipEndpoint, agent: Agent, url: ListenUrl) -> DatagramListener:
        """Bind.

        Raises:
            OSError: the address or port cannot be had.
        """
        loop = asyncio.get_running_loop()
        raw = socket.socket(socket.AF_INET6 if url.v6 else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            raw.setblocking(False)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            if url.v6:
                raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            raw.bind((url.host, url.port))
            _, protocol = await loop.create_datagram_endpoint(lambda: Datagrams(endpoint), sock=raw)
        except BaseException:
            raw.close()
            raise
        port = protocol.socket.get_extra_info("sockname")[1]
        bound = replace(url, port=port)
        home = _transports.datagrams(
            agent, url.v6, endpoint.own.host(url).encode(), endpoint.own.port(bound), protocol.socket.sendto
        )
        protocol.transport = home
        return cls(bound, protocol, home)

    async def close(self) -> None:
        """Close the socket; what PJSIP still holds of it goes with its last transaction."""
        self.home.shut()
        self._protocol.socket.close()


class StreamListener:
    """An open TCP server socket, with TLS or without, its connections, and those that we open ourselves."""

    def __init__(self, endpoint: SipEndpoint, url: ListenUrl) -> None:
        self.endpoint = endpoint
        self.url = url
        self.certificates: Certificates | None = endpoint.certificates if url.scheme == "tls" else None
        self.connections: set[Connection] = set()
        self.home: Listener
        self._hosts: Counter[str] = Counter()
        self._dialling: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._server: asyncio.Server

    @classmethod
    async def open(cls, endpoint: SipEndpoint, agent: Agent, url: ListenUrl) -> StreamListener:
        """Bind and listen.

        Raises:
            OSError: the address or port cannot be had.
        """
        listener = cls(endpoint, url)
        family = socket.AF_INET6 if url.v6 else socket.AF_INET
        listener._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(listener), url.host, url.port, family=family, backlog=1024, start_serving=False
        )
        port = listener._server.sockets[0].getsockname()[1]
        listener.url = replace(url, port=port)
        listener.home = _transports.Listener(
            agent,
            url.scheme == "tls",
            url.v6,
            endpoint.own.host(url).encode(),
            endpoint.own.port(listener.url),
            listener._connect,
        )
        await listener._server.start_serving()
        return listener

    def admits(self, host: str) -> bool:
        """Whether one more connection from `host` is taken; strangers leave room for the others."""
        gate = self.endpoint.intake.gate
        stranger = gate is not None and gate.is_stranger(host)
        if len(self.connections) >= MAX_CONNECTIONS or self._hosts[host] >= MAX_PER_HOST:
            return False
        if stranger and (self._hosts[host] >= PER_STRANGER or self._strange(gate) >= STRANGE_CONNECTIONS):
            return False
        self._hosts[host] += 1
        return True

    def _strange(self, gate: Gate | None) -> int:
        """Connections of strangers; counted when one more comes."""
        return sum(
            count for host, count in self._hosts.items() if gate is not None and gate.is_stranger(host)
        )

    def joined(self, connection: Connection) -> None:
        """A connection has come about."""
        self.connections.add(connection)
        self._empty.clear()

    def left(self, connection: Connection, host: str | None) -> None:
        """A connection has ended; `host` if it was one that admits() had let in."""
        self.connections.discard(connection)
        if host is not None:
            self._hosts[host] -= 1
            if self._hosts[host] <= 0:
                del self._hosts[host]
        if not self.connections:
            self._empty.set()

    async def close(self) -> None:
        """Close the server and every connection."""
        self._server.close()
        for task in self._dialling:
            task.cancel()
        for connection in tuple(self.connections):
            connection.close()
        if self.connections:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH):
                    await self._empty.wait()
        for connection in tuple(self.connections):
            connection.abort()
        await asyncio.sleep(0)
        self.home.shut()

    def _connect(self, transport: Transport) -> None:
        """PJSIP wants a connection to transport.host:transport.port."""
        task = asyncio.get_running_loop().create_task(self._dial(transport))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _dial(self, transport: Transport) -> None:
        local = None if self.url.wildcard else (self.url.host, 0)
        try:
            async with asyncio.timeout(CONNECT):
                await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self, transport), transport.host, transport.port, local_addr=local
                )
        except (OSError, TimeoutError):
            self.endpoint.intake.count("connections_failed")
            transport.lost()
            self.endpoint.soon()
        except asyncio.CancelledError:
            transport.lost()
            raise


AnyListener = DatagramListener | StreamListener
