"""A bot of pipecat's for Twilio Media Streams: its own transport and serializer, and a pipeline that echoes.

    pip install 'pipecat-ai[websocket]' uvicorn
    uvicorn pipecat_bot:app --port 5000

In a real one, speech recognition, a model and a voice stand where `Parrot` does. Without an account of
Twilio's the serializer must not hang up by Twilio's API: ``auto_hang_up=False``. Ending the pipeline closes
the connection, and forkproxy's flow goes on.
"""

import json

from fastapi import FastAPI, WebSocket
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputTransportMessageFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport

app = FastAPI()


class Parrot(FrameProcessor):
    """Says what it hears, with a mark each second; a key interrupts it (`clear`)."""

    def __init__(self, stream_sid: str) -> None:
        super().__init__()
        self._stream_sid = stream_sid
        self._octets = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            await self.push_frame(
                OutputAudioRawFrame(
                    audio=frame.audio, sample_rate=frame.sample_rate, num_channels=frame.num_channels
                )
            )
            second = self._octets // 16000
            self._octets += len(frame.audio)
            if self._octets // 16000 > second:
                mark = {"event": "mark", "streamSid": self._stream_sid, "mark": {"name": f"{second + 1}"}}
                await self.push_frame(OutputTransportMessageFrame(message=mark))
        elif isinstance(frame, InputDTMFFrame):
            await self.push_frame(InterruptionFrame())
        else:
            await self.push_frame(frame, direction)


@app.websocket("/bot")
async def bot(websocket: WebSocket) -> None:
    """One call."""
    await websocket.accept()
    messages = websocket.iter_text()
    await anext(messages)  # connected
    start = json.loads(await anext(messages))["start"]
    serializer = TwilioFrameSerializer(
        stream_sid=start["streamSid"],
        call_sid=start["callSid"],
        params=TwilioFrameSerializer.InputParams(auto_hang_up=False),
    )
    transport = FastAPIWebsocketTransport(
        websocket,
        FastAPIWebsocketParams(
            audio_in_enabled=True, audio_out_enabled=True, add_wav_header=False, serializer=serializer
        ),
    )
    task = PipelineTask(
        Pipeline([transport.input(), Parrot(start["streamSid"]), transport.output()]),
        params=PipelineParams(audio_in_sample_rate=8000, audio_out_sample_rate=8000),
    )

    @transport.event_handler("on_client_disconnected")
    async def gone(_transport: object, _client: object) -> None:
        await task.cancel()

    await PipelineRunner(handle_sigint=False).run(task)
