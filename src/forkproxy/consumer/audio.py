"""A stream's tracks as WAV files, put together by the messages' timestamps, readable while they grow."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from forkproxy.media.audio import RATE, decode_ulaw

WIDTH = 2
"""Octets a sample: 16-bit PCM, which everything plays."""
HEADER = 44
MOST_AHEAD = 600 * RATE
"""Samples by which a piece may lie beyond what came before; a wrong timestamp must not fill a disk."""
MOST = (2**32 - 1024) // (2 * WIDTH)
"""Samples that a WAV file can hold, in stereo."""
_LOUDNESS = bytes(~code & 0x7F for code in range(256))
"""mu-law without its sign: 0 is silence, 127 the loudest, in steps that grow as hearing does."""
LOUDEST = 127


def loudness(audio: bytes) -> int:
    """The loudest sample of mu-law audio: 0 to `LOUDEST`, in about 2.7 steps a decibel above the noise."""
    return max(audio.translate(_LOUDNESS), default=0)


class WavFile:
    """16-bit PCM, 8,000 Hz; pieces may come in any order, and what never came is silence."""

    def __init__(self, path: Path, channels: int) -> None:
        """Make the file.

        Raises:
            OSError: it cannot be written.
        """
        self.path = path
        self._channels = channels
        self._file = open(path, "w+b", buffering=0)  # noqa: SIM115
        self._samples = 0
        self._written_header = -1
        self._write_header()

    @property
    def seconds(self) -> float:
        """Its length."""
        return self._samples / RATE

    def write(self, channel: int, position: int, audio: bytes) -> bool:
        """Put mu-law `audio` to `position`, in samples; False: it lies too far ahead and is left out."""
        if position > min(self._samples + MOST_AHEAD, MOST - len(audio)):
            return False
        size, start = len(audio) * self._channels * WIDTH, HEADER + position * self._channels * WIDTH
        samples = decode_ulaw(audio)
        if self._channels > 1:
            there = os.pread(self._file.fileno(), size, start).ljust(size, b"\0")
            both = type(samples)("h", there)
            both[channel :: self._channels] = samples
            samples = both
        if sys.byteorder == "big":  # pragma: no cover
            samples.byteswap()
        os.pwrite(self._file.fileno(), samples.tobytes(), start)
        self._samples = max(self._samples, position + len(audio))
        if self._samples - self._written_header >= RATE:
            self._write_header()
        return True

    def close(self) -> None:
        """The last of it."""
        if not self._file.closed:
            self._write_header()
            self._file.close()

    def _write_header(self) -> None:
        block = self._channels * WIDTH
        size = self._samples * block
        header = struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            *(b"RIFF", HEADER - 8 + size, b"WAVE"),
            *(b"fmt ", 16, 1, self._channels, RATE, RATE * block, block, 8 * WIDTH),
            *(b"data", size),
        )
        os.pwrite(self._file.fileno(), header, 0)
        self._written_header = self._samples


class TrackFiles:
    """The files of one stream: ``inbound.wav`` and ``outbound.wav``, or ``stereo.wav`` (inbound left)."""

    def __init__(self, folder: Path, tracks: Sequence[str], *, stereo: bool) -> None:
        """
        Raises:
            OSError: they cannot be written.
        """
        self.lost = 0
        """Pieces whose timestamps lie too far ahead."""
        self._places: Mapping[str, tuple[WavFile, int]]
        if stereo and len(tracks) > 1:
            file = WavFile(folder / "stereo.wav", len(tracks))
            self._places = {track: (file, channel) for channel, track in enumerate(sorted(tracks))}
        else:
            self._places = {track: (WavFile(folder / f"{track}.wav", 1), 0) for track in tracks}

    @property
    def paths(self) -> list[Path]:
        """Of the files."""
        return sorted({file.path for file, _ in self._places.values()})

    def write(self, track: str, timestamp: int, audio: bytes) -> None:
        """Put `audio` where `timestamp`, in milliseconds, says."""
        place = self._places.get(track)
        if place is not None and not place[0].write(place[1], timestamp * RATE // 1000, audio):
            self.lost += 1

    def close(self) -> None:
        """Complete them."""
        for file, _ in self._places.values():
            file.close()

    def __enter__(self) -> TrackFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
