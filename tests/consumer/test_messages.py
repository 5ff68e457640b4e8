"""Each message and each way to get one wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from forkproxy.consumer.messages import (
    AnswerClear,
    AnswerMark,
    AnswerMedia,
    Media,
    MessageError,
    Start,
    parse_from_forkproxy,
    parse_from_server,
)

AC, CA, MZ = "AC" + "a" * 32, "CA" + "b" * 32, "MZ" + "c" * 32
START: dict[str, Any] = {
    "event": "start",
    "sequenceNumber": "1",
    "start": {
        "accountSid": AC,
        "streamSid": MZ,
        "callSid": CA,
        "tracks": ["inbound", "outbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"language": "de"},
    },
    "streamSid": MZ,
}
MEDIA: dict[str, Any] = {
    "event": "media",
    "sequenceNumber": "2",
    "media": {"track": "inbound", "chunk": "1", "timestamp": "0", "payload": "AAEC"},
    "streamSid": MZ,
}
OTHERS: list[dict[str, Any]] = [
    {"event": "connected", "protocol": "Call", "version": "1.0.0"},
    {
        "event": "dtmf",
        "streamSid": MZ,
        "sequenceNumber": "5",
        "dtmf": {"track": "inbound_track", "digit": "#"},
    },
    {"event": "mark", "sequenceNumber": "4", "streamSid": MZ, "mark": {"name": "my label"}},
    {
        "event": "gap",
        "sequenceNumber": "4",
        "streamSid": MZ,
        "gap": {"timestamp": "40", "duration": "20"},
    },
    {"event": "stop", "sequenceNumber": "5", "stop": {"accountSid": AC, "callSid": CA}, "streamSid": MZ},
]


def changed(message: dict[str, Any], path: str, value: object) -> str:
    copy = json.loads(json.dumps(message))
    *folders, last = path.split(".")
    place = copy
    for folder in folders:
        place = place[folder]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(copy)


def test_what_is_right_is_taken() -> None:
    start = parse_from_forkproxy(json.dumps(START))
    assert isinstance(start, Start)
    assert start.start.custom_parameters == {"language": "de"}
    media = parse_from_forkproxy(json.dumps(MEDIA))
    assert isinstance(media, Media)
    assert (media.sequence_number, media.media.chunk, media.media.payload) == (2, 1, b"\0\1\2")
    for message in OTHERS:
        assert parse_from_forkproxy(json.dumps(message)).event == message["event"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "is not JSON: "),
        ("{", "is not JSON: "),
        ("[]", "is not a JSON object"),
        ("17", "is not a JSON object"),
        ("{}", "has no event"),
        ('{"event":"chat"}', "the event 'chat' is not one of"),
        (
            changed(MEDIA, "sequenceNumber", 2),
            "sequenceNumber is a number, not a string that holds an integer",
        ),
        (
            changed(MEDIA, "sequenceNumber", "02"),
            "sequenceNumber is '02', not a string that holds an integer",
        ),
        (changed(MEDIA, "sequenceNumber", "²"), "sequenceNumber is '²', not a string that holds"),
        (changed(MEDIA, "media.timestamp", "-20"), "media.timestamp is '-20'"),
        (changed(MEDIA, "media.timestamp", None), "media.timestamp is null"),
        (changed(MEDIA, "media.chunk", ...), "media.chunk is missing"),
        (changed(MEDIA, "media.payload", "AAE"), "media.payload is not Base64: "),
        (changed(MEDIA, "media.payload", "A A="), "media.payload is not Base64: "),
        (changed(MEDIA, "media.payload", ""), "media.payload is empty"),
        (changed(MEDIA, "media.payload", []), "media.payload is an array, not a string"),
        (changed(MEDIA, "media.track", "inbound_track"), "media.track: "),
        (changed(MEDIA, "media.extra", 1), "media.extra does not belong here"),
        (changed(MEDIA, "media", "x"), "media"),
        (changed(START, "start.tracks", []), "start.tracks: "),
        (changed(START, "start.tracks", ["inbound", "inbound"]), "start.tracks names a track twice"),
        (changed(START, "start.mediaFormat.sampleRate", "8000"), "start.mediaFormat.sampleRate: "),
        (changed(START, "start.customParameters", ...), "start.customParameters is missing"),
        (changed(START, "start.customParameters.n", 1), "start.customParameters.n: "),
        (changed(START, "start.callSid", "CA12"), "start.callSid: "),
        (changed(OTHERS[0], "sequenceNumber", "1"), "sequenceNumber does not belong here"),
        (changed(OTHERS[0], "version", "2.0.0"), "version: "),
        (changed(OTHERS[1], "dtmf.digit", "12"), "dtmf.digit: "),
        (changed(OTHERS[1], "dtmf.track", "inbound"), "dtmf.track: "),
    ],
)
def test_what_is_wrong_is_named(text: str, wrong: str) -> None:
    with pytest.raises(MessageError) as caught:
        parse_from_forkproxy(text)
    assert str(caught.value).startswith(wrong)


def test_what_a_server_may_say() -> None:
    media = parse_from_server(f'{{"event":"media","streamSid":"{MZ}","media":{{"payload":"/w=="}}}}')
    assert isinstance(media, AnswerMedia)
    assert media.media.payload == b"\xff"
    mark = parse_from_server(f'{{"event":"mark","streamSid":"{MZ}","mark":{{"name":"a"}}}}')
    assert isinstance(mark, AnswerMark)
    assert isinstance(parse_from_server(f'{{"event":"clear","streamSid":"{MZ}"}}'), AnswerClear)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('{"event":"clear"}', "streamSid is missing"),
        ('{"event":"clear","streamSid":"x","now":true}', "now does not belong here"),
        ('{"event":"media","streamSid":"x","media":{"payload":"?"}}', "media.payload is not Base64"),
        ('{"event":"start","streamSid":"x"}', "the event 'start' is not one of"),
    ],
)
def test_what_a_server_may_not_say(text: str, wrong: str) -> None:
    with pytest.raises(MessageError) as caught:
        parse_from_server(text)
    assert str(caught.value).startswith(wrong)
