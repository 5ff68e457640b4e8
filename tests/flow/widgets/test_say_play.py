"""Say/Play: what can be played, and what cannot yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from forkproxy.flow import Execution
from forkproxy.flow.actions import HangUp, Play, SendDigits, Warn
from forkproxy.flow.events import CallerHungUp, PlayEnded, StreamStopped
from tests.flow.conftest import NOW

DIGITS_WRONG = "must be 1 to 200 keys: 0 to 9, *, #, A to D, w for half a second's pause, W for a second's"
Found = Callable[..., list[str]]


def widget(properties: str, after: str = "[{event: audioComplete}]") -> str:
    return f"- {{name: first, type: say-play, properties: {{{properties}}}, transitions: {after}}}\n"


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ("play: 'https://a.example/b.wav', loop: 99, voice: alice, language: en-US", []),
        ("play: 'https://a.example/b.wav', say: ''", []),
        ("play: '{{x}}'", []),
        ("play: here.wav", []),
        ("{}", [": must have exactly one of 'say', 'play' and 'digits'"]),
        (
            "play: 'http://a/b', digits: '1'",
            [
                ": must have exactly one of 'say', 'play' and 'digits'; these are here: play, digits",
            ],
        ),
        ("digits: '1wW*#d'", []),
        ("digits: '{{x}}'", []),
        ("digits: '1,2'", [f"/digits: {DIGITS_WRONG}"]),
        ("say: hello", ["/say: is a property that forkproxy does not run yet: use 'play'"]),
        ("text: hello, play: here.wav", ["/text: is not a known property; did you mean 'say'?"]),
        (
            "play: 'ftp://a/b'",
            ["/play: 'ftp://' cannot be played: http, https, file, or a path next to the flow"],
        ),
        ("play: 'http://'", ["/play: is not a URL with a host"]),
        ("play: 'http://a/b', loop: 0", ["/loop: must be 1 or more"]),
        ("play: 'http://a/b', loop: 100", ["/loop: must be 99 or less"]),
        ("play: 'http://a/b', loop: '1'", ["/loop: string found, integer expected"]),
        ("play: 5", ["/play: integer found, string expected"]),
    ],
)
def test_what_is_checked(tmp_path: Path, found: Found, properties: str, expected: list[str]) -> None:
    (tmp_path / "here.wav").touch()
    states = widget(properties).replace("{{}}", "{}")
    assert [line.replace("#/states/1/properties", "") for line in found(states)] == expected


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_file_must_be_there(tmp_path: Path, found: Found, scheme: str) -> None:
    path = f"{scheme}{tmp_path}/none.wav"
    assert found(widget(f"play: {path}")) == [
        f"#/states/1/properties/play: there is no file {tmp_path}/none.wav"
    ]
    (tmp_path / "none.wav").touch()
    assert found(widget(f"play: {path}")) == []


def test_speech_on_a_branch_for_messages_is_a_warning(found: Found) -> None:
    states = "- {name: first, type: set-variables, properties: {variables: []}}\n"
    states += widget("say: hi").replace("first", "other")
    assert all(line.startswith("warning: ") for line in found(states))


@pytest.mark.parametrize(
    ("play", "url"),
    [
        ("http://a/b.wav", "http://a/b.wav"),
        ("HTTPS://a/b.wav", "HTTPS://a/b.wav"),
        ("'https://a/{{trigger.call.Lang}}.wav'", "https://a/de.wav"),
        ("'{{trigger.call.Lang}}/wel come.wav'", "file://FOLDER/de/wel%20come.wav"),
        ("../up.wav", "file://FOLDER/../up.wav"),
    ],
)
def test_what_is_played(tmp_path: Path, execution_of: Callable[..., Execution], play: str, url: str) -> None:
    (tmp_path.parent / "up.wav").touch()
    execution = execution_of(widget(f"play: {play}, loop: 2"), Lang="de")
    assert execution.start(NOW) == [Play("first", url.replace("FOLDER", str(tmp_path)), 2)]
    assert execution.handle(StreamStopped(None), NOW) == []
    assert execution.handle(PlayEnded(None), NOW) == [HangUp("the flow ended after 'first'")]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (" ", "'play' came out empty"),
        ("../../etc/x.wav", "leads out of the flow's folder"),
        ("a\0b", "leads out of the flow's folder"),
    ],
)
def test_what_a_template_may_not_become(
    execution_of: Callable[..., Execution], value: str, message: str
) -> None:
    warning, end = execution_of(widget("play: '{{trigger.call.Sent}}'"), Sent=value).start(NOW)
    assert isinstance(warning, Warn)
    assert message in warning.message
    assert isinstance(end, HangUp)


def test_keys_are_pressed(execution_of: Callable[..., Execution]) -> None:
    execution = execution_of(widget("digits: '{{trigger.call.Pin}}#', loop: 2"), Pin=" 12w3")
    (action,) = execution.start(NOW)
    assert action == SendDigits("first", "12w3#12w3#")
    assert "12" not in repr(action), "a PIN does not reach a log"
    assert execution.handle(PlayEnded(None), NOW) == [HangUp("the flow ended after 'first'")]


@pytest.mark.parametrize("value", ["", "call me"])
def test_keys_that_come_out_wrong(execution_of: Callable[..., Execution], value: str) -> None:
    warning, end = execution_of(widget("digits: '{{trigger.call.Pin}}'"), Pin=value).start(NOW)
    assert isinstance(warning, Warn)
    assert warning.message == f"no keys are sent: 'digits' {DIGITS_WRONG}"
    assert isinstance(end, HangUp)


def test_audio_that_could_not_be_played(execution_of: Callable[..., Execution]) -> None:
    execution = execution_of(widget("play: 'http://a/b'"))
    execution.start(NOW)
    assert execution.handle(PlayEnded("404 Not Found"), NOW)[0] == Warn(None, "404 Not Found", "first")


def test_the_caller_hangs_up(execution_of: Callable[..., Execution]) -> None:
    execution = execution_of(widget("play: 'http://a/b'", "[{event: audioComplete, next: first}]"))
    execution.start(NOW)
    assert execution.handle(CallerHungUp(), NOW) == [HangUp("the caller hung up")]
