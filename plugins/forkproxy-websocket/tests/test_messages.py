"""The messages, octet for octet as in the corpus, and whatever the numbers and parameters are."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from forkproxy_websocket.messages import CONNECTED, Messages
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


@pytest.mark.parametrize("file", sorted(CORPUS.glob("twilio-*.json")), ids=lambda path: path.stem)
def test_twilios_own_examples_have_our_form(file: Path) -> None:
    """Same keys in the same places with the same types; the values are theirs."""
    theirs = json.loads(file.read_text())
    ours = {
        kind["event"]: kind
        for kind in map(json.loads, conversation(Tracks.INBOUND, {"FirstName": "Jane", "LastName": "Doe"}))
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
