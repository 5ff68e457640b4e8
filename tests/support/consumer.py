"""The consumer's side of a stream: a wss server as somebody would write it for Twilio, and its checks."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
import time
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import Any

import trustme
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.support import audio
from tests.support.processes import free_ports, until


class Fault(Enum):
    """What a consumer can do wrong."""

    NONE = "behaves"
    MISSING = "nobody listens on the port"
    NOT_FOUND = "answers the handshake with 404"
    FORBIDDEN = "answers the handshake with 403"
    MUTE = "accepts the TCP connection and never says a word"
    HANGS = "completes TLS and never answers the handshake"
    WRONG_CERTIFICATE = "shows a certificate of an authority that nobody trusts"
    CLOSES = "closes the WebSocket in the middle, with a code"
    CUTS = "cuts the TCP connection in the middle"
    STOPS_READING = "stays connected and reads no more"
    TALKS_BACK = "sends a binary frame and text that is no message"


@dataclass
class Recording:
    """One WebSocket connection: everything that came, with the time of its arrival."""

    path: str
    headers: dict[str, str]
    """The handshake request's, names in lower case."""
    messages: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    closed: bool = False
    close_code: int | None = None

    def of(self, event: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["event"] == event]

    @property
    def start(self) -> dict[str, Any]:
        """The content of the start message."""
        return next(iter(self.of("start")), {}).get("start", {})  # type: ignore[no-any-return]

    @property
    def sid(self) -> str:
        return str(self.start.get("streamSid", ""))

    def media(self, track: str) -> list[dict[str, Any]]:
        return [message["media"] for message in self.of("media") if message["media"]["track"] == track]

    def payloads(self, track: str) -> list[bytes]:
        return [base64.b64decode(media["payload"], validate=True) for media in self.media(track)]

    def samples(self, track: str) -> array[int]:
        return audio.decode(b"".join(self.payloads(track)))

    def mistakes(self) -> list[str]:
        """Every way in which the messages differ from what Twilio's documentation promises."""
        return list(self._mistakes())

    def _mistakes(self) -> Iterator[str]:
        kinds = [message["event"] for message in self.messages]
        if kinds[:1] != ["connected"]:
            yield f"the first message is {kinds[:1]}"
            return
        if self.messages[0] != {"event": "connected", "protocol": "Call", "version": "1.0.0"}:
            yield f"connected is {self.messages[0]}"
        if kinds[1:2] != ["start"] or kinds.count("start") != 1:
            yield f"start stands at {[i for i, kind in enumerate(kinds) if kind == 'start']}"
        if kinds[-1] != "stop" or kinds.count("stop") != 1:
            yield f"stop stands at {[i for i, kind in enumerate(kinds) if kind == 'stop']} of {len(kinds)}"
        numbers = [message.get("sequenceNumber") for message in self.messages[1:]]
        if numbers != [str(i) for i in range(1, len(numbers) + 1)]:
            wrong = next(i for i, number in enumerate(numbers, 1) if number != str(i))
            yield f"sequenceNumber {numbers[wrong - 1]!r} stands where {wrong} should"
        if {message.get("streamSid") for message in self.messages[1:]} != {self.sid}:
            yield "a message has another streamSid than start"
        if set(kinds) - {"connected", "start", "media", "stop"}:
            yield f"messages of other kinds: {sorted(set(kinds))}"
        for track in self.start.get("tracks", []):
            yield from self._track_mistakes(track)
        if {m["media"]["track"] for m in self.of("media")} - set(self.start.get("tracks", [])):
            yield "media of a track that start does not name"

    def _track_mistakes(self, track: str) -> Iterator[str]:
        media = self.media(track)
        times = [int(message["timestamp"]) for message in media]
        if any(
            not isinstance(message[key], str)
            for message in media
            for key in ("chunk", "timestamp", "payload")
        ):
            yield f"{track}: a field of media is not a string"
        jumps = [(a, b) for a, b in pairwise(times) if b - a != 20]
        if jumps:
            yield f"{track}: timestamps jump {len(jumps)} times, first from {jumps[0][0]} to {jumps[0][1]}"
        sizes = {len(payload) for payload in self.payloads(track)}
        if sizes - {160}:
            yield f"{track}: payloads of {sorted(sizes)} octets"


