"""Digits in telephone-event packets: one press, one digit, whatever the network does."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.media import Digit, MediaEngine, twins
from forkproxy.media._seams import Digits
from tests.media.phones import Phone, pair, rtp

MS = 1_000_000


def event(digit: int, duration: int, end: bool = False) -> bytes:
    return struct.pack(">BBH", digit, end << 7 | 10, duration)


def press(
    digit: int, timestamp: int, durations: tuple[int, ...] = (160, 320, 480)
) -> list[tuple[int, bytes]]:
    updates = [(timestamp, event(digit, each)) for each in durations]
    return updates + [(timestamp, event(digit, durations[-1] + 160, end=True))] * 3


def told(packets: list[tuple[int, bytes]], gap: int = 20 * MS) -> list[tuple[int, int]]:
    """What a receiver tells of these packets of one source, and of the silence behind them."""
    digits, found = Digits(), []
    for n, (timestamp, payload) in enumerate(packets):
        found.append(digits.packet(1, timestamp, False, payload, n * gap))
    found.append(digits.silence(len(packets) * gap + 1000 * MS))
    return [each for each in found if each is not None]


def test_three_ends_are_one_digit_with_its_duration() -> None:
    assert told(press(5, 1000) + press(5, 3000)) == [(5, 640), (5, 640)]


def test_an_end_that_is_lost_is_made_up_by_the_next_event_or_by_silence() -> None:
    assert told(press(1, 1000)[:3] + press(2, 3000)[:2]) == [(1, 480), (2, 320)]


def test_a_long_event_goes_on_in_another_segment() -> None:
    first = [(1000, event(7, 0xFFFF - 160)), (1000, event(7, 0xFFFF))]
    assert told(first + press(7, 1000 + 0xFFFF)) == [(7, 0xFFFF + 640)]


def test_events_that_are_no_keys_and_short_payloads() -> None:
    assert told([(1000, event(36, 160, end=True))]) == []
    with pytest.raises(ValueError, match="short"):
        Digits().packet(1, 0, False, b"\x01\x80\x00", 0)


@given(st.data())
def test_overtaken_and_repeated_packets_do_not_double_a_digit(data: st.DataObject) -> None:
    packets = press(3, 1000) + press(3, 3000) + press(9, 5000)
    order = sorted(range(len(packets)), key=lambda n: n + data.draw(st.floats(0, 2.9)))
    again = [packets[n] for n in order for _ in range(data.draw(st.integers(1, 2)))]
    assert [digit for digit, _ in told(again)] == [3, 3, 9]


PACKETS = st.tuples(
    st.integers(1, 2),
    st.sampled_from([0, 160, 1000, 1000 + 0xFFFF, 1000 + 2 * 0xFFFF, 500_000, 1 << 31, (1 << 32) - 160]),
    st.booleans(),
    st.one_of(
        st.binary(max_size=9),
        st.builds(event, st.integers(0, 17), st.integers(0, 0xFFFF), st.booleans()),
    ),
    st.integers(0, 200),
)


@given(st.lists(PACKETS, max_size=40))
def test_the_twins_agree(packets: list[tuple[int, int, bool, bytes, int]]) -> None:
    ours, twin, now = Digits(), twins.EventReceiver(), 0
    for source, timestamp, marker, payload, wait in packets:
        now += wait * MS
        assert ours.silence(now) == twin.silence(now)
        results: list[object] = []
        for receiver in (ours, twin):
            try:
                results.append(receiver.packet(source, timestamp, marker, payload, now))
            except ValueError:
                results.append("too short")
        assert results[0] == results[1]


async def test_a_phones_keys_are_told_and_still_reach_the_other_phone(
    engine: MediaEngine, phone: Callable[..., Phone]
) -> None:
    a, alice, b, bob = await pair(engine, phone)
    heard: list[Digit] = []
    over = asyncio.Event()

    def on_digit(digit: Digit) -> None:
        heard.append(digit)
        if digit.key == "!":
            over.set()

    a.on_digit = on_digit
    packets = press(1, 1000) + press(11, 3000) + press(16, 5000)[:3]  # the last one's ends are lost
    for n, (timestamp, payload) in enumerate(packets):
        alice.send(rtp(n, payload, pt=101, ts=timestamp))
        assert (await bob.receive())[12:] == payload
    alice.send(rtp(99, b"\x01\x02\x03", pt=101, ts=9000))
    async with asyncio.timeout(5):
        await over.wait()
    assert heard == [Digit("1", 80.0), Digit("#", 80.0), Digit("!", 60.0)]
    assert "#" not in repr(heard)
    assert engine.counters()["malformed_events"] == 1
    assert engine.counters()["events_lost"] == 0
    a.close(), b.close()


async def test_a_phone_that_presses_without_measure_is_heard_25_times_a_second(
    engine: MediaEngine, phone: Callable[..., Phone]
) -> None:
    a, alice, b, bob = await pair(engine, phone)
    heard: list[Digit] = []
    a.on_digit = heard.append
    for n in range(100):
        alice.send(rtp(n, event(1, 160, end=True), pt=101, ts=1000 * n))
    for _ in range(100):  # they are forwarded all the same
        assert len(await bob.receive()) == 16
    async with asyncio.timeout(5):
        while len(heard) + engine.counters()["digits_untold"] < 100:
            await asyncio.sleep(0.01)
    assert 25 <= len(heard) < 100  # more than 25 only where this took longer than a second
    assert len(heard) + engine.counters()["digits_untold"] == 100
    assert engine.counters()["events_lost"] == 0
    a.close(), b.close()
