"""The socket of a performance: the handshake as forkproxy's, then what the player says, when it says so."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from forkproxy import __version__
from forkproxy.connectors.api import describe, failure_of
from forkproxy.consumer.fixture import FORKPROXY, SERVER, Fixture, Writer
from forkproxy.consumer.session import sign
from forkproxy.errors import StreamError, StreamHandshakeError, StreamUrlError
from forkproxy.replay.player import Player, Received, Result
from forkproxy.replay.script import CUT, Script

OPEN_TIMEOUT = 9.0
CLOSE_TIMEOUT = 4.0
SEND_TIMEOUT = 10.0
"""Seconds that a server may leave what it is sent unread."""
MAX_MESSAGE = 1024 * 1024
"""As forkproxy's: the largest message that a server may send."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How to connect."""

    auth_token: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    """What the handshake is signed with."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """More of them."""
    ca_file: Path | None = None
    """Certificates (PEM) to trust besides the system's."""
    speed: float = 1.0
    """How much faster than real time; timestamps stay."""


class _Connect(connect):
    """Redirects are not followed, as forkproxy does not."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def play(
    fixture: Fixture,
    url: str,
    *,
    script: Script | None = None,
    connection: Connection | None = None,
    on_received: Callable[[Received], None] = lambda received: None,
    transcript: Writer | None = None,
) -> Result:
    """Play `fixture` to the server at `url`.

    Never raises for what the server does: findings say it.

    Raises:
        OSError, ssl.SSLError: `ca_file` cannot be used.
    """
    connection = connection or Connection()
    player = Player(fixture, script or Script())
    tls = _tls(url, connection.ca_file)
    try:
        socket = await _dial(url, connection, tls)
    except (InvalidURI, InvalidHandshake, OSError, ValueError) as error:
        failure = _why(error, url)
        player.failed(failure.twilio_code or 31900, str(failure))
        return player.result(url, 0.0)
    stage = _Stage(player, socket, connection.speed, on_received, transcript)
    try:
        await stage.perform()
    finally:
        socket.transport.abort()
        await socket.wait_closed()
    return player.result(url, stage.now())


def _tls(url: str, ca_file: Path | None) -> ssl.SSLContext | None:
    if not url.lower().startswith("wss:"):
        return None
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


async def _dial(url: str, connection: Connection, tls: ssl.SSLContext | None) -> ClientConnection:
    return await _Connect(
        url,
        additional_headers={"X-Twilio-Signature": sign(connection.auth_token, url), **connection.headers},
        user_agent_header=f"forkproxy/{__version__}",
        ssl=tls,
        compression=None,
        proxy=None,
        open_timeout=OPEN_TIMEOUT,
        close_timeout=CLOSE_TIMEOUT,
        ping_interval=20,
        ping_timeout=None,
        max_size=MAX_MESSAGE,
    )


def _why(error: Exception, url: str) -> StreamError:
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        return StreamHandshakeError(f"the server answered {status} to the upgrade request, not 101")
    if isinstance(error, InvalidHandshake):
        return StreamHandshakeError(f"the answer to the upgrade request is not usable: {error}")
    if isinstance(error, OSError):
        return failure_of(error, f"connecting to {url}")
    return StreamUrlError(f"the URL {url!r} cannot be used: {describe(error)}")


class _Stage:
    """A performance on an open connection."""

    def __init__(
        self,
        player: Player,
        socket: ClientConnection,
        speed: float,
        on_received: Callable[[Received], None],
        transcript: Writer | None,
    ) -> None:
        self._player = player
        self._socket = socket
        self._speed = speed
        self._on_received = on_received
        self._transcript = transcript
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._inbox: deque[tuple[float, str | bytes]] = deque()
        self._news = asyncio.Event()

    def now(self) -> float:
        """Milliseconds of the stream."""
        return (self._loop.time() - self._began) * 1000 * self._speed

    async def perform(self) -> None:
        reader = asyncio.create_task(self._read())
        try:
            while not self._player.finished:
                self._listen()
                await self._send()
                if self._player.finished:
                    break
                if reader.done():
                    self._gone()
                    break
                await self._wait()
            if self._player.close is not None and self._player.close != CUT:
                await self._socket.close(self._player.close)
                await reader
                self._listen()
            if self._transcript is not None and self._player.close is not None:
                self._transcript.close(self.now(), FORKPROXY, self._player.close)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async for content in self._socket:
                self._inbox.append((self.now(), content))
                self._news.set()
        except ConnectionClosed:
            pass
        finally:
            self._news.set()

    def _listen(self) -> None:
        while self._inbox:
            ms, content = self._inbox.popleft()
            if self._transcript is not None:
                self._transcript.message(ms, SERVER, content)
            self._on_received(self._player.received(content, ms))

    async def _send(self) -> None:
        now = self.now()
        try:
            async with asyncio.timeout(SEND_TIMEOUT):
                for content in self._player.due(now):
                    if self._transcript is not None:
                        self._transcript.message(now, FORKPROXY, content)
                    await self._socket.send(content)
        except TimeoutError:
            self._player.failed(31930, f"the server has read nothing for {SEND_TIMEOUT:g} seconds")
        except ConnectionClosed:
            self._listen()
            self._gone()

    def _gone(self) -> None:
        received = self._socket.protocol.close_rcvd
        sent = self._socket.protocol.close_sent
        if received is None and sent is not None and sent.code != 1000:  # the library found a mistake
            self._player.failed(31924, f"the server broke the WebSocket protocol: {sent.reason or sent.code}")
        else:
            code, reason = (received.code, received.reason) if received is not None else (None, "")
            self._player.closed_by_server(code, reason)
            if self._transcript is not None:
                self._transcript.close(self.now(), SERVER, code, reason)

    async def _wait(self) -> None:
        self._news.clear()
        due = self._player.next()
        if self._inbox or due is None:
            return
        try:
            async with asyncio.timeout(max(0.0, due - self.now()) / 1000 / self._speed):
                await self._news.wait()
        except TimeoutError:
            pass
