"""Keys that are sent: events by the relay's clock in one continuous stream, or tones where there are none."""

from __future__ import annotations

import asyncio
import cmath
import math
import re
import struct
from collections.abc import Callable, Mapping
from itertools import pairwise

import pytest

from forkproxy.errors import MediaError
from forkproxy.media import Digit, MediaEngine, MediaLeg, Playback
from forkproxy.media.dialling import DIGITS, frequencies, key_numbers, tones
from forkproxy.media.g711 import decode_alaw_sample, decode_ulaw_sample
from forkproxy.model import Address, FrameFlag, Track
from tests.media.phones import CODECS, Phone, frame, pair, rtp

Made = Callable[..., Phone]
Packet = tuple[int, bool, int, int, bytes]
"""Payload type, marker, sequence number, timestamp, payload."""


def taken(packet: bytes) -> Packet:
    first, sequence, timestamp = struct.unpack_from(">HHI", packet)
    return first & 0x7F, bool(first & 0x80), sequence, timestamp, packet[12:]


async def everything(phone: Phone, done: asyncio.Event) -> list[Packet]:
    """What comes until `done`, and a moment longer."""
    packets = []
    while True:
        try:
            packets.append(taken(await phone.receive(0.1)))
        except TimeoutError:
            if done.is_set():
                return packets


def facing(engine: MediaEngine, phone: Phone, codecs: Mapping[int, str], **kwargs: int) -> MediaLeg:
    leg = engine.open_leg("a")
    leg.set_remote(phone.address, Address("127.0.0.1", 9), codecs, **kwargs)
    return leg


async def dialled(leg: MediaLeg, phone: Phone, digits: str) -> list[Packet]:
    done = asyncio.Event()
    leg.send_digits(digits, on_done=done.set)
    packets = await everything(phone, done)
    leg.close()
    return packets


@pytest.mark.parametrize(
    ("codecs", "ptime", "scale", "lasts"),
    [
        (CODECS, 20, 1, 5),
        (CODECS, 30, 1, 4),
        ({96: "L16/16000", 100: "TELEPHONE-EVENT", 101: "TELEPHONE-EVENT/16000"}, 20, 2, 5),
        ({96: "L16/48000", 101: "TELEPHONE-EVENT/48000"}, 10, 6, 10),
        ({9: "G722", 101: "TELEPHONE-EVENT"}, 20, 1, 5),
    ],
)
async def test_every_key_is_one_event_in_a_stream_without_gaps(
    engine: MediaEngine, phone: Made, codecs: Mapping[int, str], ptime: int, scale: int, lasts: int
) -> None:
    there = phone()
    packets = await dialled(facing(engine, there, codecs, ptime=ptime), there, "19*d")
    assert all((b[2] - a[2]) & 0xFFFF == 1 for a, b in pairwise(packets))
    step = ptime * 8 * scale
    gap = max(2, math.ceil(80 / ptime))
    began = packets[0][3]
    for n, key in enumerate("19*D"):
        one = packets[n * (lasts + gap) : (n + 1) * (lasts + gap)]
        events = one[: lasts + 2]
        assert [p[0] for p in events] == [101] * len(events)
        assert {p[3] for p in events} == {(began + n * (lasts + gap) * step) & 0xFFFFFFFF}
        assert [p[1] for p in events] == [True] + [False] * (lasts + 1)
        told = [struct.unpack(">BBH", p[4]) for p in events]
        assert [each[0] for each in told] == [DIGITS.index(key)] * len(told)
        assert [each[1] for each in told] == [10] * (lasts - 1) + [0x8A] * 3
        assert [each[2] for each in told] == [min(k, lasts) * step for k in range(1, lasts + 3)]
        silence = one[lasts + 2 :]
        assert all(p[0] == next(iter(codecs)) and not p[1] for p in silence)
        assert [p[3] for p in silence] == [
            (events[0][3] + k * step) & 0xFFFFFFFF for k in range(lasts + 2, lasts + gap)
        ]


async def test_the_far_end_is_told_each_key_once_with_its_duration(engine: MediaEngine) -> None:
    """Two legs that face each other."""
    here, there = engine.open_leg("a"), engine.open_leg("b")
    for leg, other in ((here, there), (there, here)):
        address = Address("127.0.0.1", other.rtp_port), Address("127.0.0.1", other.rtcp_port)
        leg.set_remote(*address, CODECS)
    digits: list[Digit] = []
    there.on_digit = digits.append
    done = asyncio.Event()
    here.send_digits("11w#", on_done=done.set)
    await asyncio.wait_for(done.wait(), 5)
    assert [(each.key, each.duration_ms) for each in digits] == [("1", 100.0), ("1", 100.0), ("#", 100.0)]
    assert there.figures().malformed == 0
    here.close()
    there.close()


