"""Keys in the audio: what ITU-T Q.24 wants heard is heard once, and what is no key is none."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forkproxy.demo.voices import CALLEE, CALLER, speech
from forkproxy.media import Digit, MediaEngine, MediaLeg
from forkproxy.media._seams import Tones
from forkproxy.media.audio import decode_ulaw
from forkproxy.media.dialling import DIGITS, frequencies
from forkproxy.media.g711 import encode_alaw_sample, encode_ulaw_sample
from forkproxy.model import Address, InbandMode
from tests.media.phones import CODECS, Phone, frame, rtp
from tests.media.test_dtmf import event

MS = 1_000_000
FULL = 22_750


def tone(
    key: str, milliseconds: float, *, row: float = -8, column: float = -8, off: float = 1.0, khz: int = 8
) -> list[int]:
    """A key's tones; levels in dBm0, frequencies times `off`."""
    low, high = (2 * math.pi * each * off / khz / 1000 for each in frequencies(key))
    a, b = (FULL * 10 ** (level / 20) for level in (row, column))
    return [round(a * math.sin(low * n) + b * math.sin(high * n)) for n in range(round(milliseconds * khz))]


def noise(milliseconds: float, level: float = -60, seed: int = 1) -> list[int]:
    chance = random.Random(seed)
    sigma = FULL / math.sqrt(2) * 10 ** (level / 20)
    return [round(chance.gauss(0, sigma)) for _ in range(round(milliseconds * 8))]


