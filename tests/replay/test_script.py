"""What is sent when, with and without faults; and what the caller hears of a server's audio."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from forkproxy.consumer import fixture
from forkproxy.consumer.checker import Checker
from forkproxy.replay.playout import Playout
from forkproxy.replay.script import CUT, Faults, Script, Step, encode, steps

SAMPLE = fixture.sample(2.0)
"""A hundred frames of each track."""
TALK = fixture.sample(2.0, bidirectional=True)


def events(made: list[Step], event: str) -> list[dict[str, Any]]:
    return [step.message for step in made if step.message is not None and step.message["event"] == event]


def checked(made: list[Step]) -> Checker:
    """The steps as they would leave, in the eyes of a consumer."""
    checker, number = Checker(), 0
    for step in made:
        if step.close is not None:
            checker.closed(None if step.close == CUT else step.close)
        elif step.message is not None:
            message = dict(step.message)
            if "sequenceNumber" in message:
                number += 1
                message["sequenceNumber"] = str(number)
            checker.message(encode(message))
    return checker


def test_what_was_recorded_is_played_at_its_times_with_new_sids() -> None:
    made = steps(SAMPLE, Script())
    assert not checked(made).findings
    assert [step.ms for step in made] == [entry.ms for entry in SAMPLE.entries]
    recorded = json.loads(SAMPLE.entries[1].content or "")
    (start,) = events(made, "start")
    assert start["streamSid"] == start["start"]["streamSid"] != recorded["streamSid"]
    assert start["start"]["callSid"] == events(made, "stop")[0]["stop"]["callSid"]
    assert start["start"]["callSid"] != recorded["start"]["callSid"]
    assert start["start"]["accountSid"] == recorded["start"]["accountSid"]
    assert len({step.message["streamSid"] for step in made[1:-1] if step.message}) == 1


def test_sids_may_be_kept_and_parameters_added() -> None:
    made = steps(SAMPLE, Script(keep_sids=True, parameters={"a": "1"}))
    (start,) = events(made, "start")
    assert start["streamSid"] == "MZ" + "0" * 31 + "1"
    assert start["start"]["customParameters"] == {"a": "1"}
    assert json.loads(SAMPLE.entries[1].content or "")["start"]["customParameters"] == {}


def test_loss_leaves_holes_in_chunk_and_timestamp_as_a_slow_consumer_gets_them() -> None:
    made = steps(SAMPLE, Script(faults=Faults(loss=0.3), seed=1))
    checker = checked(made)
    assert not checker.findings
    assert checker.gap_count > 10
    assert 200 - len(events(made, "media")) >= checker.gap_ms // 20 > 10
    assert [step.ms for step in made] == [
        step.ms for step in steps(SAMPLE, Script(faults=Faults(loss=0.3), seed=1))
    ]
    assert len(events(steps(SAMPLE, Script(faults=Faults(loss=0.3), seed=2)), "media")) != len(
        events(made, "media")
    )


def test_jitter_delays_and_never_overtakes() -> None:
    made = steps(SAMPLE, Script(faults=Faults(jitter_ms=100), seed=4))
    times = [step.ms for step in made]
    late = [ms - entry.ms for ms, entry in zip(times, SAMPLE.entries, strict=True)]
    assert times == sorted(times)
    assert min(late) >= 0
    assert 50 < max(late) <= 100 + 100
    assert not checked(made).findings


def test_a_slow_start_catches_up() -> None:
    made = steps(SAMPLE, Script(faults=Faults(slow_start_ms=500)))
    assert [step.ms for step in made[:52]] == [500] * 52
    assert made[-1].ms == SAMPLE.entries[-1].ms


def test_a_cut_has_neither_stop_nor_a_close_frame() -> None:
    made = steps(SAMPLE, Script(faults=Faults(disconnect_ms=500)))
    assert (made[-1].close, made[-1].ms) == (CUT, 500)
    assert not events(made, "stop")
    assert dict(checked(made).findings.counts) == {"end": 1}


def test_lingering_is_silence_before_stop() -> None:
    made = steps(SAMPLE, Script(linger_ms=200))
    checker = checked(made)
    assert not checker.findings
    assert (checker.gap_count, checker.counts["media"]) == (0, 220)
    assert made[-1].ms == SAMPLE.entries[-1].ms + 200


def test_marks_of_a_recording_come_back_as_the_new_audio_is_played_not_as_the_old_was() -> None:
    mark = fixture.Entry.model_validate(
        {"ms": 30, "from": "forkproxy", "message": {"event": "mark", "sequenceNumber": "9", "mark": {}}}
    )
    recorded = replace(TALK, entries=(*TALK.entries[:4], mark, *TALK.entries[4:]))
    assert not events(steps(recorded, Script(bidirectional=True)), "mark")
    assert len(events(steps(recorded, Script()), "mark")) == 1


def test_a_recording_that_was_broken_off_is_ended_properly_and_strange_frames_are_played() -> None:
    lines = ['{"fixture": 1}', '{"ms": 5, "from": "forkproxy", "text": "x"}']
    made = steps(fixture.parse(lines, "x"), Script())
    assert made == [Step(5.0, raw="x"), Step(5.0, close=1000)]


# Playout


def test_marks_are_due_when_their_audio_has_been_played() -> None:
    playout = Playout()
    playout.mark("at once", 10)
    assert playout.speak(b"a" * 800, 10)
    playout.mark("a", 10)
    assert playout.speak(b"b" * 800, 20)
    playout.mark("b", 25)
    assert playout.due(10) == ["at once"]
    assert playout.next() == 110
    assert playout.due(109) == []
    assert playout.due(110) == ["a"]
    assert (playout.due(210), playout.waiting) == (["b"], 0)
    assert playout.heard(1000) == b"\xff" * 80 + b"a" * 800 + b"b" * 800


def test_clear_drops_what_waits_and_sends_its_marks_back_in_order() -> None:
    playout = Playout()
    playout.speak(b"a" * 800, 0)
    playout.mark("a", 0)
    playout.speak(b"b" * 800, 0)
    playout.mark("b", 0)
    playout.clear(50)
    assert playout.due(50) == ["a", "b"]
    assert playout.heard(1000) == b"a" * 400
    playout.speak(b"c" * 8, 60)
    playout.mark("c", 60)
    assert playout.due(61) == ["c"]
    assert playout.cleared == 1


@pytest.mark.parametrize(("octets", "taken"), [(8000, True), (8001, False)])
def test_what_waits_is_limited(octets: int, taken: bool) -> None:
    assert Playout(limit_ms=1000).speak(b"a" * octets, 5) is taken
