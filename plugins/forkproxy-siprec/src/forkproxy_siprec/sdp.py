"""Offer and answer with a recorder (RFC 7866 7.1, 8.3; RFC 3264): what is offered, and what an answer is
worth. Pure.

Recorders' answers are matched by the place of their m-lines, never by label: RFC 4574 does not ask for labels
in answers, and recorders are known that number them by themselves.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from forkproxy.connectors.api import Address

Codec = Literal["PCMU", "PCMA"]
STATIC: dict[Codec, int] = {"PCMU": 0, "PCMA": 8}
_BY_NUMBER = {number: name for name, number in STATIC.items()}
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_OUR_ANSWER = {"recvonly": "sendonly", "sendrecv": "sendonly", "sendonly": "inactive", "inactive": "inactive"}


@dataclass(frozen=True, slots=True)
class Crypto:
    """A key of SDES (RFC 4568)."""

    tag: str
    suite: str
    key: bytes = field(repr=False)
    """Master key and salt."""

    @property
    def line(self) -> str:
        """As it stands in SDP."""
        return f"a=crypto:{self.tag} {self.suite} inline:{base64.b64encode(self.key).decode()}"


@dataclass(frozen=True, slots=True)
class Line:
    """One m-line that we offer."""

    label: str
    port: int
    """0: it is taken out."""
    rtcp_port: int
    codecs: tuple[Codec, ...] = ("PCMU", "PCMA")
    direction: str = "sendonly"
    cryptos: tuple[Crypto, ...] = ()

    @property
    def profile(self) -> str:
        return "RTP/SAVP" if self.cryptos else "RTP/AVP"


class Offerer:
    """Our side of the description: the version in it grows with each change, and only then (RFC 3264 8)."""

    def __init__(self, session_id: int, name: str = "-") -> None:
        self._session_id = session_id
        self._name = name or "-"
        self._version = 0
        self._before = ""

    def describe(self, host: str, lines: Sequence[Line]) -> bytes:
        """The description of `lines`, which are sent from `host`."""
        family = "IP6" if ":" in host else "IP4"
        rows = [f"s={self._name}", f"c=IN {family} {host}", "t=0 0"]
        for line in lines:
            numbers = " ".join(str(STATIC[codec]) for codec in line.codecs)
            rows.append(f"m=audio {line.port} {line.profile} {numbers}")
            rows += [f"a=rtpmap:{STATIC[codec]} {codec}/8000" for codec in line.codecs]
            rows.append("a=ptime:20")
            if line.port and line.rtcp_port != line.port + 1:
                rows.append(f"a=rtcp:{line.rtcp_port}")
            rows += [crypto.line for crypto in line.cryptos]
            rows += [f"a=label:{line.label}", f"a={line.direction}"]
        text = "\r\n".join(rows) + "\r\n"
        if text != self._before:
            self._version += 1
            self._before = text
        origin = f"o=forkproxy {self._session_id} {self._version} IN {family} {host}"
        return f"v=0\r\n{origin}\r\n{text}".encode()


@dataclass(frozen=True, slots=True)
class TheirLine:
    """One m-line of the recorder's."""

    kind: str
    host: str
    port: int
    profile: str
    formats: tuple[str, ...]
    direction: str
    rtcp: Address | None
    label: str | None
    cryptos: tuple[Crypto, ...]
    codecs: dict[str, str]
    """Payload type to codec, upper case."""


def parse(sdp: bytes) -> list[TheirLine]:
    """The m-lines of a description, read leniently.

    Raises:
        ValueError: it is none.
    """
    host, direction = "", "sendrecv"
    lines: list[TheirLine] = []
    text = sdp.decode("utf-8", "replace")
    if not text.lstrip().startswith("v="):
        raise ValueError("not a session description")
    for row in text.splitlines():
        kind, _, value = row.strip().partition("=")
        if kind == "c":
            address = (value.split() or [""])[-1].partition("/")[0]
            if lines:
                lines[-1] = replace(lines[-1], host=address)
            else:
                host = address
        elif kind == "m":
            lines.append(_media(value, host, direction))
        elif kind == "a" and lines:
            lines[-1] = _attribute(lines[-1], value)
        elif kind == "a" and value in DIRECTIONS:
            direction = value
    return lines


def _media(value: str, host: str, direction: str) -> TheirLine:
    words = value.split()
    if len(words) < 4 or not words[1].partition("/")[0].isdigit():
        raise ValueError(f"a malformed m-line: {value[:80]}")
    codecs: dict[str, str] = {
        str(number): name for number, name in _BY_NUMBER.items() if str(number) in words[3:]
    }
    port = int(words[1].partition("/")[0])
    return TheirLine(words[0], host, port, words[2], tuple(words[3:]), direction, None, None, (), codecs)


