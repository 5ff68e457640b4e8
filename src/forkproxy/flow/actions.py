"""What a running flow asks for.

`Execution.start` and `Execution.handle` return a list of these. At most one of `StartStream`, `StopStream`,
`Connect`, `ConnectStream`, `Play`, `SendDigits` and `Gather` is in it, as the last: the flow waits until it
is told the outcome by the event named at the action. `Warn` may stand before. `HangUp` is the very last
action of every execution.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from forkproxy.model import StreamSpec


@dataclass(frozen=True, slots=True)
class StartStream:
    """Fork the caller's audio. Answered by `StreamStarted` or `StreamFailed`."""

    widget: str
    """The name of the widget that asks, here and in all actions."""
    spec: StreamSpec


@dataclass(frozen=True, slots=True)
class StopStream:
    """End a stream. Answered by `StreamStopped`, whether or not there was one."""

    widget: str
    name: str | None
    """The name that the stream was started with; None: every stream of the call."""


@dataclass(frozen=True, slots=True)
class ConnectStream:
    """Let a stream's far end talk with the caller, alone. Answered by `StreamEnded` when that is over."""

    widget: str
    spec: StreamSpec
    """A bidirectional one."""
    time_limit: int | None
    """Seconds that it may last; None: no limit of the flow's."""


@dataclass(frozen=True, slots=True)
class Connect:
    """Dial somebody and bridge the caller to them. Answered by `ConnectEnded` when that is over."""

    widget: str
    noun: Literal["number", "sip"]
    to: str
    """A number as dialled (spaces and punctuation taken out), or a SIP URI."""
    username: str | None
    """Digest credentials for a SIP URI."""
    password: str | None
    caller_id: str | None
    """Whom the callee sees calling; None: as the caller presented itself."""
    timeout: int
    """Seconds to wait for an answer, 1 to 600."""
    time_limit: int | None
    """Seconds that the connected call may last; None: no limit of the flow's."""
    record: bool
    send_digits: str = field(default="", repr=False)  # may be a PIN: not for logs
    """Keys that are pressed for the callee once it has answered, as of `SendDigits`."""

    def __repr__(self) -> str:  # the password must not reach a log by accident
        return f"Connect(widget={self.widget!r}, noun={self.noun!r}, to={self.to!r})"


@dataclass(frozen=True, slots=True)
class Play:
    """Play audio to the caller. Answered by `PlayEnded`."""

    widget: str
    url: str
    """``http://``, ``https://`` or ``file://``; paths in a flow file are resolved already."""
    loop: int
    """How many times, 1 to 99."""


@dataclass(frozen=True, slots=True)
class SendDigits:
    """Press keys for the caller's far end to hear. Answered by `PlayEnded`."""

    widget: str
    digits: str = field(repr=False)  # may be a PIN: not for logs
    """``0123456789*#ABCD``, ``w`` for half a second's pause and ``W`` for one of a second."""


@dataclass(frozen=True, slots=True)
class Gather:
    """Take the keys that the caller presses, while a prompt plays and after it. Answered by `GatherEnded`."""

    widget: str
    url: str | None
    """The prompt, as of `Play`; the first key stops it. None: there is none."""
    loop: int
    """How many times the prompt is played, 1 to 99."""
    timeout: int
    """Seconds without a key, after the prompt or after the last key, that end it."""
    finish_on_key: str
    """The key that ends it; empty: none does."""
    number_of_digits: int | None
    """How many keys end it; None: however many."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """The flow has ended: the caller's leg ends with it."""

    reason: str
    """For the log."""


@dataclass(frozen=True, slots=True)
class Warn:
    """Something that the flow's author should know; the flow goes on."""

    code: int | None
    """Twilio's code where there is one."""
    message: str
    widget: str


Action = StartStream | StopStream | Connect | ConnectStream | Play | SendDigits | Gather | HangUp | Warn
WaitingAction = StartStream | StopStream | Connect | ConnectStream | Play | SendDigits | Gather
