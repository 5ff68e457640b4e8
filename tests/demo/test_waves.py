"""Waveforms, for the page and the terminal."""

from __future__ import annotations

import io
import re
import wave

import pytest

from forkproxy.demo.voices import CALLER, speech
from forkproxy.demo.waves import BARS, bars, path, wav

SILENCE = b"\xff" * 8000
LOUD = b"\x00" * 8000
"""The lowest sample there is."""


def heights(outline: str) -> list[tuple[float, float]]:
    """The points of a path."""
    assert re.fullmatch(r"M-?[\d.]+,-?[\d.]+(L-?[\d.]+,-?[\d.]+)*Z", outline)
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+),([\d.]+)", outline)]


def test_a_waveform_stays_in_its_box_and_shows_who_is_loud() -> None:
    width, outline = path(SILENCE + LOUD)
    points = heights(outline)
    assert width == 200
    assert all(0 <= x < width and 0 <= y <= 100 for x, y in points)
    silent = {y for x, y in points if x < 99}
    assert silent == {49.4, 50.6}, "silence is a line, so that one sees that it is there"
    assert max(y for x, y in points if x > 101) == 98


@pytest.mark.parametrize("audio", [b"", b"\xff", b"\x00" * 79, speech(CALLER, 2.0), LOUD * 60])
def test_any_length_can_be_drawn(audio: bytes) -> None:
    width, outline = path(audio)
    assert 1 <= width <= 1500
    assert len(heights(outline)) == 2 * width
    assert len(bars(audio, 60)) == 60
    with wave.open(io.BytesIO(wav(audio))) as file:
        assert file.getnframes() == len(audio)


def test_bars_go_from_silence_to_loud() -> None:
    drawn = bars(SILENCE + LOUD, 10)
    assert drawn == BARS[0] * 5 + BARS[-1] * 5
    assert bars(SILENCE + LOUD, 4, " #") == "  ##"
