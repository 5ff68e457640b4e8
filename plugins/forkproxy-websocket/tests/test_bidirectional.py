"""Streams that talk back: a consumer's audio, marks and clearing reach the call, in order, nothing else."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from forkproxy_websocket import delivery, session
from websocket_consumers import Certificates, Consumer, Peer, by_hand, consumer
from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode

from forkproxy.connectors.api import StreamError, StreamProtocolError, StreamRemoteClosed
from forkproxy.connectors.testing import FakeVoice, Run, frames
from forkproxy.model import Tracks
from tests.support.processes import until


class Talk:
    """A bidirectional stream, its consumer's connection, and the caller's ear."""

    def __init__(self, run: Run, server: Consumer, voice: FakeVoice) -> None:
        self.run, self.server, self.voice = run, server, voice
        self.sid = run.runner.sid

    @property
    def connection(self) -> ServerConnection:
        return self.server.connections[0]

    async def say(self, event: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"event": event, "streamSid": self.sid, **fields}))

    async def speak(self, audio: bytes) -> None:
        await self.say("media", media={"payload": base64.b64encode(audio).decode()})

    async def mark(self, name: str) -> None:
        await self.say("mark", mark={"name": name})

    def heard(self, event: str) -> list[dict[str, Any]]:
        return [message for message in self.server.messages if message["event"] == event]

    async def until_heard(self, event: str, count: int) -> list[dict[str, Any]]:
        await until(lambda: len(self.heard(event)) >= count, timeout=10, what=f"{count} {event}", every=0.005)
        return self.heard(event)

    async def until_said(self, audio: bytes) -> None:
        await until(lambda: self.voice.waiting == audio, timeout=10, what="the audio", every=0.005)

    async def until_warned(self, code: int, count: int = 1) -> None:
        await until(
            lambda: self.run.figures.warnings.get(code, 0) >= count,
            timeout=10,
            what=f"{count} times {code}",
            every=0.005,
        )


@contextlib.asynccontextmanager
async def talking(certificates: Certificates, connectors: Any, **options: Any) -> AsyncIterator[Talk]:
    voice = FakeVoice()
    async with (
        consumer(certificates.good) as server,
        connectors.running(server.url, tracks=Tracks.INBOUND, voice=voice, **options) as run,
    ):
        assert await run.created()
        await server.heard(2)
        yield Talk(run, server, voice)


async def test_audio_and_marks_in_the_order_in_which_they_came(certificates, connectors) -> None:
    async with talking(certificates, connectors) as talk:
        await talk.mark("at once")  # nothing waits: Twilio tells it immediately
        await talk.until_heard("mark", 1)
        for n in range(5):
            await talk.speak(bytes([n]) * (n * 100 + 1))  # of any length
            await talk.mark(f"after {n}")
        await talk.until_said(b"".join(bytes([n]) * (n * 100 + 1) for n in range(5)))
        assert len(talk.heard("mark")) == 1
        talk.voice.play()
        marks = await talk.until_heard("mark", 6)
    assert [mark["mark"] for mark in marks] == [
        {"name": "at once"},
        *[{"name": f"after {n}"} for n in range(5)],
    ]
    assert marks[1] == {
        "event": "mark",
        "sequenceNumber": "3",
        "streamSid": talk.sid,
        "mark": {"name": "after 0"},
    }
    assert talk.run.error is None
    assert talk.run.warnings == []
    assert [message["sequenceNumber"] for message in talk.server.messages[1:]] == [
        str(n) for n in range(1, 9)
    ]


async def test_clear_drops_the_audio_and_sends_the_marks_back(certificates, connectors) -> None:
    async with talking(certificates, connectors) as talk:
        await talk.speak(b"x" * 8000)
        await talk.mark("one")
        await talk.mark("two")
        await talk.say("clear")
        await talk.speak(b"y")
        await talk.until_said(b"y")
        marks = await talk.until_heard("mark", 2)
        assert talk.voice.clears == 1
    assert [mark["mark"]["name"] for mark in marks] == ["one", "two"]


async def test_the_callers_keys(certificates, connectors) -> None:
    async with talking(certificates, connectors) as talk:
        talk.run.press("1!#")
        keys = await talk.until_heard("dtmf", 2)
    assert keys == [
        {
            "event": "dtmf",
            "streamSid": talk.sid,
            "sequenceNumber": str(n),
            "dtmf": {"track": "inbound_track", "digit": d},
        }
        for n, d in ((2, "1"), (3, "#"))
    ]


async def test_reports_stand_between_the_frames_and_count_with_them(certificates, connectors) -> None:
    async with talking(certificates, connectors) as talk:
        for n in range(20):
            talk.run.feed(frames(1, Tracks.INBOUND, start=n))
            talk.run.press("5")
            await talk.mark(str(n))
            await asyncio.sleep(0.002)
        await talk.until_heard("mark", 20)
    messages = talk.server.messages[1:]
    assert [message["sequenceNumber"] for message in messages] == [str(n) for n in range(1, 63)]
    assert {message["streamSid"] for message in messages} == {talk.sid}
    media = [message["media"] for message in messages if message["event"] == "media"]
    assert [(each["track"], each["chunk"]) for each in media] == [("inbound", str(n)) for n in range(1, 21)]


async def test_a_wrong_message_is_a_warning_and_the_next_one_is_followed(certificates, connectors) -> None:
    async with talking(certificates, connectors) as talk:
        wrong: list[str | bytes] = [
            "no JSON",
            json.dumps({"event": "media", "streamSid": "MZ" + "f" * 32, "media": {"payload": "AAAA"}}),
            json.dumps({"event": "media", "streamSid": talk.sid, "media": {"payload": "not Base64!"}}),
            json.dumps({"event": "dance", "streamSid": talk.sid}),
            json.dumps({"event": "mark", "streamSid": talk.sid}),
            b"\x00\x01",
        ]
        for message in wrong * 3:
            await talk.connection.send(message)
        await talk.speak(b"heard")
        await talk.until_said(b"heard")
    assert talk.run.error is None
    assert talk.run.figures.warnings == {31951: 15, 31950: 3}
    assert sorted(talk.run.warnings) == [31950, 31951], "each is reported once"


async def test_a_message_with_more_than_it_should_have_is_told_and_followed(certificates, connectors) -> None:
    async with talking(certificates, connectors) as talk:
        talk.run.feed(frames(1, Tracks.INBOUND))
        (message,) = await talk.until_heard("media", 1)
        await talk.connection.send(json.dumps(message))  # the simplest echo that there is
        await talk.until_said(base64.b64decode(message["media"]["payload"]))
    assert talk.run.figures.warnings == {31951: 1}


async def test_more_than_ten_minutes_are_discarded(certificates, connectors) -> None:
    """In one message: such a large one is taken, too."""
    async with talking(certificates, connectors) as talk:
        await talk.speak(b"1" * 4_700_000)
        await talk.speak(b"2" * 300_000)
        await talk.until_warned(31931)
        await talk.speak(b"3")
        await talk.until_warned(31931, 2)
        assert talk.voice.waiting == b"1" * 4_700_000 + b"2" * 100_000
    assert talk.run.error is None
    assert talk.run.warnings == [31931]


async def test_a_message_larger_than_any_audio_ends_the_stream(certificates, connectors) -> None:
    async with talking(certificates, connectors) as talk:
        with contextlib.suppress(Exception):
            await talk.connection.send("x" * (9 * 1024 * 1024))
        await talk.run.closed()
    assert type(talk.run.error) is StreamProtocolError
    assert talk.voice.closed


@pytest.mark.parametrize(("code", "error"), [(1000, None), (1001, 31921), (1011, 31921), (4000, 31921)])
async def test_a_consumer_ends_the_stream_by_closing(
    certificates, connectors, code: int, error: int | None
) -> None:
    """With 1000 that is no error: it is how a bidirectional stream is meant to end."""
    async with talking(certificates, connectors) as talk:
        await talk.speak(b"x" * 8000)
        await talk.until_said(b"x" * 8000)
        await talk.connection.close(code)
        await talk.run.closed()
    assert (talk.run.error.twilio_code if talk.run.error else None) == error
    assert type(talk.run.error) in (type(None), StreamRemoteClosed)
    assert talk.voice.closed, "what was not played yet is dropped"


async def test_a_consumer_ends_the_stream_without_a_code(certificates, connectors, monkeypatch) -> None:
    monkeypatch.setattr(delivery, "FAREWELL", 0.1)

    async def close(peer: Peer) -> None:
        await peer.accept()
        peer.core.send_close()
        await peer.flush()
        await peer.wait_for_end()

    async with (
        by_hand(certificates.good, close) as server,
        connectors.running(server.url, voice=FakeVoice()) as run,
    ):
        await run.closed()
    assert run.error is None


async def test_a_cut_connection_ends_the_stream_with_its_code(certificates, connectors) -> None:
    async with talking(certificates, connectors) as talk:
        talk.connection.transport.abort()
        await talk.run.closed()
    assert isinstance(talk.run.error, StreamError)
    assert talk.run.error.twilio_code == 31903


async def test_marks_wait_for_a_consumer_that_asks_and_does_not_read(
    certificates: Certificates, connectors: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets them, in order, when it reads again; those beyond the limit are told as lost."""
    monkeypatch.setattr(session, "MOST_REPORTS", 300)
    marks: list[str] = []
    sid = ""
    full, read = asyncio.Event(), asyncio.Event()

    async def ask(peer: Peer) -> None:
        nonlocal sid
        await peer.accept()
        await full.wait()
        for n in range(400):
            message = json.dumps({"event": "mark", "streamSid": sid, "mark": {"name": str(n)}})
            peer.core.send_text(message.encode())
        await peer.flush()
        await read.wait()
        while data := await peer.reader.read(65536):
            peer.core.receive_data(data)
            for event in peer.core.events_received():
                if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                    message = json.loads(event.data)
                    if message["event"] == "mark":
                        marks.append(message["mark"]["name"])
            await peer.flush()

    async with (
        by_hand(certificates.good, ask, receive_buffer=4096) as server,
        connectors.running(server.url, voice=FakeVoice(), queue_seconds=1, drain_timeout=0.1) as run,
    ):
        assert await run.created()
        sid = run.runner.sid
        number = 0
        while not run.warnings:  # the first 31930: the buffers are full
            run.feed(frames(10, start=number))
            number += 10
            await asyncio.sleep(0.001)
        full.set()
        await until(lambda: run.figures.warnings[31930] >= 1 + 100, timeout=10, what="lost marks", every=0.01)
        read.set()
        await until(lambda: len(marks) >= 300, timeout=10, what="the marks", every=0.01)
    assert run.error is None
    assert marks == [str(n) for n in range(300)]


async def test_a_consumer_that_pours_audio_in_takes_nobody_elses_time(certificates, connectors) -> None:
    """It comes in bounded pieces: the loop turns meanwhile, and frames go out."""
    async with talking(certificates, connectors) as talk:
        pouring = asyncio.create_task(_pour(talk))
        turns = 0
        for number in range(50):
            talk.run.feed(frames(1, Tracks.INBOUND, start=number))
            await asyncio.sleep(0.005)
            turns += 1
        pouring.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pouring
        await talk.until_heard("media", 50)
        assert turns == 50
        assert talk.run.figures.dropped == 0
        assert talk.voice.waiting
    assert talk.run.error is None


async def _pour(talk: Talk) -> None:
    message = json.dumps({"event": "media", "streamSid": talk.sid, "media": {"payload": "f" * 216}})
    while True:
        await talk.connection.send(message)
        await asyncio.sleep(0)
