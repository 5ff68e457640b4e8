"""Bodies of several parts (RFC 2046 5.1): built, and taken apart leniently. Pure."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from forkproxy.connectors.api import SipBody

_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"([^"]+)"|([^\s;]+))', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """One part."""

    content_type: str
    data: bytes
    disposition: str = ""

    @property
    def kind(self) -> str:
        """The type without parameters, in lower case."""
        return self.content_type.partition(";")[0].strip().lower()


def join(parts: Sequence[Part]) -> SipBody:
    """A multipart/mixed body. The boundary is in none of the parts, since nobody can guess it."""
    boundary = f"forkproxy-{secrets.token_hex(12)}"
    text = b""
    for part in parts:
        head = f"--{boundary}\r\nContent-Type: {part.content_type}\r\n"
        if part.disposition:
            head += f"Content-Disposition: {part.disposition}\r\n"
        text += head.encode() + b"\r\n" + part.data + b"\r\n"
    return SipBody(f'multipart/mixed;boundary="{boundary}"', text + f"--{boundary}--\r\n".encode())


def split(content_type: str, body: bytes, disposition: str = "") -> list[Part]:
    """The parts of a body, in its order; of one that is no multipart, itself.

    Raises:
        ValueError: it says that it has parts, and has no boundary between them.
    """
    if not content_type.strip().lower().startswith("multipart/"):
        return [Part(content_type, body, disposition)] if body else []
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise ValueError("a multipart body without a boundary")
    boundary = re.escape((match[1] or match[2]).encode())
    pieces = re.split(rb"(?:^|\r?\n)--" + boundary, body)
    if len(pieces) < 2:
        raise ValueError("the boundary of the multipart body is nowhere in it")
    found = []
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            break
        head, _, data = re.sub(rb"^[ \t]*\r?\n", b"", piece, count=1).partition(b"\r\n\r\n")
        if not _:
            head, _, data = piece.lstrip(b"\r\n").partition(b"\n\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (
                line.partition(":") for line in head.decode("utf-8", "replace").splitlines()
            )
        }
        found.append(
            Part(headers.get("content-type", "text/plain"), data, headers.get("content-disposition", ""))
        )
    return found


def find(parts: Sequence[Part], *kinds: str) -> Part | None:
    """The first part of one of these types."""
    return next((part for part in parts if part.kind in kinds), None)
