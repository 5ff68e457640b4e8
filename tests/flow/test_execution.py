"""A flow's run: the rules of the module, on flows of the corpus and on flows that nobody would write."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from forkproxy.flow import Execution, load
from forkproxy.flow.actions import (
    Action,
    Connect,
    ConnectStream,
    Gather,
    HangUp,
    Play,
    SendDigits,
    StartStream,
    StopStream,
    Warn,
)
from forkproxy.flow.events import (
    CallerHungUp,
    ConnectEnded,
    FlowEvent,
    GatherEnded,
    PlayEnded,
    StreamEnded,
    StreamFailed,
    StreamStarted,
    StreamStopped,
)
from forkproxy.flow.execution import STEP_LIMIT
from tests.flow.conftest import CALL, NOW, execution

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "flows"


class TestTheExamples:
    @pytest.mark.parametrize("name", ["fork-for-processing.json", "fork-for-processing.yaml"])
    def test_fork_for_processing(self, name: str) -> None:
        flow = load(EXAMPLES / name)
        assert flow.warnings == ()
        run = execution(flow)
        (start,) = run.start(NOW)
        assert isinstance(start, StartStream)
        assert (start.spec.url, start.spec.name) == ("wss://127.0.0.1:8765/audio", "AudioStream")
        assert start.spec.parameters == (("caller", CALL.from_),)
        (connect,) = run.handle(StreamStarted("MZ1"), NOW)
        assert isinstance(connect, Connect)
        assert (connect.to, connect.caller_id) == ("sip:agent@127.0.0.1:5070", CALL.from_)
        assert run.handle(ConnectEnded("completed", "CA2", 9), NOW) == [
            StopStream("stop_stream", "AudioStream")
        ]
        assert run.handle(StreamStopped("MZ1"), NOW) == [HangUp("the flow ended after 'stop_stream'")]
        assert run.finished
        assert run.steps == 4

    def test_the_yaml_is_the_json(self) -> None:
        flows = [load(EXAMPLES / f"fork-for-processing.{kind}") for kind in ("json", "yaml")]
        assert flows[0].description == flows[1].description
        assert list(flows[0].widgets) == list(flows[1].widgets)
        for name, widget in flows[0].widgets.items():
            other = flows[1].widgets[name]
            assert [widget.follow(event) for event in widget.events] == [
                other.follow(event) for event in widget.events
            ]
            assert describe(other) == describe(widget)

    def test_record_by_connector(self) -> None:
        flow = load(EXAMPLES / "record-by-connector.json", connectors=["Gridspace_1"])
        assert flow.warnings == ()
        (start,) = execution(flow).start(NOW)
        assert isinstance(start, StartStream)
        assert start.spec.connector == "Gridspace_1"
        assert dict(start.spec.parameters) == {
            "Role": "inbound",
            "CallerDisplayName": CALL.from_,
            "CalleeDisplayName": CALL.to,
        }

    def test_every_example_is_tested_here(self) -> None:
        assert {path.name for path in EXAMPLES.iterdir()} == {
            "fork-for-processing.json",
            "fork-for-processing.yaml",
            "record-by-connector.json",
        }


def describe(widget: Any) -> dict[str, Any]:
    """A widget's properties without what only the canvas and a stop's transport are for."""
    described: dict[str, Any] = widget.properties.model_dump(exclude={"offset", "stream_transport_type"})
    return described


class TestTheCorpus:
    def test_the_ivr_tries_again(self, corpus: Path) -> None:
        run = execution(load(corpus / "ivr-by-header.json"), **{"SipHeader_X-Department": "Support (EU)"})
        assert run.start(NOW) == [Play("welcome", "https://media.example.com/welcome.wav", 1)]
        assert run.widget == "welcome"
        for attempts in range(3):
            (connect,) = run.handle(PlayEnded(None), NOW)
            assert isinstance(connect, Connect)
            assert connect.widget == "to_support"
            assert run.context()["flow"]["variables"]["attempts"] == attempts
            actions = run.handle(ConnectEnded("busy", "CA2", 0), NOW)
        assert actions == [HangUp("the flow ended after 'was_answered'")]
        assert run.context()["flow"]["variables"]["lists"] == {"vip": ["+15550001111", "+15550002222"]}

    @pytest.mark.parametrize(
        ("department", "widget"), [("SALES", "to_sales"), ("", "to_reception"), ("hr", "to_reception")]
    )
    def test_the_ivr_splits(self, corpus: Path, department: str, widget: str) -> None:
        run = execution(load(corpus / "ivr-by-header.json"), **{"SipHeader_X-Department": department})
        run.start(NOW)
        (connect,) = run.handle(PlayEnded(None), NOW)
        assert isinstance(connect, Connect)
        assert connect.widget == widget

    def test_office_hours(self, corpus: Path) -> None:
        """The time is an argument, so the test decides it: Monday, Saturday, night."""
        flow = load(corpus / "office-hours.yaml")
        for hours, kind in ((0, StartStream), (5 * 24, Play), (12, Play), (7 * 24, StartStream)):
            (action,) = execution(flow).start(morning() + hours * 3600)
            assert isinstance(action, kind), hours
        (start,) = execution(flow).start(morning())
        assert isinstance(start, StartStream)
        assert start.spec.url == "wss://eu.media.example.com/calls"
        assert start.spec.name == "call-1111"

    def test_messages_do_not_matter_to_calls(self, corpus: Path) -> None:
        run = execution(load(corpus / "calls-and-messages.json"))
        (start,) = run.start(NOW)
        assert isinstance(start, StartStream)
        assert start.spec.parameters == (("lang", ""),)
        assert run.handle(StreamFailed(31902, "refused"), NOW) == [
            Warn(31902, "refused", "stream"),
            HangUp("the flow ended after 'stream'"),
        ]


def morning() -> float:
    """A Monday at ten in the morning, in the time zone that the tests run in."""
    return datetime.datetime(2026, 1, 5, 10, 0).timestamp()


class TestTheRules:
    def test_a_flow_starts_once(self, execution_of: Callable[..., Execution]) -> None:
        run = execution_of("- {name: first, type: say-play, properties: {play: 'http://a/b'}}\n")
        assert run.handle(PlayEnded(None), NOW) == [], "not before it has started"
        assert len(run.start(NOW)) == 1
        assert run.start(NOW) == []
        assert run.widget == "first"

    def test_after_the_end_nothing_happens(self, execution_of: Callable[..., Execution]) -> None:
        run = execution_of("- {name: first, type: set-variables, properties: {variables: []}}\n")
        assert run.start(NOW) == [HangUp("the flow ended after 'first'")]
        assert run.finished
        assert run.widget is None
        assert run.handle(CallerHungUp(), NOW) == []
        assert run.start(NOW) == []

    def test_a_trigger_without_a_call_branch(self, tmp_path: Path) -> None:
        path = tmp_path / "flow.yaml"
        path.write_text("{initial_state: T, states: [{name: T, type: trigger}]}")
        assert execution(load(path)).start(NOW) == [HangUp("the flow ended after 'T'")]

    def test_a_thousand_steps(self, execution_of: Callable[..., Execution]) -> None:
        run = execution_of("""
        - name: first
          type: set-variables
          properties: {variables: []}
          transitions: [{event: next, next: second}]
        - name: second
          type: set-variables
          properties: {variables: []}
          transitions: [{event: next, next: first}]
        """)
        assert run.start(NOW) == [
            Warn(81000, "the flow took 1,000 steps: it is stopped", "second"),
            HangUp("the flow was stopped at 'second'"),
        ]
        assert run.steps == STEP_LIMIT

    def test_ten_times_in_a_row(self, execution_of: Callable[..., Execution]) -> None:
        run = execution_of("""
        - name: first
          type: say-play
          properties: {play: 'http://a/b'}
          transitions: [{event: audioComplete, next: first}]
        """)
        run.start(NOW)
        for _ in range(9):
            assert run.handle(PlayEnded(None), NOW) == [Play("first", "http://a/b", 1)]
        assert run.handle(PlayEnded(None), NOW) == [
            Warn(81001, "the widget ran 10 times in a row: the flow is stopped", "first"),
            HangUp("the flow was stopped at 'first'"),
        ]

    def test_a_template_that_fails_is_a_warning(self, execution_of: Callable[..., Execution]) -> None:
        run = execution_of("- {name: first, type: say-play, properties: {play: '{{ 1 | divided_by: 0 }}'}}\n")
        assert run.start(NOW)[0] == Warn(
            81018, "the template of play failed, it is taken as empty: divided_by: can't divide by 0", "first"
        )

    def test_the_rest_of_a_flow_without_its_caller(self, execution_of: Callable[..., Execution]) -> None:
        run = execution_of("""
        - name: first
          type: connect-call-to
          properties: {noun: number, to: '1'}
          transitions: [{event: hangup, next: stream}]
        - name: stream
          type: fork-stream
          properties: {stream_action: start, stream_transport_type: websocket, stream_url: 'wss://a.example'}
          transitions: [{event: next, next: dial}]
        - name: dial
          type: connect-call-to
          properties: {noun: number, to: '2'}
          transitions: [{event: callCompleted, next: play}]
        - name: play
          type: say-play
          properties: {play: 'http://a/b'}
          transitions: [{event: audioComplete, next: stop}]
        - name: stop
          type: fork-stream
          properties: {stream_action: stop}
        """)
        run.start(NOW)
        assert run.handle(CallerHungUp(), NOW) == [
            Warn(31900, "the stream was not started: the caller has hung up", "stream"),
            Warn(None, "nobody is dialled: the caller has hung up", "dial"),
            Warn(None, "nothing is played: the caller has hung up", "play"),
            StopStream("stop", None),
        ]
        assert run.context()["widgets"]["dial"]["DialCallStatus"] == "failed"
        assert run.handle(StreamStopped(None), NOW) == [HangUp("the flow ended after 'stop'")]

    def test_a_caller_that_hung_up_before_the_start(self, execution_of: Callable[..., Execution]) -> None:
        run = execution_of("- {name: first, type: say-play, properties: {play: 'http://a/b'}}\n")
        assert run.handle(CallerHungUp(), NOW) == []
        assert run.start(NOW) == [
            Warn(None, "nothing is played: the caller has hung up", "first"),
            HangUp("the flow ended after 'first'"),
        ]

    def test_executions_share_nothing(self, corpus: Path) -> None:
        flow = load(corpus / "ivr-by-header.json")
        one, two = execution(flow, A="1"), execution(flow, A="2")
        one.start(NOW)
        assert two.context()["flow"]["variables"] == {}
        assert two.context()["trigger"]["call"]["A"] == "2"


NAMES = ["first", "b", "c", "d", "e"]
WILD = st.sampled_from(
    [
        "x",
        "3",
        "{{trigger.call.From}}",
        "{{flow.variables.v}}",
        "{{ flow.variables.v | plus: 1 }}",
        "{{ 1 | modulo: 0 }}",
    ]
)
target = st.sampled_from([*NAMES, ""])
operators = st.sampled_from(["equal_to", "is_blank", "less_than", "regex", "is_before_time", "contains"])
conditions = st.lists(
    st.fixed_dictionaries({"arguments": st.lists(WILD, max_size=1), "type": operators, "value": WILD}),
    min_size=1,
    max_size=2,
)


def state(kind: str, properties: st.SearchStrategy[Any], *events: str) -> st.SearchStrategy[dict[str, Any]]:
    transitions: list[st.SearchStrategy[Any]] = [
        st.fixed_dictionaries({"event": st.just(event), "next": target}) for event in events
    ]
    if kind == "split-based-on":
        match: dict[str, Any] = {"event": st.just("match"), "next": target, "conditions": conditions}
        transitions += [st.fixed_dictionaries(match), st.fixed_dictionaries(match)]
    return st.fixed_dictionaries(
        {"type": st.just(kind), "properties": properties, "transitions": st.tuples(*transitions).map(list)}
    )


start_stream = {
    "stream_action": "start",
    "stream_transport_type": "websocket",
    "stream_url": "wss://a.example",
}
states = st.one_of(
    state("fork-stream", st.sampled_from([start_stream, {"stream_action": "stop"}]), "next"),
    state("connect-call-to", WILD.map(lambda to: {"noun": "number", "to": to}), "callCompleted", "hangup"),
    state("connect-call-to", WILD.map(lambda to: {"noun": "number", "to": to}), "callCompleted"),
    state("connect-stream", WILD.map(lambda url: {"stream_url": f"wss://a/{url}"}), "streamEnded"),
    state("say-play", WILD.map(lambda x: {"play": f"http://a/{x}"}), "audioComplete"),
    state("gather-input-on-call", WILD.map(lambda x: {"play": f"http://a/{x}"}), "keypress", "timeout"),
    state("set-variables", WILD.map(lambda x: {"variables": [{"key": "v", "value": x}]}), "next"),
    state("split-based-on", WILD.map(lambda x: {"input": x}), "noMatch"),
)
EVENTS: list[FlowEvent] = [
    StreamStarted("MZ1"),
    StreamFailed(31902, "refused"),
    StreamStopped(None),
    ConnectEnded("busy", "CA2", 0),
    StreamEnded("MZ1", None, "ended", 3),
    StreamEnded("", 31902, "refused", 0),
    PlayEnded(None),
    PlayEnded("cannot be read"),
    GatherEnded("12"),
    GatherEnded(""),
    CallerHungUp(),
    CallerHungUp(ConnectEnded("completed", "CA2", 3)),
]
OUTCOME: dict[type[Action], FlowEvent] = {
    StartStream: StreamStarted("MZ1"),
    StopStream: StreamStopped("MZ1"),
    Connect: ConnectEnded("completed", "CA2", 3),
    ConnectStream: StreamEnded("MZ1", None, "ended", 3),
    Play: PlayEnded(None),
    SendDigits: PlayEnded(None),
    Gather: GatherEnded("1"),
}


@given(
    st.lists(states, min_size=len(NAMES), max_size=len(NAMES)), st.lists(st.sampled_from(EVENTS), max_size=30)
)
@settings(deadline=None)
def test_any_flow_keeps_the_rules_and_comes_to_an_end(
    drawn: list[dict[str, Any]], events: list[FlowEvent]
) -> None:
    trigger = {"name": "T", "type": "trigger", "transitions": [{"event": "incomingCall", "next": "first"}]}
    named = [{"name": name, **each} for name, each in zip(NAMES, drawn, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "flow.json")
        path.write_text(
            yaml.safe_dump({"initial_state": "T", "states": [trigger, *named]}, default_style='"')
        )
        path = path.rename(Path(folder, "flow.yaml"))
        run = execution(load(path))
    log: list[list[Action]] = [run.start(NOW)]
    log += [run.handle(event, NOW) for event in events]
    for _ in range(STEP_LIMIT):  # rule 4: then it must be over, whatever the outcomes are
        if run.finished:
            break
        waited = next(actions for actions in reversed(log) if actions)[-1]
        log.append(run.handle(OUTCOME[type(waited)], NOW))
    assert run.finished
    assert run.steps <= STEP_LIMIT
    for actions in log:
        assert all(isinstance(action, Warn) for action in actions[:-1])
        assert not (actions and isinstance(actions[-1], Warn))
    everything = [action for actions in log for action in actions]
    assert [isinstance(action, HangUp) for action in everything].count(True) == 1
    assert isinstance(everything[-1], HangUp)


@given(st.lists(states, min_size=len(NAMES), max_size=len(NAMES)))
@settings(deadline=None)
def test_a_caller_that_hangs_up_is_the_end_of_all_that_needs_one(drawn: list[dict[str, Any]]) -> None:
    trigger = {"name": "T", "type": "trigger", "transitions": [{"event": "incomingCall", "next": "first"}]}
    named = [{"name": name, **each} for name, each in zip(NAMES, drawn, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "flow.yaml")
        path.write_text(yaml.safe_dump({"initial_state": "T", "states": [trigger, *named]}))
        run = execution(load(path))
    run.start(NOW)
    actions = run.handle(CallerHungUp(), NOW)
    while not run.finished:
        assert isinstance(actions[-1], StopStream), "nothing else can be done without a caller"
        actions = run.handle(StreamStopped(None), NOW)
    assert run.widget is None
