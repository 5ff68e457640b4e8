"""A call that a recording client sends us (SIPREC, RFC 7866): forkproxy as the session recording server.

The call itself takes place elsewhere. What comes in are its two sides, as two streams, and metadata that
says whose they are. The flow runs as for any call, with one party: the client. It is answered first of all,
asked for nothing and sent nothing. Streams hear its first stream as inbound and the second one as outbound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from forkproxy.bridge import actions as do
from forkproxy.bridge.call import Call
from forkproxy.bridge.parties import Parties, address, named, parameters
from forkproxy.bridge.services import Services
from forkproxy.bridge.tracks import Tracks
from forkproxy.errors import ForkproxyError, MediaError, SdpError, SignallingError
from forkproxy.flow import Flow
from forkproxy.media import MediaLeg
from forkproxy.model import CallInfo
from forkproxy.numbers import Rule
from forkproxy.signalling import IncomingLeg, Leg, recorded, siprec
from forkproxy.signalling import events as sip
from forkproxy.signalling.metadata import Recording
from forkproxy.signalling.multipart import Part
from forkproxy.signalling.sdes import PLAIN, Security
from forkproxy.signalling.trunks import owner

FLOW = "siprec"
"""The key among the flows of the one that takes recorded calls."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What the INVITE of a recording client says of the recorded call."""

    recording: Recording = field(default_factory=Recording)
    parties: Parties = field(default_factory=Parties)
    problem: str = ""
    """Why its metadata could not be read."""

    @classmethod
    def of(cls, leg: IncomingLeg, security: Security) -> Opening:
        """Read it; what is missing or cannot be read is left out, since recorders are to be lenient."""
        try:
            found = siprec.recording(leg.parts) or Recording()
            labels = [track.label for track in recorded.tracks(leg.offer or b"", security)]
        except SdpError as error:
            return cls(problem=str(error))  # the call will be refused for it
        except SignallingError as error:
            return cls(problem=str(error))
        return cls(found, Parties.of(found, labels))

    def info(self, info: CallInfo, rules: Sequence[Rule]) -> CallInfo:
        """The call as flows and connectors see it: between those who talk, as far as they are known."""
        caller, callee = self.parties.caller, self.parties.callee
        return replace(
            info,
            from_=(address(caller, rules) if caller else "") or info.from_,
            to=(address(callee, rules) if callee else "") or info.to,
        )

    def parameters(self, leg: IncomingLeg, others: Mapping[str, str]) -> dict[str, str]:
        """Further keys of `trigger.call`."""
        caller = self.parties.caller
        name = caller.name if caller is not None else leg.from_display
        return {
            **others,
            "CallStatus": "in-progress",
            "CallerName": name,
            "SiprecClient": leg.from_uri,
            **parameters(self.recording, self.parties),
        }


def security_for(services: Services, leg: IncomingLeg) -> Security:
    """Whether the streams of a client are encrypted: as its trunk says, or everybody's."""
    mode = services.srtp_from(leg.remote.host, leg.trunk)
    return PLAIN if mode == "off" else Security(mode, services.abilities.srtp_suites)


