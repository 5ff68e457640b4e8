"""mu-law (ITU-T G.711) for the demo's own audio: small tables, no native code."""

from __future__ import annotations

from collections.abc import Iterable


def _decoded(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return -magnitude if code & 0x80 else magnitude


_DECODE = tuple(map(_decoded, range(256)))


def _encoded(sample: int) -> int:
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + 0x84
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | magnitude >> exponent + 3 & 0x0F) & 0xFF


def encode(samples: Iterable[int]) -> bytes:
    """16-bit linear to mu-law."""
    return bytes(map(_encoded, samples))


def decode(audio: bytes) -> list[int]:
    """mu-law to 16-bit linear."""
    return [_DECODE[octet] for octet in audio]
