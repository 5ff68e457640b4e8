"""Connect Call To: dial a second party (twilio.com/docs/studio/widget-library/connect-call)."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from forkproxy.flow.actions import Connect
from forkproxy.flow.definition import Properties
from forkproxy.flow.events import CallerHungUp, ConnectEnded, FlowEvent
from forkproxy.flow.liquid import Template
from forkproxy.flow.widgets.base import EMPTY, Goto, Site, Step, Widget
from forkproxy.flow.widgets.digits import check_digits, digits
from forkproxy.flow.widgets.limits import check_time_limit, time_limit

_PUNCTUATION = re.compile(r"[\s().\-]")
_NUMBER = re.compile(r"\+?[0-9*#]+")
_ENDPOINT = re.compile(r"sips?:\S+|[^\s:@]+@[^\s@]+|[^\s:@]+(:[0-9]+)?", re.IGNORECASE)
"""A SIP URI, or one without its scheme."""


class ConnectCallToProperties(Properties):
    """The properties of Connect Call To."""

    hints: ClassVar[dict[str, str]] = {
        "number": "to",
        "type": "noun",
        "callerId": "caller_id",
        "from": "caller_id",
        "timeLimit": "time_limit",
        "sip_uri": "sip_endpoint",
        "username": "sip_username",
        "password": "sip_password",
        "sendDigits": "send_digits",
    }

    noun: Literal["number", "number-multi", "client", "conference", "sim", "sip"]
    to: Template = EMPTY
    sip_endpoint: Template = EMPTY
    sip_username: Template = EMPTY
    sip_password: Template = EMPTY
    caller_id: Template = EMPTY
    record: bool = False
    timeout: Annotated[int, Field(ge=1, le=600)] = 30
    time_limit: Template = EMPTY
    send_digits: Template = EMPTY


class ConnectCallTo(Widget[ConnectCallToProperties]):
    """Dials, bridges, and goes on when the dialled leg has ended or never came to be."""

    type_name: ClassVar[str] = "connect-call-to"
    events: ClassVar[tuple[str, ...]] = ("callCompleted", "hangup")
    properties_model: ClassVar[type[Properties]] = ConnectCallToProperties

    def check(self, site: Site) -> None:
        given = self.properties
        if given.noun == "sip":
            self._check_sip(site)
        elif given.noun == "number":
            self._check_number(site)
        else:
            site.not_yet(
                f"'{given.noun}' is a destination that forkproxy does not dial yet", "properties", "noun"
            )
        check_time_limit(site, given.time_limit)
        check_digits(site, "send_digits", given.send_digits)
        if given.record:
            site.warning(
                "is true, but forkproxy does not record calls: fork the stream", "properties", "record"
            )

    def _check_sip(self, site: Site) -> None:
        endpoint = self.properties.sip_endpoint
        if not endpoint.source.strip():
            message = "is missing but it is required when 'noun' is 'sip'"
            site.error(message, "properties", "sip_endpoint")
        elif endpoint.literal and not _ENDPOINT.fullmatch(endpoint.source.strip()):
            message = "must be a SIP URI such as 'sip:jack@pbx.example.com'"
            site.error(message, "properties", "sip_endpoint")

    def _check_number(self, site: Site) -> None:
        to = self.properties.to
        if not to.source.strip():
            site.error("is missing but it is required when 'noun' is 'number'", "properties", "to")
        elif to.literal and to.source.strip().lower().startswith(("sip:", "sips:")):
            message = "is a SIP URI: put it into 'sip_endpoint' and set 'noun' to 'sip'"
            site.error(message, "properties", "to")
        elif to.literal and not _NUMBER.fullmatch(_PUNCTUATION.sub("", to.source)):
            site.warning("does not look like a phone number", "properties", "to")

    def run(self, step: Step) -> Goto | Connect:
        given = self.properties
        if given.noun == "sip":
            to = step.text(given.sip_endpoint, "sip_endpoint")
            if to is not None and not to.lower().startswith(("sip:", "sips:")):
                to = f"sip:{to}"
        else:
            to = step.text(given.to, "to")
            plain = _PUNCTUATION.sub("", to or "")
            to = plain if _NUMBER.fullmatch(plain) else to
        if to is None:
            step.warn(None, "nobody is dialled: the destination came out empty")
            return self._ended(step, ConnectEnded("failed", "", 0), "callCompleted")
        return Connect(
            widget=self.name,
            noun="sip" if given.noun == "sip" else "number",
            to=to,
            username=step.text(given.sip_username, "sip_username"),
            password=step.text(given.sip_password, "sip_password"),
            caller_id=step.text(given.caller_id, "caller_id"),
            timeout=given.timeout,
            time_limit=time_limit(step, given.time_limit, "the call"),
            record=given.record,
            send_digits=digits(step, "send_digits", given.send_digits),
        )

    def resume(self, step: Step, event: FlowEvent) -> Goto | None:
        return self._ended(step, event, "callCompleted") if isinstance(event, ConnectEnded) else None

    def caller_gone(self, step: Step, event: CallerHungUp) -> Goto | None:
        return self._ended(step, event.dialled, "hangup") if self.has("hangup") else None

    def _ended(self, step: Step, outcome: ConnectEnded | None, event: str) -> Goto:
        dialled: dict[str, Any] = {}
        if outcome is not None:
            dialled["DialCallStatus"] = outcome.status
            dialled["DialCallDuration"] = str(outcome.duration)
            if outcome.call_sid:
                dialled["DialCallSid"] = outcome.call_sid
        step.context.output(self.name, {**step.context.call, **dialled})
        return self.follow(event)
