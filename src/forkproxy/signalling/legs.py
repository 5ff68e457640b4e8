"""Call legs: one side of a call each, as the bridge handles them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from forkproxy.errors import EngineError, SdpError, SignallingError
from forkproxy.model import Address
from forkproxy.signalling import redirects, siprec, uris
from forkproxy.signalling import sdp as descriptions
from forkproxy.signalling.events import Answered, Confirmed, Ended, LegEvent, Progress
from forkproxy.signalling.midcall import PeerResponse, content
from forkproxy.signalling.multipart import Part

if TYPE_CHECKING:
    from forkproxy.signalling._sessions import Session
    from forkproxy.signalling.dialling import Attempts
    from forkproxy.signalling.endpoint import SipEndpoint
    from forkproxy.signalling.locate import Destination

log = logging.getLogger(__name__)

Listener = Callable[["Leg", LegEvent], None]


def chosen_reason(cause: str) -> list[tuple[str, str]]:
    """A Reason header, as far as it can be sent."""
    try:
        uris.header("Reason", cause)
    except SignallingError:
        return []
    return [("Reason", cause)] if cause else []


class Leg:
    """One leg. Methods may be called at any time; on a leg that has ended they do nothing."""

    def __init__(self, endpoint: SipEndpoint, leg_id: str, on_event: Listener | None) -> None:
        self.id = leg_id
        """Unique in this process's life."""
        self.call_id = ""
        """The Call-ID header; "" until the INVITE has been built."""
        self.remote = Address("", 0)
        """Where the INVITE came from, or where it goes to."""
        self.local_host = ""
        """Our address as the peer must see it."""
        self.state = "new"
        """``new``, ``early`` (100 or more), ``answered`` (2xx), ``confirmed`` (ACK), ``ended``."""
        self.on_event = on_event
        """Called with (leg, event), on the event loop."""
        self.on_update: Callable[[bytes], bytes] | None = None
        """Gives the answer to the offer of an UPDATE, which must be answered at once. Called from within the
        stack: it must not use any leg. Raises SdpError when the offer cannot be accepted: that is a 488."""
        self._endpoint = endpoint
        self._session: Session | None = None

    @property
    def ended(self) -> bool:
        """Whether `Ended` has happened."""
        return self.state == "ended"

    def hang_up(self, status: int | None = None, reason: str = "", cause: str = "") -> None:
        """End the leg, whatever its state: a final response, CANCEL or BYE. Idempotent.

        Args:
            status: the final response to an unanswered incoming call (603 by default); on a BYE it goes into
                a Reason header, when there is a `reason`.
            reason: the reason phrase, or the text of the Reason header.
            cause: a Reason header to be sent, the other party's.
        """
        self._end(status, reason, chosen_reason(cause))

    @property
    def cause(self) -> str:
        """The Reason header (RFC 3326) of the peer's BYE or CANCEL; "" if there was none."""
        farewell = None if self._session is None else self._session.farewell
        return "" if farewell is None else content(farewell).get("reason")

    def request(
        self,
        method: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        content_type: str = "",
        body: bytes = b"",
        on_answer: Callable[[PeerResponse], None],
    ) -> bool:
        """Send a request within the call. `on_answer` is called once, unless the call ends before.

        False: the call has not been answered.

        Raises:
            SignallingError: a header cannot be sent, or PJSIP refused.
        """
        if self._session is None or self.state not in ("answered", "confirmed"):
            return False
        begun = self._session.request(method.encode(), on_answer, uris.headers(headers), content_type, body)
        self._endpoint.soon()
        return begun

    # Changing what was agreed on

    @property
    def established(self) -> bool:
        """Whether the call is up: answered and acknowledged."""
        return self.state == "confirmed"

    @property
    def idle(self) -> bool:
        """Whether `reoffer` can be called: the call is up, and no offer is open in either direction."""
        return self._session is not None and self.state == "confirmed" and self._session.idle

    def reoffer(self, sdp: bytes) -> bool:
        """Offer another session to the peer (re-INVITE). `Reanswered` or `ReofferFailed` follows.

        False: not now, because the leg is not `idle`.

        Raises:
            SdpError: `sdp` is not a session description.
            SignallingError: PJSIP refused.
        """
        descriptions.parse(sdp)
        if self._session is None or not self.idle:
            return False
        begun = self._session.reoffer(sdp)
        self._endpoint.soon()
        return begun

    def withdraw_reoffer(self) -> None:
        """CANCEL our re-INVITE. `ReofferFailed` follows, or `Reanswered` if the answer was on its way."""
        if self._session is not None and not self.ended:
            self._session.withdraw_reoffer()
            self._endpoint.soon()

    def accept_reoffer(self, sdp: bytes) -> None:
        """200 to the peer's re-INVITE: `sdp` answers its offer, or is the offer that it asked for; then
        `Reanswered` or `ReofferFailed` follows when the ACK is there.

        Raises:
            SdpError: `sdp` is not a session description.
            SignallingError: PJSIP refused.
        """
        descriptions.parse(sdp)
        if self._session is not None and not self.ended:
            self._session.accept_reoffer(sdp)
            self._endpoint.soon()

    def refuse_reoffer(self, status: int, reason: str = "", warning: str = "") -> None:
        """A failure for the peer's re-INVITE: the session stays what it is. `warning` says why.

        Raises:
            SignallingError: the status is none, or PJSIP refused.
        """
        if not 300 <= status <= 699:
            raise SignallingError(f"{status} is no refusal")
        if self._session is not None and not self.ended:
            more = [("Warning", f'399 forkproxy "{uris.quotable(warning)}"')] if warning else []
            self._endpoint.count("reoffers_refused")
            self._session.refuse_reoffer(status, uris.reason_phrase(reason), uris.headers(more))
            self._endpoint.soon()

    def update(self, sdp: bytes) -> bytes | None:
        """The answer to an UPDATE's offer, None: 488. The engine asks, from within PJSIP's stack."""
        try:
            return None if self.on_update is None else self.on_update(sdp)
        except SdpError as error:
            log.warning("leg %s: the offer of an UPDATE is refused: %s", self.id, error)
        except Exception:
            log.exception("leg %s: answering an UPDATE failed", self.id)
        return None

    def _end(self, status: int | None, reason: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        if self._session is None or self.ended:
            return
        if status is None or not 300 <= status <= 699:
            answered = self.state in ("answered", "confirmed")
            status = 200 if answered else 603 if isinstance(self, IncomingLeg) else 487
        more = uris.headers(headers, redirect=True)
        try:
            self._session.end(status, uris.reason_phrase(reason), more)
        except EngineError:
            log.exception("leg %s cannot be ended in order, and is dropped", self.id)
            self._session.terminate(status)
        self._endpoint.soon()

    def happened(self, event: LegEvent) -> None:
        """The endpoint reports; not for others."""
        match event:
            case Progress():
                self.state = "early"
            case Answered() | Confirmed():
                self.state = "confirmed"
            case Ended():
                self.state = "ended"
        try:
            if self.on_event is not None:
                self.on_event(self, event)
        except Exception:
            log.exception("leg %s: the listener failed on %r", self.id, event)
            if not self.ended:
                self.hang_up(500)
        if self.ended:
            # Nothing more will be said. Otherwise leg, session and listener would hold one another, and what
            # a call used would be free only when Python looks for such circles, thousands of calls later.
            self.on_event = self.on_update = None
            if self._session is not None:
                self._session.owner = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.state} {self.remote}>"


