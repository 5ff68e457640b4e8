"""The two voices can be told apart, by the checks and by an ear."""

from __future__ import annotations

import pytest

from forkproxy.demo.voices import CALLEE, CALLER, RATE, SHORTEST, Voice, conversation, level, speech
from forkproxy.media.audio import decode_ulaw


@pytest.mark.parametrize("seconds", [SHORTEST, 3.3, 6.0, 20.0])
@pytest.mark.parametrize(("voice", "other"), [(CALLER, CALLEE), (CALLEE, CALLER)])
def test_a_voice_has_its_own_mark_and_not_the_other_s(voice: Voice, other: Voice, seconds: float) -> None:
    samples = decode_ulaw(speech(voice, seconds))
    own, foreign = level(samples, voice.mark), level(samples, other.mark)
    assert own > -26
    assert foreign < own - 40
    assert max(map(abs, samples)) < 32000, "it clips"


def test_mixed_voices_have_both_marks() -> None:
    mixed = [sum(pair) for pair in zip(*(decode_ulaw(speech(v, 6.0)) for v in (CALLER, CALLEE)), strict=True)]
    assert abs(level(mixed, 440) - level(mixed, 1000)) < 12


def test_speech_is_the_same_every_time_and_whole_frames_long() -> None:
    assert speech(CALLER, 4.0) == speech(CALLER, 4.0)
    assert len(speech(CALLER, 4.0)) == 4 * RATE
    assert len(speech(CALLEE, 2.013)) % 160 == 0


@pytest.mark.parametrize("seconds", [SHORTEST, 6.0, 17.0, 60.0])
def test_a_conversation_has_turns_and_an_overlap(seconds: float) -> None:
    turns = conversation(seconds)
    assert {turn.speaker for turn in turns} == {"caller", "callee"}
    assert all(0 <= turn.start < turn.end <= seconds for turn in turns)
    assert any(
        one.speaker != two.speaker and one.start < two.start < one.end for one in turns for two in turns
    )


@pytest.mark.parametrize("seconds", [0.0, -1.0, SHORTEST - 0.1, float("nan")])
def test_a_conversation_without_room_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="at least 2 seconds"):
        conversation(seconds)


def test_levels_are_decibels_below_full_scale() -> None:
    import math

    sine = [round(0.1 * 32768 * math.sin(math.tau * 440 * n / RATE)) for n in range(RATE)]
    assert level(sine, 440) == pytest.approx(-20, abs=0.05)
    assert level([0] * RATE, 440) == -120
    assert level([], 440) == -120
