"""TLS for SIP: certificates from files, loaded anew when they change, and one connection's cipher layer.

`Certificates` makes the contexts. `Channel` is pure: octets from the network in, plain octets out and back.
It stands where asyncio's own TLS would, because that one begins with the handshake: here a connection can be
counted, bounded and refused before a stranger has made us do any cryptography.
"""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from forkproxy.errors import SignallingError

log = logging.getLogger(__name__)

ClientCertificates = Literal["off", "optional", "required"]


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """The configuration's `sip.tls`."""

    certificate: Path
    """Our certificate, and behind it those of the authorities that lead to a known one (PEM)."""
    key: Path | None = None
    """Its key, without a passphrase; None: in the same file."""
    hosts: Mapping[str, Path] = field(default_factory=dict)
    """Certificate and key in one file, for peers that ask for another name (SNI), by that name."""
    ca_file: Path | None = None
    """Authorities (PEM): those of servers beside the system's, and of clients instead of the system's."""
    verify: bool = True
    """Whether servers that we connect to must show a certificate for the name that was dialled."""
    client_certificates: ClientCertificates = "off"
    """Whether peers that connect to us are asked for a certificate, and must have one."""


class TlsError(SignallingError):
    """The handshake failed, or what came is no TLS; the message says why."""


class Certificates:
    """The contexts of an endpoint, made from files; old ones go on serving what was begun with them."""

    def __init__(self, settings: TlsSettings) -> None:
        """
        Raises:
            SignallingError: a file cannot be used; the message names it.
        """
        self._settings = settings
        self._seen = self._state()
        self._load()

    def _load(self) -> None:
        settings = self._settings
        server, client = _server(settings), _client(settings)
        hosts = {}
        for name, file in settings.hosts.items():
            hosts[name.lower()] = context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            _own(context, file, None)
        server.sni_callback = _chooser(hosts)
        self.server = server
        self.client = client

    def reload(self) -> None:
        """Read the files again; new connections show what they hold now.

        Raises:
            SignallingError: a file cannot be used; what was loaded before stays.
        """
        self._seen = self._state()
        self._load()

    def refresh(self) -> bool:
        """`reload()` if a file has changed since; a failure is logged once. Whether anything was loaded."""
        if self._state() == self._seen:
            return False
        try:
            self.reload()
        except SignallingError as error:
            log.error("the certificates have changed and cannot be used; the old ones stay: %s", error)
            return False
        log.info("the certificates have changed and are used from now on")
        return True

    def _state(self) -> list[tuple[int, ...] | None]:
        settings = self._settings
        return [
            _stamp(file)
            for file in (settings.certificate, settings.key, settings.ca_file, *settings.hosts.values())
        ]


def _stamp(file: Path | None) -> tuple[int, ...] | None:
    """What changes when a file is written or replaced; None: there is none."""
    try:
        found = os.stat(file) if file is not None else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if found is not None else None


def _chooser(hosts: Mapping[str, ssl.SSLContext]) -> Callable[[ssl.SSLObject, str | None, Any], None] | None:
    if not hosts:
        return None

    def choose(connection: ssl.SSLObject, name: str | None, _: Any) -> None:
        context = hosts.get((name or "").lower().rstrip("."))
        if context is not None:
            connection.context = context

    return choose


def _server(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A renegotiation costs us more than the peer that asks for it.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    _own(context, settings.certificate, settings.key)
    if settings.client_certificates != "off":
        required = settings.client_certificates == "required"
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        if settings.ca_file is None:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        else:
            _authorities(context, settings.ca_file)
    return context


def _client(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _own(context, settings.certificate, settings.key)
    if settings.verify:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if settings.ca_file is not None:
            _authorities(context, settings.ca_file)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _own(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    try:
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except ssl.SSLError as error:
        files = f"{certificate}" if key is None else f"{certificate} and {key}"
        raise SignallingError(f"{files}: no certificate and its key: {error.reason or error}") from None
    except (OSError, ValueError) as error:
        culprit = key if key is not None and certificate.is_file() else certificate
        raise SignallingError(f"{culprit} cannot be read: {_why(error)}") from None


def _no_passphrase() -> str:
    """OpenSSL would otherwise ask on the terminal."""
    raise ValueError("the key has a passphrase; store it without one, readable by forkproxy's user only")


def _authorities(context: ssl.SSLContext, file: Path) -> None:
    try:
        context.load_verify_locations(file)
    except ssl.SSLError:
        raise SignallingError(f"{file} holds no certificate in PEM's form") from None
    except OSError as error:
        raise SignallingError(f"{file} cannot be read: {_why(error)}") from None


def _why(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


class Channel:
    """One connection's TLS. After each call, `to_send()` has what must go out."""

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, name: str | None = None) -> None:
        """
        Args:
            context: of `Certificates`.
            server_side: the peer connected to us.
            name: the host name or address that the server's certificate must be for.
        """
        self._received = ssl.MemoryBIO()
        self._ready = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._received, self._ready, server_side=server_side, server_hostname=name
        )
        self.established = False
        """Whether the handshake is done: `send()` may be called."""
        self.ended = False
        """Whether the peer has said that nothing more follows."""

    def begin(self) -> None:
        """Start the handshake (as the client: there is a ClientHello to send)."""
        self.receive(b"")

    def receive(self, data: bytes) -> bytes:
        """Take what came from the network; the plain octets in it.

        Raises:
            TlsError: the connection cannot go on. `to_send()` may hold an alert that says so.
        """
        self._received.write(data)
        plain = []
        try:
            if not self.established:
                self._object.do_handshake()
                self.established = True
            while chunk := self._object.read(65536):
                plain.append(chunk)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLCertVerificationError as error:
            raise TlsError(f"the certificate is refused: {error.verify_message}") from None
        except (ssl.SSLError, ValueError) as error:
            raise TlsError(getattr(error, "reason", None) or str(error)) from None
        return b"".join(plain)

    def send(self, data: bytes) -> None:
        """Encrypt `data`.

        Raises:
            TlsError: the connection cannot go on.
        """
        try:
            self._object.write(data)
        except ssl.SSLError as error:
            raise TlsError(error.reason or str(error)) from None

    def close(self) -> None:
        """Say that nothing more follows."""
        if self.established:
            with contextlib.suppress(ssl.SSLError):  # the peer's own goodbye is not waited for
                self._object.unwrap()

    def to_send(self) -> bytes:
        """What must go to the network now."""
        return self._ready.read()

    @property
    def identities(self) -> tuple[str, ...]:
        """Whose the peer's certificate is, if one was checked: host names, addresses, SIP domains.

        From subjectAltName, or, in a certificate without one, the common name (RFC 5922 7.1).
        """
        found = self._object.getpeercert() or {}
        names = [str(value) for kind, value in _pairs(found.get("subjectAltName")) if kind in _KINDS]
        if not names:
            names = [
                str(value)
                for part in found.get("subject", ())
                for kind, value in _pairs(part)
                if kind == "commonName"
            ]
        return tuple(dict.fromkeys(_domain(name) for name in names))

    @property
    def version(self) -> str:
        """``TLSv1.3`` and so on; empty before the handshake is done."""
        return self._object.version() or ""


_KINDS = ("DNS", "URI", "IP Address")


def _pairs(entries: Any) -> tuple[tuple[str, str], ...]:
    return tuple(entries or ())


def _domain(name: str) -> str:
    """The domain of ``sip:example.com``; anything else as it is."""
    scheme, colon, rest = name.lower().partition(":")
    return rest if colon and scheme in ("sip", "sips") else name.lower()
