"""The track's clock (ext/media/clock.pxd) by simulated time, and its twin in Python driven alongside."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forkproxy.media import twins
from forkproxy.media._seams import TrackClock
from forkproxy.model import FrameFlag

MS = 1_000_000
RECEIVED, CONCEALED, SILENCE = (
    int(flag) for flag in (FrameFlag.RECEIVED, FrameFlag.CONCEALED, FrameFlag.SILENCE)
)
QUIET = b"\xff" * 160


@dataclass(frozen=True, order=True)
class Packet:
    arrival: int
    sequence: int
    timestamp: int
    payload: bytes
    source: int = 1


def audio(count: int, size: int = 160, seed: int = 1) -> list[bytes]:
    """Payloads that are all different."""
    noise = random.Random(seed)
    return [noise.randbytes(size) for _ in range(count)]


def stream(
    payloads: list[bytes],
    *,
    first: int = 5 * MS,
    ptime: int = 20,
    sequence: int = 65000,
    timestamp: int = 2**32 - 999,
) -> list[Packet]:
    """A perfectly paced sender, whose numbers wrap around soon."""
    return [
        Packet(first + n * ptime * MS, (sequence + n) % 2**16, (timestamp + n * ptime * 8) % 2**32, payload)
        for n, payload in enumerate(payloads)
    ]


def run(clock: TrackClock | twins.TrackClock, packets: list[Packet], until: int) -> list[tuple[int, bytes]]:
    """Deliver the packets by their arrival, cut the frames when they are due, as the relay does."""
    frames = []
    for packet in [*sorted(packet for packet in packets if packet.arrival <= until), None]:
        now = packet.arrival if packet else until
        while clock.due <= now:
            frames.append(clock.cut())
        if packet:
            clock.push(packet.source, packet.sequence, packet.timestamp, packet.payload, packet.arrival)
    return frames


def flags(frames: list[tuple[int, bytes]]) -> list[int]:
    return [flag for flag, _ in frames]


@given(
    first=st.integers(0, 100 * MS),
    window=st.sampled_from([0, 5, 20, 60, 135, 500]),
    count=st.integers(1, 100),
)
def test_a_paced_stream_comes_out_octet_for_octet(first: int, window: int, count: int) -> None:
    payloads = audio(count)
    clock = TrackClock(window)
    frames = run(clock, stream(payloads, first=first), first + count * 20 * MS + window * MS + 200 * MS)
    at = first // (20 * MS)
    assert flags(frames[:at]) == [SILENCE] * at
    assert frames[at : at + count] == [(RECEIVED, payload) for payload in payloads]
    assert flags(frames[at + count : at + count + 3]) == [CONCEALED] * 3
    assert set(frames[at + count + 3 :]) == {(SILENCE, QUIET)}


@given(jitters=st.lists(st.integers(0, 55 * MS), min_size=50, max_size=200))
def test_jitter_within_the_window_changes_nothing(jitters: list[int]) -> None:
    """The first packet is on time; the others come up to a window later, and overtake one another."""
    payloads = audio(len(jitters))
    packets = [
        Packet(packet.arrival + (jitter if n else 0), packet.sequence, packet.timestamp, packet.payload)
        for n, (packet, jitter) in enumerate(zip(stream(payloads, first=0), jitters, strict=True))
    ]
    frames = run(TrackClock(60), packets, len(payloads) * 20 * MS + 60 * MS)
    assert frames == [(RECEIVED, payload) for payload in payloads]


@pytest.mark.parametrize("ptime", [10, 20, 30, 40, 60])
def test_other_packet_times_are_cut_anew(ptime: int) -> None:
    payloads = audio(60, ptime * 8)
    frames = run(TrackClock(60), stream(payloads, ptime=ptime, first=0), 60 * ptime * MS + 60 * MS)
    assert b"".join(payload for flag, payload in frames if flag == RECEIVED) == b"".join(payloads)
    assert len(frames) == 60 * ptime // 20


def test_duplicates_and_late_packets_do_no_harm() -> None:
    payloads = audio(100)
    packets = stream(payloads, first=0)
    twice = [Packet(p.arrival + 7 * MS, p.sequence, p.timestamp, p.payload) for p in packets[::3]]
    late = Packet(
        packets[10].arrival + 200 * MS, packets[10].sequence, packets[10].timestamp, packets[10].payload
    )
    packets.remove(packets[10])
    clock = TrackClock(60)
    frames = run(clock, packets + twice + [late], 100 * 20 * MS + 60 * MS)
    expected = [(RECEIVED, payload) for payload in payloads]
    assert frames[:10] + frames[11:] == expected[:10] + expected[11:]
    assert frames[10][0] == CONCEALED
    assert clock.figures["late"] == 1


def test_a_lost_packet_is_repeated_and_fades() -> None:
    loud = [b"\x80" * 160] * 20  # the loudest sample there is
    packets = [packet for n, packet in enumerate(stream(loud, first=0)) if n not in (10, 11, 12, 13)]
    frames = run(TrackClock(60), packets, 20 * 20 * MS + 60 * MS)
    assert flags(frames) == [RECEIVED] * 10 + [CONCEALED] * 4 + [RECEIVED] * 6
    levels = [twins.decode_ulaw_sample(octet) for _, payload in frames[10:14] for octet in payload]
    assert levels[:560] == sorted(levels[:560], reverse=True)
    assert levels[0] > 30000
    assert levels[480:560] == [0] * 80
    assert levels[560:] == sorted(levels[560:]), "what follows is led over to"
    assert levels[-1] > 30000


def test_a_sender_that_suppresses_silence_loses_nothing() -> None:
    """Sequence numbers go on without a hole, timestamps leap: nothing was sent, nothing was lost."""
    payloads = audio(40)
    before, after = stream(payloads[:20], first=0), payloads[20:]
    paused = [
        Packet(
            (20 + 100 + n) * 20 * MS,
            (before[-1].sequence + 1 + n) % 2**16,
            (before[-1].timestamp + (101 + n) * 160) % 2**32,
            payload,
        )
        for n, payload in enumerate(after)
    ]
    frames = run(TrackClock(60), before + paused, 140 * 20 * MS + 60 * MS)
    assert flags(frames) == [RECEIVED] * 20 + [CONCEALED] * 3 + [SILENCE] * 97 + [RECEIVED] * 20
    assert [payload for _, payload in frames[120:]] == after


def test_a_telephone_event_takes_the_place_of_audio() -> None:
    payloads = audio(20)
    packets = stream(payloads, first=0)
    clock = TrackClock(60)
    frames = []
    for n, packet in enumerate(packets):
        while clock.due <= packet.arrival:
            frames.append(clock.cut())
        if 8 <= n < 13:
            clock.skip(1, packet.sequence, packet.arrival)
        else:
            clock.push(1, packet.sequence, packet.timestamp, packet.payload, packet.arrival)
    while len(frames) < 20:
        frames.append(clock.cut())
    assert flags(frames) == [RECEIVED] * 8 + [SILENCE] * 5 + [RECEIVED] * 7


@pytest.mark.parametrize("leap", [12345, -12345, 2**31 - 5, 80_000, -80_000])
def test_a_leap_of_the_timestamps_loses_no_frame(leap: int) -> None:
    payloads = audio(40)
    packets = [
        Packet(p.arrival, p.sequence, (p.timestamp + (leap if n >= 20 else 0)) % 2**32, p.payload)
        for n, p in enumerate(stream(payloads, first=3 * MS))
    ]
    clock = TrackClock(60)
    assert run(clock, packets, 40 * 20 * MS + 60 * MS) == [(RECEIVED, payload) for payload in payloads]
    assert clock.figures["jumps"] == 1


def test_another_source_goes_on_where_the_first_one_ended() -> None:
    payloads = audio(40)
    packets = [
        Packet(
            p.arrival,
            (p.sequence * (1 + 6 * (n >= 20))) % 2**16,
            p.timestamp ^ (n >= 20) << 30,
            p.payload,
            1 + (n >= 20),
        )
        for n, p in enumerate(stream(payloads, first=3 * MS))
    ]
    packets = packets[:20] + [
        Packet(p.arrival, (77 + n) % 2**16, 5 + n * 160, p.payload, 2) for n, p in enumerate(packets[20:])
    ]
    assert run(TrackClock(60), packets, 40 * 20 * MS + 60 * MS) == [
        (RECEIVED, payload) for payload in payloads
    ]


def test_a_network_that_becomes_slower_is_followed() -> None:
    """From the twentieth packet on everything comes 150 ms later than before: more than the window."""
    payloads = audio(60)
    packets = [
        Packet(p.arrival + 150 * MS * (n >= 20), p.sequence, p.timestamp, p.payload)
        for n, p in enumerate(stream(payloads, first=0))
    ]
    clock = TrackClock(60)
    frames = run(clock, packets, 60 * 20 * MS + 210 * MS)
    assert clock.figures["jumps"] == 1
    assert clock.figures["late"] == 5
    received = [payload for flag, payload in frames if flag == RECEIVED]
    assert received == payloads[:20] + payloads[25:]


def test_a_burst_after_a_stall_keeps_its_place() -> None:
    """200 ms of packets come at once: what is too late is lost, the rest plays when it should."""
    payloads = audio(60)
    packets = [
        Packet(
            max(p.arrival, 40 * 20 * MS) if 30 <= n < 40 else p.arrival, p.sequence, p.timestamp, p.payload
        )
        for n, p in enumerate(stream(payloads, first=0))
    ]
    clock = TrackClock(60)
    frames = run(clock, packets, 60 * 20 * MS + 60 * MS)
    assert len(frames) == 60
    kept = [n for n, (flag, _) in enumerate(frames) if flag == RECEIVED]
    assert kept == [*range(30), *range(37, 60)]
    assert all(frames[n][1] == payloads[n] for n in kept)
    assert clock.figures["jumps"] == 0


@dataclass
class Impairment:
    """A link: what it does to ten minutes of a sender whose clock is off by `ppm`."""

    seed: int
    loss: float = 0.0
    duplication: float = 0.0
    jitter_ms: float = 0.0
    ppm: float = 0.0
    ptime: int = 20
    first: int = 0

    def apply(self, minutes: float) -> list[Packet]:
        chance = random.Random(self.seed)
        packets = []
        payload = bytes(range(160)) * 4
        for n in range(round(minutes * 60_000 / self.ptime)):
            sent = self.first + round(n * self.ptime * MS / (1 + self.ppm / 1e6))
            for _ in range(1 + (chance.random() < self.duplication)):
                if chance.random() >= self.loss:
                    arrival = sent + round(chance.uniform(0, self.jitter_ms) * MS)
                    packets.append(
                        Packet(arrival, n % 2**16, n * self.ptime * 8 % 2**32, payload[: self.ptime * 8])
                    )
        return packets


@pytest.mark.parametrize("ppm", [-500, -100, 0, 100, 500])
def test_drift_does_not_add_up(ppm: int) -> None:
    clock = TrackClock(60)
    frames = run(clock, Impairment(1, ppm=ppm, first=9 * MS).apply(10.1), 600_000 * MS + 60 * MS)
    assert len(frames) == 30_000
    figures = clock.figures
    moved = figures["dropped"] - figures["inserted"]
    assert abs(moved - ppm * 600_000 / 20 / 1e6) <= 2  # 600 s, in frames of 20 ms
    assert (figures["late"], figures["jumps"]) == (0, 0)
    assert figures["concealed"] == figures["inserted"]
    if ppm == 0:
        assert (figures["dropped"], figures["inserted"]) == (0, 0)


@settings(max_examples=15, deadline=None)
@given(
    st.builds(
        Impairment,
        seed=st.integers(0, 1000),
        loss=st.floats(0, 0.3),
        duplication=st.floats(0, 0.3),
        jitter_ms=st.floats(0, 120),
        ppm=st.floats(-300, 300),
        ptime=st.sampled_from([10, 20, 30, 40, 60]),
        first=st.integers(0, 50 * MS),
    )
)
def test_any_link_gives_fifty_frames_a_second(link: Impairment) -> None:
    clock = TrackClock(60)
    frames = run(clock, link.apply(2), 120_000 * MS + 60 * MS)
    assert len(frames) == 6000
    figures = clock.figures
    assert figures["received"] + figures["concealed"] + figures["silence"] == 6000


@pytest.mark.parametrize(("first", "second"), [(100, -100), (300, 0), (-300, 250)])
@pytest.mark.parametrize("phases", [(0, 0), (0, 19), (19, 0), (7, 13)])
def test_two_tracks_stay_together_over_ten_minutes(first: int, second: int, phases: tuple[int, int]) -> None:
    """Two phones speak a word every second; their clocks run apart, their links jitter. What is said at the
    same time differs by a frame at most, besides what cutting 20 ms packets into frames costs.
    """
    leads: list[dict[int, int]] = []
    for ppm, phase in zip((first, second), phases, strict=True):
        clock = TrackClock(60)
        chance = random.Random(ppm)
        packets, spoken = [], {}
        for n in range(30_300):
            sent = phase * MS + round(n * 20 * MS / (1 + ppm / 1e6))
            word, within = divmod(sent, 1000 * MS)
            if within < 20 * MS:
                spoken[word] = sent
            payload = (bytes([word % 100]) if within < 20 * MS else b"\xff") * 160
            packets.append(Packet(sent + round(chance.uniform(0, 20) * MS), n % 2**16, n * 160, payload))
        lead: dict[int, int] = {}
        for number, (flag, payload) in enumerate(run(clock, packets, 600_000 * MS)):
            if flag == RECEIVED and payload[0] != 0xFF:
                word = payload[0] + 100 * round((number / 50 - payload[0]) / 100)
                lead.setdefault(word, number * 20 * MS - spoken[word])
        leads.append(lead)
    shared = leads[0].keys() & leads[1].keys()
    assert len(shared) > 580
    assert max(abs(leads[0][word] - leads[1][word]) for word in shared) < 40 * MS


class Traffic:
    """Hypothesis' idea of what may arrive, fed to the clock and its twin."""

    steps = st.lists(
        st.tuples(
            st.sampled_from(["push", "push", "push", "push", "skip", "jump", "source", "stall"]),
            st.integers(-3, 6),  # how far the sequence number and the timestamp go on
            st.integers(0, 45),  # milliseconds until it arrives
            st.sampled_from([160, 160, 80, 240, 320, 480, 1, 333]),
            st.integers(-200, 200),
            st.booleans(),
        ),
        max_size=120,
    )


