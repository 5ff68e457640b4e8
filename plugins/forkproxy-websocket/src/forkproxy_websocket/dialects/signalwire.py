"""SignalWire's cXML ``<Stream>`` (https://signalwire.com/docs/compatibility-api/cxml/reference/voice/stream).

Twilio's messages with differences: the version is 0.2.0; no message but start's own object has a streamSid;
`stop` has no object, a returning `mark` no number; `dtmf` has the milliseconds and no track, and comes on
one-way streams, too. Audio may be L16 at 16 or 24 kHz. `chunk` counts on each track.

The page does not say how L16 is called in mediaFormat: it is ``audio/x-l16`` here.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence

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


class SignalWire(Dialect):
    """The messages of one connection."""

    one_way_keys = True

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._sequence_number = 0

    def connected(self) -> bytes:
        return encode({"event": "connected", "protocol": "Call", "version": "0.2.0"})

    def start(self, tracks: Sequence[Track], parameters: Mapping[str, str]) -> bytes:
        subject = self._subject
        mulaw = subject.format is AudioFormat.MULAW
        body = {
            "streamSid": subject.stream_sid,
            "accountSid": subject.call.account_sid,
            "callSid": subject.call.sid,
            "tracks": [str(track) for track in tracks],
            "mediaFormat": {
                "encoding": "audio/x-mulaw" if mulaw else "audio/x-l16",
                "sampleRate": subject.format.rate,
                "channels": 1,
            },
            "customParameters": dict(parameters),
        }
        return self._numbered("start", {"start": body})

    def media(self, frame: Frame) -> bytes:
        body = {
            "track": str(frame.track),
            "chunk": str(frame.number + 1),
            "timestamp": str(frame.timestamp),
            "payload": b64encode(frame.payload).decode(),
        }
        return self._numbered("media", {"media": body})

    def mark(self, name: str, cleared: bool = False) -> bytes:
        return encode({"event": "mark", "mark": {"name": name}})

    def dtmf(self, digit: str, duration_ms: float) -> bytes | None:
        if digit == "!":
            return None
        return self._numbered("dtmf", {"dtmf": {"digit": digit, "duration": round(duration_ms)}})

    def stop(self) -> bytes:
        return self._numbered("stop", {})

    def read(self, message: bytes, binary: bool) -> Incoming:
        if binary:
            raise InvalidMessage(BINARY, "it is binary; messages of this dialect are JSON text")
        said = decode(message)
        is_ours(said, "streamSid", self._subject.stream_sid, required=False)
        match said.get("event"):
            case "media":
                return Audio(audio_of(text_in(said, "media.payload")))
            case "mark":
                return Mark(mark_in(said, "mark.name"))
            case "clear":
                return Clear()
        raise InvalidMessage(UNEXPECTED, "event is none of media, mark and clear")

    def _numbered(self, event: str, body: Mapping[str, object]) -> bytes:
        self._sequence_number += 1
        return encode({"event": event, "sequenceNumber": str(self._sequence_number), **body})
