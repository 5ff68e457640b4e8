"""Whether a stream is what Twilio Media Streams promises, told message by message.

The rules, by the names that findings carry:

==============  ======================================================================================
frame           text frames only
message         JSON, a known event, every field there, of the right type, and none too many
order           connected, start, then media, dtmf and marks, stop last; each of the three once
sequence        sequenceNumber counts the messages after connected from 1, without a hole
sid             the streamSid is start's everywhere; stop names start's account and call
track           media come on the tracks that start names
payload         a payload is 20 ms: 160 octets
chunk           chunk grows on each track (a hole is lost audio, and counted as a gap)
timestamp       timestamp grows on each track, by 20 ms (more is a gap)
mark            marks come back in the order in which they were sent, and no others
signature       X-Twilio-Signature fits the URL and the account's auth token
end             the stream ends by stop, then forkproxy closes with 1000
==============  ======================================================================================
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from forkproxy.consumer.messages import (
    Connected,
    FromForkproxy,
    Mark,
    Media,
    MessageError,
    Numbered,
    Start,
    Stop,
    parse_from_forkproxy,
)
from forkproxy.model import FRAME_BYTES, FRAME_MS

MOST = 200
"""Findings, and gaps, that are kept; more are counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    rule: str
    text: str
    message: int = 0
    """Which of the messages, from 1; 0: the connection."""

    def __str__(self) -> str:
        where = f"message {self.message}: " if self.message else ""
        return f"{self.rule}: {where}{self.text}"


class Findings:
    """What is wrong, counted by rule; the first `MOST` in full."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.counts: Counter[str] = Counter()

    def add(self, rule: str, text: str, message: int = 0) -> None:
        """Note one."""
        self.counts[rule] += 1
        if len(self.kept) < MOST:
            self.kept.append(Finding(rule, text, message))

    def __bool__(self) -> bool:
        return bool(self.counts)


@dataclass(frozen=True, slots=True)
class Gap:
    """Audio of one track that did not come."""

    track: str
    at: int
    """Milliseconds on the stream's clock."""
    ms: int
    """How long."""


@dataclass(slots=True)
class TrackState:
    """What came on one track."""

    frames: int = 0
    chunk: int = 0
    end: int = 0
    """Where the audio that came ends, in milliseconds on the stream's clock."""


