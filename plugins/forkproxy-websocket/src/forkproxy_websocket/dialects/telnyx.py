"""Telnyx Media Streaming (https://developers.telnyx.com/api-reference/websockets/stream-call-media-over-websocket).

Names are written with underscores, the stream is ``stream_id``, and what the consumer sends names no stream.
PCMU only: what its bidirectional mode calls ``rtp``, raw payloads of 20 ms to 30 s. MP3 files are not taken.

``call_control_id`` and ``call_session_id`` are the call's sid, ``user_id`` the account's. `client_state` is a
parameter of that name, and the others are in ``custom_parameters``, which is left out when there are none.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from forkproxy.connectors.api import Frame, Track
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


def _now() -> datetime:
    return datetime.now(UTC)


class Telnyx(Dialect):
    """The messages of one connection."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._sequence_number = 0

    def connected(self) -> bytes:
        return encode({"event": "connected", "version": "1.0.0"})

    def start(self, tracks: Sequence[Track], parameters: Mapping[str, str]) -> bytes:
        call = self._subject.call
        theirs = {name: value for name, value in parameters.items() if name != "client_state"}
        body = {
            "user_id": call.account_sid,
            "call_control_id": call.sid,
            "call_session_id": call.sid,
            "from": call.from_,
            "to": call.to,
            "tags": [],
            "client_state": parameters.get("client_state", ""),
            "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
            **({"custom_parameters": theirs} if theirs else {}),
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
        return self._numbered("mark", {"mark": {"name": name}})

    def dtmf(self, digit: str, duration_ms: float) -> bytes | None:
        if digit == "!":
            return None
        when = _now().isoformat(timespec="microseconds").replace("+00:00", "Z")
        return self._numbered("dtmf", {"occurred_at": when, "dtmf": {"digit": digit}})

    def stop(self) -> bytes:
        call = self._subject.call
        return self._numbered("stop", {"stop": {"user_id": call.account_sid, "call_control_id": call.sid}})

    def read(self, message: bytes, binary: bool) -> Incoming:
        if binary:
            raise InvalidMessage(BINARY, "it is binary; messages of this dialect are JSON text")
        said = decode(message)
        is_ours(said, "stream_id", self._subject.stream_sid, required=False)
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
        number = str(self._sequence_number)
        sid = self._subject.stream_sid
        return encode({"event": event, "sequence_number": number, **body, "stream_id": sid})
