"""Keys of SRTP in session descriptions (RFC 4568, RFC 7714): ``a=crypto`` lines, read, chosen and written.

Pure, and no key ever stands in a message or a repr. The answerer takes one of the offered lines, repeats its
tag and suite, and gives a key of its own: each side sends with the key that it has told.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from forkproxy.errors import SdpError
from forkproxy.model import SrtpMode

SUITES: Mapping[str, int] = {
    "AEAD_AES_256_GCM": 32 + 12,
    "AEAD_AES_128_GCM": 16 + 12,
    "AES_CM_128_HMAC_SHA1_80": 16 + 14,
    "AES_CM_128_HMAC_SHA1_32": 16 + 14,
}
"""The crypto suites that can be read, best first, each with the octets of its master key and salt."""

_LINE = re.compile(r"(\d{1,9})\s+(\w{1,40})\s+(\S+)((?:\s+\S+)*)\s*", re.ASCII)
_LIFETIME = re.compile(r"(?:2\^)?\d{1,20}", re.ASCII)
_INLINE = re.compile(r"(inline:)[^\s\"]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Security:
    """What a party demands of a stream. Hashable, for the reader's cache."""

    mode: SrtpMode = "optional"
    suites: tuple[str, ...] = tuple(SUITES)
    """Those that can be used, best first."""


ANY = Security()
PLAIN = Security("off", ())


@dataclass(frozen=True, slots=True)
class Crypto:
    """One ``a=crypto`` line: what its writer sends with."""

    tag: int
    suite: str
    key: bytes = field(repr=False)
    """Master key and salt, one after the other."""

    def line(self) -> str:
        """The line as it stands in a description, key included."""
        return f"a=crypto:{self.tag} {self.suite} inline:{base64.b64encode(self.key).decode()}"


def parse(value: str) -> Crypto:
    """Read what stands behind ``a=crypto:``.

    A lifetime is accepted and not watched: the shortest that phones write, 2^20 packets, is nearly six hours.
    A master key identifier would change every packet, and session parameters weaken or change what is done to
    them; lines with these are refused, except for a hint at the replay window and what calls itself optional.

    Raises:
        SdpError: it is malformed, or asks for what we do not do. The message has no key in it.
    """
    match = _LINE.fullmatch(value)
    if match is None:
        raise SdpError("a=crypto is not <tag> <suite> <key>")
    tag, suite, key, parameters = int(match[1]), match[2].upper(), match[3], match[4].split()
    if suite not in SUITES:
        shown = match[2] if re.fullmatch(r"[A-Z0-9_]+", match[2]) else "that is no suite's name"
        raise SdpError(f"a=crypto:{tag} has an unknown suite, {shown}")
    for parameter in parameters:
        name = parameter.partition("=")[0].upper()
        if name != "WSH" and not name.startswith("-"):
            shown = name if re.fullmatch(r"[A-Z_]{1,40}", name) else "that is none"
            raise SdpError(f"a=crypto:{tag} has a session parameter {shown}")
    return Crypto(tag, suite, _inline(key, tag, SUITES[suite]))


def _inline(text: str, tag: int, octets: int) -> bytes:
    method, _, info = text.partition(":")
    if method.lower() != "inline" or ";" in info:
        raise SdpError(f"a=crypto:{tag} has not one inline key")
    encoded, *rest = info.split("|")
    if rest and _LIFETIME.fullmatch(rest[0]):
        rest = rest[1:]
    if rest:
        raise SdpError(f"a=crypto:{tag} has a master key identifier (MKI)")
    try:  # the padding is missing in the lines of some phones
        key = base64.b64decode(encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4), validate=True)
    except ValueError:
        raise SdpError(f"the key of a=crypto:{tag} is not in base64") from None
    if len(key) != octets:
        raise SdpError(f"the key of a=crypto:{tag} has {len(key)} octets instead of {octets}")
    return key


def read(values: Iterable[str], suites: Sequence[str]) -> tuple[tuple[Crypto, ...], tuple[str, ...]]:
    """The lines that can be used, in their order, and why each of the others cannot."""
    good: list[Crypto] = []
    bad: list[str] = []
    for value in values:
        try:
            line = parse(value)
        except SdpError as error:
            bad.append(str(error))
            continue
        if line.suite not in suites:
            bad.append(f"a=crypto:{line.tag} has the suite {line.suite}, which is not to be had here")
        elif any(line.tag == other.tag for other in good):
            bad.append(f"a=crypto:{line.tag} stands there twice")
        else:
            good.append(line)
    return tuple(good), tuple(bad)


def fresh(tag: int, suite: str) -> Crypto:
    """A line with a new key."""
    return Crypto(tag, suite, secrets.token_bytes(SUITES[suite]))


def fresh_offer(suites: Sequence[str]) -> tuple[Crypto, ...]:
    """A line for every suite, in this order, each with a key of its own."""
    return tuple(fresh(tag, suite) for tag, suite in enumerate(suites, 1))


def choose(offered: Sequence[Crypto], suites: Sequence[str]) -> Crypto | None:
    """The offered line with the best of our `suites`; None: there is none."""
    usable = [line for line in offered if line.suite in suites]
    return min(usable, key=lambda line: suites.index(line.suite), default=None)


def accepted(ours: Sequence[Crypto], answer: Sequence[Crypto]) -> tuple[Crypto, Crypto] | None:
    """Which of our offered lines an answer takes, and the line that it gives for it; None: it takes none.

    Raises:
        SdpError: the answer takes what was not offered, takes several, or repeats our own key.
    """
    if not answer:
        return None
    if len(answer) > 1:
        raise SdpError(f"the answer has {len(answer)} lines of a=crypto instead of one")
    theirs = answer[0]
    for line in ours:
        if (line.tag, line.suite) == (theirs.tag, theirs.suite):
            if line.key == theirs.key:
                raise SdpError("the answer's a=crypto repeats our own key")
            return line, theirs
    raise SdpError(f"the answer takes a=crypto:{theirs.tag} {theirs.suite}, which was not offered")


def masked(text: str) -> str:
    """`text` with every key replaced, to be shown.

    >>> masked("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc|2^20")
    'a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:...'
    """
    return _INLINE.sub(r"\1...", text)
