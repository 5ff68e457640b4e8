"""The connector: a stream becomes a recording, at one recorder or several, and stays one when recorders
fail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from forkproxy.connectors.api import (
    CallState,
    Connector,
    Host,
    Preset,
    Stream,
    StreamConnectTimeout,
    StreamError,
    StreamHandshakeError,
    StreamTlsError,
    StreamUnreachable,
    Track,
)
from forkproxy_siprec import metadata
from forkproxy_siprec.health import Health
from forkproxy_siprec.presets import presets
from forkproxy_siprec.recording import Channel, Channels, Recording, Refused, Told
from forkproxy_siprec.settings import Recorder, SiprecSettings, fill_in

CONNECT = 9.0
"""Seconds in which a recording must have begun: a stream has ten."""
AVOIDED = 30.0
"""Seconds that a recorder which failed is tried last."""


class Siprec(Connector[SiprecSettings]):
    """Records streams by SIPREC (RFC 7866)."""

    wants_frames = False

    def __init__(self, name: str, settings: SiprecSettings, host: Host) -> None:
        super().__init__(name, settings, host)
        self.required = settings.required
        self.recordings = 0
        self._turn = 0
        self._health = Health(host, host.log, settings.health, settings.request_timeout)

    @classmethod
    def presets(cls) -> Sequence[Preset]:
        return tuple(presets().values())

    async def stream(self, stream: Stream) -> None:
        self._health.watch([each for group in self.settings.groups for each in group])
        job = Job(self, stream, self._health)
        await job.carry(self._groups())

    def _groups(self) -> list[list[Recorder]]:
        groups = self.settings.groups
        if self.settings.mode == "round_robin":
            turn, self._turn = self._turn, self._turn + 1
            first = turn % len(groups[0])
            return [groups[0][first:] + groups[0][:first]]
        return groups

    async def close(self) -> None:
        await self._health.close()


class Job:
    """One stream: the story of its call, and its recordings."""

    def __init__(self, connector: Siprec, stream: Stream, health: Health) -> None:
        self._connector = connector
        self._settings = connector.settings
        self._stream = stream
        self._health = health
        self._state = stream.state
        self._story = metadata.Story(stream.call.sid, datetime.now(UTC), self._settings.aor_domain)
        self._ended: datetime | None = None
        self._live: set[Recording] = set()
        self._answered = asyncio.Event()
        self._news()

    async def carry(self, groups: list[list[Recorder]]) -> None:
        """Record until the stream ends.

        Raises:
            StreamError: no recorder records, or (where it is required) no more.
        """
        self._check_security(groups)
        self._stream.on_change(self._on_change)
        stopped = asyncio.ensure_future(self._stream.stopped())
        tasks = [asyncio.ensure_future(self._keep(group)) for group in groups]
        try:
            if self._settings.start == "answer":
                self._stream.created()  # the flow must go on for somebody to answer
            await self._wait(tasks, stopped)
        finally:
            self._ended = datetime.now(UTC)
            for task in (*tasks, stopped):
                task.cancel()
            endings = [recording.end() for recording in self._live]
            await asyncio.gather(*tasks, stopped, *endings, return_exceptions=True)

    async def _wait(self, tasks: Sequence[asyncio.Future[None]], stopped: asyncio.Future[None]) -> None:
        """Until the stream stops, or all recordings (one, where each is required) have failed for good."""
        running = set(tasks)
        while running:
            done, _ = await asyncio.wait({*running, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if stopped in done:
                stopped.result()
                return
            for task in done:
                running.discard(task)
                if not running or self._settings.required:
                    task.result()

    # One recorder, and those that stand in for it

    async def _keep(self, group: list[Recorder]) -> None:
        """Record to one of the group, whichever works, for as long as the stream lasts.

        Raises:
            StreamError: none of them records from the beginning; or, where it is required, none any more.
        """
        settings = self._settings
        if settings.start == "answer":
            await self._answered.wait()
        channels = self._channels(mixed=settings.mixed)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CONNECT
        delay, recorded = settings.retry, False
        while True:
            wait, refusals, final = delay, [], True
            for recorder in self._health.order(group):
                try:
                    recording, channels = await self._begin(recorder, channels)
                except Refused as refusal:
                    self._note(recorder, refusal)
                    refusals.append(f"{recorder.uri}: {refusal}")
                    wait = max(wait, refusal.retry_after or 0.0)
                    last: StreamError = _error(refusal)
                    final = final and refusal.final
                    continue
                except StreamError as error:
                    self._health.failed(recorder, AVOIDED)
                    refusals.append(f"{recorder.uri}: {error}")
                    last = error
                    continue
                self._health.works(recorder)
                self._stream.created()
                self._connector.recordings += 1
                recorded, delay, wait = True, settings.retry, 0.0
                why = await self._follow(recording, channels)
                self._health.failed(recorder, AVOIDED)
                self._stream.log.warning("the recording is interrupted: %s", why)
                break
            else:
                detail = "; ".join(refusals)
                if settings.required or (not recorded and (final or loop.time() + wait >= deadline)):
                    raise type(last)(f"nobody records: {detail}")
                self._stream.log.warning("nobody records; tried again in %g s: %s", wait, detail)
                delay = min(2 * delay, settings.retry_most)
            await asyncio.sleep(wait)

    async def _begin(self, recorder: Recorder, channels: Channels) -> tuple[Recording, Channels]:
        """A recording that has begun, and its channels, which may be other ones (a mixed m-line)."""
        recording = self._recording(recorder, channels)
        try:
            await recording.begin(self._settings.invite_timeout)
        except Refused as refusal:
            mixed = len(channels.channels) == 1
            if not self._settings.mixed_fallback or mixed or refusal.status not in (488, 606):
                raise
            self._stream.log.info("two m-lines are refused; one with both tracks is offered")
            channels = self._channels(mixed=True)
            recording = self._recording(recorder, channels)
            await recording.begin(self._settings.invite_timeout)
        return recording, channels

    async def _follow(self, recording: Recording, channels: Channels) -> str:
        """See a recording to its end; cancelled, it is left for `carry` to end."""
        self._live.add(recording)
        why = await recording.run()
        self._live.discard(recording)
        channels.lose()
        await recording.end()
        return why

    def _note(self, recorder: Recorder, refusal: Refused) -> None:
        self._health.failed(recorder, refusal.retry_after or AVOIDED)
        self._stream.log.warning("%s does not record: %s", recorder.uri, refusal)

    def _recording(self, recorder: Recorder, channels: Channels) -> Recording:
        settings = self._settings
        secure = settings.srtp == "required" or (settings.srtp is None and recorder.secure)
        labels = {channel.label for channel in channels.channels}
        mixed = len(labels) == 1 and len(self._stream.tracks) == 2
        told = Told(
            lambda with_labels, partial: self._snapshot(with_labels, partial, mixed=mixed),
            self._direction,
            self._headers(),
        )
        return Recording(
            self._connector.host, settings, recorder, channels, told, self._stream.log, secure=secure
        )

    def _channels(self, *, mixed: bool) -> Channels:
        settings = self._settings
        wanted: list[tuple[str, Track | None]]
        if mixed and len(self._stream.tracks) == 2:
            wanted = [(settings.labels.mixed, None)]
        else:
            wanted = [(self._labels()[str(track)], track) for track in self._stream.tracks]
            if settings.order == "outbound_first":
                wanted.reverse()
        return Channels(
            [
                Channel(label, self._stream.copy(track, buffer_seconds=settings.buffer))
                for label, track in wanted
            ]
        )

    def _check_security(self, groups: list[list[Recorder]]) -> None:
        """The recording must be at least as secure as the call (RFC 7866, 12)."""
        if self._settings.insecure:
            return
        for recorder in (each for group in groups for each in group):
            secure = self._settings.srtp == "required" or (self._settings.srtp is None and recorder.secure)
            if self._state.secure_media and not secure:
                raise StreamTlsError(
                    f"the call is encrypted (SRTP), and its recording at {recorder.uri} would not be: set "
                    "srtp: required, or insecure: true"
                )
            tls = ";transport=tls" in recorder.uri.lower() or recorder.uri.lower().startswith("sips:")
            if self._state.secure_signalling and not tls:
                raise StreamTlsError(
                    f"the call came by TLS, and {recorder.uri} would be told of it in the clear: use "
                    ";transport=tls, or set insecure: true"
                )

    # What there is to tell

    def _on_change(self, state: CallState) -> None:
        before, self._state = self._state, state
        self._news()
        if not self._settings.updates:
            return
        held = before.caller.sends != state.caller.sends or before.callee.sends != state.callee.sends
        matters = (
            (before.caller.address, before.caller.name) != (state.caller.address, state.caller.name)
            or (before.callee.address, before.callee.name) != (state.callee.address, state.callee.name)
            or before.session_ids != state.session_ids
            or (held and self._settings.on_hold != "ignore")
            or (before.masked != state.masked and self._settings.on_mask == "inactive")
        )
        if matters:
            for recording in self._live:
                recording.changed()

    def _news(self) -> None:
        now = datetime.now(UTC)
        self._story.joined("caller", self._state.caller.address, self._state.caller.name, now)
        callee = self._state.callee
        self._story.joined("callee", callee.address, callee.name, now, instead=not self._answered.is_set())
        if self._state.connected:
            self._answered.set()

    def _direction(self, label: str) -> str:
        settings, state = self._settings, self._state
        if state.masked and settings.on_mask == "inactive":
            return "inactive"
        if settings.on_hold == "inactive":
            said = {settings.labels.inbound: state.caller.sends, settings.labels.outbound: state.callee.sends}
            if not said.get(label, True) and not settings.mixed:
                return "inactive"
        return "sendonly"

    def _labels(self) -> dict[str, str]:
        labels = self._settings.labels
        return {"inbound": labels.inbound, "outbound": labels.outbound, "mixed": labels.mixed}

    def _snapshot(self, with_labels: bool, partial: bool, *, mixed: bool) -> bytes:
        settings, stream = self._settings, self._stream
        caller, callee = self._story.playing("caller"), self._story.playing("callee")
        assert caller is not None
        assert callee is not None
        sid = stream.call.sid
        names = [str(track) for track in stream.tracks]
        if settings.order == "outbound_first":
            names.reverse()
        silent = set()
        if settings.on_hold != "ignore":
            silent = {each.id for each, party in ((caller, self._state.caller), (callee, self._state.callee))
                      if not party.sends}  # fmt: skip
        picture = metadata.Picture(
            metadata.identifier(sid, "session"),
            self._story.began,
            tuple(self._story.people),
            metadata.tracks(sid, caller.id, callee.id, self._labels(), names, mixed=mixed),
            self._ended,
            metadata.identifier(sid, "group") if settings.group else None,
            self._state.session_ids,
            tuple(stream.parameters.items()) if settings.parameters in ("metadata", "both") else (),
            frozenset(silent),
        )
        values = {name: metadata.element("x", text=value)[3:-4] for name, value in self._values().items()}
        extensions = tuple((where, fill_in(xml, values)) for where, xml in settings.extensions.items())
        form = metadata.Form(settings.parameters_namespace, extensions, partial)
        return metadata.document(picture, form, labels=with_labels)

    def _values(self) -> dict[str, str]:
        """What ``{...}`` stands for in headers and extensions."""
        call, state = self._stream.call, self._state
        values = {
            "call.sid": call.sid,
            "call.id": state.call_id,
            "account.sid": call.account_sid,
            "stream.sid": self._stream.sid,
            "stream.name": self._stream.name,
            "from": state.caller.address,
            "from.name": state.caller.name,
            "to": state.callee.address,
            "to.name": state.callee.name,
            "session.id": metadata.identifier(call.sid, "session"),
        }
        return values | {f"parameter.{name}": value for name, value in self._stream.parameters.items()}

    def _headers(self) -> list[tuple[str, str]]:
        settings = self._settings
        values = {name: _one_line(value) for name, value in self._values().items()}
        headers = [(name, fill_in(text, values)) for name, text in settings.headers.items()]
        if settings.parameters in ("headers", "both"):
            headers += [
                (f"{settings.parameter_prefix}{name}", _one_line(value))
                for name, value in self._stream.parameters.items()
                if name.replace("-", "").replace("_", "").isalnum() and name.isascii()
            ]
        if settings.credentials_header is not None and settings.credentials is not None:
            headers.append((settings.credentials_header, settings.credentials.get_secret_value()))
        return headers


def _one_line(value: str) -> str:
    return "".join(" " if ord(character) < 32 or ord(character) == 127 else character for character in value)[
        :4000
    ]


def _error(refusal: Refused) -> StreamError:
    if refusal.status == 408:
        return StreamConnectTimeout(str(refusal))
    if refusal.status in (502, 503):
        return StreamUnreachable(str(refusal))
    return StreamHandshakeError(str(refusal))
