"""All that a connector imports.

A connector is a class that a package offers under the entry-point group ``forkproxy.connectors``; the
entry point's name is the connector's *type*. The configuration makes instances of it::

    connectors:
      Archive_1: {type: archive, folder: /var/lib/forkproxy}

For every stream that a flow sends to ``Archive_1``, `Connector.stream` is awaited once, in its own task::

    class ArchiveSettings(Settings):
        folder: ConfigPath

    class Archive(Connector[ArchiveSettings]):
        async def stream(self, stream: Stream) -> None:
            async with open_archive(self.settings.folder, stream.sid) as archive:
                stream.created()              # the flow goes on from here
                async for frames in stream:   # ends when the flow or the call ends the stream
                    await archive.write(frames)

What it does cannot hurt the call. An exception ends this stream only; a `StreamError` says which of Twilio's
codes is reported. A connector that is too slow loses its own oldest frames, counted. One that has not ended
a few seconds after its last frame is cancelled. One thing nobody can protect the call from: a connector
that *blocks* (``time.sleep``, a slow disk, long computation) stops the event loop that carries every call's
signalling. Such work belongs into a thread.
"""

from __future__ import annotations

import logging
import typing
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo

from forkproxy.connectors.failures import describe, failure_of, kind_of
from forkproxy.connectors.sip import (
    CopyFigures,
    CopyKeys,
    Dialler,
    OnRequest,
    RtpCopy,
    SipDialog,
)
from forkproxy.errors import (
    ConnectorConfigError,
    MediaError,
    SignallingError,
    StreamBroken,
    StreamConnectTimeout,
    StreamError,
    StreamHandshakeError,
    StreamProtocolError,
    StreamRefused,
    StreamRemoteClosed,
    StreamSchemeError,
    StreamTlsError,
    StreamUnreachable,
    StreamUrlError,
)
from forkproxy.message import SipBody, SipReply, SipRequest, SipResponse
from forkproxy.model import (
    FRAME_BYTES,
    FRAME_MS,
    Account,
    Address,
    AudioFormat,
    CallInfo,
    CallState,
    Frame,
    FrameFlag,
    Party,
    StreamTransport,
    Track,
)

__all__ = [
    "FRAME_BYTES",
    "FRAME_MS",
    "Account",
    "Address",
    "AudioFormat",
    "CallInfo",
    "CallState",
    "ConfigPath",
    "Connector",
    "ConnectorConfigError",
    "CopyFigures",
    "CopyKeys",
    "Dialler",
    "Frame",
    "FrameFlag",
    "Host",
    "MediaError",
    "OnRequest",
    "Party",
    "Preset",
    "RtpCopy",
    "Settings",
    "SignallingError",
    "SipBody",
    "SipDialog",
    "SipReply",
    "SipRequest",
    "SipResponse",
    "Stream",
    "StreamBroken",
    "StreamConnectTimeout",
    "StreamError",
    "StreamHandshakeError",
    "StreamProtocolError",
    "StreamRefused",
    "StreamRemoteClosed",
    "StreamSchemeError",
    "StreamTlsError",
    "StreamTransport",
    "StreamUnreachable",
    "StreamUrlError",
    "Track",
    "describe",
    "failure_of",
    "kind_of",
]


class Settings(BaseModel):
    """The settings of an instance: a frozen pydantic model; unknown keys are refused with file and line.

    The key ``type`` is forkproxy's own: a model must not have a field of that name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


def _beside_the_configuration(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    try:
        path = path.expanduser()
    except RuntimeError as error:  # no home folder
        raise ValueError(str(error)) from error
    return path if folder is None else Path(folder) / path


ConfigPath = Annotated[Path, AfterValidator(_beside_the_configuration)]
"""A path in settings; a relative one starts at the configuration file's folder, as all its paths do."""


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
    dialler: Dialler | None = None
    """Begins SIP dialogs; see `dial`."""

    async def dial(
        self,
        uri: str,
        *,
        user: str = "",
        display: str = "",
        contact_parameters: str = "",
        username: str | None = None,
        password: str | None = None,
        on_request: OnRequest | None = None,
    ) -> SipDialog:
        """A SIP dialog of the connector's own; nothing is sent yet.

        Args:
            uri: whom; ``;transport=tcp`` (or another that forkproxy listens on) chooses the transport.
            user, display: what From says before and beside our address.
            contact_parameters: behind the address in Contact, such as ``+sip.src``.
            username, password: answer digest challenges with these.
            on_request: answers the peer's requests in the dialog, on the event loop and at once. None, or its
                None: BYE and OPTIONS get 200, offers 488, others 405.

        Raises:
            StreamUrlError: the URI cannot be dialled from here.
            StreamUnreachable: its host has no address.
        """
        if self.dialler is None:
            raise StreamUrlError("SIP is not to be had here")
        return await self.dialler.dial(
            uri,
            user=user,
            display=display,
            contact_parameters=contact_parameters,
            username=username,
            password=password,
            on_request=on_request,
        )


