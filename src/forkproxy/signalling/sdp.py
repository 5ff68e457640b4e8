"""Session descriptions (RFC 8866), as far as one audio stream needs them: read, offered, forwarded, answered.

Pure: bytes in, bytes out. What is forwarded keeps its attributes; addresses, ports and what does not go with
our relay (keys, ICE, codecs that we do not carry, other media) are replaced or left out. Lines are read in
`description`, formats in `codecs`, the keys of SRTP in `sdes`.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from forkproxy.errors import SdpError
from forkproxy.signalling import codecs as formats
from forkproxy.signalling import sdes
from forkproxy.signalling.codecs import CARRIED, TELEPHONE_EVENT, Codec
from forkproxy.signalling.description import HOST, LIMIT, Description, Media, address, read
from forkproxy.signalling.sdes import ANY, Crypto, Security

__all__ = [
    "CARRIED", "DEFAULT", "DIRECTIONS", "LIMIT", "TELEPHONE_EVENT", "AudioSession", "Codec", "forward_offer",
    "make_answer", "offer", "parse", "unchanged",
]  # fmt: skip

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_MIRROR = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
_PLAIN = ("RTP/AVP", "RTP/AVPF")
_SECURE = ("RTP/SAVP", "RTP/SAVPF")
_DROPPED = frozenset((
    *("rtcp", "rtcp-mux", "rtcp-fb", "crypto", "fingerprint", "setup", "key-mgmt", "zrtp-hash"),
    *("candidate", "end-of-candidates", "remote-candidates", "ice-ufrag", "ice-pwd", "ice-options"),
    *("ice-lite", "ice-mismatch", "ssrc", "ssrc-group", "msid", "mid", "extmap", "group"),
    *("tcap", "acap", "pcfg", "acfg", "csup", "creq"),  # RFC 5939: transports and keys in other clothes
    *("rtpmap", "fmtp", "ptime", "maxptime", *DIRECTIONS),
))  # fmt: skip
"""Attributes that speak of the peer's own transport, or that are written afresh."""


@dataclass(frozen=True, slots=True)
class AudioSession:
    """What a description says of the audio stream that we use."""

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
    maxptime: int | None = None
    """The most milliseconds that a packet may have, if it says so."""
    crypto: tuple[Crypto, ...] = ()
    """The lines of ``a=crypto`` that can be used: keys of what its writer sends."""
    crypto_refused: tuple[str, ...] = ()
    """Why the others cannot."""

    @property
    def packet_ms(self) -> int:
        """How long the packets are to be that it is sent: 20 ms unless it says otherwise."""
        wanted = self.ptime or 20
        if self.maxptime is None or wanted <= self.maxptime:
            return wanted
        return self.maxptime // 10 * 10


DEFAULT = (Codec(0, "PCMU"), Codec(8, "PCMA"), Codec(101, TELEPHONE_EVENT, 8000, "0-16"))


@lru_cache(maxsize=256)
def parse(sdp: bytes, security: Security = ANY) -> AudioSession:
    """The audio stream that we use: the first one that is not refused (port 0) and that `security` allows.

    With ``off`` that is one over RTP/AVP, and its keys are ignored; with ``required`` one with a key that can
    be used; with ``optional`` one with a key if there is any, otherwise one over RTP/AVP.

    Raises:
        SdpError: the description is malformed (the line is named), or has no such stream.
    """
    description = read(sdp)
    return _session(description, _usable(description, security), security)


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
    crypto: Sequence[Crypto] = (),
    secure: bool = False,
) -> bytes:
    """An offer of our own.

    Args:
        crypto: our keys, one line for each suite, best first.
        secure: RTP/SAVP: the answerer may not leave the keys aside.

    Raises:
        SdpError: `host` cannot be written, or `secure` without keys.
    """
    protocol = _protocol(secure, crypto)
    stream = _Stream(host, rtp_port, rtcp_port, codecs, direction, ptime, None, protocol, crypto)
    return join(head(host) + stream.lines())


def forward_offer(
    sdp: bytes,
    host: str,
    rtp_port: int,
    rtcp_port: int,
    codecs: Sequence[Codec] | None = None,
    *,
    direction: str | None = None,
    security: Security = ANY,
    crypto: Sequence[Crypto] = (),
    secure: bool = False,
) -> bytes:
    """Leg A's offer for leg B: our address, our codecs and keys; other media and leg A's keys left out.

    Args:
        codecs: what is offered; None: leg A's codecs, as far as they can be carried.
        direction: None: leg A's.
        security: by which leg A's stream was chosen.
        crypto, secure: as for `offer`.

    Raises:
        SdpError: malformed, or no audio codec is left.
    """
    description = read(sdp)
    media = _usable(description, security)
    session = _session(description, media, security)
    if codecs is None:
        codecs = [codec for codec in session.codecs if codec.key in CARRIED]
    _demand_audio(codecs, session)
    kept = [
        f"a={name}:{value}" if value else f"a={name}"
        for name, value in media.attributes
        if name.lower() not in _DROPPED and "inline:" not in value.lower()  # no key, whatever it calls itself
    ]
    stream = _Stream(
        host, rtp_port, rtcp_port, codecs, direction or session.direction, session.ptime, session.maxptime,
        _protocol(secure, crypto), crypto,
    )  # fmt: skip
    return join(head(host) + stream.lines() + kept)


