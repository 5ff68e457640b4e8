"""Tones to send and to recognise, in plain Python: two parties that sound different prove who hears whom.

Samples are 16-bit signed numbers at 8,000 Hz in an `array("h")`.
"""

from __future__ import annotations

import math
import wave
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

RATE = 8000
FRAME = 160
"""Samples in 20 ms."""


def _expand(code: int) -> int:
    """One mu-law octet as a linear sample (ITU-T G.711, table 2a)."""
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)
    return 0x84 - magnitude if code & 0x80 else magnitude - 0x84


def _compress(sample: int) -> int:
    """One linear sample as the mu-law octet nearest to it."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + 0x84
    segment = max(magnitude.bit_length() - 8, 0)
    return ~(sign | (segment << 4) | ((magnitude >> (segment + 3)) & 0x0F)) & 0xFF


_LINEAR = [_expand(code) for code in range(256)]


def decode(ulaw: bytes) -> array[int]:
    """Mu-law octets as samples."""
    return array("h", [_LINEAR[code] for code in ulaw])


def encode(samples: Sequence[int]) -> bytes:
    """Samples as mu-law octets."""
    return bytes([_compress(sample) for sample in samples])


def tone(hz: float, seconds: float, amplitude: int = 12000) -> array[int]:
    """A sine of `hz`."""
    step = 2 * math.pi * hz / RATE
    return array("h", [round(amplitude * math.sin(step * i)) for i in range(round(RATE * seconds))])


def tone_ulaw(hz: float, seconds: float, amplitude: int = 12000) -> bytes:
    """The same in mu-law."""
    return encode(tone(hz, seconds, amplitude))


def write_wav(path: Path, samples: Sequence[int], rate: int = RATE) -> Path:
    """A WAV file as baresip's `aufile` wants it: 16 bit, one channel, the codec's rate."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(array("h", samples).tobytes())
    return path


def read_wav(path: Path) -> array[int]:
    """The first channel of a 16-bit WAV file of 8,000 Hz; of 16,000, every other sample."""
    with wave.open(str(path)) as source:
        assert source.getsampwidth() == 2, path
        assert source.getframerate() in (RATE, 2 * RATE), path
        samples = array("h", source.readframes(source.getnframes()))
        return samples[:: source.getnchannels() * (source.getframerate() // RATE)]


def level(samples: Sequence[int], hz: float) -> float:
    """The amplitude of the sine of `hz` in `samples` (Goertzel's filter)."""
    if not samples:
        return 0.0
    coefficient = 2 * math.cos(2 * math.pi * hz / RATE)
    before = last = 0.0
    for sample in samples:
        before, last = last, sample + coefficient * last - before
    power = before * before + last * last - coefficient * before * last
    return 2 * math.sqrt(max(power, 0.0)) / len(samples)


class Heard(NamedTuple):
    """What was heard of two tones."""

    seconds: float
    """From the first to the last window in which the wanted tone sounds."""
    breaks: int
    """Windows between the two in which it does not."""
    mixed: int
    """Windows in which the other tone sounds."""
    amplitude: float
    """The wanted tone's, on average where it sounds."""


def listen(samples: Sequence[int], wanted: float, other: float, *, window: float = 0.1) -> Heard:
    """Cut `samples` in windows and say in which of them the tones sound.

    100 ms hold whole periods of 440 and of 1,000 Hz, so that one does not leak into the other's filter.
    """
    size = round(RATE * window)
    cuts = [samples[i : i + size] for i in range(0, len(samples) - size + 1, size)]
    levels = [level(cut, wanted) for cut in cuts]
    loud = sorted(levels)[-max(1, len(levels) // 4) :] if levels else [0.0]
    full = sum(loud) / len(loud)
    mixed = sum(level(cut, other) > max(full, 1000) / 10 for cut in cuts)
    sounding = [i for i, value in enumerate(levels) if value > max(full / 2, 500)]
    if not sounding:
        return Heard(0.0, 0, mixed, 0.0)
    inside = levels[
        sounding[0] + 1 : sounding[-1]
    ]  # the first and the last window may be cut by the tone's ends
    breaks = sum(value < full * 0.8 for value in inside)
    return Heard((sounding[-1] - sounding[0] + 1) * window, breaks, mixed, full)


def silent(samples: Sequence[int], *, below: int = 200) -> bool:
    """Whether nothing is heard at all."""
    return all(abs(sample) < below for sample in samples)
