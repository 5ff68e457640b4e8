"""What the state machine asks its driver to do. An action never fails into the machine: what goes wrong
comes back as an event."""

from __future__ import annotations

from dataclasses import dataclass, field

from forkproxy.flow.actions import Connect
from forkproxy.model import StreamSpec


@dataclass(frozen=True, slots=True)
class RingCaller:
    """Pass a provisional response on; `early_media`: with a session description, so that it is heard."""

    status: int
    reason: str
    early_media: bool


@dataclass(frozen=True, slots=True)
class AnswerCaller:
    """Send 200 with the session description that the callee's answer allows, or with our own."""


@dataclass(frozen=True, slots=True)
class RejectCaller:
    """Refuse the call that was not answered."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class HangUpCaller:
    """BYE."""


@dataclass(frozen=True, slots=True)
class DialCallee:
    """Begin a second leg."""

    leg: int
    connect: Connect


@dataclass(frozen=True, slots=True)
class HangUpCallee:
    """CANCEL or BYE, as its state wants; CalleeEnded follows."""

    leg: int


@dataclass(frozen=True, slots=True)
class BridgeAudio:
    """Let the two parties hear each other; repeated for the callee's answer after early media."""

    leg: int


@dataclass(frozen=True, slots=True)
class Ringback:
    """Play, or stop playing, the ringing tone to a caller who was answered before the callee is."""

    on: bool


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Tap the caller's leg and give the tap to a connector."""

    stream: int
    spec: StreamSpec


@dataclass(frozen=True, slots=True)
class CloseStream:
    """Stop the tap; what was heard until now is still handed over."""

    stream: int
    reason: str


@dataclass(frozen=True, slots=True)
class PlayPrompt:
    """Play a WAV to the caller; PlayFinished follows."""

    prompt: int
    url: str
    loop: int


@dataclass(frozen=True, slots=True)
class SendDigits:
    """Press keys for the caller, as a prompt; PlayFinished follows. Or for a callee: nothing follows."""

    digits: str = field(repr=False)  # may be a PIN: not for logs
    prompt: int = 0
    leg: int | None = None


@dataclass(frozen=True, slots=True)
class StopPrompt:
    """Play the prompt no further; PlayFinished need not follow."""

    prompt: int


@dataclass(frozen=True, slots=True)
class Report:
    """Something that the operator and the flow's author should know; the call goes on."""

    code: int | None
    """Twilio's code, where there is one."""
    message: str
    widget: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Everything has ended: release what the call holds. Once, and last."""

    reason: str


CallAction = (
    RingCaller
    | AnswerCaller
    | RejectCaller
    | HangUpCaller
    | DialCallee
    | HangUpCallee
    | BridgeAudio
    | Ringback
    | OpenStream
    | CloseStream
    | PlayPrompt
    | SendDigits
    | StopPrompt
    | Report
    | Finish
)
