"""What is said back."""

from __future__ import annotations

import json
from base64 import b64decode
from itertools import chain

from forkproxy.consumer.answers import LOUD_FRAMES, Echo, Recording, Silence

LOUD, QUIET = b"\x80" * 160, b"\xff" * 160


def test_an_echo_says_what_it_hears_with_a_mark_each_second() -> None:
    echo = Echo()
    assert echo.started("MZ1") == []
    said = [json.loads(text) for text in chain.from_iterable(echo.heard(LOUD) for _ in range(100))]
    assert [message["mark"]["name"] for message in said if message["event"] == "mark"] == ["echo-1", "echo-2"]
    assert said[50]["event"] == "mark"
    assert b"".join(b64decode(m["media"]["payload"]) for m in said if m["event"] == "media") == LOUD * 100
    assert {message["streamSid"] for message in said} == {"MZ1"}


def test_a_recording_is_said_at_once_with_marks() -> None:
    recording = Recording(bytes(range(256)) * 80, barge_in=False)
    said = [json.loads(text) for text in recording.started("MZ1")]
    assert (
        b"".join(b64decode(m["media"]["payload"]) for m in said if m["event"] == "media")
        == bytes(range(256)) * 80
    )
    assert [m["mark"]["name"] for m in said if m["event"] == "mark"] == ["second-1", "second-2", "end"]
    assert said[-1]["event"] == "mark"
    assert [recording.heard(LOUD) for _ in range(9)] == [[]] * 9
    recording.marked("second-1")
    assert not recording.done
    recording.marked("end")
    assert recording.done


def test_who_interrupts_is_listened_to_once() -> None:
    recording = Recording(LOUD * 50, barge_in=True)
    recording.started("MZ1")
    assert recording.heard(LOUD) == []
    assert recording.heard(QUIET) == []  # a click is no speech
    said = list(chain.from_iterable(recording.heard(LOUD) for _ in range(LOUD_FRAMES + 5)))
    assert [json.loads(text) for text in said] == [{"event": "clear", "streamSid": "MZ1"}]


def test_silence() -> None:
    silence = Silence()
    assert (silence.started("x"), silence.heard(LOUD), silence.marked("a"), silence.done) == (
        [],
        [],
        [],
        False,
    )
