"""Descriptions of recording sessions (RFC 7866): several audio streams, each of them one track, all received.

`sdp` speaks of the one stream of a phone. Here each m= line that can be used is a stream of its own, and what
is answered is ``recvonly`` (or ``inactive``), with the offer's labels repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from forkproxy.errors import SdpError
from forkproxy.signalling import sdes, sdp
from forkproxy.signalling.description import Media, read
from forkproxy.signalling.sdes import Crypto, Security


@dataclass(frozen=True, slots=True)
class Track:
    """One m= line of a recording client's offer."""

    label: str
    """Its ``a=label``; without one, its place among the lines, from 1."""
    session: sdp.AudioSession
    protocol: str

    @property
    def paused(self) -> bool:
        """Whether nothing is sent on it for now."""
        return self.session.direction not in ("sendonly", "sendrecv")


@dataclass(frozen=True, slots=True)
class Taken:
    """How a track is answered: our ports, the codecs' keys that we take, and our key."""

    rtp_port: int
    rtcp_port: int
    codecs: Sequence[str]
    crypto: Crypto | None = None


def tracks(offer: bytes, security: Security) -> tuple[Track, ...]:
    """The audio streams that can be recorded, in the order of their lines.

    Raises:
        SdpError: the offer is malformed, or has no such stream; what each line lacks is said.
    """
    description = read(offer)
    found: list[Track] = []
    wrong: list[str] = []
    for number, media in enumerate(description.media, 1):
        if media.kind != "audio" or not media.port:
            continue
        try:
            session = sdp.stream(description, media, security)
        except SdpError as error:
            wrong.append(f"m= line {number}: {error}")
            continue
        found.append(Track(_label(media) or str(number), session, media.protocol))
    if not found:
        raise SdpError("; ".join(wrong) or "no audio stream in the offer of the recording client")
    return tuple(found)


def choose_keys(track: Track, security: Security) -> tuple[Crypto, Crypto] | None:
    """Our key and theirs, of the best suite; None: the track is not encrypted."""
    theirs = sdes.choose(track.session.crypto, security.suites)
    return None if theirs is None else (sdes.fresh(theirs.tag, theirs.suite), theirs)


def answer(offer: bytes, host: str, taken: Mapping[int, Taken], security: Security) -> bytes:
    """The answer: every line of the offer in its order, those in `taken` (by their index) received.

    Raises:
        SdpError: malformed, or a taken line has none of the codecs.
    """
    description = read(offer)
    lines = sdp.head(host)
    for index, media in enumerate(description.media):
        mine = taken.get(index)
        if mine is None:
            lines.append(f"m={media.kind} 0 {media.protocol} {' '.join(media.formats)}")
            continue
        session = sdp.stream(description, media, security)
        direction = "recvonly" if session.direction in ("sendonly", "sendrecv") else "inactive"
        lines += sdp.accepted(
            session, media.protocol, host, mine.rtp_port, mine.rtcp_port, mine.codecs, direction, mine.crypto
        )
        label = _label(media)
        if label:
            lines.append(f"a=label:{label}")
    return sdp.join(lines)


def _label(media: Media) -> str:
    for name, value in media.attributes:
        if name.lower() == "label" and value:
            return value[:64]
    return ""
