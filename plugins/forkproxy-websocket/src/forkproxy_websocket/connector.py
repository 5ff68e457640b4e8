"""The connector: settings, the handshake's headers, and one stream from `connected` to `stop`."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from forkproxy.connectors.api import (
    ConfigPath,
    Connector,
    Host,
    Settings,
    Stream,
    StreamError,
    StreamUrlError,
    describe,
)
from forkproxy_websocket.connection import PING_EVERY, Connection
from forkproxy_websocket.dial import dial
from forkproxy_websocket.headers import check_headers
from forkproxy_websocket.messages import Messages
from forkproxy_websocket.resolver import Resolver
from forkproxy_websocket.session import OVERFLOW, Session
from forkproxy_websocket.signature import sign
from forkproxy_websocket.target import parse_target, without_secrets

FAREWELL = 1.0
"""Seconds that a consumer gets to end a connection that has failed; nobody waits for its audio any more."""
NORMAL = (1000, 1005)
"""Codes (1005: none) with which a consumer ends a bidirectional stream, which is how one is meant to end."""
MAX_AUDIO_MESSAGE = 8 * 1024 * 1024
"""Octets of a message on a bidirectional stream: ten minutes in one piece."""


def trust(tls: ssl.SSLContext, file: Path) -> None:
    """Let `tls` accept what the certificates in `file` (PEM) have signed.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no certificates.
    """
    with open(file, "rb"):  # OpenSSL does not say which file it cannot read
        pass
    try:
        tls.load_verify_locations(file)
    except ssl.SSLError as error:
        raise ValueError(f"{file} holds no certificates in PEM's form: {describe(error)}") from error


def _check_url(url: str) -> str:
    try:
        parse_target(url, allow_ws=True)  # whether ws is allowed is known later
    except StreamError as error:
        raise ValueError(str(error)) from error
    return url


def _check_certificates(file: Path) -> Path:
    try:
        trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), file)
    except OSError as error:
        raise ValueError(f"cannot be read: {describe(error)}") from error
    return file


class WebSocketSettings(Settings):
    """What an instance in the configuration may say."""

    url: Annotated[str, AfterValidator(_check_url)] | None = None
    """Where streams go whose flow names no URL."""
    ca_file: Annotated[ConfigPath, AfterValidator(_check_certificates)] | None = None
    """Certificates (PEM) to verify the consumer against, besides the system's and ``streams.ca_file``."""
    headers: Annotated[dict[str, str], AfterValidator(check_headers)] = Field(
        default_factory=dict, repr=False
    )
    """More headers for the upgrade request: ``Authorization``, say."""
    open_timeout: Annotated[float, Field(gt=0)] = 9.0
    """Seconds for name, TCP, TLS and upgrade together. forkproxy's own limit is 10."""
    ping_interval: Annotated[float, Field(ge=0)] = PING_EVERY
    """Seconds between pings; 0 sends none."""


class WebSocket(Connector[WebSocketSettings]):
    """Streams calls to a WebSocket server as Twilio Media Streams does."""

    def __init__(self, name: str, settings: WebSocketSettings, host: Host) -> None:
        """
        Raises:
            StreamUrlError, StreamSchemeError: `url` cannot be used.
            OSError, ValueError: a file of certificates cannot be read, or holds none.
        """
        super().__init__(name, settings, host)
        self.needs_url = settings.url is None
        if settings.url is not None:
            parse_target(settings.url, allow_ws=host.allow_ws)
        self._tls = ssl.create_default_context()
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2  # some builds of Python leave it to OpenSSL
        for file in (host.ca_file, settings.ca_file):
            if file is not None:
                trust(self._tls, file)
        self._resolver = Resolver()

    async def stream(self, stream: Stream) -> None:
        """Connect, then send a message for each frame until the stream ends."""
        session = Session(
            stream,
            Messages(account_sid=stream.call.account_sid, call_sid=stream.call.sid, stream_sid=stream.sid),
        )
        connection = await self._connect(stream, session)
        try:
            stream.created()
            session.open(connection)
            async for frames in stream:
                await session.send(frames)
            session.finish()
            await connection.close()
        except StreamError as error:
            await connection.close(FAREWELL)
            if not (stream.bidirectional and connection.close_code in NORMAL):
                raise
            stream.log.info("the consumer ended the stream", extra={"reason": str(error)})
        finally:
            await _leave(connection, stream)

    async def close(self) -> None:
        self._resolver.close()

    async def _connect(self, stream: Stream, session: Session) -> Connection:
        url = stream.url or self.settings.url
        if url is None:
            raise StreamUrlError("the stream has no URL")
        target = parse_target(url, allow_ws=self.host.allow_ws)
        stream.log.debug("connecting", extra={"url": without_secrets(url)})
        headers = self._headers(url)

        def make() -> Connection:
            return Connection(
                target,
                headers,
                on_lost=stream.fail,
                on_message=session.hear,
                collect=MAX_AUDIO_MESSAGE if stream.bidirectional else 0,
                ping_every=self.settings.ping_interval or None,
            )

        return await dial(
            target,
            make,
            resolver=self._resolver,
            tls=self._tls if target.secure else None,
            timeout=self.settings.open_timeout,
        )

    def _headers(self, url: str) -> dict[str, str]:
        return {
            "User-Agent": self.host.user_agent,
            **self.settings.headers,
            "X-Twilio-Signature": sign(self.host.account.auth_token, url),
        }


async def _leave(connection: Connection, stream: Stream) -> None:
    """Whatever happened: no socket stays, and audio that did not leave is told."""
    if connection.unsent:
        message = f"{connection.unsent} octets of messages could not be sent before the end"
        stream.warn(OVERFLOW, message)
        stream.log.warning(message)
    await connection.abort()
