"""Exceptions of sockets and TLS, as they really come, and the codes they mean."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl

import pytest

from forkproxy.connectors.failures import describe, failure_of
from forkproxy.errors import (
    StreamBroken,
    StreamConnectTimeout,
    StreamError,
    StreamHandshakeError,
    StreamRefused,
    StreamTlsError,
    StreamUnreachable,
)


def _refused() -> OSError:
    with socket.socket() as closed, socket.socket() as client:
        closed.bind(("127.0.0.1", 0))
        try:
            client.connect(closed.getsockname())
        except OSError as error:
            return error
    raise AssertionError("something listens on a port that is only bound")


def _no_such_host() -> OSError:
    try:
        socket.getaddrinfo("host.invalid", 443, flags=socket.AI_NUMERICHOST)
    except OSError as error:
        return error
    raise AssertionError("a name was taken for a number")


def _plain_text_for_tls() -> ssl.SSLError:
    incoming = ssl.MemoryBIO()
    incoming.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    client = ssl.create_default_context().wrap_bio(incoming, ssl.MemoryBIO(), server_hostname="localhost")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        raise AssertionError("OpenSSL took plain text for TLS") from None
    except ssl.SSLError as error:
        return error
    raise AssertionError("a handshake without a server")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (_refused(), StreamRefused, "connection refused"),
        (_no_such_host(), StreamUnreachable, "name or service not known"),
        (_plain_text_for_tls(), StreamTlsError, "wrong version number"),
        (ConnectionResetError(errno.ECONNRESET, "x"), StreamBroken, "connection reset by peer"),
        (BrokenPipeError(errno.EPIPE, "x"), StreamBroken, "broken pipe"),
        (EOFError("the end"), StreamBroken, "the end"),
        (asyncio.IncompleteReadError(b"", 3), StreamBroken, "0 bytes read"),
        (OSError(errno.ENETUNREACH, "x"), StreamUnreachable, "network is unreachable"),
        (OSError(errno.EHOSTUNREACH, "x"), StreamUnreachable, "no route to host"),
        (TimeoutError(), StreamConnectTimeout, "TimeoutError"),
        (TimeoutError(errno.ETIMEDOUT, "x"), StreamConnectTimeout, "connection timed out"),
        (PermissionError(errno.EACCES, "x", "/root/f"), StreamError, "/root/f: permission denied"),
        (ValueError("what?"), StreamError, "what?"),
        (KeyError(), StreamError, "KeyError"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or type(value).__name__,
)
def test_the_code_and_the_words(error: BaseException, kind: type[StreamError], words: str) -> None:
    failure = failure_of(error)
    assert type(failure) is kind
    assert words in str(failure)
    assert str(failure_of(error, "connecting to a:1")).startswith("connecting to a:1: ")


def test_a_certificate_that_is_refused_says_why() -> None:
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_message = "certificate has expired"
    assert type(failure_of(error)) is StreamTlsError
    assert describe(error) == "the certificate was refused: certificate has expired"


def test_a_time_out_of_a_standing_connection_is_a_broken_one() -> None:
    assert type(failure_of(TimeoutError(), connected=True)) is StreamBroken


def test_a_stream_error_stays_what_it_is() -> None:
    error = StreamHandshakeError("404")
    assert failure_of(error, "anything") is error
