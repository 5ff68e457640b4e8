"""What a running flow is told: the outcome of the action that it waits for, or that the caller has gone.

An event that does not belong to the action being waited for is ignored: a stream that fails while two people
talk does not move the flow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DialStatus = Literal["completed", "busy", "no-answer", "failed", "canceled"]


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """The stream is up, or is taking so long that the flow should not wait any longer."""

    stream_sid: str


@dataclass(frozen=True, slots=True)
class StreamFailed:
    """The stream could not be created. The flow goes on."""

    code: int
    """Twilio's 319xx."""
    message: str


@dataclass(frozen=True, slots=True)
class StreamStopped:
    """The stream has ended; None: there was none of that name."""

    stream_sid: str | None


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The stream that talked with the caller has ended, or never came to be."""

    stream_sid: str
    """Empty when there was none."""
    code: int | None
    """Twilio's 319xx when it failed; None: its far end has closed it, or its time was over."""
    message: str
    duration: int
    """Seconds between its connection and its end; 0 if it was not connected."""


@dataclass(frozen=True, slots=True)
class ConnectEnded:
    """The dialled leg has ended, or never came to be; the caller is still there."""

    status: DialStatus
    call_sid: str
    """Of the dialled leg; empty when there was none."""
    duration: int
    """Seconds between answer and end; 0 if not answered."""


@dataclass(frozen=True, slots=True)
class PlayEnded:
    """The audio has been played, or could not be."""

    error: str | None


@dataclass(frozen=True, slots=True)
class GatherEnded:
    """The caller has pressed the keys that were asked for, or no more for too long."""

    digits: str = field(repr=False)  # may be a card's number: not for logs
    """Without the key that finished it; empty: none."""


@dataclass(frozen=True, slots=True)
class CallerHungUp:
    """The caller has gone. While a call was being connected, `dialled` may say how that leg ended."""

    dialled: ConnectEnded | None = None
    stream: StreamEnded | None = None
    """The stream that the caller was talking with."""


FlowEvent = (
    StreamStarted
    | StreamFailed
    | StreamStopped
    | StreamEnded
    | ConnectEnded
    | PlayEnded
    | GatherEnded
    | CallerHungUp
)
