"""A stream as a file that people can read, edit and keep with their tests: one JSON object a line.

The first line says what the file is; every other line is one thing that one side sent, with its time::

    {"fixture": 1, "path": "/media", "headers": {"User-Agent": "forkproxy/0.1.0"}}
    {"ms": 0, "from": "forkproxy", "message": {"event": "connected", ...}}
    {"ms": 20.1, "from": "forkproxy", "message": {"event": "media", ...}}
    {"ms": 25, "from": "server", "message": {"event": "mark", ...}}
    {"ms": 30, "from": "forkproxy", "text": "{not JSON"}
    {"ms": 35, "from": "server", "binary": "AAEC"}
    {"ms": 6020, "from": "forkproxy", "close": 1000, "reason": ""}

`ms` counts from the end of the handshake and never decreases. A message that is a JSON object stands there as
such, any other text as ``text``, a binary frame in Base64, the end of the connection as ``close`` (1006: it
was cut). docs/testing-your-server.md describes the format for users.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Literal

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, ValidationError, model_validator

from forkproxy.demo.voices import CALLEE, CALLER, speech
from forkproxy.errors import InputError, Problem
from forkproxy.model import FRAME_BYTES, FRAME_MS, Track

VERSION = 1
FORKPROXY, SERVER = "forkproxy", "server"
_PRIVATE = {"authorization", "proxy-authorization", "cookie", "x-twilio-signature"}
"""Headers that are not written: a fixture is kept with tests, where others read it."""


class FixtureError(InputError):
    """A fixture cannot be read; its problems have file and line."""


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Header(_Line):
    """The first line."""

    fixture: Literal[1]
    path: str = "/"
    """Of the handshake request."""
    headers: dict[str, str] = {}
    """Of the handshake request, without the WebSocket protocol's and without secrets."""
    note: str = ""
    """Whatever its author wants to say."""


class Entry(_Line):
    """Something that one side sent: exactly one of `message`, `text`, `binary` and `close`."""

    ms: Annotated[float, Field(ge=0, le=7 * 86_400_000)]
    """Milliseconds since the end of the handshake."""
    by: Annotated[Literal["forkproxy", "server"], Field(alias="from")]
    message: dict[str, Any] | None = None
    text: str | None = None
    binary: Base64Bytes | None = None
    close: Annotated[int, Field(ge=1000, le=4999)] | None = None
    reason: str = ""

    @model_validator(mode="after")
    def _one(self) -> Entry:
        there = [each for each in (self.message, self.text, self.binary, self.close) if each is not None]
        if len(there) != 1:
            raise ValueError("needs exactly one of message, text, binary and close")
        return self

    @property
    def content(self) -> str | bytes | None:
        """What goes into the frame; None: it is the end."""
        if self.message is not None:
            return json.dumps(self.message, separators=(",", ":"))
        return self.binary if self.text is None else self.text


@dataclass(frozen=True, slots=True)
class Fixture:
    """One recorded stream."""

    header: Header
    entries: tuple[Entry, ...]
    name: str = "(sample)"

    @property
    def bidirectional(self) -> bool:
        """The recorded stream was one that the server may answer, as far as one can see."""
        return any(
            (entry.close is None if entry.by == SERVER else _event(entry) in ("mark", "dtmf"))
            for entry in self.entries
        )


def _event(entry: Entry) -> object:
    return (entry.message or {}).get("event")


def load(path: Path) -> Fixture:
    """Read a fixture.

    Raises:
        FixtureError: it cannot be read, or a line is wrong.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return parse(file, str(path))
    except (OSError, UnicodeDecodeError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise FixtureError([Problem(str(path), 0, 0, "#", f"cannot be read: {words}")]) from error


def parse(lines: Iterable[str], name: str) -> Fixture:
    """The same, from its lines.

    Raises:
        FixtureError: a line is wrong.
    """
    header: Header | None = None
    entries: list[Entry] = []
    problems: list[Problem] = []
    before = 0.0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            if header is None:
                header = Header.model_validate(_json(line))
                continue
            entry = Entry.model_validate(_json(line))
        except ValueError as error:
            if not isinstance(error, ValidationError):
                problems.append(_problem(name, number, {"loc": (), "msg": str(error)}, header is None))
            else:
                problems += [_problem(name, number, each, header is None) for each in error.errors()]
            if header is None:
                break  # it is something else
            continue
        if entry.ms < before:
            problems.append(Problem(name, number, 0, "#/ms", f"is {entry.ms:g} after {before:g}"))
        before = entry.ms
        entries.append(entry)
    if header is None and not problems:
        problems.append(Problem(name, 0, 0, "#", "is empty"))
    if problems or header is None:
        raise FixtureError(problems[:20])
    return Fixture(header, tuple(entries), name)


def _json(line: str) -> Any:
    """pydantic's own parser refuses lone surrogates, which real servers send."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Invalid JSON: {error}") from None


