"""Codecs that the relay carries, and where the arithmetic of those beyond G.711 comes from.

G.722 is PJSIP's: the wheel that carries the signalling exports it. Its functions are plain C without PJLIB's
state, so the relay's threads call them by their addresses.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Mapping

CODECS: Mapping[str, int] = {
    "PCMU": 1,
    "PCMA": 2,
    "TELEPHONE-EVENT": 3,
    "G722": 4,
    "L16/8000": 5,
    "CN": 6,
    "L16/16000": 7,
    "L16/24000": 8,
    "L16/48000": 9,
    "TELEPHONE-EVENT/16000": 10,
    "TELEPHONE-EVENT/48000": 11,
}
"""What a leg carries, by its name in SDP (with a rate where it has several), and what the relay calls it."""
CARRIED = frozenset(CODECS)
"""What can be forwarded."""
EVENTS = frozenset(name for name in CODECS if name.startswith("TELEPHONE-EVENT"))
"""Keys, by the clock rate of their durations."""
AUDIO = CARRIED - EVENTS - {"CN"}
"""What has samples."""
TRANSCODABLE = AUDIO | EVENTS
"""What can be turned into each other of its kind: audio into audio, events into events."""


def packet_ms(codec: str, wanted: int) -> int:
    """Milliseconds in a packet of ours: 10 to 60 in steps of 10; what is not counts as 20.

    Less where a network's 1,500 octets would not hold it: L16 fills them soon.

    >>> packet_ms("PCMU", 60), packet_ms("PCMU", 25), packet_ms("L16/16000", 60), packet_ms("L16/48000", 20)
    (60, 20, 40, 10)
    """
    milliseconds = wanted if wanted in range(10, 61, 10) else 20
    name, _, rate = codec.partition("/")
    if name == "L16":
        milliseconds = min(milliseconds, _PAYLOAD // (2 * int(rate) // 1000) // 10 * 10)
    return milliseconds


_PAYLOAD = 1400
"""Octets that a packet can carry over any usual network."""


def g722_addresses() -> tuple[int, int, int, int]:
    """Of the functions that start a decoder, start an encoder, decode and encode; zeros: there is none."""
    try:
        package = importlib.import_module("pjsua2")
        _ = package.Endpoint  # the package loads its library when something of it is asked for
        library = ctypes.CDLL(package._pjsua2.__file__)
        functions = (
            library.g722_dec_init,
            library.g722_enc_init,
            library.g722_dec_decode,
            library.g722_enc_encode,
        )
    except (ImportError, AttributeError, OSError):
        return 0, 0, 0, 0
    start_decoder, start_encoder, decode, encode = (
        ctypes.cast(function, ctypes.c_void_p).value or 0 for function in functions
    )
    return start_decoder, start_encoder, decode, encode
