"""One running stream: the tap's frames in, a connector's task out, events for whoever started it.

The rules of the file:

- `StreamRunner.feed` runs on the tap's path. It appends to a bounded queue and wakes the connector; it never
  waits and never raises.
- The connector runs in a task of its own. Whatever that task does, `StreamEnded` comes exactly once, last.
- Events are delivered from the event loop, never from inside a method of this module, so a receiver may call
  any of them. What an event tells is not logged here; what none tells is: tracebacks, abandoned connectors.
- Two clocks bound the connector: it must report the stream as created within the connect timeout, and end
  within the drain timeout after `stop`. Otherwise it is cancelled. One that ignores even that is abandoned.

    state       starting --created--> running --stop--> stopping --task ends--> stopped
                    |                    |                                    `-> failed (with an error)
                    `--stop--> stopping  `--task ends--> stopped, or failed
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from traceback import format_tb
from types import MappingProxyType
from typing import Any, Literal

from forkproxy import logs
from forkproxy.connectors.api import Connector, Host, Stream
from forkproxy.connectors.events import (
    StreamCreated,
    StreamEnded,
    StreamEvent,
    StreamFigures,
    StreamWarning,
)
from forkproxy.connectors.failures import failure_of, kind_of
from forkproxy.connectors.queue import FrameQueue
from forkproxy.connectors.sip import OpenCopy, RtpCopy
from forkproxy.connectors.source import Source
from forkproxy.connectors.voice import BUFFER_FULL, OnMark, OpenVoice, Voice
from forkproxy.errors import (
    MediaError,
    StreamConnectTimeout,
    StreamError,
    StreamProtocolError,
    StreamUrlError,
)
from forkproxy.model import (
    FRAME_MS,
    AudioFormat,
    CallInfo,
    CallState,
    Frame,
    Party,
    StreamSpec,
    StreamTransport,
    Track,
    new_sid,
)

State = Literal["starting", "running", "stopping", "stopped", "failed"]

BATCH = 100
"""The most frames that a connector gets at once: a long backlog must not keep the loop from other work."""
CANCEL_GRACE = 1.0
"""Seconds that a cancelled connector has to clean up before it is abandoned."""
OVERFLOW = 31930
"""Twilio's warning: audio was discarded, the consumer is too slow."""

_abandoned = 0


def abandoned() -> int:
    """How many connectors' tasks had to be left behind since the start of the process."""
    return _abandoned


