"""The connector: settings, the handshake's headers, and one stream from `connected` to `stop`."""

from __future__ import annotations

import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from forkproxy.connectors.api import (
    AudioFormat,
    ConfigPath,
    Connector,
    Host,
    Settings,
    Stream,
    StreamError,
    StreamUrlError,
    describe,
)
from forkproxy_websocket import native
from forkproxy_websocket.connection import PING_EVERY, WRITE_BUFFER, Connection
from forkproxy_websocket.credentials import basic, present, timestamped
from forkproxy_websocket.delivery import Delivery
from forkproxy_websocket.dial import dial
from forkproxy_websocket.dialects import DIALECTS, DialectName, Subject
from forkproxy_websocket.headers import check_headers
from forkproxy_websocket.history import History, SharedHistory
from forkproxy_websocket.options import StreamOptions, stream_options
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
    username: str | None = None
    """With `password`: HTTP's Basic authentication (RFC 7617)."""
    password: Annotated[str | None, Field(repr=False)] = None
    token: Annotated[str | None, Field(repr=False)] = None
    """A Bearer token (RFC 6750), instead of a user."""
    client_cert: ConfigPath | None = None
    """A certificate (PEM, with its chain) that forkproxy shows to the consumer."""
    client_key: ConfigPath | None = None
    """Its key; null: it is in the same file."""
    client_key_password: Annotated[str | None, Field(repr=False)] = None
    """Of a key that is encrypted."""
    hmac_secret: Annotated[str | None, Field(repr=False, min_length=1)] = None
    """Signs requests with a time, too (``X-Forkproxy-Signature``), so that none can be used again."""
    dialect: DialectName = "twilio"
    """The language of its streams' messages."""
    format: AudioFormat | None = None
    """What the audio is made of; null: what the dialect has by default."""
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
    sender: Literal["native", "python"] = "native"
    """``native``: media is sent by compiled code, in threads of its own; ``python``: by the event loop, for a
    comparison, or should the other ever fail. Consumers cannot tell the difference."""

    @model_validator(mode="after")
    def _one_way_to_show_who_we_are(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if self.username is not None and ":" in self.username:
            raise ValueError("a username with a colon cannot be sent (RFC 7617, section 2)")
        ways = [
            name
            for name, there in (
                ("username", self.username is not None),
                ("token", self.token is not None),
                ("headers", any(name.lower() == "authorization" for name in self.headers)),
            )
            if there
        ]
        if len(ways) > 1:
            raise ValueError(f"only one of them can fill the header Authorization: {', '.join(ways)}")
        if self.token is not None:
            check_headers({"Authorization": f"Bearer {self.token}"})
        return self

    @model_validator(mode="after")
    def _a_format_of_the_dialect(self) -> Self:
        formats = DIALECTS[self.dialect].formats
        if self.format is not None and self.format not in formats:
            names = ", ".join(formats)
            raise ValueError(f"format: the dialect {self.dialect} has {names}, not {self.format}")
        return self

    @model_validator(mode="after")
    def _a_certificate_and_its_key(self) -> Self:
        if self.client_cert is None:
            if self.client_key is not None or self.client_key_password is not None:
                raise ValueError("client_key and client_key_password need client_cert")
            return self
        try:
            present(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), *self.client_certificate())
        except OSError as error:
            raise ValueError(f"client_cert, client_key: cannot be read: {describe(error)}") from error
        return self

    def client_certificate(self) -> tuple[Path, Path | None, str | None]:
        """What is shown of us: certificate, key, and the key's password; `client_cert` is not None."""
        assert self.client_cert is not None
        return self.client_cert, self.client_key, self.client_key_password

    def authorization(self) -> dict[str, str]:
        """The header for `username` or `token`, if there is one."""
        if self.username is not None and self.password is not None:
            return {"Authorization": basic(self.username, self.password)}
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


