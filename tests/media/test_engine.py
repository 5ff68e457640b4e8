"""The engine with real sockets: what two phones send each other, what taps are given, who is believed."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

import pytest

from forkproxy.errors import MediaError, PortsExhausted
from forkproxy.media import MediaEngine
from forkproxy.model import Address, Frame, FrameFlag, Track
from tests.media.phones import CODECS, Phone, frame, pair, rtp


async def test_two_phones_hear_each_other(engine: MediaEngine, phone: Callable[..., Phone]) -> None:
    a, alice, b, bob = await pair(engine, phone)
    last = None
    for n in range(5):
        alice.send(rtp(n + 100, frame(n)))
        packet = await bob.receive()
        assert packet[12:] == frame(n)
        assert packet[1] & 0x7F == 0
        sequence, timestamp, ssrc = struct.unpack_from(">HII", packet, 2)
        if last is not None:
            assert ((sequence - last[0]) & 0xFFFF, (timestamp - last[1]) & 0xFFFFFFFF) == (1, 160)
            assert ssrc == last[2]
        last = sequence, timestamp, ssrc
        bob.send(rtp(n, frame(n + 50), ssrc=9))
        assert (await alice.receive())[12:] == frame(n + 50)
    assert (a.figures().packets_in, b.figures().packets_out, a.figures().lost) == (5, 5, 0)
    figures = a.close(), b.close()
    assert [each.source for each in figures] == [alice.address, bob.address]
    assert a.close() == figures[0]


async def test_telephone_events_pass_and_payload_types_are_renumbered(
    engine: MediaEngine, phone: Callable[..., Phone]
) -> None:
    a, alice, b, bob = await pair(engine, phone)
    b.set_remote(bob.address, Address("127.0.0.1", 9), {0: "PCMU", 96: "TELEPHONE-EVENT"})
    alice.send(rtp(1, b"\x05\x0a\x00\xa0", pt=101, marker=True))
    packet = await bob.receive()
    assert packet[1] == 96 | 0x80
    assert packet[12:] == b"\x05\x0a\x00\xa0"
    a.close(), b.close()


async def test_a_third_party_neither_diverts_nor_enters_the_audio(
    engine: MediaEngine, phone: Callable[..., Phone]
) -> None:
    """The RTP bleed attack: a stranger floods a port while the phones talk."""
    a, alice, b, bob = await pair(engine, phone)
    mallory = phone("127.0.0.2")
    heard: list[Frame] = []
    tap = a.tap(heard.extend)
    alice.send(rtp(1, frame(1)))
    assert (await bob.receive())[12:] == frame(1)
    for n in range(200):
        mallory.send(rtp(n, b"\x10" * 160, ssrc=666), a)
    await bob.silence()
    bob.send(rtp(1, frame(3), ssrc=9))
    assert (await alice.receive())[12:] == frame(3)
    await mallory.silence(0.05)
    await asyncio.sleep(0.2)
    tap.close()
    assert a.figures().unknown_source == 200
    assert engine.counters()["dropped_unknown_source"] == 200
    assert all(each.payload != b"\x10" * 160 for each in heard)
    a.close(), b.close()


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x80",
        b"\x80" * 11,
        b"\x00" * 40,
        b"\x8f" + b"\0" * 20,
        b"\x90" + b"\0" * 11,
        b"\xa0" + b"\xff" * 30,
    ],
)
async def test_what_is_no_rtp_is_dropped_and_counted(
    engine: MediaEngine, phone: Callable[..., Phone], packet: bytes
) -> None:
    a, alice, b, bob = await pair(engine, phone)
    alice.send(packet)
    await bob.silence()
    assert a.figures().malformed == 1
    alice.send(rtp(1, frame(1)))
    assert (await bob.receive())[12:] == frame(1)
    a.close(), b.close()


async def test_every_frame_reaches_the_tap_octet_by_octet(
    engine: MediaEngine, phone: Callable[..., Phone]
) -> None:
    a, alice, b, bob = await pair(engine, phone)
    heard: list[Frame] = []
    tap = a.tap(heard.extend)
    loop = asyncio.get_running_loop()
    start = loop.time()
    for n in range(60):
        alice.send(rtp(n, frame(n)))
        bob.send(rtp(n, frame(n + 61), ssrc=9))
        await asyncio.sleep(max(0.0, start + (n + 1) * 0.02 - loop.time()))
    await asyncio.sleep(0.3)
    figures = tap.close()
    assert figures.dropped == 0
    for track, first in ((Track.INBOUND, 0), (Track.OUTBOUND, 61)):
        frames = [each for each in heard if each.track is track]
        assert [each.number for each in frames] == list(range(len(frames)))
        spoken = [each.payload for each in frames if each.flags & FrameFlag.RECEIVED]
        assert spoken == [frame(first + n) for n in range(60)]
        assert figures.received[track] == 60
    numbers = [each.number for each in heard]
    assert numbers == sorted(numbers)
    a.close(), b.close()


async def test_a_silent_leg_still_has_fifty_frames_a_second(engine: MediaEngine) -> None:
    leg = engine.open_leg()
    heard: list[Frame] = []
    loop = asyncio.get_running_loop()
    start = loop.time()
    tap = leg.tap(heard.extend)
    await asyncio.sleep(1.0)
    tap.close()
    expected = (loop.time() - start) * 50
    inbound = [each for each in heard if each.track is Track.INBOUND]
    assert abs(len(inbound) - expected) <= 6
    assert len(inbound) * 2 == len(heard)
    assert {each.flags for each in heard} == {FrameFlag.SILENCE}
    assert {each.payload for each in heard} == {b"\xff" * 160}
    leg.close()


async def test_a_law_is_tapped_as_mu_law(engine: MediaEngine, phone: Callable[..., Phone]) -> None:
    a, alice, b, _ = await pair(engine, phone)
    heard: list[Frame] = []
    tap = a.tap(heard.extend, (Track.INBOUND,))
    for n in range(10):
        alice.send(rtp(n, b"\xd5" * 160, pt=8))  # the smallest positive A-law value
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
    tap.close()
    spoken = {each.payload for each in heard if each.flags & FrameFlag.RECEIVED}
    assert len(spoken) == 1
    (payload,) = spoken
    assert payload in (b"\xfe" * 160, b"\xff" * 160)
    a.close(), b.close()


async def test_a_prompt_is_paced_replaces_the_other_side_and_is_tapped(
    engine: MediaEngine, phone: Callable[..., Phone]
) -> None:
    a, alice, b, bob = await pair(engine, phone)
    heard: list[Frame] = []
    tap = a.tap(heard.extend, (Track.OUTBOUND,))
    done = asyncio.Event()
    audio = b"".join(frame(n) for n in range(10))
    a.play(audio, on_done=done.set)
    bob.send(rtp(1, b"\x22" * 160, ssrc=9))
    packets = [await alice.receive() for _ in range(10)]
    await asyncio.wait_for(done.wait(), 2)
    assert b"".join(packet[12:] for packet in packets) == audio
    sequences = [struct.unpack_from(">H", packet, 2)[0] for packet in packets]
    assert [(each - sequences[0]) & 0xFFFF for each in sequences] == list(range(10))
    bob.send(rtp(2, frame(77), ssrc=9))
    after = await alice.receive()
    assert after[12:] == frame(77)
    assert struct.unpack_from(">I", after, 8) == struct.unpack_from(">I", packets[0], 8)  # one stream
    await asyncio.sleep(0.2)
    tap.close()
    said = b"".join(each.payload for each in heard if each.flags & FrameFlag.RECEIVED)
    assert audio in said
    a.close(), b.close()


async def test_a_loop_plays_until_it_is_stopped(engine: MediaEngine, phone: Callable[..., Phone]) -> None:
    a, alice, b, _ = await pair(engine, phone)
    playback = a.play(frame(1) + frame(2), loops=0)
    packets = [(await alice.receive())[12:] for _ in range(6)]
    assert packets == [frame(1), frame(2)] * 3
    playback.stop()
    playback.stop()
    assert not playback.playing
    a.close(), b.close()


async def test_several_taps_hear_the_same_and_one_that_fails_hurts_nobody(
    engine: MediaEngine, phone: Callable[..., Phone], caplog: pytest.LogCaptureFixture
) -> None:
    a, alice, b, _ = await pair(engine, phone)
    first: list[Frame] = []
    second: list[Frame] = []

    def broken(frames: list[Frame]) -> None:
        raise ValueError("a tap's own fault")

    taps = [a.tap(first.extend), a.tap(broken), a.tap(second.extend)]
    for n in range(20):
        alice.send(rtp(n, frame(n)))
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
    for tap in taps:
        tap.close()
    said = [
        [each.payload for each in heard if each.track is Track.INBOUND and each.flags & FrameFlag.RECEIVED]
        for heard in (first, second)
    ]
    # A machine that is busy with other tests may send some too late to be heard; both miss the same then.
    assert said[0] == said[1] == [frame(n) for n in range(20) if frame(n) in said[0]]
    assert len(said[0]) > 10
    assert engine.counters()["callback_errors"] > 0
    assert "a tap's own fault" in caplog.text
    a.close(), b.close()


async def test_ports_run_out_and_come_back() -> None:
    engine = MediaEngine(ports=(44100, 44103))
    engine.start()
    legs = [engine.open_leg(), engine.open_leg()]
    assert {leg.rtp_port for leg in legs} == {44100, 44102}
    with pytest.raises(PortsExhausted) as caught:
        engine.open_leg()
    assert caught.value.sip_status == 503
    legs[0].close()
    again = engine.open_leg()
    assert again.rtp_port == legs[0].rtp_port
    engine.close()
    with pytest.raises(MediaError):
        engine.open_leg()


async def test_what_cannot_be_is_refused_with_a_reason(engine: MediaEngine) -> None:
    leg = engine.open_leg("x")
    with pytest.raises(MediaError, match="not an IP address"):
        leg.set_remote(Address("phone.example", 5004), Address("127.0.0.1", 5005), CODECS)
    with pytest.raises(MediaError, match="OPUS"):
        leg.set_remote(Address("127.0.0.1", 5004), Address("127.0.0.1", 5005), {111: "OPUS"})
    with pytest.raises(MediaError, match="negotiated"):
        leg.play(b"\xff" * 160)
    with pytest.raises(MediaError, match="itself"):
        leg.connect(leg)
    leg.close()
    with pytest.raises(MediaError, match="closed"):
        leg.tap(lambda frames: None)
    with pytest.raises(MediaError, match="window"):
        MediaEngine(window_ms=7)


@pytest.mark.parametrize(("cpus", "threads"), [({0}, 1), ({1, 2, 5}, 3), (set(range(200)), 64)])
def test_there_is_a_relay_thread_for_each_cpu(
    monkeypatch: pytest.MonkeyPatch, cpus: set[int], threads: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: cpus)
    engine = MediaEngine()
    assert engine.threads == threads
    engine.close()
    engine = MediaEngine(threads=2)
    assert engine.threads == 2
    engine.close()
