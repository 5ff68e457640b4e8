"""Changes to a call that is up: hold and resume, other codecs and addresses, in both directions.

The rules:

1. A re-INVITE whose party wants another direction (hold, resume), or codecs that cannot be turned into those
   of the other party, goes on to that party, and its answer, or its refusal, comes back. All else is answered
   here: the relay hides addresses, ports, keys and codecs of one party from the other.
2. An UPDATE has to be answered at once (RFC 3311, 5.2), and a re-INVITE without an offer gets ours; so both
   are answered here, and the other party is told of what they change by a re-INVITE of ours.
3. One offer at a time: while a party has one open, the other's re-INVITE is refused with 491. A re-INVITE of
   ours that meets one of the party's own (491) is repeated after the time of RFC 3261, 14.1; one that was
   passed on is not, since the party that it came from does the same.
4. What fails leaves the old session, on both legs.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

from forkproxy.bridge.party import BOTH_WAYS, Party, Proposal, Way
from forkproxy.errors import MediaError, SdpError, SignallingError
from forkproxy.signalling import Leg, OutgoingLeg
from forkproxy.signalling import events as sip

MOST_OFFERS = 4
"""How many re-INVITEs of ours may follow from one event: two parties that disagree do not keep us busy."""

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


def glare_delay(owner: bool) -> float:
    """Seconds until a re-INVITE that met another is repeated (RFC 3261, 14.1).

    Args:
        owner: whether we chose the Call-ID.
    """
    return random.randrange(210, 401) / 100 if owner else random.randrange(201) / 100


@dataclass(slots=True, eq=False)
class Side:
    """A leg with its party, and what is open on it."""

    leg: Leg
    party: Party
    proposal: Proposal | None = None
    """Our offer that is open."""
    origin: Side | None = None
    """Whose re-INVITE it carries."""
    asked: bytes | None = None
    """Its own offer, which waits for the other party."""
    refused: Way | None = None
    """What it did not want to hear."""
    again: asyncio.TimerHandle | None = None
    """When our offer is repeated."""

    @property
    def busy(self) -> bool:
        """Whether an offer is open, or it is too early or too late for one."""
        return self.proposal is not None or self.asked is not None or not self.leg.idle


class Reoffers:
    """What is being changed in one call."""

    def __init__(
        self,
        log: Log,
        changed: Callable[[Side], None],
        *,
        delay: Callable[[bool], float] = glare_delay,
    ) -> None:
        """
        Args:
            log: the call's.
            changed: told when what a party has agreed on has changed, and the relay knows it.
            delay: see `glare_delay`.
        """
        self.caller: Side | None = None
        self.callee: Side | None = None
        """The one that is connected."""
        self._log = log
        self._changed = changed
        self._delay = delay
        self._offers = 0

    def close(self) -> None:
        """The call is over."""
        for side in (self.caller, self.callee):
            if side is not None:
                self._calm(side)
        self.caller = self.callee = None

    def callee_is(self, side: Side | None) -> None:
        """Another callee is connected, or none any more."""
        before, self.callee = self.callee, side
        self._offers = 0
        if before is not None:
            self._calm(before)
            if self.caller is not None and self.caller.proposal is not None:
                self.caller.origin = None
        if self.caller is not None and self.caller.asked is not None:
            self._answer(self.caller, self.caller.asked)
        self.reconcile()

    # What happens

    def happened(self, side: Side, event: sip.LegEvent) -> None:
        """An event of one of the legs."""
        match event:
            case sip.Reoffered(None):
                self._offers = 0
                self._answer_with_offer(side)
            case sip.Reoffered(sdp) if sdp is not None:
                self._offers = 0
                self._reoffered(side, sdp)
            case sip.Reanswered():
                self._reanswered(side, event.sdp)
            case sip.ReofferFailed():
                self._failed(side, event)
            case sip.ReofferWithdrawn():
                self._withdrawn(side)
            case _:
                pass

    def update(self, side: Side, offer: bytes) -> bytes:
        """The answer to an UPDATE's offer. `reconcile` must be called later: now no leg may be used.

        Raises:
            SdpError, MediaError: the offer cannot be accepted.
        """
        if side.proposal is not None or side.asked is not None:
            raise SdpError("another offer is open")
        self._offers = 0
        other = self._other(side)
        codecs = None if other is None else other.party.now.remote.codecs
        change = side.party.answer(offer, codecs, BOTH_WAYS if other is None else other.party.now.will)
        try:
            side.party.apply(change)
        except MediaError as error:
            raise SdpError(str(error)) from error
        self._changed(side)
        return change.local

    def reconcile(self) -> None:
        """Offer a party what the other one wants by now, if it has been told something else."""
        for side in (self.callee, self.caller):
            if side is None or side.busy or side.again is not None:
                continue
            other = self._other(side)
            if other is not None and other.asked is not None:
                continue
            will = BOTH_WAYS if other is None else other.party.now.will
            if side.party.hears_of(will) or side.refused == will or self._offers >= MOST_OFFERS:
                continue
            self._offers += 1
            try:
                self._offer(side, will, None)
            except (SdpError, SignallingError) as error:
                side.refused = will
                self._log.warning("a party cannot be told of a change: %s", error)

    # The steps

    def _reoffered(self, side: Side, offer: bytes) -> None:
        other = self._other(side)
        try:
            session = side.party.read(offer)
            will = Way.of(session.direction)
            if (
                other is None
                or not other.leg.established
                or (other.party.hears_of(will) and self._reaches(side, offer, other))
            ):
                self._answer(side, offer)
                return
        except (SdpError, MediaError) as error:
            self._refuse(side, 488, str(error))
            return
        if other.busy or other.again is not None:
            self._refuse(side, 491, "the other party is about to change the session, too")
            return
        try:
            self._offer(other, will, side, offer)
            side.asked = offer
        except (SdpError, SignallingError) as error:
            self._refuse(side, 488, str(error))

    @staticmethod
    def _reaches(side: Side, offer: bytes, other: Side) -> bool:
        """Whether an answer is possible without asking the other party."""
        try:
            side.party.answer(offer, other.party.now.remote.codecs, other.party.now.will)
        except SdpError:
            return False
        return True

    def _answer(self, side: Side, offer: bytes) -> None:
        """Accept a re-INVITE with what the other party has."""
        side.asked = None
        other = self._other(side)
        codecs = None if other is None else other.party.now.remote.codecs
        will = BOTH_WAYS if other is None else other.party.now.will
        try:
            change = side.party.answer(offer, codecs, will)
            side.party.apply(change)
            side.leg.accept_reoffer(change.local)
        except (SdpError, MediaError) as error:
            self._refuse(side, 488, str(error))
            return
        side.refused = None
        self._changed(side)
        self.reconcile()

    def _answer_with_offer(self, side: Side) -> None:
        """A re-INVITE without an offer: ours goes with the 200."""
        other = self._other(side)
        try:
            if other is None:
                side.proposal = side.party.offer(None, BOTH_WAYS)
            else:
                side.proposal = side.party.offer(other.party.now, other.party.now.will, other.party.security)
            side.leg.accept_reoffer(side.proposal.text)
        except SdpError as error:
            side.proposal = None
            self._refuse(side, 488, str(error))

    def _offer(self, side: Side, will: Way, origin: Side | None, offer: bytes | None = None) -> None:
        """Send a re-INVITE; with `offer`, it passes that one of `origin` on.

        Raises:
            SdpError, SignallingError: it cannot be made.
        """
        other = self._other(side)
        if other is None:
            proposal = side.party.offer(None, will)
        elif offer is None:
            proposal = side.party.offer(other.party.now, will, other.party.security)
        else:
            proposal = side.party.offer(other.party.seen(offer), will, other.party.security)
        if side.leg.reoffer(proposal.text):
            side.proposal, side.origin = proposal, origin
        elif origin is not None:
            raise SignallingError("the other party's leg cannot be changed now")

    def _reanswered(self, side: Side, answer: bytes | None) -> None:
        proposal, origin = side.proposal or side.party.standing(), side.origin
        side.proposal = side.origin = side.refused = None
        try:
            if answer is None:
                raise SdpError("there is no answer to our offer")
            side.party.apply(side.party.answered(proposal, answer))
            self._changed(side)
        except (SdpError, MediaError) as error:
            self._log.warning("an answer within the call cannot be used: %s", error)
            if origin is not None and origin.asked is not None:
                self._refuse(origin, 488, str(error))
            return
        if origin is not None and origin.asked is not None:
            self._answer(origin, origin.asked)
        else:
            self.reconcile()

    def _failed(self, side: Side, event: sip.ReofferFailed) -> None:
        proposal, origin = side.proposal, side.origin
        side.proposal = side.origin = None
        if origin is not None and origin.asked is not None:
            status = 488 if event.status in (401, 407) or event.status < 400 else event.status
            self._refuse(origin, status, event.reason)
            return
        if proposal is None:
            return
        if event.status == 491:
            self._calm(side)
            delay = self._delay(isinstance(side.leg, OutgoingLeg))
            side.again = asyncio.get_running_loop().call_later(delay, self._repeat, side)
            return
        if event.status != 487:
            self._log.warning("a party refused a change of the session (%d %s)", event.status, event.reason)
            side.refused = proposal.way
        self.reconcile()

    def _repeat(self, side: Side) -> None:
        side.again = None
        self._offers = 0
        self.reconcile()

    def _withdrawn(self, side: Side) -> None:
        side.asked = None
        other = self._other(side)
        if other is not None and other.origin is side:
            other.origin = None
            other.leg.withdraw_reoffer()

    def _refuse(self, side: Side, status: int, reason: str) -> None:
        side.asked = None
        self._log.info("a change of the session is refused (%d): %s", status, reason)
        side.leg.refuse_reoffer(status, warning=reason)

    def _other(self, side: Side) -> Side | None:
        return self.callee if side is self.caller else self.caller

    @staticmethod
    def _calm(side: Side) -> None:
        if side.again is not None:
            side.again.cancel()
            side.again = None
