"""Keys to be sent: what may be written, and how they sound where they must be tones."""

from __future__ import annotations

import math
from functools import lru_cache

from forkproxy.errors import MediaError
from forkproxy.media.g711 import encode_ulaw_sample

DIGITS = "0123456789*#ABCD"
"""The keys by their number in RFC 4733 (section 3.2); 16, the flash of the hook, is told as ``!``."""
MOST_KEYS = 200
"""Characters that are sent in one go."""
LOW = (697, 770, 852, 941)
HIGH = (1209, 1336, 1477, 1633)
"""Hertz of the rows and columns of the keypad (ITU-T Q.23)."""
_KEYPAD = ("123A", "456B", "789C", "*0#D")
_TONE = 960
_PAUSE = b"\xff"
_FULL = 22_750
"""The amplitude of 0 dBm0 in linear samples of 16 bits (ITU-T G.711)."""


def key_numbers(digits: str) -> bytes:
    """The keys as the relay wants them.

    Raises:
        MediaError: there is none, one does not exist, or there are more than `MOST_KEYS`. The message does
            not repeat them: they may be a card's number.

    >>> key_numbers("w1#d").hex(" ")
    'ff 01 0b 0f'
    """
    if not digits or len(digits) > MOST_KEYS:
        raise MediaError(f"keys: {len(digits)} characters are not 1 to {MOST_KEYS}")
    numbers = b""
    for place, key in enumerate(digits, 1):
        if key in "wW":
            numbers += _PAUSE * (1 if key == "w" else 2)
        elif key.upper() in DIGITS:
            numbers += bytes([DIGITS.index(key.upper())])
        else:
            raise MediaError(f"keys: character {place} is not one of {DIGITS}, w and W")
    return numbers


def frequencies(key: str) -> tuple[int, int]:
    """The two tones of a key in hertz.

    >>> frequencies("0")
    (941, 1336)
    """
    row = next(n for n, keys in enumerate(_KEYPAD) if key in keys)
    return LOW[row], HIGH[_KEYPAD[row].index(key)]


@lru_cache(1)
def tones() -> bytes:
    """120 ms of each key's tone, in the order of `DIGITS`: mu-law, at -8 and -6 dBm0 (ITU-T Q.23, Q.24)."""
    low, high = (_FULL * 10 ** (level / 20) for level in (-8, -6))
    made = bytearray()
    for key in DIGITS:
        first, second = (2 * math.pi * each / 8000 for each in frequencies(key))
        made += bytes(
            encode_ulaw_sample(round(low * math.sin(first * n) + high * math.sin(second * n)))
            for n in range(_TONE)
        )
    return bytes(made)
