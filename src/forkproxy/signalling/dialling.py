"""An outgoing call's INVITEs: to one destination after the other, until one responds (RFC 3263, 4.3)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forkproxy.errors import EngineError, SdpError
from forkproxy.signalling import _calls
from forkproxy.signalling.locate import Destination
from forkproxy.signalling.uris import SipUri

if TYPE_CHECKING:
    from forkproxy.signalling._sessions import Session
    from forkproxy.signalling.endpoint import SipEndpoint
    from forkproxy.signalling.legs import OutgoingLeg

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds that a destination has for its first response (100 counts) where there is another one to try."""
UNAVAILABLE = (408, 503)
"""Final responses for which the next destination is tried; as are silence and broken connections."""


@dataclass(frozen=True, slots=True)
class Invite:
    """What every INVITE of a call says."""

    target: SipUri
    local: bytes
    remote: bytes
    sdp: bytes
    headers: list[tuple[bytes, bytes]]
    username: bytes | None
    password: bytes | None
    max_forwards: int
    patience: float | None
    """As PATIENCE, and for the last destination, too; None: that one has SIP's 32 seconds."""
    about: str
    """What the call is known by to the one who placed it."""
    sdp_for: Callable[[str], bytes] | None = None
    """The offer for a destination: our address in it depends on where that is. None: `sdp` for all."""


class Attempts:
    """The INVITEs of one leg."""

    def __init__(self, endpoint: SipEndpoint, leg: OutgoingLeg, invite: Invite) -> None:
        self._endpoint = endpoint
        self._leg = leg
        self._invite = invite
        self._left: list[Destination] = []
        self._current: Destination | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, found: Sequence[Destination]) -> None:
        """Send the first INVITE; what prevents that is the leg's end."""
        loop = asyncio.get_running_loop()
        usable = [each for each in found if self._endpoint.listener_for(each) is not None]
        self._left = self._endpoint.health.order(usable, loop.time())
        if self._left:
            self._next()
        elif found:
            why = f"no listener reaches {found[0]}"
            self._endpoint.fail(self._leg, 502, why)
        else:
            self._endpoint.fail(self._leg, 502, f"{self._invite.target.host} cannot be resolved")

    def _next(self) -> None:
        destination = self._current = self._left.pop(0)
        listener = self._endpoint.listener_for(destination)
        assert listener is not None  # `begin` has left the others out; listeners stay while calls do
        invite = self._invite
        host = self._endpoint.own.host(listener.url, destination.host)
        try:
            sdp = invite.sdp if invite.sdp_for is None else invite.sdp_for(destination.host)
            session = _calls.invite(
                self._endpoint.agent, listener.home, invite.target.text.encode(), invite.local, invite.remote,
                host.encode(), self._endpoint.own.port(listener.url), sdp, invite.headers,
                invite.username, invite.password, invite.max_forwards, self._leg,
                destination.host, destination.port, invite.target.host.encode(),
            )  # fmt: skip
        except (EngineError, SdpError) as error:
            self._endpoint.fail(self._leg, 500, str(error))
            return
        self._leg.dialled(session, destination)
        self._endpoint.on_dialled(invite.about, self._leg.call_id)
        patience = invite.patience if invite.patience is not None or not self._left else PATIENCE
        if patience is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(patience, self._impatient, session)

    def _impatient(self, session: Session) -> None:
        self._timer = None
        if not session.give_up():
            return
        self._endpoint.soon()
        if not self.ended(session, 408, "timeout"):
            self._endpoint.fail(self._leg, 408, "Request Timeout", by="timeout")

    def heard(self) -> None:
        """The destination has sent a provisional response or an answer: it is the one."""
        self._stop_timer()
        if self._current is not None:
            self._endpoint.health.good(self._current)

    def ended(self, session: Session, status: int, by: str) -> bool:
        """The INVITE has ended; True: it was not the last, and the next one is on its way."""
        self._stop_timer()
        destination = self._current
        if destination is None or self._leg.state != "new":
            return False
        if status not in UNAVAILABLE and by not in ("timeout", "transport"):
            if by == "remote":
                self._endpoint.health.good(destination)
            return False
        if self._leg.given_up:
            return False
        self._endpoint.health.bad(destination, asyncio.get_running_loop().time())
        if not self._left:
            return False
        log.warning(
            "%s failed with %d (%s); the call goes to %s", destination, status, by, self._left[0],
            extra={"leg": self._leg.id},
        )  # fmt: skip
        self._endpoint.intake.count("failed_over")
        session.owner = None
        self._next()
        self._endpoint.soon()
        return True

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
