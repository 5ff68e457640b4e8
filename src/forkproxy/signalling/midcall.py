"""Requests within a call that neither begin, change nor end it: INFO, MESSAGE, REFER, NOTIFY."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forkproxy.signalling import uris
from forkproxy.signalling.requests import headers_of

if TYPE_CHECKING:
    from forkproxy.signalling._sessions import Request

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Content:
    """What a message says beside what the stack needs of it."""

    headers: tuple[tuple[str, str], ...]
    """All of them, in order, unfolded; octets that are not UTF-8 as U+FFFD."""
    body: bytes

    def get(self, *names: str) -> str:
        """The first header of one of these names, in lower case; "" where there is none."""
        return next((value for name, value in self.headers if name.lower() in names), "")

    @property
    def content_type(self) -> str:
        """The media type of the body, with its parameters."""
        return self.get("content-type", "c")


def content(message: bytes) -> Content:
    """Take a message apart that the stack has accepted."""
    headers, rest = headers_of(message), message.lstrip(b"\r\n").partition(b"\r\n\r\n")[2]
    length = Content(headers, b"").get("content-length", "l")
    whole = len(length) > 5 or not (length.isascii() and length.isdigit())
    return Content(headers, rest if whole else rest[: int(length)])


class PeerRequest:
    """A request of the peer's; `respond` is due."""

    def __init__(self, request: Request) -> None:
        self.method = request.method
        self.content = content(request.message)
        self._request = request

    def respond(
        self,
        status: int,
        reason: str = "",
        *,
        headers: Headers = (),
        content_type: str = "",
        body: bytes = b"",
    ) -> None:
        """Answer it, once; later calls do nothing, nor do those after the end of the call.

        Raises:
            SignallingError: a header cannot be sent.
        """
        self._request.respond(status, uris.reason_phrase(reason), uris.headers(headers), content_type, body)

    def __repr__(self) -> str:
        return f"<{self.method}>"


@dataclass(frozen=True, slots=True)
class PeerResponse:
    """What became of a request of ours."""

    status: int
    """The final status; 408 and 503 also when there was no response."""
    reason: str
    content: Content


def media_type(value: str) -> str:
    """A Content-Type that can be sent on; "" if it cannot.

    >>> media_type("application/dtmf-relay"), media_type("nonsense")
    ('application/dtmf-relay', '')
    """
    return value if re.fullmatch(r"[\w.+-]{1,64}/[\w.+-]{1,64}[^\x00-\x1f\x7f]{0,256}", value) else ""
