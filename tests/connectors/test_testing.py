"""What plugin authors test with must itself behave like the real thing."""

from __future__ import annotations

import asyncio
import math

import pytest

from forkproxy.connectors.api import Connector, Settings, Stream, StreamBroken
from forkproxy.connectors.testing import FakeStream, frames, make, payload_of, run_connector, running, tone
from forkproxy.errors import InputError
from forkproxy.model import Track, Tracks
from tests.support import audio


class Counting(Settings):
    limit: int = 1000


class Counter(Connector[Counting]):
    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.seen = 0

    async def stream(self, stream: Stream) -> None:
        stream.created()
        async for batch in stream:
            self.seen += len(batch)
            if self.seen > self.settings.limit:
                stream.warn(31930, "too much")


async def test_a_fake_stream_gives_its_frames_and_ends() -> None:
    counter = make(Counter, limit=9)
    stream = FakeStream(frames(5), tracks=Tracks.INBOUND, name="n", parameters={"a": "b"})
    await counter.stream(stream)
    assert counter.seen == 5
    assert stream.is_created
    assert (stream.name, dict(stream.parameters), stream.warnings) == ("n", {"a": "b"}, [])


async def test_a_fake_stream_that_goes_on() -> None:
    counter = make(Counter, limit=9)
    stream = FakeStream(stopped=False)
    task = asyncio.ensure_future(counter.stream(stream))
    stream.feed(frames(5))
    await asyncio.sleep(0)
    stream.feed(frames(1, start=5))
    stream.stop()
    await task
    assert counter.seen == 12
    assert stream.warnings == [(31930, "too much")]
    assert stream.dropped == 0


async def test_a_fake_stream_can_fail() -> None:
    stream = FakeStream(frames(5))
    stream.fail(StreamBroken("cut"))
    with pytest.raises(StreamBroken):
        await make(Counter).stream(stream)


async def test_a_whole_run() -> None:
    run = await run_connector(make(Counter, limit=3), frames(5))
    assert run.is_created
    assert run.ended
    assert run.error is None
    assert run.warnings == [31930]
    assert run.figures.handed_over == 10


async def test_a_run_takes_the_runners_timeouts() -> None:
    async with running(make(Counter), queue_seconds=0.02) as run:
        run.feed(frames(2))
    assert run.figures.dropped == 2


def test_settings_are_checked_as_in_the_configuration() -> None:
    with pytest.raises(InputError, match="limits: is not a known property; did you mean 'limit'"):
        make(Counter, limits=3)
    with pytest.raises(InputError, match="string found, integer expected"):
        make(Counter, limit="3")


def test_a_class_that_forkproxy_would_not_load_is_refused() -> None:
    class Half(Connector[Settings]):
        pass

    with pytest.raises(TypeError, match=r"Half does not define stream\(\)"):
        make(Half)  # type: ignore[type-abstract]


def test_frames_can_be_told_apart() -> None:
    made = frames(300)
    assert len({frame.payload for frame in made}) == len(made)
    assert {len(frame.payload) for frame in made} == {160}
    assert made[3].payload == payload_of(Track.OUTBOUND, 1)
    assert [frame.timestamp for frame in made[:4]] == [0, 0, 20, 20]


def test_a_tone_is_what_g711_makes_of_a_sine() -> None:
    made = tone(400, 10, Tracks.INBOUND, level=0.5)
    samples = audio.decode(b"".join(frame.payload for frame in made))
    for index, sample in enumerate(samples):
        exact = 32767 * 0.5 * math.sin(2 * math.pi * 400 * index / 8000)
        assert abs(sample - exact) <= max(8, abs(exact) * 0.04), index


async def test_keys_are_pressed_at_a_fake_stream() -> None:
    stream = FakeStream(stopped=False)
    pressed: list[str] = []
    stream.on_digit(lambda key, _: pressed.append(key))
    stream.press("12#")
    stream.stop()
    stream.press("3")
    assert pressed == ["1", "2", "#"]