async def test_the_other_leg_is_heard_in_pauses_and_nothing_is_lost_of_the_stream(
    engine: MediaEngine, phone: Made
) -> None:
    a, alice, b, bob = await pair(engine, phone)
    done = asyncio.Event()

    async def talk() -> None:
        n = 0
        while not done.is_set():
            alice.send(rtp(n, frame(n)))
            n += 1
            await asyncio.sleep(0.02)

    talking = asyncio.create_task(talk())
    heard = [taken(await bob.receive()) for _ in range(3)]
    b.send_digits("5w5", on_done=done.set)
    heard += await everything(bob, done)
    await talking
    assert all((y[2] - x[2]) & 0xFFFF == 1 for x, y in pairwise(heard))
    assert all(0 <= (y[3] - x[3]) & 0xFFFFFFFF < 3200 for x, y in pairwise(heard))
    kinds = "".join("e" if p[0] == 101 else "s" if p[4] == b"\xff" * 160 else "a" for p in heard)
    assert re.fullmatch("a+e{7}ssa{15,}e{7}ssa*", kinds)
    a.close()
    b.close()


def loudness(samples: list[int], hertz: float) -> float:
    """Amplitude of one frequency."""
    turned = (s * cmath.exp(-2j * math.pi * hertz * n / 8000) for n, s in enumerate(samples))
    return 2 * abs(sum(turned)) / len(samples)


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
async def test_a_phone_without_events_hears_the_tones(engine: MediaEngine, phone: Made, codec: str) -> None:
    there = phone()
    number = {"PCMU": 0, "PCMA": 8}[codec]
    packets = await dialled(facing(engine, there, {number: codec}), there, "7A")
    assert [p[0] for p in packets] == [number] * 18
    assert all((b[2] - a[2]) & 0xFFFF == 1 and b[3] - a[3] == 160 for a, b in pairwise(packets))
    decode = decode_ulaw_sample if codec == "PCMU" else decode_alaw_sample
    for at, key in ((0, "7"), (9, "A")):
        samples = [decode(octet) for p in packets[at : at + 5] for octet in p[4]]
        low, high = frequencies(key)
        assert loudness(samples, low) == pytest.approx(9057, rel=0.05)
        assert loudness(samples, high) == pytest.approx(11402, rel=0.05)
        assert all(abs(decode(octet)) < 10 for p in packets[at + 5 : at + 9] for octet in p[4])


async def test_keys_that_are_stopped_end_their_event(engine: MediaEngine, phone: Made) -> None:
    there = phone()
    leg = facing(engine, there, CODECS)
    sending: Playback = leg.send_digits("7777")
    await there.receive()
    sending.stop()
    assert not sending.playing
    stopped = asyncio.Event()
    stopped.set()
    rest = await everything(there, stopped)
    assert len([p for p in rest if p[4][1] & 0x80]) == 3
    assert len({p[4] for p in rest[-3:]}) == 1
    leg.close()


async def test_taps_have_silence_in_the_place_of_events(engine: MediaEngine, phone: Made) -> None:
    there = phone()
    leg = facing(engine, there, CODECS)
    frames = []
    tap = leg.tap(frames.extend, (Track.OUTBOUND,))
    done = asyncio.Event()
    leg.send_digits("12", on_done=done.set)
    await asyncio.wait_for(done.wait(), 5)
    tap.close()
    leg.close()
    assert {FrameFlag(each.flags) for each in frames} <= {FrameFlag.SILENCE, FrameFlag.RECEIVED}
    assert {bytes(each.payload) for each in frames} == {b"\xff" * 160}


async def test_what_cannot_be_sent(engine: MediaEngine, phone: Made) -> None:
    leg = engine.open_leg("a")
    with pytest.raises(MediaError, match="before a codec"):
        leg.send_digits("1")
    phone().attach(leg)
    for digits, message in (("", "0 characters"), ("1" * 201, "201"), ("12x", "character 3 is not one of")):
        with pytest.raises(MediaError, match=message):
            leg.send_digits(digits)
    leg.close()
    with pytest.raises(MediaError, match="closed"):
        leg.send_digits("1")


def test_the_numbers_and_the_tones() -> None:
    assert key_numbers("09*#AdwW").hex() == "00090a0b0c0fffffff"
    assert len(tones()) == 16 * 960
    assert len({frequencies(key) for key in DIGITS}) == 16