@settings(deadline=None)
@given(
    steps=Traffic.steps,
    window=st.sampled_from([0, 20, 60, 75]),
    seed=st.integers(0, 9),
    unit=st.sampled_from([1, 1, 2, 4, 6]),
)
def test_the_twin_agrees(
    steps: list[tuple[str, int, int, int, int, bool]], window: int, seed: int, unit: int
) -> None:
    clocks = TrackClock(window, 0, unit), twins.TrackClock(window, 0, unit)
    payload = random.Random(seed).randbytes(480 * unit)
    now, sequence, timestamp, source = 0, 65530, 2**32 - 2000, 1
    for kind, on, wait, size, leap, alaw in steps:
        now += wait * MS
        while clocks[0].due <= now:
            assert clocks[0].due == clocks[1].due
            assert clocks[0].cut() == clocks[1].cut()
        sequence = (sequence + on) % 2**16
        timestamp = (timestamp + on * 160 + (leap if kind == "jump" and on > 2 else 0)) % 2**32
        if kind == "jump" and leap > 150:
            timestamp = (timestamp + leap * 1000) % 2**32
        if kind == "source":
            source += 1
        if kind == "stall":
            now += abs(leap) * 30 * MS
        for clock in clocks:
            if kind == "skip":
                clock.skip(source, sequence, now)
            else:
                clock.push(source, sequence, timestamp, payload[: size * unit], now, alaw and unit == 1)
    for _ in range(40):
        assert clocks[0].cut() == clocks[1].cut()
    assert clocks[0].figures == clocks[1].figures


