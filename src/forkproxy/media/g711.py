"""G.711 by the book (ITU-T G.711, tables 1 and 2), sample by sample: what ext/media/g711.pxd has to equal."""

from __future__ import annotations

_BIAS = 0x84
_CLIP = 32635


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


def encode_alaw_sample(sample: int) -> int:
    """One linear 16-bit sample as A-law."""
    sign, magnitude = (0x80, sample) if sample >= 0 else (0, -sample - 1)
    exponent = max((magnitude >> 8).bit_length(), 0)
    mantissa = magnitude >> (exponent + 3) if exponent else magnitude >> 4
    return (sign | exponent << 4 | mantissa & 0x0F) ^ 0x55


def decode_alaw_sample(code: int) -> int:
    """One A-law octet as a linear 16-bit sample."""
    code ^= 0x55
    exponent, mantissa = code >> 4 & 7, (code & 0x0F) << 4
    magnitude = mantissa + 8 if exponent == 0 else mantissa + 0x108 << exponent - 1
    return magnitude if code & 0x80 else -magnitude
