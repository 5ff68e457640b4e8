"""The connector: settings, the handshake's headers, and one stream from `connected` to `stop`."""

from __future__ import annotations

import ssl
from collections import deque
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
from forkproxy_websocket.delivery import Delivery
from forkproxy_websocket.dial import dial
from forkproxy_websocket.headers import check_headers
from forkproxy_websocket.messages import Messages
from forkproxy_websocket.resolver import Resolver
from forkproxy_websocket.session import Report, Session
from forkproxy_websocket.signature import sign
from forkproxy_websocket.target import parse_target, without_secrets

MAX_AUDIO_MESSAGE = 8 * 1024 * 1024
"""Octets of a message on a bidirectional stream: ten minutes in one piece."""
HISTORY = 30.0
"""Seconds of sent audio that a new connection may get again, unless `buffer` says otherwise."""


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
    buffer: Annotated[float, Field(gt=0, le=600)] | None = None
    """Seconds of audio kept for a consumer that is slow or away; null: as ``streams.buffer`` says."""
    reconnect: Annotated[float, Field(ge=0, le=600)] = 0.0
    """Seconds without a connection after which a stream ends; 0: with its first connection, as Twilio's."""
    gaps: bool = False
    """Tell audio that was dropped by an event of our own, ``gap``."""


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
        self.buffer_seconds = settings.buffer
        if settings.reconnect:
            self.connect_timeout = settings.reconnect + settings.open_timeout
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

        async def connect(session: Session, before: int) -> Connection:
            return await self._connect(stream, session, delivery, before)

        def session() -> Session:
            ids = {"call_sid": stream.call.sid, "stream_sid": stream.sid}
            messages = Messages(account_sid=stream.call.account_sid, **ids)
            return Session(stream, messages, messages.gap if self.settings.gaps else None, reports)

        reports: deque[Report] = deque()
        delivery = Delivery(
            stream, session, connect, patience=self.settings.reconnect, ring=self.settings.buffer or HISTORY
        )
        stream.measure(delivery.backlog)
        await delivery.carry()

    async def close(self) -> None:
        self._resolver.close()

    async def _connect(self, stream: Stream, session: Session, delivery: Delivery, before: int) -> Connection:
        url = stream.url or self.settings.url
        if url is None:
            raise StreamUrlError("the stream has no URL")
        target = parse_target(url, allow_ws=self.host.allow_ws)
        stream.log.debug("connecting", extra={"url": without_secrets(url)})
        headers = self._headers(url)
        if before:
            headers["X-Forkproxy-Reconnect"] = str(before)

        def make() -> Connection:
            return Connection(
                target,
                headers,
                on_lost=stream.fail if self.settings.reconnect <= 0 else _noticed_when_sending,
                on_message=session.hear,
                on_pong=delivery.read_up_to,
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


def _noticed_when_sending(_error: StreamError) -> None:
    """A connection that is made again when it is lost: the next frames, 20 ms later, find out."""
