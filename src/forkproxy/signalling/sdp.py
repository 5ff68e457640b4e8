"""Session descriptions (RFC 8866), as far as one audio stream needs them: read, offered, forwarded, answered.

Pure: bytes in, bytes out. What is forwarded keeps its attributes; addresses, ports and what does not go with
our relay (crypto, ICE, codecs that we do not carry, other media) are replaced or left out.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from forkproxy.errors import SdpError

LIMIT = 32768
"""The longest description that is looked at, in octets."""
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_MIRROR = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
_STATIC = {0: ("PCMU", 8000), 3: ("GSM", 8000), 4: ("G723", 8000), 8: ("PCMA", 8000), 9: ("G722", 8000),
           13: ("CN", 8000), 15: ("G728", 8000), 18: ("G729", 8000)}  # fmt: skip
"""Payload types that need no rtpmap (RFC 3551, table 4)."""
_DROPPED = frozenset((
    *("rtcp", "rtcp-mux", "rtcp-fb", "crypto", "fingerprint", "setup", "key-mgmt", "zrtp-hash"),
    *("candidate", "end-of-candidates", "remote-candidates", "ice-ufrag", "ice-pwd", "ice-options"),
    *("ice-lite", "ice-mismatch", "ssrc", "ssrc-group", "msid", "mid", "extmap", "group"),
    *("rtpmap", "fmtp", "ptime", "maxptime", *DIRECTIONS),
))  # fmt: skip
"""Attributes that speak of the peer's own transport, or that are written afresh."""
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Codec:
    """One format of an audio stream."""

    payload_type: int
    name: str
    """Upper case: ``PCMU``, ``PCMA``, ``TELEPHONE-EVENT``."""
    rate: int = 8000
    fmtp: str | None = None


@dataclass(frozen=True, slots=True)
class AudioSession:
    """What a description says of the audio stream that we use: the first one that is not refused (port 0)."""

    host: str
    """Where RTP goes: a literal or a name."""
    port: int
    rtcp_host: str
    rtcp_port: int
    codecs: tuple[Codec, ...]
    """In the order of preference; only those with a known name."""
    ptime: int | None
    """Milliseconds a packet, if it says so."""
    direction: str
    """Seen from the one who wrote the description."""
    index: int
    """Which m= line it is, from 0."""


CARRIED = ("PCMU", "PCMA", "TELEPHONE-EVENT")
"""The codecs that the relay carries."""
TELEPHONE_EVENT = "TELEPHONE-EVENT"
DEFAULT = (Codec(0, "PCMU"), Codec(8, "PCMA"), Codec(101, TELEPHONE_EVENT, 8000, "0-16"))


@dataclass(slots=True)
class _Media:
    kind: str
    port: int
    protocol: str
    formats: list[str]
    line: int
    connection: str | None = None
    attributes: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Description:
    connection: str | None = None
    attributes: list[tuple[str, str]] = field(default_factory=list)
    media: list[_Media] = field(default_factory=list)


@lru_cache(maxsize=256)
def parse(sdp: bytes) -> AudioSession:
    """The audio stream that we use.

    Raises:
        SdpError: the description is malformed (the line is named), or has no audio stream over RTP/AVP.
    """
    description = _read(sdp)
    return _session(description, _usable(description))


def unchanged(before: bytes, now: bytes) -> bool:
    """Whether a new offer asks for just what stands: the refresh of a session timer, say."""
    try:
        return parse(before) == parse(now)
    except SdpError:
        return False


def offer(
    host: str,
    rtp_port: int,
    rtcp_port: int,
    codecs: Sequence[Codec] = DEFAULT,
    *,
    direction: str = "sendrecv",
    ptime: int = 20,
) -> bytes:
    """An offer of our own.

    Raises:
        SdpError: `host` cannot be written.
    """
    lines = _head(host)
    lines += _audio(host, rtp_port, rtcp_port, codecs, direction, ptime)
    return _join(lines)


