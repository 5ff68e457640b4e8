"""The messages of Twilio Media Streams, from us to the consumer, as UTF-8 JSON.

https://www.twilio.com/docs/voice/media-streams/websocket-messages. Numbers that count are JSON strings there;
only those of the media format are JSON numbers.

What Twilio leaves open and we have decided:

- ``chunk`` counts on each track by itself, and ``timestamp`` is where the audio stands on the stream's clock:
  ``timestamp = (chunk - 1) * 20``, on both tracks alike. A frame that a slow consumer lost leaves a hole in
  both, so that a consumer can put the audio together by either. ``sequenceNumber`` counts the messages that
  were sent and never has a hole.
- ``customParameters`` is ``{}`` when there are none.
"""

from __future__ import annotations

import json
from binascii import b2a_base64
from collections.abc import Mapping, Sequence

from forkproxy.connectors.api import FRAME_MS, Frame, Track

CONNECTED = b'{"event":"connected","protocol":"Call","version":"1.0.0"}'
"""The first message of every stream; the only one without a number."""


class Messages:
    """The numbered messages of one stream. Each method returns the next; the order is Twilio's contract."""

    def __init__(self, *, account_sid: str, call_sid: str, stream_sid: str) -> None:
        self.sequence_number = 0
        """That of the last message."""
        self._ids = {"accountSid": account_sid, "streamSid": stream_sid, "callSid": call_sid}
        self._media = {track: _media_template(track, stream_sid) for track in Track}

    def start(self, tracks: Sequence[Track], parameters: Mapping[str, str]) -> bytes:
        """What the stream is: once, directly behind `CONNECTED`."""
        self.sequence_number += 1
        return _json(
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

    def stop(self) -> bytes:
        """The end: the last message."""
        self.sequence_number += 1
        return _json(
            {
                "event": "stop",
                "sequenceNumber": str(self.sequence_number),
                "stop": {"accountSid": self._ids["accountSid"], "callSid": self._ids["callSid"]},
                "streamSid": self._ids["streamSid"],
            }
        )


def _media_template(track: Track, stream_sid: str) -> bytes:
    """A media message with holes for its numbers and payload; filling them is far faster than json.dumps."""
    holes = {"chunk": "%d", "timestamp": "%d", "payload": "%b"}
    message = {"event": "media", "sequenceNumber": "%d", "media": {"track": str(track), **holes}}
    assert "%" not in stream_sid
    return _json({**message, "streamSid": stream_sid})


def _json(message: Mapping[str, object]) -> bytes:
    # ASCII: what a SIP header brought (half a surrogate pair, say) can still be written.
    return json.dumps(message, separators=(",", ":"), ensure_ascii=True).encode("ascii")
