"""RTP clocks that do not run at 8,000 Hz: timestamps, events and reports on both sides of the relay."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

import pytest

from forkproxy.media import Digit, MediaEngine, MediaLeg
from forkproxy.media.codecs import packet_ms
from forkproxy.model import Address, Frame, FrameFlag, Track
from tests.media.phones import Phone, rtp

Make = Callable[..., Phone]
WIDE = {97: "L16/16000", 105: "TELEPHONE-EVENT/16000"}
NARROW = {0: "PCMU", 101: "TELEPHONE-EVENT"}
PACKET = bytes(640)


def legs(
    engine: MediaEngine, phone: Make, one: dict[int, str], other: dict[int, str]
) -> tuple[MediaLeg, Phone, MediaLeg, Phone]:
    a, b, alice, bob = engine.open_leg("a"), engine.open_leg("b"), phone(), phone()
    for leg, each, codecs in ((a, alice, one), (b, bob, other)):
        each.leg = leg
        leg.set_remote(each.address, Address(each.address.host, each.address.port), codecs)
    a.connect(b)
    return a, alice, b, bob


def numbers(packet: bytes) -> tuple[int, int, int]:
    """Payload type, sequence number, timestamp."""
    kind, sequence, timestamp = struct.unpack(">xBHI", packet[:8])
    return kind & 0x7F, sequence, timestamp


def event(number: int, duration: int, *, end: bool = False) -> bytes:
    return struct.pack(">BBH", number, end << 7 | 10, duration)


@pytest.mark.parametrize("other", [WIDE, NARROW])
async def test_timestamps_go_on_where_the_phones_wrap(
    engine: MediaEngine, phone: Make, other: dict[int, str]
) -> None:
    a, alice, b, bob = legs(engine, phone, WIDE, other)
    times = []
    for n in range(10):
        alice.send(rtp(65530 + n, PACKET, pt=97, ts=2**32 - 1600 + n * 320))
        times.append(numbers(await bob.receive())[2])
    step = 320 if other is WIDE else 160
    assert [(time - times[0]) % 2**32 for time in times] == [n * step for n in range(10)]
    a.close(), b.close()


async def test_the_timeline_is_whole_where_the_phones_clock_wraps(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, _ = legs(engine, phone, WIDE, NARROW)
    frames: list[Frame] = []
    tap = a.tap(frames.extend, (Track.INBOUND,))
    for n in range(12):
        alice.send(rtp(n, PACKET, pt=97, ts=2**32 - 1600 + n * 320))
        await asyncio.sleep(0.02)
    tap.close()
    flags = [frame.flags for frame in frames]
    assert flags.count(FrameFlag.RECEIVED) >= 11
    assert FrameFlag.CONCEALED not in flags[: len(flags) - 1]
    assert a.figures().inbound.jumps == 0
    a.close(), b.close()


@pytest.mark.parametrize(
    ("one", "kind", "other", "their", "expected"),
    [
        (WIDE, 105, NARROW, 101, 800),
        (NARROW, 101, WIDE, 105, 3200),
        ({0: "PCMU", 102: "TELEPHONE-EVENT/48000"}, 102, NARROW, 101, 266),
        (WIDE, 105, {97: "L16/16000", 100: "TELEPHONE-EVENT/16000"}, 100, 1600),
    ],
)
async def test_an_events_duration_is_in_its_own_clock(
    engine: MediaEngine,
    phone: Make,
    one: dict[int, str],
    kind: int,
    other: dict[int, str],
    their: int,
    expected: int,
) -> None:
    a, alice, b, bob = legs(engine, phone, one, other)
    told: list[Digit] = []
    a.on_digit = told.append
    audio = next(iter(one))
    alice.send(rtp(1, bytes(160) if audio == 0 else PACKET, pt=audio, ts=0))
    first = numbers(await bob.receive())
    for n, end in enumerate([False, True, True]):
        alice.send(rtp(2 + n, event(5, 1600, end=end), pt=kind, ts=640, marker=n == 0))
        packet = await bob.receive()
        assert numbers(packet)[0] == their
        assert struct.unpack(">BBH", packet[12:]) == (5, end << 7 | 10, expected)
        # 640 units of the audio's clock after the packet of audio
        scale = {0: 1, 97: 2}[audio]
        theirs = {0: 1, 97: 2}[next(iter(other))]
        assert (numbers(packet)[2] - first[2]) % 2**32 == 640 // scale * theirs
    await asyncio.sleep(0.05)
    seconds = 1600 / {101: 8000, 105: 16000, 102: 48000}[kind]
    assert [(digit.key, round(digit.duration_ms, 3)) for digit in told] == [("5", round(seconds * 1000, 3))]
    a.close(), b.close()


async def test_a_duration_that_the_other_clock_cannot_hold_is_the_longest(
    engine: MediaEngine, phone: Make
) -> None:
    a, alice, b, bob = legs(engine, phone, NARROW, WIDE)
    alice.send(rtp(1, event(5, 40000), pt=101, ts=0, marker=True))
    assert struct.unpack(">BBH", (await bob.receive())[12:]) == (5, 10, 0xFFFF)
    alice.send(rtp(2, b"\x05\x8a", pt=101, ts=0))  # too short for an event; passes as it is
    assert (await bob.receive())[12:] == b"\x05\x8a"
    a.close(), b.close()


async def test_a_phone_that_changes_its_clock_goes_on_without_a_gap(engine: MediaEngine, phone: Make) -> None:
    """The timestamps of the two clocks have nothing to do with each other; what the other phone gets has."""
    a, alice, b, bob = legs(engine, phone, {**WIDE, 0: "PCMU"}, NARROW)
    got = []
    for n in range(6):
        wide = n >= 3
        payload, kind, ts = (PACKET, 97, 1000 + n * 320) if wide else (bytes(160), 0, 5_000_000 + n * 160)
        alice.send(rtp(n, payload, pt=kind, ts=ts))
        got.append(numbers(await bob.receive()))
    assert [sequence - got[0][1] for _, sequence, _ in got] == list(range(6))
    assert [(time - got[0][2]) % 2**32 for _, _, time in got] == [n * 160 for n in range(6)]
    a.close(), b.close()


async def test_what_a_phone_is_sent_keeps_its_time_when_the_clock_changes(
    engine: MediaEngine, phone: Make
) -> None:
    codecs = {0: "PCMU", 97: "L16/16000"}
    a, alice, b, bob = legs(engine, phone, codecs, codecs)
    got = []
    for n, (payload, kind, ts) in enumerate(
        [(bytes(160), 0, 0), (bytes(160), 0, 160), (PACKET, 97, 40), (PACKET, 97, 360)]
    ):
        alice.send(rtp(n, payload, pt=kind, ts=ts))
        got.append(numbers(await bob.receive()))
    assert [kind for kind, _, _ in got] == [0, 0, 97, 97]
    assert [(time - got[0][2]) % 2**32 for _, _, time in got] == [0, 160, 320, 640]
    a.close(), b.close()


async def test_reports_speak_the_other_legs_clock(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = legs(engine, phone, WIDE, NARROW)
    rtcp = phone()
    b.set_remote(bob.address, rtcp.address, NARROW)
    alice.send(rtp(1, PACKET, pt=97, ts=32_000))
    audio = numbers(await bob.receive())[2]
    bob.send(rtp(1, bytes(160)))
    await alice.receive()
    ssrc = 7
    block = struct.pack(">IIIIII", a._core.ssrc, 0, 1, 1600, 0, 0)  # a jitter of 100 ms in 16,000 Hz
    report = struct.pack(">BBHIQIII", 0x81, 200, 12, ssrc, 99, 32_000 + 1600, 1, 640) + block
    alice.send_to(report, a.rtcp_port)
    got = await rtcp.receive()
    assert (struct.unpack(">I", got[16:20])[0] - audio) % 2**32 == 800
    assert struct.unpack(">I", got[40:44])[0] == 800
    a.close(), b.close()


def test_packets_of_ours_fit_into_a_network() -> None:
    assert [packet_ms(f"L16/{rate}", 60) for rate in (8000, 16000, 24000, 48000)] == [60, 40, 20, 10]
    assert (packet_ms("G722", 30), packet_ms("PCMA", 5)) == (30, 20)


async def test_prompts_in_wide_audio_keep_their_pace(engine: MediaEngine, phone: Make) -> None:
    leg, alice = engine.open_leg(), phone()
    alice.leg = leg
    leg.set_remote(alice.address, alice.address, {99: "L16/48000"}, ptime=20)
    leg.play(b"\x80" * 480)
    packets = [await alice.receive() for _ in range(6)]
    assert {len(packet) for packet in packets} == {12 + 960}
    times = [numbers(packet)[2] for packet in packets]
    assert [(time - times[0]) % 2**32 for time in times] == [n * 480 for n in range(6)]
    leg.close()
