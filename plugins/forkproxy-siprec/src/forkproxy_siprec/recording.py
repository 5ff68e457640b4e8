"""One recording session with one recorder (RFC 7866): the INVITE, what follows, and its end."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from forkproxy.connectors.api import (
    CopyKeys,
    Host,
    RtpCopy,
    SipBody,
    SipDialog,
    SipReply,
    SipRequest,
    SipResponse,
)
from forkproxy_siprec import parts, sdp
from forkproxy_siprec.metadata import LEGACY_TYPE, MEDIA_TYPE, is_snapshot_request
from forkproxy_siprec.settings import SUITES, Recorder, SiprecSettings

ALLOW = "INVITE, ACK, CANCEL, BYE, UPDATE, OPTIONS, INFO"
GLARE_TRIES = 5
REFRESH = 0.5
"""Of the session's interval (RFC 4028 7.2)."""
HOPS = 5
"""Redirections that are followed."""
TEMPORARY = frozenset({408, 480, 486, 491, 500, 502, 503, 504, 600, 603})
"""Refusals that may be other ones a moment later."""
_URI = re.compile(r"<?(sips?:[^<>\s;,]+(?:;[^<>,]*)?)>?")


class Refused(Exception):
    """A recorder does not record."""

    def __init__(
        self, status: int, why: str, *, retry_after: float | None = None, targets: Sequence[str] = ()
    ) -> None:
        self.status = status
        self.retry_after = retry_after
        self.targets = tuple(targets)
        """Where a 3xx sends us."""
        self.final = status >= 400 and status not in TEMPORARY and retry_after is None
        """Asking again would change nothing."""
        super().__init__(f"{status} {why}")


@dataclass(slots=True)
class Channel:
    """One m-line: its copy, and what the offer says of it."""

    label: str
    copy: RtpCopy
    cryptos: tuple[sdp.Crypto, ...] = ()


@dataclass(slots=True)
class Told:
    """What a recording needs to know to tell its recorder."""

    snapshot: Callable[[bool, bool], bytes]
    """The metadata: with labels, and partial."""
    direction: Callable[[str], str]
    """Of an m-line, by its label: ``sendonly`` or ``inactive``."""
    headers: Sequence[tuple[str, str]] = ()
    """Of the INVITE that begins it."""


@dataclass(slots=True)
class Channels:
    """The m-lines of one recorder, for as long as it is recorded to, whatever the dialog."""

    channels: list[Channel]

    def lose(self) -> None:
        """The recorder is gone."""
        for channel in self.channels:
            channel.copy.lose()


