"""What happens to a leg: delivered in order, and never from within one of its methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from forkproxy.signalling.midcall import PeerRequest
from forkproxy.signalling.multipart import Part


@dataclass(frozen=True, slots=True)
class Progress:
    """A provisional response above 100 came (outgoing legs)."""

    status: int
    """101 to 199; 180 is ringing, 183 with `sdp` early media."""
    reason: str
    sdp: bytes | None


@dataclass(frozen=True, slots=True)
class Answered:
    """The callee answered; the ACK has been sent (outgoing legs)."""

    status: int
    """2xx."""
    sdp: bytes | None
    """The answer; None when an earlier Progress carried it and the 200 did not repeat it."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Our answer was acknowledged (incoming legs)."""

    sdp: bytes | None
    """The caller's answer, where the INVITE had no offer and ours was in the 200; otherwise None."""


@dataclass(frozen=True, slots=True)
class Reoffered:
    """The peer wants to change the session (re-INVITE): `accept_reoffer` or `refuse_reoffer` is due."""

    sdp: bytes | None
    """Its offer; None: it wants ours."""


@dataclass(frozen=True, slots=True)
class Reanswered:
    """What we offered within the call was accepted: by 200, or by the ACK where the peer asked for it."""

    sdp: bytes | None
    """The answer; None: there is none, and so nothing has changed."""


@dataclass(frozen=True, slots=True)
class ReofferFailed:
    """What we offered within the call was refused, or not answered: the session is what it was."""

    status: int
    """488 also for an ACK without the answer that is due; 491: the peer was about to offer something."""
    reason: str


@dataclass(frozen=True, slots=True)
class ReofferWithdrawn:
    """The peer cancelled its re-INVITE; no answer is due any more."""


@dataclass(frozen=True, slots=True)
class Requested:
    """The peer sent INFO, MESSAGE, REFER or NOTIFY within the call: `request.respond` is due."""

    request: PeerRequest


@dataclass(frozen=True, slots=True)
class Described:
    """A recording client sent a request with a body within the dialog (RFC 7866, 9.1).

    An offer in it is told by `Reoffered` or asked for by `Leg.on_update`, as everybody's.
    """

    parts: tuple[Part, ...]
    """The body's parts; none where they could not be told apart."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The leg is over. Exactly once, and the last event."""

    status: int
    """200 after a BYE; otherwise the final SIP status: 486, 487 (cancelled), 408 (no response), 503 ..."""
    reason: str
    by: Literal["remote", "local", "timeout", "transport"]
    """Who or what ended it: the peer, one of the leg's own methods, a SIP timer, or the network."""


LegEvent = (
    Progress
    | Answered
    | Confirmed
    | Reoffered
    | Reanswered
    | ReofferFailed
    | ReofferWithdrawn
    | Requested
    | Described
    | Ended
)
