"""Codecs that the relay carries, and where the arithmetic of those beyond G.711 comes from.

G.722 is PJSIP's: the wheel that carries the signalling exports it. Its functions are plain C without PJLIB's
state, so the relay's threads call them by their addresses.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Mapping

CODECS: Mapping[str, int] = {"PCMU": 1, "PCMA": 2, "TELEPHONE-EVENT": 3, "G722": 4, "L16/8000": 5}
"""What a leg carries, by its name in SDP (with a rate where it has several), and what the relay calls it."""
CARRIED = frozenset(CODECS)
"""What can be forwarded."""
TRANSCODABLE = frozenset({"PCMU", "PCMA", "G722", "L16/8000"})
"""The audio codecs of which each can be turned into each other."""


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
