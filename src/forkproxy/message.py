"""SIP messages as values, for those who speak SIP without minding how it travels."""

from __future__ import annotations

import re
from dataclasses import dataclass

COMPACT = {
    "c": "content-type",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "s": "subject",
    "t": "to",
    "v": "via",
}
"""The short names of headers (RFC 3261 7.3.3)."""

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SipBody:
    """The body of a message."""

    content_type: str
    """With its parameters: ``multipart/mixed;boundary=...``."""
    data: bytes


@dataclass(frozen=True, slots=True)
class SipMessage:
    """What requests and responses have in common."""

    headers: Headers
    """In order, unfolded; octets that are not UTF-8 as U+FFFD."""
    body: bytes

    def all(self, name: str) -> list[str]:
        """The values of every header of this name, whatever its case, and in its compact form."""
        wanted = name.lower()
        return [value for key, value in self.headers if COMPACT.get(key.lower(), key.lower()) == wanted]

    def header(self, name: str) -> str | None:
        """The first header of this name; None: there is none."""
        return next(iter(self.all(name)), None)

    @property
    def content_type(self) -> str:
        """What the body is, with parameters; "" when it does not say."""
        return self.header("Content-Type") or ""


@dataclass(frozen=True, slots=True)
class SipRequest(SipMessage):
    """A request that came."""

    method: str


@dataclass(frozen=True, slots=True)
class SipResponse(SipMessage):
    """The final response to a request of ours."""

    status: int
    """100 to 699. Where nobody answered: 408 (in time), 502 (no such host), 503 (no connection)."""
    reason: str
    answered: bool = True
    """False: no such message came, and the status says why."""

    @property
    def ok(self) -> bool:
        """Whether it is a 2xx."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class SipReply:
    """What is answered to a request."""

    status: int
    """200 to 699."""
    reason: str = ""
    """"": the usual one."""
    headers: Headers = ()
    body: SipBody | None = None


def take_apart(message: bytes) -> tuple[str, Headers, bytes]:
    """The start line, the headers and the body of a message as it was on the wire.

    >>> take_apart(b"SIP/2.0 200 OK\\r\\nl: 2\\r\\n\\r\\nhi")
    ('SIP/2.0 200 OK', (('l', '2'),), b'hi')
    """
    head, _, body = message.lstrip(b"\r\n").partition(b"\r\n\r\n")
    text = re.sub(r"\r\n[ \t]+", " ", head.decode("utf-8", "replace"))
    start, *lines = text.split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = tuple((name.strip(), value.strip()) for name, colon, value in pairs if colon)
    return start, headers, body
