"""jambonz' ``listen`` (https://docs.jambonz.org/verbs/verbs/listen), and so drachtio's mod_audio_fork.

The first message is text: the call, the rate, the kind of mix, and the parameters as ``metadata``. Audio is
binary L16: one track (``mono``) or, of both, two channels (``stereo``, inbound left). The end is that of the
connection.

The consumer's audio is binary, too (``bidirectionalAudio.streaming``), at the stream's own rate; or it says
`playAudio` with ``raw`` audio. `killAudio` clears, and `mark` comes back with the event ``playout`` or
``cleared``. Keys are told as with ``passDtmf``.
"""

from __future__ import annotations

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
from forkproxy_websocket.texts import audio_of, decode, encode, mark_in, text_in

SUBPROTOCOL = "audio.jambonz.org"


class Jambonz(Dialect):
    """The messages of one connection."""

    one_way_keys = True

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._moments = Moments((), stereo=True)

    def start(self, tracks: Sequence[Track], parameters: Mapping[str, str]) -> bytes:
        self._moments = Moments(tracks, stereo=True)
        call = self._subject.call
        return encode(
            {
                "callSid": call.sid,
                "accountSid": call.account_sid,
                "direction": call.direction,
                "from": call.from_,
                "to": call.to,
                "sampleRate": self._subject.format.rate,
                "mixType": "stereo" if len(tracks) > 1 else "mono",
                "metadata": dict(parameters),
            }
        )

    def media(self, frame: Frame) -> Binary | None:
        moment = self._moments.add(frame)
        return None if moment is None else Binary(moment[1])

    def rest(self) -> Binary | None:
        moment = self._moments.rest()
        return None if moment is None else Binary(moment[1])

    def mark(self, name: str, cleared: bool = False) -> bytes:
        event = "cleared" if cleared else "playout"
        return encode({"type": "mark", "data": {"name": name, "event": event}})

    def dtmf(self, digit: str, duration_ms: float) -> bytes | None:
        if digit == "!":
            return None
        return encode({"event": "dtmf", "dtmf": digit, "duration": str(round(duration_ms))})

    def read(self, message: bytes, binary: bool) -> Incoming:
        if binary:
            return Audio(message)
        said = decode(message)
        match said.get("type"):
            case "playAudio":
                return self._play(said)
            case "killAudio":
                return Clear()
            case "mark":
                return Mark(mark_in(said, "data.name"))
        raise InvalidMessage(UNEXPECTED, "type is none of playAudio, killAudio and mark")

    def _play(self, said: Mapping[str, object]) -> Audio:
        kind = text_in(said, "data.audioContentType")
        data = said["data"]
        rate = data.get("sampleRate") if isinstance(data, dict) else None
        if isinstance(rate, str) and rate.isdecimal() and len(rate) < 9:
            rate = int(rate)
        if kind != "raw" or rate not in (None, self._subject.format.rate):
            raise InvalidMessage(
                UNEXPECTED, f"only raw audio at {self._subject.format.rate} Hz can be played"
            )
        return Audio(audio_of(text_in(said, "data.audioContent"), "data.audioContent"))
