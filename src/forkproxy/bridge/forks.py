"""The streams of one call: each is a tap on the caller's RTP leg whose frames go to a connector."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from forkproxy import logs
from forkproxy.bridge import events as ev
from forkproxy.bridge import reports
from forkproxy.bridge.record import CallRecord
from forkproxy.bridge.recording import open_copy
from forkproxy.bridge.services import Services
from forkproxy.connectors import (
    Connector,
    OnMark,
    StreamCreated,
    StreamEnded,
    StreamEvent,
    StreamRunner,
    StreamWarning,
)
from forkproxy.errors import ConnectorNotFound, InvalidTrack, MediaError, StreamError, StreamUrlError
from forkproxy.media import MaskReport, MediaLeg, Speaker, Tap
from forkproxy.model import CallInfo, CallState, Party, StreamSpec, StreamTransport, Tracks

logger = logging.getLogger(__name__)

DEFAULT_WEBSOCKET = "websocket"
"""The instance that carries streams of type WebSocket which name no connector."""


@dataclass(slots=True)
class Fork:
    """One stream and its tap; `tap` is None once it has been closed."""

    runner: StreamRunner
    tap: Tap | None
    began: float
    dropped: int = 0
    """Frames that the tap lost; known once it has been closed."""


class Forks:
    """Opens and closes the streams of a call, and says what becomes of them. Never raises into the call."""

    def __init__(
        self,
        info: CallInfo,
        media: MediaLeg,
        services: Services,
        record: CallRecord,
        post: Callable[[ev.CallEvent], None],
        on_idle: Callable[[], None],
    ) -> None:
        """
        Args:
            info: the call.
            media: the caller's RTP leg.
            services: what calls share.
            record: is told of streams that have ended.
            post: takes StreamCreated and StreamEnded to the state machine, later.
            on_idle: told each time that the last open stream has ended.
        """
        self._info = info
        self._media = media
        self._services = services
        self._record = record
        self._post = post
        self._on_idle = on_idle
        self._open: dict[int, Fork] = {}
        self.state = CallState(Party(info.from_), Party(info.to))
        """How the call stands, for connectors that tell a recorder."""
        self.total = 0
        self.failed = 0
        self.frames_dropped = 0

    @property
    def active(self) -> int:
        """Streams that have not ended, those included that are still handing over their last frames."""
        return len(self._open)

    def open(self, key: int, spec: StreamSpec) -> None:
        """Begin a stream; what follows is told by events."""
        self.total += 1
        self._services.counts["streams"] += 1
        try:
            connector = self._connector(spec)
            self._room(spec)
            runner = StreamRunner(
                connector,
                spec,
                self._info,
                self._services.host,
                on_event=lambda event: self._on_event(key, event),
                queue_seconds=self._services.buffer,
                open_voice=self._speak,
                open_copy=open_copy(self._media),
                state=self.state,
            )
        except StreamError as error:
            self._count_failure(error)
            self._record.stream(
                sid="", name=spec.name, connector=spec.connector, tracks=str(spec.tracks), seconds=0.0,
                code=error.twilio_code, message=str(error), frames=0, frames_dropped=0,
            )  # fmt: skip
            self._post(ev.StreamEnded(key, "", error.twilio_code, str(error)))
            return
        tap = None
        if connector.wants_frames:
            tap = self._media.tap(runner.feed, spec.tracks.members, runner.format)
            runner.draw_from(tap)
        self._open[key] = Fork(runner, tap, asyncio.get_running_loop().time())
        self._told("opened", runner.sid, connector=connector.name, tracks=str(spec.tracks))
        runner.start()

    def close(self, key: int, reason: str) -> None:
        """Stop a stream at this frame; its connector still gets everything up to here."""
        fork = self._open.get(key)
        if fork is None:
            return
        self._close_tap(fork)
        fork.runner.stop(reason)

    def press(self, key: str, duration_ms: float) -> None:
        """The caller has pressed a key: tell the streams that hear what it says."""
        for fork in list(self._open.values()):
            fork.runner.press(key, duration_ms)

    def change(self, **what: Any) -> None:
        """The call stands otherwise: `what` of `CallState` is new. Connectors tell their recorders."""
        self.state = replace(self.state, **what)
        for fork in list(self._open.values()):
            fork.runner.change(self.state)

    def close_all(self, reason: str) -> None:
        """Stop whatever is left."""
        for key in list(self._open):
            self.close(key, reason)

    def release(self) -> None:
        """Every stream has ended and nothing more will be told: let go of the call, which holds us."""
        self._post = lambda _event: None
        self._on_idle = lambda: None

    async def closed(self) -> None:
        """Wait until every stream has ended; bounded by the runners' own time-outs."""
        await asyncio.gather(*(fork.runner.closed() for fork in list(self._open.values())))

    def describe(self) -> list[dict[str, Any]]:
        """The open streams, for the operator."""
        return [
            {
                "sid": fork.runner.sid,
                "name": fork.runner.name,
                "state": str(fork.runner.state),
                "dropped": fork.runner.dropped,
                "unsent_octets": fork.runner.backlog()[0],
                "oldest_seconds": round(fork.runner.backlog()[1], 2),
                **reports.stream(None if fork.tap is None else fork.tap.figures()),
            }
            for fork in self._open.values()
        ]

    def backlog(self) -> tuple[int, float]:
        """What waits for the consumers: octets in all, and the oldest audio's age in seconds."""
        found = [fork.runner.backlog() for fork in self._open.values()]
        return sum(octets for octets, _ in found), max((age for _, age in found), default=0.0)

    def masked(self, report: MaskReport | None) -> list[dict[str, Any]]:
        """The frames that a mask of the leg hid from each open stream."""
        if report is None:
            return []
        spans = [
            (fork.runner.sid, max(fork.tap.frame_at(report.first_ns), 0), fork.tap.frame_at(report.last_ns))
            for fork in self._open.values()
            if fork.tap is not None
        ]
        return [{"sid": sid, "first": first, "last": last} for sid, first, last in spans if last >= 0]

    def _speak(self, on_mark: OnMark) -> Speaker:
        """The way back of a bidirectional stream; a call has one at a time."""
        try:
            return self._media.speak(on_mark=on_mark)
        except MediaError as error:
            raise StreamError(f"the stream cannot speak to the caller: {error}") from error

    def _connector(self, spec: StreamSpec) -> Connector[Any]:
        name = spec.connector
        if name is None:
            if spec.transport is StreamTransport.SIPREC:
                raise ConnectorNotFound("a SIPREC stream needs a connector's name")
            name = DEFAULT_WEBSOCKET
        connector = self._services.connectors.get(name)
        if connector is None:
            known = ", ".join(sorted(self._services.connectors)) or "none"
            raise ConnectorNotFound(f"no connector is named {name!r} (configured: {known})")
        if spec.bidirectional and spec.tracks is not Tracks.INBOUND:
            raise InvalidTrack(
                f"a stream that talks to the caller hears inbound_track only, not {spec.tracks}"
            )
        if connector.needs_url and not spec.url:
            raise StreamUrlError("the stream has no URL")
        return connector

    def _room(self, spec: StreamSpec) -> None:
        """Twilio streams four tracks of a call at most; whoever has servers that rely on it says so."""
        most = self._services.max_tracks
        used = sum(len(fork.runner.spec.tracks.members) for fork in self._open.values())
        wanted = len(spec.tracks.members)
        if most is not None and used + wanted > most:
            raise StreamError(
                f"the call streams {used} tracks already; with {wanted} more, there would be more than "
                f"streams.max_tracks ({most}) allows"
            )

    def _on_event(self, key: int, event: StreamEvent) -> None:
        log = logs.bind(logger, call_sid=self._info.sid, stream_sid=event.sid)
        match event:
            case StreamCreated():
                log.info("stream created")
                self._told("created", event.sid)
                self._post(ev.StreamCreated(key, event.sid))
            case StreamWarning():
                self._services.counts[f"stream_warnings_{event.code}"] += 1
                log.warning("stream warning %d: %s", event.code, event.message)
                self._told("warning", event.sid, code=event.code, message=event.message)
            case StreamEnded():
                self._ended(key, event, log)

    def _told(self, what: str, sid: str, **more: Any) -> None:
        """For whoever traces the call."""
        names = {fork.runner.sid: fork.runner.name for fork in self._open.values()}
        event = {"event": f"stream {what}", "sid": sid, "name": names.get(sid), **more}
        self._services.watch.stream(self._info.sid, event)

    def _ended(self, key: int, event: StreamEnded, log: logging.LoggerAdapter[logging.Logger]) -> None:
        error = None if event.error is None else str(event.error)
        self._told("ended" if error is None else "failed", event.sid, message=error)
        fork = self._open.pop(key, None)
        if fork is not None:
            self._close_tap(fork)
            lost = event.figures.dropped + event.figures.waiting
            self.frames_dropped += lost
            self._services.counts["stream_frames_dropped"] += lost
            self._record.stream(
                sid=event.sid,
                name=fork.runner.name,
                connector=fork.runner.connector.name,
                tracks=str(fork.runner.spec.tracks),
                seconds=round(asyncio.get_running_loop().time() - fork.began, 3),
                code=None if event.error is None else event.error.twilio_code,
                message="" if event.error is None else str(event.error),
                frames=event.figures.handed_over,
                frames_dropped=lost + fork.dropped,
            )
        if event.error is None:
            log.info("stream ended: %s", event.figures)
            self._post(ev.StreamEnded(key, event.sid, None, "ended"))
        else:
            self._count_failure(event.error)
            if fork is not None and fork.runner.connector.required:
                self._services.counts["recordings_required_lost"] += 1
                self._post(ev.RecordingLost(f"the required recording failed: {event.error}"))
            log.warning("stream failed: %s: %s (%s)", event.error.twilio_code, event.error, event.figures)
            self._post(ev.StreamEnded(key, event.sid, event.error.twilio_code, str(event.error)))
        if not self._open:
            self._on_idle()

    def _close_tap(self, fork: Fork) -> None:
        """Closing flushes: the runner is fed every frame up to now before it is stopped."""
        tap, fork.tap = fork.tap, None
        if tap is not None:
            figures = tap.close()
            fork.dropped = figures.dropped
            self.frames_dropped += figures.dropped
            self._services.counts["tap_frames_dropped"] += figures.dropped

    def _count_failure(self, error: StreamError) -> None:
        self.failed += 1
        self._services.counts["streams_failed"] += 1
        self._services.counts[f"streams_failed_{error.twilio_code}"] += 1
