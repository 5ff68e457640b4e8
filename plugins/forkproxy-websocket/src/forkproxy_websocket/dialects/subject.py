"""Whose messages they are."""

from __future__ import annotations

from dataclasses import dataclass

from forkproxy.connectors.api import AudioFormat, CallInfo


@dataclass(frozen=True, slots=True)
class Subject:
    """A call's stream, as far as its messages tell."""

    call: CallInfo
    stream_sid: str
    format: AudioFormat
    """What its frames are made of."""
