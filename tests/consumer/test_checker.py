"""Streams with one mistake each: the checker finds that one, and nothing in a stream without."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from forkproxy.consumer import fixture
from forkproxy.consumer.checker import MOST, Checker, Gap

Messages = list[dict[str, Any]]


def stream(*, bidirectional: bool = False) -> Messages:
    """A good one: two seconds."""
    entries = fixture.sample(2.0, bidirectional=bidirectional).entries
    return json.loads(json.dumps([entry.message for entry in entries if entry.message is not None]))  # type: ignore[no-any-return]


def numbered(messages: Messages) -> Messages:
    for number, message in enumerate(messages):
        if number:
            message["sequenceNumber"] = str(number)
    return messages


def checked(messages: Messages, code: int | None = 1000) -> Checker:
    checker = Checker()
    for message in messages:
        checker.message(json.dumps(message))
    checker.closed(code)
    return checker


def test_a_good_stream_has_no_findings() -> None:
    checker = checked(stream())
    assert not checker.findings
    assert checker.counts == {"connected": 1, "start": 1, "media": 200, "stop": 1}
    assert {track: state.frames for track, state in checker.tracks.items()} == {
        "inbound": 100,
        "outbound": 100,
    }
    assert checker.gap_count == 0


def _without(index: int) -> Callable[[Messages], Messages]:
    return lambda messages: numbered(messages[:index] + messages[index:][1:])


def _with(index: int, **fields: Any) -> Callable[[Messages], Messages]:
    def change(messages: Messages) -> Messages:
        messages[index] = {**messages[index], **fields}
        return messages

    return change


def _media(index: int, **fields: Any) -> Callable[[Messages], Messages]:
    def change(messages: Messages) -> Messages:
        messages[index]["media"] |= fields
        return messages

    return change


def _twice(index: int) -> Callable[[Messages], Messages]:
    return lambda messages: numbered([*messages[: index + 1], dict(messages[index]), *messages[index + 1 :]])


@pytest.mark.parametrize(
    ("change", "rule", "text"),
    [
        (_without(0), "order", "start came before connected"),
        (lambda m: numbered([m[0], m[2], m[1], *m[3:]]), "order", "media came before start"),
        (_twice(1), "order", "start came twice"),
        (lambda m: [m[0], *m], "order", "connected came twice"),
        (lambda m: numbered([*m, dict(m[-2])]), "order", "media came after stop"),
        (_with(7, sequenceNumber="9"), "sequence", "sequenceNumber is 9, not 7"),
        (_with(9, streamSid="MZ" + "9" * 32), "sid", "start's was MZ"),
        (_with(1, streamSid="MZ" + "9" * 32), "sid", "streamSid and start.streamSid are not the same"),
        (_with(-1, stop={"accountSid": "AC" + "1" * 32, "callSid": "CA" + "1" * 32}), "sid", "stop names"),
        (_media(9, chunk="1"), "chunk", "outbound: chunk is 1 after 3"),
        (_media(9, timestamp="30"), "timestamp", "outbound: timestamp is 30; the audio before it ends at 60"),
        (_media(9, payload="/w=="), "payload", "the payload has 1 octets, not 160"),
        (lambda m: m[:-1], "end", "the connection ended (1000) before stop"),
        (_with(5, event="chat"), "message", "the event 'chat' is not one of"),
    ],
)
def test_one_mistake_is_found(change: Callable[[Messages], Messages], rule: str, text: str) -> None:
    checker = checked(change(stream()))
    assert any(finding.rule == rule and text in finding.text for finding in checker.findings.kept), [
        str(finding) for finding in checker.findings.kept
    ]


def test_media_of_a_track_that_start_does_not_name() -> None:
    messages = stream(bidirectional=True)
    messages[5]["media"]["track"] = "outbound"
    assert checked(messages).findings.counts == {"track": 1}


def test_binary_frames_are_named() -> None:
    checker = Checker()
    checker.message(b"\0\1")
    assert [str(finding) for finding in checker.findings.kept] == [
        "frame: message 1: a binary frame of 2 octets; messages are text"
    ]


@pytest.mark.parametrize(("code", "text"), [(1001, "closed with 1001"), (None, "closed with 1006")])
def test_the_end_is_1000(code: int | None, text: str) -> None:
    assert text in checked(stream(), code).findings.kept[0].text


def test_our_own_hanging_up_is_no_mistake_of_theirs() -> None:
    checker = Checker()
    for message in stream()[:-1]:
        checker.message(json.dumps(message))
    checker.closed(1000, by_us=True)
    assert not checker.findings


def test_lost_audio_is_a_gap_and_no_mistake() -> None:
    messages = numbered([m for n, m in enumerate(stream()) if n not in (4, 6, 20)])
    checker = checked(messages)
    assert not checker.findings
    assert (checker.gap_count, checker.gap_ms) == (2, 60)
    assert checker.gaps == [Gap("inbound", 20, 40), Gap("inbound", 180, 20)]


def test_marks_come_back_in_order_and_once() -> None:
    checker = Checker()
    for message in stream(bidirectional=True)[:2]:
        checker.message(json.dumps(message))
    for name in ("a", "b", "c"):
        checker.sent_mark(name)
    sid = checker.start.stream_sid if checker.start else ""
    for number, name in enumerate(("a", "c", "b", "b"), 2):
        mark = {"event": "mark", "sequenceNumber": str(number), "streamSid": sid, "mark": {"name": name}}
        checker.message(json.dumps(mark))
    assert [finding.text for finding in checker.findings.kept] == [
        "the mark 'c' came back before 'b'",
        "the mark 'b' was not sent, or came back twice",
    ]
    assert checker.waiting_marks == 0


def test_findings_are_bounded_and_counted() -> None:
    checker = Checker()
    for _ in range(MOST + 50):
        checker.message("no")
    assert len(checker.findings.kept) == MOST
    assert checker.findings.counts == {"message": MOST + 50}
