"""The consumer's sockets: WebSocket servers, with TLS or without, and a `Session` for each connection."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from forkproxy.consumer.answers import MakeAnswer, Silence
from forkproxy.consumer.session import Handshake, Session, Settings, Summary
from forkproxy.errors import ForkproxyError

MAX_MESSAGE = 1024 * 1024
"""Octets; the largest that forkproxy sends has 512."""


class ConsumerError(ForkproxyError):
    """The consumer cannot run; the message says why."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen."""

    secure: bool
    host: str
    port: int
    """0: any free one."""

    @classmethod
    def parse(cls, text: str) -> Listen:
        """``wss://127.0.0.1:8765`` or ``ws://0.0.0.0:0``.

        Raises:
            ValueError: it is none, and why.
        """
        parts = urlsplit(text)
        if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError(f"{text!r} is not like wss://127.0.0.1:8765")
        return cls(parts.scheme == "wss", parts.hostname, 8765 if parts.port is None else parts.port)

    @property
    def names(self) -> list[str]:
        """What a certificate for it must name."""
        try:
            unspecified = ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            unspecified = False
        return ["127.0.0.1", "localhost"] if unspecified else [self.host]

    def url(self, port: int) -> str:
        """For a flow on this machine."""
        host = self.names[0]
        return f"{'wss' if self.secure else 'ws'}://{f'[{host}]' if ':' in host else host}:{port}/"


class Server:
    """Serves while the ``async with`` block lasts."""

    def __init__(
        self,
        listen: Sequence[Listen],
        *,
        settings: Settings | None = None,
        tls: ssl.SSLContext | None = None,
        make_answer: MakeAnswer = Silence,
        keep_audio: bool = False,
        on_opened: Callable[[Session], None] = lambda session: None,
        on_closed: Callable[[Summary], None] = lambda summary: None,
    ) -> None:
        """
        Args:
            tls: for the addresses that are `secure`.
            keep_audio: sessions keep each track's payloads in `Session.audio`.
            on_opened, on_closed: called for each connection.
        """
        self.urls: list[str] = []
        """Where it listens, once it does."""
        self.sessions: dict[int, Session] = {}
        """The connections that stand."""
        self.all: list[Session] = []
        self.ended: list[Summary] = []
        self._listen = listen
        self._settings = settings or Settings()
        self._tls = tls
        self._make_answer = make_answer
        self._keep_audio = keep_audio
        self._on_opened = on_opened
        self._on_closed = on_closed
        self._count = 0
        self._changed = asyncio.Event()
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Server:
        """
        Raises:
            ConsumerError: an address cannot be listened on.
        """
        try:
            for each in self._listen:
                server = await self._running.enter_async_context(
                    serve(
                        self._serve,
                        each.host,
                        each.port,
                        ssl=self._tls if each.secure else None,
                        compression=None,
                        max_size=MAX_MESSAGE,
                        max_queue=1024,  # a close frame behind these is read although nobody reads them
                        ping_interval=None,
                        close_timeout=1,
                    )
                )
                self.urls.append(each.url(next(iter(server.sockets)).getsockname()[1]))
        except OSError as error:
            await self._running.aclose()
            raise ConsumerError(
                f"cannot listen on {each.host}:{each.port}: {error.strerror or error}"
            ) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._running.aclose()

    async def wait_ended(self, count: int) -> None:
        """Until `count` connections have come and gone."""
        while len(self.ended) < count:
            self._changed.clear()
            await self._changed.wait()

    async def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None  # the handshake is done
        self._count += 1
        secure = connection.transport.get_extra_info("ssl_object") is not None
        handshake = Handshake(
            path=connection.request.path,
            headers=tuple(connection.request.headers.raw_items()),
            secure=secure,
            peer=str(connection.remote_address[0]) if connection.remote_address else "",
        )
        session = Session(self._count, handshake, self._settings, time.monotonic(), self._make_answer())
        if self._keep_audio:
            session.audio = {}
            self.all.append(session)
        self.sessions[session.number] = session
        self._on_opened(session)
        by_us = False
        try:
            async for content in connection:
                for text in session.received(content, time.monotonic()):
                    with suppress(ConnectionClosed):  # what came before the end is still to be read
                        await connection.send(text)
                if session.wants_to_hang_up:
                    by_us = True
                    await connection.close(1000, "all is said")
        except ConnectionClosed:
            pass  # close_code tells
        finally:
            del self.sessions[session.number]
            code, reason = connection.close_code, connection.close_reason or ""
            summary = session.closed(time.monotonic(), code, reason, by_us=by_us)
            self.ended.append(summary)
            self._on_closed(summary)
            self._changed.set()
