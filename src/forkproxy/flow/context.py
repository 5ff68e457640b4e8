"""What templates can name: the call, the flow's variables, and what widgets left behind.

The names are Studio's (twilio.com/docs/studio/user-guide/get-started, "Use variables in your Studio Flow"):

    trigger.call.*              the call as Twilio's voice webhook describes it, SIP headers included
    flow.sid                    this execution (its name is Studio's)
    flow.flow_sid               the flow
    flow.channel.address        what was called
    flow.variables.*            from Set Variables
    flow.data.*                 empty: calls bring none
    contact.channel.address     who calls
    widgets.<name>.*            what a widget left behind
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from forkproxy.flow.liquid import Object
from forkproxy.model import CallInfo

API_VERSION = "2010-04-01"
"""``trigger.call.ApiVersion``: the version of the webhook parameters that these are the names of."""


class Context:
    """The values of one execution."""

    def __init__(
        self, call: CallInfo, call_parameters: Mapping[str, str], *, flow_sid: str, execution_sid: str
    ) -> None:
        self.call: dict[str, str] = {
            "CallSid": call.sid,
            "AccountSid": call.account_sid,
            "From": call.from_,
            "Caller": call.from_,
            "To": call.to,
            "Called": call.to,
            "Direction": call.direction,
            "CallStatus": "ringing",
            "ApiVersion": API_VERSION,
            **call_parameters,
        }
        self.variables: dict[str, Any] = {}
        self.widgets: dict[str, dict[str, Any]] = {}
        self.values: dict[str, Any] = {
            "trigger": Object({"call": Object(self.call)}),
            "flow": Object(
                {
                    "sid": execution_sid,
                    "flow_sid": flow_sid,
                    "channel": Object({"address": call.to}),
                    "variables": self.variables,
                    "data": Object(),
                }
            ),
            "contact": Object({"channel": Object({"address": call.from_})}),
            "widgets": self.widgets,
        }
        """What a template is rendered with."""

    def output(self, widget: str, values: Mapping[str, Any]) -> None:
        """Keep what a widget leaves behind; what it left the last time is gone."""
        self.widgets[widget] = Object(values)

    def snapshot(self) -> dict[str, Any]:
        """A copy of all values, to look at."""
        return copy.deepcopy(self.values)
