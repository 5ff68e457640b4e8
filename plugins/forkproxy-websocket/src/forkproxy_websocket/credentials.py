"""How forkproxy shows a consumer who it is, besides Twilio's signature: passwords, tokens, certificates."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
from pathlib import Path

from forkproxy.connectors.api import describe


def basic(username: str, password: str) -> str:
    """The value of ``Authorization`` for a user and a password (RFC 7617, in UTF-8).

    >>> basic("Aladdin", "open sesame")
    'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=='
    """
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


def timestamped(secret: str, url: str, now: int) -> str:
    """The value of ``X-Forkproxy-Signature``: ``t=<seconds since 1970>,v1=<hex>``.

    The hexadecimal number is HMAC-SHA256 with `secret` over ``<t>.<url>``. Other than Twilio's signature,
    which is the same for ever, it lets a consumer refuse a request that somebody recorded and sends again.

    >>> timestamped("secret", "wss://example.com/media", 1_700_000_000)[:19]
    't=1700000000,v1=1e9'
    """
    digest = hmac.new(secret.encode(), f"{now}.{url}".encode(), hashlib.sha256).hexdigest()
    return f"t={now},v1={digest}"


def present(tls: ssl.SSLContext, certificate: Path, key: Path | None, password: str | None) -> None:
    """Let `tls` show a client certificate (PEM; with its chain, and with its key if `key` is None).

    Raises:
        OSError: a file cannot be read.
        ValueError: the files hold no certificate and key that belong together, or the password is wrong.
    """
    for file in (certificate, key):
        if file is not None:
            with open(file, "rb"):  # OpenSSL does not say which file it cannot read
                pass
    try:
        # A function, since OpenSSL would ask at the terminal for a password that is not there.
        tls.load_cert_chain(certificate, key, password=lambda: password or "")
    except ssl.SSLError as error:
        where = certificate if key is None else f"{certificate} and {key}"
        raise ValueError(
            f"{where}: not a certificate in PEM's form and its key, or the key's password is wrong: "
            f"{describe(error)}"
        ) from error
