"""Audio that forkproxy plays: WAV files and tones as mu-law, 8,000 Hz, one channel. Pure Python.

The G.711 tables are ITU-T G.711's, made by rule; the relay's own (ext/media/g711.pxd) must equal them.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Sequence
from functools import cache

from forkproxy.errors import MediaError

RATE = 8000
_BIAS = 0x84
_CLIP = 32635
_TAPS = 16
"""Half the length of the resampling filter, in samples of the lower rate."""


def encode_ulaw_sample(sample: int) -> int:
    """One linear 16-bit sample as mu-law."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), _CLIP) + _BIAS
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | magnitude >> (exponent + 3) & 0x0F) & 0xFF


def decode_ulaw_sample(code: int) -> int:
    """One mu-law octet as a linear 16-bit sample."""
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + _BIAS << (code >> 4 & 7)) - _BIAS
    return -magnitude if code & 0x80 else magnitude


def decode_alaw_sample(code: int) -> int:
    """One A-law octet as a linear 16-bit sample."""
    code ^= 0x55
    exponent, mantissa = code >> 4 & 7, (code & 0x0F) << 4
    magnitude = mantissa + 8 if exponent == 0 else mantissa + 0x108 << exponent - 1
    return magnitude if code & 0x80 else -magnitude


@cache
def _ulaw_table() -> bytes:
    return bytes(encode_ulaw_sample(sample - 65536 if sample > 32767 else sample) for sample in range(65536))


def encode_ulaw(samples: Sequence[int]) -> bytes:
    """Linear 16-bit samples as mu-law."""
    table = _ulaw_table()
    return bytes(table[sample & 0xFFFF] for sample in samples)


def decode_ulaw(audio: bytes) -> array[int]:
    """mu-law as linear 16-bit samples."""
    table = [decode_ulaw_sample(code) for code in range(256)]
    return array("h", [table[code] for code in audio])


def tone(*frequencies: float, seconds: float, level: float = 0.25) -> bytes:
    """Sines, added up.

    Args:
        frequencies: in hertz, below 4,000.
        seconds: how long; 125 microseconds are one octet.
        level: the amplitude of each, where 1 is the loudest that fits.
    """
    steps = [2 * math.pi * frequency / RATE for frequency in frequencies]
    scale = 32767 * level
    return encode_ulaw(
        [
            max(-32768, min(32767, round(scale * sum(math.sin(step * n) for step in steps))))
            for n in range(round(seconds * RATE))
        ]
    )


@cache
def ringback() -> bytes:
    """One period of the North American ringing tone: 440 and 480 Hz for 2 s, 4 s of silence (ITU-T E.182)."""
    return tone(440, 480, seconds=2, level=0.1) + b"\xff" * (4 * RATE)


def load_wav(data: bytes) -> bytes:
    """A WAV file as mu-law, 8,000 Hz, one channel.

    PCM of 8, 16, 24 and 32 bits, floating point of 32 and 64, mu-law and A-law; any rate from 1,000 to
    384,000 Hz, 1 to 32 channels, which are averaged.

    Raises:
        MediaError: it is not a WAV file, or of another kind; the message says what is wrong.
    """
    code, channels, rate, bits, body = _chunks(data)
    if code == 7 and channels == 1 and rate == RATE:
        return body
    samples = _mono(_samples(code, bits, body), channels)
    if not samples:
        raise MediaError("the WAV file has no audio")
    return encode_ulaw([max(-32768, min(32767, round(value))) for value in _resample(samples, rate)])


def _chunks(data: bytes) -> tuple[int, int, int, int, bytes]:
    """Format code, channels, rate, bits a sample, and the audio (RIFF 1.0)."""
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise MediaError("this is not a WAV file: it does not begin with RIFF and WAVE")
    form: tuple[int, int, int, int] | None = None
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + size]  # a file that was cut short, or still grows, is played so far
        if name == b"fmt ":
            form = _format(body)
        elif name == b"data":
            if form is None:
                raise MediaError("the WAV file's data come before their format")
            return (*form, body)
        at += 8 + size + size % 2
    raise MediaError("the WAV file has no data" if form else "the WAV file has no format")


