"""From Python's exceptions of sockets and TLS to the stream errors with Twilio's codes."""

from __future__ import annotations

import errno
import os
import socket
import ssl

from forkproxy.errors import (
    StreamBroken,
    StreamConnectTimeout,
    StreamError,
    StreamRefused,
    StreamTlsError,
    StreamUnreachable,
)

_UNREACHABLE = {
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.ENETDOWN,
    errno.EADDRNOTAVAIL,
}


def failure_of(error: BaseException, doing: str = "", *, connected: bool = False) -> StreamError:
    """The stream error that `error` means; a `StreamError` is returned as it is.

    Args:
        doing: what failed, for the message: ``connecting to consumer.example:443``.
        connected: the connection stood already, so that a timeout is a broken connection (31903) and not
            one that never came about (31901).
    """
    if isinstance(error, StreamError):
        return error
    return kind_of(error, connected=connected)(f"{doing}: {describe(error)}" if doing else describe(error))


def kind_of(error: BaseException, *, connected: bool = False) -> type[StreamError]:
    """The class of the stream error for `error`; `StreamError` itself (31900) when it is none we know."""
    match error:
        case ssl.SSLError():
            return StreamTlsError
        case ConnectionRefusedError():
            return StreamRefused
        case TimeoutError():
            return StreamBroken if connected else StreamConnectTimeout
        case socket.gaierror() | socket.herror():
            return StreamUnreachable
        case ConnectionError() | EOFError():
            return StreamBroken
        case OSError(errno=number) if number in _UNREACHABLE:
            return StreamUnreachable
    return StreamError


def describe(error: BaseException) -> str:
    """`error` in words: never empty, and without Python's ``[Errno 111]`` and ``(_ssl.c:1006)``."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"the certificate was refused: {error.verify_message}"
        case ssl.SSLError(reason=str(reason)):
            return reason.lower().replace("_", " ")
        case ssl.SSLError():
            return error.strerror or str(error) or "TLS failed"
        case socket.gaierror() | socket.herror() if error.strerror:
            words = error.strerror
        case OSError(errno=int(number)):
            words = os.strerror(number)
        case _:
            return str(error) or type(error).__name__
    words = words[:1].lower() + words[1:]
    return f"{error.filename}: {words}" if error.filename else words
