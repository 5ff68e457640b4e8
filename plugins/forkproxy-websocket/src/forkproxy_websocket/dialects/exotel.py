"""Exotel AgentStream (https://developer.exotel.com/docs/agentstream/websocket-protocol).

Audio is L16 (``raw/slin``), in messages of 100 ms that have no track: of a stream of both tracks, the two are
mixed. Numbers, those of the media format included, are strings.

The page does not say what `stop` has in it; here it is the call's and the account's sid, and a reason.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence

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
from forkproxy_websocket.dialects.pieces import Moments
from forkproxy_websocket.dialects.subject import Subject
from forkproxy_websocket.texts import audio_of, decode, encode, is_ours, mark_in, text_in

MOMENTS = 5
"""Of 20 ms in a message."""


class Exotel(Dialect):
    """The messages of one connection."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._sequence_number = 0
        self._chunk = 0
        self._moments = Moments((), stereo=False)
        self._first = 0
        self._kept: list[bytes] = []

    def connected(self) -> bytes:
        return encode({"event": "connected"})

    def start(self, tracks: Sequence[Track], parameters: Mapping[str, str]) -> bytes:
        self._moments = Moments(tracks, stereo=False)
        call = self._subject.call
        body = {
            "stream_sid": self._subject.stream_sid,
            "call_sid": call.sid,
            "account_sid": call.account_sid,
            "from": call.from_,
            "to": call.to,
            "custom_parameters": dict(parameters),
            "media_format": {
                "encoding": "audio/x-raw",
                "sample_rate": str(self._subject.format.rate),
                "bit_rate": "16",
            },
        }
        return self._numbered("start", {"start": body})

    def media(self, frame: Frame) -> bytes | None:
        moment = self._moments.add(frame)
        if moment is None:
            return None
        number, audio = moment
        complete = None
        if self._kept and number != self._first + len(self._kept):  # a hole: what is kept goes as it is
            complete = self._message()
        if not self._kept:
            self._first = number
        self._kept.append(audio)
        return self._message() if len(self._kept) == MOMENTS else complete

    def rest(self) -> bytes | None:
        moment = self._moments.rest()
        if moment is not None:
            self._kept.append(moment[1])
        return self._message() if self._kept else None

    def mark(self, name: str, cleared: bool = False) -> bytes:
        return self._numbered("mark", {"mark": {"name": name}})

    def dtmf(self, digit: str, duration_ms: float) -> bytes | None:
        if digit == "!":
            return None
        return self._numbered("dtmf", {"dtmf": {"digit": digit, "duration": str(round(duration_ms))}})

    def stop(self) -> bytes:
        call = self._subject.call
        body = {"call_sid": call.sid, "account_sid": call.account_sid, "reason": "stopped"}
        return self._numbered("stop", {"stop": body})

    def read(self, message: bytes, binary: bool) -> Incoming:
        if binary:
            raise InvalidMessage(BINARY, "it is binary; messages of this dialect are JSON text")
        said = decode(message)
        is_ours(said, "stream_sid", self._subject.stream_sid)
        match said.get("event"):
            case "media":
                return Audio(audio_of(text_in(said, "media.payload")))
            case "mark":
                return Mark(mark_in(said, "mark.name"))
            case "clear":
                return Clear()
        raise InvalidMessage(UNEXPECTED, "event is none of media, mark and clear")

    def _message(self) -> bytes:
        self._chunk += 1
        body = {
            "chunk": str(self._chunk),
            "timestamp": str(self._first * FRAME_MS),
            "payload": b64encode(b"".join(self._kept)).decode(),
        }
        self._kept.clear()
        return self._numbered("media", {"media": body})

    def _numbered(self, event: str, body: Mapping[str, object]) -> bytes:
        self._sequence_number += 1
        number, sid = str(self._sequence_number), self._subject.stream_sid
        return encode({"event": event, "sequence_number": number, "stream_sid": sid, **body})
