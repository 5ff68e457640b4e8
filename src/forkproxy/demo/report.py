"""The page: a recording and its checks as one self-contained HTML file."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Sequence
from importlib.resources import files
from string import Template

from forkproxy.demo import ladder
from forkproxy.demo.checks import Check
from forkproxy.demo.recording import PhoneReport, Recording, Stream
from forkproxy.demo.voices import RATE
from forkproxy.demo.waves import data_uri, path, wav
from forkproxy.model import Track

_MEANING = {
    "connected": "the first message: the protocol and its version",
    "start": "which call and stream, which tracks and format, and the flow's own parameters",
    "media": "20 ms of one track: mu-law, 8 kHz, 160 octets in base64",
    "stop": "the flow or the call ended the stream; the socket is closed after it",
}
_TICK = '<svg viewBox="0 0 16 16" class="pass" role="img" aria-label="passed"><path fill="none" stroke="currentColor" stroke-width="2.4" d="M2 8.5l4 4 8-9"/></svg>'  # noqa: E501
_CROSS = '<svg viewBox="0 0 16 16" class="fail" role="img" aria-label="failed"><path fill="none" stroke="currentColor" stroke-width="2.4" d="M3 3l10 10M13 3l-10 10"/></svg>'  # noqa: E501
_PLAY = '<svg viewBox="0 0 10 10" aria-hidden="true"><path class="one" d="M1 0l9 5-9 5z"/><path class="two" d="M1 0h3v10h-3zM6 0h3v10h-3z"/></svg>'  # noqa: E501


def verdict(checks: Sequence[Check]) -> str:
    """One sentence: how many checks passed."""
    failed = sum(not check.passed for check in checks)
    return f"{failed} of {len(checks)} checks failed" if failed else f"All {len(checks)} checks passed"


def render(recording: Recording, checks: Sequence[Check]) -> str:
    """The page as a string."""
    stream = Stream(recording.consumer)
    page = _Page(recording, stream)
    failed = [check for check in checks if not check.passed]
    template = Template(files("forkproxy.demo").joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=html.escape(f"forkproxy demo: {verdict(checks)}"),
        version=html.escape(recording.version),
        date=time.strftime("%Y-%m-%d %H:%M", time.localtime(recording.started_at)),
        verdict=verdict(checks),
        verdict_class="fail" if failed else "pass",
        verdict_icon=_CROSS if failed else _TICK,
        lede=_lede(recording, stream),
        failures=_failures(failed),
        caller_port=_port(recording.caller.uri),
        callee_port=_port(recording.callee.uri),
        consumer_port=_port(recording.consumer.url),
        proxy_port=_port(recording.proxy.ready.partition(" api=")[0]),
        span=f"{page.span:.3f}",
        ticks=page.ticks(),
        bars=page.bars(),
        tracks=page.streamed(),
        heard=page.heard(),
        checks="\n".join(map(_check, checks)),
        rungs=ladder.render(page.rungs, page.began),
        counts=_counts(stream),
        handshake=html.escape(_handshake(recording)),
        firsts=_firsts(stream, page.began),
        files=_files(recording),
    )


def _lede(recording: Recording, stream: Stream) -> str:
    answered = all(phone.answered_at is not None for phone in recording.phones())
    media = stream.counts.get("media", 0)
    if not answered or not media:
        return (
            "Two phones were to talk through forkproxy while it copied both sides of the call to a WebSocket "
            "server. That did not happen; what did is below."
        )
    return (
        f"Two phones talked for {recording.seconds:g} seconds through forkproxy. While they talked, both "
        f"sides of the call were copied to a WebSocket server: {media:,} messages of audio arrived. Phones, "
        "proxy and server were real processes on this machine; this page is what they wrote down."
    )


def _failures(failed: Sequence[Check]) -> str:
    if not failed:
        return ""
    return '<ul class="checks">' + "".join(map(_check, failed)) + "</ul>"


def _check(check: Check) -> str:
    return (
        f"<li{'' if check.passed else ' class=fail'}>{_TICK if check.passed else _CROSS}<div>"
        f"<b>{html.escape(check.title)}</b><small>{html.escape(check.evidence)}</small></div></li>"
    )


def _port(address: str) -> str:
    """The port of a URI or of a ready line's first address; the last number after a colon."""
    found = re.search(r":(\d+)(?=[^:\d]*(?:,|/|$))", address)
    return found[1] if found else "?"