def _problem(name: str, number: int, error: Any, first: bool) -> Problem:
    where = "#" + "".join(f"/{part}" for part in error["loc"])
    text = str(error["msg"]).removeprefix("Value error, ")
    if first:
        text += '; the first line of a fixture is like {"fixture": 1}'
    return Problem(name, number, 0, where, text)


class Writer:
    """Writes a fixture as it happens."""

    def __init__(self, target: IO[str], path: str = "/", headers: Mapping[str, str] | None = None) -> None:
        self._target = target
        public = {
            name: value
            for name, value in (headers or {}).items()
            if name.lower() not in _PRIVATE
            and not name.lower().startswith("sec-websocket-")
            and name.lower() not in ("host", "upgrade", "connection")
        }
        self._line({"fixture": VERSION, "path": path, "headers": public})

    def message(self, ms: float, by: str, content: str | bytes) -> None:
        """One frame."""
        if isinstance(content, bytes):
            self._line({**_when(ms, by), "binary": b64encode(content).decode()})
            return
        try:
            parsed = json.loads(content)
        except ValueError:
            parsed = None
        self._line(
            {**_when(ms, by), **({"message": parsed} if isinstance(parsed, dict) else {"text": content})}
        )

    def close(self, ms: float, by: str, code: int | None, reason: str = "") -> None:
        """The end of the connection."""
        self._line({**_when(ms, by), "close": code or 1006, "reason": reason})

    def _line(self, line: Mapping[str, object]) -> None:
        # Lone surrogates, which JSON can spell, stay spelt out.
        print(json.dumps(line), file=self._target)


def _when(ms: float, by: str) -> dict[str, object]:
    return {"ms": round(ms, 1), "from": by}


def sample(seconds: float = 4.0, *, bidirectional: bool = False) -> Fixture:
    """A stream that was never recorded: two synthetic voices in conversation, or one that talks to a bot."""
    account, call, stream = (prefix + "0" * 31 + "1" for prefix in ("AC", "CA", "MZ"))
    voices = {Track.INBOUND: speech(CALLER, seconds)}
    if not bidirectional:
        voices[Track.OUTBOUND] = speech(CALLEE, seconds)
    media = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    start = {
        "accountSid": account,
        "streamSid": stream,
        "callSid": call,
        "tracks": [str(track) for track in voices],
        "mediaFormat": media,
        "customParameters": {},
    }
    messages: list[tuple[int, dict[str, Any]]] = [
        (0, {"event": "connected", "protocol": "Call", "version": "1.0.0"}),
        (0, {"event": "start", "sequenceNumber": "1", "start": start, "streamSid": stream}),
    ]
    frames = len(voices[Track.INBOUND]) // FRAME_BYTES
    for number in range(frames):
        for track, audio in voices.items():
            body = {
                "track": str(track),
                "chunk": str(number + 1),
                "timestamp": str(number * FRAME_MS),
                "payload": b64encode(audio[number * FRAME_BYTES : (number + 1) * FRAME_BYTES]).decode(),
            }
            head = {"event": "media", "sequenceNumber": str(len(messages))}
            messages.append(((number + 1) * FRAME_MS, {**head, "media": body, "streamSid": stream}))
    end = (frames + 1) * FRAME_MS
    stop = {"accountSid": account, "callSid": call}
    messages.append(
        (end, {"event": "stop", "sequenceNumber": str(len(messages)), "stop": stop, "streamSid": stream})
    )
    return Fixture(Header(fixture=VERSION), tuple(_entries(messages, end)))


def _entries(messages: Iterable[tuple[int, dict[str, Any]]], end: int) -> Iterator[Entry]:
    for ms, message in messages:
        yield Entry(ms=ms, by=FORKPROXY, message=message)
    yield Entry(ms=end, by=FORKPROXY, close=1000)


def save(fixture: Fixture, target: IO[str]) -> None:
    """Write it down, so that it can be edited."""
    writer = Writer(target, fixture.header.path, fixture.header.headers)
    for entry in fixture.entries:
        content = entry.content
        if content is not None:
            writer.message(entry.ms, entry.by, content)
        else:
            writer.close(entry.ms, entry.by, entry.close, entry.reason)
