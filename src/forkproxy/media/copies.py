"""Copies of a leg's tracks as RTP of our own, for recorders (RFC 7866 8.2.3); ext/media/copy.pxd sends
them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from forkproxy.errors import MediaError
from forkproxy.media._relay import RelayCopy, RelayLeg
from forkproxy.media.ports import PortRange
from forkproxy.media.srtp import SrtpKeys, SrtpSessions, srtp_sessions
from forkproxy.model import FRAME_MS, Address, Track

PAYLOAD_TYPES: dict[Literal["PCMU", "PCMA"], int] = {"PCMU": 0, "PCMA": 8}
"""What can be sent, and its static number (RFC 3551)."""
_TRACKS = {Track.INBOUND: 0, Track.OUTBOUND: 1, None: 2}


@dataclass(frozen=True, slots=True)
class CopyFigures:
    """What has become of a copy so far."""

    packets: int
    octets: int
    """Of payload."""
    dropped: int
    """Frames that could neither be sent nor kept: the recording has a gap."""
    skipped: int
    """Frames that were left out on purpose: pauses, and gaps that were asked for."""
    waiting: int
    """Frames that are kept until they can be sent."""
    send_errors: int
    reports: int
    """RTCP reports of the recorder's on this stream."""
    lost: int
    """Packets that are missing at the recorder, by its newest report."""
    jitter_ms: float
    heard: float | None
    """Seconds since its newest report; None: there was none (not every recorder sends them)."""
    round_trip: float | None
    """Seconds."""

    @classmethod
    def of(cls, raw: dict[str, Any]) -> CopyFigures:
        """From what the relay counts."""
        heard, trip = raw["heard_ns"], raw["round_trip_ns"]
        return cls(
            packets=raw["packets"],
            octets=raw["octets"],
            dropped=raw["dropped"],
            skipped=raw["skipped"],
            waiting=raw["waiting"],
            send_errors=raw["send_errors"],
            reports=raw["reports"],
            lost=raw["lost"],
            jitter_ms=raw["jitter"] / 8,
            heard=None if heard is None else heard / 1e9,
            round_trip=None if trip is None else trip / 1e9,
        )


class MediaCopy:
    """One track, or both mixed, on its way to a recorder. `MediaLeg.copy` makes it."""

    def __init__(
        self,
        core: RelayCopy,
        host: str,
        rtp_port: int,
        cname: str,
        to_octets: Callable[[str], bytes],
        on_close: Callable[[int], None],
    ) -> None:
        self.host = host
        """The address that its ports are bound on; may be 0.0.0.0."""
        self.rtp_port = rtp_port
        self.rtcp_port = rtp_port + 1
        self.cname = cname
        self._core = core
        self._to_octets = to_octets
        self._on_close = on_close
        self._srtp: SrtpSessions | None = None
        self._closed: CopyFigures | None = None

    @property
    def ssrc(self) -> int:
        """Of the stream that is sent."""
        return self._core.ssrc

    def send_to(
        self,
        rtp: Address,
        rtcp: Address,
        codec: Literal["PCMU", "PCMA"] = "PCMU",
        *,
        payload_type: int | None = None,
        srtp: SrtpKeys | None = None,
        hurry: float = 0.5,
        skip: bool = False,
    ) -> None:
        """Send there from now on, beginning with what has been kept; sequence and timestamps go on.

        Args:
            rtp, rtcp: address literals.
            payload_type: where it is not the codec's usual one.
            srtp: the keys; None: plain. What stays as it was goes on, as with `MediaLeg.set_remote`.
            hurry: how much faster than it was said that which has been kept is sent: 0.5 is half as fast
            again.
            skip: leave it out instead: a gap in the timestamps.

        Raises:
            MediaError: an address is no literal or of another family than we listen on, or SRTP is not to be
                had.
        """
        leg = self._core.relay_leg
        if leg is None:
            return
        host, rtcp_host = self._to_octets(rtp.host), self._to_octets(rtcp.host)
        sessions = None if srtp is None else srtp_sessions(leg, srtp, self._srtp, ssrc=self.ssrc)
        self._core.aim(
            host,
            rtp.port,
            rtcp_host,
            rtcp.port,
            PAYLOAD_TYPES[codec] if payload_type is None else payload_type,
            codec == "PCMA",
            max(round(hurry * 100), 1),
            skip,
            None if sessions is None else sessions.opens,
            None if sessions is None else sessions.seals,
        )
        self._srtp = sessions

    def lose(self) -> None:
        """Nobody is to get it at the moment: keep what there is room for, the oldest goes first."""
        self._core.lose()

    def pause(self, paused: bool) -> None:
        """Leave out what is said from now on (time goes on), or no more."""
        self._core.pause(paused)

    def figures(self) -> CopyFigures:
        """What has been counted so far."""
        return self._closed or CopyFigures.of(self._core.figures())

    def close(self) -> CopyFigures:
        """Send what is left and say RTCP's goodbye; later calls return the same."""
        if self._closed is None:
            self._core.close()
            self._closed = self.figures()
            self._srtp = None
            self._on_close(self.rtp_port)
        return self._closed


def open_copy(
    leg: RelayLeg,
    ports: PortRange,
    track: Track | None,
    buffer_seconds: float,
    to_octets: Callable[[str], bytes],
) -> MediaCopy:
    """A copy of one track (None: of both, mixed) that keeps `buffer_seconds` until somebody may get it.

    Raises:
        PortsExhausted: no pair of ports is left.
        MediaError: the leg is closed, or the system refuses.
    """
    rtp, rtcp = ports.bind()
    port = int(rtp.getsockname()[1])
    cname = secrets.token_urlsafe(12)  # RFC 7022: says nothing about anybody, and is nobody else's
    # Far from the sequence number's first wrap, as a leg's own (RFC 3711 3.3.1).
    numbers = secrets.randbits(32), secrets.randbits(15), secrets.randbits(32)
    frames = round(buffer_seconds * 1000 / FRAME_MS)
    try:
        core = RelayCopy(leg, rtp.fileno(), rtcp.fileno(), _TRACKS[track], *numbers, cname.encode(), frames)
    except (OSError, ValueError) as error:
        rtp.close()
        rtcp.close()
        ports.give_back(port)
        raise MediaError(f"media cannot copy a track: {error}") from error
    rtp.detach()  # the relay closes them
    rtcp.detach()
    return MediaCopy(core, ports.host, port, cname, to_octets, ports.give_back)
