"""A trace as a ladder: who sent what to whom, in order, as text. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from forkproxy.control.pcap import Packet

SYSLOG = 514
"""The port that packets with a stream's events go to: tshark shows them as Syslog, which they are."""
STREAMS = "streams"
"""The name of their column."""
_REQUEST = re.compile(rb"([A-Z]{2,20}) (\S+) SIP/2\.0\r?\n")
_RESPONSE = re.compile(rb"SIP/2\.0 (\d{3}) ?([^\r\n]*)\r?\n")
_CSEQ = re.compile(rb"^CSeq[ \t]*:[ \t]*\d+[ \t]+(\S+)", re.IGNORECASE | re.MULTILINE)
_SDP = re.compile(rb"^(?:Content-Type|c)[ \t]*:[ \t]*application/sdp", re.IGNORECASE | re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
WIDTH = 26
"""Characters from one column to the next."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One arrow."""

    time: float
    source: str
    target: str
    label: str
    text: str
    """What was sent, for those who want all of it."""


def rungs(packets: Iterable[Packet]) -> list[Rung]:
    """The SIP messages and stream events among packets, in order of time."""
    found = []
    for packet in packets:
        if packet.target.port == SYSLOG and packet.data.startswith(b"<"):
            found.append(_event(packet))
        elif (label := title(packet.data)) is not None:
            text = packet.data.decode("utf-8", "backslashreplace")
            found.append(Rung(packet.time, str(packet.source), str(packet.target), label, text))
    return sorted(found, key=lambda rung: rung.time)


def title(message: bytes) -> str | None:
    """A SIP message in a few words, ``INVITE (SDP)`` or ``486 Busy [INVITE]``; None: it is none."""
    described = " (SDP)" if _SDP.search(message) else ""
    if request := _REQUEST.match(message):
        return request[1].decode() + described
    if response := _RESPONSE.match(message):
        method = _CSEQ.search(message)
        to = f" [{method[1].decode('ascii', 'replace')}]" if method else ""
        reason = response[2].decode("utf-8", "replace").strip()[:40]
        return _CONTROL.sub("", f"{response[1].decode()} {reason}{described}{to}")
    return None


def _event(packet: Packet) -> Rung:
    text = packet.data.partition(b": ")[2].decode("utf-8", "replace")
    try:
        event = json.loads(text)
        label = f"{event['event']} {event.get('name') or ''}".strip()
    except (ValueError, KeyError, TypeError, AttributeError):
        label = text[:40]
    return Rung(packet.time, str(packet.source), STREAMS, _CONTROL.sub("", label), text)


def draw(ladder: Sequence[Rung], *, whole: bool = False) -> str:
    """The ladder as text: a column for each address, an arrow for each message, seconds from the first.

    Args:
        whole: with each message below its arrow.
    """
    if not ladder:
        return "no SIP in it\n"
    columns = _columns(ladder)
    places = {name: 12 + WIDTH * index + WIDTH // 2 for index, name in enumerate(columns)}
    lines = [_spread({places[name]: name for name in columns}), _rails(places)]
    for rung in ladder:
        lines.append(_arrow(rung, places, rung.time - ladder[0].time))
        if whole:
            shown = rung.text.replace("\r\n", "\n").rstrip("\n").split("\n")
            lines += ["", *(f"    {_CONTROL.sub('.', line)}" for line in shown), ""]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _columns(ladder: Sequence[Rung]) -> list[str]:
    """Who stands where: the caller, then whom it talks to, then the others; the streams at the right."""
    found = dict.fromkeys(name for rung in ladder for name in (rung.source, rung.target))
    return sorted(found, key=lambda name: name == STREAMS)


def _spread(texts: dict[int, str]) -> str:
    """Each text centred at its place."""
    line = ""
    for place, text in sorted(texts.items()):
        shown = text[: WIDTH - 2]
        line = line.ljust(place - len(shown) // 2) + shown
    return line


def _rails(places: dict[str, int]) -> str:
    return _spread(dict.fromkeys(places.values(), "|"))


def _arrow(rung: Rung, places: dict[str, int], at: float) -> str:
    line = list(_rails(places).ljust(max(places.values()) + 1))
    start, end = places[rung.source], places[rung.target]
    low, high = min(start, end), max(start, end)
    if low == high:  # to itself
        return f"{at:9.3f}  {''.join(line)[11:]} <- {rung.label}"
    label = f" {rung.label} "[: high - low - 3]
    body = label.center(high - low - 1, "-")
    body = body[:-1] + ">" if end > start else "<" + body[1:]
    line[low + 1 : high] = body
    return f"{at:9.3f}  {''.join(line)[11:]}"
