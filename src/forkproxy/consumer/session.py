"""One stream at the consumer: what came is checked, kept, and answered."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from forkproxy.consumer.answers import Answer, Silence
from forkproxy.consumer.audio import TrackFiles, loudness
from forkproxy.consumer.checker import Checker, Finding, Gap
from forkproxy.consumer.fixture import FORKPROXY, SERVER, Writer
from forkproxy.consumer.messages import Dtmf, FromForkproxy, Mark, Media, Start

TRANSCRIPT = "transcript.jsonl"
MOST_MARKS = 1000
"""Names of marks and keys that a summary keeps."""
_SID = re.compile(r"MZ[0-9a-fA-F]{32}")


@dataclass(frozen=True, slots=True)
class Handshake:
    """The request that opened the connection."""

    path: str
    headers: tuple[tuple[str, str], ...]
    secure: bool
    peer: str = ""

    def header(self, name: str) -> str:
        """The first value of a header, or an empty string."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    @property
    def url(self) -> str:
        """The URL as the client asked for it, as far as the request tells."""
        return f"{'wss' if self.secure else 'ws'}://{self.header('host')}{self.path}"


@dataclass(frozen=True, slots=True)
class Summary:
    """What came on one connection."""

    number: int
    """Which of the connections, from 1."""
    path: str
    stream_sid: str
    """Empty: there was no start."""
    seconds: float
    """From the handshake to the end."""
    counts: Mapping[str, int]
    """Messages by event."""
    frames: Mapping[str, int]
    """Media messages by track."""
    parameters: Mapping[str, str]
    """start's customParameters."""
    gaps: tuple[Gap, ...]
    gap_count: int
    gap_ms: int
    late_ms: float
    """How much later than the quickest the most delayed media message came, beside its timestamp."""
    marks: tuple[str, ...]
    """That came back, in order."""
    waiting_marks: int
    """That had not come back when the stream ended."""
    findings: tuple[Finding, ...]
    finding_counts: Mapping[str, int]
    close_code: int | None
    close_reason: str = ""
    files: tuple[Path, ...] = ()

    @property
    def passed(self) -> bool:
        """Nothing was wrong, though audio may be missing."""
        return not self.finding_counts


@dataclass(slots=True)
class Settings:
    """What is done with streams, all alike."""

    out: Path | None = None
    """A folder; each stream gets one in it."""
    stereo: bool = False
    auth_token: str | None = None
    """Whether the handshake is signed with it."""
    url: str | None = None
    """What is signed, where the request does not tell: behind a proxy that rewrites it."""
    fixture: Path | None = None
    """Where the first stream is recorded to."""
    hang_up: bool = False
    """Close the connection when everything has been said, which ends a bidirectional stream."""


@dataclass(slots=True)
class Meter:
    """What the terminal shows of one track."""

    level: int = 0
    frames: int = 0


