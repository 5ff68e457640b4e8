"""Copies of a leg's tracks for a recorder: numbers without a hole, a time that goes on, and nothing lost that
was kept."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from itertools import pairwise

import pytest

from forkproxy.errors import MediaError
from forkproxy.media import MediaCopy, MediaEngine, MediaLeg, SrtpKeys
from forkproxy.media.g711 import decode_alaw_sample, encode_ulaw_sample
from forkproxy.model import Address, Track
from tests.media.phones import Phone, frame, pair, rtp
from tests.support.rtp import Packet, parse
from tests.support.srtp import SrtpPeer

Make = Callable[..., Phone]


async def collect(phone: Phone, count: int) -> list[Packet]:
    """The next RTP packets, without keep-alives."""
    found: list[Packet] = []
    while len(found) < count:
        data = await phone.receive()
        if data:
            found.append(parse(data, ("", 0)))
    return found


def aim(copy: MediaCopy, rtp_: Phone, rtcp: Phone, **more: object) -> None:
    copy.send_to(rtp_.address, rtcp.address, **more)  # type: ignore[arg-type]


async def say(alice: Phone, first: int, count: int) -> None:
    for n in range(first, first + count):
        alice.send(rtp(n, frame(n + 1)))
        await asyncio.sleep(0.02)


def in_order(packets: list[Packet]) -> bool:
    """No hole in the numbers."""
    return all((b.sequence - a.sequence) & 0xFFFF == 1 for a, b in pairwise(packets))


def steps(packets: list[Packet]) -> set[int]:
    return {(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(packets)}


def heard(packets: list[Packet]) -> list[int]:
    """The frames of `say` that are in there, by number."""
    return [
        packet.payload[0] for packet in packets if len(set(packet.payload)) == 1 and packet.payload[0] < 0x80
    ]


async def test_a_track_is_sent_on_as_a_stream_of_its_own(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await pair(engine, phone)
    recorder = [phone() for _ in range(4)]
    caller, callee = a.copy(Track.INBOUND), a.copy(Track.OUTBOUND)
    assert caller.cname != callee.cname
    assert caller.ssrc != callee.ssrc
    aim(caller, recorder[0], recorder[1])
    aim(callee, recorder[2], recorder[3], codec="PCMA", payload_type=96)
    for n in range(30):
        alice.send(rtp(n, frame(n + 1)))
        bob.send(rtp(n, frame(n + 60)))
        await asyncio.sleep(0.02)
    said, answered = await collect(recorder[0], 25), await collect(recorder[2], 25)
    assert in_order(said)
    assert in_order(answered)
    assert steps(said) == steps(answered) == {160}
    assert {(p.payload_type, p.ssrc, len(p.payload)) for p in said} == {(0, caller.ssrc, 160)}
    assert {(p.payload_type, p.ssrc) for p in answered} == {(96, callee.ssrc)}
    assert (said[0].marker, any(p.marker for p in said[1:])) == (True, False)
    assert heard(said) == list(range(1, len(heard(said)) + 1))
    decoded = [
        encode_ulaw_sample(decode_alaw_sample(p.payload[0])) for p in answered if len(set(p.payload)) == 1
    ]
    assert [octet for octet in decoded if octet < 0x80][:10] == list(range(60, 70))
    report = await recorder[1].receive()
    assert report[1] == 200
    assert struct.unpack(">I", report[4:8])[0] == caller.ssrc
    assert caller.cname.encode() in report
    packets, octets = struct.unpack(">II", report[20:28])
    assert octets == 160 * packets > 0
    block = struct.pack(">IIIIII", caller.ssrc, 0x80000003, 7, 16, 0, 0)
    recorder[1].send_to(struct.pack(">BBHI", 0x81, 201, 7, 99) + block, caller.rtcp_port)
    async with asyncio.timeout(3):
        while not caller.figures().reports:
            await asyncio.sleep(0.02)
    figures = caller.figures()
    assert (figures.lost, figures.jitter_ms, figures.dropped, figures.send_errors) == (3, 2.0, 0, 0)
    last = caller.close()
    assert caller.close() == last
    assert last.packets == last.octets // 160 >= 30
    while (goodbye := await recorder[1].receive())[-8:-4] != struct.pack(">BBH", 0x81, 203, 1):
        pass
    assert goodbye[-4:] == struct.pack(">I", caller.ssrc)
    callee.close()
    counters = engine.counters()
    assert counters["copy_packets"] >= 60
    assert counters["copy_reports"] == 1
    a.close(), b.close()


async def test_what_nobody_could_get_yet_is_kept_and_sent_a_little_faster(
    engine: MediaEngine, phone: Make
) -> None:
    a, alice, b, _ = await pair(engine, phone)
    rtp_, rtcp = phone(), phone()
    copy = a.copy(Track.INBOUND, buffer_seconds=5)
    await say(alice, 0, 20)
    aim(copy, rtp_, rtcp, hurry=2.0)
    await say(alice, 20, 15)
    packets = await collect(rtp_, 30)
    assert in_order(packets)
    assert steps(packets) == {160}
    assert heard(packets)[:20] == list(range(1, 21))
    async with asyncio.timeout(2):
        while copy.figures().waiting:
            await asyncio.sleep(0.02)
    assert copy.figures().dropped == 0
    copy.lose()  # the recorder is gone; there is room for all that follows
    await say(alice, 35, 10)
    other, other_rtcp = phone(), phone()
    aim(copy, other, other_rtcp, hurry=2.0)
    found = await collect(other, 10)
    assert in_order(found)
    assert steps(found) == {160}
    copy.close()
    a.close(), b.close()


async def test_what_does_not_fit_is_a_gap_in_time_and_counted(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, _ = await pair(engine, phone)
    rtp_, rtcp = phone(), phone()
    copy = a.copy(Track.INBOUND, buffer_seconds=0.1)
    aim(copy, rtp_, rtcp)
    await say(alice, 0, 10)
    before = await collect(rtp_, 5)
    copy.lose()
    await say(alice, 10, 20)
    dropped = copy.figures().dropped
    assert dropped >= 5
    aim(copy, rtp_, rtcp)
    await say(alice, 30, 5)
    packets = before + await collect(rtp_, 10)
    assert in_order(packets)
    jumps = [step for step in steps(packets) if step != 160]
    assert len(jumps) == 1
    assert jumps[0] % 160 == 0
    assert jumps[0] > 160 * dropped // 2
    assert sum(packet.marker for packet in packets) == 2
    copy.close()
    assert engine.counters()["copy_frames_dropped"] >= dropped
    a.close(), b.close()


@pytest.mark.parametrize("skip", [True, False])
async def test_a_pause_leaves_out_what_is_said_in_it(engine: MediaEngine, phone: Make, skip: bool) -> None:
    a, alice, b, _ = await pair(engine, phone)
    rtp_, rtcp = phone(), phone()
    copy = a.copy(Track.INBOUND, buffer_seconds=5)
    if not skip:
        aim(copy, rtp_, rtcp)
        copy.pause(True)
    await say(alice, 0, 15)
    if skip:
        aim(copy, rtp_, rtcp, skip=True)
    copy.pause(False)
    await say(alice, 15, 10)
    packets = await collect(rtp_, 8)
    assert min(heard(packets)) >= 11  # what the window held back then, and later
    assert steps(packets) == {160}
    assert copy.figures().skipped >= 10
    copy.close()
    a.close(), b.close()


async def test_both_tracks_in_one(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await pair(engine, phone)
    rtp_, rtcp = phone(), phone()
    copy = a.copy(None)
    aim(copy, rtp_, rtcp)
    loud, quiet = (
        bytes([0x8F]) * 160,
        bytes([0x9F]) * 160,
    )  # +16,764 and +8,316 in mu-law: 0x80 is the loudest
    for n in range(12):
        alice.send(rtp(n, loud))
        bob.send(rtp(n, quiet))
        await asyncio.sleep(0.02)
    packets = await collect(rtp_, 12)
    assert bytes([0x87]) * 160 in [packet.payload for packet in packets]
    copy.close()
    a.close(), b.close()


async def test_it_is_sealed_with_keys_of_its_own(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, _ = await pair(engine, phone)
    rtp_, rtcp = phone(), phone()
    copy = a.copy(Track.INBOUND)
    suite = "AES_CM_128_HMAC_SHA1_80"
    ours, theirs = bytes(range(30)), bytes(range(30, 60))
    aim(copy, rtp_, rtcp, srtp=SrtpKeys(suite, ours, theirs))
    await say(alice, 0, 10)
    peer = SrtpPeer(suite, ours)
    opened = [parse(peer.open(await rtp_.receive()), ("", 0)) for _ in range(8)]
    assert in_order(opened)
    assert steps(opened) == {160}
    assert opened[0].ssrc == copy.ssrc
    copy.close()
    a.close(), b.close()


async def test_the_leg_may_end_first_and_a_copy_is_no_burden_to_taps(
    engine: MediaEngine, phone: Make
) -> None:
    a, alice, b, _ = await pair(engine, phone)
    frames: list[object] = []
    tap = a.tap(frames.extend)
    rtp_, rtcp = phone(), phone()
    copies = [a.copy(Track.INBOUND) for _ in range(3)]
    aim(copies[0], rtp_, rtcp)
    copies[1].close()
    await say(alice, 0, 10)
    tap.close()
    assert frames
    await collect(rtp_, 5)
    figures = leg_figures(a)
    a.close()
    assert copies[0].figures().packets >= 5
    for copy in copies:
        copy.close()
        copy.lose(), copy.pause(True)
        aim(copy, rtp_, rtcp)
    assert figures is not None
    with pytest.raises(MediaError, match="closed"):
        a.copy(Track.INBOUND)
    b.close()


def leg_figures(leg: MediaLeg) -> object:
    return leg.figures()


async def test_an_address_that_is_none_is_refused(engine: MediaEngine) -> None:
    leg = engine.open_leg()
    copy = leg.copy(Track.INBOUND)
    with pytest.raises(MediaError, match="not an IP address"):
        copy.send_to(Address("rec.example", 4000), Address("rec.example", 4001))
    with pytest.raises(MediaError, match="IPv6"):
        copy.send_to(Address("::1", 4000), Address("::1", 4001))
    copy.close()
    leg.close()
