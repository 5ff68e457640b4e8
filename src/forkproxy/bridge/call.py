"""One call: carries the machine's actions out on SIP legs, RTP legs and streams; brings back what happens."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from forkproxy import logs
from forkproxy.bridge import actions as do
from forkproxy.bridge import addresses, reports
from forkproxy.bridge import events as ev
from forkproxy.bridge.forks import Forks
from forkproxy.bridge.identity import is_trusted, passed
from forkproxy.bridge.machine import Caller, CallMachine
from forkproxy.bridge.negotiation import Negotiation
from forkproxy.bridge.passing import Keypad, cause_of, chosen, pass_on
from forkproxy.bridge.record import CallRecord
from forkproxy.bridge.recording import call_state, on_hold
from forkproxy.bridge.reoffers import Reoffers, Side
from forkproxy.bridge.reports import summary
from forkproxy.bridge.services import Services
from forkproxy.errors import ForkproxyError, MediaError, SdpError, StreamError
from forkproxy.flow import Execution, Flow
from forkproxy.flow.actions import Connect
from forkproxy.media import Digit, LegFigures, MaskReport, MediaLeg, Playback
from forkproxy.media.audio import ringback
from forkproxy.model import CallInfo, Party, SrtpMode, new_sid
from forkproxy.signalling import IncomingLeg, Leg, OutgoingLeg
from forkproxy.signalling import events as sip
from forkproxy.signalling.sdp import AudioSession
from forkproxy.signalling.trunks import Trunk, origin, owner

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class CalleeLeg:
    """A second leg, from its INVITE until it has ended."""

    key: int
    media: MediaLeg
    sip: OutgoingLeg | None = None
    connect: Connect | None = None
    """What the flow asked for."""
    session: AudioSession | None = None
    """Where it is and what it speaks, once it has said so."""
    answer: bytes = b""
    """Its own words for that."""
    side: Side | None = None
    """The same, once it has changed."""
    rest: list[addresses.Target] = field(default_factory=list)
    """Where the call goes if this one fails: the other trunks that take the number."""
    release: Callable[[], None] = lambda: None
    """Gives its place on the trunk back."""
    uri: str = ""
    """Where it was called,"""
    via: Trunk | None = None
    """and by which trunk."""
    heard: bool = False
    """Whether it has sent a provisional response; then the call goes nowhere else."""

    @property
    def signalled_from(self) -> str | None:
        """The address that its SIP comes from, where it was dialled by address."""
        host = "" if self.sip is None else self.sip.remote.host.strip("[]")
        return host if addresses.is_literal(host) else None


@dataclass(slots=True)
class Figures:
    """The RTP figures of the legs that have ended."""

    caller: LegFigures | None = None
    callees: list[LegFigures] = field(default_factory=list)


INACTIVITY_TOLD = 30.0
"""Seconds without audio from a phone after which the log says so, where `media.inactivity` is null."""


MOST_REDIRECTS = 6
"""Places at which one callee is looked for."""


class Call:
    """Lives from the INVITE until both legs and all streams have ended."""

    def __init__(
        self,
        leg: IncomingLeg,
        info: CallInfo,
        flow: Flow,
        parameters: Mapping[str, str],
        services: Services,
        on_over: Callable[[Call], None],
    ) -> None:
        """
        Args:
            leg: the caller's leg; 100 Trying has been sent.
            info: the call as flows and connectors see it.
            flow: what to run.
            parameters: further keys of `trigger.call`.
            services: what calls share.
            on_over: told once, when nothing of the call is left.

        Raises:
            MediaError: no RTP port is left.
            SdpError: the caller's offer cannot be used.
        """
        self.leg = leg
        self.info = info
        self.flow = flow
        self.figures = Figures()
        self.log = logs.bind(logger, call_sid=info.sid)
        self._services = services
        self._on_over = on_over
        self._over = False
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._callees: dict[int, CalleeLeg] = {}
        self._tone: Playback | None = None
        self._prompt: asyncio.Task[None] | None = None
        self._prompt_playback: Playback | None = None
        self._widget: str | None = None
        self._reason = ""
        self.masked = False
        """Streams get silence in place of what is said, and no keys."""
        self._keys = 0
        self._keypad = Keypad()
        self._host = services.media_host(addresses.audio_peer(leg.offer, leg.remote.host), leg.local_host)
        self._media = services.media.open_leg(f"{info.sid} caller")
        try:
            self._negotiation = Negotiation(
                leg.offer,
                self._media,
                self._host,
                signalled_from=leg.remote.host,
                srtp=services.srtp_from(leg.remote.host, leg.trunk),
                abilities=services.abilities,
            )
        except ForkproxyError:
            self._media.close()
            raise
        trunk = owner(services.trunks, leg.remote.host, leg.trunk)
        self.record = CallRecord(
            info, leg, trunk.name if trunk else None, self._loop.time, time.time() - self._loop.time()
        )
        self.forks = Forks(info, self._media, services, self.record, self._post, self._check_over)
        self._reoffers = Reoffers(self.log, self._changed)
        self._bridged: CalleeLeg | None = None
        self.forks.state = call_state(info, leg, secure_media=self._negotiation.encrypted)
        self._contacts: list[str] = []
        """Where the last callee's 3xx led, for the caller."""
        self._been: dict[int, set[str]] = {}
        """Where a redirected callee has been looked for."""
        self._cause = ""
        """The Reason header of the party that ended its leg last, for the other."""
        self._failed_with = 0
        """The status that a callee's leg ended with last."""
        execution = Execution(
            flow,
            info,
            call_parameters=parameters,
            flow_sid="FW" + hashlib.md5(str(flow.path).encode(), usedforsecurity=False).hexdigest(),
            execution_sid=new_sid("FN"),
        )
        self.machine = CallMachine(
            execution,
            epoch=time.time() - self._loop.time(),
            start_wait=services.start_wait,
            new_sid=new_sid,
            recorded=leg.recording,
        )
        leg.on_event = self._on_caller
        leg.on_update = lambda offer: self._update(None, offer)
        self._media.on_digit = self._on_digit

    def begin(self) -> None:
        """Start the flow."""
        self.log.info("call from %s to %s, %s", self.info.from_, self.info.to, self.leg.call_id)
        self._carry_out(self.machine.start(self._loop.time()))

    def shut_down(self, reason: str) -> None:
        """End the call now, whatever its flow is doing."""
        self._handle(ev.ShutDown(reason))

    def mask(self) -> bool:
        """Give streams silence from now on, on both tracks and on every leg; the phones notice nothing.

        False: the call is masked already, or over.
        """
        if self.masked or self.machine.finished:
            return False
        self.masked = self.record.masked = True
        for media in self._legs().values():
            media.mask()
        self.forks.change(masked=True)
        self.log.info("masked")
        return True

    def unmask(self) -> list[dict[str, Any]] | None:
        """Mask no more. The first and the last masked frame of each stream; None: the call was not masked."""
        if not self.masked or self.machine.finished:
            return None
        self.masked = False
        found = {name: media.unmask() for name, media in self._legs().items()}
        streams = self.forks.masked(found["caller"])
        self.forks.change(masked=False)
        self._tell_mask([report for report in found.values() if report is not None], streams)
        return streams

    def _tell_mask(self, found: list[MaskReport], streams: list[dict[str, Any]]) -> None:
        frames, seconds = reports.masked(found)
        spans = {f"stream_{n}": "{sid} {first}-{last}".format(**each) for n, each in enumerate(streams, 1)}
        self.log.info("unmasked after %.2f s, %d frames", seconds, frames, extra=spans)

    def _legs(self) -> dict[str, MediaLeg]:
        """The RTP legs by name, the caller's first."""
        callees = {f"callee_{key}": callee.media for key, callee in self._callees.items()}
        return {"caller": self._media, **callees}

    def describe(self) -> dict[str, Any]:
        """What an operator wants to see of a running call."""
        return {
            "sid": self.info.sid,
            "from": self.info.from_,
            "to": self.info.to,
            "state": self.machine.caller.name.lower(),
            "callee": self.machine.callee.name.lower(),
            "widget": self.machine.execution.widget,
            "seconds": round(self._loop.time() - self._began, 1),
            "masked": self.masked,
            "legs": [reports.leg(name, media.figures()) for name, media in self._legs().items()],
            "streams": self.forks.describe(),
        }

    # Events in

    def _on_caller(self, leg: Leg, event: sip.LegEvent) -> None:
        self.record.caller(event)
        match event:
            case sip.Confirmed() if leg is self.leg and self._negotiation.offer is None:
                self._confirm(event.sdp)
            case sip.Confirmed():
                self._reoffers.reconcile()  # the callee may have been quicker with a hold
            case sip.Ended():
                self._stop_prompt()
                self._reoffers.close()
                self._cause = cause_of(leg, event)
                self._handle(ev.CallerEnded(event.status, event.reason, event.by))
            case _:
                self._in_dialog(None, event)

    def _confirm(self, answer: bytes | None) -> None:
        """The caller's answer to our offer came with its ACK; without a usable one nobody hears anything."""
        try:
            if answer is None:
                raise SdpError("the ACK carries no answer to our offer")
            self._negotiation.caller_confirmed(answer)
        except (SdpError, MediaError) as error:
            self.log.warning("the caller's answer cannot be used: %s", error)
            self.leg.hang_up(488, str(error))

    def _on_digit(self, digit: Digit) -> None:
        """A key of the caller's; which one is nobody's business but the flow's and the streams'."""
        if self._keypad.pressed(digit.key, "rtp", self._loop.time()):
            self._press(digit)

    def _press(self, digit: Digit) -> None:
        self._keys += 1
        if not self.masked:
            self.forks.press(digit.key, digit.duration_ms)
        self._handle(ev.KeyPressed(digit.key))

    def _key_told(self, key: str, milliseconds: float) -> None:
        """A key of the caller's that came by INFO."""
        if self._keypad.pressed(key, "info", self._loop.time()):
            self._press(Digit(key, milliseconds))

    def _on_callee(self, key: int, event: sip.LegEvent) -> None:
        callee = self._callees.get(key)
        if callee is None:
            return
        self.record.callee(key, event, callee.sip)
        match event:
            case sip.Progress():
                callee.heard = True
                early = event.sdp is not None and self._take_answer(callee, event.sdp) is None
                self._handle(ev.CalleeProgress(key, event.status, event.reason, early))
            case sip.Answered():
                self._callee_answered(callee, event)
            case sip.Ended():
                del self._callees[key]
                self._cause, self._failed_with = cause_of(callee.sip, event), event.status
                if callee is self._bridged:
                    self._bridged = None
                    self._loop.call_soon(self._reoffers.callee_is, None)
                callee.release()
                self._close_media(callee.media, key)
                if self._redirected(key, callee, event) or self._goes_on(key, callee, event):
                    return
                self._handle(ev.CalleeEnded(key, event.status, event.reason, event.by))
                self._check_over()
            case _:
                self._in_dialog(callee, event)

    def _close_media(self, media: MediaLeg, key: int) -> None:
        """Give a callee's ports back; whatever happens there, the call's end goes on."""
        try:
            self.figures.callees.append(media.close())
            self.record.heard(key, self.figures.callees[-1])
        except Exception:
            self.log.exception("an RTP leg could not be closed")
            self._services.counts["internal_errors"] += 1

    def _callee_answered(self, callee: CalleeLeg, event: sip.Answered) -> None:
        error: str | None = None
        if event.sdp is not None:
            error = self._take_answer(callee, event.sdp)
        elif callee.session is None:
            error = "200 without a session description"
        if error is None:
            self._watch(callee.media, "callee")
            self.forks.change(connected=True)
            self._handle(ev.CalleeAnswered(callee.key))
            return
        assert callee.sip is not None
        callee.sip.hang_up(488, error)
        self._handle(ev.CalleeEnded(callee.key, 488, error, "local"))

    def _take_answer(self, callee: CalleeLeg, answer: bytes) -> str | None:
        try:
            callee.session = self._negotiation.callee_answered(
                answer, callee.media, signalled_from=callee.signalled_from
            )
            callee.answer = answer
        except (SdpError, MediaError) as error:
            self.log.warning("the callee's session description cannot be used: %s", error)
            return str(error)
        self.record.agreed(callee.key, callee.session, bool(callee.session.crypto))
        return None

    # Changes within the call

    def _side(self, callee: CalleeLeg | None) -> Side | None:
        """A leg for `Reoffers`; None: nothing has been agreed on with it that could change."""
        if callee is None:
            if self._reoffers.caller is None and (party := self._negotiation.caller()) is not None:
                self._reoffers.caller = Side(self.leg, party)
                if self._bridged is not None and self._reoffers.callee is None:
                    self._reoffers.callee = self._side(self._bridged)
            return self._reoffers.caller
        if callee.side is None and callee.sip is not None and callee.session is not None:
            party = self._negotiation.callee(
                callee.media, callee.answer, callee.session, callee.signalled_from
            )
            callee.side = Side(callee.sip, party)
        if callee is self._bridged and self._reoffers.callee is None:
            self._reoffers.callee = callee.side
            self._side(None)
        return callee.side

    def _in_dialog(self, callee: CalleeLeg | None, event: sip.LegEvent) -> None:
        if isinstance(event, sip.Requested):
            other = (None if self._bridged is None else self._bridged.sip) if callee is None else self.leg
            pass_on(
                event.request,
                other,
                self._key_told if callee is None else None,
                transfers=self._services.transfers,
                log=self.log,
            )
            return
        side = self._side(callee)
        if side is not None:
            self._reoffers.happened(side, event)
        elif isinstance(event, sip.Reoffered):
            (self.leg if callee is None else callee.sip).refuse_reoffer(491)  # type: ignore[union-attr]

    def _update(self, callee: CalleeLeg | None, offer: bytes) -> bytes:
        """The answer to an UPDATE's offer; what follows from it for the other party comes after that."""
        side = self._side(callee)
        if side is None:
            raise SdpError("nothing has been agreed on yet")
        answer = self._reoffers.update(side, offer)
        self._loop.call_soon(self._reoffers.reconcile)
        return answer

    def _changed(self, side: Side) -> None:
        """The relay's packets are numbered as the two now want them, and so are those of callees to come."""
        if side is self._reoffers.caller:
            self._negotiation.caller_changed(side.party.now)
        elif self._bridged is not None and side is self._reoffers.callee:
            self._bridged.session = side.party.now.remote
            self.record.agreed(self._bridged.key, side.party.now.remote, side.party.encrypted)
        if self._bridged is not None:
            self._bridge(self._bridged)
        self.forks.change(**on_hold(self.forks.state, self._reoffers))
        self.log.info(
            "the %s is now %s at %s:%d (%s)",
            "caller" if side is self._reoffers.caller else "callee",
            side.party.now.remote.direction,
            side.party.now.remote.host,
            side.party.now.remote.port,
            ", ".join(codec.key for codec in side.party.now.remote.codecs),
        )

    def _post(self, event: ev.CallEvent) -> None:
        """Hand an event in after the current one has been dealt with."""
        self._loop.call_soon(self._handle, event)

    def _handle(self, event: ev.CallEvent) -> None:
        self._carry_out(self.machine.handle(event, self._loop.time()))

    def _poll(self) -> None:
        self._timer = None
        self._carry_out(self.machine.poll(self._loop.time()))

    # Actions out

    def _carry_out(self, actions: list[do.CallAction]) -> None:
        """A fault in one of them (of ours, not of the network) must not cost the others."""
        for action in actions:
            try:
                self._do(action)
            except Exception as error:
                self._failed(action, error)
        widget = self.machine.execution.widget
        self.record.at(self.flow.path.name, widget)
        if widget is not None and widget != self._widget:
            self.log.info("the flow is at '%s'", widget)
        self._widget = widget
        self._schedule()

    def _do(self, action: do.CallAction) -> None:
        match action:
            case do.RingCaller():
                self._ring(action)
            case do.AnswerCaller():
                self.leg.answer(self._negotiation.answer_alone())
                self.record.answered()
                self._watch(self._media, "caller")
            case do.RejectCaller():
                self._count_rejection(action.status)
                self._reject(action)
            case do.HangUpCaller():
                self.leg.hang_up(cause=self._cause)
            case do.DialCallee():
                self._dial(action)
            case do.HangUpCallee():
                callee = self._callees.get(action.leg)
                if callee is not None and callee.sip is not None:
                    callee.sip.hang_up(cause=self._cause)
            case do.BridgeAudio():
                self._connect(self._callees[action.leg])
            case do.Ringback():
                self._ringback(action.on)
            case do.OpenStream():
                self.forks.open(action.stream, action.spec)
            case do.CloseStream():
                self.forks.close(action.stream, action.reason)
            case do.PlayPrompt():
                self._prompt = self._loop.create_task(self._play(action))
            case do.SendDigits():
                self._send_digits(action)
            case do.StopPrompt():
                self._stop_prompt()
            case do.Report():
                self._report(action)
            case do.Finish():
                self._finish(action.reason)

    def _failed(self, action: do.CallAction, error: Exception) -> None:
        """Tell the machine of an action that it waits for, or that the call cannot do without."""
        self.log.error("%s failed", type(action).__name__, exc_info=error)
        self._services.counts["internal_errors"] += 1
        match action:
            case do.AnswerCaller() | do.RejectCaller() | do.BridgeAudio():
                self.leg.hang_up(500, "Internal Error")
            case do.DialCallee():
                self._post(ev.CalleeEnded(action.leg, 500, str(error), "local"))
            case do.OpenStream():
                self._post(ev.StreamEnded(action.stream, "", StreamError.twilio_code, str(error)))
            case do.Finish():
                self._check_over()
            case _:
                pass

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.machine.deadline
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._poll)

    def _ring(self, action: do.RingCaller) -> None:
        """Early media needs an answer in the 183; an offer of ours waits for the 200 (RFC 3261, 13.2.1)."""
        answers = action.early_media and self._negotiation.offer is not None
        self.leg.ring(action.status, action.reason, self._negotiation.answer if answers else None)

    def _reject(self, action: do.RejectCaller) -> None:
        """Refuse the caller; what a callee's 3xx says goes on to it only where that is to be passed."""
        if not 300 <= action.status <= 399:
            same = self._cause and self._failed_with == action.status
            more = [("Reason", self._cause)] if same else []
            self.leg.reject(action.status, action.reason, chosen(more, ["reason"]))
        elif self._contacts:
            more = [("Contact", f"<{uri}>") for uri in self._contacts]
            self.leg.reject(action.status, action.reason, more)
        else:
            self.leg.reject(480, "Temporarily Unavailable")

    def _redirected(self, key: int, callee: CalleeLeg, end: sip.Ended) -> bool:
        """Whether a call goes where the callee's 3xx says: as often as is sensible, and never twice."""
        self._contacts = []
        if not 300 <= end.status <= 399 or end.by != "remote" or not self.machine.dials(key):
            return False
        assert callee.sip is not None
        assert callee.connect is not None
        policy = (callee.via and callee.via.redirects) or self._services.redirects
        contacts = callee.sip.contacts
        if policy == "pass":
            self._contacts = contacts
            return False
        been = self._been.setdefault(key, {callee.uri})
        found: list[addresses.Target] = []
        if policy == "follow" and len(been) <= MOST_REDIRECTS:
            for uri in contacts:
                try:
                    found += addresses.elsewhere(uri, self._services.trunks, self._services.up)
                except ForkproxyError as error:
                    self.log.warning("a redirection is not followed: %s", error)
        found = [target for target in found if target.uri not in been]
        if not found:
            self._services.counts["redirects_refused"] += 1
            self.log.warning("%d %s leads nowhere (redirects: %s)", end.status, end.reason, policy)
            return False
        self._services.counts["calls_redirected"] += 1
        been.update(target.uri for target in found)
        self.log.info("the call goes on to %s: %d %s", found[0].uri, end.status, end.reason)
        self._call_first(key, replace(callee.connect, to=addresses.party(found[0].uri)), found)
        return True

    def _goes_on(self, key: int, callee: CalleeLeg, end: sip.Ended) -> bool:
        """Whether another trunk takes over a call that this one could not carry; it is dialled then."""
        failed = end.status in (408, 502, 503) or end.by in ("timeout", "transport")
        if not callee.rest or callee.heard or not failed or not self.machine.dials(key):
            return False
        self._services.counts["calls_failed_over"] += 1
        trunk = callee.rest[0].trunk
        self.log.warning("the call goes on to trunk '%s': %d %s", trunk, end.status, end.reason)
        assert callee.connect is not None
        self._call_first(key, callee.connect, callee.rest)
        return True

    def _dial(self, action: do.DialCallee) -> None:
        """Begin a second leg; whatever prevents it comes back as its end, so that the flow decides."""
        self._cause = ""
        try:
            targets = addresses.targets(action.connect, self._services.trunks, self._services.up)
        except ForkproxyError as error:
            self._not_dialled(action.leg, action.connect, error.sip_status, str(error))
            return
        self._call_first(action.leg, action.connect, targets)

    def _call_first(self, key: int, connect: Connect, targets: Sequence[addresses.Target]) -> None:
        """Call the first target whose trunk has room; the ones behind it wait for its failure."""
        for number, target in enumerate(targets, 1):
            release = self._services.take(target.trunk) if target.trunk is not None else lambda: None
            if release is not None:
                self._call(key, connect, target, list(targets[number:]), release)
                return
            self._services.counts["calls_limited"] += 1
            self.log.warning("trunk '%s' has no room for another call", target.trunk)
        self._not_dialled(key, connect, 503, "no trunk has room for another call")

    def _not_dialled(self, key: int, connect: Connect, status: int, reason: str) -> None:
        self.log.warning("cannot call %s: %s", connect.to, reason)
        self.record.not_dialled(key, status, reason)
        self._post(ev.CalleeEnded(key, status, reason, "local"))

    def _call(
        self,
        key: int,
        connect: Connect,
        target: addresses.Target,
        rest: list[addresses.Target],
        release: Callable[[], None],
    ) -> None:
        media: MediaLeg | None = None
        try:
            media = self._services.media.open_leg(f"{self.info.sid} callee {key}")
            if self.masked:
                media.mask()
            host = self._services.media_host(addresses.host_of(target.uri), self._host)
            callee = self._callees[key] = CalleeLeg(
                key, media, connect=connect, rest=rest, release=release, uri=target.uri, via=target.via
            )
            self.record.dialled(key, target.uri, target.trunk)
            self._services.watch.goes_out(self.info.sid, connect.to, target.trunk)
            self.forks.change(callee=Party(connect.to))
            srtp = self._srtp(target.srtp)

            def offer(peer: str, media: MediaLeg = media) -> bytes:
                return self._negotiation.offer_at(media, self._services.media_host(peer, host), srtp)

            callee.sip = self._services.endpoint.dial(
                target.uri,
                sdp=self._negotiation.offer_for_callee(media, host, srtp),
                sdp_for=offer,
                from_uri=target.caller(connect.caller_id, self.info.from_, host),
                from_display="" if target.via and target.via.caller_id else self.leg.from_display,
                about=self.info.sid,
                patience=target.via.patience if target.via else None,
                username=target.username,
                password=target.password,
                headers=self._passed(target),
                max_forwards=max(self.leg.max_forwards - 1, 0),
                on_event=lambda _leg, event: self._on_callee(key, event),
            )
            callee.sip.on_update = lambda offer: self._update(self._callees[key], offer)
        except ForkproxyError as error:
            self._callees.pop(key, None)
            release()
            if media is not None:
                media.close()
            self._not_dialled(key, connect, error.sip_status, str(error))

    def _passed(self, target: addresses.Target) -> list[tuple[str, str]]:
        """The headers of the caller's INVITE that a callee there gets, too."""
        trunks = self._services.trunks
        via = target.via or origin(trunks, addresses.host_of(target.uri))
        patterns = None if via is None else via.pass_headers
        return passed(
            self.leg.headers,
            self._services.pass_headers if patterns is None else patterns,
            trusted_from=is_trusted(trunks, self.leg.remote.host, self.leg.trunk),
            trusted_to=via is not None and via.trusted,
        )

    def _srtp(self, trunk: SrtpMode | None) -> SrtpMode:
        """Whether a callee is offered keys: as its trunk says; otherwise `optional` follows the caller."""
        mode = trunk or self._services.srtp
        if trunk is None and mode == "optional" and not self._negotiation.encrypted:
            return "off"
        return mode

    def _watch(self, media: MediaLeg, who: str) -> None:
        """From its answer on, a phone that sends nothing is told of, and ends the call if that is wanted."""
        media.watch_inactivity(
            self._services.inactivity or INACTIVITY_TOLD, lambda idle: self._on_inactivity(who, idle)
        )

    def _on_inactivity(self, who: str, idle: float | None) -> None:
        if not self.answered:
            return
        if idle is None:
            self.log.info("the %s sends audio again, or need not", who)
            return
        message = f"the {who} has sent no audio for {idle:.0f} s"
        self._services.counts["legs_inactive"] += 1
        self.log.warning("%s", message)
        if self._services.inactivity is not None:
            self._services.counts["calls_inactive"] += 1
            self._handle(ev.AudioLost(message))

    def _connect(self, callee: CalleeLeg) -> None:
        """Let the two hear each other; a caller that was put on hold by another callee learns of this one."""
        new = callee is not self._bridged
        self._bridged = callee
        self._bridge(callee)
        if self._reoffers.caller is not None and (new or (callee.sip is not None and callee.sip.established)):
            if new:
                self._reoffers.callee = None
            self._reoffers.callee_is(self._side(callee))

    def _bridge(self, callee: CalleeLeg) -> None:
        """Let the relay forward between the legs, renumbering payload types where the two differ."""
        there, back = self._negotiation.payload_types(callee.session)
        self._media.connect(callee.media, there, back)

    def _ringback(self, on: bool) -> None:
        if on:
            self._tone = self._media.play(ringback(), loops=0)
        elif self._tone is not None:
            self._tone.stop()
            self._tone = None

    async def _play(self, action: do.PlayPrompt) -> None:
        """Fetch and play a prompt; the machine waits, the call does not care."""
        done = asyncio.Event()
        error: str | None = None
        try:
            audio = await self._services.prompts.load(action.url, self.flow.path.parent)
            self._prompt_playback = self._media.play(audio, loops=action.loop, on_done=done.set)
            await done.wait()
        except MediaError as caught:
            error = str(caught)
        except Exception as caught:
            self.log.exception("a prompt failed")
            self._services.counts["internal_errors"] += 1
            error = f"{type(caught).__name__}: {caught}"
        self._prompt_playback = None
        self._post(ev.PlayFinished(action.prompt, error))

    def _send_digits(self, action: do.SendDigits) -> None:
        """Press keys; a caller's are a prompt like any other, a callee's go their way by themselves."""
        finished = ev.PlayFinished(action.prompt, None)
        try:
            if action.leg is not None:
                self._callees[action.leg].media.send_digits(action.digits)
                return
            self._prompt_playback = self._media.send_digits(
                action.digits, on_done=lambda: self._handle(finished)
            )
        except MediaError as error:
            if action.leg is not None:
                self.log.warning("the callee is sent no keys: %s", error)
            else:
                self._post(ev.PlayFinished(action.prompt, str(error)))

    def _stop_prompt(self) -> None:
        """Play no more: `_play` ends here and tells nothing, since `on_done` is not called after a stop."""
        if self._prompt is not None:
            self._prompt.cancel()
        if self._prompt_playback is not None:
            self._prompt_playback.stop()
            self._prompt_playback = None

    def _report(self, action: do.Report) -> None:
        if action.code is not None:
            self._services.counts[f"warnings_{action.code}"] += 1
        self.record.warned(action.code, action.message, action.widget)
        code = f"{action.code}: " if action.code is not None else ""
        self.log.warning("%s%s", code, action.message, extra={"widget": action.widget})

    def _count_rejection(self, status: int) -> None:
        self._services.counts["calls_rejected"] += 1
        self._services.counts[f"calls_rejected_{status}"] += 1

    # The end

    def _finish(self, reason: str) -> None:
        self._reason = reason
        self._stop_prompt()
        self._reoffers.close()
        self.forks.close_all("the call ended")
        if self.masked:
            self._tell_mask([report for report in [self._media.unmask()] if report is not None], [])
        self.record.agreed(None, self._negotiation.remote, self._negotiation.encrypted)
        self.figures.caller = self._media.close()
        self.record.heard(None, self.figures.caller)
        told: dict[str, object] = {"caller": summary(self.figures.caller)}
        told |= {f"callee_{n}": summary(figures) for n, figures in enumerate(self.figures.callees, 1)}
        told["keys"] = self._keys
        told["streams"] = self.forks.total
        told["streams_failed"] = self.forks.failed
        told["frames_dropped"] = self.forks.frames_dropped
        seconds = self._loop.time() - self._began
        self.log.info("call ended after %.1f s: %s", seconds, reason, extra=told)
        self._check_over()

    def _check_over(self) -> None:
        if self.machine.finished and not self._over and not self._callees and not self.forks.active:
            self._over = True
            self.forks.release()
            self._write(self._reason)
            self._on_over(self)

    def write_off(self, reason: str) -> None:
        """The process ends before the call has: its record is written with what is known."""
        if not self._over:
            self._over = True
            self._write(reason)

    def _write(self, reason: str) -> None:
        self.record.keys = self._keys
        self._services.record(self.record.finish(reason))

    @property
    def answered(self) -> bool:
        """True while the caller is connected."""
        return self.machine.caller is Caller.UP