class _Page:
    """The parts of the page that share the time axis."""

    def __init__(self, recording: Recording, stream: Stream) -> None:
        self.recording = recording
        self.stream = stream
        self.rungs = ladder.rungs(recording)
        self.began = self.rungs[0].at if self.rungs else recording.started_at
        ends = [rung.at for rung in self.rungs]
        if stream.began_at is not None:
            ends += [stream.began_at + len(stream.audio(track)) / RATE for track in Track]
        self.span = max(1.0, max(ends, default=self.began) - self.began)

    def ticks(self) -> str:
        """The labels of the axis: at most ten."""
        step = next(step for step in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 3600) if self.span / step <= 10)
        labels = range(0, int(self.span - step * 0.3) + 1, step)
        return "".join(f'<i style="left:{100 * n / self.span:.2f}%">{n} s</i>' for n in labels)

    def bars(self) -> str:
        """When the call rang and was up, and when the stream ran."""
        recording, rows = self.recording, []
        invite = next((m.at for m in recording.caller.trace if m.sent), None)
        answered, ended = recording.caller.answered_at, recording.caller.ended_at
        if invite is not None and ended is not None:
            spans = [("ringing", "rings", invite, answered or ended)]
            if answered is not None:
                spans.append(("talk", "talk", answered, ended))
            rows.append(self._bar("call", spans))
        start, stop = self.stream.first("start"), self.stream.first("stop")
        if start is not None:
            until = stop[0].at if stop else recording.consumer.closed_at or self.began + self.span
            sid = str(start[1].get("streamSid"))
            rows.append(self._bar("stream", [("stream", f"stream {sid}", start[0].at, until)]))
        return "\n".join(rows)

    def _bar(self, name: str, spans: Sequence[tuple[str, str, float, float]]) -> str:
        parts = ""
        for kind, text, start, end in spans:
            left, width = self._percent(start), self._percent(end) - self._percent(start)
            shown = html.escape(text) if width > 7 else ""  # a letter of a word helps nobody
            style = f"left:{left:.2f}%;width:{width:.2f}%"
            parts += f'<span class="{kind}" style="{style}" title="{html.escape(text)}">{shown}</span>'
        label = f'<div class="name"><b>{name}</b></div>'
        return f'<div class="row barrow">{label}<div class="lane bar">{parts}</div></div>'

    def _percent(self, at: float) -> float:
        return max(0.0, min(100.0, 100 * (at - self.began) / self.span))

    def streamed(self) -> str:
        """The two tracks that the consumer got."""
        begins = self.stream.began_at or self.began
        rows = []
        for track, voice, text in (
            (Track.INBOUND, "caller", "what the caller says"),
            (Track.OUTBOUND, "callee", "what the caller hears"),
        ):
            rows.append(self._track(track, voice, text, self.stream.audio(track), begins, ""))
        return "\n".join(rows)

    def heard(self) -> str:
        """What came out of the phones."""
        return "\n".join(
            self._track(
                f"{phone.name}'s ear",
                voice,
                f"the {voice}'s voice",
                phone.heard,
                self._heard_at(phone),
                " small",
            )
            for phone, voice in ((self.recording.caller, "callee"), (self.recording.callee, "caller"))
        )

    def _heard_at(self, phone: PhoneReport) -> float:
        return self.began if phone.heard_at is None else phone.heard_at

    def _track(self, name: str, voice: str, text: str, audio: bytes, at: float, size: str) -> str:
        width, outline = path(audio)
        left = max(0.0, at - self.began)
        share = 100 * len(audio) / RATE / self.span
        key = html.escape(name, quote=True)
        return (
            f'<div class="row"><div class="name"><button type="button" class="play" data-play="{_key(name)}" '
            f'aria-label="Play {key}">{_PLAY}</button>'
            f"<div><b>{key}</b><small>{html.escape(text)}</small></div></div>"
            f'<div class="lane track {voice}{size}" data-track="{_key(name)}" data-start="{left:.3f}">'
            f'<svg viewBox="0 0 {width} 100" preserveAspectRatio="none" aria-hidden="true" '
            f'style="left:{100 * left / self.span:.3f}%;width:{share:.3f}%"><path d="{outline}"/></svg>'
            f'<audio controls preload="auto" src="{data_uri(wav(audio), "audio/wav")}"></audio></div></div>'
        )


def _key(name: str) -> str:
    """A track's name as one word."""
    return re.sub(r"\W+", "-", name)


def _counts(stream: Stream) -> str:
    rows = []
    for event, count in stream.counts.items():
        meaning = _MEANING.get(event, "not a message that a one-way stream sends")
        if event == "media":
            split = ", ".join(f"{len(media)} {track}" for track, media in stream.media.items())
            meaning = f"{meaning} ({split})"
        cells = f'<td><code>{html.escape(event)}</code></td><td class="n">{count:,}</td>'
        rows.append(f"<tr>{cells}<td>{html.escape(meaning)}</td></tr>")
    return "\n".join(rows) or '<tr><td colspan="3">No message came.</td></tr>'


def _handshake(recording: Recording) -> str:
    consumer = recording.consumer
    return "No WebSocket connection came." if consumer.opened_at is None else consumer.handshake()


def _firsts(stream: Stream, began: float) -> str:
    """The first message of each type, as it came; of media the first of each track."""
    parts = []
    seen: set[tuple[str, str]] = set()
    for message, body in stream.events:
        event = str(body["event"])
        media = body.get("media")
        track = str(media.get("track")) if event == "media" and isinstance(media, dict) else ""
        if (event, track) not in seen:
            seen.add((event, track))
            title = f"The first <code>{html.escape(event)}</code>" + (
                f" of {html.escape(track)}" if track else ""
            )
            parts.append(
                f"<h3>{title}, at {message.at - began:.3f} s</h3><pre>{html.escape(message.text)}</pre>"
            )
    return "\n".join(parts)


def _files(recording: Recording) -> str:
    """The scene's files and the log, folded."""
    documents = (
        ("flow.json", "the flow, as Twilio Studio exports it", ladder.pretty(recording.flow)),
        ("forkproxy.yaml", "the configuration", recording.config),
        ("forkproxy.log", "what forkproxy logged", "\n".join([recording.proxy.ready, *recording.proxy.log])),
    )
    return "\n".join(
        f"<details><summary><code>{name}</code> · {text}</summary><pre>{html.escape(content)}</pre></details>"
        for name, text, content in documents
    )
