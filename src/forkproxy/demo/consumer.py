"""The consumer: a WebSocket server, such as one writes for Twilio, that writes down everything that comes."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from forkproxy.demo.certificate import HOST, Certificate
from forkproxy.demo.recording import ConsumerReport, Message

PATH = "/media"


class Consumer:
    """Serves ``wss://127.0.0.1:<any free port>/media`` while the ``async with`` block lasts."""

    def __init__(self, certificate: Certificate) -> None:
        self._certificate = certificate
        self._server: Server | None = None
        self._report = ConsumerReport(url="", connections=0)
        self._messages: list[Message] = []
        self.opened = asyncio.Event()
        """Set when the handshake of the first connection is done."""
        self.closed = asyncio.Event()
        """Set when the first connection has ended."""

    async def __aenter__(self) -> Consumer:
        self._server = await serve(self._serve, HOST, 0, ssl=self._certificate.server_context())
        port = next(iter(self._server.sockets)).getsockname()[1]
        self._note(url=f"wss://{HOST}:{port}{PATH}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None  # entered
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """What the flow's start widget is given."""
        return self._report.url

    def report(self) -> ConsumerReport:
        """What came so far."""
        return self._report.model_copy(update={"messages": tuple(self._messages)})

    def _note(self, **update: object) -> None:
        self._report = self._report.model_copy(update=update)

    async def _serve(self, connection: ServerConnection) -> None:
        self._note(connections=self._report.connections + 1)
        if self._report.connections > 1 or connection.request is None:
            return  # one is expected; the count tells of the others
        host, port = connection.remote_address[:2]
        headers = tuple(connection.request.headers.raw_items())
        path, peer = connection.request.path, f"{host}:{port}"
        self._note(path=path, headers=headers, peer=peer, opened_at=time.time())
        self.opened.set()
        try:
            async for message in connection:
                text = message if isinstance(message, str) else f"(binary: {message.hex()})"
                self._messages.append(Message(at=time.time(), text=text))
        except ConnectionClosed:
            pass  # without a closing handshake: close_code says 1006
        finally:
            code, reason = connection.close_code, connection.close_reason
            self._note(closed_at=time.time(), close_code=code, close_reason=reason or "")
            self.closed.set()
