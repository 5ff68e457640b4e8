"""The one tree of errors; each knows the SIP status and the Twilio code that it means to the outside.

ForkproxyError
├── InputError             a document (config, flow) with problems, each with file and line
│   ├── ConfigError
│   └── FlowError
├── SignallingError        SIP: an endpoint that cannot listen, a target that cannot be dialled
│   ├── EngineError        PJSIP is missing, of another version, or refused a call
│   └── SdpError           a session description that we cannot use (488)
├── MediaError             RTP: no port left (503), a socket that failed, audio that cannot be played
│   └── PortsExhausted
└── StreamError            one stream failed; the call goes on
    └── one class for each of Twilio's 319xx codes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a document, said so that an editor can jump to it."""

    file: str
    line: int
    """1-based; 0 when the document as a whole is meant."""
    column: int
    """1-based; 0 when unknown."""
    path: str
    """Where in the document, as Twilio writes it: ``#/states/3/properties/timeout``."""
    message: str
    warning: bool = False
    """True: reported, but the document can be used."""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        kind = "warning: " if self.warning else ""
        return f"{where}: {self.path}: {kind}{self.message}"


class ForkproxyError(Exception):
    """The root of everything that forkproxy raises on purpose."""

    sip_status: ClassVar[int] = 500
    """The SIP status that a caller gets when this ends the call's set-up."""
    twilio_code: ClassVar[int | None] = None
    """Twilio's error or warning code (twilio.com/docs/api/errors), where there is one."""


class InputError(ForkproxyError):
    """A document has mistakes; `problems` has every one of them, warnings included."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ConfigError(InputError):
    """The configuration cannot be used."""


class FlowError(InputError):
    """A flow definition cannot be run (Twilio: 81022)."""

    twilio_code = 81022


class SignallingError(ForkproxyError):
    """SIP could not do what was asked."""


class EngineError(SignallingError):
    """PJSIP is missing, is not the version we are built for, or refused a call."""


class SdpError(SignallingError):
    """A session description is malformed or offers nothing that we carry."""

    sip_status = 488


class MediaError(ForkproxyError):
    """RTP could not do what was asked."""


class PortsExhausted(MediaError):
    """No free RTP port is left in the configured range."""

    sip_status = 503


class StreamError(ForkproxyError):
    """A stream could not be created or ended early; never the call's problem (Twilio 31900: unknown)."""

    twilio_code = 31900


class StreamConnectTimeout(StreamError):
    """The consumer did not answer in time."""

    twilio_code = 31901


class StreamRefused(StreamError):
    """The consumer's host refused the connection."""

    twilio_code = 31902


class StreamBroken(StreamError):
    """The connection was cut without a closing handshake."""

    twilio_code = 31903


class StreamUnreachable(StreamError):
    """The consumer's host cannot be reached or its name cannot be resolved."""

    twilio_code = 31904


class StreamTlsError(StreamError):
    """TLS failed: certificate, name or protocol."""

    twilio_code = 31910


class StreamHandshakeError(StreamError):
    """The consumer answered the upgrade request with anything but 101."""

    twilio_code = 31920


class StreamRemoteClosed(StreamError):
    """The consumer closed the WebSocket."""

    twilio_code = 31921


class StreamSchemeError(StreamError):
    """The URL's scheme is not wss."""

    twilio_code = 31922


class StreamUrlError(StreamError):
    """The URL is malformed."""

    twilio_code = 31923


class StreamProtocolError(StreamError):
    """The consumer broke the WebSocket protocol, or sent on a one-way stream."""

    twilio_code = 31924


class ConnectorNotFound(StreamError):
    """No connector of that name is configured."""

    twilio_code = 31940


class InvalidTrack(StreamError):
    """The track is not one that this kind of stream carries."""

    twilio_code = 31941


class ConnectorConfigError(StreamError):
    """The connector's settings are wrong."""

    twilio_code = 31942
