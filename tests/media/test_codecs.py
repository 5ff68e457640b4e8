"""Legs that speak differently: what one says in its codec, the other hears in its own, the taps in mu-law.

A tone is followed through each pair of codecs; how much of what arrives is the tone says whether a level, an
octet order or a sample rate is wrong.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import struct
from collections.abc import Callable

import pytest

from forkproxy.errors import MediaError
from forkproxy.media import MediaEngine, MediaLeg
from forkproxy.media.audio import decode_ulaw, tone
from forkproxy.media.g711 import decode_alaw_sample, encode_alaw_sample
from forkproxy.model import Frame, Track
from tests.media.phones import Phone, rtp

Make = Callable[..., Phone]
TYPES = {"PCMU": 0, "PCMA": 8, "G722": 9, "L16/8000": 96, "L16/16000": 97, "L16/24000": 98, "L16/48000": 99}
HZ = 1000
PACKETS = 25
SPOKEN = tone(HZ, seconds=PACKETS * 0.02, level=0.25)
LEVEL = 0.25 * 32767


def attach(leg: MediaLeg, phone: Phone, codec: str) -> None:
    phone.leg = leg
    leg.set_remote(phone.address, phone.address, {TYPES[codec]: codec, 101: "TELEPHONE-EVENT"})


async def call(
    engine: MediaEngine, phone: Make, one: str, other: str
) -> tuple[MediaLeg, Phone, MediaLeg, Phone]:
    a, b, alice, bob = engine.open_leg("a"), engine.open_leg("b"), phone(), phone()
    attach(a, alice, one)
    attach(b, bob, other)
    a.connect(b)
    return a, alice, b, bob


def scale(codec: str) -> int:
    """Units of its RTP clock in 125 us."""
    return int(codec[4:]) // 8000 if codec.startswith("L16") else 1


def spoken(codec: str, hertz: float = HZ) -> bytes:
    """The tone, in all codecs but G.722."""
    if hertz == HZ and not codec.startswith("L16"):
        return SPOKEN if codec == "PCMU" else bytes(map(encode_alaw_sample, decode_ulaw(SPOKEN)))
    step, count = 2 * math.pi * hertz / 8000 / scale(codec), PACKETS * 160 * scale(codec)
    return struct.pack(f">{count}h", *(round(LEVEL * math.sin(step * n)) for n in range(count)))


def linear(audio: bytes, codec: str) -> list[int]:
    match codec:
        case "PCMU":
            return list(decode_ulaw(audio))
        case "PCMA":
            return [decode_alaw_sample(octet) for octet in audio]
        case _:
            return [sample for (sample,) in struct.iter_unpack(">h", audio)]


def is_the_tone(samples: list[int], scale: int = 1, hertz: float = HZ, level: float = LEVEL) -> bool:
    """Whether it is the tone at its level, and 95 % of it nothing else, once the filters have begun."""
    samples = samples[400 * scale :]
    step = 2 * math.pi * hertz / 8000 / scale
    real = sum(sample * math.cos(step * n) for n, sample in enumerate(samples))
    imaginary = sum(sample * math.sin(step * n) for n, sample in enumerate(samples))
    found = 2 * math.hypot(real, imaginary) / len(samples)
    energy = sum(sample * sample for sample in samples) / len(samples)
    return abs(found / level - 1) < 0.06 and found * found / 2 > 0.95 * energy


def cut(audio: bytes) -> list[bytes]:
    size = len(audio) // PACKETS
    return [audio[n : n + size] for n in range(0, len(audio), size)]


async def say(
    speaker: Phone, codec: str, listener: Phone, payloads: list[bytes] | None = None
) -> list[bytes]:
    """What the listener gets of the tone (or of ready payloads), packet by packet."""
    if payloads is None:
        payloads = cut(spoken(codec))
    packets = []
    for n, payload in enumerate(payloads):
        speaker.send(rtp(n, payload, pt=TYPES[codec], ts=n * 160 * scale(codec)))
        packets.append(await listener.receive())
    clock = next(scale(name) for name, number in TYPES.items() if number == packets[-1][1] & 0x7F)
    numbers = [struct.unpack(">HI", packet[2:8]) for packet in packets]
    for (sequence, timestamp), (next_sequence, next_timestamp) in itertools.pairwise(numbers):
        assert next_sequence == (sequence + 1) % 65536
        assert next_timestamp == (timestamp + 160 * clock) % 2**32
    return [packet[12:] for packet in packets]


@pytest.mark.parametrize(
    ("one", "other"), [pair for pair in itertools.permutations(TYPES, 2) if pair[0] != "G722"]
)
async def test_each_hears_its_own_codec(engine: MediaEngine, phone: Make, one: str, other: str) -> None:
    a, alice, b, bob = await call(engine, phone, one, other)
    payloads = await say(alice, one, bob)
    if other != "G722":
        assert is_the_tone(linear(b"".join(payloads), other), scale(other))
    else:
        # G.722 back into the relay, on another call
        c, carol, d, dave = await call(engine, phone, "G722", "L16/8000")
        assert {len(payload) for payload in payloads} == {160}
        assert is_the_tone(linear(b"".join(await say(carol, "G722", dave, payloads)), "L16/8000"))
        c.close(), d.close()
    a.close(), b.close()


@pytest.mark.parametrize("one", ["L16/16000", "L16/24000", "L16/48000"])
@pytest.mark.parametrize("other", ["L16/16000", "L16/24000", "L16/48000", "G722"])
async def test_wide_audio_stays_wide(engine: MediaEngine, phone: Make, one: str, other: str) -> None:
    """A tone that 8,000 Hz could not hold."""
    a, alice, b, bob = await call(engine, phone, one, other)
    payloads = await say(alice, one, bob, cut(spoken(one, 5500)))
    if other == "G722":
        c, carol, d, dave = await call(engine, phone, "G722", "L16/16000")
        payloads, other = await say(carol, "G722", dave, payloads), "L16/16000"
        c.close(), d.close()
    assert is_the_tone(linear(b"".join(payloads), other), scale(other), 5500)
    a.close(), b.close()


async def test_narrow_audio_does_not_fold_what_is_above_it(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await call(engine, phone, "L16/16000", "L16/8000")
    heard = linear(b"".join(await say(alice, "L16/16000", bob, cut(spoken("L16/16000", 5500)))), "L16/8000")
    assert max(heard[400:]) < LEVEL / 50
    a.close(), b.close()


@pytest.mark.parametrize(("one", "other"), [("G722", "G722"), ("L16/8000", "L16/8000")])
async def test_where_both_speak_it_nothing_is_touched(
    engine: MediaEngine, phone: Make, one: str, other: str
) -> None:
    a, alice, b, bob = await call(engine, phone, one, other)
    payloads = [bytes(range(n, n + 160)) for n in range(10)]
    assert await say(alice, one, bob, payloads) == payloads
    a.close(), b.close()


@pytest.mark.parametrize("codec", ["G722", "L16/8000", "L16/16000", "L16/48000"])
async def test_taps_hear_mu_law_of_every_codec(engine: MediaEngine, phone: Make, codec: str) -> None:
    a, alice, b, bob = await call(engine, phone, "PCMU", codec)
    payloads = await say(alice, "PCMU", bob)
    c, carol, d, dave = await call(engine, phone, codec, codec)
    heard: dict[MediaLeg, list[Frame]] = {c: [], d: []}
    taps = [leg.tap(heard[leg].extend) for leg in (c, d)]
    for n, payload in enumerate(payloads):
        carol.send(rtp(n, payload, pt=TYPES[codec], ts=2**32 - 800 + n * 160 * scale(codec)))
        await dave.receive()
        await asyncio.sleep(0.02)
    for tap in taps:
        tap.close()
    for leg, track in ((c, Track.INBOUND), (d, Track.OUTBOUND)):
        said = b"".join(each.payload for each in heard[leg] if each.track is track and each.flags == 1)
        assert is_the_tone(list(decode_ulaw(said)))
    for leg in (a, b, c, d):
        leg.close()


@pytest.mark.parametrize("codec", ["G722", "L16/8000", "L16/16000"])
async def test_prompts_and_speech_are_sent_in_every_codec(
    engine: MediaEngine, phone: Make, codec: str
) -> None:
    leg, alice = engine.open_leg(), phone()
    attach(leg, alice, codec)
    c, carol, d, dave = await call(engine, phone, codec, "L16/8000" if codec == "G722" else "PCMU")
    leg.play(SPOKEN)
    played = [(await alice.receive())[12:] for _ in range(PACKETS)]
    leg.speak().write(SPOKEN)
    spoken = [(await alice.receive())[12:] for _ in range(PACKETS)]
    for payloads in (played, spoken):
        heard = b"".join(await say(carol, codec, dave, payloads))
        assert is_the_tone(linear(heard, "L16/8000" if codec == "G722" else "PCMU"))
        carol.send(rtp(30000, payloads[0], pt=TYPES[codec]))  # numbers anew for the second
        await dave.receive()
    for each in (leg, c, d):
        each.close()


async def test_speech_is_mixed_into_g722(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await call(engine, phone, "PCMU", "G722")
    b.speak(mode="mix").write(SPOKEN)
    payloads = await say(alice, "PCMU", bob)
    c, carol, d, dave = await call(engine, phone, "G722", "L16/8000")
    both = linear(b"".join(await say(carol, "G722", dave, payloads)), "L16/8000")
    loud = max(both[400:])
    assert loud > 1.2 * LEVEL  # twice in phase, less where the tones are apart
    for leg in (a, b, c, d):
        leg.close()


async def test_a_packet_of_nothing_is_not_sent(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await call(engine, phone, "L16/8000", "G722")
    alice.send(rtp(1, b"\x01", pt=96))
    await bob.silence()
    assert a.figures().not_sendable == 1
    a.close(), b.close()


def test_codecs_that_are_not_carried_are_refused(engine: MediaEngine, phone: Make) -> None:
    leg, alice = engine.open_leg(), phone()
    with pytest.raises(MediaError, match="OPUS is not carried"):
        leg.set_remote(alice.address, alice.address, {96: "OPUS"})
    leg.close()
