"""For the tests of connectors: streams without a call.

Two ways, from simple to true to life::

    async def test_writes_what_it_gets():
        stream = FakeStream(frames(50))              # one second of both tracks, then the end
        await make(Archive, folder=tmp_path).stream(stream)
        assert stream.is_created

    async def test_reports_a_refused_connection():
        outcome = await run_connector(make(Archive, url="wss://127.0.0.1:9"), frames(50))
        assert outcome.error.twilio_code == 31902

A connector that talks back is given a `FakeVoice`, which plays when the test says so::

    async def test_greets():
        voice = FakeVoice()
        async with running(make(Bot), voice=voice) as run:
            await run.created()
            assert voice.play() == GREETING          # and its marks are reported

A connector that speaks SIP is given a `FakeDialler`, which answers what the test says; its copies of tracks
are in `Run.copies`::

    host = replace(HOST, dialler=(dialler := FakeDialler(lambda request: SipReply(200, body=ANSWER))))
    async with running(make(Recorder, host=host)) as run:
        await run.created()
        assert dialler.dialogs[0].requests[0].method == "INVITE"
A connector with native code (`Stream.attach`) has it called by the same ``feed``, in the test's thread.

Keys are pressed by ``press("12#")``, of a `FakeStream` and of a `Run`.

`FakeStream` is handed to the connector's method as it is. `run_connector` and `running` put the connector
behind the same code as a real call does: queue, timeouts, mapping of exceptions, events.
"""

from __future__ import annotations

import asyncio
import logging
import math
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from forkproxy import logs
from forkproxy.connectors.api import Connector, Host
from forkproxy.connectors.events import StreamCreated, StreamEnded, StreamEvent, StreamFigures, StreamWarning
from forkproxy.connectors.queue import FrameQueue
from forkproxy.connectors.registry import check, settings_of
from forkproxy.connectors.sinks import FakeTap
from forkproxy.connectors.sip import OnRequest
from forkproxy.connectors.streams import QueuedStream, StreamRunner
from forkproxy.connectors.voice import OnMark
from forkproxy.errors import StreamError
from forkproxy.message import SipBody, SipReply, SipRequest, SipResponse
from forkproxy.model import (
    FRAME_BYTES,
    Account,
    Address,
    AudioFormat,
    CallInfo,
    CallState,
    Frame,
    FrameFlag,
    StreamSpec,
    StreamTransport,
    Track,
    Tracks,
)

ACCOUNT = Account("AC" + "a" * 32, "a-token-for-tests")
CALL = CallInfo(sid="CA" + "c" * 32, account_sid=ACCOUNT.sid, from_="+15550001111", to="+15550002222")
HOST = Host(
    account=ACCOUNT,
    user_agent="forkproxy/tests",
    ca_file=None,
    allow_ws=False,
    log=logging.getLogger("forkproxy.tests"),
)
SILENCE = b"\xff" * FRAME_BYTES
"""20 ms of nothing, in mu-law."""

C = TypeVar("C", bound=Connector[Any])


def frames(
    count: int,
    tracks: Tracks = Tracks.BOTH,
    *,
    start: int = 0,
    payload: bytes | None = None,
    format: AudioFormat = AudioFormat.MULAW,
) -> list[Frame]:
    """`count` moments of 20 ms: 50 are a second.

    Args:
        tracks: one track, or both (two frames a moment, inbound first).
        start: the first frame's number.
        payload: 160 octets of mu-law, or what `format` says; by default every frame's are its own, so that a
            test can tell them apart: `payload_of` its track and number.
        format: what the connector asks for.
    """
    return [
        Frame(track, number, FrameFlag.RECEIVED, payload or payload_of(track, number, format))
        for number in range(start, start + count)
        for track in tracks.members
    ]


def payload_of(track: Track, number: int, format: AudioFormat = AudioFormat.MULAW) -> bytes:
    """The audio that `frames` gives to a frame."""
    return (f"{track} {number} " * format.frame_bytes).encode()[: format.frame_bytes]


def tone(
    hertz: float,
    count: int,
    tracks: Tracks = Tracks.BOTH,
    *,
    level: float = 0.5,
    format: AudioFormat = AudioFormat.MULAW,
) -> list[Frame]:
    """`count` moments of a sine wave, for connectors whose output one listens to."""
    made: list[Frame] = []
    size = format.frame_bytes // format.sample_bytes
    for number in range(count):
        angles = (2 * math.pi * hertz * n / format.rate for n in range(number * size, (number + 1) * size))
        samples = [int(32767 * level * math.sin(angle)) for angle in angles]
        if format is AudioFormat.MULAW:
            payload = bytes(map(_mulaw, samples))
        else:
            payload = struct.pack(f"<{size}h", *samples)
        made += [Frame(track, number, FrameFlag.RECEIVED, payload) for track in tracks.members]
    return made


