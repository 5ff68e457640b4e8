"""Connectors that want another format than mu-law: how they say so, and what they get."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from forkproxy.connectors.api import AudioFormat, Connector, Settings, Stream, StreamError, StreamUrlError
from forkproxy.connectors.testing import FakeStream, FakeVoice, frames, make, run_connector, running, tone


class Wide(Connector[Settings]):
    audio_format = AudioFormat.L16_16000

    async def stream(self, stream: Stream) -> None:
        stream.created()
        async for batch in stream:
            for frame in batch:
                assert len(frame.payload) == stream.format.frame_bytes
                if stream.bidirectional:
                    stream.speak(frame.payload)


class Chooses(Wide):
    def format_of(self, url: str | None, parameters: Mapping[str, str]) -> AudioFormat:
        if url == "bad:":
            raise StreamUrlError("no such thing")
        return AudioFormat(parameters["format"])


async def test_the_class_says_what_its_frames_are_made_of() -> None:
    run = await run_connector(make(Wide), frames(5, format=AudioFormat.L16_16000))
    assert run.error is None
    assert run.runner.format is AudioFormat.L16_16000
    assert run.figures.handed_over == 10


async def test_a_connector_may_choose_by_the_flows_parameters() -> None:
    parameters = {"format": "l16/24000"}
    run = await run_connector(make(Chooses), frames(5, format=AudioFormat.L16_24000), parameters=parameters)
    assert (run.error, run.runner.format) == (None, AudioFormat.L16_24000)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"url": "bad:"}, StreamUrlError),
        ({"parameters": {"format": "opus"}}, StreamError),
        ({"parameters": {}}, StreamError),
    ],
)
async def test_a_format_that_cannot_be_had_fails_the_stream(
    options: dict[str, object], error: type[StreamError]
) -> None:
    with pytest.raises(error):
        await run_connector(make(Chooses), [], **options)


async def test_speech_is_in_the_streams_format() -> None:
    voice = FakeVoice(limit_seconds=0.1)
    audio = tone(500, 3, format=AudioFormat.L16_16000)
    async with running(make(Wide), voice=voice) as run:
        run.feed(audio[:4])
        await run.created()
        await run.stop()
    assert run.warnings == []
    stream = FakeStream(
        audio, voice=FakeVoice(limit_seconds=0.05), format=AudioFormat.L16_16000, stopped=False
    )
    assert stream.speak(bytes(3200)) == 1600
    assert stream.warnings[0][0] == 31931
