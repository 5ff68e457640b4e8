"""Two legs together: codecs, directions, one stream for each phone, and legs that change partners."""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections.abc import Callable

import pytest

from forkproxy.media import MediaEngine
from forkproxy.media.g711 import decode_alaw_sample, encode_alaw_sample, encode_ulaw_sample
from forkproxy.model import Address, Frame, Track
from tests.media.phones import CODECS, Phone, frame, pair, rtp

Make = Callable[..., Phone]


def numbers(packet: bytes) -> tuple[int, int, int]:
    """Sequence number, timestamp, SSRC."""
    sequence, timestamp, ssrc = struct.unpack_from(">HII", packet, 2)
    return sequence, timestamp, ssrc


async def test_pcma_and_pcmu_are_turned_into_each_other(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await pair(engine, phone)
    a.set_remote(alice.address, alice.address, {8: "PCMA"})
    b.set_remote(bob.address, bob.address, {0: "PCMU"})
    heard: list[Frame] = []
    taps = [a.tap(heard.extend, (Track.INBOUND,)), b.tap(heard.extend, (Track.OUTBOUND,))]
    codes = bytes(range(160))
    for n in range(3):
        alice.send(rtp(n, codes, pt=8))
        packet = await bob.receive()
        assert packet[1] & 127 == 0
        assert packet[12:] == bytes(encode_ulaw_sample(decode_alaw_sample(code)) for code in codes)
        bob.send(rtp(n, b"\xff\x80" * 80, ssrc=9))
        packet = await alice.receive()
        assert packet[1] & 127 == 8
        assert packet[12:] == bytes([encode_alaw_sample(0), encode_alaw_sample(32124)]) * 80
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.15)
    for tap in taps:
        assert tap.close().received[Track.INBOUND] + tap.figures().received[Track.OUTBOUND] == 3
    a.close(), b.close()


async def test_a_payload_type_that_the_other_leg_lacks_is_not_forwarded(
    engine: MediaEngine, phone: Make
) -> None:
    a, alice, b, bob = await pair(engine, phone)
    b.set_remote(bob.address, bob.address, {0: "PCMU"})
    alice.send(rtp(1, b"\x01\x02\x03\x04", pt=101))
    await bob.silence()
    alice.send(rtp(2, frame(1)))
    await bob.receive()
    assert a.figures().not_sendable == 1
    a.close(), b.close()


@pytest.mark.parametrize("direction", ["sendonly", "inactive", "recvonly"])
async def test_directions_are_kept(engine: MediaEngine, phone: Make, direction: str) -> None:
    a, alice, b, bob = await pair(engine, phone)
    bob.attach(b, direction=direction)
    alice.send(rtp(1, frame(1)))
    bob.send(rtp(1, frame(2), ssrc=9))
    if direction == "recvonly":
        assert (await bob.receive())[12:] == frame(1)
    else:
        await bob.silence()
        assert a.figures().held == 1
    if direction == "sendonly":
        assert (await alice.receive())[12:] == frame(2)
    else:
        await alice.silence()
        assert b.figures().held == 1
    a.close(), b.close()


async def test_nothing_is_sent_to_nowhere(engine: MediaEngine, phone: Make) -> None:
    """0.0.0.0 as address is how old phones put a call on hold."""
    a, alice, b, bob = await pair(engine, phone)
    nowhere = Address("0.0.0.0", 5004)
    b.set_remote(nowhere, nowhere, CODECS)
    alice.send(rtp(1, frame(1)))
    await bob.silence()
    assert a.figures().not_sendable == 1
    assert b.figures().send_errors == 0
    a.close(), b.close()


