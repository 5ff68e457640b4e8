"""What happens to a call, as its state machine hears it; the driver makes these from SIP, media and streams.

Legs, streams and prompts are named by keys, small numbers that the machine hands out, so that an event of one
that has been given up is recognised as such.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CallerEnded:
    """The caller's leg is over: CANCEL, BYE, our own final response or BYE, or a failed transaction."""

    status: int
    reason: str
    by: str
    """`remote`, `local`, `timeout` or `transport`."""


@dataclass(frozen=True, slots=True)
class CalleeProgress:
    """The callee sent a provisional response."""

    leg: int
    status: int
    reason: str
    early_media: bool
    """True: the response carried a usable session description, so there may be something to hear."""


@dataclass(frozen=True, slots=True)
class CalleeAnswered:
    """The callee took the call and its audio can be used."""

    leg: int


@dataclass(frozen=True, slots=True)
class CalleeEnded:
    """The callee's leg is over, or could not be begun (`by` is then `local`)."""

    leg: int
    status: int
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class StreamCreated:
    """The connector's far end accepted the stream."""

    stream: int
    sid: str


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The stream is over; `code` is Twilio's when it failed."""

    stream: int
    sid: str
    code: int | None
    message: str


@dataclass(frozen=True, slots=True)
class PlayFinished:
    """The prompt has been played to its end, or could not be played."""

    prompt: int
    error: str | None


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """The caller has pressed a key and let go of it."""

    key: str = field(repr=False)  # may be part of a card's number: not for logs
    """One of ``0123456789*#ABCD``, or ``!`` for the flash of the hook."""


@dataclass(frozen=True, slots=True)
class ShutDown:
    """forkproxy is stopping: the call must end now."""

    reason: str


@dataclass(frozen=True, slots=True)
class AudioLost:
    """A phone that should send has sent no audio for too long: the call is dead and must end."""

    reason: str


@dataclass(frozen=True, slots=True)
class RecordingLost:
    """A recorder that the call must not be without has failed: the call is refused, or ends."""

    reason: str


CallEvent = (
    CallerEnded
    | CalleeProgress
    | CalleeAnswered
    | CalleeEnded
    | StreamCreated
    | StreamEnded
    | PlayFinished
    | KeyPressed
    | ShutDown
    | AudioLost
    | RecordingLost
)
