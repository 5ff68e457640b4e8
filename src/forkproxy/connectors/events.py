"""What a running stream reports to whoever started it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from forkproxy.errors import StreamError


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """What became of a stream's frames. Counted from the start; a frame is 20 ms of one track."""

    fed: int
    """Frames of the chosen tracks that the tap delivered."""
    handed_over: int
    """Frames that the connector took."""
    dropped: int
    """Frames lost because the connector was too slow (Twilio 31930)."""
    waiting: int
    """Frames that wait for the connector; when the stream has ended: that it never took."""
    created_after: float | None
    """Seconds from the start to `StreamCreated`; None: not created (yet)."""
    warnings: Mapping[int, int]
    """How often each of Twilio's warning codes occurred."""


@dataclass(frozen=True, slots=True)
class StreamCreated:
    """The far end accepted the stream. At most once, before `StreamEnded`."""

    sid: str


@dataclass(frozen=True, slots=True)
class StreamWarning:
    """Something that Twilio has a warning for; the stream goes on."""

    sid: str
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The stream is over. Exactly once, last."""

    sid: str
    error: StreamError | None
    """None: it was stopped, or the connector ended it."""
    figures: StreamFigures


StreamEvent = StreamCreated | StreamWarning | StreamEnded
