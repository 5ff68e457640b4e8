"""Comfort noise (RFC 3389): passes where both phones speak it; silence on the timeline, never a loss."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from forkproxy.media import MediaEngine
from forkproxy.model import Frame, FrameFlag, Track
from tests.media.phones import Phone, frame, rtp

Make = Callable[..., Phone]
CODECS = {0: "PCMU", 13: "CN"}
NOISE = b"\x46\x10\x20"


async def test_a_pause_with_comfort_noise_is_silence_on_both_tracks(engine: MediaEngine, phone: Make) -> None:
    """Ten packets, noise, a pause of 160 ms with one update of the noise, ten more: nothing is concealed."""
    a, b, alice, bob = engine.open_leg(), engine.open_leg(), phone(), phone()
    for leg, each in ((a, alice), (b, bob)):
        each.leg = leg
        leg.set_remote(each.address, each.address, CODECS)
    a.connect(b)
    heard: dict[Track, list[Frame]] = {Track.INBOUND: [], Track.OUTBOUND: []}
    taps = (
        a.tap(heard[Track.INBOUND].extend, (Track.INBOUND,)),
        b.tap(heard[Track.OUTBOUND].extend, (Track.OUTBOUND,)),
    )
    sequence = 0
    loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
    for n in range(28):
        await asyncio.sleep(max(began + n * 0.02 - loop.time(), 0))
        if 10 < n < 18 and n != 14:
            continue
        if n in (10, 14):
            alice.send(rtp(sequence, NOISE, pt=13, ts=n * 160))
            packet = await bob.receive()
            assert (packet[1] & 0x7F, packet[12:]) == (13, NOISE)
        else:
            alice.send(rtp(sequence, frame(n), ts=n * 160, marker=n == 18))
            assert (await bob.receive())[12:] == frame(n)
        sequence += 1
    await asyncio.sleep(0.1)
    for tap in taps:
        tap.close()
    for frames in heard.values():
        assert [each.number for each in frames] == list(range(len(frames)))
        first = next(n for n, each in enumerate(frames) if each.flags == FrameFlag.RECEIVED)
        flags = [each.flags for each in frames[first : first + 28]]
        assert flags[:10] == [FrameFlag.RECEIVED] * 10
        assert flags[10:18] == [FrameFlag.SILENCE] * 8
        assert flags[18:] == [FrameFlag.RECEIVED] * 10
        assert [each.payload for each in frames[first + 18 : first + 28]] == [frame(n) for n in range(18, 28)]
    assert (a.figures().lost, b.figures().not_sendable) == (0, 0)
    a.close(), b.close()


async def test_comfort_noise_goes_only_to_a_phone_that_knows_it(engine: MediaEngine, phone: Make) -> None:
    a, b, alice, bob = engine.open_leg(), engine.open_leg(), phone(), phone()
    for leg, each, codecs in ((a, alice, CODECS), (b, bob, {0: "PCMU"})):
        each.leg = leg
        leg.set_remote(each.address, each.address, codecs)
    a.connect(b)
    alice.send(rtp(1, NOISE, pt=13))
    await bob.silence()
    assert a.figures().not_sendable == 1
    bob.send(rtp(1, NOISE, pt=13))  # not negotiated
    await alice.silence()
    assert b.figures().unknown_payload == 1
    a.close(), b.close()


async def test_comfort_noise_passes_between_legs_of_different_codecs(
    engine: MediaEngine, phone: Make
) -> None:
    a, b, alice, bob = engine.open_leg(), engine.open_leg(), phone(), phone()
    for leg, each, codecs in ((a, alice, CODECS), (b, bob, {9: "G722", 13: "CN"})):
        each.leg = leg
        leg.set_remote(each.address, each.address, codecs)
    a.connect(b)
    for n, (payload, kind) in enumerate([(bytes(160), 0), (NOISE, 13), (bytes(160), 0)]):
        alice.send(rtp(n, payload, pt=kind))
        packet = await bob.receive()
        assert packet[1] & 0x7F == (13 if kind else 9)
    a.close(), b.close()
