"""Taps that ask for linear samples: wide audio stays wide, timelines run side by side; linear speech."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forkproxy.media import MediaEngine, MediaLeg
from forkproxy.media._audio import Narrower
from forkproxy.media.audio import decode_ulaw, tone
from forkproxy.model import AudioFormat, Frame, FrameFlag, Track
from tests.media.phones import Phone, rtp

Make = Callable[..., Phone]
MULAW, NARROW, WIDE, WIDER = AudioFormat
TYPES = {0: "PCMU", 8: "PCMA", 9: "G722", 97: "L16/16000"}
LEVEL = 8000.0


def sine(hertz: float, rate: int, count: int, first: int = 0) -> list[int]:
    return [round(LEVEL * math.sin(2 * math.pi * hertz * n / rate)) for n in range(first, first + count)]


def level(samples: list[int], hertz: float, rate: int) -> float:
    """How loud a tone is in there."""
    step = 2 * math.pi * hertz / rate
    real = sum(sample * math.cos(step * n) for n, sample in enumerate(samples))
    imaginary = sum(sample * math.sin(step * n) for n, sample in enumerate(samples))
    return 2 * math.hypot(real, imaginary) / len(samples)


def linear(frames: Iterable[Frame], format: AudioFormat) -> list[int]:
    payload = b"".join(frame.payload for frame in frames if frame.flags == FrameFlag.RECEIVED)
    if format is MULAW:
        return list(decode_ulaw(payload))
    return [sample for (sample,) in struct.iter_unpack("<h", payload)]


async def tapped(
    leg: MediaLeg, phone: Phone, kind: int, hertz: float, formats: Iterable[AudioFormat]
) -> dict[AudioFormat, list[Frame]]:
    """What taps of the leg hear of 15 packets of a tone."""
    phone.leg = leg
    leg.set_remote(phone.address, phone.address, {kind: TYPES[kind]})
    heard: dict[AudioFormat, list[Frame]] = {format: [] for format in formats}
    if kind == 97:
        audio, size = struct.pack(">4800h", *sine(hertz, 16000, 4800)), 640
    else:
        audio, size = tone(hertz, seconds=0.3, level=LEVEL / 32767), 160
    taps = [leg.tap(frames.extend, (Track.INBOUND,), format) for format, frames in heard.items()]
    loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
    for n in range(15):
        await asyncio.sleep(max(began + n * 0.02 - loop.time(), 0))
        phone.send(rtp(n, audio[n * size : n * size + size], pt=kind, ts=n * (320 if kind == 97 else 160)))
    await asyncio.sleep(0.1)
    for tap in taps:
        tap.close()
    return heard


async def test_every_format_hears_a_narrow_phone(engine: MediaEngine, phone: Make) -> None:
    leg = engine.open_leg()
    heard = await tapped(leg, phone(), 0, 1000, AudioFormat)
    numbers = [[frame.number for frame in frames] for frames in heard.values()]
    assert numbers[0] == numbers[1] == numbers[2] == numbers[3] == list(range(len(numbers[0])))
    flags = [[frame.flags for frame in frames] for frames in heard.values()]
    assert flags[0] == flags[1] == flags[2] == flags[3]
    assert flags[0].count(FrameFlag.RECEIVED) >= 14
    for format, frames in heard.items():
        assert {len(frame.payload) for frame in frames} == {format.frame_bytes}
        silent = [frame.payload for frame in frames if frame.flags == FrameFlag.SILENCE]
        assert set(silent) <= {format.silence}
        samples = linear(frames, format)[format.rate // 50 :]
        assert level(samples, 1000, format.rate) == pytest.approx(LEVEL, rel=0.03)
    figures = leg.close()
    assert figures.inbound.received == flags[0].count(FrameFlag.RECEIVED)  # once, not once a format


async def test_wide_audio_is_wide_where_the_format_is(engine: MediaEngine, phone: Make) -> None:
    leg = engine.open_leg()
    heard = await tapped(leg, phone(), 97, 5500, (NARROW, WIDE, WIDER, MULAW))
    for format in (WIDE, WIDER):
        samples = linear(heard[format], format)[format.rate // 50 :]
        assert level(samples, 5500, format.rate) == pytest.approx(LEVEL, rel=0.03)
    for format in (NARROW, MULAW):  # no alias at 2,500 Hz
        assert level(linear(heard[format], format)[160:], 2500, 8000) < LEVEL / 50
    leg.close()


async def test_linear_frames_of_a_wide_phone_are_its_samples(engine: MediaEngine, phone: Make) -> None:
    leg, alice = engine.open_leg(), phone()
    heard = await tapped(leg, alice, 97, 700, (WIDE,))
    samples = linear(heard[WIDE], WIDE)
    assert samples == sine(700, 16000, len(samples))
    leg.close()


async def test_what_is_played_and_forwarded_is_on_the_outbound_track(
    engine: MediaEngine, phone: Make
) -> None:
    """A prompt of mu-law, then packets of a G.711 phone, to one that speaks L16; each is upsampled."""
    a, b, alice, bob = engine.open_leg(), engine.open_leg(), phone(), phone()
    alice.leg = a
    a.set_remote(alice.address, alice.address, {8: "PCMA"})
    b.set_remote(bob.address, bob.address, {97: "L16/16000"})
    a.connect(b)
    frames: list[Frame] = []
    tap = b.tap(frames.extend, (Track.OUTBOUND,), WIDE)
    b.play(tone(1000, seconds=0.1, level=LEVEL / 32767))
    for _ in range(5):
        await bob.receive()
    await asyncio.sleep(0.02)
    for n in range(5):
        alice.send(rtp(n, b"\xaa" * 160, pt=8))
        await bob.receive()
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.08)
    tap.close()
    played = linear(frames, WIDE)
    assert level(played[320:1600], 1000, 16000) == pytest.approx(LEVEL, rel=0.05)
    assert len(played) == 10 * 320
    a.close(), b.close()


async def test_a_masked_call_is_silent_in_every_format(engine: MediaEngine, phone: Make) -> None:
    leg = engine.open_leg()
    leg.mask()
    heard = await tapped(leg, phone(), 0, 1000, (WIDER, MULAW))
    report = leg.unmask()
    for format, frames in heard.items():
        assert {frame.flags for frame in frames} == {FrameFlag.MASKED}
        assert {frame.payload for frame in frames} == {format.silence}
    assert report is not None
    assert leg.close().inbound.masked == len(heard[WIDER])


async def test_taps_come_and_go_in_any_order(engine: MediaEngine, phone: Make) -> None:
    """Figures are of the packets of the leg, whoever taps it."""
    leg, alice = engine.open_leg(), phone()
    alice.leg = leg
    leg.set_remote(alice.address, alice.address, {0: "PCMU"})
    got: dict[AudioFormat, list[Frame]] = {format: [] for format in AudioFormat}
    taps = {WIDE: leg.tap(got[WIDE].extend, (Track.INBOUND,), WIDE)}
    for n in range(12):
        if n == 3:
            taps[MULAW] = leg.tap(got[MULAW].extend, (Track.INBOUND,))
        if n == 6:
            taps.pop(WIDE).close()
            taps[NARROW] = leg.tap(got[NARROW].extend, (Track.INBOUND,), NARROW)
        if n == 9:
            taps.pop(MULAW).close()
        alice.send(rtp(n, bytes([n]) * 160))
        await asyncio.sleep(0.02)
    before = leg.figures().inbound
    taps.pop(NARROW).close()
    after = leg.figures().inbound
    assert before.received <= after.received <= 12
    assert all(got[format] for format in (WIDE, MULAW, NARROW))
    assert engine.counters()["rings"] == 0
    leg.close()


async def test_frames_of_all_formats_are_cut_at_the_same_moments(engine: MediaEngine) -> None:
    leg = engine.open_leg()
    one = leg.tap(lambda frames: None)
    await asyncio.sleep(0.013)
    other = leg.tap(lambda frames: None, format=WIDE)
    first = next(ns for ns in range(0, 20_000_000, 250_000) if one.frame_at(ns) != one.frame_at(ns - 250_000))
    assert other.frame_at(first) != other.frame_at(first - 250_000)
    leg.close()


async def test_speech_may_be_linear(engine: MediaEngine, phone: Make) -> None:
    leg, alice = engine.open_leg(), phone()
    leg.set_remote(alice.address, alice.address, {0: "PCMU"})
    speaker = leg.speak()
    audio = struct.pack("<4800h", *sine(1000, 24000, 4800))
    for n in range(0, len(audio), 333):  # cut in the middle of samples
        assert speaker.write(audio[n : n + 333], WIDER) == len(audio[n : n + 333])
    assert speaker.buffered_ms == 200
    heard = b"".join([(await alice.receive())[12:] for _ in range(10)])
    assert level(list(decode_ulaw(heard))[160:], 1000, 8000) == pytest.approx(LEVEL, rel=0.03)
    speaker.close()
    assert speaker.write(audio, WIDER) == 0
    leg.close()


async def test_linear_speech_that_does_not_fit_is_refused(engine: MediaEngine) -> None:
    leg = engine.open_leg()
    speaker = leg.speak(limit_seconds=0.1)
    assert speaker.write(bytes(16000), WIDE) == 3200
    leg.close()


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_pieces_of_linear_audio_join_without_a_seam(data: st.DataObject) -> None:
    khz = data.draw(st.sampled_from([8, 16, 24]))
    audio = struct.pack(f"<{khz * 30}h", *sine(900, khz * 1000, khz * 30))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(audio)), max_size=8)))
    narrower = Narrower(khz)
    pieces = [audio[a:b] for a, b in zip([0, *cuts], [*cuts, len(audio)], strict=True)]
    assert b"".join(map(narrower.feed, pieces)) == Narrower(khz).feed(audio)


def test_other_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="11 kHz"):
        Narrower(11)