def _format(body: bytes) -> tuple[int, int, int, int]:
    if len(body) < 16:
        raise MediaError("the WAV file's format is cut short")
    code, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if code == 0xFFFE and len(body) >= 26:  # extensible: the real code begins the sub-format's identifier
        code = struct.unpack_from("<H", body, 24)[0]
    if not 1 <= channels <= 32 or not 1000 <= rate <= 384_000:
        raise MediaError(f"the WAV file has {channels} channels at {rate} Hz")
    allowed = {1: (8, 16, 24, 32), 3: (32, 64), 6: (8,), 7: (8,)}
    if code not in allowed:
        raise MediaError(f"the WAV file's encoding {code} is not known; PCM, float, mu-law and A-law are")
    if bits not in allowed[code]:
        raise MediaError(f"the WAV file has {bits} bits a sample in encoding {code}")
    return code, channels, rate, bits


def _samples(code: int, bits: int, body: bytes) -> list[float]:
    """Samples of all channels, scaled to 16 bits."""
    count = len(body) // (bits // 8)
    body = body[: count * (bits // 8)]
    if code == 7:
        return [float(value) for value in decode_ulaw(body)]
    if code == 6:
        table = [float(decode_alaw_sample(each)) for each in range(256)]
        return [table[each] for each in body]
    if code == 3:
        values = struct.unpack(f"<{count}{'f' if bits == 32 else 'd'}", body)
        return [value * 32767 if math.isfinite(value) else 0.0 for value in values]
    if bits == 8:
        return [(value - 128) * 256.0 for value in body]
    if bits == 24:
        return [
            int.from_bytes(body[at : at + 3], "little", signed=True) / 256 for at in range(0, len(body), 3)
        ]
    scale = 1 if bits == 16 else 65536
    return [value / scale for value in struct.unpack(f"<{count}{'h' if bits == 16 else 'i'}", body)]


def _mono(samples: list[float], channels: int) -> list[float]:
    if channels == 1:
        return samples
    whole = len(samples) // channels * channels
    tracks = [samples[channel:whole:channels] for channel in range(channels)]
    return [sum(together) / channels for together in zip(*tracks, strict=True)]


def _resample(samples: list[float], rate: int) -> list[float]:
    """To 8,000 Hz by a windowed sinc, one set of coefficients for each phase between the two rates."""
    if rate == RATE:
        return samples
    common = math.gcd(rate, RATE)
    up, down = RATE // common, rate // common
    cutoff = min(1.0, RATE / rate) * 0.95  # leaves the filter room to fall off below the new half-rate
    reach = math.ceil(_TAPS / cutoff)
    padded = [0.0] * reach + samples + [0.0] * (reach + 1)
    kernels: dict[int, list[float]] = {}
    result = []
    for n in range(len(samples) * up // down):
        whole, phase = divmod(n * down, up)
        kernel = kernels.get(phase)
        if kernel is None:
            kernel = kernels[phase] = _kernel(phase / up, cutoff, reach)
        result.append(sum(map(float.__mul__, kernel, padded[whole + 1 : whole + 1 + 2 * reach])))
    return result


def _kernel(fraction: float, cutoff: float, reach: int) -> list[float]:
    """Coefficients for a point `fraction` of a sample after the middle, adding up to 1."""
    weights = []
    for tap in range(-reach + 1, reach + 1):
        x = tap - fraction
        window = 0.5 + 0.5 * math.cos(math.pi * x / (reach + 1))
        angle = math.pi * cutoff * x
        weights.append(window * (math.sin(angle) / angle if angle else 1.0))
    total = sum(weights)
    return [weight / total for weight in weights]
