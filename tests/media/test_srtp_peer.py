"""Encrypted legs against a second reading of the RFCs: the phones here share no code with libsrtp.

What only libsrtp's own sessions could get wrong on both sides shows here, as does what a phone may do that is
out of the ordinary: wraps, RTCP on the RTP port, any number of SSRCs, packets cut short.
"""

from __future__ import annotations

import asyncio
import random
import struct
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from forkproxy.errors import MediaError
from forkproxy.media import SRTP_SUITES, MediaEngine, MediaLeg, SrtpKeys
from forkproxy.media import srtp as srtp_module
from forkproxy.model import Address
from tests.media.phones import CODECS, Phone, frame, rtp
from tests.media.test_srtp import until
from tests.support.srtp import SALTS, CipherKeys, SrtpPeer, derive

Make = Callable[..., Phone]
SHA1 = "AES_CM_128_HMAC_SHA1_80"
GCM = "AEAD_AES_128_GCM"
REPORT = struct.pack(">BBHIQIII", 0x80, 200, 6, 7, 99, 160, 1, 160)


def keys(suite: str, send: int = 1, receive: int = 2) -> SrtpKeys:
    octets = SRTP_SUITES[suite]
    return SrtpKeys(suite, random.Random(send).randbytes(octets), random.Random(receive).randbytes(octets))


class Secret:
    """A phone, its RTCP port, and both directions of its keys."""

    def __init__(
        self, leg: MediaLeg, make: Make, with_keys: SrtpKeys | None, codecs: object = CODECS
    ) -> None:
        self.leg = leg
        self.codecs = codecs
        self.rtp, self.rtcp = make(), make()
        self.rtp.leg = leg
        self.attach(with_keys)

    def attach(self, with_keys: SrtpKeys | None) -> None:
        """As after an answer with these keys."""
        self.leg.set_remote(self.rtp.address, self.rtcp.address, self.codecs, srtp=with_keys)  # type: ignore[arg-type]
        if with_keys is not None:
            self.seals = SrtpPeer(with_keys.suite, with_keys.receive)
            self.opens = SrtpPeer(with_keys.suite, with_keys.send)

    def send(self, packet: bytes, roc: int = 0) -> None:
        self.rtp.send(self.seals.seal(packet, roc))

    async def receive(self, roc: int = 0) -> bytes:
        return self.opens.open(await self.rtp.receive(), roc)


@pytest.fixture
def legs(engine: MediaEngine) -> Iterator[tuple[MediaLeg, MediaLeg]]:
    both = engine.open_leg("a"), engine.open_leg("b")
    both[0].connect(both[1])
    yield both
    for leg in both:
        leg.close()


Legs = tuple[MediaLeg, MediaLeg]


def test_the_peer_derives_keys_as_rfc_3711_b_3() -> None:
    master, salt = "E1F97A0D3E018BE0D64FA32C06DE4139", "0EC675AD498AFEEBB6960B3AABE6"
    derived = [derive(bytes.fromhex(master), bytes.fromhex(salt), label, 16).hex() for label in (0, 1, 2)]
    assert derived[0] == "c61e7a93744f39ee10734afe3ff7a087"
    assert derived[1] == "cebe321f6ff7716b6fd4ab49af256a15"
    assert derived[2][:28] == "30cbbc08863d8c85d49db34a9ae1"


def test_the_peer_encrypts_as_rfc_7714_16_1_1() -> None:
    session = CipherKeys(GCM, bytes(28), (0, 1, 2), 16)
    session.key, session.salt = bytes(range(16)), b"Quid pro quo"
    header = bytes.fromhex("8040f17b8041f8d35501a0b2")
    secret = session.encrypt(0x5501A0B2, 0xF17B, b"Gallia est omnis divisa in partes tres", header)
    assert secret.hex() == (
        "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833"
        "899d7f27beb16a9152cf765ee4390cce"
    )


@pytest.mark.parametrize("suite", SALTS)
async def test_audio_and_reports_both_ways(legs: Legs, phone: Make, suite: str) -> None:
    """Mu-law on the encrypted leg, A-law on the plain one: there is conversion in between."""
    alice = Secret(legs[0], phone, keys(suite), {0: "PCMU"})
    bob = Secret(legs[1], phone, None, {8: "PCMA"})
    alice.send(rtp(1, b"\x80" * 160))
    assert (await bob.rtp.receive())[12:] == b"\xaa" * 160
    bob.rtp.send(rtp(1, b"\xaa" * 160, pt=8, ssrc=8))
    plain = await alice.receive()
    assert plain[12:] == b"\x80" * 160
    ssrc = plain[8:12]
    for n in range(3):
        alice.rtcp.send_to(alice.seals.seal_rtcp(REPORT), legs[0].rtcp_port)
        assert (await bob.rtcp.receive())[8:16] == REPORT[8:16]
        bob.rtcp.send_to(REPORT.replace(b"\0\0\0\7", b"\0\0\0\10", 1), legs[1].rtcp_port)
        sealed = await alice.rtcp.receive()
        report = alice.opens.open_rtcp(sealed)
        assert report[4:16] == ssrc + REPORT[8:16]
        assert sealed[len(sealed) - 4 - (0 if "GCM" in suite else 10) :][:4] == struct.pack(
            ">I", 1 << 31 | n + 1
        )


