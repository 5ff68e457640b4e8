"""The relay's rules once more, in plain Python: what ext/media must agree with, packet for packet.

tests/media drives both with the same traffic. Written to be read; nothing at run time uses it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from operator import mul

from forkproxy.media.figures import TrackFigures
from forkproxy.media.g711 import decode_alaw_sample, decode_ulaw_sample, encode_ulaw_sample
from forkproxy.model import FRAME_BYTES, FrameFlag

SILENCE = 0xFF
FRAME_NS = 20_000_000
SAMPLE_NS = 125_000


@dataclass(frozen=True, slots=True)
class RtpHeader:
    """An RTP packet's fixed header, and where its payload lies (RFC 3550 section 5.1)."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: int
    """Offset of the payload."""
    length: int
    """Octets of payload, padding excluded."""


def parse_rtp(packet: bytes) -> RtpHeader:
    """Read and check a packet.

    Raises:
        ValueError: it is shorter than its header says, not of version 2, badly padded, or RTCP.
    """
    if len(packet) < 12:
        raise ValueError("shorter than the fixed header")
    first, second, sequence, timestamp, ssrc = struct.unpack_from(">BBHII", packet)
    if first >> 6 != 2:
        raise ValueError("not version 2")
    if 192 <= second <= 223:
        raise ValueError("an RTCP packet")
    payload = 12 + 4 * (first & 15)
    if first & 0x10:
        if len(packet) < payload + 4:
            raise ValueError("the extension's header is cut off")
        payload += 4 + 4 * int(struct.unpack_from(">H", packet, payload + 2)[0])
    end = len(packet)
    if payload > end:
        raise ValueError("cut off before the payload")
    if first & 0x20:
        padding = packet[-1] if payload < end else 0
        if not 1 <= padding <= end - payload:
            raise ValueError("the padding's length is impossible")
        end -= padding
    return RtpHeader(second & 127, second > 127, sequence, timestamp, ssrc, payload, end - payload)


def _difference(a: int, b: int, bits: int) -> int:
    """a - b where numbers wrap around at 2 to the power of `bits`."""
    half = 1 << (bits - 1)
    return (a - b + half) % (1 << bits) - half


def _divide(a: int, b: int) -> int:
    """As C divides: towards 0."""
    return a // b if a >= 0 else -(-a // b)


class Concealment:
    """What goes on in a hole behind 280 places of linear samples; the rules are in ext/media/conceal.pxd."""

    def __init__(self, history: list[int], scale: int) -> None:
        def likeness(lag: int) -> float:
            newest, before = history[-160 * scale :: scale], history[-160 * scale - lag : -lag : scale]
            product, energy = sum(map(mul, newest, before)), sum(map(mul, before, before))
            return float(product) * float(product) / float(energy) if product > 0 and energy else 0.0

        def best(lags: range, first: tuple[float, int]) -> tuple[float, int]:
            """The likeliest lag; `first`, or the first of several, where none is likelier."""
            for lag in lags:
                if (found := likeness(lag)) > first[0]:
                    first = found, lag
            return first

        shortest, longest = 40 * scale, 120 * scale
        most, period = best(range(shortest, longest + 1, 2 * scale), (0.0, longest))
        around = range(max(period - 2 * scale + 1, shortest), min(period + 2 * scale - 1, longest) + 1)
        self.period = period = best(around, (most, period))[1]
        self.jump = history[-1] - history[-1 - period]
        self.blend = blend = period // 4
        self.cycle = history[-period:]
        for n in range(blend):
            ends, begins = history[n - blend], history[n - blend - period]
            self.cycle[n - blend] = _divide(ends * (blend - n) + begins * (n + 1), blend + 1)

    def sample(self, number: int) -> int:
        """A sample of the hole, from 0."""
        fade = _divide(self.jump * max(self.blend - number, 0), self.blend + 1)
        return self.cycle[number % self.period] + fade