class QueuedStream(Stream, AsyncIterator[list[Frame]]):
    """The connector's side of a stream: what is fed waits in a queue until the connector takes it."""

    def __init__(
        self,
        sid: str,
        spec: StreamSpec,
        call: CallInfo,
        log: logging.LoggerAdapter[logging.Logger],
        queue: FrameQueue,
        on_created: Callable[[], None],
        on_warning: Callable[[int, str], None],
        open_voice: OpenVoice | None = None,
        format: AudioFormat = AudioFormat.MULAW,
    ) -> None:
        self.sid = sid
        self.format = format
        self.name = spec.name or sid
        self.call = call
        self.transport = spec.transport
        self.tracks = spec.tracks.members
        self.url = spec.url
        self.parameters: Mapping[str, str] = MappingProxyType(dict(spec.parameters))
        self.log = log
        self._queue = queue
        self._on_created = on_created
        self._on_warning = on_warning
        self._error: StreamError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._iterated = False
        self.ended = False
        self._backlog: Callable[[], tuple[int, float]] | None = None
        self.source: Source | None = None
        self._receive_mark: OnMark | None = None
        self._receive_digit: Callable[[str, float], None] | None = None
        self._voice = open_voice(self._marked) if open_voice is not None and spec.bidirectional else None
        self.bidirectional = self._voice is not None
        self._state = CallState(Party(call.from_), Party(call.to))
        self._receive_state: Callable[[CallState], None] | None = None
        self.open_copy: OpenCopy | None = None
        self._copies: list[RtpCopy] = []

    def created(self) -> None:
        self._on_created()

    def warn(self, code: int, message: str) -> None:
        self._on_warning(code, message)

    def fail(self, error: StreamError) -> None:
        if self._error is None:
            self._error = error
            self.wake()

    def attach(self, sink: object) -> bool:
        if self.source is None or self._queue or self.ended or self._error is not None:
            return False
        return self.source.attach(sink)

    def detach(self) -> None:
        if self.source is not None:
            self.source.detach()

    def speak(self, audio: bytes) -> int:
        voice = self._way_back()
        if self.ended:
            return 0
        taken = voice.write(audio) if self.format is AudioFormat.MULAW else voice.write(audio, self.format)
        if taken < len(audio):
            self.warn(BUFFER_FULL, "audio was discarded: ten minutes of it wait to be played")
        return taken

    def mark(self, name: str) -> bool:
        return self._way_back().mark(name)

    def clear(self) -> None:
        self._way_back().clear()

    def on_mark(self, callback: OnMark) -> None:
        self._receive_mark = callback

    def on_digit(self, callback: Callable[[str, float], None]) -> None:
        self._receive_digit = callback

    def press(self, key: str, duration_ms: float) -> None:
        """The caller has pressed a key; never raises."""
        if self.ended or self._receive_digit is None or Track.INBOUND not in self.tracks:
            return
        try:
            self._receive_digit(key, duration_ms)
        except StreamError as error:
            self.fail(error)
        except Exception as error:  # its text may have the key in it: where it happened must do
            name = type(error).__name__
            self.log.error("on_digit failed: %s\n%s", name, "".join(format_tb(error.__traceback__)))
            self.fail(StreamError(f"on_digit failed: {name}"))

    def copy(self, track: Track | None, *, buffer_seconds: float = 0.0) -> RtpCopy:
        if self.open_copy is None or self.ended:
            raise MediaError("no RTP is to be had here" if self.open_copy is None else "the stream has ended")
        copy = self.open_copy(track, buffer_seconds)
        self._copies.append(copy)
        return copy

    @property
    def state(self) -> CallState:
        return self._state

    def on_change(self, callback: Callable[[CallState], None]) -> None:
        self._receive_state = callback

    def change(self, state: CallState) -> None:
        """The call stands otherwise; never raises."""
        if self.ended or state == self._state:
            return
        self._state = state
        try:
            if self._receive_state is not None:
                self._receive_state(state)
        except Exception as error:
            self.log.exception("on_change failed")
            self.fail(StreamError(f"on_change failed: {error}"))

    async def stopped(self) -> None:
        while self._error is None and not self.ended:
            self._queue.clear()
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._error is not None:
            raise self._error

    def close_copies(self) -> None:
        """The connector is gone."""
        for copy in self._copies:
            copy.close()
        self._copies.clear()

    def measure(self, backlog: Callable[[], tuple[int, float]]) -> None:
        self._backlog = backlog

    def backlog(self) -> tuple[int, float]:
        """Octets that the network has not taken, and the seconds that the oldest audio has waited."""
        octets, age = (0, 0.0) if self._backlog is None else self._backlog()
        return octets, max(age, self._queue.span_ms / 1000)

    def close_voice(self) -> None:
        """The stream is over: nothing more is said, and no mark reported."""
        if self._voice is not None:
            self._voice.close()

    def _way_back(self) -> Voice:
        if self._voice is None:
            raise StreamProtocolError("the stream is one-way: nothing can be sent into the call")
        return self._voice

    def _marked(self, name: str, cleared: bool) -> None:
        if self._receive_mark is not None:
            self._receive_mark(name, cleared)

    @property
    def dropped(self) -> int:
        return self._queue.dropped

    def __aiter__(self) -> AsyncIterator[list[Frame]]:
        if self._iterated:
            raise RuntimeError("a stream can be iterated over only once")
        self._iterated = True
        return self

    async def __anext__(self) -> list[Frame]:
        queue = self._queue
        if queue:  # a backlog: let others have the loop between two batches
            await asyncio.sleep(0)
        while self._error is None:
            losing = queue.losing
            frames = queue.take(BATCH)
            if losing and not queue.losing:
                self.log.warning("the consumer has caught up", extra={"frames_lost": losing})
            if frames:
                return frames
            if self.ended:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        raise self._error

    def wake(self) -> None:
        """There is something to see: frames, the end, or an error."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class StreamRunner:
    """Runs one stream on one connector."""

    def __init__(
        self,
        connector: Connector[Any],
        spec: StreamSpec,
        call: CallInfo,
        host: Host,
        *,
        on_event: Callable[[StreamEvent], None],
        queue_seconds: float = 30,
        connect_timeout: float = 10,
        drain_timeout: float = 5,
        open_voice: OpenVoice | None = None,
        open_copy: OpenCopy | None = None,
        state: CallState | None = None,
    ) -> None:
        """Prepare a stream, on the event loop's thread; frames may be fed at once, before `start` too.

        Args:
            on_event: called from the event loop with each `StreamEvent`; `StreamEnded` comes last.
            queue_seconds: audio kept for a connector that is connecting or slow; the oldest goes first. The
                connector may have its own idea, here and below.
            connect_timeout: seconds from `start` to the connector's `created`.
            drain_timeout: seconds from `stop` to the end of the connector's task.
            open_voice: how a bidirectional stream gets its way back; closed when the stream is stopped.
            open_copy: how the connector gets copies of tracks; closed when the stream is over.
            state: how the call stands, where there is more to say of it than `call` does.

        Raises:
            StreamError: what `open_voice` and the connector's `format_of` raise.
        """
        self.sid = new_sid("MZ" if spec.transport is StreamTransport.WEBSOCKET else "SR")
        self.name = spec.name or self.sid
        self.state: State = "starting"
        self.spec = spec
        self.connector = connector
        self._loop = asyncio.get_running_loop()
        self._on_event = on_event
        self._connect_timeout = connector.connect_timeout or connect_timeout
        self._drain_timeout = drain_timeout
        self._log = logs.bind(
            host.log, call_sid=call.sid, stream_sid=self.sid, stream=spec.name, connector=connector.name
        )
        self.format = self._format()
        """What frames have to be fed."""
        self._queue = FrameQueue(spec.tracks.members, connector.buffer_seconds or queue_seconds)
        self._feed = QueuedStream(
            self.sid, spec, call, self._log, self._queue, self._created, self._warn, open_voice, self.format
        )
        self._feed.open_copy = open_copy
        if state is not None:
            self._feed.change(state)
        self._warnings: Counter[int] = Counter()
        self._task: asyncio.Task[StreamError | None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._given_up: StreamError | None = None
        self._started_at = 0.0
        self._created_after: float | None = None
        self._over = False
        self._final: StreamFigures | None = None
        self._reported = asyncio.Event()

    def _format(self) -> AudioFormat:
        try:
            return AudioFormat(self.connector.format_of(self.spec.url, dict(self.spec.parameters)))
        except StreamError:
            raise
        except Exception as error:
            self._log.exception("the connector's format_of failed")
            raise StreamError(f"format_of failed: {type(error).__name__}: {error}") from error

    def start(self) -> None:
        """Start the connector's task. Once; does nothing when the stream has been stopped before.

        Raises:
            RuntimeError: it has been started before.
        """
        if self._task is not None:
            raise RuntimeError(f"stream {self.sid} has been started before")
        if self._over:
            return
        self._started_at = self._loop.time()
        self._task = self._loop.create_task(self._carry(), name=f"stream {self.sid}")
        self._task.add_done_callback(self._task_ended)
        self._set_timer(self._connect_timeout, self._connect_timed_out)

    def feed(self, frames: list[Frame]) -> None:
        """Take frames from the tap; those of other tracks are left out, those after the stop ignored.

        Never waits, never raises. Beyond `queue_seconds` the oldest frames are dropped, counted, and
        reported as 31930 once for each episode.
        """
        if self._feed.ended:
            return
        if self._queue.add(frames):
            self._overflow()
        self._feed.wake()

    def draw_from(self, source: Source) -> None:
        """Let the connector take its frames from `source`, where `feed` has them from, by native code.

        `source` is to be closed before `stop`, as what it feeds then belongs to the stream.
        """
        self._feed.source = source

    def press(self, key: str, duration_ms: float) -> None:
        """Tell the connector a key that the caller has pressed, if it wants to know. Never raises."""
        self._feed.press(key, duration_ms)

    def change(self, state: CallState) -> None:
        """The call stands otherwise. Never raises."""
        self._feed.change(state)

    def stop(self, reason: str, *, drain: float | None = None) -> None:
        """End the stream: no frame after this counts, those before are handed over. Returns at once.

        Args:
            reason: for the log.
            drain: another drain timeout than the stream's, counted from now; 0 cancels the connector at
                once. A second call may shorten what the first one granted.
        """
        if self._over or (self._feed.ended and drain is None):
            return
        self._log.debug("stopping the stream", extra={"reason": reason})
        if self._task is None:
            self._finish(None)
            return
        self.state = "stopping"
        if drain is not None:
            self._drain_timeout = drain
        self._feed.ended = True
        self._feed.close_voice()
        self._feed.wake()
        self._set_timer(self._drain_timeout, self._drain_timed_out)

    async def closed(self) -> None:
        """Wait until `StreamEnded` has been delivered."""
        await self._reported.wait()

    @property
    def dropped(self) -> int:
        """Frames lost so far because the connector was too slow."""
        return self._queue.dropped

    def backlog(self) -> tuple[int, float]:
        """What waits for the consumer: octets given to the network, and the oldest audio's age in seconds."""
        return (0, 0.0) if self._over else self._feed.backlog()

    def figures(self) -> StreamFigures:
        """The counters as they are now, or as they were at the end."""
        if self._final is not None:
            return self._final
        queue = self._queue
        sent = 0 if self._feed.source is None else self._feed.source.sent
        return StreamFigures(
            fed=queue.added + sent,
            handed_over=queue.taken + sent,
            dropped=queue.dropped,
            waiting=len(queue),
            created_after=self._created_after,
            warnings=dict(self._warnings),
        )

    # The connector's task.

    async def _carry(self) -> StreamError | None:
        """Run the connector; the stream's error instead of exceptions, whatever happens in there."""
        if self.connector.needs_url and not self.spec.url:
            return StreamUrlError(f"the stream has no URL, and the connector {self.connector.name} needs one")
        try:
            await self.connector.stream(self._feed)
        except StreamError as error:
            return error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return StreamError("the connector cancelled itself")
        except (GeneratorExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # SystemExit too: a connector must not end the process
            failure = failure_of(error, connected=self._created_after is not None)
            if kind_of(error) is StreamError:
                self._log.exception("the connector failed")
                failure = StreamError(f"{type(error).__name__}: {error}")
            failure.__cause__ = error
            return failure
        if self._created_after is None and not self._feed.ended:
            return StreamError("the connector returned without having created the stream")
        return None

    def _task_ended(self, task: asyncio.Task[StreamError | None]) -> None:
        if self._over:  # abandoned, and now it has ended after all
            self._log.warning("an abandoned connector has ended")
            return
        if self._given_up is not None:
            self._finish(self._given_up)
        elif task.cancelled():
            self._finish(None if self._feed.ended else StreamError("the stream was cancelled"))
        elif (exception := task.exception()) is not None:  # KeyboardInterrupt, on its way out
            self._finish(failure_of(exception))
        else:
            self._finish(task.result())

    # Timeouts.

    def _set_timer(self, seconds: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, callback)

    def _connect_timed_out(self) -> None:
        seconds = self._connect_timeout
        self._give_up(StreamConnectTimeout(f"the stream was not created within {seconds:g} seconds"))

    def _drain_timed_out(self) -> None:
        if self._created_after is None:
            self._give_up(StreamConnectTimeout("the stream was stopped before it could be created"))
            return
        if self._queue:
            seconds = _seconds(len(self._queue), self._queue)
            self._report_warning(OVERFLOW, f"the last {seconds:.2f} seconds of audio were not handed over")
        if self._drain_timeout > 0:
            self._log.warning("the connector did not end in time and is cancelled")
        self._cancel()

    def _give_up(self, error: StreamError) -> None:
        self._given_up = error
        self._cancel()

    def _cancel(self) -> None:
        assert self._task is not None
        self._task.cancel()
        self._set_timer(CANCEL_GRACE, self._abandon)

    def _abandon(self) -> None:
        """Leave a task behind that ignores its cancellation."""
        global _abandoned
        _abandoned += 1
        assert self._task is not None
        # asyncio.run() would wait for it for ever, and its destruction would be complained about.
        asyncio.tasks._unregister_task(self._task)
        self._task._log_destroy_pending = False  # type: ignore[attr-defined]
        message = "the connector ignores its cancellation and is abandoned"
        self._log.error(message)
        self._finish(self._given_up or StreamError(message))

    # Reports.

    def _created(self) -> None:
        if self._created_after is not None or self._over or self._given_up is not None:
            return
        self._created_after = self._loop.time() - self._started_at
        if self.state == "starting":
            self.state = "running"
            if self._timer is not None:
                self._timer.cancel()
        self._report(StreamCreated(self.sid))

    def _warn(self, code: int, message: str) -> None:
        """A warning of the connector's: reported once for each code, counted always."""
        if self._over:
            return
        if self._warnings[code]:
            self._warnings[code] += 1
            self._log.debug(message, extra={"code": code})
        else:
            self._report_warning(code, message)

    def _report_warning(self, code: int, message: str) -> None:
        self._warnings[code] += 1
        self._report(StreamWarning(self.sid, code, message))

    def _overflow(self) -> None:
        seconds = _seconds(self._queue.limit, self._queue)
        message = f"the consumer is too slow: audio older than {seconds:g} seconds is dropped"
        self._report_warning(OVERFLOW, message)

    def _finish(self, error: StreamError | None) -> None:
        self._over = True
        self._feed.ended = True
        self._feed.detach()
        self._feed.close_voice()
        if self._timer is not None:
            self._timer.cancel()
        self.state = "stopped" if error is None else "failed"
        self._final = figures = self.figures()
        self._feed.source = None
        self._queue.clear()
        self._feed.close_copies()
        self._report(StreamEnded(self.sid, error, figures))

    def _report(self, event: StreamEvent) -> None:
        self._loop.call_soon(self._deliver, event)

    def _deliver(self, event: StreamEvent) -> None:
        try:
            self._on_event(event)
        except Exception:
            self._log.exception("handling a stream's event failed")
        finally:
            if isinstance(event, StreamEnded):
                self._reported.set()


def _seconds(frames: int, queue: FrameQueue) -> float:
    return frames / len(queue.tracks) * FRAME_MS / 1000
