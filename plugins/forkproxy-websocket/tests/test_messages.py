"""The messages, octet for octet as in the corpus, and whatever the numbers and parameters are."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from forkproxy_websocket.dialect import Audio, Clear, InvalidMessage, Mark
from forkproxy_websocket.messages import CONNECTED, MAX_MARK, Messages
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.connectors.api import Frame, FrameFlag, Track
from forkproxy.connectors.testing import frames
from forkproxy.model import Tracks

CORPUS = Path(__file__).parent / "corpus"
IDS = {
    "account_sid": "AC00112233445566778899aabbccddeeff",
    "call_sid": "CA0123456789abcdef0123456789abcdef",
    "stream_sid": "MZfedcba9876543210fedcba9876543210",
}
PARAMETERS = {"FirstName": "Jane", "LastName": "D\u00f6e \u2603", "quote": 'say "hi" \\ 100%', "empty": ""}


def conversation(tracks: Tracks, parameters: dict[str, str]) -> list[bytes]:
    messages = Messages(**IDS)
    said = [CONNECTED, messages.start(tracks.members, parameters)]
    said += [messages.media(frame) for frame in frames(3, tracks)]
    return [*said, messages.stop()]


def talk() -> list[bytes]:
    """What only a bidirectional stream says."""
    messages = Messages(**IDS)
    said = [messages.connected(), messages.start(Tracks.INBOUND.members, {})]
    said += [
        messages.media(frames(1, Tracks.INBOUND)[0]),
        messages.mark("my label"),
        messages.mark('\u2603"'),
    ]
    keys = [messages.dtmf(key, 100) for key in "1!#D"]
    said += [key for key in keys if key is not None]
    return [*said, messages.stop()]


@pytest.mark.parametrize(
    ("file", "tracks", "parameters"),
    [
        ("inbound.jsonl", Tracks.INBOUND, {}),
        ("outbound.jsonl", Tracks.OUTBOUND, {}),
        ("both.jsonl", Tracks.BOTH, {}),
        ("parameters.jsonl", Tracks.INBOUND, PARAMETERS),
    ],
)
def test_a_stream_is_the_corpus_octet_for_octet(
    file: str, tracks: Tracks, parameters: dict[str, str]
) -> None:
    said = b"".join(message + b"\n" for message in conversation(tracks, parameters))
    assert said == (CORPUS / file).read_bytes()


def test_a_bidirectional_stream_is_the_corpus_octet_for_octet() -> None:
    said = b"".join(message + b"\n" for message in talk())
    assert said == (CORPUS / "bidirectional.jsonl").read_bytes()


@pytest.mark.parametrize("file", sorted(CORPUS.glob("twilio-*.json")), ids=lambda path: path.stem)
def test_twilios_own_examples_have_our_form(file: Path) -> None:
    """Same keys in the same places with the same types; the values are theirs."""
    theirs = json.loads(file.read_text())
    ours = {
        kind["event"]: kind
        for kind in map(
            json.loads, conversation(Tracks.INBOUND, {"FirstName": "Jane", "LastName": "Doe"}) + talk()[3:]
        )
    }[theirs["event"]]
    assert shape(ours) == shape(theirs)


def shape(value: object) -> object:
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value[:1]]
    return type(value).__name__


@given(
    st.text(st.characters()),  # halves of surrogate pairs included: SIP headers bring anything
    st.text(),
    st.sampled_from(Track),
    st.integers(0, 10**9),
    st.binary(min_size=160, max_size=160),
)
def test_every_value_arrives(name: str, value: str, track: Track, number: int, payload: bytes) -> None:
    messages = Messages(**IDS)
    start = json.loads(messages.start((track,), {name: value}))
    assert start["start"]["customParameters"] == {name: value}
    media = json.loads(messages.media(Frame(track, number, FrameFlag.RECEIVED, payload)))
    assert media["media"] == {
        "track": str(track),
        "chunk": str(number + 1),
        "timestamp": str(number * 20),
        "payload": base64.b64encode(payload).decode(),
    }


@given(st.lists(st.sampled_from(Track), max_size=50))
def test_sequence_numbers_count_messages_and_have_no_hole(tracks: list[Track]) -> None:
    messages = Messages(**IDS)
    said = [messages.start((Track.INBOUND, Track.OUTBOUND), {})]
    said += [messages.media(Frame(track, 7, 0, b"\xff" * 160)) for track in tracks]  # whatever their numbers
    said.append(messages.stop())
    numbers = [json.loads(message)["sequenceNumber"] for message in said]
    assert numbers == [str(number) for number in range(1, len(said) + 1)]


SID = IDS["stream_sid"]


def says(event: str, sid: str = SID, **fields: object) -> bytes:
    return json.dumps({"event": event, "streamSid": sid, **fields}).encode()


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (says("media", media={"payload": "//9/"}), Audio(b"\xff\xff\x7f")),
        (says("media", media={"payload": ""}), Audio(b"")),
        (says("mark", mark={"name": "my label"}), Mark("my label")),
        (says("mark", mark={"name": ""}), Mark("")),
        (says("clear"), Clear()),
        (says("clear", clear={}), Clear("clear has 1 fields too many")),
        (
            says("media", sequenceNumber="2", media={"payload": "/w==", "track": "outbound", "chunk": "1"}),
            Audio(b"\xff", "media has 3 fields too many"),
        ),
        (says("mark", mark={"name": "a", "x": 1}), Mark("a", "mark has 1 fields too many")),
    ],
)
def test_what_a_consumer_may_say(message: bytes, wanted: object) -> None:
    assert Messages(**IDS).read(message, False) == wanted


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"", "not JSON"),
        (b"hello", "not JSON"),
        (b'{"event":"media"', "not JSON"),
        (b"\xff\xfe{\x00}\x00", "not JSON (UnicodeDecodeError)"),
        (b'{"event":"clear","streamSid":' + b"9" * 5000 + b"}", "not JSON"),
        (b"[" * 200_000, "not JSON (RecursionError)"),
        (b'{"a":' * 200_000, "not JSON (RecursionError)"),
        (b"[]", "no JSON object"),
        (b'"media"', "no JSON object"),
        (b"null", "no JSON object"),
        (b"{}", "event is none of"),
        (says("start"), "event is none of"),
        (json.dumps({"event": ["media"], "streamSid": SID}).encode(), "event is none of"),
        (json.dumps({"event": "clear"}).encode(), "streamSid is missing"),
        (says("clear", "MZ" + "0" * 32), "streamSid is not this stream's"),
        (says("clear", SID.upper()), "streamSid is not this stream's"),
        (says("media"), "media.payload is missing"),
        (says("media", media="//9/"), "media is no object"),
        (says("media", media={}), "media.payload is missing"),
        (says("media", media={"payload": None}), "media.payload is no string"),
        (says("media", media={"payload": [1]}), "media.payload is no string"),
        (says("media", media={"payload": "//9"}), "media.payload is not Base64"),
        (says("media", media={"payload": "_-8="}), "media.payload is not Base64"),
        (says("media", media={"payload": "/w==/w=="}), "media.payload is not Base64"),
        (says("media", media={"payload": "//\n9/"}), "media.payload is not Base64"),
        (says("media", media={"payload": "\u2603"}), "media.payload is not Base64"),
        (says("mark"), "mark.name is missing"),
        (says("mark", mark={"name": 7}), "mark.name is no string"),
        (says("mark", mark={"name": "x" * (MAX_MARK + 1)}), "mark.name has 1025 characters"),
    ],
    ids=range(29),
)
def test_what_is_no_message(message: bytes, words: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        Messages(**IDS).read(message, False)
    assert words in str(caught.value)
    assert caught.value.code == 31951


def test_a_binary_message() -> None:
    with pytest.raises(InvalidMessage) as caught:
        Messages(**IDS).read(says("clear"), True)
    assert caught.value.code == 31950


@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["event", "media", "x"]), inner),
        ).map(lambda value: json.dumps(value).encode()),
        st.dictionaries(
            st.sampled_from(["event", "streamSid", "media", "mark", "payload", "name"]),
            st.sampled_from(["media", "mark", "clear", SID, {}, {"payload": "AA=="}, {"name": "n"}, 1, None]),
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_whatever_a_consumer_says_is_a_wish_or_invalid(message: bytes) -> None:
    messages = Messages(**IDS)
    said = None
    try:
        said = messages.read(message, False)
    except InvalidMessage as error:
        reason = str(error)
    if said is None:
        assert 0 < len(reason) < 200, "a consumer does not write our log"
    else:
        assert isinstance(said, Audio | Mark | Clear)
    assert messages.sequence_number == 0
