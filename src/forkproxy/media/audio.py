"""Audio that forkproxy plays: WAV files and tones as mu-law, 8,000 Hz, one channel."""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Sequence
from functools import cache

from forkproxy.errors import MediaError
from forkproxy.media._audio import to_ulaw
from forkproxy.media.g711 import decode_ulaw_sample, encode_ulaw_sample

RATE = 8000


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
    if code == 7 and channels == 1 and rate == RATE and body:
        return body
    audio = to_ulaw(body, code, bits, channels, rate)
    if not audio:
        raise MediaError("the WAV file has no audio")
    return audio


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
