"""The values that the packages hand to one another: all frozen, none knows a package.

Tracks are named from the call leg that a stream belongs to: `inbound` is what that party says,
`outbound` is what it hears (twilio.com/docs/voice/twiml/stream).
"""

from __future__ import annotations

import secrets
from bisect import bisect_left
from dataclasses import dataclass
from enum import IntFlag, StrEnum
from typing import Literal, NamedTuple

FRAME_MS = 20
"""The length of a tap's frame in milliseconds."""
FRAME_BYTES = 160
"""The length of a tap's frame in octets, where nobody asks for another format than mu-law."""


class AudioFormat(StrEnum):
    """What a tap's frames are made of; always one channel."""

    MULAW = "mulaw/8000"
    """ITU-T G.711 mu-law at 8,000 Hz, as Twilio streams it."""
    L16_8000 = "l16/8000"
    """Linear samples of 16 bits, signed, little-endian, at 8,000 Hz,"""
    L16_16000 = "l16/16000"
    """at 16,000 Hz,"""
    L16_24000 = "l16/24000"
    """and at 24,000 Hz."""

    @property
    def rate(self) -> int:
        """Samples a second."""
        return int(self.value.partition("/")[2])

    @property
    def sample_bytes(self) -> int:
        """Octets of a sample."""
        return 1 if self is AudioFormat.MULAW else 2

    @property
    def frame_bytes(self) -> int:
        """Octets of a frame.

        >>> AudioFormat.MULAW.frame_bytes, AudioFormat.L16_24000.frame_bytes
        (160, 960)
        """
        return self.rate * FRAME_MS // 1000 * self.sample_bytes

    @property
    def silence(self) -> bytes:
        """A frame of nothing."""
        return (b"\xff" if self is AudioFormat.MULAW else b"\x00") * self.frame_bytes


SrtpMode = Literal["off", "optional", "required"]
"""Whether a leg's audio is encrypted: never; where the other side can; always, or there is no call."""
Redirects = Literal["refuse", "follow", "pass"]
"""What becomes of a callee's 3xx: the call has failed, goes where it says, or the caller is told to."""


InbandMode = Literal["off", "fallback", "always"]
"""Where keys are looked for in the audio: nowhere; at phones without telephone events; at all."""


class Track(StrEnum):
    """One direction of a leg's audio."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class Tracks(StrEnum):
    """The choice of tracks as flows and TwiML spell it."""

    INBOUND = "inbound_track"
    OUTBOUND = "outbound_track"
    BOTH = "both_tracks"

    @property
    def members(self) -> tuple[Track, ...]:
        """The tracks chosen, inbound first."""
        match self:
            case Tracks.INBOUND:
                return (Track.INBOUND,)
            case Tracks.OUTBOUND:
                return (Track.OUTBOUND,)
            case _:
                return (Track.INBOUND, Track.OUTBOUND)


class FrameFlag(IntFlag):
    """Where a frame's audio came from."""

    RECEIVED = 1
    """All samples came in RTP packets (or, outbound, were played by us)."""
    CONCEALED = 2
    """Some or all samples were lost on the network and are filled in."""
    SILENCE = 4
    """Nothing was being sent: the leg was silent, not yet there, or suppressing silence."""
    HELD = 8
    """The negotiated direction forbade audio: the leg was on hold."""
    MASKED = 16
    """The audio was masked on purpose: the payload is silence, whatever was said."""


