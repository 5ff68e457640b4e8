"""The SIP endpoint: listens, takes calls, places calls, answers everything else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from forkproxy.errors import SdpError, SignallingError
from forkproxy.model import Address, Terms, new_sid
from forkproxy.signalling import _dialogs, _requests, _sessions, _transports, siprec, uris
from forkproxy.signalling import sdp as descriptions
from forkproxy.signalling.access import Admit, Refused
from forkproxy.signalling.dialling import Attempts, Invite
from forkproxy.signalling.driver import Driver, driver
from forkproxy.signalling.events import (
    Answered,
    Confirmed,
    Described,
    Ended,
    Progress,
    Reanswered,
    Reoffered,
    ReofferFailed,
    ReofferWithdrawn,
    Requested,
)
from forkproxy.signalling.gate import Gate
from forkproxy.signalling.health import Health
from forkproxy.signalling.intake import Intake, TraceMessage
from forkproxy.signalling.legs import IncomingLeg, Leg, Listener, OutgoingLeg
from forkproxy.signalling.listeners import (
    SCHEMES,
    AnyListener,
    DatagramListener,
    StreamListener,
    parse_listen,
)
from forkproxy.signalling.locate import Destination, transport_of
from forkproxy.signalling.midcall import PeerRequest, PeerResponse, content
from forkproxy.signalling.own import OwnAddresses
from forkproxy.signalling.requests import Reply, headers_of
from forkproxy.signalling.resolver import Resolver
from forkproxy.signalling.tls import Certificates, TlsSettings

if TYPE_CHECKING:
    from forkproxy.signalling._sessions import Event, Session
    from forkproxy.signalling._transports import Agent, Transport

log = logging.getLogger(__name__)

CLOSING = 2.0
"""Seconds that close() waits for the answers to its own BYEs and CANCELs."""
UNREFRESHED = "No session refresh received."
"""PJSIP's reason for the end of a leg whose session timer ran out."""
WATCH = 10.0
"""Seconds between looks at the files of the certificates."""
COUNTED = (
    "calls_in", "calls_out", "refused", "refused_draining", "unacceptable", "merged", "too_many_hops",
    "refreshed", "reoffers", "updated", "reoffers_refused", "options", "requests_passed", "methods_refused",
    "unmatched", "stray_requests", "stray_responses", "malformed_syntax", "malformed_header",
    "malformed_length", "malformed_oversize", "malformed_empty", "malformed_sdp", "mended",
    "keepalives", "send_errors",
    "connections_refused", "connections_failed", "connections_idle", "connections_stalled",
    "failed_over", "registrations_failed", "sessions_expired", "connections_dead",
    "tls_failed", "tls_reloaded",
)  # fmt: skip
"""The counters that only grow; docs/sip.md says what each means."""


