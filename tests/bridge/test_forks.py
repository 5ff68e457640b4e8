"""A call's streams on a real RTP leg: an echo bot that is heard, and a second one that must not be."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import cast
from unittest.mock import Mock

from forkproxy.bridge import events as ev
from forkproxy.bridge.forks import Forks
from forkproxy.bridge.services import Services
from forkproxy.connectors.api import Connector, Settings, Stream
from forkproxy.connectors.testing import CALL, HOST, make
from forkproxy.media import MediaEngine
from forkproxy.model import StreamSpec, StreamTransport, Tracks
from tests.media.phones import Phone, frame, rtp


class Echo(Connector[Settings]):
    """Says what the caller says."""

    marks: tuple[str, ...] = ()

    async def stream(self, stream: Stream) -> None:
        stream.on_mark(self.note)
        stream.created()
        async for batch in stream:
            for each in batch:
                if each.payload != b"\xff" * 160:
                    stream.speak(each.payload)
                    stream.mark(str(each.payload[0]))

    def note(self, name: str, cleared: bool) -> None:
        self.marks += (name,)


async def test_a_bidirectional_stream_is_heard_by_the_caller() -> None:
    engine = MediaEngine(ports=(44200, 44299))
    engine.start()
    leg, caller = engine.open_leg(), Phone()
    caller.attach(leg)
    echo = make(Echo)
    services = cast(
        Services,
        SimpleNamespace(
            connectors={"websocket": echo}, host=HOST, buffer=30.0, counts=Counter(), watch=Mock()
        ),
    )
    told: list[ev.CallEvent] = []
    idle = asyncio.Event()
    forks = Forks(CALL, leg, services, Mock(), told.append, idle.set)
    spec = StreamSpec(StreamTransport.WEBSOCKET, Tracks.INBOUND, bidirectional=True)
    forks.open(1, spec)
    forks.open(2, spec)
    assert [(each.stream, each.code) for each in told if isinstance(each, ev.StreamEnded)] == [(2, 31900)]
    said: list[bytes] = []
    for n in range(10):
        caller.send(rtp(n, frame(n + 1)))
        await asyncio.sleep(0.02)
    while len(said) < 10:
        said.append((await caller.receive())[12:])
    assert said == [frame(n + 1) for n in range(10)]
    async with asyncio.timeout(2):
        while len(echo.marks) < 10:
            await asyncio.sleep(0.005)
    assert echo.marks == tuple(str(n + 1) for n in range(10))
    forks.close_all("the end")
    assert engine.counters()["speakers"] == 0
    async with asyncio.timeout(2):
        await idle.wait()
    forks.open(3, spec)  # the caller's ear is free again
    assert engine.counters()["speakers"] == 1
    forks.close_all("the end")
    await forks.closed()
    leg.close()
    engine.close()
    caller.socket.close()
