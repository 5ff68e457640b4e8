"""One performance: what is sent when, what the server says, and whether it keeps the contract.

Findings carry the code that forkproxy would report (docs/streams.md): 31931 too much audio waits, 31950 a
binary message, 31951 a message that is none, or any on a one-way stream; 31921 and 31903, an end that was not
agreed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from forkproxy.consumer.checker import Finding, Findings
from forkproxy.consumer.fixture import Fixture
from forkproxy.consumer.messages import AnswerMark, AnswerMedia, MessageError, parse_from_server
from forkproxy.replay.playout import Playout
from forkproxy.replay.script import Script, Step, encode, steps

CLOSED_WELL = (1000, 1001)
MOST_RECEIVED = 100_000
"""Messages of the server that a result keeps."""


@dataclass(frozen=True, slots=True)
class Received:
    """Something that the server sent."""

    ms: float
    """When, on the stream's clock."""
    content: str | bytes
    event: str
    """media, mark or clear; empty when it is none of them."""
    octets: int = 0
    """Of audio."""
    name: str = ""
    """Of a mark."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it."""

    url: str
    seconds: float
    """How long the stream was, on its own clock."""
    sent: int
    """Messages."""
    received: tuple[Received, ...]
    marks: tuple[str, ...]
    """That came back to the server, in order, each once."""
    cleared: int
    """How often the server cleared."""
    heard: bytes
    """What the caller heard of the server: mu-law, 8,000 Hz, from the stream's start."""
    findings: tuple[Finding, ...]
    finding_counts: Mapping[str, int]
    """How many of each code; `findings` has the first 200."""
    close_code: int | None
    """Of the server's close, where it came first."""
    stream_sid: str = ""

    @property
    def passed(self) -> bool:
        """The server kept the contract."""
        return not self.findings


class Player:
    """Pure: times are passed in, in milliseconds of the stream."""

    def __init__(self, fixture: Fixture, script: Script) -> None:
        self.findings = Findings()
        self.finished = False
        """Everything is sent, or the connection has gone."""
        self.close: int | None = None
        """With which code to end it; None: it has gone."""
        self.stream_sid = ""
        self._script = script
        self._steps: deque[Step] = deque(steps(fixture, script))
        self._playout = Playout()
        self._received: list[Received] = []
        self._count = 0
        self._marks: list[str] = []
        self._sequence = 0
        self._sent = 0
        self._closed_by_server: int | None = None

    def next(self) -> float | None:
        """When there is something to do again."""
        times = [self._steps[0].ms if self._steps else None, self._playout.next() if self._started else None]
        return min((each for each in times if each is not None), default=None)

    def due(self, now: float) -> list[str | bytes]:
        """What is to be sent now, in order."""
        out: list[str | bytes] = []
        while not self.finished:
            mark = self._playout.next() if self._started else None
            step = self._steps[0].ms if self._steps else None
            if mark is not None and mark <= now and (step is None or mark <= step):
                for name in self._playout.due(mark):
                    out += self._mark(name)
            elif step is not None and step <= now:
                out += self._play(self._steps.popleft())
            else:
                break
        self._sent += len(out)
        return out

    def received(self, content: str | bytes, now: float) -> Received:
        """The server has sent something."""
        received = self._hear(content, now)
        if len(self._received) < MOST_RECEIVED:
            self._received.append(received)
        return received

    def closed_by_server(self, code: int | None, reason: str) -> None:
        """The server has ended the connection, or it was cut."""
        self.finished, self.close = True, None
        self._closed_by_server = code
        words = f": {reason}" if reason else ""
        if code is None or code == 1006:
            self.findings.add("31903", "the server ended the connection without closing the WebSocket")
        elif not (self._script.bidirectional and code in CLOSED_WELL):
            self.findings.add("31921", f"the server closed the WebSocket with {code}{words}")

    def failed(self, code: int, text: str) -> None:
        """The connection did not come about, or broke."""
        self.finished, self.close = True, None
        self.findings.add(str(code), text)

    def result(self, url: str, now: float) -> Result:
        """What came of it so far."""
        return Result(
            url=url,
            seconds=now / 1000,
            sent=self._sent,
            received=tuple(self._received),
            marks=tuple(self._marks),
            cleared=self._playout.cleared,
            heard=self._playout.heard(now),
            findings=tuple(self.findings.kept),
            finding_counts=dict(self.findings.counts),
            close_code=self._closed_by_server,
            stream_sid=self.stream_sid,
        )

    @property
    def _started(self) -> bool:
        return bool(self.stream_sid)

    def _play(self, step: Step) -> list[str | bytes]:
        if step.close is not None:
            self.finished, self.close = True, step.close
            return []
        if step.message is None:
            return [] if step.raw is None else [step.raw]
        message = step.message
        if message.get("event") == "start" and not self._started:
            self.stream_sid = str(message.get("streamSid", ""))
        return [self._numbered(message)]

    def _numbered(self, message: dict[str, object]) -> str:
        if "sequenceNumber" in message:
            self._sequence += 1
            message["sequenceNumber"] = str(self._sequence)
        return encode(message)

    def _mark(self, name: str) -> list[str]:
        self._marks.append(name)
        times = 2 if self._script.faults.duplicate_marks else 1
        message: dict[str, object] = {
            "event": "mark",
            "sequenceNumber": "",
            "streamSid": self.stream_sid,
            "mark": {"name": name},
        }
        return [self._numbered(message) for _ in range(times)]

    def _hear(self, content: str | bytes, now: float) -> Received:
        self._count += 1
        if isinstance(content, bytes):
            self.findings.add(
                "31950", f"a binary message of {len(content)} octets; they are text", self._count
            )
            return Received(now, content, "")
        if not self._script.bidirectional:
            self.findings.add("31951", f"a one-way stream takes no messages: {content[:80]}", self._count)
            return Received(now, content, "")
        try:
            message = parse_from_server(content)
        except MessageError as error:
            self.findings.add("31951", f"{error}: {content[:80]}", self._count)
            return Received(now, content, "")
        if message.stream_sid != self.stream_sid:
            self.findings.add(
                "31951", f"streamSid is {message.stream_sid!r}, not {self.stream_sid}", self._count
            )
            return Received(now, content, "")
        if isinstance(message, AnswerMedia):
            audio = message.media.payload
            if not self._playout.speak(audio, now):
                self.findings.add("31931", "more than ten minutes of audio wait to be played", self._count)
            return Received(now, content, "media", octets=len(audio))
        if isinstance(message, AnswerMark):
            self._playout.mark(message.mark.name, now)
            return Received(now, content, "mark", name=message.mark.name)
        self._playout.clear(now)
        return Received(now, content, "clear")
