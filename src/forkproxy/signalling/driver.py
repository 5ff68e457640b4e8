"""The engine on an event loop: its timers, and the delivery of its events.

PJSIP is one per process, so its driver is, too; every SipEndpoint registers with it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Protocol

from forkproxy.errors import EngineError
from forkproxy.signalling import _calls, _dialogs, sdp
from forkproxy.signalling.resolver import Resolver
from forkproxy.signalling.siprec import is_recording

if TYPE_CHECKING:
    from forkproxy.signalling._sessions import Event
    from forkproxy.signalling._transports import Agent, Resolution, Transport
    from forkproxy.signalling.intake import Intake

log = logging.getLogger(__name__)


class User(Protocol):
    """What the driver needs of an endpoint."""

    agent: Agent
    intake: Intake

    @property
    def tracing(self) -> bool:
        """Whether it wants to see every message."""

    def deliver(self, event: Event) -> None:
        """One event of one of its sessions."""


class Driver:
    """Drives the engine while there are endpoints."""

    def __init__(self) -> None:
        """
        Raises:
            EngineError: PJSIP cannot be loaded.
        """
        self.engine = _calls.start(sdp.unchanged, is_recording)
        _dialogs.start()
        self.engine.resolver = self._resolve
        self.resolver = Resolver()
        self._thread = threading.get_ident()
        self._users: list[User] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.Handle | None = None
        self._due = 0.0
        self._pumping = False
        self._scheduled = False
        self._lookups: set[asyncio.Task[None]] = set()

    def attach(self, user: User) -> None:
        """An endpoint starts.

        Raises:
            EngineError: endpoints run on another, living event loop, or PJSIP was started by another thread
                (it ends the process when a thread calls it that it does not know).
        """
        loop = asyncio.get_running_loop()
        if threading.get_ident() != self._thread:
            raise EngineError("PJSIP was started by another thread of this process, and stays with it")
        if self._users and self._loop is not loop:
            raise EngineError("PJSIP runs on another event loop of this process")
        if self._loop is not loop:
            self._loop, self._timer, self._scheduled = loop, None, False
            self._lookups.clear()
        self._users.append(user)
        self.trace_changed()  # it may have been asked for before the start
        self.pump()

    def detach(self, user: User) -> None:
        """An endpoint has closed."""
        self._users.remove(user)
        if not self._users:
            for task in self._lookups:
                task.cancel()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        self.trace_changed()

    def pump(self) -> None:
        """Deliver what has happened. Call it after every entry into the engine from the loop."""
        if self._pumping:
            return
        self._pumping = True
        try:
            busy = True
            while busy:
                busy = False
                for user in self._users:
                    batch = user.agent.events[:]
                    user.agent.events.clear()
                    for event in batch:
                        busy = True
                        self._deliver(user, event)
        finally:
            self._pumping = False
        self._arm()

    @staticmethod
    def _deliver(user: User, event: Event) -> None:
        try:
            user.deliver(event)
        except Exception:  # one leg's fault must not cost the others their events
            log.exception("delivering %r failed", event)

    def soon(self) -> None:
        """Deliver later: for what an application calls, whose events must not reach it from within."""
        if not self._pumping and not self._scheduled and self._loop is not None:
            self._scheduled = True
            self._loop.call_soon(self._run_scheduled)

    def trace_changed(self) -> None:
        """An endpoint has begun or ceased to trace."""
        tracing = any(user.tracing for user in self._users)
        self.engine.trace = self._trace if tracing else None

    def _run_scheduled(self) -> None:
        self._scheduled = False
        self.pump()

    def _arm(self) -> None:
        due = self.engine.deadline()
        if due is None or not self._users or self._loop is None:
            return
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = self._loop.call_at(due, self._run_timers)

    def _run_timers(self) -> None:
        self._timer = None
        self.engine.run_timers()
        self.pump()

    def _trace(self, transport: Transport, sent: bool, data: bytes, host: str, port: int) -> None:
        for user in self._users:
            if user.agent is transport.agent:
                user.intake.trace(transport, sent, data, host, port)

    def _resolve(self, resolution: Resolution) -> None:
        assert self._loop is not None  # PJSIP asks only while it is driven
        task = self._loop.create_task(self._look_up(resolution))
        self._lookups.add(task)
        task.add_done_callback(self._lookups.discard)

    async def _look_up(self, resolution: Resolution) -> None:
        found: tuple[str, ...] = ()
        try:
            found = await self.resolver.resolve(resolution.host)
        finally:
            resolution.done(found)
            self.soon()


_driver: Driver | None = None


def driver() -> Driver:
    """The process's driver, made at the first call.

    Raises:
        EngineError: PJSIP cannot be loaded.
    """
    global _driver
    if _driver is None:
        _driver = Driver()
    return _driver
