"""The relay's G.711 against the one by the book."""

from __future__ import annotations

from forkproxy.media import _seams
from forkproxy.media.g711 import (
    decode_alaw_sample,
    decode_ulaw_sample,
    encode_alaw_sample,
    encode_ulaw_sample,
)


def test_decoding() -> None:
    assert _seams.G711["ulaw_linear"] == [decode_ulaw_sample(code) for code in range(256)]
    assert _seams.G711["alaw_linear"] == [decode_alaw_sample(code) for code in range(256)]


def test_encoding_every_sample() -> None:
    for sample in range(-32768, 32768):
        assert _seams.encode_ulaw(sample) == encode_ulaw_sample(sample)
        assert _seams.encode_alaw(sample) == encode_alaw_sample(sample)


def test_one_law_to_the_other() -> None:
    assert _seams.G711["ulaw_alaw"] == [encode_alaw_sample(decode_ulaw_sample(code)) for code in range(256)]
    assert _seams.G711["alaw_ulaw"] == [encode_ulaw_sample(decode_alaw_sample(code)) for code in range(256)]


def test_a_law_survives() -> None:
    assert [encode_alaw_sample(decode_alaw_sample(code)) for code in range(256)] == list(range(256))


def test_known_codes() -> None:
    """ITU-T G.711 tables 1 and 2: the ends of the scales, and zero."""
    assert [decode_alaw_sample(code) for code in (0xD5, 0x55, 0xAA, 0x2A)] == [8, -8, 32256, -32256]
    assert [decode_ulaw_sample(code) for code in (0xFF, 0x80, 0x00)] == [0, 32124, -32124]
    assert [encode_alaw_sample(sample) for sample in (0, -1, 32767, -32768)] == [0xD5, 0x55, 0xAA, 0x2A]
