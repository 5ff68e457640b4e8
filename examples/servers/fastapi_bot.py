"""A voice bot for Twilio Media Streams, as one writes it with FastAPI.

    pip install fastapi 'uvicorn[standard]'
    uvicorn fastapi_bot:app --port 5000

`/listen` is for one-way streams: it counts what it hears. `/bot` is for bidirectional ones: it greets, stops
when the caller speaks, says goodbye, and closes when that has been heard.
"""

import base64
import json
import logging

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

log = logging.getLogger("uvicorn.error")
app = FastAPI()

GREETING = bytes([0x90]) * 8000  # a second of mu-law each; yours is speech
GOODBYE = bytes([0xA0]) * 4000


@app.websocket("/listen")
async def listen(websocket: WebSocket) -> None:
    """Both sides of a call."""
    await websocket.accept()
    heard: dict[str, int] = {}
    try:
        async for text in websocket.iter_text():
            message = json.loads(text)
            if message["event"] == "media":
                media = message["media"]
                heard[media["track"]] = heard.get(media["track"], 0) + len(base64.b64decode(media["payload"]))
            elif message["event"] == "stop":
                log.info("heard %s", json.dumps(heard, sort_keys=True))
    except WebSocketDisconnect:
        pass


@app.websocket("/bot")
async def bot(websocket: WebSocket) -> None:
    """A conversation."""
    await websocket.accept()
    stream_sid = ""
    goodbye = False
    marks = []

    async def send(event: str, **more: object) -> None:
        await websocket.send_json({"event": event, "streamSid": stream_sid, **more})

    async def say(audio: bytes, mark: str) -> None:
        await send("media", media={"payload": base64.b64encode(audio).decode()})
        await send("mark", mark={"name": mark})

    async for text in websocket.iter_text():
        message = json.loads(text)
        if message["event"] == "start":
            stream_sid = message["start"]["streamSid"]
            for number in range(20):
                await say(GREETING, f"greeting {number}")
        elif message["event"] == "media" and not goodbye:
            audio = base64.b64decode(message["media"]["payload"])
            # A real bot asks a voice activity detector.
            if marks and max(~code & 0x7F for code in audio) > 60:
                goodbye = True
                await send("clear")
                await say(GOODBYE, "goodbye")
        elif message["event"] == "mark":
            marks.append(message["mark"]["name"])
            if marks[-1] == "goodbye":
                log.info("marks %s", json.dumps(marks))
                await websocket.close()
                return
