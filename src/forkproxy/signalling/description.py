"""The lines of a session description (RFC 8866), read for their form; what they mean is `sdp`'s business."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from forkproxy.errors import SdpError
from forkproxy.signalling import sdes

LIMIT = 32768
"""The longest description that is looked at, in octets."""
HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?", re.ASCII)


@dataclass(slots=True)
class Media:
    """An m= line and what belongs to it."""

    kind: str
    port: int
    protocol: str
    formats: list[str]
    line: int
    connection: str | None = None
    attributes: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Description:
    """A whole description; what stands before the first m= line is its own."""

    connection: str | None = None
    attributes: list[tuple[str, str]] = field(default_factory=list)
    media: list[Media] = field(default_factory=list)


@lru_cache(maxsize=256)  # one call's set-up looks at the same description several times
def read(sdp: bytes) -> Description:
    """All lines that matter to us.

    Raises:
        SdpError: a line is malformed, or there is too much or nothing.
    """
    if len(sdp) > LIMIT:
        raise SdpError(f"the session description has {len(sdp)} octets, more than {LIMIT}")
    if b"\0" in sdp:
        raise SdpError("the session description has a NUL octet in it")
    description = Description()
    media: Media | None = None
    number = 0
    for number, text in enumerate(_lines(sdp), 1):
        if not text:
            continue
        if len(text) < 2 or text[1] != "=":
            shown = sdes.masked(text)[:40]
            raise SdpError(f"line {number} of the session description is no <type>=<value>: {shown!r}")
        kind, value = text[0], text[2:]
        if number == 1 and (kind != "v" or value.strip() != "0"):
            raise SdpError("line 1 of the session description is not v=0")
        if kind == "m":
            if len(description.media) == 32:
                raise SdpError(f"line {number} of the session description is the 33rd m= line")
            media = _media_line(value, number)
            description.media.append(media)
        elif kind == "c":
            connection = _connection(value, number)
            if media is None:
                description.connection = connection
            else:
                media.connection = media.connection or connection
        elif kind == "a":
            name, _, rest = value.partition(":")
            target = description.attributes if media is None else media.attributes
            if len(target) == 512:
                raise SdpError(f"line {number} of the session description is one attribute too many")
            target.append((name.strip(), rest.strip()))
    if number == 0:
        raise SdpError("the session description is empty")
    return description


def _lines(sdp: bytes) -> Iterator[str]:
    for line in sdp.split(b"\n"):
        yield line.rstrip(b"\r").decode("utf-8", "replace")


def _media_line(value: str, number: int) -> Media:
    words = value.split()
    port = words[1].partition("/")[0] if len(words) > 1 else ""
    if len(words) < 4 or not re.fullmatch(r"\d{1,5}", port, re.ASCII) or int(port) > 65535:
        raise SdpError(f"line {number} of the session description is no media line: m={value[:60]!r}")
    return Media(words[0].lower(), int(port), words[2], words[3:], number)


def _connection(value: str, number: int) -> str:
    words = value.split()
    if len(words) != 3 or words[0] != "IN" or words[1] not in ("IP4", "IP6"):
        raise SdpError(f"line {number} of the session description is no connection: c={value[:60]!r}")
    return address(words[2].partition("/")[0], number)


def address(text: str, number: int) -> str:
    """An address literal as Python writes it, or a host name.

    Raises:
        SdpError: it is neither; line `number` is named.
    """
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    if not HOST.fullmatch(text):
        raise SdpError(f"line {number} of the session description has no address: {text[:60]!r}")
    return text
