"""Connect Stream: what is checked, what is asked for, and what the flow gets."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from forkproxy.flow import Execution
from forkproxy.flow.actions import ConnectStream, HangUp, Play, StopStream, Warn
from forkproxy.flow.events import CallerHungUp, PlayEnded, StreamEnded, StreamStarted, StreamStopped
from forkproxy.model import StreamSpec, StreamTransport, Tracks
from tests.flow.conftest import CALL, NOW

Found = Callable[..., list[str]]
URL = "stream_url: 'wss://bot.example/talk'"


def widget(properties: str, after: str = "[{event: streamEnded}]") -> str:
    return f"- {{name: first, type: connect-stream, properties: {{{properties}}}, transitions: {after}}}\n"


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        (URL, []),
        (f"{URL}, stream_transport_type: websocket, stream_track: inbound_track, offset: {{}}", []),
        (f"{URL}, stream_name: bot, stream_parameters: [{{key: a, value: '{{{{x}}}}'}}]", []),
        (f"{URL}, time_limit: '600'", []),
        (f"{URL}, time_limit: '{{{{x}}}}'", []),
        ("stream_connector: Archive_1", []),
        ("stream_url: '{{x}}'", []),
        ("stream_name: bot", ["stream_url: is missing but it is required without 'stream_connector'"]),
        (
            f"{URL}, stream_track: both_tracks",
            [
                "stream_track: must be 'inbound_track': a stream that talks to the caller"
                " hears nothing else (31941)"
            ],
        ),
        (
            f"{URL}, stream_transport_type: siprec",
            ["stream_transport_type: does not have a value in the enumeration [websocket]"],
        ),
        ("stream_url: 'https://a.example'", ["stream_url: must begin with 'wss://' (31922)"]),
        ("stream_url: 'ws://a.example'", ["stream_url: 'ws://' is allowed only with 'allow_ws'"]),
        (
            f"{URL}, stream_connector: Nobody",
            ["stream_connector: the configuration has no connector 'Nobody' (31940)"],
        ),
        (
            f"{URL}, time_limit: '0'",
            ["time_limit: must be a number of seconds from 1 to 86400, as a string"],
        ),
        (
            f"{URL}, time_limit: 600",
            ["time_limit: integer found, string expected"],
        ),
        (
            f"{URL}, stream_parameters: [{{key: abc, value: {'x' * 497}}}]",
            ["stream_parameters/0/value: key and value are 500 characters together"],
        ),
        (f"{URL}, url: x", ["url: is not a known property; did you mean 'stream_url'?"]),
        (f"{URL}, stream_action: start", ["stream_action: is not a known property"]),
    ],
)
def test_what_is_checked(found: Found, properties: str, expected: list[str]) -> None:
    problems = found(widget(properties), connectors=["Archive_1"], allow_ws=False)
    assert len(problems) == len(expected)
    for problem, words in zip(problems, expected, strict=True):
        assert problem.removeprefix("#/states/1/properties/").startswith(words)


def test_an_event_that_is_not_its_own(found: Found) -> None:
    (problem,) = found(widget(URL, "[{event: next}]"))
    assert problem.endswith("'next' does not have a value in the enumeration [streamEnded, hangup]")


def test_what_is_asked_for(execution_of: Callable[..., Execution]) -> None:
    properties = (
        f"{URL}, stream_name: '{{{{x}}}} ', stream_connector: Bots, time_limit: '60',"
        " stream_parameters: [{key: who, value: '{{contact.channel.address}}'}]"
    )
    spec = StreamSpec(
        transport=StreamTransport.WEBSOCKET,
        tracks=Tracks.INBOUND,
        name=None,
        url="wss://bot.example/talk",
        connector="Bots",
        parameters=(("who", CALL.from_),),
        bidirectional=True,
    )
    assert execution_of(widget(properties)).start(NOW) == [ConnectStream("first", spec, 60)]


def test_a_time_limit_that_is_none(execution_of: Callable[..., Execution]) -> None:
    warning, action = execution_of(widget(f"{URL}, time_limit: '{{{{contact.channel.address}}}}'")).start(NOW)
    assert isinstance(warning, Warn)
    assert "the stream has no limit" in warning.message
    assert isinstance(action, ConnectStream)
    assert action.time_limit is None


THEN_PLAY = (
    "- {name: then, type: say-play, properties:"
    " {play: 'http://a/{{widgets.first.StreamErrorCode}}-{{widgets.first.StreamDuration}}-"
    "{{widgets.first.StreamSid}}-{{widgets.first.CallSid}}'}}\n"
)


@pytest.mark.parametrize(
    ("ended", "path"),
    [
        (StreamEnded("MZ1", None, "ended", 12), f"-12-MZ1-{CALL.sid}"),
        (StreamEnded("", 31902, "refused", 0), f"31902-0--{CALL.sid}"),
    ],
)
def test_the_flow_goes_on_with_the_caller(
    execution_of: Callable[..., Execution], ended: StreamEnded, path: str
) -> None:
    run = execution_of(widget(URL, "[{event: streamEnded, next: then}]") + THEN_PLAY)
    run.start(NOW)
    for other in (StreamStarted("MZ1"), StreamStopped(None), PlayEnded(None)):
        assert run.handle(other, NOW) == []
    assert run.handle(ended, NOW) == [Play("then", f"http://a/{path}", 1)]


def test_the_caller_hangs_up(execution_of: Callable[..., Execution]) -> None:
    run = execution_of(widget(URL))
    run.start(NOW)
    assert run.handle(CallerHungUp(), NOW) == [HangUp("the caller hung up")]


def test_the_branch_for_a_caller_that_hung_up(execution_of: Callable[..., Execution]) -> None:
    stop = (
        "- {name: stop, type: fork-stream, properties: {stream_action: stop},"
        " transitions: [{event: next, next: again}]}\n"
    )
    again = widget(URL).replace("name: first", "name: again")
    run = execution_of(widget(URL, "[{event: hangup, next: stop}]") + stop + again)
    run.start(NOW)
    gone = CallerHungUp(None, StreamEnded("MZ1", None, "the caller hung up", 7))
    assert run.handle(gone, NOW) == [StopStream("stop", None)]
    assert run.context()["widgets"]["first"]["StreamDuration"] == "7"
    warning, end = run.handle(StreamStopped(None), NOW)
    assert isinstance(warning, Warn)
    assert warning.message == "no stream is connected: the caller has hung up"
    assert isinstance(end, HangUp)
