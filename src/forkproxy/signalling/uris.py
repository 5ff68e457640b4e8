"""SIP URIs and header values that come from outside: checked before they can become part of a message."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from forkproxy.errors import SignallingError

MAX_URI = 1024
_URI = re.compile(
    r"(?P<scheme>sips?):(?:(?P<user>[^@\s<>\"]{1,256})@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+(?:%[\w.]+)?\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9.])?)"
    r"(?::(?P<port>\d{1,5}))?(?P<parameters>(?:;[^\s<>\"?;]+)*)(?:\?(?P<headers>[^\s<>\"]*))?",
    re.ASCII | re.IGNORECASE,
)
_TOKEN = re.compile(r"[A-Za-z0-9.!%*_+`'~-]{1,128}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
RESERVED = frozenset((
    *("via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "contact", "m", "max-forwards"),
    *("content-length", "l", "content-type", "c", "content-encoding", "e", "route", "record-route"),
    *("authorization", "proxy-authorization", "supported", "k", "require", "allow", "session-expires", "x"),
    *("min-se", "rseq", "rack"),
))  # fmt: skip
"""Headers that the stack writes itself."""


@dataclass(frozen=True, slots=True)
class SipUri:
    """A SIP URI, taken apart as far as dialling needs it."""

    text: str
    """Without the headers part."""
    host: str
    """A name or a literal, IPv6 without brackets."""
    port: int | None
    transport: str
    """``udp`` (the default) or what ``;transport=`` says, in lower case; ``tls`` for sips:."""
    headers: tuple[tuple[str, str], ...]
    """The X- headers of ``?x-name=value&...``, as Twilio passes them on."""


def parse_uri(uri: str) -> SipUri:
    """Take a URI apart.

    Raises:
        SignallingError: it is not one that can be dialled; the message says why.
    """
    match = _URI.fullmatch(uri)
    if match is None or len(uri) > MAX_URI:
        raise SignallingError(f"{uri[:100]!r} is not a SIP URI")
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 0 < port < 65536:
        raise SignallingError(f"{uri!r}: {port} is no port")
    transport = "udp"
    for parameter in match["parameters"].split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.lower() == "transport":
            transport = value.lower()
    if match["scheme"].lower() == "sips":
        if transport == "udp" and ";transport=" in match["parameters"].lower():
            raise SignallingError(f"{uri!r}: sips: goes over TLS, not over UDP")
        transport = "tls"
    text = uri.partition("?")[0]
    return SipUri(text, match["host"].strip("[]"), port, transport, _uri_headers(uri, match["headers"] or ""))


def _uri_headers(uri: str, part: str) -> tuple[tuple[str, str], ...]:
    found = []
    for pair in filter(None, part.split("&")):
        name, _, value = pair.partition("=")
        name = unquote(name)
        if not name.lower().startswith(("x-", "user-to-user")):
            raise SignallingError(f"{uri!r}: a URI can set X- headers and User-to-User, but not {name!r}")
        found.append((name, unquote(value)))
    return tuple(found)


def header(
    name: str, value: str, *, redirect: bool = False, also: Collection[str] = ()
) -> tuple[bytes, bytes]:
    """A header of the application's, safe to send; `redirect` allows it Contact, in a 3xx.

    `also`: names, in lower case, that are reserved otherwise.

    Raises:
        SignallingError: the name is no token or belongs to the stack, or the value has a line break in it.
    """
    if not _TOKEN.fullmatch(name):
        raise SignallingError(f"{name!r} is no header name")
    allowed = name.lower() in also or (redirect and name.lower() == "contact")
    if name.lower() in RESERVED and not allowed:
        raise SignallingError(f"the {name} header is written by forkproxy itself")
    if _CONTROL.search(value) or len(value) > 4096:
        raise SignallingError(f"the value of header {name} has a control character, or is too long")
    return name.encode(), value.encode("utf-8", "surrogateescape")


def credentials(name: str, value: str) -> tuple[bytes, bytes]:
    """A header that answers a digest challenge, whose parts came from the network.

    Raises:
        SignallingError: it cannot be sent.
    """
    if _CONTROL.search(value) or len(value) > 4096:
        raise SignallingError(f"the challenge cannot be answered: {name} would not be a header")
    return name.encode(), value.encode("utf-8", "surrogateescape")


def headers(pairs: Sequence[tuple[str, str]], *, redirect: bool = False) -> list[tuple[bytes, bytes]]:
    """`header()` for each."""
    return [header(name, value, redirect=redirect) for name, value in pairs]


def name_addr(display: str, uri: str) -> bytes:
    """``"display" <uri>`` for From and To; what could break out of the quotes is left out.

    Raises:
        SignallingError: the URI is not one.
    """
    match = _URI.fullmatch(uri)
    if match is None or len(uri) > MAX_URI:
        raise SignallingError(f"{uri[:100]!r} is not a SIP URI")
    plain = _CONTROL.sub("", display).replace("\\", "").replace('"', "").strip()[:128]
    bare = f"<{uri.partition('?')[0]}>"
    return (f'"{plain}" {bare}' if plain else bare).encode("utf-8", "surrogateescape")


def quotable(text: str) -> str:
    """What can stand between quotes in a header: for the text of a Warning."""
    return _CONTROL.sub(" ", text).replace("\\", "").replace('"', "'")[:200]


def reason_phrase(text: str) -> bytes | None:
    """A reason phrase that fits on a status line; None for the standard one."""
    plain = _CONTROL.sub(" ", text).strip()[:128]
    return plain.encode("utf-8", "surrogateescape") if plain else None


def without_parameters(target: SipUri) -> str:
    """The URI for To: parameters such as ;transport are for routing."""
    return target.text.partition(";")[0] if ";" not in target.text.partition("@")[0] else target.text
