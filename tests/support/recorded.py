"""A call in this process, with real SIP and RTP, whose streams go to the siprec connector."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

from forkproxy_siprec import Siprec

from forkproxy.bridge import events as ev
from forkproxy.bridge.forks import Forks
from forkproxy.bridge.recording import Dialling
from forkproxy.bridge.services import Services
from forkproxy.connectors.testing import HOST, make
from forkproxy.media import MediaEngine
from forkproxy.model import CallInfo, StreamSpec, StreamTransport, Tracks, new_sid
from forkproxy.signalling import SipEndpoint
from forkproxy.signalling.access import by_address
from tests.media.phones import Phone, frame, rtp
from tests.support.srs import Srs

QUICK = {"invite_timeout": 0.4, "request_timeout": 0.4, "retry": 0.05, "retry_most": 0.2}


class RecordedCall:
    """A call between two sockets, and the connector that records it; an async context manager."""

    def __init__(self, *srs: Srs | str, **settings: Any) -> None:
        uris = [each if isinstance(each, str) else each.uri for each in srs]
        self.settings: dict[str, Any] = {"srs": uris, **QUICK, **settings}
        self.told: list[ev.CallEvent] = []
        self.info = CallInfo(new_sid("CA"), "AC" + "a" * 32, "+15550001111", "sip:desk@example.com")
        self.counts: Counter[str] = Counter()
        self._saying: asyncio.Task[None] | None = None
        self._said = 0

    async def __aenter__(self) -> RecordedCall:
        self.endpoint = SipEndpoint(
            listen=("udp://127.0.0.1:0", "tcp://127.0.0.1:0"),
            user_agent="forkproxy/tests",
            on_invite=lambda leg: leg.reject(404),
            admit=by_address(lambda address: True),
        )
        await self.endpoint.start()
        self.engine = MediaEngine(ports=(44300, 45299))
        self.engine.start()
        self.leg, self.other = self.engine.open_leg("caller"), self.engine.open_leg("callee")
        self.caller, self.callee = Phone(), Phone()
        self.caller.attach(self.leg)
        self.callee.attach(self.other)
        self.leg.connect(self.other)
        dialling = Dialling()
        self.connector = make(Siprec, "Gridspace_1", host=replace(HOST, dialler=dialling), **self.settings)
        services = SimpleNamespace(
            connectors={"Gridspace_1": self.connector},
            host=HOST,
            buffer=30.0,
            max_tracks=None,
            counts=self.counts,
            endpoint=self.endpoint,
            watch=Mock(),
            media_host=lambda peer, fallback: "127.0.0.1",
        )
        dialling.serve(cast(Services, services))
        self.forks = Forks(
            self.info,
            self.leg,
            cast(Services, services),
            Mock(),
            self.told.append,
            lambda: None,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._saying is not None:
            self._saying.cancel()
            await asyncio.wait([self._saying])
        self.forks.close_all("the end")
        await self.forks.closed()
        await self.connector.close()
        assert self.engine.counters()["copies"] == 0
        assert self.engine.counters()["taps"] == 0
        self.leg.close(), self.other.close()
        self.engine.close()
        self.caller.socket.close(), self.callee.socket.close()
        await self.endpoint.close()

    def record(self, tracks: Tracks = Tracks.BOTH, key: int = 1, **parameters: str) -> None:
        """Begin a stream."""
        spec = StreamSpec(
            StreamTransport.SIPREC, tracks, "Rec", None, "Gridspace_1", tuple(parameters.items())
        )
        self.forks.open(key, spec)

    def talk(self) -> None:
        """Both say frames that can be told apart, until the end: the caller 1 to 60, the callee 64 to 123."""

        async def say() -> None:
            while True:
                self.caller.send(rtp(self._said, frame(1 + self._said % 60)))
                self.callee.send(rtp(self._said, frame(64 + self._said % 60)))
                self._said += 1
                await asyncio.sleep(0.02)

        self._saying = asyncio.get_running_loop().create_task(say())

    async def event(self, kind: type[Any]) -> Any:
        """The first event of that kind."""
        await until(
            lambda: any(isinstance(each, kind) for each in self.told), f"{kind.__name__}: {self.told}"
        )
        return next(each for each in self.told if isinstance(each, kind))

    async def hang_up(self) -> None:
        """The call ends, and with it the stream."""
        self.forks.close_all("hung up")
        await self.forks.closed()


async def until(condition: Callable[[], object], what: str, timeout: float = 8) -> None:
    """Wait for something that tells nobody."""
    try:
        async with asyncio.timeout(timeout):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"it did not come about: {what}") from None