class IncomingLeg(Leg):
    """A call that came in. 100 Trying has been sent; ring(), answer() or reject() is the application's."""

    def __init__(self, endpoint: SipEndpoint, leg_id: str, session: Session) -> None:
        super().__init__(endpoint, leg_id, None)
        self._session = session
        self.state = "early"
        self.call_id = session.call_id
        self.remote = Address(session.host, session.port)
        self.local_host = session.local_host.decode()
        self.from_uri = session.from_uri
        """Without display name: ``sip:alice@192.0.2.7``."""
        self.from_display = session.from_display
        self.from_user = session.from_user
        """The user part of From, or the number of a tel: URI."""
        self.to_uri = session.to_uri
        self.request_uri = session.request_uri
        self.to_user = session.to_user
        """The user part of the Request-URI: what was called."""
        self.max_forwards = session.max_forwards
        """Hops that are left; a second leg is dialled with one less, so that calls in a circle end."""
        self.offer: bytes | None = session.remote_sdp
        """The INVITE's session description; None: the caller wants our offer, in the 200."""
        self.transport = session.transport
        """``udp``, ``tcp`` or ``tls``."""
        self.trunk = session.trunk
        """The name of the trunk that the caller has shown to be of, by a password; None: see its address."""
        self.recording = session.recording
        """Whether the caller is a recording client (RFC 7866): what it sends is another call's audio."""

    @cached_property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Every header of the INVITE, in order, unfolded; octets that are not UTF-8 as U+FFFD."""
        assert self._session is not None
        return content(self._session.message).headers

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The parts of the INVITE's body; none where they cannot be told apart."""
        assert self._session is not None
        return siprec.parts_of(self._session.message)

    def ring(self, status: int = 180, reason: str = "", sdp: bytes | None = None) -> None:
        """Send a provisional response; `sdp` (in a 183) begins early media, and is our answer for good.

        Raises:
            SdpError: `sdp` is not a session description.
            SignallingError: `status` is not 101 to 199, or PJSIP refused.
        """
        if not 101 <= status <= 199:
            raise SignallingError(f"{status} is no provisional response")
        if sdp is not None:
            descriptions.parse(sdp)
        if self._session is not None and self.state in ("new", "early"):
            self._session.ring(status, uris.reason_phrase(reason), sdp)
            self._endpoint.soon()

    def answer(self, sdp: bytes) -> None:
        """Send 200. After an answer in a 183 that one is repeated. Without an offer, `sdp` is our offer.

        Raises:
            SdpError: `sdp` is not a session description.
            SignallingError: PJSIP refused.
        """
        descriptions.parse(sdp)
        if self._session is not None and self.state in ("new", "early"):
            self._session.answer(sdp)
            self.state = "answered"
            self._endpoint.soon()

    def reject(self, status: int, reason: str = "", headers: Sequence[tuple[str, str]] = ()) -> None:
        """Send a final response of 300 to 699, with more headers if need be (Contact in a 302, Retry-After).

        Raises:
            SignallingError: the status or a header cannot be sent.
        """
        if not 300 <= status <= 699:
            raise SignallingError(f"{status} is no refusal")
        if self.state in ("new", "early"):
            self._end(status, reason, headers)


