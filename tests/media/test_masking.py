"""Masks and holds: which frames they take, by time, and that nothing of what was masked comes out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.errors import MediaError
from forkproxy.media import MediaEngine
from forkproxy.media._seams import MaskedSpans
from forkproxy.model import Frame, FrameFlag, Track
from tests.media.phones import Phone, frame, pair, rtp

Make = Callable[..., Phone]
QUIET = b"\xff" * 160


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=14), st.integers(0, 700))
def test_up_to_eight_spans_are_remembered_to_the_moment(steps: list[tuple[bool, int]], begin: int) -> None:
    spans, moments, now, since = MaskedSpans(), set[int](), 0, None
    for on, wait in steps:
        now += wait
        if on:
            spans.begin(now)
            since = now if since is None else since
        else:
            spans.end(now)
            if since is not None:
                moments |= set(range(since, now + 1))
            since = None
    if since is not None:
        moments |= set(range(since, 800))
    assert spans.touch(begin, begin + 20) == bool(moments & set(range(begin, begin + 20)))


def test_more_spans_than_there_is_room_for_mask_more_rather_than_less() -> None:
    spans = MaskedSpans()
    for n in range(20):
        spans.begin(100 * n)
        spans.end(100 * n + 10)
    assert all(spans.touch(100 * n, 100 * n + 1) for n in range(20))
    assert not any(spans.touch(100 * n + 50, 100 * n + 60) for n in range(13, 20))
    assert spans.touch(50, 60)


def by_track(frames: list[Frame]) -> tuple[list[Frame], list[Frame]]:
    return frames[::2], frames[1::2]


async def test_two_masks_take_their_frames_on_both_tracks_of_every_tap(phone: Make) -> None:
    """The window holds back more than both of them: a frame is judged by its time."""
    engine = MediaEngine(ports=(42000, 43999), window_ms=500)
    engine.start()
    a, alice, _, bob = await pair(engine, phone)
    heard: list[Frame] = []
    late: list[Frame] = []
    tap = a.tap(heard.extend)
    second = None
    reports = []
    masked: list[tuple[int, int]] = []
    for n in range(40):
        alice.send(rtp(n, frame(n)))
        bob.send(rtp(n, frame(n), ssrc=9))
        await asyncio.sleep(0.02)
        if n in (9, 19):
            before = time.monotonic_ns()
            assert a.mask()
            assert not a.mask()
            assert before <= time.monotonic_ns()
        if n == 12:
            second = a.tap(late.extend, (Track.INBOUND,))
        if n in (14, 24):
            report = a.unmask()
            assert report is not None
            assert a.unmask() is None
            reports.append(report)
            masked.append((tap.frame_at(report.first_ns), tap.frame_at(report.last_ns)))
            assert tap.frame_at(time.monotonic_ns()) - masked[-1][1] in (0, 1)
    assert second is not None
    first_late = second.frame_at(reports[1].first_ns)
    assert second.frame_at(reports[0].first_ns) < 0
    figures = tap.close()
    second.close()
    numbers = {n for first, last in masked for n in range(first, last + 1)}
    assert [report.frames for report in reports] == [last - first + 1 for first, last in masked]
    assert all(5 <= report.frames <= 40 for report in reports)
    for frames in by_track(heard):
        assert {each.number for each in frames if each.flags == FrameFlag.MASKED} == numbers
        assert {each.payload for each in frames if each.number in numbers} == {QUIET}
        between = range(masked[0][1] + 1, masked[1][0])
        assert any(each.flags == FrameFlag.RECEIVED for each in frames if each.number in between)
    assert [each.number for each in late if each.flags == FrameFlag.MASKED] == [
        *range(next(n for n, each in enumerate(late) if each.flags != FrameFlag.MASKED)),
        *range(first_late, first_late + reports[1].frames),
    ]
    assert figures.masked == dict.fromkeys(Track, len(numbers))
    assert sum(figures.received.values()) + sum(figures.concealed.values()) > 0
    # The phones notice nothing.
    assert [(await bob.receive())[12:] for _ in range(40)] == [frame(n) for n in range(40)]
    tracks = a.close()
    assert tracks.inbound.masked == tracks.outbound.masked == len(numbers)
    engine.close()


async def test_what_was_masked_does_not_come_back_as_concealment(engine: MediaEngine, phone: Make) -> None:
    """The packets after the mask are lost or short: what fills them in must not be what was masked."""
    a, alice, b, _ = await pair(engine, phone)
    heard: list[Frame] = []
    tap = a.tap(heard.extend, (Track.INBOUND,))
    a.mask()
    for n in range(10):
        alice.send(rtp(n, b"\x00" * 160))
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    a.unmask()
    for n in (17, 19, 21):
        await asyncio.sleep(0.04)
        alice.send(rtp(n, b"\x2a" * 80))
    await asyncio.sleep(0.15)
    figures = tap.close()
    assert figures.masked[Track.INBOUND] >= 10
    assert figures.concealed[Track.INBOUND] >= 3
    said = b"".join(each.payload for each in heard)
    assert b"\x2a" * 80 in said
    assert min(said) >= 0x2A, "louder than anything after the mask"
    a.close(), b.close()


async def test_a_leg_is_masked_before_anybody_taps_it(engine: MediaEngine) -> None:
    leg = engine.open_leg()
    leg.mask()
    heard: list[Frame] = []
    tap = leg.tap(heard.extend)
    await asyncio.sleep(0.15)
    tap.close()
    assert {each.flags for each in heard} == {FrameFlag.MASKED}
    report = leg.unmask()
    assert report is not None
    assert report.frames == 0
    with pytest.raises(MediaError, match="closed"):
        tap.frame_at(report.first_ns)
    leg.close()
    for call in (leg.mask, leg.unmask):
        with pytest.raises(MediaError, match="closed"):
            call()


@pytest.mark.parametrize(
    ("direction", "held"),
    [
        ("recvonly", {Track.INBOUND}),
        ("sendonly", {Track.OUTBOUND}),
        ("inactive", {Track.INBOUND, Track.OUTBOUND}),
    ],
)
async def test_a_hold_keeps_the_timeline(
    engine: MediaEngine, phone: Make, direction: str, held: set[Track]
) -> None:
    a, alice, b, bob = await pair(engine, phone)
    heard: list[Frame] = []
    tap = a.tap(heard.extend)
    on, off = 0, 0
    for n in range(45):
        if n == 15:
            alice.attach(a, direction=direction)
            on = tap.frame_at(time.monotonic_ns())
        if n == 30:
            alice.attach(a)
            off = tap.frame_at(time.monotonic_ns())
        alice.send(rtp(n, frame(n)))
        bob.send(rtp(n, frame(n), ssrc=9))
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    figures = tap.close()
    for track, frames in zip(Track, by_track(heard), strict=True):
        assert [each.number for each in frames] == list(range(len(frames)))
        flags = [each.flags for each in frames]
        # What came before or after and is late or early by a frame is received all the same.
        inside = flags[on + 2 : off - 2]
        if track in held:
            assert set(inside) == {FrameFlag.HELD}
            assert figures.held[track] == flags.count(FrameFlag.HELD) >= len(inside)
            assert FrameFlag.CONCEALED not in flags[: on + 10], "nothing was lost"
            assert {each.payload for each in frames[on + 5 : off - 2]} == {QUIET}
        else:
            assert FrameFlag.HELD not in flags
            assert FrameFlag.RECEIVED in inside
        assert FrameFlag.RECEIVED in flags[:on]
        assert FrameFlag.RECEIVED in flags[off + 1 :]
    tracks = a.close()
    assert tracks.inbound.held == figures.held[Track.INBOUND]
    assert tracks.outbound.held == figures.held[Track.OUTBOUND]
    b.close()


async def test_a_hold_is_no_loss_to_the_phone_that_was_held(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await pair(engine, phone)
    for n in range(3):
        alice.send(rtp(n, frame(n)))
    bob_heard = [await bob.receive() for _ in range(3)]
    bob.attach(b, direction="sendonly")
    for n in range(3, 6):
        alice.send(rtp(n, frame(n)))
    await bob.silence()
    bob.attach(b)
    alice.send(rtp(6, frame(6)))
    bob_heard.append(await bob.receive())
    numbers = [int.from_bytes(packet[2:4]) for packet in bob_heard]
    assert [(each - numbers[0]) % 2**16 for each in numbers] == [0, 1, 2, 3]
    assert bob_heard[3][1] >> 7 == 1
    a.close(), b.close()