@settings(max_examples=5, deadline=None)
@given(
    st.builds(
        Impairment,
        seed=st.integers(0, 1000),
        loss=st.floats(0, 0.2),
        duplication=st.floats(0, 0.2),
        jitter_ms=st.floats(0, 100),
        ppm=st.floats(-20000, 20000),
        ptime=st.sampled_from([10, 20, 30]),
        first=st.integers(0, 50 * MS),
    )
)
def test_the_twin_agrees_on_drift(link: Impairment) -> None:
    clocks = TrackClock(60), twins.TrackClock(60)
    packets = link.apply(0.4)
    frames = [run(clock, packets, 24_000 * MS) for clock in clocks]
    assert frames[0] == frames[1]
    assert clocks[0].figures == clocks[1].figures


def test_a_copy_looks_ahead_without_harm() -> None:
    payloads = audio(6)
    clock = TrackClock(60)
    for packet in stream(payloads, first=0):
        clock.push(1, packet.sequence, packet.timestamp, packet.payload, packet.arrival)
    ahead = clock.copy()
    assert [ahead.cut() for _ in range(6)] == [(RECEIVED, payload) for payload in payloads]
    assert [clock.cut() for _ in range(6)] == [(RECEIVED, payload) for payload in payloads]


def test_sources_that_alternate_still_fill_the_timeline() -> None:
    clock = TrackClock(60)
    packets = [
        Packet(n * 20 * MS, n, n * 160, payload, source)
        for n, (payload, source) in enumerate(zip(audio(50), itertools.cycle([1, 2]), strict=False))
    ]
    assert len(run(clock, packets, 50 * 20 * MS + 60 * MS)) == 50
