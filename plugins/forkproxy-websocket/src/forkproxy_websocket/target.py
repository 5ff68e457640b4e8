"""Where a stream goes: the flow's URL, checked.

Twilio streams to ``wss`` only (31922) and calls any other mistake in the URL 31923. Two things are ours:

- A query string is sent as it stands. Twilio drops it or refuses the URL, depending on which of its pages one
  reads; who writes ``?token=...`` wants it to arrive, and a server that ignores it loses nothing.
- A user and password in the URL are refused, since they would stand in every log; `headers` carries them.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from websockets.exceptions import InvalidURI
from websockets.uri import WebSocketURI, parse_uri

from forkproxy.connectors.api import StreamSchemeError, StreamUrlError

MAX_LENGTH = 4096
"""Longer request lines are refused by common servers."""

_USER = re.compile(r"//[^/]*@")
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")
_SPACE_OR_CONTROL = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]")


def parse_target(url: str, *, allow_ws: bool = False) -> WebSocketURI:
    """Check `url` and take it apart.

    Raises:
        StreamSchemeError: the scheme is not ``wss`` (nor ``ws`` with `allow_ws`).
        StreamUrlError: anything else about it is wrong.
    """
    if len(url) > MAX_LENGTH:
        raise StreamUrlError(f"the URL has {len(url)} characters; {MAX_LENGTH} are the most")
    shown = without_secrets(url)
    if _SPACE_OR_CONTROL.search(url):
        raise StreamUrlError(f"the URL {shown!r} contains white space or control characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise StreamUrlError(f"the URL {shown!r} is malformed: {error}") from error
    if not parts.scheme or not parts.netloc:
        raise StreamUrlError(
            f"the URL {shown!r} is not absolute; it must be like wss://consumer.example/media"
        )
    if parts.scheme != "wss" and not (parts.scheme == "ws" and allow_ws):
        hint = " (streams.allow_ws allows ws)" if parts.scheme == "ws" else ""
        raise StreamSchemeError(f"the URL's scheme is {parts.scheme}, not wss{hint}")
    if parts.username is not None or parts.password is not None:
        raise StreamUrlError(
            "the URL contains a user; put an Authorization header into the connector's headers"
        )
    if "#" in url:
        raise StreamUrlError(f"the URL {shown!r} has a fragment (#...), which cannot be sent")
    try:
        target = parse_uri(url)
    except InvalidURI as error:
        raise StreamUrlError(f"the URL {shown!r} is malformed: {error.msg}") from error
    except UnicodeError as error:
        raise StreamUrlError(f"the URL {shown!r} has a host name that cannot be encoded: {error}") from error
    if port == 0 or not _is_host(target.host):
        raise StreamUrlError(f"the URL {shown!r} has no usable host name or port")
    return target


def without_secrets(url: str) -> str:
    """`url` for messages and logs: query and user are left out, since that is where tokens stand."""
    base, question, _ = url.partition("?")
    return _USER.sub("//...@", base) + ("?..." if question else "")


def _is_host(host: str) -> bool:
    if ":" in host:
        try:
            return ipaddress.IPv6Address(host).scope_id is None
        except ValueError:
            return False
    labels = host.removesuffix(".").split(".")
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)
