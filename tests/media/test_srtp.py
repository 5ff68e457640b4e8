"""Encrypted legs: phones that seal and open with pylibsrtp's own sessions talk through real sockets.

The relay calls libsrtp by its addresses; the phones go through the package's Python interface, so that both
directions, both kinds of packets and the keys are checked against somebody else's use of them.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

import pytest
from pylibsrtp import Error, Policy, Session

from forkproxy.errors import MediaError
from forkproxy.media import SRTP_SUITES, MediaEngine, MediaLeg, SrtpKeys
from forkproxy.model import Address, Frame
from tests.media.phones import CODECS, Phone, frame, rtp

Make = Callable[..., Phone]
PROFILES = {
    "AEAD_AES_256_GCM": Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
    "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
}
SHA1 = "AES_CM_128_HMAC_SHA1_80"


def key(suite: str, seed: int) -> bytes:
    return bytes((seed + n) & 0xFF for n in range(SRTP_SUITES[suite]))


class Sealed:
    """A phone's half of the keys: what it sends with is what the leg receives with."""

    def __init__(self, phone: Phone, suite: str = SHA1, seed: int = 1) -> None:
        self.phone = phone
        self.keys = SrtpKeys(suite, send=key(suite, seed), receive=key(suite, seed + 100))
        self.tx = self._session(suite, self.keys.receive, Policy.SSRC_ANY_OUTBOUND)
        self.rx = self._session(suite, self.keys.send, Policy.SSRC_ANY_INBOUND)

    @staticmethod
    def _session(suite: str, octets: bytes, kind: int) -> Session:
        return Session(Policy(key=octets, ssrc_type=kind, srtp_profile=PROFILES[suite]))

    def send(self, packet: bytes) -> bytes:
        sealed = bytes(self.tx.protect(packet))
        self.phone.send(sealed)
        return sealed

    async def receive(self) -> bytes:
        return bytes(self.rx.unprotect(await self.phone.receive()))


def attach(leg: MediaLeg, phone: Phone, sealed: Sealed | None, rtcp_port: int = 0) -> None:
    phone.leg = leg
    host, port = phone.address.host, phone.address.port
    leg.set_remote(
        phone.address, Address(host, rtcp_port or port + 1), CODECS, srtp=sealed.keys if sealed else None
    )


def call(
    engine: MediaEngine, phone: Make, suite: str | None = SHA1, other: str | None = None
) -> tuple[MediaLeg, Phone, Sealed, MediaLeg, Phone, Sealed]:
    """Alice speaks `suite`, bob `other`; None is plain (their `Sealed` is then not in use)."""
    a, b, alice, bob = engine.open_leg("a"), engine.open_leg("b"), phone(), phone()
    first, second = Sealed(alice, suite or SHA1, 1), Sealed(bob, other or SHA1, 50)
    attach(a, alice, first if suite else None)
    attach(b, bob, second if other else None)
    a.connect(b)
    return a, alice, first, b, bob, second


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not condition():
            await asyncio.sleep(0.005)


def test_every_suite_works_here() -> None:
    assert list(SRTP_SUITES) == list(PROFILES)
    assert dict(SRTP_SUITES) == {name: len(key(name, 0)) for name in PROFILES}


@pytest.mark.parametrize("suite", PROFILES)
async def test_an_encrypted_phone_and_a_plain_one(engine: MediaEngine, phone: Make, suite: str) -> None:
    a, alice, sealed, b, bob, _ = call(engine, phone, suite)
    wire = sealed.send(rtp(1, frame(1)))
    assert frame(1) not in wire
    assert (await bob.receive())[12:] == frame(1)
    bob.send(rtp(9, frame(2), ssrc=8))
    packet = await alice.receive()
    assert frame(2) not in packet
    assert bytes(sealed.rx.unprotect(packet))[12:] == frame(2)
    assert engine.counters()["srtp_sessions"] == 2
    a.close(), b.close()


@pytest.mark.parametrize("other", PROFILES)
async def test_each_leg_has_its_own_suite_and_keys(engine: MediaEngine, phone: Make, other: str) -> None:
    a, _, alice, b, _, bob = call(engine, phone, "AEAD_AES_128_GCM", other)
    for n in range(20):
        alice.send(rtp(n, frame(n)))
        assert (await bob.receive())[12:] == frame(n)
        bob.send(rtp(n, frame(n + 50), ssrc=8))
        assert (await alice.receive())[12:] == frame(n + 50)
    a.close(), b.close()


async def test_taps_hear_what_was_encrypted(engine: MediaEngine, phone: Make) -> None:
    a, _, alice, b, _, bob = call(engine, phone, SHA1, "AEAD_AES_256_GCM")
    heard: list[Frame] = []
    tap = a.tap(heard.extend)
    alice.send(rtp(1, frame(1)))
    bob.send(rtp(1, frame(2), ssrc=8))
    await bob.receive()
    await alice.receive()
    await until(lambda: {frame(1), frame(2)} <= {each.payload for each in heard})
    tap.close()
    a.close(), b.close()


async def test_a_prompt_is_encrypted(engine: MediaEngine, phone: Make) -> None:
    leg, alice = engine.open_leg(), phone()
    sealed = Sealed(alice, "AES_CM_128_HMAC_SHA1_32")
    attach(leg, alice, sealed)
    leg.play(frame(3) * 3)
    assert [(await sealed.receive())[12:] for _ in range(3)] == [frame(3)] * 3
    leg.close()


