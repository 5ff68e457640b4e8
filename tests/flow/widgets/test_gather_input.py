"""Gather Input On Call: keys, what is checked, and what the flow gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from forkproxy.flow import Execution
from forkproxy.flow.actions import Gather, HangUp, Play, Warn
from forkproxy.flow.events import CallerHungUp, GatherEnded, PlayEnded
from tests.flow.conftest import NOW

Found = Callable[..., list[str]]

PLAY = "play: 'http://a/b'"


def widget(properties: str, after: str = "[{event: keypress}]") -> str:
    return (
        f"- {{name: first, type: gather-input-on-call, properties: {{{properties}}}, transitions: {after}}}\n"
    )


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        (f"{PLAY}, timeout: 0, finish_on_key: '', number_of_digits: 1, stop_gather: false, loop: 99", []),
        (
            f"{PLAY}, say: '', voice: alice, language: en-US, gather_language: en, speech_timeout: auto,"
            " speech_model: default, hints: 'yes, no', profanity_filter: 'true', save_response_as: ''",
            [],
        ),
        (f"{PLAY}, number_of_digits: null, hints: null, profanity_filter: true", []),
        ("play: here.wav", []),
        ("timeout: 5", [": must have exactly one of 'say' and 'play'"]),
        (
            f"{PLAY}, say: hi",
            [
                ": must have exactly one of 'say' and 'play'; these are here: say, play",
                "/say: is a property that forkproxy does not run yet: use 'play'",
            ],
        ),
        ("play: none.wav", ["/play: there is no file FOLDER/none.wav"]),
        (
            f"{PLAY}, num_digits: 4",
            ["/num_digits: is not a known property; did you mean 'number_of_digits'?"],
        ),
        (f"{PLAY}, timeout: '5'", ["/timeout: string found, integer expected"]),
        (f"{PLAY}, timeout: 601", ["/timeout: must be 600 or less"]),
        (f"{PLAY}, number_of_digits: 0", ["/number_of_digits: must be 1 or more"]),
        (
            f"{PLAY}, save_response_as: x",
            ["/save_response_as: is not followed: the keys are in 'widgets.first.Digits'"],
        ),
    ],
)
def test_what_is_checked(tmp_path: Path, found: Found, properties: str, expected: list[str]) -> None:
    (tmp_path / "here.wav").touch()
    lines = [line.replace(str(tmp_path), "FOLDER") for line in found(widget(properties))]
    assert [line.removeprefix("warning: ").replace("#/states/1/properties", "") for line in lines] == expected


@pytest.mark.parametrize("key", ["##", "x"])
def test_one_key_finishes(found: Found, key: str) -> None:
    assert found(widget(f"{PLAY}, finish_on_key: '{key}'")) == [
        "#/states/1/properties/finish_on_key: must be one key, of 0 to 9, * and #, or empty"
    ]


def test_a_branch_for_speech_is_a_warning(found: Found) -> None:
    other = f"- {{name: other, type: say-play, properties: {{{PLAY}}}}}\n"
    after = "[{event: speech, next: other}, {event: keypress, next: other}, {event: timeout}]"
    assert found(widget(PLAY, after) + other) == [
        "warning: #/states/1/transitions/0: leads nowhere: forkproxy does not recognise speech, only keys"
    ]
    assert found(widget(PLAY, "[{event: speech}, {event: keypress, next: first}]")) == []


def test_what_is_gathered_and_where_it_goes(execution_of: Callable[..., Execution]) -> None:
    told = "- {name: told, type: say-play, properties: {play: 'http://a/{{widgets.first.Digits}}'}}\n"
    execution = execution_of(
        widget(f"{PLAY}, loop: 2, number_of_digits: 4", "[{event: keypress, next: told}]") + told
    )
    (action,) = execution.start(NOW)
    assert action == Gather("first", "http://a/b", 2, 5, "#", 4)
    assert execution.handle(PlayEnded(None), NOW) == []
    event = GatherEnded("0042")
    assert "0042" not in repr(event)
    assert execution.handle(event, NOW) == [Play("told", "http://a/0042", 1)]
    assert execution.context()["widgets"]["first"]["CallSid"] == "CA" + "1" * 32


def test_no_keys_are_a_timeout(execution_of: Callable[..., Execution]) -> None:
    execution = execution_of(widget(PLAY, "[{event: keypress}, {event: timeout, next: first}]"))
    assert execution.handle(GatherEnded(""), NOW) == []  # it has not begun
    execution.start(NOW)
    assert isinstance(execution.handle(GatherEnded(""), NOW)[0], Gather)
    assert execution.context()["widgets"]["first"]["Digits"] == ""


def test_without_stop_gather_the_number_of_digits_means_nothing(
    execution_of: Callable[..., Execution],
) -> None:
    (action,) = execution_of(widget(f"{PLAY}, number_of_digits: 1, stop_gather: false")).start(NOW)
    assert isinstance(action, Gather)
    assert action.number_of_digits is None


def test_without_a_prompt_that_may_be_played_keys_are_gathered_all_the_same(
    execution_of: Callable[..., Execution],
) -> None:
    warning, action = execution_of(widget("play: '{{trigger.call.Sent}}'"), Sent="../x").start(NOW)
    assert isinstance(warning, Warn)
    assert isinstance(action, Gather)
    assert action.url is None


def test_the_caller_hangs_up(execution_of: Callable[..., Execution]) -> None:
    execution = execution_of(widget(PLAY))
    execution.start(NOW)
    assert execution.handle(CallerHungUp(), NOW) == [HangUp("the caller hung up")]


def test_nobody_presses_keys_after_the_hang_up(execution_of: Callable[..., Execution]) -> None:
    dial = (
        "- {name: first, type: connect-call-to, properties: {noun: number, to: '1'},"
        " transitions: [{event: hangup, next: keys}]}\n"
    )
    execution = execution_of(dial + widget(PLAY).replace("first", "keys"))
    execution.start(NOW)
    warning, end = execution.handle(CallerHungUp(), NOW)
    assert warning == Warn(None, "no keys are gathered: the caller has hung up", "keys")
    assert isinstance(end, HangUp)
