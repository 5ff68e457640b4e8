"""From a fixture to what is sent when, faults included. Times are milliseconds of the stream."""

from __future__ import annotations

import copy
import json
import random
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from forkproxy.consumer.fixture import FORKPROXY, Entry, Fixture
from forkproxy.model import FRAME_BYTES, FRAME_MS, new_sid

SILENCE = b64encode(b"\xff" * FRAME_BYTES).decode()
CUT = 1006
"""The close code of a connection that was cut; it never stands in a frame."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong on the way."""

    jitter_ms: float = 0.0
    """Each message comes up to so much later; their order stays."""
    loss: float = 0.0
    """The share of media messages, 0 to 1, that a slow consumer has lost: chunk and timestamp jump."""
    slow_start_ms: float = 0.0
    """The connection stands so late; the audio of that time then comes at once."""
    disconnect_ms: float | None = None
    """The connection is cut, without a word, at this time of the stream."""
    duplicate_marks: bool = False
    """Each mark comes back twice."""


@dataclass(frozen=True, slots=True)
class Script:
    """How a fixture is to be played."""

    bidirectional: bool = False
    """The server may answer; marks come back as its audio is played, not as recorded."""
    linger_ms: float = 0.0
    """Before stop, so much silence, for servers that are still speaking."""
    keep_sids: bool = False
    """The stream's and the call's are the fixture's. By default they are new, as each call has its own."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Added to start's customParameters."""
    faults: Faults = Faults()
    seed: int = 0
    """Of what goes wrong by chance."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to send."""

    ms: float
    message: dict[str, Any] | None = None
    """Its sequenceNumber is filled in when it is sent."""
    raw: str | bytes | None = None
    """Sent as it stands."""
    close: int | None = None
    """The end, with this code; `CUT`: without a word."""


def steps(fixture: Fixture, script: Script) -> list[Step]:
    """Everything to send, in order."""
    dice = random.Random(script.seed)
    sids: dict[str, str] = {}
    made: list[Step] = []
    for entry in _lingering(fixture, script.linger_ms):
        step = _step(entry, script, sids)
        if step is not None:
            made.append(step)
    return _with_faults(made, script.faults, dice)


def _step(entry: Entry, script: Script, sids: dict[str, str]) -> Step | None:
    if entry.close is not None:
        return Step(entry.ms, close=entry.close)
    if entry.message is None:
        return Step(entry.ms, raw=entry.content)
    message = copy.deepcopy(entry.message)
    if message.get("event") == "mark" and script.bidirectional:
        return None
    if not script.keep_sids:
        _rename(message, sids)
    start = message.get("start")
    if script.parameters and message.get("event") == "start" and isinstance(start, dict):
        start["customParameters"] = {**(start.get("customParameters") or {}), **script.parameters}
    return Step(entry.ms, message=message)


def _rename(message: dict[str, Any], sids: dict[str, str]) -> None:
    """New sids for streamSid and callSid, wherever they stand; the same ones throughout."""
    for key, value in message.items():
        if isinstance(value, dict):
            _rename(value, sids)
        elif key in ("streamSid", "callSid") and isinstance(value, str):
            message[key] = sids.setdefault(value, new_sid("MZ" if key == "streamSid" else "CA"))


def _lingering(fixture: Fixture, linger_ms: float) -> Iterator[Entry]:
    """forkproxy's part of the fixture, with silence before its stop."""
    last: dict[str, dict[str, Any]] = {}
    shift = 0.0
    for entry in fixture.entries:
        if entry.by != FORKPROXY:
            continue
        message = entry.message or {}
        if message.get("event") == "media" and isinstance(message.get("media"), dict):
            last[str(message["media"].get("track"))] = message
        if message.get("event") == "stop" and linger_ms > 0:
            for number in range(1, int(linger_ms) // FRAME_MS + 1):
                for template in last.values():
                    yield Entry(
                        ms=entry.ms + number * FRAME_MS, by=FORKPROXY, message=_quiet(template, number)
                    )
            shift = linger_ms
        yield entry.model_copy(update={"ms": entry.ms + shift})


def _quiet(template: dict[str, Any], number: int) -> dict[str, Any]:
    """20 ms of silence, `number` frames behind `template`."""
    media = dict(template["media"])
    for key, step in (("chunk", 1), ("timestamp", FRAME_MS)):
        if str(media.get(key, "")).isdigit():
            media[key] = str(int(media[key]) + number * step)
    return {**template, "media": {**media, "payload": SILENCE}}


def _with_faults(made: list[Step], faults: Faults, dice: random.Random) -> list[Step]:
    result: list[Step] = []
    before = 0.0
    for step in made:
        if faults.disconnect_ms is not None and step.ms >= faults.disconnect_ms:
            break
        if faults.loss and _is_media(step) and dice.random() < faults.loss:
            continue
        ms = max(before, step.ms + dice.uniform(0, faults.jitter_ms), faults.slow_start_ms)
        before = ms
        result.append(Step(ms, step.message, step.raw, step.close))
    if faults.disconnect_ms is not None:
        result.append(Step(max(before, faults.disconnect_ms), close=CUT))
    elif not result or result[-1].close is None:  # a recording that was broken off
        result.append(Step(before, close=1000))
    return result


def _is_media(step: Step) -> bool:
    return step.message is not None and step.message.get("event") == "media"


def encode(message: Mapping[str, Any]) -> str:
    """As forkproxy writes it: ASCII, without spaces."""
    return json.dumps(message, separators=(",", ":"))
