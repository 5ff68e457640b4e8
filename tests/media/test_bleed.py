"""Strangers: packets from a third address, floods, and octets that are no RTP, over real sockets.

The attack that is named RTP bleed (2017): a relay that learns where to send from whoever sends to it can be
made to send a call's audio to anybody, and to mix anybody's audio into the call.
"""

from __future__ import annotations

import asyncio
import math
import random
import socket
import struct
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise

import pytest

from forkproxy.media import MediaEngine, MediaLeg
from forkproxy.media.ports import PortRange
from forkproxy.model import Address, Frame, FrameFlag
from tests.media.phones import CODECS, Phone, frame, pair, rtp
from tests.media.test_learning import eventually

Make = Callable[..., Phone]
EVIL = b"\x55" * 160
"""What the stranger says; nobody else does."""
REPORT = struct.pack(">BBHIQIII", 0x80, 200, 6, 7, 1, 1600, 3, 480)


def spray(stranger: Phone, leg: MediaLeg, count: int, ssrc: int = 7) -> int:
    """Valid RTP and RTCP to both of a leg's ports; how many datagrams that are."""
    for n in range(count):
        stranger.send(rtp(n, EVIL, ssrc=ssrc), leg)
        stranger.send_to(REPORT, leg.rtcp_port)
    return 2 * count


def nothing_came(stranger: Phone) -> bool:
    try:
        stranger.socket.recv(2048)
    except BlockingIOError:
        return True
    return False


@pytest.mark.parametrize("same_ssrc", [True, False])
async def test_a_third_address_gets_nothing_and_enters_nothing(
    engine: MediaEngine, phone: Make, same_ssrc: bool
) -> None:
    """Before the phone's address is known, before it was heard, while it speaks, and while it is silent."""
    mallory, alice, bob = phone("127.0.0.66"), phone(), phone()
    a, b = engine.open_leg("a"), engine.open_leg("b")
    a.connect(b)
    heard: list[Frame] = []
    taps = [leg.tap(heard.extend) for leg in (a, b)]
    ssrc = 7 if same_ssrc else 666
    sent = spray(mallory, a, 20, ssrc)
    await eventually(lambda: a.figures().not_negotiated == sent)
    alice.attach(a)
    bob.attach(b)
    strange = spray(mallory, a, 20, ssrc)
    await eventually(lambda: a.figures().unknown_source == strange)
    assert a.figures().source is None
    received = []
    for n in range(25):
        strange += spray(mallory, a, 10, ssrc)
        alice.send(rtp(n, frame(n)))
        received.append(await bob.receive())
        bob.send(rtp(n, frame(n + 50)))
        assert (await alice.receive())[12:] == frame(n + 50)
        await asyncio.sleep(0.02)
    strange += spray(mallory, a, 20, ssrc)
    # Those that come to the connected port are looked at now and then only.
    await eventually(lambda: a.figures().unknown_source == strange)
    await bob.silence()
    for tap in taps:
        tap.close()
    assert [packet[12:] for packet in received] == [frame(n) for n in range(25)]
    assert not any(EVIL[:80] in each.payload for each in heard)
    assert any(each.flags == FrameFlag.RECEIVED for each in heard)
    assert nothing_came(mallory)
    figures = a.figures()
    assert (figures.packets_in, figures.rtcp_in, figures.source) == (25, 0, alice.address)
    a.close(), b.close()


async def test_a_stranger_on_another_port_of_the_phones_host(engine: MediaEngine, phone: Make) -> None:
    """Behind the same NAT, say. Once the phone itself was heard, its neighbour is a stranger, too."""
    a, alice, b, bob = await pair(engine, phone)
    neighbour = phone()
    alice.send(rtp(1, frame(1)))
    await bob.receive()
    sent = spray(neighbour, a, 50)
    await eventually(lambda: a.figures().unknown_source + a.figures().rtcp_in == sent)
    assert a.figures().packets_in == 1
    await bob.silence()
    for n in range(5):
        bob.send(rtp(n, frame(n)))
        await alice.receive()
    assert nothing_came(neighbour)
    a.close(), b.close()


async def test_floods_cost_other_calls_nothing(phone: Make) -> None:
    """One worker, four calls: one has a phone gone mad, one a stranger at its ports. Nothing is lost."""
    with closing(MediaEngine(ports=(42000, 43999), threads=1)) as engine:
        engine.start()
        calls = [await pair(engine, phone) for _ in range(4)]
        for a, alice, _, bob in calls:
            alice.send(rtp(0, frame(0)), a)
            await bob.receive()
        mallory = phone("127.0.0.66")
        mad, madman = calls[0][0], calls[0][1]
        got = [0] * len(calls)
        for round_ in range(1, 101):
            for n in range(60):
                mallory.send(rtp(n, EVIL), calls[1][0])
                madman.send(rtp(round_ * 60 + n, EVIL), mad)
            for which, (a, alice, _, bob) in enumerate(calls[1:], 1):
                alice.send(rtp(round_, frame(round_)), a)
                assert (await bob.receive())[12:] == frame(round_)
                got[which] += 1
            await asyncio.sleep(0.002)
        assert got[1:] == [100] * 3
        for a, _, b, _ in calls[1:]:
            assert (a.figures().packets_in, a.figures().lost, b.figures().packets_out) == (101, 0, 101)
        await eventually(lambda: calls[1][0].figures().unknown_source == 6000)
        assert mad.figures().flooded > 0