class WebSocket(Connector[WebSocketSettings]):
    """Streams calls to a WebSocket server as Twilio Media Streams does, or one of its relatives."""

    def __init__(self, name: str, settings: WebSocketSettings, host: Host) -> None:
        """
        Raises:
            StreamUrlError, StreamSchemeError: `url` cannot be used.
            OSError, ValueError: a file of certificates or keys cannot be read, or holds none.
        """
        super().__init__(name, settings, host)
        self._dialect = DIALECTS[settings.dialect]
        self.audio_format = settings.format or self._dialect.formats[0]
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
        if settings.client_cert is not None:
            present(self._tls, *settings.client_certificate())
        self._native = settings.sender == "native" and native.available()
        shown = () if settings.client_cert is None else settings.client_certificate()
        self._native_tls = native.tls_of(self._tls, *shown) if self._native else None
        self._resolver = Resolver()

    async def stream(self, stream: Stream) -> None:
        """Connect, then send a message for each frame until the stream ends."""
        options = stream_options(
            stream.parameters, reconnect=self.settings.reconnect, gaps=self.settings.gaps
        )

        async def connect(session: Session, before: int) -> Connection:
            return await self._connect(stream, options, session, delivery, before)

        def session() -> Session:
            dialect = self._dialect.make(Subject(stream.call, stream.sid, stream.format))
            gap = dialect.gap if options.gaps else None
            return Session(stream, dialect, history, gap, reports, parameters=options.parameters)

        reports: deque[Report] = deque()
        kept = self.settings.buffer or HISTORY if options.reconnect > 0 else 0.0
        history = SharedHistory(kept) if self._native else History(kept)
        delivery = Delivery(stream, session, connect, patience=options.reconnect, history=history)
        stream.measure(delivery.backlog)
        await delivery.carry()

    async def close(self) -> None:
        self._resolver.close()

    async def _connect(
        self, stream: Stream, options: StreamOptions, session: Session, delivery: Delivery, before: int
    ) -> Connection:
        url = stream.url or self.settings.url
        if url is None:
            raise StreamUrlError("the stream has no URL")
        target = parse_target(url, allow_ws=self.host.allow_ws)
        stream.log.debug("connecting", extra={"url": without_secrets(url)})
        headers = self._headers(url, options)
        if before:
            headers["X-Forkproxy-Reconnect"] = str(before)

        def make() -> Connection:
            return Connection(
                target,
                headers,
                on_lost=stream.fail if options.reconnect <= 0 else _noticed_when_sending,
                on_message=session.hear,
                on_pong=delivery.read_up_to,
                collect=MAX_AUDIO_MESSAGE if stream.bidirectional else 0,
                ping_every=self.settings.ping_interval or None,
                subprotocols=self._dialect.subprotocols,
            )

        return await dial(
            target,
            make,
            resolver=self._resolver,
            tls=self._tls if target.secure else None,
            timeout=self.settings.open_timeout,
            attach=partial(self._attach, target.secure) if self._native else None,
        )

    async def _attach(
        self, secure: bool, sock: socket.socket, make: Callable[[], Connection], host: str
    ) -> Connection:
        from forkproxy_websocket.transport import attach

        tls = self._native_tls if secure else None
        return await attach(sock, make, tls, host, limit=WRITE_BUFFER)  # type: ignore[no-any-return]

    def _headers(self, url: str, options: StreamOptions) -> dict[str, str]:
        """For the upgrade request. A stream's own headers come before the instance's."""
        own = {name.lower() for name in options.headers}
        shared = {**self.settings.headers, **self.settings.authorization()}
        headers = {
            "User-Agent": self.host.user_agent,
            **{name: value for name, value in shared.items() if name.lower() not in own},
            **options.headers,
            "X-Twilio-Signature": sign(self.host.account.auth_token, url),
        }
        if self.settings.hmac_secret is not None:
            headers["X-Forkproxy-Signature"] = timestamped(self.settings.hmac_secret, url, int(time.time()))
        return headers


def _noticed_when_sending(_error: StreamError) -> None:
    """A connection that is made again when it is lost: the next frames, 20 ms later, find out."""