def forward_offer(
    sdp: bytes, host: str, rtp_port: int, rtcp_port: int, *, only: Collection[str] | None = None
) -> bytes:
    """Leg A's offer for leg B: our address, our codecs, its payload types; other media left out.

    Args:
        only: the names that may be offered, when an answer to leg A already stands.

    Raises:
        SdpError: malformed, or no audio codec is left.
    """
    description = _read(sdp)
    media = _usable(description)
    session = _session(description, media)
    allowed = [name for name in CARRIED if only is None or name in only]
    codecs = [codec for codec in session.codecs if codec.name in allowed]
    _demand_audio(codecs, session)
    kept = [
        f"a={name}:{value}" if value else f"a={name}"
        for name, value in media.attributes
        if name.lower() not in _DROPPED
    ]
    lines = _head(host)
    lines += _audio(host, rtp_port, rtcp_port, codecs, session.direction, session.ptime, kept)
    return _join(lines)


def make_answer(
    offer: bytes,
    host: str,
    rtp_port: int,
    rtcp_port: int,
    codecs: Sequence[str],
    *,
    direction: str | None = None,
    ptime: int | None = None,
) -> bytes:
    """The answer to `offer`: its m= lines in its order, the first usable audio accepted, the others refused.

    Args:
        codecs: the names we accept, best first; telephone-event is added only where the offer has it, too.
        direction: ours; None mirrors the offer's.
        ptime: milliseconds; None repeats the offer's.

    Raises:
        SdpError: the offer is malformed or has none of `codecs`.
    """
    description = _read(offer)
    media = _usable(description)
    session = _session(description, media)
    accepted = []
    for name in codecs:
        accepted += [codec for codec in session.codecs if codec.name == name][:1]
    _demand_audio(accepted, session)
    lines = _head(host)
    for other in description.media:
        if other is media:
            chosen = direction or _MIRROR[session.direction]
            lines += _audio(host, rtp_port, rtcp_port, accepted, chosen, ptime or session.ptime)
        else:
            lines.append(f"m={other.kind} 0 {other.protocol} {' '.join(other.formats)}")
    return _join(lines)


# -- reading ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)  # one call's set-up looks at the same description several times
def _read(sdp: bytes) -> _Description:
    if len(sdp) > LIMIT:
        raise SdpError(f"the session description has {len(sdp)} octets, more than {LIMIT}")
    if b"\0" in sdp:
        raise SdpError("the session description has a NUL octet in it")
    description = _Description()
    media: _Media | None = None
    number = 0
    for number, text in enumerate(_lines(sdp), 1):
        if not text:
            continue
        if len(text) < 2 or text[1] != "=":
            raise SdpError(f"line {number} of the session description is no <type>=<value>: {text[:40]!r}")
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


def _media_line(value: str, number: int) -> _Media:
    words = value.split()
    port = words[1].partition("/")[0] if len(words) > 1 else ""
    if len(words) < 4 or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise SdpError(f"line {number} of the session description is no media line: m={value[:60]!r}")
    return _Media(words[0].lower(), int(port), words[2], words[3:], number)


def _connection(value: str, number: int) -> str:
    words = value.split()
    if len(words) != 3 or words[0] != "IN" or words[1] not in ("IP4", "IP6"):
        raise SdpError(f"line {number} of the session description is no connection: c={value[:60]!r}")
    return _address(words[2].partition("/")[0], number)


def _address(text: str, number: int) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    if not _HOST.fullmatch(text):
        raise SdpError(f"line {number} of the session description has no address: {text[:60]!r}")
    return text


def _usable(description: _Description) -> _Media:
    """The first audio stream over plain RTP that has a port."""
    for media in description.media:
        if media.kind == "audio" and media.port and media.protocol.upper() in ("RTP/AVP", "RTP/AVPF"):
            return media
    kinds = ", ".join(f"{m.kind} {m.protocol}{'' if m.port else ' (refused)'}" for m in description.media)
    raise SdpError(f"no audio stream over RTP/AVP in the session description, but {kinds or 'nothing'}")


def _session(description: _Description, media: _Media) -> AudioSession:
    host = media.connection or description.connection
    if host is None:
        raise SdpError(f"no c= line for the media on line {media.line} of the session description")
    attributes = media.attributes
    rtcp_host, rtcp_port = host, media.port + 1
    for name, value in attributes:
        if name == "rtcp":
            rtcp_host, rtcp_port = _rtcp(value, host, media.line)
    if rtcp_port > 65535:
        rtcp_port = media.port
    direction = "sendrecv"
    for name, _ in (*description.attributes, *attributes):
        if name in DIRECTIONS:
            direction = name
    if host in ("0.0.0.0", "::"):  # "send me nothing", as it was said before there were directions
        direction = "sendonly" if direction == "sendrecv" else "inactive"
    ptimes = [value for name, value in attributes if name == "ptime"]
    ptime = int(ptimes[-1]) if ptimes and re.fullmatch(r"\d{1,3}", ptimes[-1], re.ASCII) else None
    if ptime is not None and not 10 <= ptime <= 200:
        ptime = None
    return AudioSession(
        host, media.port, rtcp_host, rtcp_port, tuple(_codecs(media)), ptime, direction,
        description.media.index(media),
    )  # fmt: skip


