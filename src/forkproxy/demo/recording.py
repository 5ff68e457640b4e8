"""What a run of the demo wrote down: the only thing that the checks and the page look at.

It is saved next to the page as ``recording.json``, so that a run can be examined, and checked, again.
Times are seconds since the epoch; the phones, the proxy and the consumer share one machine and one clock.
"""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from forkproxy.model import FRAME_BYTES, Track


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")


Audio = Annotated[bytes, Field(repr=False)]
"""mu-law, 8 kHz, one channel."""


class SipMessage(_Record):
    """One SIP message as a phone sent or received it."""

    at: float
    sent: bool
    text: str
    transport: str = "udp"

    @property
    def first_line(self) -> str:
        """The request line or the status line."""
        return self.text.partition("\r\n")[0]

    @property
    def title(self) -> str:
        """Short: ``INVITE``, ``180 Ringing``, ``200 OK (BYE)``."""
        words = self.first_line.split(" ", 2)
        if words[0] != "SIP/2.0":
            return words[0]
        method = self.header("cseq").rpartition(" ")[2]
        name = " ".join(words[1:])
        return name if method in ("INVITE", "") else f"{name} ({method})"

    def header(self, name: str) -> str:
        """The first value of a header (its full name, lower case), or an empty string."""
        for line in self.text.partition("\r\n\r\n")[0].split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.strip().lower() == name:
                return value.strip()
        return ""


class PhoneReport(_Record):
    """What one of the two phones did, said and heard."""

    name: Literal["caller", "callee"]
    uri: str
    """Where it listens: ``sip:callee@127.0.0.1:41234``."""
    answered_at: float | None
    """When the call was up: the caller had the answer, the callee its ACK."""
    ended_at: float | None
    status: int
    """The SIP status that the call ended with (200: by a BYE); 0 when it never ended or never came."""
    reason: str
    ended_by: str
    """``local``, ``remote``, ``timeout`` or ``transport``."""
    said: Audio
    """The audio that it was given to play, from `said_at` on."""
    said_at: float | None
    heard: Audio
    """What arrived by RTP, frame by frame, from `heard_at` on."""
    heard_at: float | None
    trace: tuple[SipMessage, ...]
    """Every SIP message that it sent or received, in order."""
    figures: dict[str, int | float] = {}
    """Its RTP figures (`forkproxy.media.LegFigures`)."""


class Message(_Record):
    """One WebSocket message as the consumer received it."""

    at: float
    text: str


class ConsumerReport(_Record):
    """What the WebSocket server got on the one connection that it expects."""

    url: str
    """The URL as the flow has it."""
    connections: int
    path: str = ""
    """Of the handshake request."""
    headers: tuple[tuple[str, str], ...] = ()
    """Of the handshake request, as they came."""
    peer: str = ""
    opened_at: float | None = None
    messages: tuple[Message, ...] = ()
    closed_at: float | None = None
    close_code: int | None = None
    close_reason: str = ""

    def handshake(self) -> str:
        """The request that opened the connection, as it came."""
        return "\n".join([f"GET {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers)])


class ProxyReport(_Record):
    """The `forkproxy serve` process."""

    ready: str
    """Its ready line."""
    exit_status: int | None
    """None: it did not stop by itself when told to."""
    log: tuple[str, ...]


class Recording(_Record):
    """One run of the demo."""

    version: str
    started_at: float
    seconds: float
    """Length of the conversation."""
    account_sid: str
    auth_token: str
    """Made up for this run."""
    config: str
    flow: dict[str, Any]
    caller: PhoneReport
    callee: PhoneReport
    consumer: ConsumerReport
    proxy: ProxyReport

    def phones(self) -> tuple[PhoneReport, PhoneReport]:
        """The caller, then the callee."""
        return self.caller, self.callee


class Media(NamedTuple):
    """One ``media`` message."""

    at: float
    sequence: int
    chunk: int
    timestamp: int
    payload: bytes


class Stream:
    """The consumer's messages, taken apart. One that is wrong is named in `faults`; nothing is raised."""

    def __init__(self, consumer: ConsumerReport) -> None:
        self.counts: dict[str, int] = {}
        """Messages by event, in order of appearance."""
        self.events: list[tuple[Message, dict[str, Any]]] = []
        self.media: dict[Track, list[Media]] = {Track.INBOUND: [], Track.OUTBOUND: []}
        self.faults: list[str] = []
        for number, message in enumerate(consumer.messages, 1):
            try:
                body = json.loads(message.text)
                event = str(body["event"])
            except (ValueError, LookupError, TypeError):
                self.counts["(not a stream message)"] = self.counts.get("(not a stream message)", 0) + 1
                self.faults.append(f"message {number} is not a stream message: {message.text[:60]!r}")
                continue
            self.counts[event] = self.counts.get(event, 0) + 1
            self.events.append((message, body))
            if event == "media":
                self._add(number, message, body)

    def _add(self, number: int, message: Message, body: dict[str, Any]) -> None:
        try:
            part = body["media"]
            media = Media(
                message.at,
                int(body["sequenceNumber"]),
                int(part["chunk"]),
                int(part["timestamp"]),
                b64decode(part["payload"], validate=True),
            )
            self.media[Track(part["track"])].append(media)
        except (ValueError, LookupError, TypeError) as error:
            self.faults.append(f"message {number} (media): {type(error).__name__}: {error}")

    def first(self, event: str) -> tuple[Message, dict[str, Any]] | None:
        """The first message of that event."""
        return next((pair for pair in self.events if pair[1]["event"] == event), None)

    def audio(self, track: Track) -> bytes:
        """The track's payloads, put where their timestamps say, holes filled with mu-law silence."""
        media = self.media[track]
        end = max((m.timestamp * 8 + len(m.payload) for m in media), default=0)
        audio = bytearray(b"\xff" * min(end, 8000 * 3600))
        for m in media:
            start = max(m.timestamp, 0) * 8
            audio[start : start + len(m.payload)] = m.payload
        return bytes(audio)

    @property
    def began_at(self) -> float | None:
        """When the timestamp 0 was, by the consumer's clock: the least delayed message decides."""
        return min((m.at - m.timestamp / 1000 for track in self.media.values() for m in track), default=None)


def frames(audio: bytes) -> list[bytes]:
    """`audio` in frames of 20 ms; a last incomplete one is left out."""
    return [audio[n : n + FRAME_BYTES] for n in range(0, len(audio) - FRAME_BYTES + 1, FRAME_BYTES)]