class OutgoingLeg(Leg):
    """A call that we placed."""

    def __init__(self, endpoint: SipEndpoint, leg_id: str, on_event: Listener, uri: uris.SipUri) -> None:
        super().__init__(endpoint, leg_id, on_event)
        self.uri = uri.text
        self.remote = Address(uri.host, uri.port or (5061 if uri.transport == "tls" else 5060))
        self.given_up = False
        """Whether we have hung up; then nothing more is tried."""
        self.attempts: Attempts | None = None

    @property
    def contacts(self) -> list[str]:
        """Where the callee's 3xx says that it is, best first; empty where that says nothing usable."""
        farewell = None if self._session is None else self._session.farewell
        return [] if farewell is None else redirects.contacts(content(farewell))

    def hang_up(self, status: int | None = None, reason: str = "", cause: str = "") -> None:
        again, self.given_up = self.given_up, True
        if self._session is None and not self.ended and not again:
            self._endpoint.abandon(self)  # its name is being looked up, or it has just been refused
            return
        super().hang_up(status, reason, cause)

    def dialled(self, session: Session, destination: Destination) -> None:
        """An INVITE is on its way; not for others."""
        self._session = session
        self.remote = Address(destination.host, destination.port)
        self.call_id = session.call_id
        self.local_host = session.local_host.decode()