def _rtcp(value: str, host: str, line: int) -> tuple[str, int]:
    """RFC 3605: ``a=rtcp:port [IN IP4 address]``."""
    words = value.split()
    if not words or not re.fullmatch(r"\d{1,5}", words[0], re.ASCII) or not 0 < int(words[0]) < 65536:
        raise SdpError(f"a=rtcp of the media on line {line} of the session description has no port")
    return (_address(words[3], line) if len(words) == 4 else host), int(words[0])


def _codecs(media: _Media) -> Iterator[Codec]:
    names: dict[int, tuple[str, int]] = dict(_STATIC)
    fmtps: dict[int, str] = {}
    for name, value in media.attributes:
        if name == "rtpmap":
            match = re.fullmatch(r"(\d{1,3})\s+([\w.+-]{1,40})/(\d{1,6})(?:/(\d{1,2}))?", value, re.ASCII)
            if match is not None and match[4] in (None, "1"):
                names[int(match[1])] = match[2].upper(), int(match[3])
            elif match is not None:
                names.pop(int(match[1]), None)  # stereo: not ours
        elif name == "fmtp":
            number, _, parameters = value.partition(" ")
            if number.isascii() and number.isdigit():
                fmtps[int(number)] = parameters.strip()
    seen = set()
    for text in media.formats:
        payload_type = int(text) if text.isascii() and text.isdigit() else -1
        if not 0 <= payload_type <= 127 or payload_type not in names or payload_type in seen:
            continue
        seen.add(payload_type)
        name, rate = names[payload_type]
        # 8 kHz only: telephone-event/48000 goes with Opus, and our clock is 8 kHz
        if name not in CARRIED or rate == 8000:
            yield Codec(payload_type, name, rate, fmtps.get(payload_type))


def _demand_audio(codecs: Sequence[Codec], session: AudioSession) -> None:
    if not any(codec.name != TELEPHONE_EVENT for codec in codecs):
        offered = ", ".join(codec.name for codec in session.codecs) or "nothing that we know"
        raise SdpError(f"no audio codec in common (offered: {offered})")


# -- writing ------------------------------------------------------------------------------------------------

_numbers = itertools.count(int(time.time()) << 12)


def _head(host: str) -> list[str]:
    where = _net(host)
    number = next(_numbers)
    return ["v=0", f"o=forkproxy {number} {number} {where}", "s=-", f"c={where}", "t=0 0"]


def _net(host: str) -> str:
    plain = host.strip("[]")
    try:
        return f"IN IP{ipaddress.ip_address(plain).version} {plain}"
    except ValueError:
        pass
    if not _HOST.fullmatch(plain):
        raise SdpError(f"{host!r} is no address for a session description")
    return f"IN IP4 {plain}"


def _audio(
    host: str,
    rtp_port: int,
    rtcp_port: int,
    codecs: Sequence[Codec],
    direction: str,
    ptime: int | None,
    kept: Sequence[str] = (),
) -> list[str]:
    formats = " ".join(str(codec.payload_type) for codec in codecs)
    lines = [f"m=audio {rtp_port} RTP/AVP {formats}"]
    for codec in codecs:
        name = "telephone-event" if codec.name == TELEPHONE_EVENT else codec.name
        lines.append(f"a=rtpmap:{codec.payload_type} {name}/{codec.rate}")
        if codec.fmtp:
            lines.append(f"a=fmtp:{codec.payload_type} {codec.fmtp}")
    if ptime is not None:
        lines.append(f"a=ptime:{ptime}")
    lines.append(f"a={direction}")
    if rtcp_port != rtp_port + 1:
        lines.append(f"a=rtcp:{rtcp_port}")
    lines += kept
    return lines


def _join(lines: Sequence[str]) -> bytes:
    return ("\r\n".join(lines) + "\r\n").encode("utf-8", "replace")
