"""Two voices that a machine can tell apart and a person can listen to.

Each voice speaks syllables: a vowel with the formants of Peterson and Barney (1952) over a constant pitch,
now and then with a consonant of noise before it. The pitches are chosen so that one partial of each voice,
its *mark*, falls between the partials of the other: the caller's is 440 Hz (2 x 220 Hz; the callee's nearest
are 375 and 500 Hz), the callee's is 1,000 Hz (8 x 125 Hz; the caller's nearest are 880 and 1,100 Hz). So a
track that holds 440 Hz and nothing at 1,000 Hz is the caller, unmixed.

Everything is made by arithmetic from fixed seeds: the same length gives the same octets.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from forkproxy.media.audio import encode_ulaw

RATE = 8000
SHORTEST = 2.0
"""Seconds; a shorter conversation has no room for turns."""

_BLOCK = 6.0
_TURNS = (
    ("caller", 0.10, 1.55),
    ("callee", 1.75, 3.40),
    ("caller", 3.25, 4.45),  # begins before the callee has finished
    ("callee", 3.95, 4.25),  # "mm-hm", in the middle of the caller's turn
    ("callee", 4.60, 5.70),
)
_VOWELS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "caller": ((850, 1220, 2810), (610, 2330, 2990), (310, 2790, 3310), (590, 920, 2710), (370, 950, 2670)),
    "callee": ((730, 1090, 2440), (530, 1840, 2480), (270, 2290, 3010), (570, 840, 2410), (300, 870, 2240)),
}
_BANDWIDTHS = (90.0, 110.0, 170.0)


@dataclass(frozen=True, slots=True)
class Voice:
    """One of the two speakers."""

    name: str
    pitch: int
    """Hz."""
    mark: int
    """The partial, in Hz, that only this voice has."""


CALLER = Voice("caller", 220, 440)
CALLEE = Voice("callee", 125, 1000)


@dataclass(frozen=True, slots=True)
class Turn:
    """One stretch of speech, in seconds from the start of the conversation."""

    speaker: str
    start: float
    end: float


def conversation(seconds: float) -> list[Turn]:
    """Who speaks when: turns that alternate and sometimes overlap, filling `seconds`.

    Raises:
        ValueError: `seconds` is under `SHORTEST`.
    """
    if not seconds >= SHORTEST:
        raise ValueError(f"the conversation lasts at least {SHORTEST:g} seconds, not {seconds:g}")
    blocks = max(1, round(seconds / _BLOCK))
    scale = seconds / (blocks * _BLOCK)
    return [
        Turn(speaker, (block * _BLOCK + start) * scale, (block * _BLOCK + end) * scale)
        for block in range(blocks)
        for speaker, start, end in _TURNS
    ]


def speech(voice: Voice, seconds: float) -> bytes:
    """What `voice` says in `conversation(seconds)`: mu-law, 8 kHz, whole frames of 160 octets."""
    length = math.ceil(seconds * RATE / 160) * 160
    samples = [0.0] * length
    dice = random.Random(voice.name)
    for turn in conversation(seconds):
        if turn.speaker == voice.name:
            _say(samples, voice, round(turn.start * RATE), round(turn.end * RATE), dice)
    return encode_ulaw([int(max(-1.0, min(1.0, sample)) * 32000) for sample in samples])


def _say(samples: list[float], voice: Voice, start: int, end: int, dice: random.Random) -> None:
    """Add one turn, syllable by syllable, to `samples`."""
    vowels = _VOWELS[voice.name]
    position, word = start, 0
    while end - position > RATE // 12:
        length = min(end - position, dice.randrange(RATE // 8, RATE // 5))
        table = _vowel(voice, dice.choice(vowels))
        # Loud at the head of a turn, fading to its end; every third syllable or so carries the stress.
        loudness = (0.95 if dice.random() < 0.35 else dice.uniform(0.4, 0.7)) * (
            1 - 0.35 * (position - start) / (end - start)
        )
        if dice.random() < 0.35:
            hiss = _hiss(samples, position, min(RATE // 25, length // 4), dice)
            position, length = position + hiss, length - hiss
        rise = RATE // 40
        for n in range(length):
            swell = 0.5 - 0.5 * math.cos(math.pi * min(1.0, n / rise))
            fade = math.cos(0.5 * math.pi * max(0, n - rise) / (length - rise)) ** 0.8
            samples[position + n] += loudness * swell * fade * table[(position + n) % len(table)]
        word += 1
        pause = (
            dice.randrange(RATE // 10, RATE // 7)
            if word % 4 == 0
            else dice.randrange(RATE // 100, RATE // 30)
        )
        position += length + pause


def _hiss(samples: list[float], position: int, length: int, dice: random.Random) -> int:
    """A consonant: noise without its low end, so that it does not look like a mark. Returns its length."""
    before = earlier = 0.0
    for n in range(length):
        noise = dice.uniform(-1.0, 1.0)
        samples[position + n] += 0.09 * math.sin(math.pi * n / length) * (noise - 2 * before + earlier) / 2
        before, earlier = noise, before
    return length


@cache
def _vowel(voice: Voice, formants: tuple[int, int, int]) -> tuple[float, ...]:
    """A whole number of periods of the vowel, peak 0.8, with the mark well above the noise."""
    partials = range(1, 3400 // voice.pitch + 1)
    gains = {k * voice.pitch: _resonance(k * voice.pitch, formants) / k for k in partials}
    gains[voice.mark] = max(gains[voice.mark], 0.45 * max(gains.values()))
    size = RATE // math.gcd(RATE, voice.pitch)
    # Schroeder's phases keep the peak of the sum low, so that the voice is loud without clipping.
    wave = [
        sum(
            gain * math.sin(math.tau * hertz * n / RATE - math.pi * k * k / len(gains))
            for k, (hertz, gain) in enumerate(gains.items())
        )
        for n in range(size)
    ]
    peak = max(map(abs, wave))
    return tuple(0.8 * sample / peak for sample in wave)


def _resonance(hertz: float, formants: Sequence[int]) -> float:
    """The gain of three resonators in series, 1 at 0 Hz."""
    gain = 1.0
    for centre, width in zip(formants, _BANDWIDTHS, strict=True):
        gain *= centre**2 / math.hypot(centre**2 - hertz**2, width * hertz)
    return gain


def level(samples: Sequence[int], hertz: int, window: int = RATE // 5) -> float:
    """How loud `hertz` gets: the loudest window's level in dB, a full-scale sine being 0, silence -120.

    Goertzel's algorithm over Hann windows of 200 ms, half overlapping; the voices' partials, multiples of
    5 Hz, fall on its bins.
    """
    loudest = 0.0
    turn = 2 * math.cos(math.tau * hertz / RATE)
    hann = _hann(window)
    for start in range(0, max(len(samples) - window, 0) + 1, window // 2):
        part = samples[start : start + window]
        before = earlier = 0.0
        for sample, weight in zip(part, hann, strict=False):
            before, earlier = sample * weight + turn * before - earlier, before
        power = before * before + earlier * earlier - turn * before * earlier
        loudest = max(loudest, power)
    amplitude = math.sqrt(max(loudest, 0.0)) / (window / 4)  # a Hann window halves a sine's sum
    return max(-120.0, 20 * math.log10(max(amplitude / 32768, 1e-6)))


@cache
def _hann(size: int) -> tuple[float, ...]:
    return tuple(0.5 - 0.5 * math.cos(math.tau * n / size) for n in range(size))