def make_answer(
    offer: bytes,
    host: str,
    rtp_port: int,
    rtcp_port: int,
    codecs: Sequence[str],
    *,
    direction: str | None = None,
    ptime: int | None = None,
    maxptime: int | None = None,
    fmtp: Mapping[str, str | None] | None = None,
    crypto: Crypto | None = None,
    security: Security = ANY,
) -> bytes:
    """The answer to `offer`: its m= lines in its order, the first usable audio accepted, the others refused.

    Args:
        codecs: the keys that we accept, best first; those that the offer does not have are left out.
        direction: ours; None mirrors the offer's.
        ptime, maxptime: milliseconds; without `ptime`, the offer's is repeated.
        fmtp: parameters by codec key; for the others the offer's are repeated.
        crypto: our key, with the tag and suite of an offered line; needed for RTP/SAVP.
        security: by which the offer's stream is chosen.

    Raises:
        SdpError: the offer is malformed, has none of `codecs`, or wants a key and there is none.
    """
    description = read(offer)
    media = _usable(description, security)
    session = _session(description, media, security)
    if crypto is None and media.protocol.upper() in _SECURE:
        raise SdpError(f"an offer over {media.protocol} needs a=crypto in its answer")
    accepted = []
    for key in codecs:
        for codec in [codec for codec in session.codecs if codec.key == key][:1]:
            parameters = codec.fmtp if fmtp is None or key not in fmtp else fmtp[key]
            accepted.append(Codec(codec.payload_type, codec.name, codec.rate, parameters))
    _demand_audio(accepted, session)
    stream = _Stream(
        host, rtp_port, rtcp_port, accepted, direction or _MIRROR[session.direction], ptime or session.ptime,
        maxptime, media.protocol, () if crypto is None else (crypto,),
    )  # fmt: skip
    lines = head(host)
    for other in description.media:
        if other is media:
            lines += stream.lines()
        else:
            lines.append(f"m={other.kind} 0 {other.protocol} {' '.join(other.formats)}")
    return join(lines)


# -- reading ------------------------------------------------------------------------------------------------


def _usable(description: Description, security: Security) -> Media:
    """The audio stream that `parse` speaks of."""
    plain: Media | None = None
    refused: list[str] = []
    for media in description.media:
        protocol = media.protocol.upper()
        if media.kind != "audio" or not media.port or protocol not in _PLAIN + _SECURE:
            continue
        if security.mode != "off":
            usable, unusable = _crypto(media, security)
            refused += unusable
            if usable:
                return media
        if plain is None and protocol in _PLAIN:
            plain = media
    if plain is not None and security.mode != "required":
        return plain
    wanted = {
        "off": "over RTP/AVP",
        "optional": "over RTP/AVP or with a=crypto that can be used",
        "required": "with a=crypto that can be used, and audio must be encrypted",
    }[security.mode]
    kinds = ", ".join(f"{m.kind} {m.protocol}{'' if m.port else ' (refused)'}" for m in description.media)
    why = "".join(f"; {reason}" for reason in refused[:4])
    raise SdpError(f"no audio stream {wanted} in the session description, but {kinds or 'nothing'}{why}")


def _crypto(media: Media, security: Security) -> tuple[tuple[Crypto, ...], tuple[str, ...]]:
    if security.mode == "off":
        return (), ()
    return sdes.read((value for name, value in media.attributes if name.lower() == "crypto"), security.suites)


def _session(description: Description, media: Media, security: Security) -> AudioSession:
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
    crypto, refused = _crypto(media, security)
    return AudioSession(
        host, media.port, rtcp_host, rtcp_port, tuple(formats.read(media.formats, attributes)),
        _milliseconds(attributes, "ptime", 200), direction, description.media.index(media),
        _milliseconds(attributes, "maxptime", 999), crypto, refused,
    )  # fmt: skip


def _milliseconds(attributes: Sequence[tuple[str, str]], name: str, most: int) -> int | None:
    values = [value for each, value in attributes if each == name]
    if not values or not re.fullmatch(r"\d{1,3}", values[-1], re.ASCII):
        return None
    return int(values[-1]) if 10 <= int(values[-1]) <= most else None


