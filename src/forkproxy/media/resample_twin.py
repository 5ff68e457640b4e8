"""The rules of ext/media/resample.pxd once more, in plain Python; see `forkproxy.media.twins`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache

REACH = 8
"""Samples of the lower rate that count on each side."""


@cache
def kernel(khz: int, to_khz: int, place: Fraction) -> list[float]:
    """What the newest input samples count for an output sample that lies `place` of one after them, less half
    the kernel's length."""
    taps = 2 * REACH * max(khz, to_khz) // to_khz
    cutoff = 0.94 * min(khz, to_khz) / khz
    weights = []
    for tap in range(taps):
        x = float(tap + 1 - taps // 2 - place)
        window = 0.54 + 0.46 * math.cos(2 * math.pi * x / (taps + 1))
        weights.append(window * (math.sin(math.pi * cutoff * x) / x if x else math.pi * cutoff))
    return [weight / sum(weights) for weight in weights]


@dataclass(slots=True)
class Resampler:
    """From `khz` to `to_khz`."""

    khz: int
    to_khz: int
    past: list[int] = field(default_factory=lambda: [0] * 95)

    def packet(self, samples: list[int]) -> list[int]:
        """A packet's samples at the other rate."""
        if self.khz == self.to_khz:
            return samples
        known = self.past + samples
        made = []
        for n in range(len(samples) * self.to_khz // self.khz):
            whole, place = divmod(Fraction(n * self.khz, self.to_khz), 1)
            weights = kernel(self.khz, self.to_khz, place)
            newest = known[96 + whole - len(weights) : 96 + whole]
            total = sum(weight * sample for weight, sample in zip(weights, newest, strict=True))
            made.append(max(-32768, min(32767, int(total))))
        self.past = known[-95:]
        return made