async def test_what_the_keys_do_not_open_is_counted_and_learns_nothing(
    engine: MediaEngine, phone: Make
) -> None:
    a, alice, sealed, b, bob, _ = call(engine, phone)
    alice.send(rtp(1, frame(1)))  # plain
    Sealed(alice, SHA1, 77).send(rtp(2, frame(2)))  # another key
    wire = bytearray(sealed.tx.protect(rtp(3, frame(3))))
    wire[20] ^= 1  # tampered with
    alice.send(bytes(wire))
    alice.send(b"\x80")
    await until(lambda: a.figures().srtp_auth_failed == 4)
    assert a.figures().source is None
    await bob.silence()
    right = sealed.send(rtp(4, frame(4)))
    assert (await bob.receive())[12:] == frame(4)
    alice.send(right)
    await until(lambda: a.figures().srtp_replayed == 1)
    await bob.silence()
    assert a.figures().packets_in == 1
    a.close(), b.close()


async def test_a_duplicate_is_not_sealed_twice(engine: MediaEngine, phone: Make) -> None:
    """The same number twice from a plain leg would use one key stream twice."""
    a, _, alice, b, bob, _ = call(engine, phone)
    for _ in range(2):
        bob.send(rtp(1, frame(1), ssrc=8))
    bob.send(rtp(2, frame(2), ssrc=8))
    assert (await alice.receive())[12:] == frame(1)
    assert (await alice.receive())[12:] == frame(2)
    assert a.figures().srtp_unsent == 1
    a.close(), b.close()


async def test_rtcp_is_encrypted_both_ways(engine: MediaEngine, phone: Make) -> None:
    a, b = engine.open_leg("a"), engine.open_leg("b")
    alice, bob, alice_rtcp, bob_rtcp = phone(), phone(), phone(), phone()
    sealed = Sealed(alice)
    attach(a, alice, sealed, alice_rtcp.address.port)
    attach(b, bob, None, bob_rtcp.address.port)
    a.connect(b)
    sealed.send(rtp(1, frame(1)))
    bob.send(rtp(1, frame(1), ssrc=8))
    await bob.receive()
    await sealed.receive()
    report = struct.pack(">BBHIQIII", 0x80, 200, 6, 7, 99, 160, 1, 160)
    alice_rtcp.send_to(report, a.rtcp_port)  # plain: refused
    await until(lambda: a.figures().srtp_auth_failed == 1)
    alice_rtcp.send_to(bytes(sealed.tx.protect_rtcp(report)), a.rtcp_port)
    assert (await bob_rtcp.receive())[:4] == report[:4]
    bob_rtcp.send_to(report.replace(struct.pack(">I", 7), struct.pack(">I", 8), 1), b.rtcp_port)
    packet = await alice_rtcp.receive()
    assert packet[8:28] != report[8:28]
    assert bytes(sealed.rx.unprotect_rtcp(packet))[8:16] == report[8:16]
    a.close(), b.close()


async def test_new_keys_follow_the_former_without_a_gap(engine: MediaEngine, phone: Make) -> None:
    a, alice, old, b, bob, _ = call(engine, phone)
    old.send(rtp(1, frame(1)))
    assert (await bob.receive())[12:] == frame(1)
    new = Sealed(alice, "AEAD_AES_256_GCM", 9)
    attach(a, alice, new)
    old.send(rtp(2, frame(2)))  # was on its way
    assert (await bob.receive())[12:] == frame(2)
    new.send(rtp(3, frame(3)))
    assert (await bob.receive())[12:] == frame(3)
    old.send(rtp(4, frame(4)))
    await until(lambda: a.figures().srtp_auth_failed == 1)
    bob.send(rtp(1, frame(5), ssrc=8))
    packet = await alice.receive()
    with pytest.raises(Error):
        old.rx.unprotect(packet)
    assert bytes(new.rx.unprotect(packet))[12:] == frame(5)
    a.close(), b.close()


async def test_the_same_keys_go_on_over_a_wrap(engine: MediaEngine, phone: Make) -> None:
    """The rollover counter is the key's: a second set_remote with it must not set it back."""
    a, alice, sealed, b, bob, _ = call(engine, phone)
    for n in range(65530, 65540):
        sealed.send(rtp(n % 65536, frame(n), ts=n * 160))
        assert (await bob.receive())[12:] == frame(n)
    attach(a, alice, sealed)
    sealed.send(rtp(4, frame(7), ts=65540 * 160))
    assert (await bob.receive())[12:] == frame(7)
    a.close(), b.close()


async def test_another_ssrc_of_the_phone_is_heard(engine: MediaEngine, phone: Make) -> None:
    a, _, alice, b, bob, _ = call(engine, phone)
    for ssrc in range(7, 12):
        alice.send(rtp(1, frame(ssrc), ssrc=ssrc))
        assert (await bob.receive())[12:] == frame(ssrc)
    assert a.figures().ssrc_changes == 4
    a.close(), b.close()


async def test_a_leg_may_become_plain_again(engine: MediaEngine, phone: Make) -> None:
    a, alice, sealed, b, bob, _ = call(engine, phone)
    sealed.send(rtp(1, frame(1)))
    await bob.receive()
    attach(a, alice, None)
    alice.send(rtp(2, frame(2)))
    assert (await bob.receive())[12:] == frame(2)
    a.close(), b.close()


def test_keys_are_checked_and_never_shown() -> None:
    keys = SrtpKeys(SHA1, send=b"s" * 30, receive=b"r" * 30)
    assert "sss" not in repr(keys)
    assert "rrr" not in repr(keys)
    with pytest.raises(MediaError, match=r"29 octets, but .* takes 30"):
        SrtpKeys(SHA1, send=b"s" * 29, receive=b"r" * 30)
    with pytest.raises(MediaError, match="NULL_HMAC_SHA1_80"):
        SrtpKeys("NULL_HMAC_SHA1_80", send=b"s" * 30, receive=b"r" * 30)
