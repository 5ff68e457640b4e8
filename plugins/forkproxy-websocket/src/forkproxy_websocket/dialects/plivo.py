"""Plivo Audio Streaming (https://www.plivo.com/docs/voice-agents/audio-streaming/concepts/audio-streaming-reference).

There is no `connected` and no `stop`: the first message is `start`, and the socket closes. Numbers are JSON
numbers, but a media's ``timestamp``, which is the time of day in milliseconds, is a string. The consumer says
`playAudio`, `checkpoint` (answered by `playedStream` when all before it has been played, and never when it
was cleared) and `clearAudio` (answered by `clearedAudio`).

Parameters are ``extra_headers``, as ``name=value;name=value``, in every message that has them there.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from forkproxy.connectors.api import AudioFormat, Frame, Track
from forkproxy_websocket.dialect import (
    BINARY,
    UNEXPECTED,
    Audio,
    Clear,
    Dialect,
    Incoming,
    InvalidMessage,
    Mark,
)
from forkproxy_websocket.dialects.subject import Subject
from forkproxy_websocket.texts import audio_of, decode, encode, is_ours, mark_in, text_in


def _now() -> float:
    return time.time()


class Plivo(Dialect):
    """The messages of one connection."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._sequence_number = 0
        self._extra_headers = ""
        self._began: float | None = None
        mulaw = subject.format is AudioFormat.MULAW
        self._content_type = "audio/x-mulaw" if mulaw else "audio/x-l16"

    def start(self, tracks: Sequence[Track], parameters: Mapping[str, str]) -> bytes:
        self._extra_headers = ";".join(f"{name}={value}" for name, value in parameters.items())
        body = {
            "callId": self._subject.call.sid,
            "streamId": self._subject.stream_sid,
            "accountId": self._subject.call.account_sid,
            "tracks": [str(track) for track in tracks],
            "mediaFormat": {"encoding": self._content_type, "sampleRate": self._subject.format.rate},
        }
        return self._numbered("start", {"start": body, "extra_headers": self._extra_headers})

    def media(self, frame: Frame) -> bytes:
        if self._began is None:
            self._began = _now() * 1000 - frame.timestamp
        body = {
            "track": str(frame.track),
            "timestamp": str(round(self._began + frame.timestamp)),
            "chunk": frame.number + 1,
            "payload": b64encode(frame.payload).decode(),
        }
        sid = self._subject.stream_sid
        return self._numbered("media", {"streamId": sid, "media": body, "extra_headers": self._extra_headers})

    def mark(self, name: str, cleared: bool = False) -> bytes | None:
        if cleared:
            return None
        return self._numbered("playedStream", {"streamId": self._subject.stream_sid, "name": name})

    def cleared(self) -> bytes:
        return self._numbered("clearedAudio", {"streamId": self._subject.stream_sid})

    def dtmf(self, digit: str, duration_ms: float) -> bytes | None:
        if digit == "!":
            return None
        body = {"track": "inbound", "digit": digit, "timestamp": str(round(_now() * 1000))}
        sid = self._subject.stream_sid
        return self._numbered("dtmf", {"streamId": sid, "dtmf": body, "extra_headers": self._extra_headers})

    def read(self, message: bytes, binary: bool) -> Incoming:
        if binary:
            raise InvalidMessage(BINARY, "it is binary; messages of this dialect are JSON text")
        said = decode(message)
        is_ours(said, "streamId", self._subject.stream_sid, required=False)
        match said.get("event"):
            case "playAudio":
                self._check_format(said)
                return Audio(audio_of(text_in(said, "media.payload")))
            case "checkpoint":
                return Mark(mark_in(said, "name"))
            case "clearAudio":
                return Clear()
        raise InvalidMessage(UNEXPECTED, "event is none of playAudio, checkpoint and clearAudio")

    def _check_format(self, said: Mapping[str, Any]) -> None:
        """Audio of another kind would be noise to the caller."""
        media = said.get("media")
        media = media if isinstance(media, dict) else {}
        rate = media.get("sampleRate")
        if isinstance(rate, str) and rate.isdecimal() and len(rate) < 9:
            rate = int(rate)
        ours = (self._content_type, self._subject.format.rate)
        if (media.get("contentType"), rate) != ours:
            raise InvalidMessage(
                UNEXPECTED, f"media.contentType and sampleRate are not this stream's: {ours[0]}, {ours[1]}"
            )

    def _numbered(self, event: str, body: Mapping[str, object]) -> bytes:
        self._sequence_number += 1
        return encode({"event": event, "sequenceNumber": self._sequence_number, **body})
