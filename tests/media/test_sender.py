"""Attached taps: native code gets every moment once, and Python exactly those that it did not get."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable

import pytest

from forkproxy.media import MediaEngine
from forkproxy.model import Frame, FrameFlag, Track
from tests.media.phones import Phone, frame, pair, rtp
from tests.media.sinks import RecordingSink
from tests.support.processes import until

Make = Callable[..., Phone]


async def talk(phone: Phone, first: int, count: int) -> None:
    for number in range(first, first + count):
        phone.send(rtp(number, frame(number)))
        await asyncio.sleep(0.02)


async def test_a_sink_gets_what_a_reading_tap_hears(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, _ = await pair(engine, phone)
    heard: list[Frame] = []
    rest: list[Frame] = []
    sink = RecordingSink()
    reading, attached = a.tap(heard.extend), a.tap(rest.extend)
    assert attached.attach(sink.capsule)
    assert not attached.attach(sink.capsule), "it is attached already"
    assert engine.counters()["taps_attached"] == 1
    await talk(alice, 0, 15)
    figures, before = attached.close(), len(sink.heard)
    reading.close()
    assert before > 10
    sent = [
        Frame(track, moment.number, moment.flags[n], moment.payloads[n] or b"")
        for moment in sink.heard
        for n, track in enumerate(Track)
    ]
    assert attached.sent == len(sent)
    together = min(len(heard), len(sent) + len(rest))
    assert (sent + rest)[:together] == heard[:together]
    assert figures.frames == len(sink.heard) + len(rest) // 2
    assert (
        sum(each.flags == FrameFlag.RECEIVED for each in sent + rest if each.track is Track.INBOUND)
        == (figures.received[Track.INBOUND])
    )
    assert rest, "the last frames, which the window held back, come by Python"
    assert len(sink.heard) == before, "it gets nothing after the tap's end"
    assert engine.counters()["taps_attached"] == 0
    delays = engine.histograms()["send_lateness_seconds"]
    assert sum(delays.counts) == before
    assert 0 < sum(engine.histograms()["send_delay_seconds"].counts) <= before
    a.close(), b.close()


async def test_one_track(engine: MediaEngine) -> None:
    leg = engine.open_leg()
    sink = RecordingSink()
    tap = leg.tap(lambda frames: None, (Track.OUTBOUND,))
    tap.attach(sink.capsule)
    await until(lambda: len(sink.heard) > 3, timeout=5, what="some moments", every=0.01)
    leg.close()
    assert {moment.payloads for moment in sink.heard} == {(None, b"\xff" * 160)}
    assert tap.sent == len(sink.heard)


async def test_what_waited_before_is_handed_over_before(engine: MediaEngine) -> None:
    """Attached in the middle, given back in the middle, again and again: none is missing or comes twice."""
    leg = engine.open_leg()
    heard: list[int] = []
    sinks = [RecordingSink() for _ in range(8)]
    tap = leg.tap(lambda frames: heard.extend(each.number for each in frames[::2]))
    for sink in sinks:
        await asyncio.sleep(0.03)
        assert tap.attach(sink.capsule)
        await asyncio.sleep(0.03)
        tap.detach()
        tap.detach()
    figures = tap.close()
    numbers = heard + [moment.number for sink in sinks for moment in sink.heard]
    assert sorted(numbers) == list(range(figures.frames))
    assert sum(len(sink.heard) for sink in sinks) > 4
    leg.close()


async def test_a_sink_that_refuses_gets_no_more(engine: MediaEngine) -> None:
    leg = engine.open_leg()
    heard: list[int] = []
    sink = RecordingSink(takes=lambda number: number < 4)
    tap = leg.tap(lambda frames: heard.extend(each.number for each in frames[::2]))
    tap.attach(sink.capsule)
    await until(lambda: len(heard) > 3, timeout=5, what="frames by Python", every=0.01)
    assert [moment.number for moment in sink.heard] == [0, 1, 2, 3]
    assert heard[0] == 4
    again = RecordingSink()
    assert tap.attach(again.capsule)
    await until(lambda: len(again.heard) > 2, timeout=5, what="moments by the second sink", every=0.01)
    tap.close()
    everything = [moment.number for moment in sink.heard + again.heard] + heard
    assert sorted(everything) == list(range(len(everything)))
    leg.close()


async def test_masked_frames_are_masked_for_sinks(engine: MediaEngine) -> None:
    leg = engine.open_leg()
    sink = RecordingSink()
    leg.tap(lambda frames: None).attach(sink.capsule)
    leg.mask()
    await until(
        lambda: any(moment.flags == (FrameFlag.MASKED,) * 2 for moment in sink.heard),
        timeout=5,
        what="a masked moment",
        every=0.01,
    )
    leg.close()


async def test_a_slow_sink_loses_its_own_frames_and_delays_nobody() -> None:
    engine = MediaEngine(ports=(42000, 42999))
    engine.start()
    leg = engine.open_leg()
    heard: list[Frame] = []
    slow = RecordingSink(takes=lambda number: number > 0 or time.sleep(3) is None)
    leg.tap(heard.extend)
    tap = leg.tap(lambda frames: None)
    tap.attach(slow.capsule)
    await asyncio.sleep(3.3)
    assert len(heard) > 2 * 150, "another tap of the same leg"
    await until(lambda: len(slow.heard) > 100, timeout=5, what="the rest", every=0.01)
    figures = tap.close()
    assert figures.dropped > 0
    assert figures.dropped % 2 == 0
    assert engine.counters()["frames_dropped"] == figures.dropped
    numbers = [moment.number for moment in slow.heard]
    assert numbers[1] - numbers[0] - 1 == figures.dropped // 2
    leg.close()
    engine.close()


async def test_many_taps_share_the_sender(phone: Make) -> None:
    engine = MediaEngine(ports=(42000, 43999), threads=2)
    engine.start()
    legs = [engine.open_leg() for _ in range(24)]
    sinks = [RecordingSink() for _ in legs]
    for leg, sink in zip(legs, sinks, strict=True):
        assert leg.tap(lambda frames: None).attach(sink.capsule)
    for caller, callee in zip(legs[::2], legs[1::2], strict=True):
        caller.connect(callee)  # which moves the callee to the caller's thread
    await asyncio.sleep(0.3)
    for leg in legs:
        leg.close()
    for sink in sinks:
        assert [moment.number for moment in sink.heard] == list(range(len(sink.heard)))
        assert len(sink.heard) > 5
    assert engine.counters()["taps_attached"] == 0
    engine.close()


async def test_what_is_no_sink(engine: MediaEngine) -> None:
    leg = engine.open_leg()
    tap = leg.tap(lambda frames: None)
    with pytest.raises(ValueError, match="PyCapsule"):
        tap.attach(object())
    with pytest.raises(ValueError, match="a sink of version 9, not 1"):
        tap.attach(RecordingSink(version=9).capsule)
    leg.close()
    assert not tap.attach(RecordingSink().capsule), "the tap is closed"
    tap.detach()


async def test_the_sink_lives_as_long_as_it_is_attached(engine: MediaEngine) -> None:
    leg = engine.open_leg()
    tap = leg.tap(lambda frames: None)
    sink = RecordingSink()
    capsule = sink.capsule
    before = gc.get_referrers(capsule)
    tap.attach(capsule)
    assert len(gc.get_referrers(capsule)) > len(before)
    leg.close()
    assert len(gc.get_referrers(capsule)) == len(before)
