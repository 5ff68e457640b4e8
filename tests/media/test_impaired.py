"""Links that lose, delay, double and reorder, phones whose clocks are off: both tracks keep one time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import closing

import pytest

from forkproxy.media import MediaEngine
from forkproxy.media._seams import TrackClock
from forkproxy.model import Frame, FrameFlag, Track
from tests.media.phones import Phone, pair, rtp
from tests.support.impair import MS, SECOND, Link, Packet, Talker, drive, words

MINUTES = 10
SETTLING = 5
"""Seconds after a restart or a leap in which a track may still be off by the jitter of one packet: the clock
compares itself with the best packet of four seconds."""
APART = 40 * MS
"""Cutting packets into frames moves a track by less than a frame, drift by less than another."""

CLEAN = (Talker(), Link()), (Talker(seed=1, first=17 * MS), Link(seed=1))
LINKS = {
    "clean": CLEAN,
    "loss": (
        (Talker(), Link(loss=0.05, bursts=0.005)),
        (Talker(seed=1, first=24 * MS), Link(seed=1, loss=0.1, bursts=0.01)),
    ),
    "jitter": (
        (Talker(), Link(jitter_ms=50)),
        (Talker(seed=1, first=11 * MS), Link(seed=1, jitter_ms=30, reordering=0.05, duplication=0.05)),
    ),
    "drift": (
        (Talker(ppm=200), Link(jitter_ms=10)),
        (Talker(seed=1, ppm=-200, first=19 * MS), Link(seed=1, jitter_ms=10)),
    ),
    "packets of 10 and 60 ms": (
        (Talker(ptime=10, ppm=50), Link(jitter_ms=20, loss=0.02)),
        (Talker(seed=1, ptime=60, ppm=-50), Link(seed=1, jitter_ms=20, loss=0.02)),
    ),
    "packets of 30 and 40 ms": (
        (Talker(ptime=30), Link(jitter_ms=20, duplication=0.1)),
        (Talker(seed=1, ptime=40), Link(seed=1, jitter_ms=20, reordering=0.1)),
    ),
    "pauses, restarts and leaps": (
        (
            Talker(pauses=tuple((s + 0.5, s + 3.21) for s in range(10, 590, 20)), ppm=80),
            Link(jitter_ms=15, loss=0.01),
        ),
        (
            Talker(seed=1, restarts=tuple(range(35, 580, 60)), leaps=tuple(range(65, 580, 60)), ppm=-80),
            Link(seed=1, jitter_ms=15, loss=0.01),
        ),
    ),
    "everything": (
        (
            Talker(ppm=100, ptime=30, pauses=((100.3, 130.7), (400.1, 401.4)), restarts=(200.0, 300.0)),
            Link(jitter_ms=40, loss=0.05, bursts=0.003, duplication=0.03, reordering=0.03),
        ),
        (
            Talker(seed=1, ppm=-300, first=4321 * MS, leaps=(150.0, 450.0)),
            Link(seed=1, delay_ms=80, jitter_ms=30, loss=0.03, bursts=0.005, duplication=0.1, reordering=0.1),
        ),
    ),
}


@pytest.mark.parametrize("name", LINKS)
def test_ten_minutes_on_both_tracks(name: str) -> None:
    seconds = MINUTES * 60
    leads: list[dict[int, int]] = []
    unsettled: set[int] = set()
    for talker, link in LINKS[name]:
        sent = list(talker.packets(seconds + 1))
        arrivals = link.carry(sent)
        clock = TrackClock(60)
        frames = drive(clock, arrivals, seconds * SECOND + 60 * MS)
        assert len(frames) == seconds * 50
        flags = Counter(flag for flag, _ in frames)
        counted = clock.figures
        assert flags == Counter(
            {
                flag: number
                for flag, number in (
                    (FrameFlag.RECEIVED, counted["received"]),
                    (FrameFlag.CONCEALED, counted["concealed"]),
                    (FrameFlag.SILENCE, counted["silence"]),
                )
                if number
            }
        )
        # Clocks that run apart are all that frames are inserted or left out for (and one packet's jitter,
        # after the timeline has been picked up afresh).
        afresh = len(talker.restarts) + len(talker.leaps)
        moved = counted["dropped"] - counted["inserted"]
        assert abs(moved - talker.ppm * seconds * 50 / 1e6) <= 2 + 2 * afresh
        assert counted["jumps"] == len(talker.leaps)
        heard = words(b"".join(payload for _, payload in frames), seconds)
        leads.append(
            {second: at - second * SECOND - round(link.delay_ms * MS) for second, at in heard.items()}
        )
        for at in (*talker.restarts, *talker.leaps, *(end for _, end in talker.pauses)):
            unsettled |= set(range(int(at), int(at) + SETTLING + 1))
    shared = leads[0].keys() & leads[1].keys()
    assert len(shared) > seconds * 0.6
    apart = {second: abs(leads[0][second] - leads[1][second]) for second in shared}
    assert max(apart[second] for second in shared - unsettled) < APART
    assert max(apart.values()) < APART + 50 * MS


async def test_a_real_relay_between_two_bad_links(phone: Callable[..., Phone]) -> None:
    """Twelve seconds by the wall clock through real sockets, both phones at once."""
    # A wide window: what is late here is to be the link's doing, not that of a busy machine.
    with closing(MediaEngine(ports=(42000, 43999), window_ms=200)) as engine:
        engine.start()
        await two_bad_links(engine, phone, 12)
        assert engine.counters()["rings"] == 0


async def two_bad_links(engine: MediaEngine, phone: Callable[..., Phone], seconds: int) -> None:
    a, alice, b, bob = await pair(engine, phone)
    heard: list[Frame] = []
    tap = a.tap(heard.extend)
    talkers = (
        (Track.INBOUND, a, alice, Talker(ppm=100, pauses=((5.1, 5.9),)), Link(jitter_ms=40, loss=0.05)),
        (
            Track.OUTBOUND,
            b,
            bob,
            Talker(seed=1, ptime=30),
            Link(5, jitter_ms=20, duplication=0.05, reordering=0.05),
        ),
    )

    async def speak(speaker: Phone, arrivals: list[Packet]) -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for packet in arrivals:
            await asyncio.sleep(begin + packet.at / SECOND - loop.time())
            speaker.send(rtp(packet.sequence, packet.payload, ts=packet.timestamp, ssrc=packet.source))

    sent = {track: list(talker.packets(seconds)) for track, _, _, talker, _ in talkers}
    came = {track: link.carry(sent[track]) for track, _, _, _, link in talkers}
    async with asyncio.TaskGroup() as group:
        for track, _, speaker, _, _ in talkers:
            group.create_task(speak(speaker, came[track]))
    await asyncio.sleep(0.4)
    figures = tap.close()
    for track, leg, _, _, _ in talkers:
        frames = [frame for frame in heard if frame.track is track]
        assert [frame.number for frame in frames] == list(range(figures.frames))
        by_flag = [figures.received, figures.concealed, figures.silence]
        flags = [FrameFlag.RECEIVED, FrameFlag.CONCEALED, FrameFlag.SILENCE]
        assert [each[track] for each in by_flag] == [sum(f.flags == flag for f in frames) for flag in flags]
        assert sum(each[track] for each in by_flag) == figures.frames
        # What the link has done is what the figures say; what it lost at either end nobody can know.
        order = [packet.sequence for packet in sent[track]]
        arrived = {packet.sequence for packet in came[track]}
        first, last = min(map(order.index, arrived)), max(map(order.index, arrived))
        counted = leg.figures()
        assert counted.packets_in == len(came[track])
        assert counted.duplicate == len(came[track]) - len(arrived)
        assert counted.lost == last - first + 1 - len(arrived)
        assert counted.reordered > 0
        # Every word whose packets all came is on the track, unless a frame has just been inserted or left out
        # there, or the machine was so busy that packets came late.
        kept = a.figures().inbound if track is Track.INBOUND else a.figures().outbound
        spoilt = kept.inserted + kept.dropped + kept.late + kept.jumps
        near = {
            second: [packet.sequence for packet in sent[track] if abs(packet.at - second * SECOND) <= 60 * MS]
            for second in range(1, seconds - 1)
        }
        whole = {second for second, packets in near.items() if arrived.issuperset(packets)}
        assert len(whole) >= 3
        found = words(b"".join(frame.payload for frame in frames), seconds, 900).keys()
        assert len(whole - found) <= spoilt
