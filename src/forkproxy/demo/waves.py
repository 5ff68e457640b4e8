"""Audio for the page: WAV files as data URIs, and waveforms as SVG paths."""

from __future__ import annotations

import base64
import io
import sys
import wave
from collections.abc import Sequence
from itertools import pairwise

from forkproxy.demo.voices import RATE
from forkproxy.media.audio import decode_ulaw

BIN_MS = 10
"""Milliseconds that one point of a waveform stands for, in recordings of up to `_MOST_BINS` points."""
_MOST_BINS = 1500
_FULL = 24000
"""The amplitude that fills a waveform's height; the voices peak here."""
BARS = "▁▂▃▄▅▆▇█"
"""From silence to loud."""


def wav(audio: bytes) -> bytes:
    """A WAV file (16-bit PCM, 8 kHz, one channel: what every browser plays) from mu-law."""
    samples = decode_ulaw(audio)
    if sys.byteorder == "big":  # pragma: no cover
        samples.byteswap()
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return target.getvalue()


def data_uri(content: bytes, media_type: str) -> str:
    """`content` as a ``data:`` URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _bins(samples: Sequence[int], count: int) -> list[tuple[int, int]]:
    """Lowest and highest sample of each of `count` equal parts."""
    edges = [len(samples) * n // count for n in range(count + 1)]
    parts = [samples[start:end] or (0,) for start, end in pairwise(edges)]
    return [(min(part), max(part)) for part in parts]


def path(audio: bytes) -> tuple[int, str]:
    """A waveform: the width of its view box, and the SVG path of its outline, 0 to 100 high."""
    count = max(1, min(_MOST_BINS, len(audio) * 1000 // (RATE * BIN_MS)))
    bins = _bins(decode_ulaw(audio), count)
    height = [(min(1.0, max(0, high) / _FULL), min(1.0, max(0, -low) / _FULL)) for low, high in bins]
    over = [f"{x},{50 - max(0.6, 48 * up):.1f}" for x, (up, _) in enumerate(height)]
    under = [f"{x},{50 + max(0.6, 48 * down):.1f}" for x, (_, down) in enumerate(height)]
    return count, "M" + "L".join([*over, *reversed(under)]) + "Z"


def bars(audio: bytes, width: int, marks: str = BARS) -> str:
    """The loudness of `audio` as `width` characters of `marks`, which go from silence to loud."""
    most = len(marks) - 1
    levels = (min(1.0, max(high, -low) / _FULL) for low, high in _bins(decode_ulaw(audio), width))
    return "".join(marks[round(most * level)] for level in levels)
