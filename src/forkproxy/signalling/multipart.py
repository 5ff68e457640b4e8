"""The parts of a body (RFC 5621): a session description and what travels beside it, SIPREC's metadata say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from forkproxy.errors import SignallingError

MOST_PARTS = 16
_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.){1,100})"|([^\s;,"]{1,100}))', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its content type, in lower case and without parameters, and its octets."""

    type: str
    content: bytes


def parts(content_type: str, body: bytes) -> tuple[Part, ...]:
    """A body's parts; a body that is not multipart is its own only part.

    Peers are read leniently: bare line feeds, a missing last boundary, and parts in any order are taken.

    Raises:
        SignallingError: the type is multipart, and has no boundary, or the body has no part.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if not kind.startswith("multipart/"):
        return (Part(kind, body),) if body else ()
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise SignallingError("the body is multipart, and its Content-Type has no boundary")
    boundary = re.sub(r"\\(.)", r"\1", match[1]) if match[1] is not None else match[2]
    found = tuple(_split(boundary.encode("utf-8", "surrogateescape"), body))
    if not found:
        raise SignallingError(f"the multipart body has no part between {boundary!r}")
    return found


def _split(boundary: bytes, body: bytes) -> Iterator[Part]:
    fence = re.compile(rb"(?:^|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|$)")
    fences = list(fence.finditer(body))[: MOST_PARTS + 1]
    ends = [fence.start() for fence in fences[1:]] + [len(body)]
    for begin, end in zip(fences, ends, strict=False):
        if begin[1] is not None:
            return
        yield _part(body[begin.end() : end])


def _part(text: bytes) -> Part:
    """A part begins with the end of its boundary's line; its head may be empty."""
    head, _, content = _halves(text)
    kind = "text/plain"
    for line in re.sub(rb"\r?\n[ \t]+", b" ", head).splitlines():
        name, colon, value = line.partition(b":")
        if colon and name.strip().lower() in (b"content-type", b"c"):
            kind = value.decode("utf-8", "replace").partition(";")[0].strip().lower()
    return Part(kind, content)


def _halves(text: bytes) -> tuple[bytes, bytes, bytes]:
    match = re.search(rb"\r?\n\r?\n", text)
    if match is None:
        return text, b"", b""
    return text[: match.start()], match[0], text[match.end() :]