async def test_both_legs_encrypted_with_packets_of_any_size(legs: Legs, phone: Make) -> None:
    alice, bob = Secret(legs[0], phone, keys(SHA1)), Secret(legs[1], phone, keys(GCM, 3, 4))
    for n, octets in enumerate((0, 1, 80, 160, 480, 1400, 2000)):
        alice.send(rtp(n, bytes([n]) * octets))
        assert (await bob.receive())[12:] == bytes([n]) * octets
        bob.send(rtp(n, bytes([n]) * octets, ssrc=8))
        assert (await alice.receive())[12:] == bytes([n]) * octets


async def test_a_report_on_the_rtp_port_is_opened_as_rtcp(legs: Legs, phone: Make) -> None:
    alice, bob = Secret(legs[0], phone, keys(GCM)), Secret(legs[1], phone, None)
    alice.send(rtp(1, frame(1)))
    await bob.rtp.receive()
    alice.rtp.send(alice.seals.seal_rtcp(REPORT))
    assert (await bob.rtcp.receive())[8:16] == REPORT[8:16]
    assert legs[0].figures().rtcp_in == 1


async def wrapped(alice: Secret, bob: Secret) -> int:
    """Let what alice gets run over 65,535, by gaps in what bob sends; the next number of bob's."""
    before, n = -1, 0
    while True:
        bob.rtp.send(rtp(n, frame(1), ssrc=8))
        packet = await alice.rtp.receive()
        sequence = struct.unpack_from(">H", packet, 2)[0]
        if sequence < before:
            assert alice.opens.open(packet, 1)[12:] == frame(1)
            return n + 1
        assert alice.opens.open(packet)[12:] == frame(1)
        before, n = sequence, n + 2900


@pytest.mark.parametrize("suite", [SHA1, GCM])
async def test_what_we_send_goes_on_over_a_wrap(legs: Legs, phone: Make, suite: str) -> None:
    """A new key of the phone's leaves ours and its rollover counter alone; our own new key begins anew."""
    alice, bob = Secret(legs[0], phone, keys(suite)), Secret(legs[1], phone, None)
    n = await wrapped(alice, bob)
    alice.attach(keys(suite, receive=77))
    bob.rtp.send(rtp(n, frame(2), ssrc=8))
    assert (await alice.receive(roc=1))[12:] == frame(2)
    alice.send(rtp(1, frame(3)))
    assert (await bob.rtp.receive())[12:] == frame(3)
    alice.attach(keys(suite, send=78, receive=77))
    bob.rtp.send(rtp(n + 1, frame(4), ssrc=8))
    assert (await alice.receive(roc=0))[12:] == frame(4)
    alice.send(rtp(2, frame(5)))
    assert (await bob.rtp.receive())[12:] == frame(5)


async def test_one_key_is_heard_on_so_many_ssrcs_and_no_more(
    engine: MediaEngine, legs: Legs, phone: Make
) -> None:
    alice, bob = Secret(legs[0], phone, keys(SHA1)), Secret(legs[1], phone, None)
    for ssrc in range(32):
        alice.send(rtp(1, frame(ssrc), ssrc=ssrc))
        assert (await bob.rtp.receive())[12:] == frame(ssrc)
    alice.send(rtp(1, frame(40), ssrc=32))
    await until(lambda: legs[0].figures().srtp_auth_failed == 1)
    alice.send(rtp(2, frame(41), ssrc=0))
    assert (await bob.rtp.receive())[12:] == frame(41)
    assert engine.counters()["srtp_sessions"] == 2


async def test_packets_cut_short_or_made_up_are_counted(legs: Legs, phone: Make) -> None:
    alice, bob = Secret(legs[0], phone, keys(SHA1)), Secret(legs[1], phone, None)
    dice = random.Random(3)
    ports = {legs[0].rtp_port: alice.rtp, legs[0].rtcp_port: alice.rtcp}
    sealed = {
        legs[0].rtp_port: alice.seals.seal(b"\x92" + rtp(1, b"", ssrc=7)[1:] + bytes(20)),
        legs[0].rtcp_port: alice.seals.seal_rtcp(REPORT),
    }
    count = 0
    for port, each in ports.items():
        whole = sealed[port]
        bad = [whole[:length] for length in range(1, len(whole))]
        bad += [whole[:2] + dice.randbytes(dice.randrange(2000)) for _ in range(30)]
        for packet in bad:
            each.send_to(packet, port)
            count += 1
            await until(lambda: legs[0].figures().srtp_auth_failed == count)  # noqa: B023
    figures = legs[0].figures()
    assert figures.packets_in == figures.rtcp_in == figures.malformed == 0
    assert figures.source is None
    await bob.rtp.silence()