def _rtcp(value: str, host: str, line: int) -> tuple[str, int]:
    """RFC 3605: ``a=rtcp:port [IN IP4 address]``."""
    words = value.split()
    if not words or not re.fullmatch(r"\d{1,5}", words[0], re.ASCII) or not 0 < int(words[0]) < 65536:
        raise SdpError(f"a=rtcp of the media on line {line} of the session description has no port")
    return (address(words[3], line) if len(words) == 4 else host), int(words[0])


def _demand_audio(codecs: Sequence[Codec], session: AudioSession) -> None:
    if not any(codec.is_audio for codec in codecs):
        offered = ", ".join(codec.name for codec in session.codecs) or "nothing that we know"
        raise SdpError(f"no audio codec in common (offered: {offered})")


def stream(description: Description, media: Media, security: Security) -> AudioSession:
    """One m= line by itself, whichever it is: for descriptions with several streams (`recorded`).

    Raises:
        SdpError: its protocol or its keys are none that `security` allows.
    """
    protocol = media.protocol.upper()
    if protocol not in _PLAIN + _SECURE:
        raise SdpError(f"the protocol {media.protocol} is not supported")
    session = _session(description, media, security)
    if not session.crypto and (protocol in _SECURE or security.mode == "required"):
        raise SdpError(
            "; ".join(session.crypto_refused) or f"{media.protocol} without a=crypto that can be used"
        )
    return session


# -- writing ------------------------------------------------------------------------------------------------

_numbers = itertools.count(int(time.time()) << 12)


def head(host: str) -> list[str]:
    """The lines before the first m= line: ours, with a number of their own."""
    where = _net(host)
    number = next(_numbers)
    return ["v=0", f"o=forkproxy {number} {number} {where}", "s=-", f"c={where}", "t=0 0"]


def _net(host: str) -> str:
    plain = host.strip("[]")
    try:
        return f"IN IP{ipaddress.ip_address(plain).version} {plain}"
    except ValueError:
        pass
    if not HOST.fullmatch(plain):
        raise SdpError(f"{host!r} is no address for a session description")
    return f"IN IP4 {plain}"


def _protocol(secure: bool, crypto: Sequence[Crypto]) -> str:
    """RFC 4568 (6) has keys on RTP/SAVP only, where the answerer must take one or refuse the stream.

    Keys on RTP/AVP are what phones call "optional" encryption: those that know it answer with a key, the
    others pass over an attribute that they do not know.
    """
    if secure and not crypto:
        raise SdpError("audio must be encrypted, and there is no SRTP here")
    return "RTP/SAVP" if secure else "RTP/AVP"


def accepted(
    session: AudioSession,
    protocol: str,
    host: str,
    rtp_port: int,
    rtcp_port: int,
    codecs: Sequence[str],
    direction: str,
    crypto: Crypto | None,
) -> list[str]:
    """The lines of one accepted stream in an answer with several (`recorded`).

    Raises:
        SdpError: none of `codecs` was offered.
    """
    by_key = {codec.key: codec for codec in reversed(session.codecs)}
    taken = [by_key[key] for key in codecs if key in by_key]
    _demand_audio(taken, session)
    keys = () if crypto is None else (crypto,)
    return _Stream(host, rtp_port, rtcp_port, taken, direction, session.ptime, None, protocol, keys).lines()


@dataclass(frozen=True, slots=True)
class _Stream:
    """An audio stream to be written."""

    host: str
    rtp_port: int
    rtcp_port: int
    codecs: Sequence[Codec]
    direction: str
    ptime: int | None
    maxptime: int | None
    protocol: str
    crypto: Sequence[Crypto]

    def lines(self) -> list[str]:
        numbers = " ".join(str(codec.payload_type) for codec in self.codecs)
        lines = [f"m=audio {self.rtp_port} {self.protocol} {numbers}"]
        for codec in self.codecs:
            lines += codec.lines()
        if self.ptime is not None:
            lines.append(f"a=ptime:{self.ptime if self.maxptime is None else min(self.ptime, self.maxptime)}")
        if self.maxptime is not None:
            lines.append(f"a=maxptime:{self.maxptime}")
        lines += [crypto.line() for crypto in self.crypto]
        lines.append(f"a={self.direction}")
        if self.rtcp_port != self.rtp_port + 1:
            lines.append(f"a=rtcp:{self.rtcp_port}")
        return lines


def join(lines: Sequence[str]) -> bytes:
    """A whole description."""
    return ("\r\n".join(lines) + "\r\n").encode("utf-8", "replace")
