"""A phone that talks, and a link that spoils it: pure, seeded, by simulated time in nanoseconds.

What the phone says carries its own time: at every full second a *word*, 160 octets of the second's number;
all else is silence. Wherever a word turns up, one can tell when it was spoken.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

MS = 1_000_000
SECOND = 1000 * MS
WORD = 160
"""Octets of a word."""
NUMBERS = 100
"""Words that can be told apart: what is further away than half of that many seconds is another one."""


class Packet(NamedTuple):
    """A packet on its way."""

    at: int
    """When it is sent, or arrives."""
    source: int
    sequence: int
    timestamp: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Talker:
    """A phone, and the liberties that it takes."""

    seed: int = 0
    ppm: float = 0.0
    """By how much its clock is fast."""
    ptime: int = 20
    first: int = 5 * MS
    """When it sends its first packet."""
    pauses: tuple[tuple[float, float], ...] = ()
    """From and to, in seconds: nothing is sent (DTX); sequence numbers go on, timestamps leap."""
    restarts: tuple[float, ...] = ()
    """When it begins a new stream: another SSRC, other numbers."""
    leaps: tuple[float, ...] = ()
    """When its timestamps leap, and nothing else."""

    def packets(self, seconds: float) -> Iterator[Packet]:
        """What it sends."""
        chance = random.Random(self.seed)
        rate = 1 + self.ppm / 1e6
        samples = self.ptime * 8
        audio = bytearray(b"\xff") * (round(seconds * 8000 * rate) + 8000)
        for second in range(1, int(seconds) + 1):
            at = round((second * SECOND - self.first) * rate / 125_000)
            audio[at : at + WORD] = bytes([second % NUMBERS]) * WORD
        source, sequence, shift = 1, chance.randrange(2**16), chance.randrange(2**32)
        restarts, leaps = list(self.restarts), list(self.leaps)
        n = 0
        while (at := self.first + round(n * self.ptime * MS / rate)) < seconds * SECOND:
            if restarts and at >= restarts[0] * SECOND:
                restarts.pop(0)
                source, sequence, shift = source + 1, chance.randrange(2**16), chance.randrange(2**32)
            if leaps and at >= leaps[0] * SECOND:
                leaps.pop(0)
                shift += chance.choice([-1, 1]) * chance.randrange(50_000, 2**30)
            if not any(begin * SECOND <= at < end * SECOND for begin, end in self.pauses):
                payload = bytes(audio[n * samples : (n + 1) * samples])
                yield Packet(at, source, sequence, (n * samples + shift) % 2**32, payload)
                sequence = (sequence + 1) % 2**16
            n += 1


@dataclass(frozen=True, slots=True)
class Link:
    """What becomes of packets on their way."""

    seed: int = 0
    delay_ms: float = 20.0
    jitter_ms: float = 0.0
    """Added to the delay, evenly between 0 and this."""
    loss: float = 0.0
    bursts: float = 0.0
    """How likely a packet begins a loss of five in a row."""
    duplication: float = 0.0
    reordering: float = 0.0
    """How likely a packet takes a way that is 25 ms longer."""

    def carry(self, packets: Iterable[Packet]) -> list[Packet]:
        """What arrives, in that order."""
        chance = random.Random(self.seed)
        arrivals = []
        burst = 0
        for packet in packets:
            burst = 5 if chance.random() < self.bursts else max(burst - 1, 0)
            copies = 0 if burst or chance.random() < self.loss else 1 + (chance.random() < self.duplication)
            for _ in range(copies):
                way = self.delay_ms + chance.uniform(0, self.jitter_ms)
                way += 25 * (chance.random() < self.reordering)
                arrivals.append(packet._replace(at=packet.at + round(way * MS)))
        return sorted(arrivals, key=lambda packet: packet.at)


class TrackClock(Protocol):
    """The relay's clock, or its twin."""

    @property
    def due(self) -> int: ...

    def cut(self) -> tuple[int, bytes]: ...

    def push(
        self, source: int, sequence: int, timestamp: int, payload: bytes, now: int, alaw: bool = False
    ) -> None: ...


def drive(clock: TrackClock, arrivals: Iterable[Packet], until: int) -> list[tuple[int, bytes]]:
    """Hand the packets to a clock as the relay does; the frames: flags and octets."""
    frames = []
    for packet in arrivals:
        if packet.at > until:
            break
        while clock.due <= packet.at:
            frames.append(clock.cut())
        clock.push(packet.source, packet.sequence, packet.timestamp, packet.payload, packet.at)
    while clock.due <= until:
        frames.append(clock.cut())
    return frames


def words(track: bytes, seconds: int, slack_ms: int = 400) -> dict[int, int]:
    """Where the words lie on a track that are there as a whole: the second's number, and the time in ns."""
    found = {}
    for second in range(1, seconds):
        middle, slack = second * 8000, slack_ms * 8
        at = track.find(bytes([second % NUMBERS]) * WORD, max(middle - slack, 0), middle + slack + WORD)
        if at >= 0:
            found[second] = at * 125_000
    return found
