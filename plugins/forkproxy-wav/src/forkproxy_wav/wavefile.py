"""WAV files that can be played at any moment, even if the process dies while they are written.

16-bit PCM rather than mu-law: half of the players that one meets refuse mu-law. Nothing here knows forkproxy
but the length of a frame.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

from forkproxy.connectors.api import FRAME_BYTES

RATE = 8000
FRAME_OCTETS = FRAME_BYTES * 2
"""A frame as PCM."""
HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
MAX_FRAMES = (2**32 - 1 - HEADER.size) // FRAME_OCTETS
"""A WAV file counts its octets in 32 bits: 74 hours."""


def _expanded(code: int) -> int:
    """One mu-law octet as a sample of 16 bits (ITU-T G.711)."""
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << ((code & 0x70) >> 4)) - 0x84
    return -magnitude if code & 0x80 else magnitude


_SAMPLES = [struct.pack("<h", _expanded(code)) for code in range(256)]
_LOW = bytes(sample[0] for sample in _SAMPLES)
_HIGH = bytes(sample[1] for sample in _SAMPLES)


def to_pcm(mulaw: bytes) -> bytes:
    """Mu-law octets as 16-bit samples, little-endian: one table for all low octets, one for all high ones."""
    pcm = bytearray(2 * len(mulaw))
    pcm[0::2] = mulaw.translate(_LOW)
    pcm[1::2] = mulaw.translate(_HIGH)
    return bytes(pcm)


class WavFile:
    """One track on disk. While it grows it is called ``*.wav.part``; `finish` gives it its name.

    All methods block; none may run while another does.

    Raises:
        OSError: from any method.
    """

    def __init__(self, path: Path) -> None:
        """Create the file; one that exists already is an error."""
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self._frames = 0
        self._file = open(self.part, "xb", opener=_not_for_everybody)  # noqa: SIM115 - finish() and close()
        try:
            self._file.write(HEADER.pack(*_header(0)))
            self.flush()
        except OSError:
            self.close()
            raise

    def write(self, number: int, payload: bytes) -> None:
        """Put the frame `number` (160 octets of mu-law) where it belongs.

        What is left out in between is a hole in the file, which reads as zeros: silence in PCM. So a frame
        that was dropped takes its 20 ms nevertheless, and both tracks stay in step.

        Raises:
            ValueError: the recording is longer than a WAV file can be.
        """
        if number >= MAX_FRAMES:
            raise ValueError("a WAV file holds 74 hours, and this recording is longer")
        self._file.seek(HEADER.size + number * FRAME_OCTETS)
        self._file.write(to_pcm(payload))
        self._frames = max(self._frames, number + 1)

    def flush(self) -> None:
        """Hand everything to the system, with a header that is true."""
        self._file.flush()
        os.pwrite(self._file.fileno(), HEADER.pack(*_header(self._frames)), 0)

    def finish(self) -> None:
        """Everything to disk, then the file's own name, in one step."""
        self.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.rename(self.part, self.path)

    def close(self) -> None:
        """Let go of the file as it is; ``*.part`` stays."""
        with contextlib.suppress(OSError):
            self._file.close()


def _not_for_everybody(path: str, flags: int) -> int:
    return os.open(path, flags, 0o640)


def _header(frames: int) -> tuple[bytes | int, ...]:
    octets = frames * FRAME_OCTETS
    riff = (b"RIFF", octets + HEADER.size - 8, b"WAVE")
    pcm, channels, width = 1, 1, 2
    form = (b"fmt ", 16, pcm, channels, RATE, RATE * channels * width, channels * width, 8 * width)
    return (*riff, *form, b"data", octets)