class RecordedCall(Call):
    """Lives from the INVITE of the recording client until it has ended, and all streams have."""

    def __init__(
        self,
        leg: IncomingLeg,
        info: CallInfo,
        flow: Flow,
        parameters: Mapping[str, str],
        services: Services,
        on_over: Callable[[Call], None],
        opening: Opening,
    ) -> None:
        """As a call's; `opening` is what the client's INVITE says of it.

        Raises:
            MediaError: no RTP port is left.
            SdpError: the client offers nothing that can be recorded.
        """
        if leg.offer is None:
            raise SdpError("the recording client offers no streams")
        super().__init__(leg, info, flow, parameters, services, on_over)
        self._recording = opening.recording
        self._parties = opening.parties
        trunk = owner(services.trunks, leg.remote.host, leg.trunk)
        self._rules = () if trunk is None else trunk.incoming
        self._second: MediaLeg | None = None
        try:
            self._second = services.media.open_leg(f"{info.sid} second track")
            self._tracks = Tracks(
                (self._media, self._second),
                self._host,
                security_for(services, leg),
                signalled_from=leg.remote.host,
                abilities=services.abilities,
            )
            self._tracks.take(leg.offer)
        except ForkproxyError:
            self._media.close()
            if self._second is not None:
                self._second.close()
            raise
        self.record.dialled(1, info.to, None)
        services.counts["calls_recorded"] += 1
        if opening.problem:
            self._not_understood(opening.problem)
        self._tell()

    def _legs(self) -> dict[str, MediaLeg]:
        second = {} if self._second is None else {"callee_1": self._second}
        return {"caller": self._media, **second}

    def _do(self, action: do.CallAction) -> None:
        match action:
            case do.AnswerCaller():
                self.leg.answer(self._tracks.answer)
                self.record.answered()
                self._watch(self._media, "recording client")
            case _:
                super()._do(action)

    def _on_caller(self, leg: Leg, event: sip.LegEvent) -> None:
        match event:
            case sip.Described():
                self._describe(event.parts)
            case sip.Reoffered():
                self._reoffered(event.sdp)
            case sip.Reanswered():
                self._reanswered(event.sdp)
            case sip.Confirmed() | sip.ReofferFailed() | sip.ReofferWithdrawn():
                pass
            case _:
                super()._on_caller(leg, event)

    # What the client changes

    def _reoffered(self, offer: bytes | None) -> None:
        """Its re-INVITE. One without an offer wants ours, which is what it has been told already."""
        try:
            answer = self._tracks.answer if offer is None else self._tracks.take(offer)
        except (SdpError, MediaError) as error:
            self.log.warning("the recording client's offer is refused: %s", error)
            self.leg.refuse_reoffer(488, warning=str(error))
            return
        self.leg.accept_reoffer(answer)
        self._tell()

    def _reanswered(self, answer: bytes | None) -> None:
        """Its answer to what it asked for; it describes its streams as an offer of its does."""
        if answer is None:
            return
        standing = self._tracks.answer
        try:
            self._tracks.take(answer)
        except (SdpError, MediaError) as error:
            self.log.warning("the recording client's answer cannot be used: %s", error)
            return
        self._tracks.answer = standing  # it has not been told anything new
        self._tell()

    def _update(self, callee: object, offer: bytes) -> bytes:
        """The answer to an UPDATE's offer."""
        try:
            answer = self._tracks.take(offer)
        except MediaError as error:
            raise SdpError(str(error)) from error
        self._loop.call_soon(self._tell)
        return answer

    def _describe(self, parts: tuple[Part, ...]) -> None:
        """Metadata, whole or in part, that came with a request of the client's."""
        try:
            found = siprec.recording(parts)
        except SignallingError as error:
            self._not_understood(str(error))
            return
        if found is None:
            return
        self._recording = self._recording.updated(found)
        # The offer that labels belong to may be answered only after this (RFC 7866, 7.1.1).
        self._loop.call_soon(self._tell)

    def _not_understood(self, problem: str) -> None:
        self._services.counts["recorded_metadata_refused"] += 1
        self.log.warning("the recording client's metadata is left aside: %s", problem)

    def _tell(self) -> None:
        """Connectors hear who is in the call, and who is heard."""
        if self.machine.finished:
            return
        labels = self._tracks.labels
        self._parties = Parties.of(self._recording, labels).after(self._parties)
        first, second = self._tracks.places
        state = self.forks.state
        caller = named(self._parties.caller, state.caller, self._rules)
        callee = named(self._parties.callee, state.callee, self._rules)
        self.forks.change(
            caller=replace(caller, sends=first.open),
            callee=replace(callee, sends=second.open or second.track is None),
            connected=True,
            session_ids=self._recording.sip_sessions,
            secure_media=any(place.keys is not None for place in self._tracks.places),
        )

    # The end

    def _finish(self, reason: str) -> None:
        self.forks.close_all("the call ended")  # while both tracks are there
        second = self._tracks.places[1]
        if second.track is not None:
            self.record.agreed(1, second.track.session, second.keys is not None)
        if self._second is not None:
            self._close_media(self._second, 1)
            self._second = None
        super()._finish(reason)
