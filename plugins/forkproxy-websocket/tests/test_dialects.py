"""Every dialect, octet for octet as in its corpus, and what it makes of what a consumer says.

`corpus/dialects/NAME.jsonl` is one stream of both tracks, one way; `NAME-talk.jsonl` a bidirectional one; in
both, a line is a message, or ``binary`` and Base64. `NAME-said.jsonl` is what consumers say, and what is
understood.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from forkproxy_websocket import WebSocketSettings
from forkproxy_websocket.dialect import Audio, Binary, Clear, Dialect, InvalidMessage, Mark
from forkproxy_websocket.dialects import DIALECTS, Subject, plivo, telnyx
from forkproxy_websocket.dialects.pieces import interleaved, mixed
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from websocket_consumers import consumer
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from forkproxy.connectors.api import AudioFormat, CallInfo, FrameFlag, Track
from forkproxy.connectors.testing import FakeVoice, frames
from forkproxy.model import Frame, Tracks
from tests.support.processes import until

CORPUS = Path(__file__).parent / "corpus/dialects"
CALL = CallInfo(
    sid="CA0123456789abcdef0123456789abcdef",
    account_sid="AC00112233445566778899aabbccddeeff",
    from_="+15550001111",
    to="+15550002222",
)
SID = "MZfedcba9876543210fedcba9876543210"
RELATIVES = sorted(DIALECTS.keys() - {"twilio"})
PARAMETERS = {"FirstName": "Jane", "client_state": "aGk="}


@pytest.fixture(autouse=True)
def time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plivo, "_now", lambda: 1_700_000_000.0)
    monkeypatch.setattr(telnyx, "_now", lambda: datetime(2026, 11, 26, 12, 0, tzinfo=UTC))


def made(name: str, format: AudioFormat | None = None) -> Dialect:
    kind = DIALECTS[name]  # type: ignore[index]
    return kind.make(Subject(CALL, SID, format or kind.formats[0]))


def written(messages: Iterable[bytes | None]) -> str:
    lines = [
        f"binary {base64.b64encode(message).decode()}" if isinstance(message, Binary) else message.decode()
        for message in messages
        if message is not None
    ]
    return "".join(f"{line}\n" for line in lines)


def one_way(name: str) -> str:
    """Seven moments of both tracks, and a key where the dialect tells those."""
    dialect, format = made(name), DIALECTS[name].formats[0]  # type: ignore[index]
    said = [dialect.connected(), dialect.start(Tracks.BOTH.members, PARAMETERS)]
    said += [dialect.media(frame) for frame in frames(7, format=format)]
    if dialect.one_way_keys:
        said.append(dialect.dtmf("5", 260.4))
    return written([*said, dialect.rest(), dialect.stop()])


def talk(name: str) -> str:
    """A mark that was played, a key, a flash of the hook, and a clear that drops a mark."""
    dialect, format = made(name), DIALECTS[name].formats[0]  # type: ignore[index]
    mark = dialect.read(*says_mark(name))
    assert isinstance(mark, Mark)
    said = [dialect.connected(), dialect.start(Tracks.INBOUND.members, {})]
    said += [dialect.media(frame) for frame in frames(2, Tracks.INBOUND, format=format)]
    said += [dialect.mark(mark.name), dialect.dtmf("#", 100), dialect.dtmf("!", 100)]
    said += [dialect.mark(mark.name, cleared=True), dialect.cleared()]
    return written([*said, dialect.rest(), dialect.stop()])


def says_mark(name: str) -> tuple[bytes, bool]:
    lines = [json.loads(line) for line in (CORPUS / f"{name}-said.jsonl").read_text().splitlines()]
    return octets(next(line["says"] for line in lines if "mark" in line))


def octets(says: Any) -> tuple[bytes, bool]:
    if isinstance(says, dict) and says.keys() == {"binary"}:
        return base64.b64decode(says["binary"]), True
    return (says if isinstance(says, str) else json.dumps(says)).encode(), False


def understood(dialect: Dialect, says: Any) -> dict[str, Any]:
    try:
        match dialect.read(*octets(says)):
            case Audio(payload=payload):
                return {"audio": base64.b64encode(payload).decode()}
            case Mark(name=name):
                return {"mark": name}
            case Clear():
                return {"clear": True}
    except InvalidMessage as error:
        return {"wrong": [error.code, str(error)]}
    raise AssertionError("nothing else can be meant")


@pytest.mark.parametrize("name", RELATIVES)
def test_a_stream_is_the_corpus_octet_for_octet(name: str) -> None:
    assert one_way(name) == (CORPUS / f"{name}.jsonl").read_text()


@pytest.mark.parametrize("name", RELATIVES)
def test_a_talk_is_the_corpus_octet_for_octet(name: str) -> None:
    assert talk(name) == (CORPUS / f"{name}-talk.jsonl").read_text()


@pytest.mark.parametrize("name", RELATIVES)
def test_what_consumers_say_is_understood_as_in_the_corpus(name: str) -> None:
    lines = [json.loads(line) for line in (CORPUS / f"{name}-said.jsonl").read_text().splitlines()]
    assert {key for line in lines for key in line} == {"says", "audio", "mark", "clear", "wrong"}
    for line in lines:
        assert {"says": line["says"], **understood(made(name), line["says"])} == line


@settings(max_examples=60)
@given(st.sampled_from(RELATIVES), st.binary(max_size=200) | st.text().map(str.encode), st.booleans())
def test_nothing_that_a_consumer_says_does_harm(name: str, message: bytes, binary: bool) -> None:
    dialect = made(name)
    if binary and name in ("jambonz", "vonage"):
        assert dialect.read(message, binary) == Audio(message)
        return
    with pytest.raises(InvalidMessage) as caught:
        dialect.read(message, binary)
    assert caught.value.code == (31950 if binary else 31951)


# Pieces


def samples(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "little", signed=True) for value in values)


def test_two_channels_become_one() -> None:
    assert mixed(samples(1, 30000, -30000, 5), samples(2, 30000, -30000, -5)) == samples(3, 32767, -32768, 0)
    assert interleaved(samples(1, 2), samples(3, 4)) == samples(1, 3, 2, 4)


def moments(name: str, given: list[Frame], tracks: Tracks = Tracks.BOTH) -> list[bytes]:
    dialect = made(name, AudioFormat.L16_8000)
    dialect.start(tracks.members, {})
    return [said for said in [*map(dialect.media, given), dialect.rest()] if said is not None]


def test_a_track_that_is_missing_is_silence_and_nothing_is_lost() -> None:
    def frame(track: Track, number: int) -> Frame:
        return Frame(track, number, FrameFlag.RECEIVED, samples(number + 1) * 160)

    inbound, outbound = Track.INBOUND, Track.OUTBOUND
    given = [frame(inbound, 0), frame(outbound, 1), frame(inbound, 2), frame(outbound, 2), frame(inbound, 5)]
    assert moments("jambonz", given) == [
        samples(1, 0) * 160,
        samples(0, 2) * 160,
        samples(3, 3) * 160,
        samples(6, 0) * 160,
    ]


def test_exotels_messages_have_a_tenth_of_a_second_and_no_hole_in_them() -> None:
    numbers = [0, 1, 2, 3, 4, 5, 6, 9, 10]
    given = [
        frame for n in numbers for frame in frames(1, Tracks.INBOUND, start=n, format=AudioFormat.L16_8000)
    ]
    said = [json.loads(message)["media"] for message in moments("exotel", given, Tracks.INBOUND)]
    sizes = [len(base64.b64decode(media["payload"])) // 320 for media in said]
    assert [(media["chunk"], media["timestamp"]) for media in said] == [
        ("1", "0"),
        ("2", "100"),
        ("3", "180"),
    ]
    assert sizes == [5, 2, 2]


# Settings


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_a_format_is_one_of_the_dialects(name: str) -> None:
    formats = DIALECTS[name].formats  # type: ignore[index]
    for format in AudioFormat:
        chosen = {"dialect": name, "format": format.value}
        if format in formats:
            assert WebSocketSettings.model_validate(chosen).format is format
        else:
            with pytest.raises(ValidationError, match=f"the dialect {name} has {formats[0]}"):
                WebSocketSettings.model_validate(chosen)


# On the wire


async def test_a_voice_bot_of_vonages_hears_speaks_and_interrupts(certificates, connectors) -> None:
    heard: list[str | bytes] = []
    connections: list[ServerConnection] = []

    async def bot(connection: ServerConnection) -> None:
        connections.append(connection)
        while True:
            heard.append(await connection.recv())

    voice = FakeVoice()
    async with serve(bot, "127.0.0.1", 0, ssl=certificates.good) as server:
        url = f"wss://localhost:{next(iter(server.sockets)).getsockname()[1]}/"
        chosen = {"dialect": "vonage", "format": "l16/16000"}
        async with connectors.running(
            url, settings=chosen, tracks=Tracks.INBOUND, voice=voice, parameters={"who": "me"}
        ) as run:
            assert await run.created()
            audio = frames(2, Tracks.INBOUND, format=AudioFormat.L16_16000)
            run.feed(audio)
            await until(lambda: len(heard) == 3, timeout=10, what="the audio", every=0.005)
            assert json.loads(heard[0]) == {
                "event": "websocket:connected",
                "content-type": "audio/l16;rate=16000",
                "who": "me",
            }
            assert heard[1:] == [frame.payload for frame in audio]
            await connections[0].send(b"\1\2" * 320)
            await connections[0].send('{"action":"notify","payload":{"turn":1}}')
            await until(lambda: voice.waiting == b"\1\2" * 320, timeout=10, what="the answer", every=0.005)
            voice.play()
            await until(lambda: len(heard) == 4, timeout=10, what="the notification", every=0.005)
            await connections[0].send(b"\3\4" * 320)
            await connections[0].send('{"action":"notify","payload":{"turn":2}}')
            await connections[0].send('{"action":"clear"}')
            await until(lambda: len(heard) == 5, timeout=10, what="the clearing", every=0.005)
    assert [json.loads(text) for text in heard[3:]] == [
        {"event": "websocket:notify", "payload": {"turn": 1}},
        {"event": "websocket:cleared"},
    ]


async def test_keys_are_told_on_one_way_streams_where_the_dialect_does(certificates, connectors) -> None:
    async with (
        consumer(certificates.good) as server,
        connectors.running(server.url, settings={"dialect": "signalwire"}, tracks=Tracks.INBOUND) as run,
    ):
        assert await run.created()
        run.press("7")
        await server.heard(3)
    assert server.messages[2]["dtmf"]["digit"] == "7"
    assert "streamSid" not in server.messages[2]


@pytest.mark.parametrize("chosen", ["audio.jambonz.org", None])
async def test_jambonz_subprotocol_is_offered(certificates, connectors, chosen: str | None) -> None:
    offered: list[str] = []

    def choose(connection: ServerConnection, names: list[Subprotocol]) -> Subprotocol | None:
        offered.extend(names)
        return None if chosen is None else Subprotocol(chosen)

    async def listen(connection: ServerConnection) -> None:
        async for _ in connection:
            pass

    async with serve(listen, "127.0.0.1", 0, ssl=certificates.good, select_subprotocol=choose) as server:
        url = f"wss://localhost:{next(iter(server.sockets)).getsockname()[1]}/"
        async with connectors.running(url, settings={"dialect": "jambonz"}) as run:
            assert await run.created()
    assert offered == ["audio.jambonz.org"]
