"""From one sample rate to another: the twins agree, packets join without a seam, nothing is folded back."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forkproxy.media import resample_twin
from forkproxy.media._seams import Resampler

RATES = (8, 16, 24, 48)
PAIRS = list(itertools.permutations(RATES, 2))


def sine(hertz: float, khz: int, seconds: float = 0.2, level: float = 10_000) -> list[int]:
    return [
        round(level * math.sin(2 * math.pi * hertz * n / (khz * 1000)))
        for n in range(round(khz * 1000 * seconds))
    ]


def loudness(samples: list[int]) -> float:
    return math.sqrt(2 * sum(sample * sample for sample in samples) / len(samples))


def through(khz: int, to_khz: int, samples: list[int], ms: int = 20) -> list[int]:
    resampler = Resampler(khz, to_khz)
    size = khz * ms
    return [
        sample for at in range(0, len(samples), size) for sample in resampler.packet(samples[at : at + size])
    ]


@settings(deadline=None, max_examples=40)
@given(
    pair=st.sampled_from([*PAIRS, (16, 16)]),
    packets=st.lists(
        st.lists(st.integers(-32768, 32767), min_size=1, max_size=12).map(lambda samples: samples * 6),
        max_size=4,
    ),
)
def test_the_twins_agree(pair: tuple[int, int], packets: list[list[int]]) -> None:
    ours, twin = Resampler(*pair), resample_twin.Resampler(*pair)
    for samples in packets:
        made, expected = ours.packet(samples), twin.packet(samples)
        assert len(made) == len(expected) == len(samples) * pair[1] // pair[0]
        assert all(abs(a - b) <= 1 for a, b in zip(made, expected, strict=True))  # float and double


@pytest.mark.parametrize(("khz", "to_khz"), PAIRS)
def test_a_tone_keeps_its_pitch_and_level(khz: int, to_khz: int) -> None:
    made = through(khz, to_khz, sine(1000, khz))[to_khz * 10 :]
    step = 2 * math.pi / to_khz
    real = sum(sample * math.cos(step * n) for n, sample in enumerate(made))
    imaginary = sum(sample * math.sin(step * n) for n, sample in enumerate(made))
    found = 2 * math.hypot(real, imaginary) / len(made)
    assert abs(found / 10_000 - 1) < 0.02
    assert loudness(made) == pytest.approx(found, rel=0.01)  # and nothing beside it


@pytest.mark.parametrize(("khz", "to_khz"), PAIRS)
@pytest.mark.parametrize("ms", [10, 30])
def test_packets_join_without_a_seam(khz: int, to_khz: int, ms: int) -> None:
    samples = sine(700, khz, 0.12)
    assert through(khz, to_khz, samples, ms) == through(khz, to_khz, samples, 60)


@pytest.mark.parametrize(("khz", "to_khz"), [pair for pair in PAIRS if pair[0] > pair[1]])
def test_what_the_lower_rate_cannot_hold_is_left_out(khz: int, to_khz: int) -> None:
    """A tone a quarter above the limit would come back as another one, below it."""
    assert loudness(through(khz, to_khz, sine(to_khz * 1000 * 0.65, khz))[to_khz * 10 :]) < 250


@pytest.mark.parametrize(("khz", "to_khz"), [pair for pair in PAIRS if pair[0] < pair[1]])
def test_the_higher_rate_has_no_images(khz: int, to_khz: int) -> None:
    """Nothing is heard above what the lower rate held."""
    made = through(khz, to_khz, sine(khz * 1000 * 0.35, khz))[to_khz * 10 :]
    step = 2 * math.pi * khz * 0.65 / to_khz
    real = sum(sample * math.cos(step * n) for n, sample in enumerate(made))
    imaginary = sum(sample * math.sin(step * n) for n, sample in enumerate(made))
    assert 2 * math.hypot(real, imaginary) / len(made) < 250
