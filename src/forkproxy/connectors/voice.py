"""The way back: what a bidirectional stream says into its call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from forkproxy.model import AudioFormat

OnMark = Callable[[str, bool], None]
"""Takes a mark's name, and whether `clear` dropped audio before it."""

BUFFER_FULL = 31931
"""Twilio's warning: audio was discarded, more than ten minutes of it wait."""


class Voice(Protocol):
    """Sends audio to the caller, paced; `forkproxy.media.Speaker` in a real call."""

    def write(self, audio: bytes, format: AudioFormat = AudioFormat.MULAW) -> int:
        """Append audio; how many octets were taken: fewer when the buffer is full."""

    def mark(self, name: str) -> bool:
        """Have `name` reported, never from in here, when what was written before it has been played."""

    def clear(self) -> None:
        """Drop what waits; its marks are reported, in order, never from in here."""

    def close(self) -> None:
        """Drop what waits, and report no mark any more. Later calls do nothing."""


OpenVoice = Callable[[OnMark], Voice]
"""Opens the way back of one stream.

Raises:
    StreamError: there is none to be had.
"""