class Recording:
    """A session with one recorder. `begin` it, `run` it until it ends; `changed` when there is something to
    tell."""

    def __init__(
        self,
        host: Host,
        settings: SiprecSettings,
        recorder: Recorder,
        channels: Channels,
        told: Told,
        log: logging.LoggerAdapter[logging.Logger],
        *,
        secure: bool,
    ) -> None:
        self.recorder = recorder
        self._host = host
        self._settings = settings
        self._channels = channels
        self._told = told
        self._log = log
        self._secure = secure
        self._offerer = sdp.Offerer(secrets.randbits(31), settings.session_name)
        self._dialog: SipDialog | None = None
        self._lines: list[sdp.Line] = []
        self._changed = asyncio.Event()
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._offering = False
        self._aimed = False
        self._theirs: dict[int, str] = {}
        """Directions that the recorder itself has asked for, by m-line."""
        self.updates = 0

    async def begin(self, timeout: float) -> None:
        """Send the INVITE; redirections are followed.

        Raises:
            Refused: nothing will be recorded there.
            StreamError: the recorder cannot be dialled at all.
        """
        targets, hops = [self.recorder.uri], 0
        while targets:
            try:
                await self._invite(targets.pop(0), timeout)
                return
            except Refused as refusal:
                targets += refusal.targets
                hops += 1
                if not targets or hops > HOPS:
                    raise

    async def _invite(self, uri: str, timeout: float) -> None:
        settings = self._settings
        password = settings.password.get_secret_value() if settings.password is not None else None
        self._dialog = dialog = await self._host.dial(
            uri,
            user=settings.user,
            display=settings.display,
            contact_parameters=settings.contact_tag,
            username=settings.username,
            password=password,
            on_request=self._asked,
        )
        headers = [*self._headers(), *self._told.headers]
        try:
            response = await dialog.request("INVITE", headers=headers, body=self._body(), timeout=timeout)
            if not response.ok:
                raise _refusal(response)
            self._take(response)
        except BaseException:
            await self._part(dialog)
            raise

    async def _part(self, dialog: SipDialog) -> None:
        try:
            await asyncio.shield(dialog.end(timeout=self._settings.request_timeout))
        except asyncio.CancelledError:
            dialog.close()
            raise

    def _take(self, response: SipResponse) -> None:
        """Act on the answer; Refused: it leaves nothing to record."""
        try:
            found = parts.find(
                parts.split(
                    response.content_type, response.body, response.header("Content-Disposition") or ""
                ),
                "application/sdp",
            )
            if found is None:
                raise ValueError("the 200 has no session description")
            judgement = sdp.judge(self._lines, found.data)
        except ValueError as error:
            raise Refused(488, f"the answer cannot be used: {error}") from error
        for remark in judgement.remarks:
            self._log.info("the recorder's answer: %s", remark)
        if judgement.useless:
            why = "; ".join(sorted({verdict.rejected or "" for verdict in judgement.verdicts}))
            raise Refused(488, f"every m-line is refused: {why}")
        self._aim(judgement.verdicts)

    def _aim(self, verdicts: Sequence[sdp.Verdict]) -> None:
        gap = self._settings.catch_up == "gap"
        hurry = 0.5 if self._settings.catch_up == "gap" else self._settings.catch_up
        first, self._aimed = not self._aimed, True
        for channel, line, verdict in zip(self._channels.channels, self._lines, verdicts, strict=True):
            if verdict.rejected is not None:
                self._log.warning("the m-line %s is not recorded: %s", channel.label, verdict.rejected)
                channel.copy.lose()
                channel.copy.pause(True)
                continue
            keys = None
            if verdict.ours is not None and verdict.theirs is not None:
                keys = CopyKeys(verdict.ours.suite, verdict.ours.key, verdict.theirs.key)
            channel.copy.send_to(
                verdict.rtp,
                verdict.rtcp,
                verdict.codec,
                payload_type=verdict.payload_type,
                keys=keys,
                hurry=hurry,
                skip=gap and first,
            )
            channel.copy.pause(not verdict.active or line.direction == "inactive")

    # What we send

    def _headers(self) -> list[tuple[str, str]]:
        settings = self._settings
        headers = [("Require", ", ".join(settings.require))] if settings.require else []
        if settings.supported:
            headers.append(("Supported", ", ".join(settings.supported)))
        headers += [("Accept", settings.accepts), ("Allow", ALLOW)]
        if settings.session_expires is not None:
            headers.append(("Session-Expires", f"{settings.session_expires};refresher=uac"))
        return headers

    def _body(self, *, partial: bool = False) -> SipBody:
        offer = self._describe(self._current())
        metadata = self._told.snapshot(True, partial)
        return parts.join(
            [
                parts.Part("application/sdp", offer),
                parts.Part(self._settings.media_type, metadata, self._settings.disposition),
            ]
        )

    def _current(self) -> list[sdp.Line]:
        """Our m-lines as they should be now."""
        lines = []
        for number, channel in enumerate(self._channels.channels):
            if self._secure and not channel.cryptos:
                channel.cryptos = tuple(
                    sdp.Crypto(str(tag), suite, secrets.token_bytes(SUITES[suite]))
                    for tag, suite in enumerate(self._settings.srtp_suites, 1)
                )
            direction = self._told.direction(channel.label)
            if self._theirs.get(number) == "inactive":
                direction = "inactive"
            lines.append(
                sdp.Line(
                    channel.label,
                    channel.copy.rtp_port,
                    channel.copy.rtcp_port,
                    tuple(self._settings.codecs),
                    direction,
                    channel.cryptos if self._secure else (),
                )
            )
        return lines

    def _describe(self, lines: list[sdp.Line]) -> bytes:
        assert self._dialog is not None
        self._lines = lines
        return self._offerer.describe(self._dialog.media_host, lines)

    # What goes on

    def changed(self) -> None:
        """There is something to tell the recorder."""
        self._changed.set()

    async def run(self) -> str:
        """Tell the recorder what changes, and see that it is there; why it ended, once it has."""
        watch = self._settings.watch
        refresh = self._settings.session_expires
        loop = asyncio.get_running_loop()
        next_watch = loop.time() + watch if watch is not None else None
        next_refresh = loop.time() + refresh * REFRESH if refresh is not None else None
        while not self._ended.done():
            due = min((at for at in (next_watch, next_refresh) if at is not None), default=None)
            waiting = asyncio.ensure_future(self._changed.wait())
            try:
                futures: list[asyncio.Future[Any]] = [waiting, self._ended]
                await asyncio.wait(
                    futures,
                    timeout=None if due is None else max(due - loop.time(), 0),
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                waiting.cancel()
            if self._ended.done():
                break
            failure: str | None = None
            if self._changed.is_set() or (next_refresh is not None and loop.time() >= next_refresh):
                self._changed.clear()
                failure = await self._update()
                next_refresh = loop.time() + refresh * REFRESH if refresh is not None else None
            elif next_watch is not None and loop.time() >= next_watch:
                failure = await self._look()
            if failure is not None:
                return failure
            if next_watch is not None and watch is not None and loop.time() >= next_watch:
                next_watch = loop.time() + watch
        return self._ended.result()

    async def _update(self) -> str | None:
        """A re-INVITE with what is the case now (RFC 7866 9.1); why the session is broken, if it is."""
        assert self._dialog is not None
        for _ in range(GLARE_TRIES):
            self._offering = True
            try:
                body = self._body(partial=self._settings.metadata == "partial")
                self._quiet()
                response = await self._dialog.request(
                    "INVITE", headers=self._headers(), body=body, timeout=self._settings.request_timeout
                )
            finally:
                self._offering = False
            if self._ended.done():
                return None
            if response.status == 491:
                await asyncio.sleep(random.uniform(2.1, 4.0))  # ours is the Call-ID (RFC 3261 14.1)
                continue
            if response.ok:
                self.updates += 1
                try:
                    self._take(response)
                except Refused as refusal:
                    return str(refusal)
                return None
            if response.status in (408, 481) or not response.answered:
                return f"no answer to an update: {response.status} {response.reason}"
            self._log.warning("the recorder refuses an update: %d %s", response.status, response.reason)
            return None
        self._log.warning("the recorder keeps asking when we do; an update is given up")
        return None

    def _quiet(self) -> None:
        """What is to pause, pauses at once; what goes on, with the answer."""
        for channel, line in zip(self._channels.channels, self._lines, strict=True):
            if line.direction == "inactive":
                channel.copy.pause(True)

    async def _look(self) -> str | None:
        assert self._dialog is not None
        response = await self._dialog.request("OPTIONS", timeout=self._settings.request_timeout)
        if response.status in (408, 481) or not response.answered:
            return f"the recorder is gone: {response.status} {response.reason}"
        return None

    async def end(self) -> None:
        """BYE, with the closing metadata if that is wanted."""
        if self._dialog is None:
            return
        body = None
        headers: list[tuple[str, str]] = []
        if self._settings.bye != "none" and self._dialog.established:
            data = self._told.snapshot(False, self._settings.bye == "partial")
            body = SipBody(self._settings.media_type, data)
            headers = [("Content-Disposition", self._settings.disposition)]
            if self._settings.require:
                headers.append(("Require", ", ".join(self._settings.require)))
        await self._dialog.end(headers=headers, body=body, timeout=self._settings.request_timeout)

    def drop(self) -> None:
        """Let go without a word."""
        if self._dialog is not None:
            self._dialog.close()

    # What the recorder asks

    def _asked(self, request: SipRequest) -> SipReply | None:
        match request.method:
            case "BYE":
                if not self._ended.done():
                    reason = request.header("Reason") or "without a reason"
                    self._ended.set_result(f"the recorder said BYE: {reason}")
                return SipReply(200)
            case "INVITE" | "UPDATE":
                return self._reoffered(request)
            case "INFO":
                return SipReply(200)
        return None

    def _reoffered(self, request: SipRequest) -> SipReply:
        """The recorder's own re-INVITE or UPDATE: a direction, a refresh, or the wish for a snapshot."""
        disposition = request.header("Content-Disposition") or ""
        try:
            found = parts.split(request.content_type, request.body, disposition)
        except ValueError as error:
            return SipReply(400, str(error))
        headers = [("Require", "siprec"), ("Allow", ALLOW)]
        expires = request.header("Session-Expires")
        if expires is not None:
            headers.append(("Session-Expires", expires))
            headers[0] = ("Require", "siprec, timer")
        metadata = parts.find(found, MEDIA_TYPE, LEGACY_TYPE, "application/rs-metadata-request")
        if metadata is not None and is_snapshot_request(metadata.data):
            self._changed.set()
        offer = parts.find(found, "application/sdp")
        if offer is None and request.method == "UPDATE":
            return SipReply(200, headers=tuple(headers[1:]))
        if self._offering:
            return SipReply(491)
        try:
            body = self._describe(self._current()) if offer is None else self._answer(offer.data)
        except ValueError as error:
            return SipReply(488, str(error))
        return SipReply(200, headers=tuple(headers), body=SipBody("application/sdp", body))

    def _answer(self, offer: bytes) -> bytes:
        theirs = sdp.parse(offer)
        self._theirs = {
            number: "inactive"
            for number, their in enumerate(theirs)
            if their.direction in ("inactive", "sendonly")
        }
        lines = self._current()
        answered = sdp.answer_to(lines, offer)
        judgement = sdp.judge(lines, offer)
        answer = self._describe(answered)
        self._lines = (answered + lines[len(answered) :])[: len(lines)]
        self._aim(judgement.verdicts)
        return answer


def _refusal(response: SipResponse) -> Refused:
    why = response.reason or "refused"
    warning = response.header("Warning")
    if warning:
        why += f" ({warning})"
    after = re.match(r"\s*(\d{1,6})", response.header("Retry-After") or "")
    if response.status == 420:
        why += f"; not a session recording server (Unsupported: {response.header('Unsupported') or '?'})"
    targets: list[str] = []
    if 300 <= response.status < 400:
        for value in response.all("Contact"):
            targets += [match[1] for match in _URI.finditer(value)]
    return Refused(response.status, why, retry_after=float(after[1]) if after else None, targets=targets)