@dataclass(slots=True)
class Session:
    """One connection, from its handshake on. Times are passed in, in seconds of any clock."""

    number: int
    handshake: Handshake
    settings: Settings
    began: float
    answer: Answer = field(default_factory=Silence)
    checker: Checker = field(default_factory=Checker)
    meters: dict[str, Meter] = field(default_factory=dict)
    sid: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    marks: list[str] = field(default_factory=list)
    digits: list[str] = field(default_factory=list)
    audio: dict[str, bytearray] | None = None
    """Set to a dictionary, it keeps each track's payloads: for tests."""
    _files: TrackFiles | None = None
    _transcript: Writer | None = None
    _target: IO[str] | None = None
    _early: list[tuple[float, str, str | bytes]] = field(default_factory=list)
    _kept: list[Path] = field(default_factory=list)
    _quickest: float | None = None
    _latest: float = 0.0

    def __post_init__(self) -> None:
        if self.settings.auth_token is not None:
            self._check_signature(self.settings.auth_token)
        if self.settings.fixture is not None and self.number == 1:
            self._open(self.settings.fixture)

    def received(self, content: str | bytes, now: float) -> list[str]:
        """A message came; what to say back."""
        self._note(now, FORKPROXY, content)
        message = self.checker.message(content)
        answers = self._take(message, now) if message is not None else []
        for text in answers:
            self._note(now, SERVER, text)
            if (answered := json.loads(text))["event"] == "mark":
                self.checker.sent_mark(answered["mark"]["name"])
        return answers

    @property
    def wants_to_hang_up(self) -> bool:
        """Everything has been said, and the settings say that this is the end."""
        return self.settings.hang_up and self.answer.done

    def closed(self, now: float, code: int | None, reason: str = "", *, by_us: bool = False) -> Summary:
        """The connection has ended."""
        self.checker.closed(code, reason, by_us=by_us)
        if self._transcript is not None and self._target is not None:
            self._transcript.close((now - self.began) * 1000, SERVER if by_us else FORKPROXY, code, reason)
            self._target.close()
        if self._files is not None:
            self._files.close()
            self._kept += self._files.paths
            if self._files.lost:
                self.checker.findings.add(
                    "timestamp", f"{self._files.lost} pieces lie too far ahead, and are not in the WAV files"
                )
        checker = self.checker
        return Summary(
            number=self.number,
            path=self.handshake.path,
            stream_sid=self.sid,
            seconds=now - self.began,
            counts=dict(checker.counts),
            frames={track: state.frames for track, state in checker.tracks.items()},
            parameters=self.parameters,
            gaps=tuple(checker.gaps),
            gap_count=checker.gap_count,
            gap_ms=checker.gap_ms,
            late_ms=(self._latest - (self._quickest or 0.0)) * 1000,
            marks=tuple(self.marks),
            waiting_marks=checker.waiting_marks,
            findings=tuple(checker.findings.kept),
            finding_counts=dict(checker.findings.counts),
            close_code=code,
            close_reason=reason,
            files=tuple(self._kept),
        )

    def _take(self, message: FromForkproxy, now: float) -> list[str]:
        match message:
            case Start() if not self.sid:
                self.sid = message.stream_sid
                self.parameters = message.start.custom_parameters
                self._begin(message)
                return self.answer.started(self.sid)
            case Media():
                return self._media(message, now)
            case Mark(mark=mark):
                if len(self.marks) < MOST_MARKS:
                    self.marks.append(mark.name)
                return self.answer.marked(mark.name)
            case Dtmf(dtmf=dtmf):
                if len(self.digits) < MOST_MARKS:
                    self.digits.append(dtmf.digit)
        return []

    def _media(self, message: Media, now: float) -> list[str]:
        media = message.media
        meter = self.meters.setdefault(media.track, Meter())
        meter.level = loudness(media.payload)
        meter.frames += 1
        behind = now - self.began - media.timestamp / 1000
        if self._quickest is None:
            self._quickest = self._latest = behind
        self._quickest, self._latest = min(self._quickest, behind), max(self._latest, behind)
        if self._files is not None:
            self._files.write(media.track, media.timestamp, media.payload)
        if self.audio is not None:
            self.audio.setdefault(media.track, bytearray()).extend(media.payload)
        return self.answer.heard(media.payload) if media.track == "inbound" else []

    def _begin(self, start: Start) -> None:
        """The stream has a name: it gets its folder."""
        if self.settings.out is None:
            self._early.clear()
            return
        name = self.sid if _SID.fullmatch(self.sid) else f"stream-{self.number}"
        folder = self.settings.out / name
        if folder.exists():  # connected again, or replayed with the same sid
            folder = self.settings.out / f"{name}-{self.number}"
        folder.mkdir(parents=True, exist_ok=True)
        self._files = TrackFiles(folder, start.start.tracks, stereo=self.settings.stereo)
        if self._transcript is None:
            self._open(folder / TRANSCRIPT)
        for ms, by, content in self._early:
            assert self._transcript is not None  # opened
            self._transcript.message(ms, by, content)
        self._early.clear()

    def _open(self, path: Path) -> None:
        self._target = open(path, "w", encoding="utf-8")  # noqa: SIM115
        self._kept.append(path)
        self._transcript = Writer(self._target, self.handshake.path, dict(self.handshake.headers))

    def _note(self, now: float, by: str, content: str | bytes) -> None:
        ms = (now - self.began) * 1000
        if self._transcript is not None:
            self._transcript.message(ms, by, content)
        elif self.settings.out is not None and len(self._early) < 100:
            self._early.append((ms, by, content))

    def _check_signature(self, token: str) -> None:
        given = self.handshake.header("x-twilio-signature")
        if not given:
            self.checker.signature("the handshake has no X-Twilio-Signature")
            return
        urls = [self.settings.url] if self.settings.url else self._likely_urls()
        if not any(hmac.compare_digest(given, sign(token, url)) for url in urls):
            self.checker.signature(
                f"X-Twilio-Signature is not that of {' or '.join(urls)} with this auth token; "
                "the URL counts exactly as the flow has it"
            )

    def _likely_urls(self) -> list[str]:
        """As asked for; and as it was outside, where a proxy has ended TLS."""
        own = self.handshake.url
        return [own] if own.startswith("wss:") else [own, f"wss{own.removeprefix('ws')}"]


def sign(auth_token: str, url: str) -> str:
    """The value of ``X-Twilio-Signature`` (https://www.twilio.com/docs/usage/security#validating-requests)."""
    digest = hmac.new(auth_token.encode(), url.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode("ascii")
