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
            connectors={"websocket": echo},
            host=HOST,
            buffer=30.0,
            max_tracks=None,
            counts=Counter(),
            watch=Mock(),
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


async def test_no_more_tracks_than_a_call_may_stream() -> None:
    """Streams that have ended make room for others."""
    engine = MediaEngine(ports=(44200, 44299))
    engine.start()
    leg = engine.open_leg()
    services = cast(
        Services,
        SimpleNamespace(
            connectors={"websocket": make(Echo)},
            host=HOST,
            buffer=30.0,
            max_tracks=4,
            counts=Counter(),
            watch=Mock(),
        ),
    )
    told: list[ev.CallEvent] = []
    forks = Forks(CALL, leg, services, Mock(), told.append, lambda: None)
    for key, tracks in enumerate((Tracks.BOTH, Tracks.INBOUND, Tracks.BOTH, Tracks.OUTBOUND, Tracks.INBOUND)):
        forks.open(key, StreamSpec(StreamTransport.WEBSOCKET, tracks))
    refused = [each for each in told if isinstance(each, ev.StreamEnded)]
    assert [(each.stream, each.code) for each in refused] == [(2, 31900), (4, 31900)]
    assert "the call streams 3 tracks already; with 2 more" in refused[0].message
    forks.close(1, "the flow")
    async with asyncio.timeout(2):
        while forks.active > 2:
            await asyncio.sleep(0.005)
    forks.open(5, StreamSpec(StreamTransport.WEBSOCKET, Tracks.INBOUND))
    assert forks.active == 3
    forks.close_all("the end")
    await forks.closed()
    leg.close()
    assert engine.counters()["taps"] == 0
    engine.close()
