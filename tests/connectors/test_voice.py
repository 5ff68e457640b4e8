"""Streams that talk back: what a connector may say, what comes of it, and when it is over."""

from __future__ import annotations

import asyncio

import pytest

from forkproxy.connectors import OnMark, StreamRunner
from forkproxy.connectors.api import Connector, Settings, Stream, StreamError, StreamProtocolError
from forkproxy.connectors.testing import CALL, HOST, FakeStream, FakeVoice, frames, make, running
from forkproxy.connectors.voice import Voice
from forkproxy.model import StreamSpec, StreamTransport, Tracks


class Echo(Connector[Settings]):
    """Says what it hears, a mark behind each frame."""

    def __init__(self, name: str, settings: Settings, host: object) -> None:
        super().__init__(name, settings, host)  # type: ignore[arg-type]
        self.marks: list[tuple[str, bool]] = []
        self.taken: list[int] = []
        self.last: Stream | None = None

    async def stream(self, stream: Stream) -> None:
        self.last = stream
        stream.on_mark(lambda name, cleared: self.marks.append((name, cleared)))
        stream.created()
        async for batch in stream:
            for frame in batch:
                self.taken.append(stream.speak(frame.payload))
                stream.mark(str(frame.number))


async def test_what_is_said_is_played_and_its_marks_are_reported() -> None:
    echo, voice = make(Echo), FakeVoice()
    said = frames(3, Tracks.INBOUND)
    async with running(echo, voice=voice) as run:
        run.feed(said)
        while len(echo.taken) < 3:
            await asyncio.sleep(0)
        assert echo.marks == []
        assert voice.play() == b"".join(frame.payload for frame in said)
    assert echo.marks == [("0", False), ("1", False), ("2", False)]
    assert echo.taken == [160] * 3


async def test_clearing_reports_the_marks_that_wait() -> None:
    echo, voice = make(Echo), FakeVoice()
    async with running(echo, voice=voice) as run:
        await run.created()
        stream = echo.last
        assert stream is not None
        assert stream.bidirectional
        stream.mark("at once")
        assert echo.marks == []
        await asyncio.sleep(0)
        stream.speak(b"\x01" * 500)
        stream.mark("cut off")
        stream.clear()
        await asyncio.sleep(0)
        assert (voice.waiting, voice.clears) == (b"", 1)
    assert echo.marks == [("at once", False), ("cut off", True)]


async def test_what_does_not_fit_is_reported_as_31931_once() -> None:
    echo, voice = make(Echo), FakeVoice(limit_seconds=0.03)
    async with running(echo, voice=voice) as run:
        run.feed(frames(4, Tracks.INBOUND))
        while len(echo.taken) < 4:
            await asyncio.sleep(0)
    assert echo.taken == [160, 80, 0, 0]
    assert run.warnings == [31931]
    assert run.figures.warnings == {31931: 3}


async def test_the_end_of_the_stream_ends_the_speech() -> None:
    echo, voice = make(Echo), FakeVoice()
    async with running(echo, voice=voice) as run:
        await run.created()
        stream = echo.last
        assert stream is not None
        stream.speak(b"\x01" * 500)
        stream.mark("never")
        run.runner.stop("over")
        assert voice.closed
        assert stream.speak(b"\x01") == 0
        assert not stream.mark("x")
    assert run.error is None
    assert run.warnings == []
    assert echo.marks == []


async def test_a_one_way_stream_says_nothing() -> None:
    echo = make(Echo)
    async with running(echo) as run:
        run.feed(frames(1))
        await run.closed()
    assert isinstance(run.error, StreamProtocolError)
    stream = FakeStream()
    assert not stream.bidirectional
    for attempt in (lambda: stream.speak(b""), lambda: stream.mark("x"), stream.clear):
        with pytest.raises(StreamProtocolError):
            attempt()


async def test_the_way_back_is_opened_only_where_the_flow_asks_for_it() -> None:
    opened: list[OnMark] = []

    def open_voice(on_mark: OnMark) -> Voice:
        opened.append(on_mark)
        raise StreamError("there is none")

    one_way = StreamSpec(StreamTransport.WEBSOCKET, Tracks.INBOUND)
    StreamRunner(make(Echo), one_way, CALL, HOST, on_event=print, open_voice=open_voice)
    assert not opened
    both_ways = StreamSpec(StreamTransport.WEBSOCKET, Tracks.INBOUND, bidirectional=True)
    with pytest.raises(StreamError, match="none"):
        StreamRunner(make(Echo), both_ways, CALL, HOST, on_event=print, open_voice=open_voice)
    assert len(opened) == 1


async def test_a_fake_stream_can_talk_back() -> None:
    echo, voice = make(Echo), FakeVoice()
    stream = FakeStream(frames(2, Tracks.INBOUND), voice=voice, stopped=False)
    task = asyncio.ensure_future(echo.stream(stream))
    while len(echo.taken) < 2:
        await asyncio.sleep(0)
    assert len(voice.play()) == 320
    stream.stop()
    await task
    assert [name for name, _ in echo.marks] == ["0", "1"]