def _certificate(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


class Consumer:
    """A wss server on loopback; an async context manager. Trust it by `ca_file`.

    `fault_after` is the number of messages after which the faults in the middle happen.
    """

    def __init__(
        self, folder: Path, fault: Fault = Fault.NONE, *, fault_after: int = 50, close_code: int = 1011
    ) -> None:
        self.fault = fault
        self.fault_after = fault_after
        self.close_code = close_code
        self.streams: list[Recording] = []
        self.attempts = 0
        """Connections that came as far as TCP, where we count them (`MUTE`), or the handshake."""
        self.port = 0
        authority = trustme.CA()
        stranger = trustme.CA()
        folder.mkdir(parents=True, exist_ok=True)
        self.ca_file = folder / "consumer-ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        self._context = _certificate(stranger if fault is Fault.WRONG_CERTIFICATE else authority)
        self._server: Server | None = None
        self._mute: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._over = asyncio.Event()

    @property
    def url(self) -> str:
        return f"wss://localhost:{self.port}/media"

    async def __aenter__(self) -> Consumer:
        if self.fault is Fault.MISSING:
            self.port = free_ports(1)[0]
        elif self.fault is Fault.MUTE:
            self._mute = await asyncio.start_server(self._stay_mute, "127.0.0.1", 0)
            self.port = self._mute.sockets[0].getsockname()[1]
        else:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.fault is Fault.STOPS_READING:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
            self._server = await serve(
                self._handle,
                sock=sock,
                ssl=self._context,
                process_request=self._process_request,
                compression=None,
                ping_interval=None,
                max_queue=1 if self.fault is Fault.STOPS_READING else 4096,
                close_timeout=1,
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        if self._mute is not None:
            for writer in self._writers:
                writer.transport.abort()
            self._mute.close()
            await self._mute.wait_closed()

    async def stream(self, index: int = 0, *, timeout: float = 10) -> Recording:
        """The stream number `index`, as soon as it is connected."""
        await until(
            lambda: len(self.streams) > index, timeout=timeout, what=f"stream {index} at the consumer"
        )
        return self.streams[index]

    async def ended(self, index: int = 0, *, timeout: float = 15) -> Recording:
        """The same, when its connection has been closed."""
        recording = await self.stream(index, timeout=timeout)
        await until(
            lambda: recording.closed, timeout=timeout, what=f"the end of stream {index} at the consumer"
        )
        return recording

    async def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        self.attempts += 1
        match self.fault:
            case Fault.NOT_FOUND:
                return connection.respond(HTTPStatus.NOT_FOUND, "no such stream\n")
            case Fault.FORBIDDEN:
                return connection.respond(HTTPStatus.FORBIDDEN, "not you\n")
            case Fault.HANGS:
                await self._over.wait()
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        headers = {name.lower(): value for name, value in connection.request.headers.raw_items()}
        recording = Recording(connection.request.path, headers)
        self.streams.append(recording)
        try:
            async for message in connection:
                recording.times.append(time.monotonic())
                recording.messages.append(json.loads(message))
                if len(recording.messages) == self.fault_after and self.fault is not Fault.NONE:
                    await self._fail(connection)
        except ConnectionClosed:
            pass
        finally:
            recording.closed = True
            recording.close_code = connection.close_code

    async def _fail(self, connection: ServerConnection) -> None:
        match self.fault:
            case Fault.CLOSES:
                await connection.close(self.close_code, "the consumer's own reason")
            case Fault.CUTS:
                connection.transport.abort()
            case Fault.STOPS_READING:
                await self._over.wait()
            case Fault.TALKS_BACK:
                await connection.send(b"\x00\x01\x02")
                await connection.send("this is not JSON")

    async def _stay_mute(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.attempts += 1
        self._writers.append(writer)
        with suppress(ConnectionError, asyncio.CancelledError):
            await self._over.wait()