class SipEndpoint:
    """SIP on some sockets. Made, started, used and closed on one event loop; several may share a process."""

    def __init__(
        self,
        *,
        listen: Sequence[str],
        advertise: str | Sequence[str] | None = None,
        user_agent: str,
        on_invite: Callable[[IncomingLeg], None],
        admit: Admit,
        nameservers: Sequence[Address] = (),
        gate: Gate | None = None,
        takes_call: Callable[[], bool] = lambda: True,
        terms: Terms | None = None,
        tls: TlsSettings | None = None,
        keep_alive: float | None = None,
    ) -> None:
        """
        Args:
            listen: ``udp://127.0.0.1:5060``, ``tcp://[::1]:0``, ``tls://...``; port 0 picks one.
            advertise: the public ``host[:port]`` when behind NAT, or one for IPv4 and one for IPv6; it goes
                into Contact and Via.
            user_agent: what User-Agent and Server say.
            on_invite: called with every new call that is admitted.
            admit: whether a request outside dialogs is heard.
            gate: what strangers may send at all; None: everything.
            takes_call: whether one more call is taken; 503 otherwise.
            nameservers: whom to ask for names instead of the system's; they hold for the whole process.
            terms: session timers and reliable responses; `terms` changes them for the calls to come.
            tls: the certificates; ``tls://`` listen addresses need them.
            keep_alive: seconds between keep-alives on connections that we opened and that carry calls.

        Raises:
            SignallingError: a listen address, `advertise` or a certificate cannot be used; it is named.
            EngineError: PJSIP cannot be loaded.
        """
        self._urls = [parse_listen(url) for url in listen]
        if not self._urls:
            raise SignallingError("nothing to listen on: give at least one udp:// or tcp:// address")
        if tls is None and (needing := next((url for url in self._urls if url.scheme == "tls"), None)):
            raise SignallingError(f"{needing.url}: TLS needs a certificate")
        self.certificates = None if tls is None else Certificates(tls)
        self.keep_alive = keep_alive
        self._watching: asyncio.TimerHandle | None = None
        self.own = OwnAddresses(advertise)
        self._product = uris.reason_phrase(user_agent) or b"forkproxy"
        self._on_invite = on_invite
        self._admit = admit
        self._takes_call = takes_call
        self._driver: Driver = driver()
        self.agent: Agent = _transports.Agent(self._product, self._decide)
        self.terms = terms or Terms()
        self.accepting = True
        """False: new calls get 503 with Retry-After."""
        self._listeners: list[AnyListener] = []
        self.intake = Intake(self._driver, gate)
        if gate is not None:
            gate.talks = self._talks
        self._counts = self.intake.counts
        self._legs: dict[str, Leg] = {}
        self._idle = asyncio.Event()
        self._dialling: set[asyncio.Task[None]] = set()
        self._nameservers = tuple(nameservers)
        self.on_dialled: Callable[[str, str], None] = lambda _about, _call_id: None
        """Told the `about` and the Call-ID of each INVITE that goes out."""
        self.health = Health()
        """Which destinations of outgoing calls answer."""
        self._running = False

    # -- life -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the sockets.

        Raises:
            SignallingError: one cannot be had; the message names the listen URL. Nothing stays open.
        """
        self._driver.attach(self)
        if self._nameservers:
            self._driver.resolver = Resolver(self._nameservers)
        self._running = True
        for url in self._urls:
            opener = DatagramListener if url.scheme == "udp" else StreamListener
            try:
                self._listeners.append(await opener.open(self, self.agent, url))
            except OSError as error:
                await self.close()
                raise SignallingError(f"cannot listen on {url.url}: {error.strerror or error}") from error
        if self.certificates is not None:
            self._watch_certificates()

    def _watch_certificates(self) -> None:
        """Certificates are renewed by others, while we run."""
        assert self.certificates is not None
        if self.certificates.refresh():
            self.intake.count("tls_reloaded")
        self._watching = asyncio.get_running_loop().call_later(WATCH, self._watch_certificates)

    def reload_certificates(self) -> None:
        """Read the certificates again now, changed or not; connections that are open stay as they are.

        Raises:
            SignallingError: a file cannot be used; the old certificates stay.
        """
        if self.certificates is not None:
            self.certificates.reload()
            self.intake.count("tls_reloaded")

    @property
    def listening(self) -> list[str]:
        """``udp:127.0.0.1:5060`` and so on, with the real ports, in the order of `listen`."""
        return [
            f"{url.scheme}:{Address(url.host, url.port)}" for url in (each.url for each in self._listeners)
        ]

    async def close(self) -> None:
        """End every leg, give the goodbyes a moment to be answered, close the sockets. Idempotent."""
        if not self._running:
            return
        self.accepting = False
        self._idle.clear()
        for leg in tuple(self._legs.values()):
            leg.hang_up()
        if self._legs:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSING):
                    await self._idle.wait()
        for session in tuple(self.agent.sessions):
            session.terminate(503)
        self._driver.pump()
        self._running = False
        if self._watching is not None:
            self._watching.cancel()
        for task in self._dialling:
            task.cancel()
        for listener in self._listeners:
            await listener.close()
        self._driver.engine.run_timers()  # what nothing uses any more is released now, not at the next start
        self._driver.pump()
        self._driver.detach(self)
        self._listeners.clear()

    # -- calls ----------------------------------------------------------------------------------------------

    def dial(
        self,
        uri: str,
        *,
        sdp: bytes,
        from_uri: str,
        from_display: str = "",
        to_display: str = "",
        headers: Sequence[tuple[str, str]] = (),
        username: str | None = None,
        password: str | None = None,
        max_forwards: int = 70,
        patience: float | None = None,
        about: str = "",
        sdp_for: Callable[[str], bytes] | None = None,
        on_event: Listener,
    ) -> OutgoingLeg:
        """Place a call.

        Args:
            uri: whom; ``;transport=tcp`` chooses the transport (else UDP), ``?x-name=value`` adds headers.
            sdp: our offer.
            headers: more headers for the INVITE.
            username, password: answer 401 and 407 with these (MD5 or SHA-256 digest, any realm).
            max_forwards: hops that the call may take.
            patience: seconds that each destination has for its first response; None: five, and SIP's 32 for
                the last one.
            about: what the call is known by to the caller of this; `on_dialled` is told it.
            sdp_for: asked with the address of each destination for the offer that it gets in place of `sdp`.

        Raises:
            SignallingError: the URI or a header is malformed, or nothing listens on the transport. What the
                network does comes as `Ended` (503, 408, ...).
            SdpError: `sdp` is not a session description.
        """
        target = uris.parse_uri(uri)
        local = uris.name_addr(from_display, from_uri)
        remote = uris.name_addr(to_display, uris.without_parameters(target))
        extra = uris.headers((*headers, *target.headers))
        descriptions.parse(sdp)
        if target.transport not in SCHEMES:
            raise SignallingError(
                f"{uri!r}: transport {target.transport} is not supported; udp, tcp and tls are"
            )
        located = self._driver.resolver.located(target)
        settled = located is not None or target.port is not None or transport_of(target.text) is not None
        if settled and target.transport not in self.schemes:
            raise SignallingError(f"{uri!r} needs a {target.transport}:// listen address")
        leg = OutgoingLeg(self, new_sid("SL"), on_event, target)
        self._legs[leg.id] = leg
        self._counts["calls_out"] += 1
        leg.attempts = Attempts(
            self,
            leg,
            Invite(
                target=target,
                local=local,
                remote=remote,
                sdp=sdp,
                headers=extra,
                username=None if username is None else username.encode(),
                password=None if password is None else password.encode(),
                max_forwards=max_forwards,
                patience=patience,
                about=about,
                sdp_for=sdp_for,
            ),
        )
        if located is not None:
            leg.attempts.begin(located)
        else:
            task = asyncio.get_running_loop().create_task(self._look_up(target, leg, leg.attempts))
            self._dialling.add(task)
            task.add_done_callback(self._dialling.discard)
        self.soon()
        return leg

    async def _look_up(self, target: uris.SipUri, leg: Leg, attempts: Attempts) -> None:
        found = await self.locate(target)
        if not leg.ended:
            attempts.begin(found)
            self.soon()

    async def locate(self, target: uris.SipUri) -> list[Destination]:
        """Where a URI leads (RFC 3263), best first; empty where it leads nowhere."""
        return await self._driver.resolver.locate(target, self.schemes)

    def last_located(self, target: uris.SipUri) -> list[Destination]:
        """Where a URI led when it was located last, for a call say; empty when it was not."""
        return self._driver.resolver.last(target)

    @property
    def schemes(self) -> list[str]:
        """The transports that we have, in the order in which we like to use them."""
        return list(dict.fromkeys(listener.url.scheme for listener in self._listeners))

    def listener_for(self, destination: Destination) -> AnyListener | None:
        """Our listener from which a destination can be reached; None: there is none."""
        for listener in self._listeners:
            if (listener.url.scheme, listener.url.v6) == (destination.transport, ":" in destination.host):
                return listener
        return None

    def contact(self, destination: Destination) -> str:
        """Our host and port, as a Contact says them to a destination."""
        listener = self.listener_for(destination)
        if listener is None:
            return ""
        host = self.own.host(listener.url, destination.host)
        return str(Address(host, self.own.port(listener.url)))

    async def request(
        self,
        method: str,
        uri: str,
        destination: Destination,
        *,
        from_uri: str,
        to_uri: str,
        call_id: str,
        cseq: int,
        headers: Sequence[tuple[str, str]] = (),
        answer: tuple[str, str] | None = None,
        contact_user: str | None = None,
    ) -> Reply:
        """Send REGISTER or OPTIONS outside of calls, once, and wait for what becomes of it.

        Args:
            answer: the header that answers a challenge.
            contact_user: with a Contact at our address, with this user part.

        Raises:
            SignallingError: a URI or header is malformed, or no listener reaches the destination.
        """
        listener = self.listener_for(destination)
        if listener is None:
            raise SignallingError(f"no listener reaches {destination}")
        host = self.own.host(listener.url, destination.host)
        port = self.own.port(listener.url)
        contact = None
        if contact_user is not None:
            tail = "" if destination.transport == "udp" else f";transport={destination.transport}"
            contact = uris.name_addr("", f"sip:{contact_user}@{self.contact(destination)}{tail}")
        more = uris.headers(headers)
        if answer is not None:
            more.append(uris.credentials(*answer))
        outcome: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        _requests.send(
            self.agent, listener.home, method.encode(), uris.parse_uri(uri).text.encode(),
            uris.name_addr("", from_uri), uris.name_addr("", to_uri), contact, call_id.encode(), cseq,
            host.encode(), port, destination.host, destination.port, more, outcome,
        )  # fmt: skip
        self.soon()
        return await outcome

    def abandon(self, leg: OutgoingLeg) -> None:
        """A leg is hung up before its INVITE went out."""
        self.fail(leg, 487, "Request Terminated", by="local")

    def fail(
        self,
        leg: Leg,
        status: int,
        reason: str,
        *,
        by: Literal["local", "timeout", "transport"] = "transport",
    ) -> None:
        """A leg ends that has no session, or none any more; told later, as all events are."""

        def tell() -> None:
            self._forget(leg)
            if not leg.ended:
                leg.happened(Ended(status, reason, by))

        asyncio.get_running_loop().call_soon(tell)

    # -- what the engine reports ----------------------------------------------------------------------------

    def deliver(self, event: Event) -> None:
        """One event of the engine, turned into the leg's."""
        session, kind, status, reason, detail = event
        if isinstance(session, _dialogs.Dialog):
            session.owner.happened(kind, status, reason, detail)
            return
        if kind == _requests.RESPONSE:
            outcome: asyncio.Future[Reply] = session.owner
            if not outcome.done():
                outcome.set_result(
                    Reply(status, reason, () if detail is None else headers_of(detail), detail is not None)
                )
            return
        if kind == _sessions.EVENT_INVITE:
            self._invited(session)
            return
        leg: Leg | None = session.owner
        if leg is None or leg.ended:
            return
        attempts = leg.attempts if isinstance(leg, OutgoingLeg) else None
        if attempts is not None and kind == _sessions.EVENT_ENDED:
            if attempts.ended(session, status, detail):
                return
        elif attempts is not None:
            attempts.heard()
        if kind == _sessions.EVENT_PROGRESS:
            leg.happened(Progress(status, reason, detail))
        elif kind == _sessions.EVENT_ANSWERED:
            leg.happened(Answered(status, detail))
        elif kind == _sessions.EVENT_CONFIRMED:
            leg.happened(Confirmed(detail))
        elif kind == _sessions.EVENT_REOFFERED:
            self._counts["reoffers"] += 1
            leg.happened(Reoffered(detail))
        elif kind == _sessions.EVENT_REANSWERED:
            leg.happened(Reanswered(detail))
        elif kind == _sessions.EVENT_REFUSED:
            leg.happened(ReofferFailed(status, reason))
        elif kind == _sessions.EVENT_WITHDRAWN:
            leg.happened(ReofferWithdrawn())
        elif kind == _sessions.EVENT_REQUESTED:
            self._counts["requests_passed"] += 1
            leg.happened(Requested(PeerRequest(detail)))
        elif kind == _sessions.EVENT_RESPONDED:
            on_answer, message = detail
            on_answer(PeerResponse(status, reason, content(message or b"")))
        elif kind == _sessions.EVENT_DESCRIBED:
            leg.happened(Described(siprec.parts_of(detail)))
        else:
            self._forget(leg)
            if reason == UNREFRESHED:
                self._counts["sessions_expired"] += 1
            leg.happened(Ended(status, reason, detail))

    def _talks(self, call_id: str) -> bool:
        return any(each.call_id == call_id for each in self.agent.sessions)

    def _forget(self, leg: Leg) -> None:
        self._legs.pop(leg.id, None)
        if not self._legs:
            self._idle.set()

    def _invited(self, session: Session) -> None:
        leg = IncomingLeg(self, new_sid("SL"), session)
        session.owner = leg
        self._legs[leg.id] = leg
        self._counts["calls_in"] += 1
        if leg.offer is not None:
            try:
                descriptions.parse(leg.offer)
            except SdpError as error:
                self.intake.malformed("sdp")
                log.warning("call %s from %s refused: %s", leg.call_id, leg.remote, error)
                leg.reject(
                    488, "Not Acceptable Here", [("Warning", f'399 forkproxy "{uris.quotable(str(error))}"')]
                )
                return
        try:
            self._on_invite(leg)
        except Exception:
            log.exception("call %s from %s: taking it failed", leg.call_id, leg.remote)
            leg.hang_up(500)

    def _decide(
        self, method: str, host: str, port: int, transport: Transport, message: bytes
    ) -> tuple[bytes, int, str | None] | tuple[int, Sequence[tuple[bytes, bytes]]]:
        """Whether a request outside dialogs is heard; runs inside PJSIP's stack, so it only decides."""
        try:
            verdict = self._admit(Address(host, port), method, message)
        except Exception:
            log.exception("%s from %s: admitting it failed", method, host)
            return 500, ()
        if isinstance(verdict, Refused):
            self._counts["refused"] += 1
            return verdict.status, [(name.encode(), value.encode()) for name, value in verdict.headers]
        if method == "INVITE" and not self.accepting:
            self._counts["refused_draining"] += 1
            return 503, ()
        if method == "INVITE" and not self._takes_call():
            return 503, ()
        for listener in self._listeners:
            if listener.home is transport or listener.home is transport.listener:
                return self.own.host(listener.url, host).encode(), self.own.port(listener.url), verdict.trunk
        return 503, ()

    @property
    def terms(self) -> Terms:
        """Session timers and reliable responses, as the next call agrees to them."""
        return self.agent.terms

    @terms.setter
    def terms(self, terms: Terms) -> None:
        self.agent.terms = terms

    # -- figures --------------------------------------------------------------------------------------------

    def counters(self) -> dict[str, int]:
        """What is held now, and what has happened since the start (docs/sip.md says what each means)."""
        held = self._driver.engine.counters()
        figures = {
            "legs": len(self._legs),
            "dialogs": held["dialogs"],
            "transactions": held["transactions"],
            "transports": held["transports"],
            "pools": held["pools"],
            "pool_bytes": held["pool_bytes"],
            "tcp_connections": self._connections("tcp"),
            "tls_connections": self._connections("tls"),
            "received": self.agent.received,
            "sent": self.agent.sent,
            "malformed": 0,
        }
        figures |= dict.fromkeys(COUNTED, 0) | self._counts | self.agent.counts
        figures["malformed"] = sum(value for name, value in figures.items() if name.startswith("malformed_"))
        return figures

    def count(self, what: str) -> None:
        """One more of something that the engine counts, too."""
        self.agent.counts[what] = self.agent.counts.get(what, 0) + 1

    def _connections(self, scheme: str) -> int:
        streams = (each for each in self._listeners if isinstance(each, StreamListener))
        return sum(len(each.connections) for each in streams if each.url.scheme == scheme)

    def set_trace(self, callback: Callable[[TraceMessage], None] | None) -> None:
        """Show every SIP message to `callback`; None stops it."""
        self.intake.tracer = callback
        self._driver.trace_changed()

    @property
    def tracing(self) -> bool:
        """Whether somebody wants to see every message."""
        return self.intake.tracer is not None

    def soon(self) -> None:
        """Deliver what a leg's method has caused, later."""
        self._driver.soon()
