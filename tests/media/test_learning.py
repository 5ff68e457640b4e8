"""Whom a leg believes: the signalled address, NAT's other port, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from forkproxy.errors import MediaError
from forkproxy.media import MediaEngine, MediaLeg
from forkproxy.model import Address
from tests.media.phones import CODECS, Phone, frame, pair, rtp

Make = Callable[..., Phone]
NOBODY = Address("127.0.0.1", 9)


async def eventually(condition: Callable[[], bool]) -> None:
    """The relay has no event for what it drops."""
    for _ in range(300):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that within three seconds")


async def heard_from(leg: MediaLeg, sender: Phone, count: int = 1) -> int:
    """Send `count` packets; how many of them the leg takes."""
    before = leg.figures()
    for n in range(count):
        sender.send(rtp(n, frame(n)), leg)

    def settled() -> bool:
        now = leg.figures()
        taken = now.packets_in - before.packets_in
        return taken + now.unknown_source - before.unknown_source + now.not_negotiated == count

    await eventually(settled)
    return leg.figures().packets_in - before.packets_in


async def test_nat_changes_the_port(engine: MediaEngine, phone: Make) -> None:
    a, _, b, bob = await pair(engine, phone)
    behind_nat, other = phone(), phone()
    assert await heard_from(a, behind_nat) == 1
    assert a.figures().source == behind_nat.address
    bob.send(rtp(1, frame(5)))
    assert (await behind_nat.receive())[12:] == frame(5)
    assert await heard_from(a, other, 3) == 0
    a.close(), b.close()


async def test_the_signalled_address_wins_even_late(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await pair(engine, phone)
    early = phone()
    assert await heard_from(a, early) == 1
    assert await heard_from(a, alice) == 1
    assert a.figures().source == alice.address
    assert await heard_from(a, early) == 0
    bob.send(rtp(1, frame(5)))
    assert (await alice.receive())[12:] == frame(5)
    a.close(), b.close()


async def test_without_latching_only_the_signalled_address_is_believed(
    engine: MediaEngine, phone: Make
) -> None:
    leg = engine.open_leg()
    alice, other = phone(), phone()
    leg.set_remote(alice.address, alice.address, CODECS, latch=False)
    assert await heard_from(leg, other) == 0
    assert await heard_from(leg, alice) == 1
    leg.close()


async def test_behind_nat_with_a_private_address(engine: MediaEngine, phone: Make) -> None:
    """The SDP says 10.1.2.3, the SIP came from 127.0.0.5: so may the audio, whichever port is first."""
    leg = engine.open_leg()
    router, stranger = phone("127.0.0.5"), phone("127.0.0.6")
    inside = Address("10.1.2.3", 5004)
    leg.set_remote(inside, inside, CODECS, signalled_from="127.0.0.5")
    assert await heard_from(leg, stranger) == 0
    assert await heard_from(leg, router) == 1
    assert leg.figures().source == router.address
    assert await heard_from(leg, phone("127.0.0.5")) == 0
    leg.close()


async def test_a_public_address_is_believed_more_than_the_signalling(
    engine: MediaEngine, phone: Make
) -> None:
    leg = engine.open_leg()
    public = Address("8.8.8.8", 5004)
    leg.set_remote(public, public, CODECS, signalled_from="127.0.0.5")
    assert await heard_from(leg, phone("127.0.0.5")) == 0
    leg.close()


async def test_a_changed_address_is_learned_afresh(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await pair(engine, phone)
    assert await heard_from(a, alice, 2) == 2
    moved = phone()
    moved.attach(a)
    assert a.figures().source is None
    assert await heard_from(a, moved) == 1
    assert await heard_from(a, alice) == 0
    bob.send(rtp(1, frame(5)))
    assert (await moved.receive())[12:] == frame(5)
    a.close(), b.close()


async def test_the_same_address_again_changes_nothing(engine: MediaEngine, phone: Make) -> None:
    leg = engine.open_leg()
    alice = phone()
    alice.attach(leg)
    assert await heard_from(leg, alice) == 1
    alice.attach(leg)
    assert leg.figures().source == alice.address
    assert await heard_from(leg, phone()) == 0
    leg.close()


async def test_nothing_is_taken_before_the_address_is_known(engine: MediaEngine, phone: Make) -> None:
    leg = engine.open_leg()
    alice = phone()
    alice.send(rtp(1, frame(1)), leg)
    await eventually(lambda: leg.figures().not_negotiated == 1)
    assert leg.figures().packets_in == 0
    leg.close()


async def test_a_foreign_payload_type_does_not_lock(engine: MediaEngine, phone: Make) -> None:
    leg = engine.open_leg()
    alice, other = phone(), phone()
    alice.attach(leg)
    other.send(rtp(1, frame(1), pt=34), leg)
    other.send(b"\x80\x00", leg)
    await eventually(lambda: leg.figures().unknown_payload + leg.figures().malformed == 2)
    assert leg.figures().source is None
    assert await heard_from(leg, alice) == 1
    leg.close()


async def test_a_flood_is_counted_and_starves_nobody(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await pair(engine, phone)
    alice.send(rtp(0, frame(0)))
    await bob.receive()
    mallory = phone("127.0.0.3")
    for burst in range(20):
        for n in range(100):
            mallory.send(rtp(n, frame(n)), a)
        alice.send(rtp(burst + 1, frame(burst)))
        assert (await bob.receive())[12:] == frame(burst)
    mallory.send(rtp(0, frame(0)), a)
    await eventually(lambda: a.figures().unknown_source == 2001)
    a.close(), b.close()


async def test_no_other_program_gets_a_share_of_the_port(engine: MediaEngine, phone: Make) -> None:
    """The guard shares the port with the connected socket; that door must be shut again."""
    leg = engine.open_leg()
    alice = phone()
    alice.attach(leg)
    assert await heard_from(leg, alice) == 1
    assert engine.counters()["ports"] == 3
    thief = Phone.reusing()
    with pytest.raises(OSError, match="in use"):
        thief.bind(("127.0.0.1", leg.rtp_port))
    thief.close()
    leg.close()


async def test_rtcp_goes_to_the_other_phone(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await pair(engine, phone)
    alice_rtcp, bob_rtcp, mallory = phone(), phone(), phone("127.0.0.3")
    a.set_remote(alice.address, alice_rtcp.address, CODECS)
    b.set_remote(bob.address, bob_rtcp.address, CODECS)
    for n in range(3):
        alice.send(rtp(n + 10, frame(n)))
        sent = await bob.receive()
    report = bytes.fromhex("80c80006 00000007 0000000000000001 00000640 00000003 000001e0".replace(" ", ""))
    mallory.send_to(report, a.rtcp_port)
    alice_rtcp.send_to(b"\x80\xc9\x00\x01", a.rtcp_port)
    alice_rtcp.send_to(report, a.rtcp_port)
    got = await bob_rtcp.receive()
    assert got[4:8] == sent[8:12]  # the sender's stream, by the name that bob knows it by
    shift = int.from_bytes(sent[4:8], "big") - 12 * 160
    assert int.from_bytes(got[16:20], "big") == (0x640 + shift) % 2**32
    figures = a.figures()
    assert (figures.rtcp_in, figures.malformed, figures.unknown_source) == (1, 1, 1)
    assert b.figures().rtcp_out == 1
    alice.send(report)  # on the RTP port, as with rtcp-mux
    assert (await bob_rtcp.receive())[4:8] == sent[8:12]
    a.close(), b.close()


async def test_ipv6(phone: Make) -> None:
    engine = MediaEngine(listen="::1")
    engine.start()
    a, b = engine.open_leg(), engine.open_leg()
    alice, bob = phone("::1"), phone("::1")
    alice.attach(a)
    bob.attach(b)
    a.connect(b)
    for n in range(3):
        alice.send(rtp(n, frame(n)))
        assert (await bob.receive())[12:] == frame(n)
    assert a.figures().source == alice.address
    assert await heard_from(a, phone("::1"), 2) == 0
    engine.close()
    assert engine.counters()["ports"] == 0


async def test_a_call_between_ipv4_and_ipv6(phone: Make) -> None:
    engine = MediaEngine(listen="::")
    engine.start()
    a, b = engine.open_leg(), engine.open_leg()
    alice, bob = phone("127.0.0.1"), phone("::1")
    alice.attach(a)
    bob.attach(b)
    a.connect(b)
    for n in range(3):
        alice.send(rtp(n, frame(n)))
        assert (await bob.receive())[12:] == frame(n)
        bob.send(rtp(n, frame(n + 7)))
        assert (await alice.receive())[12:] == frame(n + 7)
    assert (a.figures().source, b.figures().source) == (alice.address, bob.address)
    for leg in (a, b):  # strangers of both families are heard of, and not heard
        assert await heard_from(leg, phone("127.0.0.1"), 2) == 0
        assert await heard_from(leg, phone("::1"), 2) == 0
        assert leg.figures().unknown_source == 4
    engine.close()
    assert engine.counters()["ports"] == 0


async def test_families_do_not_mix(engine: MediaEngine) -> None:
    leg = engine.open_leg()
    with pytest.raises(MediaError, match="IPv6"):
        leg.set_remote(Address("2001:db8::1", 5004), Address("2001:db8::1", 5005), CODECS)
    leg.close()
    with pytest.raises(MediaError, match=r"cannot listen on 192\.0\.2\.1"):
        MediaEngine(listen="192.0.2.1")