def told(*parts: list[int], shift: int = 0) -> list[tuple[str, int]]:
    """The keys in these sounds behind one another, and their milliseconds."""
    samples = [0] * shift + [sample for part in parts for sample in part] + [0] * 480
    samples = [max(-32768, min(32767, each)) for each in samples]
    receiver, found = Tones(), []
    for at in range(0, len(samples), 160):
        found += receiver.take(samples[at : at + 160], at * 125_000)
    return [(DIGITS[key], duration // 8) for key, duration in found]


def keys(*parts: list[int], shift: int = 0) -> str:
    return "".join(key for key, _ in told(*parts, shift=shift))


@given(
    st.sampled_from(DIGITS),
    st.floats(40, 300),
    st.floats(-27, -6),
    st.floats(-3.5, 7.5),
    st.floats(-0.015, 0.015),
    st.integers(0, 101),
)
@settings(max_examples=60, deadline=None)
def test_every_key_that_is_one_is_heard_once(
    key: str, milliseconds: float, level: float, twist: float, off: float, shift: int
) -> None:
    pressed = tone(key, milliseconds, row=level, column=level - twist, off=1 + off)
    hiss = noise(milliseconds, level - 18)
    sound = [s + h for s, h in zip(pressed, hiss, strict=False)]
    ((heard, lasted),) = told(sound, shift=shift)
    assert heard == key
    assert milliseconds - 26 <= lasted <= milliseconds + 13


@given(st.sampled_from(DIGITS), st.floats(1, 14), st.integers(0, 101))
@settings(max_examples=40, deadline=None)
def test_what_is_too_short_is_no_key(key: str, milliseconds: float, shift: int) -> None:
    assert keys(tone(key, milliseconds), shift=shift) == ""


@pytest.mark.parametrize(
    ("what", "sound"),
    [
        ("the row is too loud", tone("5", 200, row=-8, column=-20)),
        ("the column is too loud", tone("5", 200, row=-17, column=-8)),
        ("too faint", tone("5", 200, row=-50, column=-50)),
        ("off the frequencies", tone("5", 200, off=1.04)),
        ("one tone", [round(9000 * math.sin(2 * math.pi * 770 * n / 8000)) for n in range(1600)]),
        ("drowned", [s + h for s, h in zip(tone("5", 200), noise(200, -5), strict=True)]),
        ("two keys at once", [s + t for s, t in zip(tone("1", 200), tone("5", 200), strict=True)]),
        ("nothing", [0] * 1600),
    ],
)
def test_what_is_no_key(what: str, sound: list[int]) -> None:
    assert keys(sound) == "", what


def test_presses_are_parted_by_40_ms_and_a_click_parts_none() -> None:
    for shift in range(0, 102, 17):
        assert keys(tone("4", 60), noise(40), tone("4", 60), shift=shift) == "44"
        assert keys(tone("4", 60), noise(10), tone("4", 60), shift=shift) == "4"
        assert keys(tone("4", 80), tone("2", 80), shift=shift) == "42"


def test_a_press_that_is_cut_off_is_over_when_nothing_comes_any_more() -> None:
    receiver = Tones()
    assert receiver.take(tone("9", 100), 0) == []
    assert receiver.silence(100 * MS) is None
    over = receiver.silence(150 * MS)
    assert over is not None
    assert DIGITS[over[0]] == "9"
    assert receiver.silence(400 * MS) is None


def test_voices_and_noise_press_no_keys() -> None:
    for voice in (CALLER, CALLEE):
        assert keys(list(decode_ulaw(speech(voice, 20.0)))) == ""
    for seed in range(5):
        assert keys(noise(4000, -15, seed)) == ""


@pytest.fixture
def listening(engine: MediaEngine) -> Callable[[InbandMode], MediaEngine]:
    def to(mode: InbandMode) -> MediaEngine:
        engine.dtmf_inband = mode
        return engine

    return to


def facing(engine: MediaEngine, phone: Phone, codecs: Mapping[int, str]) -> tuple[MediaLeg, list[Digit]]:
    leg = engine.open_leg("a")
    leg.set_remote(phone.address, Address("127.0.0.1", 9), codecs)
    phone.leg = leg
    digits: list[Digit] = []
    leg.on_digit = digits.append
    return leg, digits


PRESSED = tone("3", 100) + [0] * 800 + tone("#", 100) + [0] * 800


@pytest.mark.parametrize(
    ("mode", "codecs", "heard"),
    [
        ("fallback", {0: "PCMU"}, "3#"),
        ("fallback", {8: "PCMA"}, "3#"),
        ("fallback", CODECS, ""),
        ("always", CODECS, "3#"),
        ("off", {0: "PCMU"}, ""),
    ],
)
async def test_which_legs_are_listened_to(
    listening: Callable[[InbandMode], MediaEngine],
    phone: Callable[..., Phone],
    mode: InbandMode,
    codecs: dict[int, str],
    heard: str,
) -> None:
    there = phone()
    leg, digits = facing(listening(mode), there, codecs)
    number = min(codecs)
    encode = encode_ulaw_sample if number == 0 else encode_alaw_sample
    for n in range(0, len(PRESSED), 160):
        packet = rtp(n // 160, bytes(map(encode, PRESSED[n : n + 160])), pt=number)
        there.send(packet)
        there.send(packet)  # a duplicate is not listened to twice
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    assert "".join(each.key for each in digits) == heard
    assert all(74 <= each.duration_ms <= 113 for each in digits)
    leg.close()


async def test_wideband_audio_is_listened_to_and_silence_ends_a_press(
    listening: Callable[[InbandMode], MediaEngine], phone: Callable[..., Phone]
) -> None:
    there = phone()
    leg, digits = facing(listening("fallback"), there, {96: "L16/16000"})
    pressed = tone("C", 100, khz=16)
    for n in range(0, len(pressed), 320):
        payload = b"".join(each.to_bytes(2, "big", signed=True) for each in pressed[n : n + 320])
        there.send(rtp(n // 320, payload, pt=96, ts=n))
        await asyncio.sleep(0.001)
    async with asyncio.timeout(2):
        while not digits:
            await asyncio.sleep(0.02)
    assert [each.key for each in digits] == ["C"]
    leg.close()


async def test_a_press_by_event_and_by_tone_is_one(
    listening: Callable[[InbandMode], MediaEngine], phone: Callable[..., Phone]
) -> None:
    """A gateway that lets the tone through beside the event."""
    there = phone()
    leg, digits = facing(listening("always"), there, CODECS)
    for n in range(0, 960, 160):
        there.send(rtp(2 * n // 160, bytes(map(encode_ulaw_sample, PRESSED[n : n + 160]))))
        there.send(rtp(2 * n // 160 + 1, event(3, n + 160, end=n == 800), pt=101, ts=0))
        await asyncio.sleep(0.001)
    for n in range(12, 20):
        there.send(rtp(n, frame(127)))
    await asyncio.sleep(0.3)
    assert [each.key for each in digits] == ["3"]
    leg.close()


async def test_what_we_send_as_tones_is_heard_as_keys(
    listening: Callable[[InbandMode], MediaEngine],
) -> None:
    engine = listening("fallback")
    here, there = engine.open_leg("a"), engine.open_leg("b")
    for leg, other in ((here, there), (there, here)):
        leg.set_remote(
            Address("127.0.0.1", other.rtp_port), Address("127.0.0.1", other.rtcp_port), {8: "PCMA"}
        )
    digits: list[Digit] = []
    there.on_digit = digits.append
    done = asyncio.Event()
    here.send_digits(DIGITS, on_done=done.set)
    await asyncio.wait_for(done.wait(), 5)
    await asyncio.sleep(0.02)
    assert "".join(each.key for each in digits) == DIGITS
    here.close()
    there.close()
