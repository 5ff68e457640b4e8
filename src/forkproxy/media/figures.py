"""What the media engine counts, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from forkproxy.media import quality
from forkproxy.model import Address, Track


@dataclass(frozen=True, slots=True)
class TrackFigures:
    """One track's timeline, over all the time that somebody tapped it."""

    received: int = 0
    """Frames of 20 ms whose 160 samples all came in packets (outbound: that we sent)."""
    concealed: int = 0
    """Frames with samples that were lost on the network and are filled in."""
    silence: int = 0
    """Frames in which nothing was being sent."""
    held: int = 0
    """Frames in which the negotiated direction forbade audio."""
    masked: int = 0
    """Frames that were masked: silence, whatever was said."""
    late: int = 0
    """Packets that came after their frame had been handed out; their audio is lost to the taps, not to the
    call."""
    inserted: int = 0
    """Frames inserted because the sender's clock runs slower than ours."""
    dropped: int = 0
    """Frames left out because the sender's clock runs faster than ours."""
    jumps: int = 0
    """Times that the sender's timestamps leapt, or the network became slower for good."""


@dataclass(frozen=True, slots=True)
class LegFigures:
    """A leg's packets, from its opening on. *In* is from its phone, *out* is to it."""

    packets_in: int
    """Valid RTP packets from the learned source."""
    octets_in: int
    """Octets of these packets, RTP header included."""
    packets_out: int
    octets_out: int
    rtcp_in: int
    rtcp_out: int
    lost: int
    """Packets that should have come and did not (RFC 3550 A.3); negative never: duplicates are not counted
    in."""
    reordered: int
    duplicate: int
    jitter_ms: float
    """Interarrival jitter (RFC 3550 A.8)."""
    round_trip_ms: float | None
    """To the phone and back, by its last RTCP report (RFC 3550 6.4.1); None: there was none that tells."""
    mos: float | None
    """How good what the phone says arrives, 1 to 4.41 (`forkproxy.media.quality`); None: nothing has come.

    The delay taken is half the round trip, the window and the jitter; the loss is `lost` and `late`.
    """
    ssrc_changes: int
    malformed: int
    """Dropped: no RTP or RTCP."""
    unknown_source: int
    """Dropped: from an address that is not the phone's."""
    unknown_payload: int
    """Dropped: a payload type that was not negotiated."""
    not_negotiated: int
    """Dropped: came before the other side's SDP."""
    not_connected: int
    """Not forwarded: there was no other leg."""
    not_sendable: int
    """Not forwarded: the other leg had no address or no codec for it."""
    held: int
    """Not forwarded: the negotiated direction forbids it."""
    replaced: int
    """Not forwarded: a prompt or speech was being sent to the other leg."""
    stragglers: int
    """Not forwarded: belonged to a source that another had replaced already."""
    send_errors: int
    """The kernel refused to send."""
    flooded: int
    """Dropped: more than a phone can have to say, over 128 packets in 20 ms."""
    srtp_auth_failed: int
    """Dropped: not sealed with the keys that the SDP gave: plain, tampered with, or somebody else's."""
    srtp_replayed: int
    """Dropped: sealed with the right keys, but had come before."""
    srtp_unsent: int
    """Not sent: a packet with this sequence number has been sealed before."""
    source: Address | None
    """From where packets come, once that has been learned."""
    idle: float | None
    """Seconds since the last valid packet; None: there has been none."""
    inbound: TrackFigures
    outbound: TrackFigures

    @property
    def late(self) -> int:
        """Packets that came too late for the inbound track."""
        return self.inbound.late

    @property
    def concealed(self) -> int:
        """Frames of the inbound track that are filled in."""
        return self.inbound.concealed

    @classmethod
    def of(cls, raw: Mapping[str, Any], source: Address | None, window_ms: int) -> LegFigures:
        """From what the relay hands over."""
        expected = raw["expected"]
        lost = max(expected - (raw["packets"] - raw["duplicate"]), 0)
        jitter_ms = raw["jitter"] / 16 / 8
        round_trip_ms = None if raw["round_trip_ns"] is None else raw["round_trip_ns"] / 1e6
        delay_ms = (round_trip_ms or 0) / 2 + window_ms + jitter_ms
        missing = min(lost + raw["inbound"]["late"], expected)
        return cls(
            packets_in=raw["packets_in"],
            octets_in=raw["octets_in"],
            packets_out=raw["packets_out"],
            octets_out=raw["octets_out"],
            rtcp_in=raw["rtcp_in"],
            rtcp_out=raw["rtcp_out"],
            lost=lost,
            reordered=raw["reordered"],
            duplicate=raw["duplicate"],
            jitter_ms=jitter_ms,
            round_trip_ms=round_trip_ms,
            mos=quality.mos(delay_ms, missing / expected) if expected else None,
            ssrc_changes=raw["ssrc_changes"],
            malformed=raw["malformed"] + raw["malformed_rtcp"],
            unknown_source=raw["unknown_source"],
            unknown_payload=raw["unknown_payload"],
            not_negotiated=raw["not_negotiated"],
            not_connected=raw["not_connected"],
            not_sendable=raw["not_sendable"],
            held=raw["held"],
            replaced=raw["replaced"],
            stragglers=raw["straggler"],
            send_errors=raw["send_error"],
            flooded=raw["flooded"],
            srtp_auth_failed=raw["srtp_auth_failed"],
            srtp_replayed=raw["srtp_replayed"],
            srtp_unsent=raw["srtp_unsent"],
            source=source,
            idle=None if raw["idle_ns"] is None else raw["idle_ns"] / 1e9,
            inbound=TrackFigures(**raw["inbound"]),
            outbound=TrackFigures(**raw["outbound"]),
        )


@dataclass(frozen=True, slots=True)
class SpeakerFigures:
    """What became of the audio that was written to a speaker."""

    written_ms: int
    """Taken,"""
    played_ms: int
    """of that played (on hold: passed over),"""
    cleared_ms: int
    """and of that dropped by `Speaker.clear` or by closing."""
    refused_ms: int
    """Not taken: there was no room, or the speaker was closed."""
    marks_refused: int
    """Marks that were not taken: too many waited."""
    underruns: int
    """Times that the audio came too late by less than a pause (200 ms)."""
    padded: int
    """Packets that were filled up with silence, at an end of speech."""


@dataclass(frozen=True, slots=True)
class MaskReport:
    """What a mask hid on a leg: the frames from the one in which it began to the one in which it ended."""

    first_ns: int
    """When the first masked frame begins, on the monotonic clock; `Tap.frame_at` makes its number of that."""
    last_ns: int
    """When the last one begins."""
    frames: int
    """How many there are on each track; 0: nobody taps the leg."""


@dataclass(frozen=True, slots=True)
class TapFigures:
    """What one tap handed over."""

    frames: int
    """Frames on each of its tracks: 50 a second, less what was dropped."""
    dropped: int
    """Frames, on all tracks together, that were overwritten because the event loop stood still too long."""
    received: Mapping[Track, int]
    """Frames by track that were received whole,"""
    concealed: Mapping[Track, int]
    """filled in,"""
    silence: Mapping[Track, int]
    """silent,"""
    held: Mapping[Track, int]
    """on hold,"""
    masked: Mapping[Track, int]
    """or masked."""

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> TapFigures:
        """From what the relay hands over."""
        by_track = {
            name: dict(zip(Track, raw[name], strict=True))
            for name in ("received", "concealed", "silence", "held", "masked")
        }
        return cls(frames=raw["frames"], dropped=raw["dropped"], **by_track)
