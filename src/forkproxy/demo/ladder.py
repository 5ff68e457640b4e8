"""The ladder of the call: who sent what to whom, in order, SIP and WebSocket and RTP in one picture."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from forkproxy.demo.recording import Message, PhoneReport, Recording, Stream
from forkproxy.model import Track

COLUMNS = ("caller", "forkproxy", "callee", "consumer")
CALLER, PROXY, CALLEE, CONSUMER = range(4)


@dataclass(frozen=True, slots=True)
class Rung:
    """One arrow between two columns."""

    at: float
    """Seconds since the epoch."""
    start: int
    end: int
    label: str
    kind: str
    """``sip``, ``ws``, ``rtp``."""
    literal: str
    """What was sent, or a sentence about it."""
    both_ways: bool = False


def rungs(recording: Recording) -> list[Rung]:
    """Every arrow of the run, in order of time."""
    found = [
        *_sip(recording.caller, CALLER),
        *_sip(recording.callee, CALLEE),
        *_websocket(recording),
        *_speech(recording),
    ]
    return sorted(found, key=lambda rung: rung.at)  # stable: messages of one phone stay in their order


def _sip(phone: PhoneReport, column: int) -> Iterator[Rung]:
    for message in phone.trace:
        start, end = (column, PROXY) if message.sent else (PROXY, column)
        yield Rung(message.at, start, end, message.title, "sip", message.text)


def _websocket(recording: Recording) -> Iterator[Rung]:
    consumer = recording.consumer
    if consumer.opened_at is not None:
        yield Rung(consumer.opened_at, PROXY, CONSUMER, "WebSocket upgrade", "ws", consumer.handshake())
    answered = recording.caller.answered_at or float("inf")
    media: dict[bool, list[tuple[Message, dict[str, Any]]]] = {False: [], True: []}
    for message, body in Stream(consumer).events:
        if body["event"] == "media":
            media[message.at >= answered].append((message, body))
        else:
            yield Rung(message.at, PROXY, CONSUMER, str(body["event"]), "ws", message.text)
    for up, messages in media.items():
        if messages:
            when = "while they talk" if up else "before the call is answered"
            counts = {track: sum(_track(body) == track for _, body in messages) for track in Track}
            said = ", ".join(f"{count} {track}" for track, count in counts.items())
            literal = f"{len(messages)} messages {when}: {said}. The first:\n{messages[0][0].text}"
            yield Rung(messages[0][0].at, PROXY, CONSUMER, f"media × {len(messages)}", "ws", literal)
    if consumer.closed_at is not None:
        label = f"close {consumer.close_code or ''}".rstrip()
        literal = f"close code {consumer.close_code} {consumer.close_reason}".rstrip()
        yield Rung(consumer.closed_at, PROXY, CONSUMER, label, "ws", literal)


def _track(body: dict[str, Any]) -> object:
    media = body.get("media")
    return media.get("track") if isinstance(media, dict) else None


def _speech(recording: Recording) -> Iterator[Rung]:
    begins = [phone.answered_at for phone in recording.phones() if phone.answered_at is not None]
    if len(begins) == 2:
        literal = "Audio by RTP, through forkproxy.\n" + "\n".join(map(_figures, recording.phones()))
        yield Rung(max(begins), CALLER, CALLEE, "speech, both ways (RTP)", "rtp", literal, both_ways=True)


def _figures(phone: PhoneReport) -> str:
    """One phone's RTP in a line."""
    shown = {
        "packets_out": "packets sent",
        "packets_in": "received",
        "lost": "lost",
        "jitter_ms": "ms of jitter",
    }
    parts = [
        f"{round(phone.figures[key], 2):g} {what}" for key, what in shown.items() if key in phone.figures
    ]
    return f"{phone.name}: {', '.join(parts) or 'no packets'}"


def render(ladder: list[Rung], began: float) -> str:
    """The ladder as HTML: one ``<details>`` a rung, which opens to what was sent."""
    return "\n".join(_row(rung, began) for rung in ladder) or '<p class="none">Nothing was sent.</p>'


def _row(rung: Rung, began: float) -> str:
    left, right = sorted((rung.start, rung.end))
    place = f"left:{12.5 + 25 * left:g}%;width:{25 * (right - left):g}%"
    way = "both" if rung.both_ways else "right" if rung.end > rung.start else "left"
    spoken = f"{COLUMNS[rung.start]} {'and' if rung.both_ways else 'to'} {COLUMNS[rung.end]}"
    label = html.escape(rung.label)
    literal = html.escape(readable(rung.literal))
    return (
        f'<details class="rung"><summary><time>{rung.at - began:.3f}</time>'
        f'<span class="lane"><span class="arrow {rung.kind} {way}" style="{place}">'
        f'<span class="sr">{spoken}: </span><b>{label}</b></span></span></summary>'
        f"<pre>{literal}</pre></details>"
    )


def readable(text: str) -> str:
    """A message as sent, its line ends made the page's; JSON stays on its line."""
    return text.replace("\r\n", "\n").rstrip("\n")


def pretty(value: object) -> str:
    """JSON for people."""
    return json.dumps(value, indent=2, ensure_ascii=False)