async def test_a_phone_hears_one_stream_whoever_it_is_connected_to(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await pair(engine, phone)
    c = engine.open_leg()
    carol = phone()
    carol.attach(c)
    seen = []
    for n in range(3):
        bob.send(rtp(40 + n, frame(n), ssrc=9, ts=n * 160))
        seen.append(await alice.receive())
        await asyncio.sleep(0.02)
    a.play(frame(100) * 2)
    seen += [await alice.receive() for _ in range(2)]
    a.connect(c)
    await asyncio.sleep(0.05)
    for n in range(3):
        carol.send(rtp(60000 + n, frame(50 + n), ssrc=10, ts=4_000_000_000 + n * 160))
        seen.append(await alice.receive())
        await asyncio.sleep(0.02)
    a.disconnect()
    a.connect(c)
    carol.send(rtp(60003, frame(53), ssrc=10, ts=4_000_000_000 + 3 * 160))
    seen.append(await alice.receive())
    marks = [packet[1] >> 7 for packet in seen]
    assert marks == [1, 0, 0, 1, 0, 1, 0, 0, 1]
    for before, after in itertools.pairwise(seen):
        assert (numbers(after)[0] - numbers(before)[0]) % 2**16 == 1
        on = (numbers(after)[1] - numbers(before)[1]) % 2**32
        assert on % 160 == 0
        assert 160 <= on <= 4000
        assert numbers(after)[2] == numbers(before)[2]
    bob.send(rtp(43, frame(3), ssrc=9))
    await alice.silence()
    assert b.figures().not_connected == 1
    for leg in (a, b, c):
        leg.close()


async def test_losses_reach_the_phone_as_losses(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await pair(engine, phone)
    sequences = []
    for sequence in (1, 2, 5, 4):
        alice.send(rtp(sequence, frame(sequence)))
        sequences.append(numbers(await bob.receive())[0])
    assert [(each - sequences[0]) % 2**16 for each in sequences] == [0, 1, 4, 3]
    assert (a.figures().lost, a.figures().reordered) == (1, 1)
    a.close(), b.close()


async def test_csrcs_extensions_and_padding_pass(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await pair(engine, phone)
    head = b"\xb1\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x07" + b"csrc" + b"\xbe\xde\x00\x01extn"
    alice.send(head + frame(1) + b"\x00\x02")
    packet = await bob.receive()
    assert packet[:1] == b"\xb1"
    assert packet[12:] == head[12:] + frame(1) + b"\x00\x02"
    a.close(), b.close()


async def test_a_refusing_phone_costs_no_packet_once_it_listens(engine: MediaEngine, phone: Make) -> None:
    """ICMP says that nobody listens on its port; what is sent after that must go out all the same."""
    a, alice, b, bob = await pair(engine, phone)
    bob.send(rtp(1, frame(1), ssrc=9))
    await alice.receive()
    address = bob.address
    bob.socket.close()
    for n in range(4):
        alice.send(rtp(n, frame(n)))
        await asyncio.sleep(0.01)
    back = phone(address.host, address.port)
    for n in range(4, 8):
        alice.send(rtp(n, frame(n)))
        assert (await back.receive())[12:] == frame(n)
    assert b.figures().send_errors == 0
    assert b.figures().packets_out == 8
    a.close(), b.close()


async def test_legs_of_different_threads_find_together(phone: Make) -> None:
    engine = MediaEngine(threads=3)
    engine.start()
    legs = [engine.open_leg(str(n)) for n in range(6)]
    phones = [phone() for _ in legs]
    heard: list[list[Frame]] = [[] for _ in legs]
    for leg, each, frames in zip(legs, phones, heard, strict=True):
        each.attach(leg)
        leg.tap(frames.extend)
    for round_ in range(5):
        others = legs[1:] + legs[:1] if round_ % 2 else legs[::-1]
        for leg, other in list(zip(legs, others, strict=True))[:: 2 if round_ % 2 else 1][:3]:
            leg.connect(other)
            sender, receiver = phones[legs.index(leg)], phones[legs.index(other)]
            sender.send(rtp(round_, frame(round_)))
            assert (await receiver.receive())[12:] == frame(round_)
            receiver.send(rtp(round_, frame(round_ + 50)))
            assert (await sender.receive())[12:] == frame(round_ + 50)
    await asyncio.sleep(0.15)
    for leg in legs:
        leg.close()
    for frames in heard:
        for track in Track:
            assert [each.number for each in frames if each.track is track] == list(range(len(frames) // 2))
    counters = engine.counters()
    assert {counters[name] for name in ("legs", "ports", "taps", "rings", "playbacks")} == {0}
    assert counters["packets_sent"] == counters["packets_received"] == 30
    engine.close()


async def test_legs_come_and_go_while_packets_fly(phone: Make) -> None:
    """Closing a leg between epoll's report and the read must find nothing of it."""
    engine = MediaEngine(threads=2)
    engine.start()
    senders = [phone() for _ in range(8)]
    for round_ in range(60):
        legs = [engine.open_leg() for _ in senders]
        for leg, sender in zip(legs, senders, strict=True):
            sender.attach(leg)
        for leg, other in zip(legs[::2], legs[1::2], strict=True):
            leg.connect(other)
            leg.tap(lambda frames: None)
            leg.play(frame(1))
        for n in range(6):
            for sender in senders:
                sender.send(rtp(n, frame(n)))
        if round_ % 3 == 0:
            await asyncio.sleep(0.01)
        for leg in legs:
            leg.close()
    assert engine.counters()["legs"] == 0
    engine.close()
    engine.close()