class Stream(ABC):
    """One stream, as its connector sees it. Iterate over it once."""

    sid: str
    """``MZ`` (websocket) or ``SR`` (siprec) and 32 hexadecimal digits."""
    name: str
    """The name that the flow gave, otherwise the sid. A user's text: not safe as a file name."""
    call: CallInfo
    transport: StreamTransport
    """What the flow asked for."""
    tracks: tuple[Track, ...]
    """The tracks that come, inbound first."""
    format: AudioFormat
    """What its frames are made of, and what `speak` takes: `Connector.format_of` chose it."""
    url: str | None
    """The flow's URL, for a connector that takes it from there. A user's text, unchecked."""
    parameters: Mapping[str, str]
    """The flow's parameters; of two with one name, the last."""
    bidirectional: bool
    """Audio may go back to the caller: `speak`, `mark` and `clear`, which otherwise raise
    `StreamProtocolError`."""
    log: logging.LoggerAdapter[logging.Logger]
    """Every line carries the call's and the stream's sid."""

    @abstractmethod
    def created(self) -> None:
        """The far end accepted the stream; the flow goes on. Later calls do nothing.

        A connector that has not called this within the connect timeout (10 seconds) is cancelled, and the
        stream fails with `StreamConnectTimeout`. Frames are kept meanwhile: none of the first is lost.
        """

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[list[Frame]]:
        """Every frame since the stream was asked for, in order, in batches of what is there (never empty).

        There are 50 frames a second on each track, whatever the network does. Frames with the same number
        stand together, inbound first; a hole in the numbers is frames that were dropped. The iteration ends
        when the stream has been stopped and everything before the stop has been handed over.

        Raises:
            StreamError: the one that was given to `fail`.
        """

    @abstractmethod
    def fail(self, error: StreamError) -> None:
        """End the stream with `error`, from a callback (a connection was lost): the iteration raises it.

        The first error counts. A connector that is not iterating at the moment meets it when it does.
        """

    @abstractmethod
    def warn(self, code: int, message: str) -> None:
        """Report one of Twilio's warnings (31930, 31950, 31951, ...); the stream goes on.

        Call it as often as it happens: each code is reported once a stream and counted every time.
        """

    @abstractmethod
    def speak(self, audio: bytes) -> int:
        """Say `audio`, in the stream's `format` and any length, to the caller, behind what was said before.

        It waits in a buffer of ten minutes and is sent at the pace of speech. What does not fit is discarded
        and reported as 31931. Returns how many octets were taken; none after the stream's end.
        """

    @abstractmethod
    def mark(self, name: str) -> bool:
        """Have `name` reported to `on_mark` when all that was said before has been played.

        If it has been already, that is soon, but never from in here. False: not taken, since thousands wait
        or the stream has ended.
        """

    @abstractmethod
    def clear(self) -> None:
        """Drop what has been said and not been played yet; the marks that wait are reported in order."""

    @abstractmethod
    def on_mark(self, callback: Callable[[str, bool], None]) -> None:
        """Report marks to `callback`: the name, and whether `clear` dropped audio before the mark.

        Marks come in the order in which they were set, on the event loop, until the stream's end.
        """

    @abstractmethod
    def on_digit(self, callback: Callable[[str, float], None]) -> None:
        """Report the caller's keys to `callback`: the key, and how many milliseconds it was held.

        A key is one of ``0123456789*#ABCD``, or ``!`` for the flash of the hook (RFC 4733), and is reported
        once, when it is let go of, on the event loop, until the stream's end. Those pressed before there is a
        callback are not kept. Streams without the inbound track get none, and no stream does while the call
        is masked. A callback that raises ends the stream. Keys may be parts of card numbers: do not log them.
        """

    @abstractmethod
    def copy(self, track: Track | None, *, buffer_seconds: float = 0.0) -> RtpCopy:
        """Send a track (None: both mixed) on as RTP of our own; no frame of it meets Python.

        Until it is told where to (`RtpCopy.send_to`) it keeps the newest `buffer_seconds`. It ends with the
        stream at the latest. A connector that only copies says `wants_frames = False`.

        Raises:
            MediaError: no port is left, or the stream has ended.
        """

    @property
    @abstractmethod
    def state(self) -> CallState:
        """How the call stands: who speaks with whom, who is on hold, whether it is masked."""

    @abstractmethod
    def on_change(self, callback: Callable[[CallState], None]) -> None:
        """Report each new `state` to `callback`, on the event loop, until the stream's end."""

    @abstractmethod
    async def stopped(self) -> None:
        """Wait for the stream's stop, for a connector that does not iterate over it.

        Raises:
            StreamError: the one that was given to `fail`.
        """

    @abstractmethod
    def measure(self, backlog: Callable[[], tuple[int, float]]) -> None:
        """Let the operator see what waits behind the connector: `backlog` is called now and then.

        It returns how many octets were given to a network that has not taken them yet, and how many seconds
        the oldest of them have waited.
        """

    def attach(self, sink: object) -> bool:
        """Have all frames that have not been handed over yet taken by native code, without Python.

        A connector that is able to calls this whenever it has dealt with what it got, and goes on iterating.
        There comes nothing, until the sink refuses a moment (it is full, its connection is gone), the
        stream is stopped, or `detach`: then the iteration goes on with the very next frame, and the connector
        may attach the sink again. Frames that the sink takes count as handed over.

        Args:
            sink: a capsule as ``forkproxy/connectors/sink.h`` describes it.

        Returns:
            False: not now, since frames wait to be taken or the stream ends; or not this stream at all.

        Raises:
            ValueError: it is not a sink, or one of another version.
        """
        return False

    def detach(self) -> None:  # noqa: B027  a stream that attaches nothing has nothing to do
        """End what `attach` began, at once: the sink is not called any more when this returns."""

    @property
    @abstractmethod
    def dropped(self) -> int:
        """Frames lost so far because this connector was too slow."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A named set of settings of a connector type."""

    name: str
    title: str
    """What it is for."""
    source: str
    """Where it is from: what was read, or measured."""
    package: str
    settings: Mapping[str, Any]
    error: str | None = None
    """Why it cannot be used."""


