"""Figures: the estimate of sound, delays, round trips, and who is silent."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.errors import MediaError
from forkproxy.media import MediaEngine, quality
from forkproxy.media._relay import DELAY_NAMES, HISTOGRAM_BOUNDS
from forkproxy.media._seams import RoundTrips
from forkproxy.model import Frame
from tests.media.phones import Phone, frame, pair, rtp

Make = Callable[..., Phone]
MS = 1_000_000


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("rating", "expected"),
    [(0, 1.0), (50, 2.58), (60, 3.10), (70, 3.60), (80, 4.03), (90, 4.34), (93.2, 4.41), (100, 4.5)],
)
def test_opinions_are_those_of_g107(rating: float, expected: float) -> None:
    """Table B.1 of ITU-T G.107, and the value of its defaults."""
    assert quality.opinion(rating) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("delay_ms", "expected"), [(0, 0), (100, 0), (150, 0.55), (200, 3.0), (300, 14.6), (400, 24.1)]
)
def test_delay_costs_what_g107_says(delay_ms: float, expected: float) -> None:
    assert quality.delay_impairment(delay_ms) == pytest.approx(expected, abs=0.5)


@pytest.mark.parametrize(("loss", "expected"), [(0, 0), (0.01, 3.6), (0.05, 15.8), (0.251, 47.5), (1, 75.9)])
def test_loss_costs_what_g107_says_of_g711_with_concealment(loss: float, expected: float) -> None:
    assert quality.loss_impairment(loss) == pytest.approx(expected, abs=0.05)


@given(st.floats(0, 60_000), st.floats(0, 1), st.floats(0, 1))
def test_a_score_is_on_the_scale_and_falls_with_loss(delay_ms: float, loss: float, more: float) -> None:
    better, worse = quality.mos(delay_ms, min(loss, more)), quality.mos(delay_ms, max(loss, more))
    assert 1 <= worse <= better + 0.01 <= 4.43


async def test_a_leg_has_a_score_once_it_has_been_heard(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await pair(engine, phone)
    assert a.figures().mos is None
    for n in range(20):
        alice.send(rtp(n, frame(n)))
        bob.send(rtp(4 * n, frame(n), ssrc=9))
        await alice.receive(), await bob.receive()
        await asyncio.sleep(0.005)
    good, bad = a.figures().mos, b.figures().mos
    assert good is not None
    assert bad is not None
    assert good > 4.3
    assert bad < 2, "three of four packets are missing"
    assert b.figures().lost == 57
    a.close(), b.close()
    scores = engine.histograms()["mos"]
    assert sum(scores.counts) == 2
    assert scores.total == pytest.approx(good + bad, abs=0.1)


def sender_report(ntp: int, ssrc: int = 5) -> bytes:
    return struct.pack(">BBHIQIII", 0x80, 200, 6, ssrc, ntp, 0, 0, 0)


def receiver_report(about: int, middle: int, delay: int, ssrc: int = 6) -> bytes:
    blocks = struct.pack(">IIIIII", 77, 0, 0, 0, 1, 2) + struct.pack(">IIIIII", about, 0, 0, 0, middle, delay)
    return struct.pack(">BBHI", 0x82, 201, 13, ssrc) + blocks


def test_a_round_trip_is_what_the_phone_did_not_keep_the_report() -> None:
    trips = RoundTrips()
    trips.heard(receiver_report(9, 0, 0), 9, 5 * MS)
    assert trips.ns is None, "no report has been sent"
    trips.sent(sender_report(0x1122334455667788), 1000 * MS)
    trips.heard(receiver_report(8, 0x33445566, 1 << 15), 9, 1600 * MS)
    trips.heard(receiver_report(9, 0x33445567, 1 << 15), 9, 1600 * MS)
    trips.heard(receiver_report(9, 0x33445566, 1 << 16), 9, 1600 * MS)
    trips.heard(receiver_report(9, 0x33445566, 0), 9, 90_000 * MS)
    assert trips.ns is None, "another stream, another report, longer kept than it was away, a minute"
    trips.heard(receiver_report(9, 0x33445566, 1 << 15), 9, 1600 * MS)
    assert trips.ns == 100 * MS
    trips.sent(receiver_report(9, 1, 2), 2000 * MS)
    trips.heard(sender_report(1) + receiver_report(9, 0x33445566, 1 << 15), 9, 1540 * MS)
    assert trips.ns == 40 * MS


@given(st.binary(max_size=80))
def test_a_round_trip_reads_within_the_packet(body: bytes) -> None:
    """Sanitizers see what is read beyond; here, that nothing is taken for a report."""
    body = body[: len(body) // 4 * 4]
    packet = struct.pack(">BBH", 0x9F, 201, len(body) // 4) + body
    trips = RoundTrips()
    trips.sent(sender_report(0xABCDEF0123456789), 0)
    trips.heard(packet, 0xFEDCBA98, 10 * MS)
    assert trips.ns is None


async def test_a_legs_round_trip_comes_from_the_reports_that_pass(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await pair(engine, phone)
    bob_control = phone(port=bob.address.port + 1)
    alice.send(rtp(1, frame(1)))
    ours = int.from_bytes((await bob.receive())[8:12])
    bob.send(rtp(1, frame(1), ssrc=9))
    await alice.receive()
    alice.send_to(sender_report(0x0102030405060708, 7), a.rtcp_port)
    assert (await bob_control.receive())[10:14] == b"\x03\x04\x05\x06"
    await asyncio.sleep(0.05)
    bob_control.send_to(receiver_report(ours, 0x03040506, 0, 9), b.rtcp_port)
    await until(lambda: b.figures().round_trip_ms is not None)
    trip = b.figures().round_trip_ms
    assert trip is not None
    assert 45 <= trip <= 2000
    assert a.figures().round_trip_ms is None
    a.close(), b.close()


async def test_delays_are_measured(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await pair(engine, phone)
    c, carol, d, dave = await pair(engine, phone)
    heard: list[Frame] = []
    tap = a.tap(heard.extend)
    assert {f"{name}_seconds" for name in DELAY_NAMES} | {"mos"} == set(engine.histograms())
    begin = time.monotonic()
    for n in range(30):
        alice.send(rtp(n, frame(n)))
        await bob.receive()
        for m in range(14):
            carol.send(rtp(14 * n + m, frame(m)))
            await dave.receive()
        await asyncio.sleep(begin + (n + 1) * 0.02 - time.monotonic())
    await asyncio.sleep(0.1)
    pairs = tap.close().frames
    found = engine.histograms()
    relay, delay, late, *sent = (found[f"{name}_seconds"] for name in DELAY_NAMES)
    assert relay.bounds == tuple(bound / 1e9 for bound in HISTOGRAM_BOUNDS)
    assert 450 // 61 - 2 <= sum(relay.counts) <= 450 // 61, "a leg's first asks the kernel to note arrivals"
    assert 0 < relay.total < 2
    assert sum(delay.counts) >= 3
    # From its packet's arrival, a frame waits for the rest of its 20 ms, and for the window.
    assert delay.total / sum(delay.counts) >= 0.06
    assert pairs - 5 <= sum(late.counts) <= pairs
    assert late.total >= 0
    assert [sum(each.counts) for each in sent] == [0, 0], "nothing is attached"
    for leg in (a, b, c, d):
        leg.close()


async def test_a_silent_phone_is_told_of_and_so_is_its_return(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, _ = await pair(engine, phone)
    told: list[float | None] = []
    a.watch_inactivity(0.3, told.append)
    for n in range(25):
        alice.send(rtp(n, frame(n)))
        await asyncio.sleep(0.02)
    assert told == []
    await until(lambda: len(told) == 1)
    assert told[0] is not None
    assert told[0] >= 0.3
    await asyncio.sleep(0.4)
    assert len(told) == 1, "once"
    alice.send(rtp(30, frame(30)))
    await until(lambda: len(told) == 2)
    assert told[1] is None
    await until(lambda: len(told) == 3)
    assert told[2] is not None
    assert engine.counters()["events_lost"] == 0
    a.close(), b.close()


async def test_a_phone_that_never_sends_is_silent_and_one_on_hold_is_not(
    engine: MediaEngine, phone: Make
) -> None:
    a, _, b, bob = await pair(engine, phone)
    told: dict[str, list[float | None]] = {"a": [], "b": []}
    bob.attach(b, direction="recvonly")
    a.watch_inactivity(0.3, told["a"].append)
    b.watch_inactivity(0.3, told["b"].append)
    await asyncio.sleep(0.7)
    assert len(told["a"]) == 1
    assert told["b"] == []
    bob.attach(b)
    await asyncio.sleep(0.7)
    assert len(told["b"]) == 1
    assert told["b"][0] is not None
    assert told["b"][0] < 0.7, "time begins anew when the hold ends"
    bob.attach(b, direction="inactive")
    await asyncio.sleep(0.3)
    assert told["b"][1:] == [None], "it need not send any more"
    with pytest.raises(MediaError, match="positive"):
        a.watch_inactivity(0, told["a"].append)
    a.close(), b.close()
