"""The trunks at work: registered with their carriers, watched by OPTIONS, counted against their limits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from forkproxy.errors import ForkproxyError
from forkproxy.signalling import uris
from forkproxy.signalling.credentials import Credentials
from forkproxy.signalling.dialling import UNAVAILABLE
from forkproxy.signalling.endpoint import SipEndpoint
from forkproxy.signalling.limits import Limit
from forkproxy.signalling.locate import Destination
from forkproxy.signalling.registration import Registration
from forkproxy.signalling.requests import Conversation, Reply
from forkproxy.signalling.trunks import Trunk

log = logging.getLogger(__name__)

RETRY = 30.0
"""Seconds from a registration that failed to the next attempt; doubled each time, to half an hour."""
ANSWER = 5.0
"""Seconds that a carrier has to answer OPTIONS, and REGISTER where there is another address to try."""
LEAVING = 2.0
"""Seconds that the carriers have to hear that we go."""


class Line:
    """One trunk at work."""

    def __init__(self, endpoint: SipEndpoint, trunk: Trunk, limit: Limit, retry: float) -> None:
        self.trunk = trunk
        self.limit = limit
        self._uri: uris.SipUri | None = None
        if trunk.address is not None:
            try:
                self._uri = uris.parse_uri(trunk.address)
            except ForkproxyError as error:  # its calls fail with the same words
                log.warning("the trunk's address cannot be used: %s", error, extra={"trunk": trunk.name})
        self.registration: Registration | None = None
        self._endpoint = endpoint
        self._loop = asyncio.get_running_loop()
        self._tasks: list[asyncio.Task[None]] = []
        self._dice = random.Random()
        self._retry = retry
        self._registrar: Conversation | None = None
        self._bound: Destination | None = None
        """The registrar that may know us."""

    def start(self) -> None:
        """Begin to register and to probe, as the trunk wants."""
        trunk = self.trunk
        if trunk.address is None:
            return
        credentials = None
        if trunk.username is not None:
            credentials = Credentials(trunk.username, trunk.password or "")
        if trunk.register:
            self.registration = Registration(trunk.expires, self._retry, self._dice)
            self._registrar = Conversation(
                self._endpoint, trunk.address, trunk.identity, trunk.identity, credentials
            )
            self._run(self._stay_registered(self._registrar, self.registration))
        if trunk.health is not None:
            self._run(self._probe(trunk.health))

    async def stop(self, *, unregister: bool) -> None:
        """Neither register nor probe any more; with `unregister`, tell the carrier, if it answers in time."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if unregister and self._registrar is not None and self._bound is not None:
            with contextlib.suppress(TimeoutError, ForkproxyError):
                async with asyncio.timeout(LEAVING):
                    await self._registrar.ask(
                        "REGISTER", self._bound, [("Expires", "0")], contact_user=self.trunk.user
                    )
        if self.registration is not None:
            self.registration.given_back()

    @property
    def destinations(self) -> list[Destination]:
        """Where its address led when that was looked up last, for a call or for us."""
        return [] if self._uri is None else self._endpoint.last_located(self._uri)

    @property
    def up(self) -> bool:
        """Whether calls may go out by it: one of its destinations answers, or nothing is known of them."""
        now, health, known = self._loop.time(), self._endpoint.health, self.destinations
        return not known or any(not health.is_down(each, now) for each in known)

    def describe(self) -> dict[str, Any]:
        """For the operator."""
        now, registration = self._loop.time(), self.registration
        found: dict[str, Any] = {
            "name": self.trunk.name,
            "address": self.trunk.address,
            "up": self.up,
            "calls": self.limit.active,
            "refused": self.limit.refused,
            "destinations": [
                {"address": str(each), "up": not self._endpoint.health.is_down(each, now)}
                for each in self.destinations
            ],
            "registration": None,
        }
        if registration is not None:
            left = registration.expires_at
            found["registration"] = {
                "state": registration.state,
                "expires_in": None if left is None else max(round(left - now), 0),
                "status": registration.status or None,
                "reason": registration.reason,
                "failures": registration.failures,
            }
        return found

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(self._loop.create_task(work))

    # Registering

    async def _stay_registered(self, registrar: Conversation, registration: Registration) -> None:
        while True:
            before = registration.state
            try:
                reply, contact = await self._register(registrar, registration)
            except ForkproxyError as error:
                reply, contact = Reply(500, str(error), answered=False), ""
            except Exception:
                log.exception("registering failed", extra={"trunk": self.trunk.name})
                reply, contact = Reply(500, "Internal Error", answered=False), ""
            pause = registration.take(reply, contact, self._loop.time())
            self._tell(before, registration, pause)
            await asyncio.sleep(pause)

    async def _register(self, registrar: Conversation, registration: Registration) -> tuple[Reply, str]:
        """One attempt, at each destination until one answers."""
        reply, contact = Reply(502, f"{self.trunk.address} cannot be resolved", answered=False), ""
        found = await self._locate()
        for number, destination in enumerate(found):
            patience = ANSWER if number + 1 < len(found) else None
            headers = [("Expires", str(registration.expires))]
            self._bound = destination  # from here on it may know us, also if we never hear that
            try:
                async with asyncio.timeout(patience):
                    reply = await registrar.ask(
                        "REGISTER", destination, headers, contact_user=self.trunk.user
                    )
            except TimeoutError:
                reply = Reply(408, "Request Timeout", answered=False)
            contact = self._endpoint.contact(destination)
            self._mark(destination, reply)
            if reply.status not in UNAVAILABLE:
                break
        if reply.answered and reply.status >= 300 and registration.state != "registered":
            self._bound = None
        return reply, contact

    def _tell(self, before: str, registration: Registration, pause: float) -> None:
        about = {"trunk": self.trunk.name, "status": registration.status, "reason": registration.reason}
        if registration.state == "failed":
            self._endpoint.intake.count("registrations_failed")
            log.warning("registering failed; the next attempt is in %.0f s", pause, extra=about)
        elif registration.state == "registered" and before != "registered":
            log.info("registered", extra={"trunk": self.trunk.name})

    # Probing

    async def _probe(self, interval: float) -> None:
        assert self.trunk.address is not None
        asking = Conversation(self._endpoint, self.trunk.address, self.trunk.identity, self.trunk.address)
        while True:
            for destination in await self._locate():
                try:
                    async with asyncio.timeout(ANSWER):
                        reply = await asking.ask("OPTIONS", destination)
                except TimeoutError:
                    reply = Reply(408, "Request Timeout", answered=False)
                except ForkproxyError as error:
                    reply = Reply(503, str(error), answered=False)
                except Exception:
                    log.exception("probing failed", extra={"trunk": self.trunk.name})
                    reply = Reply(503, "Internal Error", answered=False)
                self._mark(destination, reply, interval)
            await asyncio.sleep(interval * self._dice.uniform(0.9, 1.0))

    def _mark(self, destination: Destination, reply: Reply, interval: float | None = None) -> None:
        """Any answer but 408 and 503 shows that somebody is there."""
        health, now = self._endpoint.health, self._loop.time()
        about = {"trunk": self.trunk.name, "address": str(destination)}
        if reply.answered and reply.status not in UNAVAILABLE:
            if health.good(destination):
                log.info("the trunk's address answers again", extra=about)
            return
        # until the next probe has had its time, or for as long as a failed call counts
        hold = {} if interval is None else {"seconds": 2 * interval + ANSWER}
        if health.bad(destination, now, **hold):
            log.warning("the trunk's address does not answer", extra={**about, "status": reply.status})

    async def _locate(self) -> list[Destination]:
        found = [] if self._uri is None else await self._endpoint.locate(self._uri)
        return self._endpoint.health.order(found, self._loop.time())