class Checker:
    """The rules, for one connection. Pure: messages in, findings out."""

    def __init__(self) -> None:
        self.findings = Findings()
        self.counts: Counter[str] = Counter()
        """Messages by event; what is none counts under ``(no message)``."""
        self.gaps: list[Gap] = []
        self.gap_count = 0
        self.gap_ms = 0
        self.tracks: dict[str, TrackState] = {}
        self.start: Start | None = None
        self.number = 0
        """Messages so far."""
        self._connected = False
        self._stopped = False
        self._sequence = 0
        self._marks: deque[str] = deque()

    @property
    def waiting_marks(self) -> int:
        """Marks that were sent and have not come back; where the call has ended, they never do."""
        return len(self._marks)

    @property
    def stopped(self) -> bool:
        """stop has come."""
        return self._stopped

    def message(self, content: str | bytes) -> FromForkproxy | None:
        """Check the next message; None when it is none of the protocol's."""
        self.number += 1
        if isinstance(content, bytes):
            self._wrong("frame", f"a binary frame of {len(content)} octets; messages are text")
            self.counts["(no message)"] += 1
            return None
        try:
            message = parse_from_forkproxy(content)
        except MessageError as error:
            self._wrong("message", f"{error}: {content[:80]}")
            self.counts["(no message)"] += 1
            return None
        self.counts[message.event] += 1
        self._order(message)
        if not isinstance(message, Connected):
            self._numbered(message)
        match message:
            case Start() if self.start is None:
                self._begin(message)
            case Media():
                self._media(message)
            case Mark():
                self._mark(message)
            case Stop():
                self._stop(message)
        return message

    def sent_mark(self, name: str) -> None:
        """The server has sent a mark: it is to come back."""
        self._marks.append(name)

    def signature(self, text: str) -> None:
        """The handshake is not signed as it should be."""
        self.findings.add("signature", text)

    def closed(self, code: int | None, reason: str = "", *, by_us: bool = False) -> None:
        """The connection has ended."""
        if by_us:  # which ends a bidirectional stream in the proper way
            return
        if not self._stopped:
            self.findings.add("end", f"the connection ended ({code or 1006}) before stop")
        elif code != 1000:
            words = f": {reason}" if reason else ""
            self.findings.add("end", f"the connection was closed with {code or 1006}{words}, not 1000")

    def _wrong(self, rule: str, text: str) -> None:
        self.findings.add(rule, text, self.number)

    def _order(self, message: FromForkproxy) -> None:
        event = message.event
        if self._stopped:
            self._wrong("order", f"{event} came after stop")
        elif isinstance(message, Connected):
            if self.number != 1:
                self._wrong(
                    "order",
                    "connected is not the first message" if not self._connected else "connected came twice",
                )
            self._connected = True
        elif isinstance(message, Start):
            if self.start is not None:
                self._wrong("order", "start came twice")
            elif not self._connected:
                self._wrong("order", "start came before connected")
        elif self.start is None:
            self._wrong("order", f"{event} came before start")

    def _numbered(self, message: Numbered) -> None:
        expected, self._sequence = self._sequence + 1, message.sequence_number
        if message.sequence_number != expected:
            self._wrong("sequence", f"sequenceNumber is {message.sequence_number}, not {expected}")
        if self.start is not None and message.stream_sid != self.start.stream_sid:
            self._wrong("sid", f"streamSid is {message.stream_sid}, start's was {self.start.stream_sid}")

    def _begin(self, message: Start) -> None:
        self.start = message
        self.tracks = {track: TrackState() for track in message.start.tracks}
        if message.stream_sid != message.start.stream_sid:
            self._wrong("sid", "streamSid and start.streamSid are not the same")

    def _media(self, message: Media) -> None:
        media = message.media
        state = self.tracks.get(media.track)
        if state is None:
            if self.start is not None:
                self._wrong("track", f"media of {media.track}, which start does not name")
            state = self.tracks[media.track] = TrackState()
        if len(media.payload) != FRAME_BYTES:
            self._wrong("payload", f"the payload has {len(media.payload)} octets, not {FRAME_BYTES}")
        if media.chunk <= state.chunk:
            self._wrong("chunk", f"{media.track}: chunk is {media.chunk} after {state.chunk}")
        if media.timestamp < state.end:
            self._wrong(
                "timestamp",
                f"{media.track}: timestamp is {media.timestamp}; the audio before it ends at {state.end}",
            )
        elif state.frames and media.timestamp > state.end:
            self._gap(media.track, state.end, media.timestamp - state.end)
        state.frames += 1
        state.chunk = max(state.chunk, media.chunk)
        state.end = max(state.end, media.timestamp + max(1, len(media.payload) * FRAME_MS // FRAME_BYTES))

    def _gap(self, track: str, at: int, ms: int) -> None:
        self.gap_count += 1
        self.gap_ms += ms
        if len(self.gaps) < MOST:
            self.gaps.append(Gap(track, at, ms))

    def _mark(self, message: Mark) -> None:
        name = message.mark.name
        if not self._marks:
            self._wrong("mark", f"the mark {name!r} was not sent, or came back twice")
        elif name == self._marks[0]:
            self._marks.popleft()
        elif name in self._marks:
            self._wrong("mark", f"the mark {name!r} came back before {self._marks[0]!r}")
            self._marks.remove(name)
        else:
            self._wrong("mark", f"the mark {name!r} was not sent, or came back twice")

    def _stop(self, message: Stop) -> None:
        self._stopped = True
        if self.start is not None:
            ours = (self.start.start.account_sid, self.start.start.call_sid)
            if (message.stop.account_sid, message.stop.call_sid) != ours:
                self._wrong("sid", "stop names another account or call than start")
