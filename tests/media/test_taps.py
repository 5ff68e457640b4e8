"""Taps: their timeline, their end, and what slowness costs them."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections.abc import Callable

import pytest

from forkproxy.errors import MediaError
from forkproxy.media import MediaEngine, Tap
from forkproxy.model import Frame, FrameFlag, Track
from tests.media.phones import Phone, frame, pair, rtp

Make = Callable[..., Phone]


async def test_a_tap_that_comes_later_begins_at_zero_and_hears_the_same(
    engine: MediaEngine, phone: Make
) -> None:
    a, alice, b, _ = await pair(engine, phone)
    early: list[Frame] = []
    late: list[Frame] = []
    taps = [a.tap(early.extend)]
    for n in range(30):
        if n == 10:
            taps.append(a.tap(late.extend, (Track.INBOUND,)))
        alice.send(rtp(n, frame(n)))
        await asyncio.sleep(0.02)
    for tap in taps:
        tap.close()
    assert late[0].number == 0
    assert {each.track for each in late} == {Track.INBOUND}
    shift = (
        next(n for n, each in enumerate(early[::2]) if each.payload == late[5].payload and each.flags == 1)
        - 5
    )
    assert [each[2:] for each in early[::2][shift : shift + len(late)]] == [each[2:] for each in late]
    a.close(), b.close()


async def test_closing_hands_over_what_the_window_holds_back() -> None:
    engine = MediaEngine(window_ms=500)
    engine.start()
    leg = engine.open_leg()
    heard: list[Frame] = []
    begin = time.monotonic()
    tap = leg.tap(heard.extend)
    attached = time.monotonic()
    await asyncio.sleep(0.4)
    before = time.monotonic()
    figures = tap.close()
    after = time.monotonic()
    # The timeline begins on the relay's 5 ms tick before the call.
    assert int((before - attached) * 50) <= figures.frames <= int((after - begin + 0.005) * 50)
    assert len(heard) == 2 * figures.frames
    assert tap.close() == figures
    engine.close()


async def test_frames_stand_in_pairs_and_know_their_time(engine: MediaEngine) -> None:
    leg = engine.open_leg()
    heard: list[Frame] = []
    leg.tap(heard.extend)
    await asyncio.sleep(0.2)
    leg.close()
    assert len(heard) >= 10
    for inbound, outbound in zip(heard[::2], heard[1::2], strict=True):
        assert (inbound.track, outbound.track) == (Track.INBOUND, Track.OUTBOUND)
        assert inbound.number == outbound.number
        assert inbound.timestamp == inbound.number * 20
    assert isinstance(heard[0], Frame)
    assert heard[0] == Frame(Track.INBOUND, 0, FrameFlag.SILENCE, b"\xff" * 160)
    assert gc.is_tracked(heard[0])


async def test_a_loop_that_stands_still_loses_its_own_frames_and_can_count_them() -> None:
    """The ring holds 2.5 seconds."""
    engine = MediaEngine()
    engine.start()
    leg = engine.open_leg()
    heard: list[Frame] = []
    tap = leg.tap(heard.extend)
    await asyncio.sleep(0.1)
    time.sleep(3)  # noqa: ASYNC251 - that is the fault
    await asyncio.sleep(0.1)
    figures = tap.close()
    assert 20 <= figures.dropped <= 60
    assert engine.counters()["frames_dropped"] == figures.dropped == tap.dropped
    numbers = [each.number for each in heard[::2]]
    assert len(numbers) == figures.frames
    gaps = [after - before for before, after in itertools.pairwise(numbers)]
    assert sorted(gaps)[-2:] == [1, figures.dropped // 2 + 1]
    engine.close()


async def test_a_callback_may_close_taps_and_legs(engine: MediaEngine) -> None:
    leg, other = engine.open_leg(), engine.open_leg()
    calls: list[str] = []
    taps: list[Tap] = []

    def close_everything(frames: list[Frame]) -> None:
        calls.append("first")
        if len(calls) == 1:
            for tap in taps:
                tap.close()
            other.close()
            leg.close()

    taps.append(leg.tap(close_everything))
    taps.append(leg.tap(lambda frames: calls.append("second")))
    other.tap(lambda frames: calls.append("other"))
    await asyncio.sleep(0.15)
    assert calls[0] in ("first", "second", "other")
    assert engine.counters()["taps"] == 0
    count = len(calls)
    await asyncio.sleep(0.05)
    assert len(calls) == count
    assert engine.counters()["callback_errors"] == 0


async def test_a_prompts_end_is_told_once(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, _ = await pair(engine, phone)
    ends: list[str] = []
    a.play(frame(1), on_done=lambda: ends.append("first"))
    a.play(frame(2) * 2, loops=2, on_done=lambda: ends.append("second"))
    # The first prompt may have got a packet out before it was replaced.
    packets = [first] if (first := (await alice.receive())[12:]) == frame(2) else []
    while len(packets) < 4:
        packets.append((await alice.receive())[12:])
    await alice.silence()
    assert packets == [frame(2)] * 4
    assert ends == ["second"]
    stopped = a.play(frame(3) * 50, on_done=lambda: ends.append("third"))
    await alice.receive()
    stopped.stop()
    await asyncio.sleep(0.1)
    a.play(frame(4) * 50, on_done=lambda: ends.append("fourth"))
    a.close(), b.close()
    await asyncio.sleep(0.1)
    assert ends == ["second"]


@pytest.mark.parametrize("ptime", [10, 20, 30, 40, 60])
async def test_a_prompt_keeps_the_phones_packet_time(engine: MediaEngine, phone: Make, ptime: int) -> None:
    a, alice, b, _ = await pair(engine, phone)
    alice.attach(a, ptime=ptime)
    heard: list[Frame] = []
    tap = a.tap(heard.extend, (Track.OUTBOUND,))
    audio = bytes(n % 127 for n in range(960 + 5))
    done = asyncio.Event()
    a.play(audio, on_done=done.set)
    packets = [await alice.receive() for _ in range(-(-len(audio) // (ptime * 8)))]
    await asyncio.wait_for(done.wait(), 1)
    said = b"".join(packet[12:] for packet in packets)
    assert {len(packet) for packet in packets} == {12 + ptime * 8}
    assert said.rstrip(b"\xff") == audio.rstrip(b"\xff")
    await asyncio.sleep(0.1)
    tap.close()
    assert audio[:960] in b"".join(each.payload for each in heard)
    a.close(), b.close()


async def test_a_prompt_in_pcma(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, _ = await pair(engine, phone)
    a.set_remote(alice.address, alice.address, {8: "PCMA", 0: "PCMU"})
    heard: list[Frame] = []
    tap = a.tap(heard.extend, (Track.OUTBOUND,))
    a.play(b"\xff" * 80 + b"\x80" * 80)
    packet = await alice.receive()
    assert packet[1] & 127 == 8
    assert packet[12:] == b"\xd5" * 80 + b"\xaa" * 80
    await asyncio.sleep(0.15)
    tap.close()
    assert b"\xff" * 80 + b"\x80" * 80 in [each.payload for each in heard if each.flags == FrameFlag.RECEIVED]
    a.close(), b.close()


async def test_a_tap_wants_a_track(engine: MediaEngine) -> None:
    leg = engine.open_leg()
    with pytest.raises(MediaError, match="track"):
        leg.tap(lambda frames: None, ())
    with pytest.raises(MediaError, match="loops"):
        leg.play(b"\xff", loops=-1)
    with pytest.raises(MediaError, match="no audio"):
        leg.play(b"")
    leg.close()


async def test_two_silent_legs_are_one_call_to_a_tap(
    engine: MediaEngine, phone: Callable[..., Phone]
) -> None:
    """A recording client sends each track to a leg of its own, and wants nothing back."""
    a, alice, b, bob = await pair(engine, phone)
    a.silence()
    b.silence()
    heard: list[Frame] = []
    tap = a.tap(heard.extend)
    for n in range(20):
        alice.send(rtp(n, frame(n)))
        bob.send(rtp(n, frame(n + 50)))
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
    tap.close()
    tracks = {
        track: [each.payload[0] for each in heard if each.track is track and each.flags & FrameFlag.RECEIVED]
        for track in Track
    }
    assert set(tracks[Track.INBOUND]) <= set(range(20))
    assert set(tracks[Track.OUTBOUND]) <= set(range(50, 70))
    assert min(len(tracks[Track.INBOUND]), len(tracks[Track.OUTBOUND])) > 10
    await alice.silence(0.05)
    await bob.silence(0.05)
    a.close()
    b.close()