S = TypeVar("S", bound=Settings)


class Connector(ABC, Generic[S]):
    """A configured destination of streams. One object an instance, for the life of the process.

    The type in brackets is the model of the instance's settings, as in
    ``class Archive(Connector[ArchiveSettings])``; ``Connector[Settings]`` has none.
    """

    settings_type: ClassVar[type[Settings]] = Settings
    """The model in brackets."""

    needs_url: bool = False
    """True: a stream without a `Stream.url` is refused before it starts (31923)."""
    buffer_seconds: float | None = None
    """Seconds of audio kept for a stream of this instance; None: as ``streams.buffer`` says."""
    connect_timeout: float | None = None
    """Seconds that a stream of this instance may take to be created; None: 10."""

    audio_format: AudioFormat = AudioFormat.MULAW
    """What the frames of its streams are made of, unless `format_of` says otherwise."""
    wants_frames: bool = True
    """False: it copies tracks (`Stream.copy`) and never iterates over a stream."""

    required: bool = False
    """True: a call whose stream to this connector fails is refused, or ended."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        for base in cls.__dict__.get("__orig_bases__", ()):
            origin = typing.get_origin(base)
            if isinstance(origin, type) and issubclass(origin, Connector):
                for argument in typing.get_args(base):
                    if not isinstance(argument, TypeVar):
                        cls.settings_type = _settings_model(cls, argument)

    def __init__(self, name: str, settings: S, host: Host) -> None:
        """Called when forkproxy starts; must not connect to anything.

        An exception fails the start, by the instance's name and with its line in the configuration.
        """
        self.name = name
        self.settings = settings
        self.host = host

    def format_of(self, url: str | None, parameters: Mapping[str, str]) -> AudioFormat:
        """What a stream's frames are made of; asked once, before it starts.

        Override it where that depends on the settings, or on the URL and the parameters that the flow gave.

        Raises:
            StreamError: the stream cannot be had like this.
        """
        return self.audio_format

    @abstractmethod
    async def stream(self, stream: Stream) -> None:
        """Carry `stream` from its creation to its end; see the module's text.

        Returning while frames still come ends the stream early, which is no error once it was created.

        Raises:
            StreamError: the stream could not be created, or ended early. Errors of sockets and TLS are
                mapped to Twilio's codes too (`failure_of`); anything else is reported as 31900, with a
                traceback in the log.
        """

    @classmethod
    def presets(cls) -> Sequence[Preset]:
        """Named sets of settings that the type knows; `forkproxy connectors --presets` lists them."""
        return ()

    async def close(self) -> None:
        """forkproxy is stopping; all streams have ended."""


def _settings_model(connector: type, argument: object) -> type[Settings]:
    if isinstance(argument, type) and issubclass(argument, Settings):
        return argument
    name = connector.__name__
    if isinstance(argument, str | typing.ForwardRef):
        raise TypeError(f"{name}: define its settings above it, and put the class itself in the brackets")
    raise TypeError(f"{name}: {argument!r} in the brackets is not a subclass of Settings")
