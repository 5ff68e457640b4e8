"""Fork Stream: what is checked, what is asked for, when the flow goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from forkproxy.flow import Execution
from forkproxy.flow.actions import HangUp, Play, StartStream, StopStream, Warn
from forkproxy.flow.events import PlayEnded, StreamFailed, StreamStarted, StreamStopped
from forkproxy.model import StreamSpec, StreamTransport, Tracks
from tests.flow.conftest import CALL, NOW

Found = Callable[..., list[str]]
URL = "stream_url: 'wss://a.example/b'"
START = "stream_action: start, stream_transport_type: websocket"
SIPREC = "stream_action: start, stream_transport_type: siprec, stream_track: both_tracks"


def widget(properties: str, after: str = "[{event: next}]") -> str:
    return f"- {{name: first, type: fork-stream, properties: {{{properties}}}, transitions: {after}}}\n"


def spec(make: Callable[..., Execution], properties: str, **parameters: str) -> StreamSpec:
    (action,) = make(widget(properties), **parameters).start(NOW)
    assert isinstance(action, StartStream)
    assert action.widget == "first"
    return action.spec


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        (f"{START}, {URL}", []),
        ("stream_action: stop", []),
        ("stream_action: stop, stream_name: '{{x}}', stream_transport_type: websocket", []),
        (f"{START}, stream_connector: Archive_1", []),
        (f"{START}, {URL}, stream_connector: '{{{{x}}}}'", []),
        (f"{SIPREC}, stream_connector: Archive_1", []),
        (f"{SIPREC}, stream_connector_name: Archive_1", []),
        (f"{SIPREC}, stream_connector: '{{{{flow.variables.x}}}}'", []),
        (f"{START}, stream_connector: websocket, {URL}", []),
        (f"{START}, stream_url: '{{{{x}}}}'", []),
        (f"{START}, stream_url: 'wss://{{{{x}}}}/y?z'", []),
        (f"{START}, stream_url: '{{{{x}}}}://y'", []),
        (
            f"stream_action: start, {URL}",
            ["stream_transport_type: is missing but it is required when 'stream_action' is 'start'"],
        ),
        (
            START,
            [
                "stream_url: is missing but it is required when 'stream_action' is 'start'"
                " and the type is 'websocket'"
            ],
        ),
        (
            SIPREC,
            [
                "stream_connector: is missing but it is required when 'stream_action' is 'start'"
                " and the type is 'siprec'"
            ],
        ),
        (
            f"{SIPREC}, stream_connector: archive_1",
            [
                "stream_connector: the configuration has no connector 'archive_1' (31940);"
                " did you mean 'Archive_1'?"
            ],
        ),
        (
            f"{SIPREC}, stream_connector_name: Other",
            ["stream_connector_name: the configuration has no connector 'Other' (31940)"],
        ),
        (
            f"{SIPREC}, stream_connector: Archive_1, stream_connector_name: websocket",
            ["stream_connector_name: contradicts 'stream_connector'"],
        ),
        (f"{START}, stream_url: 'https://a.example'", ["stream_url: must begin with 'wss://' (31922)"]),
        (f"{START}, stream_url: 'a.example'", ["stream_url: must begin with 'wss://' (31922)"]),
        (f"{START}, stream_url: 'http://{{{{x}}}}'", ["stream_url: must begin with 'wss://' (31922)"]),
        (f"{START}, stream_url: 'wss://'", ["stream_url: is not a URL with a host (31923)"]),
        (f"{START}, stream_url: 'wss://a b'", ["stream_url: is not a URL with a host (31923)"]),
        (
            f"{START}, stream_url: 'wss://a:99999'",
            ["stream_url: is not a URL: Port out of range 0-65535 (31923)"],
        ),
        (
            f"{START}, stream_url: 'wss://a/b?c=d'",
            ["warning: stream_url: has a query string, which Twilio drops: use 'stream_parameters'"],
        ),
        (
            f"{START}, {URL}, stream_track: both",
            [
                "stream_track: does not have a value in the enumeration [inbound_track, outbound_track,"
                " both_tracks]; did you mean 'both_tracks'?"
            ],
        ),
        (
            "stream_action: start, stream_transport_type: siprec, stream_connector: Archive_1",
            ["warning: stream_track: is not given: only 'inbound_track', what the caller says, is streamed"],
        ),
        (
            f"{START}, {URL}, stream_parameters: [{{key: a, value: b}}, {{key: a, value: c}}, {{key: ''}}]",
            [
                "warning: stream_parameters/1/key: 'a' is here a second time: the last one is sent",
                "warning: stream_parameters/2/key: is empty: the parameter is not sent",
            ],
        ),
        (
            f"{START}, {URL}, stream_parameters: [{{key: abc, value: {'x' * 497}}}]",
            [
                "stream_parameters/0/value: key and value are 500 characters together,"
                " fewer than 500 are allowed"
            ],
        ),
        (
            f"{START}, {URL}, stream_parameters: {{a: b}}",
            ["stream_parameters: object found, array expected"],
        ),
        (
            f"{START}, {URL}, stream_parameters: [{{name: a, value: b}}]",
            [
                "stream_parameters/0/key: is missing but it is required",
                "stream_parameters/0/name: is not a known property",
            ],
        ),
    ],
)
def test_what_is_checked(found: Found, properties: str, expected: list[str]) -> None:
    lines = found(widget(properties), connectors=["Archive_1"])
    assert [line.replace("#/states/1/properties/", "") for line in lines] == expected


def test_without_a_configuration_connectors_are_not_checked(found: Found) -> None:
    assert found(widget(f"{SIPREC}, stream_connector: Anything")) == []


@pytest.mark.parametrize("url", ["ws://127.0.0.1:8080/x", "WS://{{x}}"])
def test_plain_ws_is_for_who_allows_it(found: Found, url: str) -> None:
    states = widget(f"{START}, stream_url: '{url}'")
    condition = "only with 'allow_ws' under 'streams' in the configuration; Twilio takes wss only"
    at = "#/states/1/properties/stream_url"
    assert found(states, allow_ws=True) == []
    assert found(states, allow_ws=False) == [f"{at}: 'ws://' is allowed {condition}"]
    assert found(states) == [f"warning: {at}: 'ws://' works {condition}"]


def test_a_start(execution_of: Callable[..., Execution]) -> None:
    parameters = "stream_parameters: [{key: from, value: '{{trigger.call.From}}'}, {key: b}]"
    properties = f"{START}, {URL}, stream_name: ' call-{{{{trigger.call.Lang}}}} ', {parameters}"
    assert spec(execution_of, properties, Lang="de") == StreamSpec(
        transport=StreamTransport.WEBSOCKET,
        tracks=Tracks.INBOUND,
        name="call-de",
        url="wss://a.example/b",
        connector=None,
        parameters=(("from", CALL.from_), ("b", "")),
    )


def test_a_start_by_connector(execution_of: Callable[..., Execution]) -> None:
    properties = f"{SIPREC}, stream_connector: 'Rec_{{{{trigger.call.Region}}}}', {URL}"
    assert spec(execution_of, properties, Region="eu") == StreamSpec(
        StreamTransport.SIPREC, Tracks.BOTH, connector="Rec_eu"
    )
    both = f"{START}, stream_track: outbound_track, stream_connector_name: Archive_1, {URL}"
    assert spec(execution_of, both) == StreamSpec(
        StreamTransport.WEBSOCKET, Tracks.OUTBOUND, url="wss://a.example/b", connector="Archive_1"
    )


def test_a_parameter_that_comes_out_too_long_is_left_out(execution_of: Callable[..., Execution]) -> None:
    parameters = "[{key: long, value: '{{trigger.call.Long}}'}, {key: b, value: c}]"
    properties = f"{START}, {URL}, stream_parameters: {parameters}"
    assert len(spec(execution_of, properties, Long="x" * 495).parameters) == 2
    execution = execution_of(widget(properties), Long="x" * 496)
    warning, action = execution.start(NOW)
    assert isinstance(action, StartStream)
    assert action.spec.parameters == (("b", "c"),)
    assert warning == Warn(
        None,
        "the parameter 'long' is not sent: its key and value are 500 characters, fewer than 500 are allowed",
        "first",
    )


@pytest.mark.parametrize(
    ("properties", "event", "warnings"),
    [
        (f"{START}, {URL}", StreamStarted("MZ1"), []),
        (
            f"{START}, {URL}",
            StreamFailed(31920, "404 Not Found"),
            [Warn(31920, "404 Not Found", "first")],
        ),
        ("stream_action: stop", StreamStopped("MZ1"), []),
        ("stream_action: stop", StreamStopped(None), []),
    ],
)
def test_next_fires_whatever_becomes_of_the_stream(
    execution_of: Callable[..., Execution], properties: str, event: Any, warnings: list[Warn]
) -> None:
    play = "- {name: then, type: say-play, properties: {play: 'http://a/b'}}\n"
    execution = execution_of(widget(properties, "[{event: next, next: then}]") + play)
    execution.start(NOW)
    assert execution.handle(PlayEnded(None), NOW) == [], "not what is waited for"
    assert execution.widget == "first"
    assert execution.handle(event, NOW) == [*warnings, Play("then", "http://a/b", 1)]


@pytest.mark.parametrize(
    ("name", "expected"), [("stream_name: Audio", "Audio"), ("stream_name: '{{x}}'", None), ("", None)]
)
def test_a_stop(execution_of: Callable[..., Execution], name: str, expected: str | None) -> None:
    execution = execution_of(widget(f"stream_action: stop, {name}".rstrip(", ")))
    assert execution.start(NOW) == [StopStream("first", expected)]
    assert execution.handle(StreamStarted("MZ1"), NOW) == []
    assert execution.handle(StreamStopped(None), NOW) == [HangUp("the flow ended after 'first'")]


@pytest.mark.parametrize(
    ("started", "stopped", "hint"),
    [
        ("stream_name: Audio", "Audio", None),
        ("stream_name: '{{x}}'", "Audio", None),
        ("stream_name: AudioStream", "Audio", "; did you mean 'AudioStream'?"),
        ("stream_name: x", "Audio", ""),
        (URL, "Audio", ""),
    ],
)
def test_a_stop_of_what_was_never_started(found: Found, started: str, stopped: str, hint: str | None) -> None:
    start = f"stream_action: start, stream_transport_type: websocket, stream_url: 'wss://a', {started}"
    states = widget(start.replace(f", {URL}", ""), "[{event: next, next: stop}]")
    states += (
        f"- {{name: stop, type: fork-stream, properties: {{stream_action: stop, stream_name: {stopped}}}}}\n"
    )
    message = f"no widget of this flow starts a stream named 'Audio'{hint}"
    expected = [] if hint is None else [f"warning: #/states/2/properties/stream_name: {message}"]
    assert found(states) == expected