def make(connector: type[C], name: str = "test", *, host: Host = HOST, **settings: object) -> C:
    """An instance of `connector`, its settings checked as if they stood in the configuration.

    Raises:
        TypeError: the class is not one that forkproxy would load, and why.
        InputError: the settings have mistakes.
    """
    problem = check(connector)
    if problem is not None:
        raise TypeError(f"{connector.__name__} {problem}")
    return connector(name, settings_of(connector, settings), host)


class FakeVoice:
    """What a bidirectional stream says, kept until the test has it played."""

    def __init__(self, *, limit_seconds: float = 600) -> None:
        """Room for `limit_seconds` of audio that waits."""
        self.clears = 0
        """How often the connector cleared."""
        self.closed = False
        self._limit_seconds = limit_seconds
        self._waiting: list[bytes | str] = []
        self._on_mark: OnMark | None = None

    def open(self, on_mark: OnMark) -> FakeVoice:
        """For one stream."""
        self._on_mark = on_mark
        return self

    @property
    def waiting(self) -> bytes:
        """Audio that has not been played, in the stream's format."""
        return b"".join(item for item in self._waiting if isinstance(item, bytes))

    def play(self) -> bytes:
        """Play everything that waits, and report its marks; the audio, in the stream's format."""
        audio, items, self._waiting = self.waiting, self._waiting, []
        self._report(items, cleared=False)
        return audio

    def write(self, audio: bytes, format: AudioFormat = AudioFormat.MULAW) -> int:
        """`Stream.speak`."""
        limit = round(self._limit_seconds * format.rate) * format.sample_bytes
        taken = 0 if self.closed else min(len(audio), limit - len(self.waiting))
        self._waiting.append(audio[:taken])
        return taken

    def mark(self, name: str) -> bool:
        """`Stream.mark`."""
        if self.closed:
            return False
        if self.waiting:
            self._waiting.append(name)
        else:
            items: list[bytes | str] = [name]
            asyncio.get_running_loop().call_soon(self._report, items, False)
        return True

    def clear(self) -> None:
        """`Stream.clear`."""
        self.clears += 1
        items, self._waiting = self._waiting, []
        asyncio.get_running_loop().call_soon(self._report, items, True)

    def close(self) -> None:
        """The stream is over."""
        self.closed = True
        self._waiting.clear()

    def _report(self, items: list[bytes | str], cleared: bool) -> None:
        for item in items:
            if isinstance(item, str) and self._on_mark is not None and not self.closed:
                self._on_mark(item, cleared)


@dataclass(frozen=True)
class FakeCopyFigures:
    """Of a copy that sends nothing."""

    packets: int = 0
    octets: int = 0
    dropped: int = 0
    skipped: int = 0
    waiting: int = 0
    send_errors: int = 0
    reports: int = 0
    lost: int = 0
    heard: float | None = None


class FakeCopy:
    """A copy of a track that is told where to go, and sends nothing."""

    def __init__(self, track: Track | None, buffer_seconds: float, port: int) -> None:
        self.track = track
        self.buffer_seconds = buffer_seconds
        self.rtp_port, self.rtcp_port = port, port + 1
        self.ssrc = port
        self.cname = f"copy-{port}"
        self.sent_to: list[tuple[Address, Address, str, dict[str, object]]] = []
        """Every call of `send_to`."""
        self.paused = False
        self.losses = 0
        self.closed = False

    def send_to(self, rtp: Address, rtcp: Address, codec: str = "PCMU", **more: object) -> None:
        """`RtpCopy.send_to`."""
        self.sent_to.append((rtp, rtcp, codec, more))

    def lose(self) -> None:
        """`RtpCopy.lose`."""
        self.losses += 1

    def pause(self, paused: bool) -> None:
        """`RtpCopy.pause`."""
        self.paused = paused

    def figures(self) -> FakeCopyFigures:
        """`RtpCopy.figures`."""
        return FakeCopyFigures()

    def close(self) -> FakeCopyFigures:
        """`RtpCopy.close`."""
        self.closed = True
        return self.figures()


Answers = Callable[[SipRequest], SipReply]


