"""Whether connections can be native ones, and their TLS, which is to be the same as Python's."""

from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forkproxy_websocket._native import Tls

log = logging.getLogger("forkproxy.websocket")

try:
    from forkproxy_websocket import _native
except ImportError as error:  # built without a compiler, or for another Python
    _why: str | None = str(error)
else:
    _why = _native.NO_TLS

_told = False


def available() -> bool:
    """Whether there is native code and an OpenSSL for it; if not, the log says why, once."""
    global _told
    if _why is not None and not _told:
        _told = True
        log.warning("streams are sent by Python, which takes several times the CPU: %s", _why)
    return _why is None


def tls_of(
    context: ssl.SSLContext,
    certificate: Path | None = None,
    key: Path | None = None,
    password: str | None = None,
) -> Tls:
    """The native twin of a client's `context`: the same authorities, ciphers and security level.

    Args:
        certificate, key, password: what ``context.load_cert_chain`` got, and does not give back.

    Raises:
        OSError: a file cannot be used.
    """
    system = ssl.get_default_verify_paths()
    names = ":".join(
        cipher["name"] for cipher in context.get_ciphers() if "TLSv1.3" not in cipher["protocol"]
    )
    return _native.Tls(
        f"@SECLEVEL={context.security_level}:{names}".encode(),
        context.get_ca_certs(binary_form=True),
        _octets(system.cafile),
        _octets(system.capath),
        _octets(certificate),
        _octets(key),
        (password or "").encode(),
    )


def _octets(path: Path | str | None) -> bytes | None:
    return None if path is None else os.fsencode(path)