@dataclass(slots=True)
class TrackClock:
    """One track's timeline; the rules are in ext/media/clock.pxd. Times are nanoseconds of any clock."""

    window_ms: int = 60
    start: int = 0
    unit: int = 1
    """Octets at a place of 125 us: 1 of mu-law, or linear samples of two octets each."""
    emitted: int = 0
    source: int | None = None
    sequence: int = 0
    timestamp: int = 0
    position: int = 0
    end: int = 0
    late_since: int | None = None
    block_start: int = 0
    block: list[int] = field(default_factory=list)
    """By how much each packet of the block was ahead of the timeline."""
    heard: dict[int, bytes] = field(default_factory=dict)
    """Position to what was heard there."""
    quiet: set[int] = field(default_factory=set)
    past: bytes = b""
    """The two frames that were cut last."""
    concealment: Concealment | None = None
    faded: int = 480
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(TrackFigures.__dataclass_fields__, 0)
    )

    @property
    def room(self) -> range:
        """The positions that may be written."""
        frames = -(-self.window_ms // 20) + 26
        return range(self.emitted * FRAME_BYTES, (self.emitted + frames) * FRAME_BYTES)

    @property
    def due(self) -> int:
        """When the next frame is to be cut."""
        return self.start + (self.emitted + 1) * FRAME_NS + self.window_ms * 1_000_000

    @property
    def figures(self) -> dict[str, int]:
        """As the relay counts them."""
        return self.counts

    def push(
        self, source: int, sequence: int, timestamp: int, payload: bytes, now: int, alaw: bool = False
    ) -> None:
        """A packet arrives."""
        if not payload:
            return
        if alaw:
            payload = bytes(encode_ulaw_sample(decode_alaw_sample(code)) for code in payload)
        length = len(payload) // self.unit
        newest = True
        if source != self.source:
            position = self._afresh(now)
            self.source = source
        else:
            newest = _difference(sequence, self.sequence, 16) > 0
            position = self.position + _difference(timestamp, self.timestamp, 32)
            ahead = position * SAMPLE_NS - (now - self.start)
            off = ahead < -1_000_000_000 or position + length > self.room.stop
            if not newest:
                if off or position + length <= self.room.start:
                    self.counts["late"] += 1
                    return
            elif off:
                position = self._jump(now)
            else:
                corrected = self._drift(ahead, now)
                position += corrected * FRAME_BYTES
                if position + length > self.room.start:
                    self.late_since = None
                    if not corrected and sequence == (self.sequence + 1) & 0xFFFF:
                        self._mark_quiet(self.end, position)
                elif self.late_since is not None and now - self.late_since >= 100_000_000:
                    position = self._jump(now)
                else:
                    self.late_since = now if self.late_since is None else self.late_since
                    self.counts["late"] += 1
        if newest:
            self.sequence, self.timestamp, self.position = sequence, timestamp, position
        for n, at in enumerate(range(position, position + length)):
            if at in self.room:
                self.heard[at] = payload[n * self.unit : (n + 1) * self.unit]
                self.quiet.discard(at)
                self.end = max(self.end, at + 1)

    def skip(self, source: int, sequence: int, now: int) -> None:
        """A packet arrives that took the place of audio."""
        if source != self.source or _difference(sequence, self.sequence, 16) <= 0:
            return
        if sequence == (self.sequence + 1) & 0xFFFF:
            self._mark_quiet(self.end, ((now - self.start) // FRAME_NS + 1) * FRAME_BYTES)
        self.sequence = sequence

    def cut(self) -> tuple[int, bytes]:
        """The next frame's flags and octets."""
        positions = range(self.emitted * FRAME_BYTES, (self.emitted + 1) * FRAME_BYTES)
        faded_out = self.faded >= 480
        frame = bytearray()
        behind: int | None = None
        for at in positions:
            if at in self.heard:
                self.faded = 0
                frame += self.heard[at]
            elif at in self.quiet:
                self.faded = 480
                frame += self._silence
            else:
                if behind is None or behind <= at:
                    ahead = range(at + 1, min(positions.stop + 80, self.end))
                    behind = next(
                        (each for each in ahead if each in self.heard or each in self.quiet), 1 << 62
                    )
                if self.faded == 0:
                    self._lose(self.past + frame)
                frame += self._fill(at, behind)
        self.past = (self.past + bytes(frame))[-2 * FRAME_BYTES * self.unit :]
        received = sum(at in self.heard for at in positions)
        holes = sum(at not in self.heard and at not in self.quiet for at in positions)
        self.emitted += 1
        for at in positions:
            self.heard.pop(at, None)
            self.quiet.discard(at)
        if received == FRAME_BYTES:
            flag = FrameFlag.RECEIVED
        elif received or (holes and (self.end > positions.stop or not faded_out)):
            flag = FrameFlag.CONCEALED
        else:
            flag = FrameFlag.SILENCE
        self.counts[str(flag.name).lower()] += 1
        return int(flag), bytes(frame)

    @property
    def _silence(self) -> bytes:
        return bytes([SILENCE]) if self.unit == 1 else bytes(self.unit)

    def _linear(self, octets: bytes) -> list[int]:
        if self.unit == 1:
            return [decode_ulaw_sample(octet) for octet in octets]
        return [sample for (sample,) in struct.iter_unpack("<h", octets)]

    def _lose(self, before: bytes) -> None:
        """A hole begins behind all that was cut."""
        scale = max(self.unit // 2, 1)
        history = self._linear(before[-280 * self.unit :])
        self.concealment = Concealment([0] * (280 * scale - len(history)) + history, scale)

    def _fill(self, at: int, behind: int) -> bytes:
        """What a position in a hole that goes on to `behind` is filled with."""
        scale = max(self.unit // 2, 1)
        made = [self._sample(at * scale + n, self.faded * scale + n, behind, scale) for n in range(scale)]
        self.faded = min(self.faded + 1, 480)
        if self.unit == 1:
            return bytes([encode_ulaw_sample(made[0])])
        return struct.pack(f"<{scale}h", *(max(-32768, min(32767, each)) for each in made))

    def _sample(self, at: int, number: int, behind: int, scale: int) -> int:
        sample, fade = 0, 480 * scale
        if number < fade and self.concealment is not None:
            sample = _divide(self.concealment.sample(number) * (fade - number), fade)
        left = behind * scale - at
        if self.concealment is None or left > 80 * scale or behind not in self.heard:
            return sample
        following = at + -(-left // self.concealment.period) * self.concealment.period
        if following >= self.end * scale or following // scale not in self.heard:
            return sample
        value = self._linear(self.heard[following // scale])[following % scale]
        return _divide(sample * left + value * (80 * scale + 1 - left), 80 * scale + 1)

    def _jump(self, now: int) -> int:
        self.counts["jumps"] += 1
        return self._afresh(now)

    def _afresh(self, now: int) -> int:
        position = max((now - self.start) // FRAME_NS, self.emitted) * FRAME_BYTES
        behind = -(-self.end // FRAME_BYTES) * FRAME_BYTES
        if position < behind <= position + 2 * FRAME_BYTES:
            position = behind
        self._mark_quiet(self.end, position)
        self.end = position
        self.late_since = None
        self.block_start, self.block = now, []
        return position

    def _drift(self, ahead: int, now: int) -> int:
        self.block.append(ahead)
        if len(self.block) < 20 or now - self.block_start < 4_000_000_000:
            return 0
        best = max(self.block)
        self.block_start, self.block = now, []
        if best > 8_000_000:
            frames = best // FRAME_NS + 1
            self.counts["dropped"] += frames
            return -frames
        if best < -28_000_000:
            frames = -best // FRAME_NS
            self.counts["inserted"] += frames
            return frames
        return 0

    def _mark_quiet(self, start: int, end: int) -> None:
        for at in range(max(start, self.room.start), min(end, self.room.stop)):
            if at not in self.heard:
                self.quiet.add(at)


@dataclass(slots=True)
class EventReceiver:
    """Key presses in telephone-event packets; the rules are in ext/media/dtmf.pxd."""

    source: int | None = None
    timestamp: int = 0
    event: int = 0
    active: bool = False
    before: int = 0
    duration: int = 0
    heard: int = 0

    def packet(
        self, source: int, timestamp: int, marker: bool, payload: bytes, now: int
    ) -> tuple[int, int] | None:
        """A packet arrives; the event that is over with it and its duration in units of its clock.

        Raises:
            ValueError: it is too short.
        """
        if len(payload) < 4:
            raise ValueError("shorter than an event")
        event, flags, duration = struct.unpack_from(">BBH", payload)
        if event > 16:
            return None
        step = _difference(timestamp, self.timestamp, 32)
        same = source == self.source
        if same and -480_000 < step < 0:
            return None
        over = None
        if not same or step:
            goes_on = same and self.active and step == 0xFFFF and event == self.event and not marker
            if not goes_on:
                over = self._finish()
            self.before = self.before + 0xFFFF if goes_on else 0
            self.source, self.timestamp, self.event, self.duration = source, timestamp, event, 0
            self.active = True
        if self.active:
            self.heard, self.duration = now, max(self.duration, duration)
            if flags & 0x80 and over is None:
                over = self._finish()
        return over

    def silence(self, now: int) -> tuple[int, int] | None:
        """Time goes by."""
        return self._finish() if self.active and now - self.heard >= 150_000_000 else None

    def _finish(self) -> tuple[int, int] | None:
        if not self.active:
            return None
        self.active = False
        return self.event, self.before + self.duration
