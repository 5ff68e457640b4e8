"""Headers that an operator adds to the upgrade request."""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.6.2
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")  # section 5.5, without obs-text

OURS = {
    "connection",
    "content-length",
    "host",
    "origin",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-forkproxy-reconnect",
    "x-forkproxy-signature",
    "x-twilio-signature",
}
"""Headers that are the handshake's own, and ``Origin``, by which servers tell browsers from others."""


def check_headers(headers: dict[str, str]) -> dict[str, str]:
    """`headers`, if they can be sent.

    Raises:
        ValueError: a name or value is not allowed, and which.
    """
    seen: set[str] = set()
    for name, value in headers.items():
        lower = name.lower()
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a header's name")
        if lower in OURS or lower.startswith("sec-websocket-"):
            raise ValueError(f"{name} is set by forkproxy and cannot be changed")
        if lower in seen:
            raise ValueError(f"{name} is there twice")
        if not _VALUE.fullmatch(value):  # the value may be a secret: it is not shown
            raise ValueError(
                f"the value of {name} is empty, not ASCII, or has control characters or outer spaces"
            )
        seen.add(lower)
    return headers
