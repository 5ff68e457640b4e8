"""The messages of Twilio Media Streams, both ways, as UTF-8 JSON.

https://www.twilio.com/docs/voice/media-streams/websocket-messages. Numbers that count are JSON strings there;
only those of the media format are JSON numbers.

What Twilio leaves open and we have decided:

- ``chunk`` counts on each track by itself, and ``timestamp`` is where the audio stands on the stream's clock:
  ``timestamp = (chunk - 1) * 20``, on both tracks alike. A frame that a slow consumer lost leaves a hole in
  both, so that a consumer can put the audio together by either. ``sequenceNumber`` counts the messages that
  were sent and never has a hole.
- ``customParameters`` is ``{}`` when there are none.
- ``dtmf`` tells the keys 0 to 9, ``*``, ``#`` and A to D; the flash of the hook is none.
- A consumer's message with more fields than it should have is reported (31951, as Twilio does) and followed
  all the same: servers that send a received ``media`` back as it is are heard. One with a field too few, a
  wrong ``streamSid``, or audio that is no Base64 is reported and ignored.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from typing import Any

from forkproxy.connectors.api import FRAME_MS, Frame, Track
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
from forkproxy_websocket.templates import Hole, Template
from forkproxy_websocket.texts import MAX_MARK, audio_of, decode, encode

CONNECTED = b'{"event":"connected","protocol":"Call","version":"1.0.0"}'
"""The first message of every stream; the only one without a number."""
_FIELDS = {"media": ("payload",), "mark": ("name",), "clear": None}
"""A consumer's events, and the fields of the object that goes by the event's name."""


class Messages(Dialect):
    """The numbered messages of one stream. Each method returns the next; the order is Twilio's contract."""

    def __init__(self, *, account_sid: str, call_sid: str, stream_sid: str) -> None:
        self.sequence_number = 0
        """That of the last message."""
        self._ids = {"accountSid": account_sid, "streamSid": stream_sid, "callSid": call_sid}
        self._media = {track: _media_template(track, stream_sid) for track in Track}

    def connected(self) -> bytes:
        """The greeting."""
        return CONNECTED

    def start(self, tracks: Sequence[Track], parameters: Mapping[str, str]) -> bytes:
        """What the stream is: once, directly behind `CONNECTED`."""
        self.sequence_number += 1
        return encode(
            {
                "event": "start",
                "sequenceNumber": str(self.sequence_number),
                "start": {
                    **self._ids,
                    "tracks": [str(track) for track in tracks],
                    "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                    "customParameters": dict(parameters),
                },
                "streamSid": self._ids["streamSid"],
            }
        )

    def media(self, frame: Frame) -> bytes:
        """20 ms of one track."""
        self.sequence_number += 1
        track, number, _, payload = frame
        return self._media[track] % (
            self.sequence_number,
            number + 1,
            number * FRAME_MS,
            b2a_base64(payload, newline=False),
        )

    def mark(self, name: str, cleared: bool = False) -> bytes:
        """What was said before the consumer's mark has been played, or dropped by its `clear`."""
        self.sequence_number += 1
        return encode(
            {
                "event": "mark",
                "sequenceNumber": str(self.sequence_number),
                "streamSid": self._ids["streamSid"],
                "mark": {"name": name},
            }
        )

    def dtmf(self, digit: str, duration_ms: float) -> bytes | None:
        """A key of the caller's, on bidirectional streams. The track is spelled as Twilio does here."""
        if digit == "!":
            return None
        self.sequence_number += 1
        return encode(
            {
                "event": "dtmf",
                "streamSid": self._ids["streamSid"],
                "sequenceNumber": str(self.sequence_number),
                "dtmf": {"track": "inbound_track", "digit": digit},
            }
        )

    def gap(self, number: int, frames: int) -> bytes:
        """Our own: from frame `number` on, so many frames of every track were dropped and will not come."""
        self.sequence_number += 1
        return encode(
            {
                "event": "gap",
                "sequenceNumber": str(self.sequence_number),
                "streamSid": self._ids["streamSid"],
                "gap": {"timestamp": str(number * FRAME_MS), "duration": str(frames * FRAME_MS)},
            }
        )

    def template(self, track: Track) -> Template:
        """What `media` makes of the frames of a track, for code that fills it itself."""
        return Template.of(self._media[track], (Hole.SEQUENCE, Hole.CHUNK, Hole.TIMESTAMP, Hole.PAYLOAD))

    def stop(self) -> bytes:
        """The end: the last message."""
        self.sequence_number += 1
        return encode(
            {
                "event": "stop",
                "sequenceNumber": str(self.sequence_number),
                "stop": {"accountSid": self._ids["accountSid"], "callSid": self._ids["callSid"]},
                "streamSid": self._ids["streamSid"],
            }
        )

    def read(self, message: bytes, binary: bool) -> Incoming:
        """What the consumer wants: its `media`, `mark` or `clear`.

        The text of the error says what is wrong, and nothing that the consumer could choose at length.

        Raises:
            InvalidMessage: it is none of these.
        """
        if binary:
            raise InvalidMessage(BINARY, "it is binary; messages to forkproxy are JSON text")
        event, content, complaint = self._opened(decode(message))
        if event == "clear":
            return Clear(complaint)
        field = "payload" if event == "media" else "name"
        value = content.get(field)
        if not isinstance(value, str):
            problem = "is missing" if field not in content else "is no string"
            raise InvalidMessage(UNEXPECTED, f"{event}.{field} {problem}")
        if event == "media":
            return Audio(audio_of(value), complaint)
        if len(value) > MAX_MARK:
            raise InvalidMessage(
                UNEXPECTED, f"mark.name has {len(value)} characters; {MAX_MARK} are the most"
            )
        return Mark(value, complaint)

    def _opened(self, message: dict[str, Any]) -> tuple[str, dict[str, Any], str | None]:
        """The event, the object that goes by its name, and what should not be there."""
        event = message.get("event")
        if not isinstance(event, str) or event not in _FIELDS:
            raise InvalidMessage(UNEXPECTED, "event is none of media, mark and clear")
        sid = message.get("streamSid")
        if sid != self._ids["streamSid"]:
            problem = "is missing" if sid is None else "is not this stream's"
            raise InvalidMessage(UNEXPECTED, f"streamSid {problem}")
        fields = _FIELDS[event]
        content = message.get(event, {}) if fields else {}
        if not isinstance(content, dict):
            raise InvalidMessage(UNEXPECTED, f"{event} is no object")
        expected = {"event", "streamSid", *((event,) if fields else ())}
        extra = len(message.keys() - expected) + len(content.keys() - set(fields or ()))
        return event, content, f"{event} has {extra} fields too many" if extra else None


def _media_template(track: Track, stream_sid: str) -> bytes:
    """A media message with holes for its numbers and payload; filling them is far faster than json.dumps."""
    holes = {"chunk": "%d", "timestamp": "%d", "payload": "%b"}
    message = {"event": "media", "sequenceNumber": "%d", "media": {"track": str(track), **holes}}
    assert "%" not in stream_sid
    return encode({**message, "streamSid": stream_sid})
