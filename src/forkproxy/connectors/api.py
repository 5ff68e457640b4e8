"""All that a connector imports.

A connector is a class that a package offers under the entry-point group ``forkproxy.connectors``; the
entry point's name is the connector's *type*. The configuration makes instances of it::

    connectors:
      Archive_1: {type: wav, folder: /var/lib/forkproxy}

For every stream that a flow sends to ``Archive_1``, `Connector.stream` is awaited once, in a task of its own::

    class Archive(Connector):
        class Settings(Settings):
            folder: Path

        async def stream(self, stream: Stream) -> None:
            with open_files(self.settings.folder, stream.sid) as files:
                stream.created()               # the flow goes on from here
                async for frames in stream:    # ends when the flow or the call ends the stream
                    for frame in frames:
                        files[frame.track].write(frame.payload)

What it does cannot hurt the call: an exception ends the stream (a `StreamError` says which of Twilio's codes
is reported), slowness costs the stream its oldest frames (counted), and a stream that does not end within
the grace time after its last frame is cancelled.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from forkproxy.errors import StreamError
from forkproxy.model import Account, CallInfo, Frame, FrameFlag, Track, Tracks

__all__ = [
    "Account",
    "CallInfo",
    "Connector",
    "Frame",
    "FrameFlag",
    "Host",
    "Settings",
    "Stream",
    "StreamError",
    "Track",
    "Tracks",
]


class Settings(BaseModel):
    """The settings of an instance: a frozen pydantic model; unknown keys are refused with file and line."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Host:
    """What a connector may ask of forkproxy."""

    account: Account
    """Signs what wants a signature in Twilio's form."""
    user_agent: str
    """``forkproxy/0.1.0``."""
    ca_file: Path | None
    """``streams.ca_file``: verify TLS servers against this file as well as the system's authorities."""
    allow_ws: bool
    """``streams.allow_ws``: plain ``ws://`` is allowed (a developer's own machine)."""
    log: logging.Logger


class Stream(ABC):
    """One stream, as its connector sees it. Iterate over it once."""

    sid: str
    """``MZ`` (websocket) or ``SR`` (siprec) and 32 hexadecimal digits."""
    name: str
    """The name that the flow gave, otherwise the sid."""
    call: CallInfo
    tracks: tuple[Track, ...]
    """Inbound first."""
    url: str | None
    """The flow's URL, for a connector that takes it from there."""
    parameters: Mapping[str, str]
    log: logging.LoggerAdapter[logging.Logger]
    """Carries the call's and the stream's sid."""

    @abstractmethod
    def created(self) -> None:
        """The far end accepted the stream; the flow's `next` fires. Once; later calls do nothing."""

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[list[Frame]]:
        """Every frame since the stream was asked for, in order, in batches of what is there (never empty).

        Frames with the same number stand together, inbound first. Ends when the stream has been stopped and
        everything before the stop has been handed over.
        """

    @abstractmethod
    def warn(self, code: int, message: str) -> None:
        """Report one of Twilio's warning codes (31930, 31950, 31951, ...) on this stream; it goes on."""

    @property
    @abstractmethod
    def dropped(self) -> int:
        """Frames lost so far because this connector was too slow."""


S = TypeVar("S", bound=Settings)


class Connector(ABC, Generic[S]):
    """A configured destination of streams. One object an instance, for the life of the process."""

    Settings: ClassVar[type[Settings]] = Settings
    """The model of the instance's settings in the configuration (all keys but ``type``)."""
    needs_url: ClassVar[bool] = False
    """True: streams must carry a URL (`Stream.url`)."""

    def __init__(self, name: str, settings: S, host: Host) -> None:
        """Must not block or connect. An exception fails the start of forkproxy, by the instance's name."""
        self.name = name
        self.settings = settings
        self.host = host

    @abstractmethod
    async def stream(self, stream: Stream) -> None:
        """Carry `stream` from its creation to its end; see the module's text.

        Raises:
            StreamError: the stream could not be created, or ended early.
        """

    async def close(self) -> None:  # noqa: B027 - most connectors keep nothing between streams
        """forkproxy is stopping; all streams have ended."""
