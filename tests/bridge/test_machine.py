"""The call's logic, without sockets: each rule at the head of machine.py, then anything at all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forkproxy.bridge import actions as do
from forkproxy.bridge import events as ev
from forkproxy.bridge.machine import LINGER, MOST_DIGITS, Callee, Caller, CallMachine, Wait, dial_status
from forkproxy.flow import actions as fa
from forkproxy.flow import events as fe
from forkproxy.model import StreamSpec, StreamTransport, Tracks

SPEC = StreamSpec(StreamTransport.WEBSOCKET, Tracks.BOTH, name="s", url="wss://consumer.example/")
START = fa.StartStream("fork", SPEC)
STOP = fa.StopStream("stop", "s")
CONNECT = fa.Connect(
    widget="connect",
    noun="sip",
    to="sip:bob@192.0.2.1",
    username=None,
    password=None,
    caller_id=None,
    timeout=30,
    time_limit=None,
    record=False,
)
TALK_SPEC = StreamSpec(
    StreamTransport.WEBSOCKET, Tracks.INBOUND, name="bot", url="wss://bot.example/", bidirectional=True
)
TALK = fa.ConnectStream("bot", TALK_SPEC, None)
SHORT_TALK = fa.ConnectStream("bot", TALK_SPEC, 60)
PLAY = fa.Play("play", "hello.wav", 1)
GATHER = fa.Gather("gather", "menu.wav", 2, timeout=5, finish_on_key="#", number_of_digits=3)
BARE_GATHER = fa.Gather("gather", None, 1, timeout=5, finish_on_key="", number_of_digits=None)
HANG_UP = fa.HangUp("the flow ended")


class Script:
    """An execution that plays a list of actions, one a result, and keeps what it was told."""

    def __init__(self, *steps: Any, after_hangup: Iterable[Any] = ()) -> None:
        self.steps = [*steps, HANG_UP]
        self.after_hangup = [*after_hangup, HANG_UP]
        self.heard: list[Any] = []
        self.widget: str | None = None

    def start(self, now: float) -> list[Any]:
        return self._next()

    def handle(self, event: Any, now: float) -> list[Any]:
        self.heard.append(event)
        if isinstance(event, fe.CallerHungUp):
            self.steps = self.after_hangup
        return self._next()

    def _next(self) -> list[Any]:
        if not self.steps:
            return []
        action = self.steps.pop(0)
        self.widget = getattr(action, "widget", None)
        return [action]


def call(
    *steps: Any, start_wait: float = 1.0, recorded: bool = False, **kwargs: Any
) -> tuple[CallMachine, Script]:
    script = Script(*steps, **kwargs)
    machine = CallMachine(
        script,  # type: ignore[arg-type]
        epoch=1_700_000_000.0,
        start_wait=start_wait,
        new_sid=lambda prefix: prefix + "0" * 32,
        recorded=recorded,
    )
    return machine, script


def caller_gone(by: str = "remote", status: int = 200) -> ev.CallerEnded:
    return ev.CallerEnded(status, "OK", by)


def test_the_fork_for_processing_flow_from_end_to_end() -> None:
    machine, script = call(START, CONNECT, STOP)
    assert machine.start(0.0) == [do.OpenStream(1, SPEC)]
    assert machine.deadline == 1.0
    assert machine.handle(ev.StreamCreated(1, "MZ1"), 0.1) == [do.DialCallee(2, CONNECT)]
    assert machine.deadline == 30.1
    assert machine.handle(ev.CalleeProgress(2, 180, "Ringing", False), 0.2) == [
        do.RingCaller(180, "Ringing", False)
    ]
    assert machine.handle(ev.CalleeAnswered(2), 1.0) == [do.BridgeAudio(2), do.AnswerCaller()]
    assert machine.deadline is None
    assert machine.handle(ev.CalleeEnded(2, 200, "OK", "remote"), 61.4) == [
        do.CloseStream(1, "stopped by the flow"),
        do.HangUpCaller(),
    ]
    assert script.heard == [
        fe.StreamStarted("MZ1"),
        fe.ConnectEnded("completed", "CA" + "0" * 32, 60),
        fe.StreamStopped(None),
    ]
    assert machine.handle(caller_gone("local"), 61.5) == [do.Finish("the flow ended")]
    assert machine.finished
    assert machine.deadline is None


def test_early_media_travels_through_and_the_answer_repeats_the_bridge() -> None:
    machine, _ = call(CONNECT)
    machine.start(0.0)
    assert machine.handle(ev.CalleeProgress(1, 183, "Session Progress", True), 1.0) == [
        do.BridgeAudio(1),
        do.RingCaller(183, "Session Progress", True),
    ]
    assert machine.handle(ev.CalleeAnswered(1), 2.0) == [do.BridgeAudio(1), do.AnswerCaller()]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (486, "busy"),
        (600, "busy"),
        (603, "busy"),
        (480, "no-answer"),
        (408, "no-answer"),
        (404, "failed"),
        (500, "failed"),
    ],
)
def test_the_last_callees_failure_is_the_callers(status: int, expected: str) -> None:
    machine, script = call(CONNECT)
    machine.start(0.0)
    assert machine.handle(ev.CalleeEnded(1, status, "why", "remote"), 1.0) == [do.RejectCaller(status, "why")]
    assert script.heard == [fe.ConnectEnded(expected, "CA" + "0" * 32, 0)]
    assert dial_status(status) == expected
    assert machine.handle(ev.CallerEnded(status, "why", "local"), 1.1) == [do.Finish("the flow ended")]


def test_a_second_callee_is_dialled_when_the_first_is_busy() -> None:
    machine, _ = call(CONNECT, CONNECT)
    machine.start(0.0)
    assert machine.handle(ev.CalleeEnded(1, 486, "Busy Here", "remote"), 1.0) == [do.DialCallee(2, CONNECT)]
    assert machine.handle(ev.CalleeProgress(1, 180, "late", False), 1.5) == []
    assert machine.handle(ev.CalleeAnswered(2), 2.0) == [do.BridgeAudio(2), do.AnswerCaller()]


def test_no_answer_cancels_the_callee_and_refuses_the_caller() -> None:
    machine, script = call(CONNECT)
    machine.start(0.0)
    assert machine.poll(29.9) == []
    assert machine.poll(30.0) == [do.HangUpCallee(1), do.RejectCaller(480, "No Answer")]
    assert script.heard == [fe.ConnectEnded("no-answer", "CA" + "0" * 32, 0)]
    assert machine.handle(caller_gone("local", 480), 30.1) == []
    assert machine.handle(ev.CalleeEnded(1, 487, "Request Terminated", "local"), 30.2) == [
        do.Finish("the flow ended")
    ]


def test_cancel_ends_the_callee_and_leaves_the_caller_alone() -> None:
    machine, script = call(CONNECT)
    machine.start(0.0)
    assert machine.handle(ev.CallerEnded(487, "Request Terminated", "remote"), 3.0) == [do.HangUpCallee(1)]
    assert script.heard == [fe.CallerHungUp(fe.ConnectEnded("canceled", "CA" + "0" * 32, 0))]
    (finish,) = machine.handle(ev.CalleeEnded(1, 487, "Request Terminated", "local"), 3.1)
    assert isinstance(finish, do.Finish)
    assert "caller ended" in finish.reason


def test_the_callers_bye_ends_the_callee_and_its_streams() -> None:
    machine, script = call(START, CONNECT, STOP)
    machine.start(0.0)
    machine.handle(ev.StreamCreated(1, "MZ1"), 0.1)
    machine.handle(ev.CalleeAnswered(2), 1.0)
    assert machine.handle(caller_gone(), 9.0) == [do.HangUpCallee(2), do.CloseStream(1, "the call ended")]
    (finish,) = machine.handle(ev.CalleeEnded(2, 200, "OK", "local"), 9.1)
    assert isinstance(finish, do.Finish)
    assert finish.reason.startswith("the caller ended the call (200 OK, by remote")
    assert script.heard[-1] == fe.CallerHungUp(fe.ConnectEnded("completed", "CA" + "0" * 32, 8))


def test_after_a_hangup_the_flow_goes_on_without_a_call() -> None:
    machine, script = call(START, CONNECT, after_hangup=[STOP, CONNECT, PLAY, START])
    machine.start(0.0)
    machine.handle(ev.StreamCreated(1, "MZ1"), 0.1)
    assert machine.handle(caller_gone(), 5.0) == [
        do.HangUpCallee(2),
        do.CloseStream(1, "stopped by the flow"),
    ]
    assert [type(event).__name__ for event in script.heard[1:]] == [
        "CallerHungUp",
        "StreamStopped",
        "ConnectEnded",
        "PlayEnded",
        "StreamFailed",
    ]


def test_a_stream_that_cannot_be_created_lets_the_flow_go_on() -> None:
    machine, script = call(START, CONNECT)
    machine.start(0.0)
    assert machine.handle(ev.StreamEnded(1, "MZ1", 31920, "404"), 0.2) == [
        do.CloseStream(1, "404"),
        do.Report(31920, "stream MZ1 ended: 404", "fork"),
        do.DialCallee(2, CONNECT),
    ]
    assert script.heard == [fe.StreamFailed(31920, "404")]


def test_a_mute_consumer_costs_the_call_the_start_wait_and_no_more() -> None:
    machine, script = call(START, CONNECT)
    machine.start(0.0)
    actions = machine.poll(1.0)
    assert [type(action) for action in actions] == [do.Report, do.DialCallee]
    assert script.heard == [fe.StreamStarted("")]
    assert machine.handle(ev.StreamEnded(1, "MZ1", 31901, "time-out"), 10.0)[0] == do.CloseStream(
        1, "time-out"
    )
    assert machine.callee is Callee.DIALLING


def test_without_a_start_wait_the_flow_never_waits() -> None:
    machine, _ = call(START, CONNECT, start_wait=0)
    assert machine.start(0.0) == [do.OpenStream(1, SPEC), do.DialCallee(2, CONNECT)]


def test_a_name_is_unique_among_the_running_streams() -> None:
    machine, script = call(START, START, STOP, START)
    machine.start(0.0)
    actions = machine.handle(ev.StreamCreated(1, "MZ1"), 0.1)
    assert [type(action) for action in actions] == [do.Report, do.CloseStream, do.OpenStream]
    assert isinstance(script.heard[1], fe.StreamFailed)


def test_a_stop_without_a_name_stops_every_stream() -> None:
    other = fa.StartStream(
        "fork2", StreamSpec(StreamTransport.WEBSOCKET, Tracks.INBOUND, url="wss://c.example/")
    )
    machine, _ = call(START, other, fa.StopStream("stop", None), start_wait=0)
    actions = machine.start(0.0)
    assert [a.stream for a in actions if isinstance(a, do.CloseStream)] == [1, 2]


def test_a_prompt_answers_the_caller_and_the_ringing_tone_follows() -> None:
    machine, script = call(PLAY, CONNECT)
    assert machine.start(0.0) == [do.AnswerCaller(), do.PlayPrompt(1, "hello.wav", 1)]
    assert machine.handle(ev.PlayFinished(1, None), 2.0) == [do.DialCallee(1, CONNECT)]
    assert machine.handle(ev.CalleeProgress(1, 180, "Ringing", False), 2.1) == [do.Ringback(True)]
    assert machine.handle(ev.CalleeProgress(1, 180, "Ringing", False), 2.2) == []
    assert machine.handle(ev.CalleeProgress(1, 183, "Progress", True), 2.3) == [
        do.Ringback(False),
        do.BridgeAudio(1),
    ]
    assert machine.handle(ev.CalleeAnswered(1), 3.0) == [do.BridgeAudio(1)]
    assert script.heard == [fe.PlayEnded(None)]


def test_keys_for_the_caller_are_a_prompt_and_those_for_the_callee_follow_its_answer() -> None:
    connect = replace(CONNECT, send_digits="w42")
    machine, script = call(fa.SendDigits("press", "1#"), connect)
    assert machine.start(0.0) == [do.AnswerCaller(), do.SendDigits("1#", prompt=1)]
    assert machine.handle(ev.PlayFinished(1, None), 0.4) == [do.DialCallee(1, connect)]
    assert machine.handle(ev.CalleeAnswered(1), 3.0) == [do.BridgeAudio(1), do.SendDigits("w42", leg=1)]
    assert script.heard == [fe.PlayEnded(None)]
    assert "42" not in repr(do.SendDigits("w42", leg=1))


def test_a_recorded_call_is_sent_no_keys() -> None:
    machine, script = call(fa.SendDigits("press", "1#"), recorded=True)
    machine.start(0.0)
    assert script.heard == [fe.PlayEnded("a recorded call cannot be sent keys")]


def keys(machine: CallMachine, pressed: str, now: float) -> list[Any]:
    return [action for key in pressed for action in machine.handle(ev.KeyPressed(key), now)]


def test_the_first_key_stops_the_prompt_and_the_last_one_ends_the_gathering() -> None:
    machine, script = call(GATHER)
    assert machine.start(0.0) == [do.AnswerCaller(), do.PlayPrompt(1, "menu.wav", 2)]
    assert machine.deadline is None
    assert keys(machine, "4", 1.0) == [do.StopPrompt(1)]
    assert machine.deadline == 6.0
    assert machine.handle(ev.PlayFinished(1, None), 1.5) == []
    assert keys(machine, "!0", 2.0) == []
    assert machine.deadline == 7.0
    assert keys(machine, "7", 3.0) == [do.HangUpCaller()]
    assert script.heard == [fe.GatherEnded("407")]
    assert "407" not in repr(script.heard)


@pytest.mark.parametrize(("pressed", "digits"), [("12#", "12"), ("#", ""), ("*#", "*"), ("1D3", "1D3")])
def test_the_finishing_key_is_not_among_the_digits(pressed: str, digits: str) -> None:
    machine, script = call(GATHER)
    machine.start(0.0)
    keys(machine, pressed, 1.0)
    assert script.heard == [fe.GatherEnded(digits)]


def test_the_time_for_keys_begins_with_the_end_of_the_prompt_and_with_each_key() -> None:
    machine, script = call(GATHER, BARE_GATHER)
    machine.start(0.0)
    assert machine.poll(100.0) == []
    assert machine.handle(ev.PlayFinished(1, "404"), 100.0) == [do.Report(None, "404", "gather")]
    assert machine.deadline == 105.0
    machine.poll(105.0)
    assert script.heard == [fe.GatherEnded("")]
    assert machine.deadline == 110.0
    keys(machine, "1", 109.0)
    keys(machine, "#", 113.0)  # no key finishes this one
    machine.poll(118.0)
    assert script.heard[1:] == [fe.GatherEnded("1#")]


def test_a_phone_that_never_stops_pressing_is_stopped() -> None:
    machine, script = call(BARE_GATHER)
    machine.start(0.0)
    keys(machine, "5" * (MOST_DIGITS + 7), 1.0)
    assert script.heard == [fe.GatherEnded("5" * MOST_DIGITS)]


def test_keys_count_only_while_they_are_asked_for() -> None:
    machine, script = call(PLAY, GATHER)
    machine.start(0.0)
    assert keys(machine, "99#", 1.0) == []
    assert machine.handle(ev.PlayFinished(1, None), 2.0) == [do.PlayPrompt(2, "menu.wav", 2)]
    assert keys(machine, "1#", 3.0) == [do.StopPrompt(2), do.HangUpCaller()]
    assert script.heard == [fe.PlayEnded(None), fe.GatherEnded("1")]


def test_the_end_of_a_prompt_that_was_stopped_is_not_the_next_ones() -> None:
    machine, script = call(GATHER, PLAY)
    machine.start(0.0)
    assert keys(machine, "#", 1.0) == [do.StopPrompt(1), do.PlayPrompt(2, "hello.wav", 1)]
    assert machine.handle(ev.PlayFinished(1, None), 1.0) == []
    assert machine.waiting is Wait.PLAY
    machine.handle(ev.PlayFinished(2, None), 2.0)
    assert script.heard == [fe.GatherEnded(""), fe.PlayEnded(None)]


def test_the_caller_hangs_up_while_keys_are_gathered() -> None:
    machine, script = call(GATHER, after_hangup=[GATHER])
    machine.start(0.0)
    keys(machine, "1", 1.0)
    (finish,) = machine.handle(caller_gone(), 2.0)
    assert isinstance(finish, do.Finish)
    assert keys(machine, "2", 2.1) == []
    assert script.heard == [fe.CallerHungUp(None), fe.GatherEnded("")]


def test_the_time_limit_ends_the_conversation() -> None:
    limited = fa.Connect("c", "sip", "sip:b@192.0.2.1", None, None, None, 30, 60, False)
    machine, script = call(limited)
    machine.start(0.0)
    machine.handle(ev.CalleeAnswered(1), 5.0)
    assert machine.deadline == 65.0
    actions = machine.poll(65.0)
    assert [type(action) for action in actions] == [do.Report, do.HangUpCallee, do.HangUpCaller]
    assert script.heard == [fe.ConnectEnded("completed", "CA" + "0" * 32, 60)]


def test_a_bot_holds_the_call_alone_and_a_person_takes_over() -> None:
    machine, script = call(START, TALK, CONNECT, start_wait=0)
    assert machine.start(0.0) == [do.OpenStream(1, SPEC), do.AnswerCaller(), do.OpenStream(2, TALK_SPEC)]
    assert (machine.callee, machine.waiting, machine.deadline) == (Callee.NONE, Wait.TALK, None)
    assert machine.handle(ev.StreamCreated(2, "MZ2"), 0.2) == []
    assert machine.handle(ev.StreamEnded(1, "MZ1", 31921, "closed"), 5.0) == [  # a fork's end decides nothing
        do.CloseStream(1, "closed"),
        do.Report(31921, "stream MZ1 ended: closed", "bot"),
    ]
    assert machine.poll(3600.0) == []
    assert machine.handle(ev.StreamEnded(2, "MZ2", None, "ended"), 10.2) == [
        do.CloseStream(2, "ended"),
        do.DialCallee(3, CONNECT),
    ]
    assert script.heard == [fe.StreamStarted(""), fe.StreamEnded("MZ2", None, "ended", 10)]
    assert machine.handle(ev.CalleeProgress(3, 180, "Ringing", False), 11.0) == [do.Ringback(True)]


def test_a_bot_that_cannot_be_reached_is_a_result_for_the_flow() -> None:
    machine, script = call(TALK, CONNECT)
    machine.start(0.0)
    assert machine.handle(ev.StreamEnded(1, "MZ1", 31902, "refused"), 3.0) == [
        do.CloseStream(1, "refused"),
        do.Report(31902, "stream MZ1 ended: refused", "bot"),
        do.DialCallee(2, CONNECT),
    ]
    assert script.heard == [fe.StreamEnded("MZ1", 31902, "refused", 0)]


def test_the_caller_hangs_up_on_a_bot() -> None:
    machine, script = call(TALK, after_hangup=[TALK])
    machine.start(0.0)
    machine.handle(ev.StreamCreated(1, "MZ1"), 1.0)
    closed, finish = machine.handle(caller_gone(), 8.6)
    assert closed == do.CloseStream(1, "the caller hung up")
    assert isinstance(finish, do.Finish)
    gone, failed = script.heard
    assert gone == fe.CallerHungUp(None, fe.StreamEnded("MZ1", None, "the caller hung up", 8))
    assert failed == fe.StreamEnded("", 31900, "the call is over", 0)
    assert machine.handle(ev.StreamEnded(1, "MZ1", None, "ended"), 8.7) == []


def test_the_time_limit_ends_a_bot() -> None:
    machine, script = call(SHORT_TALK, PLAY)
    machine.start(0.0)
    machine.handle(ev.StreamCreated(1, "MZ1"), 1.0)
    assert machine.deadline == 60.0
    actions = machine.poll(60.0)
    assert [type(action) for action in actions] == [do.Report, do.CloseStream, do.PlayPrompt]
    assert script.heard == [fe.StreamEnded("MZ1", None, "its time limit is over", 59)]
    assert machine.handle(ev.StreamEnded(1, "MZ1", None, "ended"), 60.1) == []
    assert machine.waiting is Wait.PLAY


def test_a_bots_name_is_unique_too() -> None:
    other = fa.ConnectStream("bot", SPEC, None)
    machine, script = call(START, other, start_wait=0)
    actions = machine.start(0.0)
    assert sum(isinstance(action, do.OpenStream) for action in actions) == 1
    assert isinstance(script.heard[1], fe.StreamEnded)
    assert script.heard[1].code == 31900


def test_a_shutdown_ends_a_bot() -> None:
    machine, _ = call(TALK)
    machine.start(0.0)
    assert machine.handle(ev.ShutDown("stopping"), 2.0) == [
        do.CloseStream(1, "the call ended"),
        do.HangUpCaller(),
    ]


def test_a_shutdown_refuses_or_hangs_up() -> None:
    ringing, _ = call(CONNECT)
    ringing.start(0.0)
    assert ringing.handle(ev.ShutDown("stopping"), 1.0) == [
        do.HangUpCallee(1),
        do.RejectCaller(503, "Service Unavailable"),
    ]
    talking, _ = call(START, CONNECT, start_wait=0)
    talking.start(0.0)
    talking.handle(ev.CalleeAnswered(2), 1.0)
    assert talking.handle(ev.ShutDown("stopping"), 2.0) == [
        do.CloseStream(1, "the call ended"),
        do.HangUpCallee(2),
        do.HangUpCaller(),
    ]


def test_missing_audio_ends_the_call_past_the_flow() -> None:
    machine, script = call(START, CONNECT, PLAY, start_wait=0)
    machine.start(0.0)
    machine.handle(ev.CalleeAnswered(2), 1.0)
    assert machine.handle(ev.AudioLost("the caller has sent no audio for 30 s"), 31.0) == [
        do.CloseStream(1, "the call ended"),
        do.HangUpCallee(2),
        do.HangUpCaller(),
    ]
    assert not any(isinstance(event, fe.ConnectEnded) for event in script.heard)
    machine.handle(ev.CalleeEnded(2, 200, "OK", "local"), 31.1)
    assert machine.handle(caller_gone("local"), 31.2) == [do.Finish("the caller has sent no audio for 30 s")]


def test_a_leg_that_never_ends_is_given_up() -> None:
    machine, _ = call(CONNECT)
    machine.start(0.0)
    machine.handle(ev.CallerEnded(487, "", "remote"), 1.0)
    assert machine.deadline == 1.0 + LINGER
    actions = machine.poll(1.0 + LINGER)
    assert [type(action) for action in actions] == [do.Report, do.Finish]


EVENTS = st.one_of(
    st.builds(
        ev.CallerEnded, st.sampled_from([200, 487, 408]), st.just("x"), st.sampled_from(["remote", "local"])
    ),
    st.builds(ev.CalleeProgress, st.integers(1, 6), st.sampled_from([180, 183]), st.just("x"), st.booleans()),
    st.builds(ev.CalleeAnswered, st.integers(1, 6)),
    st.builds(
        ev.CalleeEnded, st.integers(1, 6), st.sampled_from([200, 486, 500]), st.just("x"), st.just("remote")
    ),
    st.builds(ev.StreamCreated, st.integers(1, 6), st.just("MZ1")),
    st.builds(
        ev.StreamEnded, st.integers(1, 6), st.just("MZ1"), st.sampled_from([None, 31921]), st.just("x")
    ),
    st.builds(ev.PlayFinished, st.integers(1, 4), st.sampled_from([None, "broken"])),
    st.builds(ev.KeyPressed, st.sampled_from("12#!")),
    st.builds(ev.ShutDown, st.just("x")),
    st.builds(ev.AudioLost, st.just("x")),
    st.floats(0.0, 40.0),
)
STEPS = st.lists(
    st.sampled_from([START, STOP, CONNECT, PLAY, GATHER, BARE_GATHER, TALK, SHORT_TALK]), max_size=6
)


@given(steps=STEPS, after=STEPS, events=st.lists(EVENTS, max_size=30), recorded=st.booleans())
@settings(max_examples=400, deadline=None)
def test_any_order_of_events_keeps_the_rules(
    steps: list[Any], after: list[Any], events: list[Any], recorded: bool
) -> None:
    machine, script = call(*steps, after_hangup=after, recorded=recorded)
    now = 0.0
    seen: list[Any] = list(machine.start(now))
    for event in events:
        if isinstance(event, float):
            now += event
            seen += machine.poll(now)
        else:
            seen += machine.handle(event, now)
        waits = machine.waiting is not Wait.NOTHING or machine.deadline is not None
        assert machine.finished or waits or (recorded and machine.streams)
        if machine.waiting is Wait.GATHER and machine.deadline is None:  # then the prompt is still playing
            prompts = [a for a in seen if isinstance(a, do.PlayPrompt | do.StopPrompt)]
            assert isinstance(prompts[-1], do.PlayPrompt)
        if machine.waiting is Wait.TALK:
            assert machine.callee in (Callee.NONE, Callee.LEAVING)
            assert "bot" in machine.streams.values()
    # then both legs end, as SIP guarantees, and time passes
    seen += machine.handle(ev.ShutDown("over"), now)
    seen += machine.handle(caller_gone("local"), now)
    seen += machine.poll(now + LINGER)
    assert machine.finished
    assert [type(action) for action in seen].count(do.Finish) == 1
    assert isinstance(seen[-1], do.Finish)
    finals = [a for a in seen if isinstance(a, do.AnswerCaller | do.RejectCaller)]
    assert len(finals) <= 1
    assert sum(isinstance(a, do.HangUpCaller) for a in seen) <= 1
    opened = [a.stream for a in seen if isinstance(a, do.OpenStream)]
    closed = [a.stream for a in seen if isinstance(a, do.CloseStream)]
    assert opened == sorted(set(opened))
    assert sorted(closed) == opened
    if recorded:
        assert seen[0] == do.AnswerCaller()
        assert not any(isinstance(a, do.DialCallee | do.PlayPrompt | do.RejectCaller) for a in seen)
    talks = [a for a in seen if isinstance(a, do.OpenStream) and a.spec.bidirectional]
    if talks:
        assert any(isinstance(a, do.AnswerCaller) for a in seen[: seen.index(talks[0])])
    played = [a.prompt for a in seen if isinstance(a, do.PlayPrompt)]
    stopped = [a.prompt for a in seen if isinstance(a, do.StopPrompt)]
    assert played == list(range(1, len(played) + 1))
    assert stopped == sorted(set(stopped) & set(played))
    for each in script.heard:
        if isinstance(each, fe.GatherEnded):
            assert "!" not in each.digits
    dialled = {a.leg for a in seen if isinstance(a, do.DialCallee)}
    assert {a.leg for a in seen if isinstance(a, do.HangUpCallee)} <= dialled
    assert machine.caller is Caller.GONE


def test_the_machine_reads_as_its_table_says() -> None:
    machine, _ = call(CONNECT)
    assert (machine.caller, machine.callee) == (Caller.RINGING, Callee.NONE)
    machine.start(0.0)
    assert (machine.caller, machine.callee) == (Caller.RINGING, Callee.DIALLING)
    machine.handle(ev.CalleeAnswered(1), 1.0)
    assert (machine.caller, machine.callee) == (Caller.UP, Callee.UP)
    machine.handle(ev.ShutDown("x"), 2.0)
    assert (machine.caller, machine.callee) == (Caller.LEAVING, Callee.LEAVING)
    machine.handle(caller_gone("local"), 2.1)
    machine.handle(ev.CalleeEnded(1, 200, "OK", "local"), 2.2)
    assert (machine.caller, machine.callee) == (Caller.GONE, Callee.NONE)


def test_a_recorded_call_is_answered_first_and_outlives_its_flow() -> None:
    machine, script = call(START, recorded=True)
    assert machine.start(0.0) == [do.AnswerCaller(), do.OpenStream(1, SPEC)]
    assert machine.handle(ev.StreamCreated(1, "MZ1"), 0.1) == []
    assert machine.deadline is None
    assert machine.handle(caller_gone(), 60.0) == [
        do.CloseStream(1, "the call ended"),
        do.Finish("the caller ended the call (200 OK, by remote)"),
    ]
    assert script.heard == [fe.StreamStarted("MZ1")]


def test_a_recorded_call_without_a_stream_left_is_hung_up() -> None:
    machine, _ = call(START, recorded=True)
    machine.start(0.0)
    machine.handle(ev.StreamCreated(1, "MZ1"), 0.1)
    actions = machine.handle(ev.StreamEnded(1, "MZ1", 31921, "gone"), 5.0)
    assert actions[-1] == do.HangUpCaller()
    assert machine.handle(caller_gone("local"), 5.1) == [do.Finish("no stream of the recorded call is left")]


def test_the_connection_of_a_recorded_call_lasts_as_long_as_it() -> None:
    machine, script = call(START, CONNECT, STOP, recorded=True, after_hangup=[STOP])
    machine.start(0.0)
    assert machine.handle(ev.StreamCreated(1, "MZ1"), 1.0) == []
    assert machine.waiting is Wait.CONNECT
    assert machine.deadline is None
    actions = machine.handle(caller_gone(), 61.0)
    assert actions[0] == do.CloseStream(1, "stopped by the flow")
    assert machine.finished
    assert script.heard[1] == fe.CallerHungUp(fe.ConnectEnded("completed", "", 60), None)


def test_nothing_is_played_to_a_recorded_call_or_asked_of_it() -> None:
    machine, script = call(PLAY, GATHER, START, recorded=True)
    actions = machine.start(0.0)
    assert do.OpenStream(1, SPEC) in actions
    assert not any(isinstance(each, do.PlayPrompt) for each in actions)
    assert script.heard == [
        fe.PlayEnded("a recorded call cannot be played anything"),
        fe.GatherEnded(""),
    ]


def test_a_stream_cannot_speak_to_a_recorded_call() -> None:
    machine, _ = call(TALK, recorded=True)
    opened = [each for each in machine.start(0.0) if isinstance(each, do.OpenStream)]
    assert len(opened) == 1
    assert not opened[0].spec.bidirectional
