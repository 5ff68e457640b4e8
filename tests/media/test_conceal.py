"""Concealment: what is lost of a voice comes closer to it than the last 20 ms would, and clicks less."""

from __future__ import annotations

import math
import random

import pytest

from forkproxy.media._seams import TrackClock
from forkproxy.media.g711 import decode_ulaw_sample, encode_ulaw_sample
from tests.media.test_clock import MS, RECEIVED, run, stream

COUNT = 150


def formant(frequency: float, centre: float, sharpness: float) -> float:
    return 1 / (1 + (frequency / centre - 1) ** 2 * sharpness)


def voice(frequency: float, glide: float) -> list[int]:
    """A vowel whose pitch glides, in linear samples; its formants are at 700 and 1,200 Hz."""
    samples, phase = [], 0.0
    for n in range(COUNT * 160):
        pitch = frequency * (1 + glide * math.sin(2 * math.pi * n / 8000))
        phase += 2 * math.pi * pitch / 8000
        tones = [k for k in range(1, 24) if k * pitch < 3400]
        weights = [formant(k * pitch, 700, 9) + formant(k * pitch, 1200, 20) / 2 for k in tones]
        samples.append(
            round(1500 * sum(w * math.sin(k * phase) for k, w in zip(tones, weights, strict=True)))
        )
    return samples


def ratio(signal: list[int], error: list[int]) -> float:
    return 10 * math.log10(sum(s * s for s in signal) / max(sum(e * e for e in error), 1))


@pytest.mark.parametrize("frequency", [90.0, 127.0, 181.0])
@pytest.mark.parametrize("glide", [0.0, 0.05])
@pytest.mark.parametrize("burst", [1, 2])
def test_a_voice_goes_on_better_than_by_its_last_frame(frequency: float, glide: float, burst: int) -> None:
    said = voice(frequency, glide)
    payloads = [bytes(map(encode_ulaw_sample, said[n : n + 160])) for n in range(0, len(said), 160)]
    chance = random.Random(burst)
    lost = {n + k for n in range(10, COUNT - 5, 5) if chance.random() < 0.7 for k in range(burst)}
    packets = [packet for n, packet in enumerate(stream(payloads, first=0)) if n not in lost]
    frames = run(TrackClock(60), packets, COUNT * 20 * MS + 60 * MS)
    assert all(frames[n] == (RECEIVED, payload) for n, payload in enumerate(payloads) if n not in lost)
    heard = [decode_ulaw_sample(octet) for _, payload in frames for octet in payload]
    plain = [decode_ulaw_sample(octet) for payload in payloads for octet in payload]
    naive = list(plain)  # the last 20 ms again, fading like ours
    for n in sorted(lost):
        first = max(k for k in range(n) if k not in lost)
        for i in range(160):
            naive[n * 160 + i] = plain[first * 160 + i] * (480 - (n - first - 1) * 160 - i) // 480
    at = [n * 160 + i for n in sorted(lost) for i in range(160)]
    signal = [plain[i] for i in at]
    better = ratio(signal, [plain[i] - heard[i] for i in at]) - ratio(
        signal, [plain[i] - naive[i] for i in at]
    )
    assert better > 2.0

    def clicks(samples: list[int]) -> int:
        """The energy of the bends at the seams that is not in the voice itself."""
        seams = [n * 160 for n in range(1, COUNT) if (n in lost) != (n - 1 in lost)]
        bends = [
            (samples[i - 1] - 2 * samples[i] + samples[i + 1], plain[i - 1] - 2 * plain[i] + plain[i + 1])
            for seam in seams
            for i in (seam - 1, seam)
        ]
        return sum((ours - theirs) ** 2 for ours, theirs in bends)

    if not glide:  # a period that is a sample off bends what is above 2 kHz
        assert clicks(heard) < clicks(naive) / 10


def test_a_hole_after_silence_stays_silent_until_what_follows() -> None:
    payloads = [b"\xff" * 160] * 10 + [b"\x20" * 160] * 10
    packets = [packet for n, packet in enumerate(stream(payloads, first=0)) if n != 8]
    frames = run(TrackClock(60), packets, 20 * 20 * MS + 60 * MS)
    assert frames[8][1] == b"\xff" * 160
