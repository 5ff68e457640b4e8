"""All calls: takes INVITEs in, picks their flow, keeps count, and empties the house when asked to."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from forkproxy.bridge.addresses import party
from forkproxy.bridge.call import Call
from forkproxy.bridge.identity import is_trusted, shown
from forkproxy.bridge.record import refused
from forkproxy.bridge.recorded import FLOW as RECORDED_FLOW
from forkproxy.bridge.recorded import Opening, RecordedCall, security_for
from forkproxy.bridge.services import Services
from forkproxy.errors import ForkproxyError
from forkproxy.flow import Flow
from forkproxy.model import CallInfo, new_sid
from forkproxy.numbers import rewrite
from forkproxy.signalling import IncomingLeg
from forkproxy.signalling.trunks import owner

log = logging.getLogger(__name__)

DEFAULT_FLOW = "default"


class CallManager:
    """The running calls."""

    def __init__(self, services: Services, flows: Mapping[str, Flow]) -> None:
        """
        Args:
            services: what calls share.
            flows: by the number that was dialled; `default` takes the others.
        """
        self._services = services
        self._flows = flows
        self._calls: dict[str, Call] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self._earlier: list[tuple[set[str], asyncio.Event]] = []

    def reload(self, services: Services, flows: Mapping[str, Flow]) -> asyncio.Event:
        """Serve the calls that come from now on with these; running ones keep what they have.

        The event is set when no call from before is left.
        """
        self._services, self._flows = services, flows
        gone = asyncio.Event()
        earlier = set(self._calls)
        if earlier:
            self._earlier.append((earlier, gone))
        else:
            gone.set()
        return gone

    @property
    def active(self) -> int:
        """Calls of which anything is left: a leg, or a stream that is still being handed over."""
        return len(self._calls)

    @property
    def streams(self) -> int:
        """Streams that have not ended."""
        return sum(call.forks.active for call in self._calls.values())

    @property
    def backlog(self) -> tuple[int, float]:
        """What waits for the streams' consumers: octets in all, and the oldest audio's age in seconds."""
        found = [call.forks.backlog() for call in self._calls.values()]
        return sum(octets for octets, _ in found), max((age for _, age in found), default=0.0)

    def describe(self) -> list[dict[str, Any]]:
        """The running calls, for the operator."""
        return [call.describe() for call in self._calls.values()]

    def mask(self, sid: str, on: bool) -> dict[str, Any] | None:
        """Mask a running call's streams, or no more; None: there is no such call.

        With `on` False the answer has the first and the last masked frame of each stream.
        """
        call = self._calls.get(sid)
        if call is None:
            return None
        if on:
            changed = call.mask()
            return {"sid": sid, "masked": call.masked, "changed": changed}
        streams = call.unmask()
        return {"sid": sid, "masked": call.masked, "changed": streams is not None, "streams": streams or []}

    def on_invite(self, leg: IncomingLeg) -> None:
        """A new call: run its flow, or refuse it with a reason. Never raises."""
        counts = self._services.counts
        counts["calls"] += 1
        trunk = owner(self._services.trunks, leg.remote.host, leg.trunk)
        rules = () if trunk is None else trunk.incoming
        called = rewrite(rules, leg.to_user)
        info = CallInfo(
            sid=new_sid("CA"),
            account_sid=self._services.host.account.sid,
            from_=rewrite(rules, party(leg.from_uri)),
            to=rewrite(rules, party(leg.request_uri)),
        )
        numbers = (info.from_, info.to)
        self._services.watch.began(info.sid, leg.call_id, numbers, None if trunk is None else trunk.name)
        flow = self._flows.get(called) or self._flows.get(DEFAULT_FLOW)
        opening: Opening | None = None
        if leg.recording:
            opening, flow = Opening.of(leg, security_for(self._services, leg)), self._flows.get(RECORDED_FLOW)
            info = opening.info(info, rules)
        if opening is not None and flow is None:
            self._refuse(leg, info, 420, f"no flow '{RECORDED_FLOW}' takes the calls of recording clients")
            return
        if flow is None:
            self._refuse(leg, info, 404, f"no flow takes calls to {called!r}")
            return
        release = None if trunk is None else self._services.take(trunk.name)
        if trunk is not None and release is None:
            counts["calls_limited"] += 1
            self._refuse(leg, info, 503, f"trunk {trunk.name!r} has no room for another call")
            return

        def over(call: Call) -> None:
            if release is not None:
                release()
            self._over(call)

        try:
            call = self._call(leg, info, flow, opening, over)
        except ForkproxyError as error:
            if release is not None:
                release()
            self._refuse(leg, info, error.sip_status, str(error))
            return
        self._calls[info.sid] = call
        self._empty.clear()
        call.begin()

    def _call(
        self,
        leg: IncomingLeg,
        info: CallInfo,
        flow: Flow,
        opening: Opening | None,
        over: Callable[[Call], None],
    ) -> Call:
        parameters = self._parameters(leg, info)
        if opening is None:
            return Call(leg, info, flow, parameters, self._services, over)
        parameters = opening.parameters(leg, parameters)
        return RecordedCall(leg, info, flow, parameters, self._services, over, opening)

    def shut_down(self, reason: str) -> None:
        """End every call now."""
        for call in list(self._calls.values()):
            call.shut_down(reason)

    async def empty(self, timeout: float | None = None) -> bool:
        """Wait until no call is left; False when `timeout` seconds were not enough."""
        try:
            await asyncio.wait_for(self._empty.wait(), timeout)
        except TimeoutError:
            return False
        return True

    def _over(self, call: Call) -> None:
        self._calls.pop(call.info.sid, None)
        self._services.watch.ended(call.info.sid)
        self._services.counts["calls_ended"] += 1
        for calls, gone in self._earlier:
            calls.discard(call.info.sid)
            if not calls:
                gone.set()
        self._earlier = [(calls, gone) for calls, gone in self._earlier if calls]
        if not self._calls:
            self._empty.set()

    def write_off(self, reason: str) -> None:
        """Write the records of calls that did not end in time; the process ends now."""
        for call in list(self._calls.values()):
            call.write_off(reason)

    def _refuse(self, leg: IncomingLeg, info: CallInfo, status: int, reason: str) -> None:
        counts = self._services.counts
        counts["calls_rejected"] += 1
        counts[f"calls_rejected_{status}"] += 1
        log.warning("call %s from %s refused with %d: %s", leg.call_id, leg.remote, status, reason)
        self._services.watch.ended(info.sid)
        headers = {503: [("Retry-After", "10")], 420: [("Unsupported", "siprec")]}.get(status, ())
        leg.reject(status, headers=headers)
        trunk = owner(self._services.trunks, leg.remote.host, leg.trunk)
        name = trunk.name if trunk else None
        self._services.record(refused(info, leg, name, status, reason, time.time()))

    def _parameters(self, leg: IncomingLeg, info: CallInfo) -> dict[str, str]:
        """What `trigger.call` has beside the call's own values (Twilio's request parameters).

        Header names are the caller's, `SipHeader_X-...` as with Twilio's SIP domains; `identity` says which.
        """
        parameters = {
            "CallStatus": "ringing",
            "Direction": info.direction,
            "ApiVersion": "2010-04-01",
            "CallerName": leg.from_display,
            "SipCallId": leg.call_id,
            "SipSourceIp": leg.remote.host,
        }
        return parameters | shown(
            leg.headers, trusted=is_trusted(self._services.trunks, leg.remote.host, leg.trunk)
        )
