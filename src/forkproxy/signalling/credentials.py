"""Answers to digest challenges (RFC 7616, RFC 8760) for the requests that we send outside calls.

(Within calls PJSIP's own client answers.) The strongest algorithm that a challenge offers is taken.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_PARAMETER = re.compile(r"([A-Za-z][\w-]*)\s*=\s*(\"(?:[^\"\\]|\\.)*\"|[^\s,\"]+)", re.ASCII)
_HASHES: dict[str, Callable[[bytes], str]] = {
    "SHA-512-256": lambda data: hashlib.new("sha512_256", data).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
}
"""Best first."""
CHALLENGES = {401: ("www-authenticate", "Authorization"), 407: ("proxy-authenticate", "Proxy-Authorization")}
"""By status: the header that asks, and the one that answers."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server wants to see proved."""

    realm: str
    nonce: str
    algorithm: str
    """As the server wrote it; "" for none, which means MD5."""
    qop: bool
    """Whether ``auth`` is offered; without any qop the digest is RFC 2069's."""
    opaque: str | None
    stale: bool
    header: str
    """The header that the answer goes into."""

    @property
    def hash(self) -> str:
        """The hash's name, in upper case and without ``-SESS``."""
        return (self.algorithm or "MD5").upper().removesuffix("-SESS")


def challenge(status: int, headers: Iterable[tuple[str, str]]) -> Challenge | None:
    """The best challenge of a 401 or 407 that can be answered; None: there is none."""
    if status not in CHALLENGES:
        return None
    asks, answers = CHALLENGES[status]
    found = [
        parsed
        for name, value in headers
        if name.lower() == asks and (parsed := _parse(value, answers)) is not None
    ]
    order = list(_HASHES)
    return min(found, key=lambda each: order.index(each.hash), default=None)


def _parse(value: str, header: str) -> Challenge | None:
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest":
        return None
    found = {name.lower(): _unquoted(text) for name, text in _PARAMETER.findall(rest)}
    qops = [each.strip().lower() for each in found.get("qop", "").split(",") if each.strip()]
    made = Challenge(
        realm=found.get("realm", ""),
        nonce=found.get("nonce", ""),
        algorithm=found.get("algorithm", ""),
        qop="auth" in qops,
        opaque=found.get("opaque"),
        stale=found.get("stale", "").lower() == "true",
        header=header,
    )
    if not made.nonce or made.hash not in _HASHES or (qops and not made.qop):
        return None
    return made


class Credentials:
    """A user's name and password, and the challenge that they answer at present."""

    def __init__(self, username: str, password: str) -> None:
        self._username = username
        self._password = password
        self._challenge: Challenge | None = None
        self._count = 0
        self._session: str | None = None

    def challenged(self, found: Challenge) -> None:
        """Answer this challenge from now on."""
        self._challenge, self._count, self._session = found, 0, None

    def forget(self) -> None:
        """Answer no challenge until there is a new one."""
        self._challenge = None

    def header(self, method: str, uri: str) -> tuple[str, str] | None:
        """The header that answers the challenge; None: there has been none."""
        asked = self._challenge
        if asked is None:
            return None
        digest = _HASHES[asked.hash]
        self._count += 1
        count, ours = f"{self._count:08x}", secrets.token_hex(8)
        secret = digest(f"{self._username}:{asked.realm}:{self._password}".encode())
        if asked.algorithm.upper().endswith("-SESS"):
            if self._session is None:
                self._session = digest(f"{secret}:{asked.nonce}:{ours}".encode())
            secret = self._session
        what = digest(f"{method}:{uri}".encode())
        middle = f"{asked.nonce}:{count}:{ours}:auth" if asked.qop else asked.nonce
        parts = [
            f"username={_quoted(self._username)}",
            f"realm={_quoted(asked.realm)}",
            f"nonce={_quoted(asked.nonce)}",
            f"uri={_quoted(uri)}",
            f'response="{digest(f"{secret}:{middle}:{what}".encode())}"',
        ]
        if asked.algorithm:
            parts.append(f"algorithm={asked.algorithm}")
        if asked.opaque is not None:
            parts.append(f"opaque={_quoted(asked.opaque)}")
        if asked.qop:
            parts += ["qop=auth", f"nc={count}", f'cnonce="{ours}"']
        elif asked.algorithm.upper().endswith("-SESS"):
            parts.append(f'cnonce="{ours}"')
        return asked.header, "Digest " + ", ".join(parts)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
