"""Connect Call To: what is checked, who is dialled, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from forkproxy.flow import Execution
from forkproxy.flow.actions import Connect, HangUp, Play, StopStream, Warn
from forkproxy.flow.events import CallerHungUp, ConnectEnded, PlayEnded, StreamStopped
from tests.flow.conftest import CALL, NOW

Found = Callable[..., list[str]]
NOT_SIP = "sip_endpoint: must be a SIP URI such as 'sip:jack@pbx.example.com'"
NOT_SECONDS = "time_limit: must be a number of seconds from 1 to 86400, as a string"
ENDED = "[{event: callCompleted, next: then}]"
THEN = "- {name: then, type: say-play, properties: {play: 'http://a/{{widgets.first.DialCallStatus}}'}}\n"


def widget(properties: str, after: str = "[{event: callCompleted}, {event: hangup}]") -> str:
    return f"- {{name: first, type: connect-call-to, properties: {{{properties}}}, transitions: {after}}}\n"


def connect(make: Callable[..., Execution], properties: str, **parameters: str) -> Connect:
    action = make(widget(properties), **parameters).start(NOW)[-1]
    assert isinstance(action, Connect)
    return action


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ("noun: number, to: '+15550100'", []),
        ("noun: number, to: '+1 (555) 010-0'", []),
        ("noun: number, to: '{{x}}'", []),
        ("noun: sip, sip_endpoint: 'sip:a@b;transport=tcp'", []),
        ("noun: sip, sip_endpoint: 'a@b:5070'", []),
        ("noun: sip, sip_endpoint: 'pbx.example:5070'", []),
        ("noun: sip, sip_endpoint: 'sip:{{x}}@b'", []),
        ("noun: number, to: '1', time_limit: ''", []),
        ("noun: number, to: '1', time_limit: '3600'", []),
        ("noun: number", ["to: is missing but it is required when 'noun' is 'number'"]),
        ("noun: sip, to: '+1'", ["sip_endpoint: is missing but it is required when 'noun' is 'sip'"]),
        ("to: '1'", ["noun: is missing but it is required"]),
        (
            "noun: phone, to: '1'",
            [
                "noun: does not have a value in the enumeration"
                " [number, number-multi, client, conference, sim, sip]"
            ],
        ),
        (
            "noun: client, to: bob",
            ["noun: 'client' is a destination that forkproxy does not dial yet"],
        ),
        (
            "noun: number, to: 'sip:a@b'",
            ["to: is a SIP URI: put it into 'sip_endpoint' and set 'noun' to 'sip'"],
        ),
        ("noun: number, to: bob", ["warning: to: does not look like a phone number"]),
        ("noun: sip, sip_endpoint: 'tel:+1'", [NOT_SIP]),
        ("noun: sip, sip_endpoint: 'a b'", [NOT_SIP]),
        ("noun: number, to: '1', timeout: 0", ["timeout: must be 1 or more"]),
        ("noun: number, to: '1', timeout: 601", ["timeout: must be 600 or less"]),
        ("noun: number, to: '1', timeout: '30'", ["timeout: string found, integer expected"]),
        ("noun: number, to: '1', time_limit: 5", ["time_limit: integer found, string expected"]),
        ("noun: number, to: '1', time_limit: '0'", [NOT_SECONDS]),
        ("noun: number, to: '1', time_limit: 1h", [NOT_SECONDS]),
        ("noun: number, to: '1', record: 'true'", ["record: string found, boolean expected"]),
        (
            "noun: number, to: '1', record: true",
            ["warning: record: is true, but forkproxy does not record calls: fork the stream"],
        ),
        (
            "noun: sip, sip_uri: 'sip:a@b'",
            [
                "sip_endpoint: is missing but it is required when 'noun' is 'sip'",
                "sip_uri: is not a known property; did you mean 'sip_endpoint'?",
            ],
        ),
    ],
)
def test_what_is_checked(found: Found, properties: str, expected: list[str]) -> None:
    lines = sorted(line.replace("#/states/1/properties/", "") for line in found(widget(properties)))
    assert lines == expected


def test_a_destination_that_no_call_gets_to_is_a_warning(found: Found) -> None:
    states = "- {name: first, type: set-variables, properties: {variables: []}}\n"
    states += widget("noun: conference, to: CF1").replace("first", "other")
    assert found(states) == [
        "warning: #/states/2/name: 'other' is never reached: no transition leads there",
        "warning: #/states/2/properties/noun: 'conference' is a destination that forkproxy does not dial yet",
    ]


def test_a_number(execution_of: Callable[..., Execution]) -> None:
    assert connect(execution_of, "noun: number, to: '+1 (555) 010-0.123'") == Connect(
        "first", "number", "+15550100123", None, None, None, 30, None, record=False
    )


def test_everything(execution_of: Callable[..., Execution]) -> None:
    properties = (
        "noun: sip, sip_endpoint: 'sip:{{trigger.call.Desk}}@pbx.example', sip_username: u,"
        " sip_password: '{{trigger.call.Secret}}', caller_id: '{{flow.channel.address}}',"
        " timeout: 5, time_limit: '{{trigger.call.Limit}}', to: ignored"
    )
    action = connect(execution_of, properties, Desk="7", Secret="p", Limit=" 60 ")
    assert action == Connect("first", "sip", "sip:7@pbx.example", "u", "p", CALL.to, 5, 60, record=False)
    assert "'p'" not in repr(action), "the password does not reach a log"


@pytest.mark.parametrize(
    ("properties", "to"),
    [
        ("noun: sip, sip_endpoint: jack@pbx.example", "sip:jack@pbx.example"),
        ("noun: sip, sip_endpoint: SIPS:jack@pbx.example", "SIPS:jack@pbx.example"),
        ("noun: number, to: '{{trigger.call.Who}}'", "alice"),
        ("noun: number, to: '*31#'", "*31#"),
    ],
)
def test_who_is_dialled(execution_of: Callable[..., Execution], properties: str, to: str) -> None:
    assert connect(execution_of, properties, Who=" alice ").to == to


def test_keys_for_the_callee(execution_of: Callable[..., Execution]) -> None:
    properties = "noun: number, to: '1', send_digits: 'ww{{trigger.call.Extension}}#'"
    action = connect(execution_of, properties, Extension="42")
    assert action.send_digits == "ww42#"
    assert "42" not in repr(action)


def test_a_time_limit_that_comes_out_wrong(execution_of: Callable[..., Execution]) -> None:
    execution = execution_of(widget("noun: number, to: '1', time_limit: '{{trigger.call.To}}'"))
    warning, action = execution.start(NOW)
    assert isinstance(warning, Warn)
    assert "not as seconds" in warning.message
    assert isinstance(action, Connect)
    assert action.time_limit is None


def test_a_destination_that_comes_out_empty(execution_of: Callable[..., Execution]) -> None:
    execution = execution_of(widget("noun: number, to: '{{nothing}}'", ENDED) + THEN)
    assert execution.start(NOW) == [
        Warn(None, "nobody is dialled: the destination came out empty", "first"),
        Play("then", "http://a/failed", 1),
    ]


def test_what_it_leaves_behind(execution_of: Callable[..., Execution]) -> None:
    execution = execution_of(widget("noun: number, to: '1'", ENDED) + THEN)
    execution.start(NOW)
    assert execution.handle(PlayEnded(None), NOW) == []
    actions = execution.handle(ConnectEnded("completed", "CA2", 61), NOW)
    assert actions == [Play("then", "http://a/completed", 1)]
    left = execution.context()["widgets"]["first"]
    assert left["DialCallSid"] == "CA2"
    assert left["DialCallDuration"] == "61"
    assert left["CallSid"] == CALL.sid


def test_the_caller_hangs_up_and_the_flow_goes_on(execution_of: Callable[..., Execution]) -> None:
    stop = "- {name: stop, type: fork-stream, properties: {stream_action: stop}}\n"
    execution = execution_of(widget("noun: number, to: '1'", "[{event: hangup, next: stop}]") + stop)
    execution.start(NOW)
    dialled = ConnectEnded("completed", "CA2", 5)
    assert execution.handle(CallerHungUp(dialled), NOW) == [StopStream("stop", None)]
    assert execution.context()["widgets"]["first"]["DialCallStatus"] == "completed"
    assert not execution.finished
    assert execution.handle(CallerHungUp(), NOW) == [], "once is enough"
    assert execution.handle(StreamStopped(None), NOW) == [HangUp("the flow ended after 'stop'")]


@pytest.mark.parametrize("after", ["[]", "[{event: callCompleted, next: then}]"])
def test_the_caller_hangs_up_and_that_is_it(execution_of: Callable[..., Any], after: str) -> None:
    execution = execution_of(widget("noun: number, to: '1'", after) + THEN)
    execution.start(NOW)
    assert execution.handle(CallerHungUp(), NOW) == [HangUp("the caller hung up")]
    assert execution.finished
