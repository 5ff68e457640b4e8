"""What templates can name."""

from __future__ import annotations

from forkproxy.flow.context import Context
from forkproxy.flow.liquid import Template
from tests.flow.conftest import CALL

FLOW, EXECUTION = "FW" + "3" * 32, "FN" + "4" * 32


def context(**parameters: str) -> Context:
    return Context(CALL, parameters, flow_sid=FLOW, execution_sid=EXECUTION)


def render(source: str, values: Context) -> str:
    return Template(source).render(values.values, 0.0)


def test_the_names_are_studios() -> None:
    values = context(CallStatus="in-progress", SipCallId="a@b", **{"SipHeader_X-Lang": "de"})
    for source, text in {
        "trigger.call.CallSid": CALL.sid,
        "trigger.call.AccountSid": CALL.account_sid,
        "trigger.call.From": CALL.from_,
        "trigger.call.Caller": CALL.from_,
        "trigger.call.To": CALL.to,
        "trigger.call.Called": CALL.to,
        "trigger.call.Direction": "inbound",
        "trigger.call.CallStatus": "in-progress",
        "trigger.call.ApiVersion": "2010-04-01",
        "trigger.call.SipCallId": "a@b",
        "trigger.call.SipHeader_X-Lang": "de",
        "flow.sid": EXECUTION,
        "flow.flow_sid": FLOW,
        "flow.channel.address": CALL.to,
        "flow.data.x": "",
        "flow.variables.x": "",
        "contact.channel.address": CALL.from_,
        "widgets.nope.x": "",
        "trigger.message.Body": "",
    }.items():
        assert render("{{" + source + "}}", values) == text, source


def test_a_call_rings_unless_said_otherwise() -> None:
    assert render("{{trigger.call.CallStatus}}", context()) == "ringing"


def test_outputs_are_replaced_as_a_whole() -> None:
    values = context()
    values.output("a", {"x": "1", "y": "2"})
    values.output("a", {"x": "3"})
    assert render("{{widgets.a.x}}{{widgets.a.y}}", values) == "3"


def test_a_snapshot_is_a_copy() -> None:
    values = context()
    values.variables["x"] = [1]
    snapshot = values.snapshot()
    snapshot["flow"]["variables"]["x"].append(2)
    assert values.variables["x"] == [1]