def _attribute(line: TheirLine, value: str) -> TheirLine:
    name, _, rest = value.partition(":")
    if value in DIRECTIONS:
        return replace(line, direction=value)
    if name == "label":
        return replace(line, label=rest.strip())
    if name == "rtpmap":
        number, _, what = rest.partition(" ")
        return replace(line, codecs={**line.codecs, number: what.partition("/")[0].strip().upper()})
    if name == "rtcp":
        words = rest.split()
        if words and words[0].isdigit():
            host = words[3] if len(words) >= 4 else line.host
            return replace(line, rtcp=Address(host, int(words[0])))
    if name == "crypto":
        crypto = _crypto(rest)
        if crypto is not None:
            return replace(line, cryptos=(*line.cryptos, crypto))
    return line


def _crypto(value: str) -> Crypto | None:
    match = re.match(r"(\d+)\s+(\S+)\s+inline:([A-Za-z0-9+/=]+)", value.strip())
    if match is None:
        return None
    try:
        return Crypto(match[1], match[2], base64.b64decode(match[3] + "=" * (-len(match[3]) % 4)))
    except binascii.Error:
        return None


NOWHERE = Address("", 0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the answer means for one m-line of ours."""

    rejected: str | None = None
    """Why nothing can be sent on it; None: it can."""
    active: bool = False
    """The recorder wants to receive now."""
    rtp: Address = NOWHERE
    rtcp: Address = NOWHERE
    codec: Codec = "PCMU"
    payload_type: int = 0
    ours: Crypto | None = None
    theirs: Crypto | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an answer is worth."""

    verdicts: tuple[Verdict, ...]
    """For each m-line of ours, in order."""
    remarks: tuple[str, ...] = ()
    """What is odd about it, and borne."""

    @property
    def useless(self) -> bool:
        """Nothing can be recorded."""
        return all(verdict.rejected for verdict in self.verdicts)


def judge(lines: Sequence[Line], answer: bytes) -> Judgement:
    """What the recorder's description means for the m-lines that we offered.

    Raises:
        ValueError: it is no session description.
    """
    theirs = parse(answer)
    remarks = []
    if len(theirs) > len(lines):
        remarks.append(
            f"{len(theirs)} m-lines in answer to {len(lines)}; those that are too many are ignored"
        )
    if len(theirs) < len(lines):
        remarks.append(f"only {len(theirs)} m-lines in answer to {len(lines)} (RFC 3264 6)")
    verdicts = [_judge(line, theirs[n] if n < len(theirs) else None) for n, line in enumerate(lines)]
    for line, their in zip(lines, theirs, strict=False):
        if their.label is not None and their.label != line.label:
            remarks.append(f"label {their.label!r} in answer to {line.label!r}; its place counts")
    return Judgement(tuple(verdicts), tuple(remarks))


def _judge(line: Line, their: TheirLine | None) -> Verdict:
    if line.port == 0:
        return Verdict("it is taken out")
    if their is None:
        return Verdict("the answer has no such m-line")
    if their.port == 0:
        return Verdict("the recorder does not want it (port 0)")
    if their.profile.upper() != line.profile:
        return Verdict(
            f"{their.profile} in answer to {line.profile}: nothing is sent in the clear or otherwise"
        )
    if not their.host:
        return Verdict("no c= line says where to")
    usable: list[tuple[Codec, int]] = [
        (codec, int(number))
        for number in their.formats
        for codec in line.codecs
        if number.isdigit() and their.codecs.get(number) == codec
    ]
    if not usable:
        return Verdict(f"none of {', '.join(line.codecs)} is in the answer")
    ours = key = None
    if line.cryptos:
        key = next((each for each in their.cryptos if each.tag in {mine.tag for mine in line.cryptos}), None)
        ours = next((mine for mine in line.cryptos if key is not None and mine.tag == key.tag), None)
        if key is None or ours is None or key.suite != ours.suite:
            return Verdict("RTP/SAVP without a key that was offered (RFC 4568 5.1.3)")
    active = their.direction in ("recvonly", "sendrecv") and their.host not in ("0.0.0.0", "::")
    rtcp = their.rtcp or Address(their.host, their.port + 1)
    codec, number = usable[0]
    return Verdict(None, active, Address(their.host, their.port), rtcp, codec, number, ours, key)


def answer_to(lines: Sequence[Line], offer: bytes) -> list[Line]:
    """Our m-lines for a recorder's own offer (RFC 7866 7.2): as many as it has, those that are new refused.

    Raises:
        ValueError: it is no session description.
    """
    answered = []
    for number, their in enumerate(parse(offer)):
        if number >= len(lines):
            answered.append(Line(their.label or f"refused{number}", 0, 0, direction="inactive"))
            continue
        line = lines[number]
        if their.port == 0:
            answered.append(replace(line, port=0, direction="inactive"))
        else:
            direction = _OUR_ANSWER[their.direction] if line.direction == "sendonly" else "inactive"
            answered.append(replace(line, direction=direction))
    return answered