class Frame(NamedTuple):
    """20 ms of one track."""

    track: Track
    number: int
    """0 for the first 20 ms after the tap was attached; the same number on both tracks is the same time."""
    flags: int
    """A combination of `FrameFlag`; the relay gives every frame exactly one."""
    payload: bytes
    """160 octets of mu-law, or what the tap's `AudioFormat` says: `AudioFormat.frame_bytes` of it."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since the tap was attached."""
        return self.number * FRAME_MS


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often a value was how large."""

    bounds: tuple[float, ...]
    """Ascending."""
    counts: tuple[int, ...]
    """Of the values up to each bound that are above the one before; one more, of those above all."""
    total: float
    """The sum of the values."""

    @classmethod
    def empty(cls, bounds: tuple[float, ...]) -> Histogram:
        """Of no values yet."""
        return cls(bounds, (0,) * (len(bounds) + 1), 0.0)

    def with_(self, value: float) -> Histogram:
        """This one and a further value."""
        at = bisect_left(self.bounds, value)
        counts = (*self.counts[:at], self.counts[at] + 1, *self.counts[at + 1 :])
        return Histogram(self.bounds, counts, self.total + value)


class StreamTransport(StrEnum):
    """The stream type of the Fork Stream widget."""

    WEBSOCKET = "websocket"
    SIPREC = "siprec"


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """What a flow asks for: one stream, templates already rendered."""

    transport: StreamTransport
    tracks: Tracks
    name: str | None = None
    """Unique among the call's running streams; None: the stream's sid serves."""
    url: str | None = None
    """Where to (websocket)."""
    connector: str | None = None
    """The configured connector instance (siprec; optional for websocket)."""
    parameters: tuple[tuple[str, str], ...] = ()
    bidirectional: bool = False
    """Its connector may send audio to the caller, in place of what the other party says."""


@dataclass(frozen=True, slots=True)
class Account:
    """The identity that streams are signed with (the shape is Twilio's)."""

    sid: str
    """``AC`` and 32 hexadecimal digits."""
    auth_token: str

    def __repr__(self) -> str:  # the token must not reach a log by accident
        return f"Account(sid={self.sid!r})"


@dataclass(frozen=True, slots=True)
class CallInfo:
    """What a stream, a flow and a log line may know of the call leg that they belong to."""

    sid: str
    """``CA`` and 32 hexadecimal digits."""
    account_sid: str
    from_: str
    """The caller: a number (``+15551230000``) or a SIP URI, as ``trigger.call.From``."""
    to: str
    """What was called, likewise."""
    direction: str = "inbound"


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody in a call."""

    address: str
    """A number or a SIP URI."""
    name: str = ""
    """The display name."""
    sends: bool = True
    """False: on hold, nothing of what this party says is passed on."""


@dataclass(frozen=True, slots=True)
class CallState:
    """How a call stands, as far as those care who record it."""

    caller: Party
    callee: Party
    connected: bool = False
    """The two hear each other."""
    masked: bool = False
    """What is said is withheld from streams."""
    secure_media: bool = False
    """The caller's audio is encrypted."""
    secure_signalling: bool = False
    """The caller's SIP came by TLS."""
    call_id: str = ""
    """The Call-ID of the caller's leg."""
    session_ids: tuple[str, ...] = ()
    """Values of Session-ID headers (RFC 7989)."""


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A host (name or literal, IPv6 without brackets) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def new_sid(prefix: str) -> str:
    """A fresh identifier in Twilio's form: two letters and 32 lower-case hexadecimal digits.

    >>> len(new_sid("MZ"))
    34
    """
    return prefix + secrets.token_hex(16)


Timers = Literal["off", "on", "always"]
Refresher = Literal["any", "self", "peer"]


@dataclass(frozen=True, slots=True)
class Terms:
    """Session timers (RFC 4028) and reliable provisional responses (RFC 3262), as an endpoint wants them:
    each leg agrees by itself."""

    timers: Timers = "on"
    """``off``: none; ``on``: asked for in our INVITEs, and granted to callers who ask; ``always``: those who
    do not ask get one, too, and we refresh."""
    expires: int = 1800
    """Seconds without a refresh after which a leg ends, where we choose."""
    min_expires: int = 90
    """The least that is accepted (Min-SE): a caller who wants less gets 422."""
    refresher: Refresher = "any"
    """Who refreshes, where we may say; ``any``: what the peer says, else the caller of the leg."""
    reliable: bool = False
    """Whether provisional responses are reliable for every caller that can, not just for those who must."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is taken from strangers, and how much from everybody."""

    silent: bool = False
    """Whether a stranger's request is not answered at all, instead of with 403."""
    source_rate: float | None = 200.0
    """Requests a second that are read from one stranger; None: all."""
    ban_after: int | None = 20
    """Refusals within a minute after which a stranger is banned; None: never."""
    ban_seconds: float = 600.0
    max_calls: int | None = None
    """Calls at a time; one more gets 503."""
    max_rate: float | None = None
    """Incoming calls a second."""
    max_lag: float | None = 1.0
    """Seconds that the event loop may be late by; while it is later, calls get 503."""