async def test_a_report_that_names_no_ssrc_is_not_sealed(legs: Legs, phone: Make) -> None:
    """An SDES packet of no chunks, first in a plain packet, would lend libsrtp any four octets as an SSRC."""
    alice, bob = Secret(legs[0], phone, keys(SHA1)), Secret(legs[1], phone, None)
    bob.rtp.send(rtp(1, frame(1), ssrc=8))
    await alice.receive()
    bob.rtcp.send_to(b"\x80\xca\0\0" + REPORT, legs[1].rtcp_port)
    await until(lambda: legs[0].figures().send_errors == 1)
    bob.rtcp.send_to(REPORT, legs[1].rtcp_port)
    assert alice.opens.open_rtcp(await alice.rtcp.receive())[8:16] == REPORT[8:16]


async def test_a_key_of_ours_seals_only_our_stream_whatever_is_connected(
    engine: MediaEngine, legs: Legs, phone: Make
) -> None:
    """Another callee takes over, then a prompt: still one SSRC with rising numbers, none of them twice."""
    alice, bob = Secret(legs[0], phone, keys(GCM)), Secret(legs[1], phone, None)
    third = engine.open_leg("c")
    carol = Secret(third, phone, keys(SHA1, 5, 6))
    seen = []
    bob.rtp.send(rtp(500, frame(1), ssrc=8))
    seen.append(await alice.receive())
    legs[0].connect(third)
    carol.send(rtp(20, frame(2), ssrc=9))
    seen.append(await alice.receive())
    legs[0].play(frame(3))
    seen.append(await alice.receive())
    assert [packet[12:] for packet in seen] == [frame(1), frame(2), frame(3)]
    assert len({packet[8:12] for packet in seen}) == 1
    numbers = [struct.unpack_from(">H", packet, 2)[0] for packet in seen]
    assert [(number - numbers[0]) & 0xFFFF for number in numbers] == [0, 1, 2]
    third.close()


async def test_sessions_end_with_their_leg_and_with_their_key(engine: MediaEngine, phone: Make) -> None:
    """A leg holds one session a direction, and after a change of keys the one it listened with before."""
    leg = engine.open_leg()
    alice = Secret(leg, phone, keys(SHA1))
    held = [engine.counters()["srtp_sessions"]]
    for n in range(20):
        alice.attach(keys(GCM, 100 + n, 200 + n))
    held.append(engine.counters()["srtp_sessions"])
    alice.attach(None)
    held.append(engine.counters()["srtp_sessions"])
    alice.attach(keys(SHA1))
    leg.close()
    held.append(engine.counters()["srtp_sessions"])
    assert held == [2, 3, 0, 0]
    with pytest.raises(MediaError, match="closed"):
        leg.set_remote(Address("127.0.0.1", 9), Address("127.0.0.1", 10), CODECS, srtp=keys(SHA1))


@pytest.fixture
def unloaded() -> Iterator[None]:
    """The library is looked for anew, before and after."""
    srtp_module._library.cache_clear()
    yield
    srtp_module._library.cache_clear()


@pytest.mark.usefixtures("unloaded")
async def test_a_library_that_is_missing_is_one_sentence(
    engine: MediaEngine, phone: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = keys(SHA1)

    def missing(name: str) -> object:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(srtp_module, "importlib", SimpleNamespace(import_module=missing))
    assert not srtp_module._Suites()
    leg, alice = engine.open_leg(), phone()
    with pytest.raises(MediaError, match=r"SRTP needs the package pylibsrtp.*No module named 'pylibsrtp'"):
        leg.set_remote(alice.address, alice.address, CODECS, srtp=given)
    alice.attach(leg)  # it still takes plain calls
    leg.close()


@pytest.mark.usefixtures("unloaded")
async def test_a_library_that_speaks_otherwise_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """libsrtp 3 has other arguments: calling it would write where it must not."""
    monkeypatch.setattr(srtp_module, "_TRANSFORM", "srtp_err_status_t(*)(something else)")
    with pytest.raises(MediaError, match=r"a function is srtp_err_status_t\(\*\)\(struct srtp_ctx_t_"):
        srtp_module._library()


async def test_nothing_is_loaded_before_somebody_asks() -> None:
    code = "import sys, forkproxy.media; print('pylibsrtp' in sys.modules, len(forkproxy.media.SRTP_SUITES))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert output.split() == [b"False", b"4"]