def test_ports_cannot_be_guessed() -> None:
    """Where a call's ports lie in the range says nothing about where the next one's do."""
    ports = PortRange("127.0.0.1", 42000, 43999)
    size = 1000
    drawn = []
    for _ in range(2000):
        rtp_socket, rtcp_socket = ports.bind()
        port = rtp_socket.getsockname()[1]
        rtp_socket.close(), rtcp_socket.close()
        ports.give_back(port)
        drawn.append((port - 42000) // 2)
    # Evenly over the range: chi-square over 20 parts, which passes 60 by chance once in 200,000 runs.
    parts = [sum(each * 20 // size == part for each in drawn) for part in range(20)]
    assert sum((part - 100) ** 2 / 100 for part in parts) < 60, parts
    # And no step from one to the next is more usual than others: next, same and all others within 3 of 1000.
    near = sum(abs(after - before) <= 3 for before, after in pairwise(drawn))
    expected = 2000 * 7 / size
    assert abs(near - expected) < 6 * math.sqrt(expected), near


async def test_malformed_packets_are_counted_and_go_nowhere(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await pair(engine, phone)
    alice_rtcp = phone()
    a.set_remote(alice.address, alice_rtcp.address, CODECS)
    alice.send(rtp(0, frame(0)))
    await bob.receive()
    chance = random.Random(4)
    good = rtp(1, frame(1))
    bad = [
        b"",
        b"\x80",
        good[:11],
        b"\x40" + good[1:],
        b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12),  # STUN
        b"\x8f" + good[1:60],
        b"\x90" + good[1:12] + b"\xbe\xde\xff\xff" + good[12:],
        b"\xa0" + good[1:-1] + b"\x00",
        b"\xa0" + good[1:-1] + b"\xff",
        good + bytes(3000),  # longer than any RTP
        bytes(60_000),
        *(b"\x00" + chance.randbytes(chance.randrange(200)) for _ in range(200)),
    ]
    for packet in bad:
        alice.send(packet)
        await asyncio.sleep(0.001)  # more at once were a flood
    await eventually(lambda: a.figures().malformed == len(bad))
    bad_rtcp = [b"", b"\x80\xc8", REPORT[:-1], b"\x40" + REPORT[1:], REPORT + b"\x80", good, bytes(3000)]
    for packet in bad_rtcp:
        alice_rtcp.send_to(packet, a.rtcp_port)
    await eventually(lambda: a.figures().malformed == len(bad) + len(bad_rtcp))
    await bob.silence()
    assert (a.figures().packets_in, a.figures().rtcp_in) == (1, 0)
    alice.send(good)
    assert (await bob.receive())[12:] == frame(1)
    a.close(), b.close()


async def test_a_phone_whose_port_is_closed_costs_no_packet_of_the_other(
    engine: MediaEngine, phone: Make
) -> None:
    """Each packet to it brings an ICMP message; what comes from it and from the other goes on."""
    a, alice, b, _ = await pair(engine, phone)
    gone = Phone()
    gone.attach(b)
    gone.send(rtp(0, frame(9)))
    assert (await alice.receive())[12:] == frame(9)
    address = gone.address
    gone.socket.close()
    for n in range(100):
        alice.send(rtp(n, frame(n)))
        await asyncio.sleep(0.001)
    await eventually(lambda: a.figures().packets_in == 100)
    assert b.figures().packets_out + b.figures().send_errors == 100
    back = phone(port=address.port)
    back.send(rtp(1, frame(10)), b)
    assert (await alice.receive())[12:] == frame(10)
    alice.send(rtp(100, frame(100)))
    assert (await back.receive())[12:] == frame(100)
    a.close(), b.close()


async def test_ipv6_bleeds_no_more(phone: Make) -> None:
    with closing(MediaEngine(listen="::1", ports=(42000, 43999))) as engine:
        engine.start()
        a, alice, b, bob = engine.open_leg(), phone("::1"), engine.open_leg(), phone("::1")
        alice.attach(a)
        bob.attach(b)
        a.connect(b)
        alice.send(rtp(0, frame(0)))
        await bob.receive()
        stranger = phone("::1")
        for n in range(50):
            stranger.send(rtp(n, EVIL), a)
        await eventually(lambda: a.figures().unknown_source == 50)
        await bob.silence()
        bob.send(rtp(0, frame(1)))
        assert (await alice.receive())[12:] == frame(1)
        assert nothing_came(stranger)
        assert a.figures().source == Address(*alice.socket.getsockname()[:2])


def test_the_attackers_address_exists() -> None:
    """All of 127/8 is loopback on Linux; elsewhere the tests above would show nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.66", 0))
