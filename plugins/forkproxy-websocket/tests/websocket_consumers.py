"""Consumers to stream to: real `websockets` servers, and servers by hand for what those cannot do wrong."""

from __future__ import annotations

import asyncio
import datetime
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import trustme
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request
from websockets.server import ServerProtocol


class Certificates:
    """An authority that connectors trust by `ca_file`, and what it has signed."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca_file))
        past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        self.good = self._context(self.authority.issue_cert("localhost", "127.0.0.1"))
        self.wrong_name = self._context(self.authority.issue_cert("somebody-else.example"))
        self.expired = self._context(self.authority.issue_cert("localhost", not_after=past))
        self.strange = self._context(trustme.CA().issue_cert("localhost"))
        self.wants_one_too = self._context(self.authority.issue_cert("localhost"))
        self.wants_one_too.verify_mode = ssl.CERT_REQUIRED
        self.authority.configure_trust(self.wants_one_too)

    @staticmethod
    def _context(certificate: trustme.LeafCert) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        return context


class Consumer:
    """What a well-made server has heard."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.texts: list[str] = []
        self.close_codes: list[int | None] = []
        self.port = 0
        self.scheme = "wss"
        self.connections: list[ServerConnection] = []
        self._changed = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}/media"

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.texts]

    @property
    def headers(self) -> Headers:
        return self.requests[0].headers

    async def heard(self, count: int) -> None:
        """Wait for `count` messages."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.texts) >= count)

    async def listen(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.requests.append(connection.request)
        self.connections.append(connection)
        with suppress(ConnectionClosed):
            async for message in connection:
                assert isinstance(message, str)
                self.texts.append(message)
                async with self._changed:
                    self._changed.notify_all()
        self.close_codes.append(connection.close_code)


Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def consumer(
    tls: ssl.SSLContext | None, handler: Handler | None = None, **options: Any
) -> AsyncIterator[Consumer]:
    """A server of the `websockets` library, with its usual behaviour unless `handler` says otherwise."""
    heard = Consumer()
    heard.scheme = "wss" if tls else "ws"
    server: Server
    async with serve(handler or heard.listen, "127.0.0.1", 0, ssl=tls, **options) as server:
        heard.port = next(iter(server.sockets)).getsockname()[1]
        yield heard


class Peer:
    """One TCP (or TLS) connection of a server by hand; WebSocket when `accept` has been called."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.core = ServerProtocol()

    async def request(self) -> Request:
        """The upgrade request."""
        while True:
            data = await self.reader.read(65536)
            if not data:
                raise EOFError
            self.core.receive_data(data)
            for event in self.core.events_received():
                if isinstance(event, Request):
                    return event

    async def accept(self) -> None:
        """The handshake, up to our 101."""
        self.core.send_response(self.core.accept(await self.request()))
        await self.flush()

    async def send(self, data: bytes) -> None:
        """Octets as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def flush(self) -> None:
        await self.send(b"".join(self.core.data_to_send()))

    async def wait_for_end(self) -> bytes:
        """Read until the other side is gone; the last octets."""
        tail = b""
        with suppress(ConnectionError, ssl.SSLError):
            while data := await self.reader.read(65536):
                tail = (tail + data)[-200:]
        return tail

    def reset(self) -> None:
        """RST instead of FIN."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.writer.transport.abort()


class ByHand:
    """A server whose behaviour is a coroutine."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"wss://localhost:{port}/media"
        self.peers: list[Peer] = []
        self.connected = asyncio.Event()


@asynccontextmanager
async def by_hand(
    tls: ssl.SSLContext | None,
    behave: Callable[[Peer], Awaitable[None]],
    *,
    receive_buffer: int | None = None,
) -> AsyncIterator[ByHand]:
    """A server that does `behave` with each connection, and cuts what is left at the end."""
    sock = socket.create_server(("127.0.0.1", 0))
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    made = ByHand(sock.getsockname()[1])
    running: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        peer = Peer(reader, writer)
        made.peers.append(peer)
        made.connected.set()
        try:
            with suppress(ConnectionError, EOFError, asyncio.CancelledError):
                await behave(peer)
        finally:
            running.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(connected, sock=sock, ssl=tls, limit=4096)
    try:
        yield made
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        for peer in made.peers:
            peer.writer.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)
