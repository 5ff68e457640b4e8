"""Vonage Voice WebSockets (https://developer.vonage.com/en/voice/voice-api/guides/websockets).

The first message is ``websocket:connected``, with the parameters beside it, as the ``headers`` of an NCCO
are. Audio is binary L16, mono, 20 ms a message; of a stream of both tracks, the two are mixed, as a
participant hears them. The end is the end of the connection.

The consumer's audio is binary, too. ``{"action": "clear"}`` is answered by ``websocket:cleared``, and
``{"action": "notify", "payload": ...}`` by ``websocket:notify`` with the same payload when all before it has
been played; `clear` cancels those that wait.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from forkproxy.connectors.api import Frame, Track
from forkproxy_websocket.dialect import (
    UNEXPECTED,
    Audio,
    Binary,
    Clear,
    Dialect,
    Incoming,
    InvalidMessage,
    Mark,
)
from forkproxy_websocket.dialects.pieces import Moments
from forkproxy_websocket.dialects.subject import Subject
from forkproxy_websocket.texts import MAX_MARK, decode, encode


class Vonage(Dialect):
    """The messages of one connection."""

    one_way_keys = True

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._moments = Moments((), stereo=False)

    def start(self, tracks: Sequence[Track], parameters: Mapping[str, str]) -> bytes:
        self._moments = Moments(tracks, stereo=False)
        ours = {
            "event": "websocket:connected",
            "content-type": f"audio/l16;rate={self._subject.format.rate}",
        }
        return encode({**ours, **parameters, **ours})

    def media(self, frame: Frame) -> Binary | None:
        moment = self._moments.add(frame)
        return None if moment is None else Binary(moment[1])

    def rest(self) -> Binary | None:
        moment = self._moments.rest()
        return None if moment is None else Binary(moment[1])

    def mark(self, name: str, cleared: bool = False) -> bytes | None:
        return None if cleared else encode({"event": "websocket:notify", "payload": json.loads(name)})

    def cleared(self) -> bytes:
        return encode({"event": "websocket:cleared"})

    def dtmf(self, digit: str, duration_ms: float) -> bytes | None:
        if digit == "!":
            return None
        return encode({"event": "websocket:dtmf", "digit": digit, "duration": round(duration_ms)})

    def read(self, message: bytes, binary: bool) -> Incoming:
        if binary:
            return Audio(message)
        said = decode(message)
        match said.get("action"):
            case "clear":
                return Clear()
            case "notify":
                payload = json.dumps(said.get("payload", {}))
                if len(payload) > MAX_MARK:
                    raise InvalidMessage(
                        UNEXPECTED, f"payload has {len(payload)} characters; {MAX_MARK} are the most"
                    )
                return Mark(payload)
        raise InvalidMessage(UNEXPECTED, "action is none of clear and notify")