class FakeDialog:
    """A SIP dialog whose peer is a function of the test's."""

    def __init__(
        self, uri: str, answers: Answers, on_request: OnRequest | None, options: Mapping[str, Any]
    ) -> None:
        self.uri = uri
        self.options = options
        """The other arguments of `Host.dial`."""
        self.call_id = f"call-{id(self)}"
        self.local_host = self.media_host = "127.0.0.1"
        self.established = self.closed = False
        self.requests: list[SipRequest] = []
        """What the connector has sent."""
        self._answers = answers
        self._on_request = on_request

    async def request(
        self,
        method: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: SipBody | None = None,
        timeout: float | None = None,
        on_provisional: Callable[[SipResponse], None] | None = None,
    ) -> SipResponse:
        """`SipDialog.request`: what the test's function answers."""
        more = () if body is None else (("Content-Type", body.content_type),)
        request = SipRequest((*headers, *more), b"" if body is None else body.data, method)
        self.requests.append(request)
        await asyncio.sleep(0)
        reply = self._answers(request)
        kind = () if reply.body is None else (("Content-Type", reply.body.content_type),)
        data = b"" if reply.body is None else reply.body.data
        response = SipResponse((*reply.headers, *kind), data, reply.status, reply.reason)
        self.established = (self.established or method == "INVITE") and method != "BYE" and response.ok
        return response

    async def end(
        self, *, headers: Sequence[tuple[str, str]] = (), body: SipBody | None = None, timeout: float = 4.0
    ) -> SipResponse | None:
        """`SipDialog.end`."""
        response = await self.request("BYE", headers=headers, body=body) if self.established else None
        self.close()
        return response

    def close(self) -> None:
        """`SipDialog.close`."""
        self.closed = True
        self.established = False

    def ask(self, request: SipRequest) -> SipReply | None:
        """A request of the peer's, and what the connector answers."""
        if request.method == "BYE":
            self.established = False
        return None if self._on_request is None else self._on_request(request)


class FakeDialler:
    """SIP that exists in a test only: ``make(Recorder, host=replace(HOST,
    dialler=FakeDialler(answers)))``."""

    def __init__(self, answers: Answers) -> None:
        """`answers` gives the final response to each request of the connector's, INVITE first."""
        self.dialogs: list[FakeDialog] = []
        self._answers = answers

    async def dial(self, uri: str, *, on_request: OnRequest | None = None, **options: Any) -> FakeDialog:
        """`Host.dial`."""
        dialog = FakeDialog(uri, self._answers, on_request, options)
        self.dialogs.append(dialog)
        return dialog


class FakeStream(QueuedStream):
    """A stream that exists in a test only: hand it to `Connector.stream`."""

    def __init__(
        self,
        frames: Iterable[Frame] = (),
        *,
        tracks: Tracks = Tracks.BOTH,
        name: str | None = None,
        url: str | None = None,
        parameters: Mapping[str, str] | None = None,
        transport: StreamTransport = StreamTransport.WEBSOCKET,
        call: CallInfo = CALL,
        sid: str = "MZ" + "0" * 32,
        stopped: bool = True,
        voice: FakeVoice | None = None,
        format: AudioFormat = AudioFormat.MULAW,
    ) -> None:
        """A stream of `frames` that ends behind them; with ``stopped=False`` it goes on, see `feed`.

        With a `voice` it is bidirectional. Nobody asks the connector for its `format` here.
        """
        spec = StreamSpec(
            transport, tracks, name, url, None, tuple((parameters or {}).items()), voice is not None
        )
        log = logs.bind(HOST.log, call_sid=call.sid, stream_sid=sid)
        queue = FrameQueue(tracks.members, math.inf)
        super().__init__(
            sid,
            spec,
            call,
            log,
            queue,
            self._note_creation,
            self._note_warning,
            voice.open if voice else None,
            format,
        )
        self.copies: list[FakeCopy] = []
        """The copies that the connector has opened."""
        self.open_copy = self._open_copy
        self.is_created = False
        """The connector has called `created`."""
        self.warnings: list[tuple[int, str]] = []
        """Every call of `warn`."""
        self.source = self.tap = FakeTap(self._take, tracks.members)
        self.feed(frames)
        self.ended = stopped

    def feed(self, frames: Iterable[Frame]) -> None:
        """More frames."""
        self.tap.feed(list(frames))

    def press(self, keys: str, duration_ms: float = 100.0) -> None:
        """The caller presses `keys`, one by one."""
        for key in keys:
            super().press(key, duration_ms)

    def stop(self) -> None:
        """The end of the stream, behind the frames that were fed."""
        self.tap.detach()
        self.ended = True
        self.wake()

    def _open_copy(self, track: Track | None, buffer_seconds: float) -> FakeCopy:
        copy = FakeCopy(track, buffer_seconds, 40000 + 2 * len(self.copies))
        self.copies.append(copy)
        return copy

    def _take(self, frames: list[Frame]) -> None:
        self._queue.add(frames)
        self.wake()

    def _note_creation(self) -> None:
        self.is_created = True

    def _note_warning(self, code: int, message: str) -> None:
        self.warnings.append((code, message))