class Carriers:
    """All trunks at work."""

    def __init__(self, endpoint: SipEndpoint, trunks: Sequence[Trunk], *, retry: float = RETRY) -> None:
        self._endpoint = endpoint
        self._trunks = tuple(trunks)
        self._retry = retry
        self._lines: dict[str, Line] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._running = False

    def start(self) -> None:
        """The endpoint listens: register and probe from now on."""
        self._running = True
        self.update(self._trunks)

    def update(self, trunks: Sequence[Trunk]) -> None:
        """Work with these trunks from now on; those that are as they were are left alone."""
        self._trunks = tuple(trunks)
        if not self._running:
            return
        before, self._lines = self._lines, {}
        for trunk in self._trunks:
            old = before.pop(trunk.name, None)
            if old is not None and old.trunk == trunk:
                self._lines[trunk.name] = old
                continue
            limit = Limit(trunk.max_calls, trunk.max_rate)
            if old is not None:  # calls that are up count on
                limit.active, limit.refused = old.limit.active, old.limit.refused
                self._drop(old, unregister=not trunk.register)
            line = self._lines[trunk.name] = Line(self._endpoint, trunk, limit, self._retry)
            line.start()
        for old in before.values():
            self._drop(old, unregister=True)

    async def close(self) -> None:
        """Give the registrations back, and stop. Idempotent."""
        self._running = False
        lines, self._lines = list(self._lines.values()), {}
        await asyncio.gather(*(line.stop(unregister=True) for line in lines))
        await asyncio.gather(*self._stopping, return_exceptions=True)

    def _drop(self, line: Line, *, unregister: bool) -> None:
        task = asyncio.get_running_loop().create_task(line.stop(unregister=unregister))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    # What calls ask

    def up(self, name: str) -> bool:
        """Whether a trunk answers, as far as is known."""
        line = self._lines.get(name)
        return line is None or line.up

    def take(self, name: str) -> Callable[[], None] | None:
        """Count a call on a trunk; what to call once when it has ended, or None: the trunk has no room."""
        line = self._lines.get(name)
        if line is None:
            return lambda: None
        if not line.limit.take(asyncio.get_running_loop().time()):
            return None
        released = False

        def release() -> None:
            nonlocal released
            if not released:
                released = True
                now = self._lines.get(name, line)  # a reload may have put another in its place
                now.limit.release()

        return release

    # What operators see

    def describe(self) -> list[dict[str, Any]]:
        """Every trunk: its registration, its addresses, its calls."""
        return [line.describe() for line in self._lines.values()]

    def figures(self) -> dict[str, dict[str, float]]:
        """By metric, then by trunk."""
        lines = self._lines
        return {
            "trunk_up": {name: float(line.up) for name, line in lines.items()},
            "trunk_registered": {
                name: float(line.registration.state == "registered")
                for name, line in lines.items()
                if line.registration is not None
            },
            "trunk_calls": {name: float(line.limit.active) for name, line in lines.items()},
            "trunk_refused": {name: float(line.limit.refused) for name, line in lines.items()},
        }