@dataclass
class Run:
    """A connector at work behind the real machinery; see `running`."""

    events: list[StreamEvent] = field(default_factory=list)
    """Everything that was reported, `StreamEnded` last."""
    runner: StreamRunner = field(init=False)
    copies: list[FakeCopy] = field(default_factory=list)
    """The copies that the connector has opened."""
    tap: FakeTap = field(init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_created(self) -> bool:
        return any(isinstance(event, StreamCreated) for event in self.events)

    @property
    def ended(self) -> bool:
        return any(isinstance(event, StreamEnded) for event in self.events)

    @property
    def error(self) -> StreamError | None:
        """What the stream failed with."""
        return next((event.error for event in self.events if isinstance(event, StreamEnded)), None)

    @property
    def warnings(self) -> list[int]:
        """Twilio's codes, in the order they were reported."""
        return [event.code for event in self.events if isinstance(event, StreamWarning)]

    @property
    def figures(self) -> StreamFigures:
        return self.runner.figures()

    def feed(self, frames: list[Frame]) -> None:
        """Frames from the call."""
        self.tap.feed(frames)

    def press(self, keys: str, duration_ms: float = 100.0) -> None:
        """The caller presses `keys`, one by one."""
        for key in keys:
            self.runner.press(key, duration_ms)

    def open_copy(self, track: Track | None, buffer_seconds: float) -> FakeCopy:
        """`Stream.copy`."""
        copy = FakeCopy(track, buffer_seconds, 40000 + 2 * len(self.copies))
        self.copies.append(copy)
        return copy

    def change(self, state: CallState) -> None:
        """The call stands otherwise."""
        self.runner.change(state)

    async def created(self) -> bool:
        """Wait until the stream is created (True) or has ended without (False)."""
        while not self.is_created and not self.ended:
            self._changed.clear()
            await self._changed.wait()
        return self.is_created

    async def stop(self, *, drain: float | None = None) -> None:
        """End the stream and wait for `StreamEnded`."""
        self.tap.detach()
        self.runner.stop("the test stops it", drain=drain)
        await self.runner.closed()

    async def closed(self) -> None:
        """Wait for `StreamEnded`, without stopping the stream."""
        await self.runner.closed()

    def _on_event(self, event: StreamEvent) -> None:
        self.events.append(event)
        self._changed.set()


@asynccontextmanager
async def running(
    connector: Connector[Any],
    *,
    tracks: Tracks = Tracks.BOTH,
    name: str | None = None,
    url: str | None = None,
    parameters: Mapping[str, str] | None = None,
    transport: StreamTransport = StreamTransport.WEBSOCKET,
    call: CallInfo = CALL,
    voice: FakeVoice | None = None,
    state: CallState | None = None,
    **timeouts: Any,
) -> AsyncIterator[Run]:
    """A stream that runs as in a call while the block lasts, and is stopped at its end.

    Args:
        voice: makes it bidirectional.
        state: how the call stands; `Run.change` changes it.
        timeouts: ``queue_seconds``, ``connect_timeout`` and ``drain_timeout`` of `StreamRunner`.
    """
    spec = StreamSpec(
        transport, tracks, name, url, None, tuple((parameters or {}).items()), voice is not None
    )
    run = Run()
    run.runner = StreamRunner(
        connector,
        spec,
        call,
        connector.host,
        on_event=run._on_event,
        open_voice=voice.open if voice else None,
        open_copy=run.open_copy,
        state=state,
        **timeouts,
    )
    run.tap = FakeTap(run.runner.feed, tracks.members)
    run.runner.draw_from(run.tap)
    run.runner.start()
    try:
        yield run
    finally:
        await run.stop()


async def run_connector(connector: Connector[Any], frames: list[Frame], **options: Any) -> Run:
    """A whole stream: started, fed with `frames` at once, stopped when created, ended.

    Args:
        options: those of `running`.
    """
    async with running(connector, **options) as run:
        run.feed(frames)
        await run.created()
    return run


def _mulaw(sample: int) -> int:
    """One sample of 16 bits in mu-law (ITU-T G.711)."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + 132
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | magnitude >> (exponent + 3) & 0x0F) & 0xFF
