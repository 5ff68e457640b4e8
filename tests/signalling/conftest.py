"""Both event loops, short SIP timers, and PJSIP's own books balanced after every test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack

import pytest
import uvloop

from forkproxy.signalling.driver import driver
from tests.signalling.support import Station
from tests.support.sip import Phone


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def short_timers() -> Iterator[None]:
    """Retransmissions after 100 ms; a lost peer is noticed, and a transaction forgotten, within 1 s."""
    driver().engine.set_timers(t1=50, t2=200, t4=150, td=500)
    yield
    driver().engine.set_timers()


HELD = ("dialogs", "transactions", "transports", "pools")


@pytest.fixture
async def stations() -> AsyncIterator[Callable[..., Awaitable[Station]]]:
    """Start endpoints; after the test they are closed, and PJSIP must hold what it held before."""
    engine = driver().engine
    before = {name: engine.counters()[name] for name in HELD}
    started: list[Station] = []

    async def start(*listen: str, **more: object) -> Station:
        station = Station(*listen, **more)  # type: ignore[arg-type]
        await station.endpoint.start()
        started.append(station)
        return station

    yield start
    for station in started:
        await station.endpoint.close()
    # PJSIP's transactions outlive the sockets; a last endpoint drives their timers to the end
    keeper = Station("udp://127.0.0.1:0")
    await keeper.endpoint.start()
    before_keeper = {"transports": 1, "pools": 1}
    left: dict[str, int] = {}
    for _ in range(60):
        held = engine.counters()
        left = {
            name: held[name] - before[name] - before_keeper.get(name, 0)
            for name in HELD
            if held[name] - before_keeper.get(name, 0) != before[name]
        }
        if not left:
            break
        await asyncio.sleep(0.05)
    await keeper.endpoint.close()
    assert not left, f"PJSIP holds more than before: {left}"


@pytest.fixture
async def phones() -> AsyncIterator[Callable[..., Awaitable[Phone]]]:
    """Start phones that do just what a test says."""
    async with AsyncExitStack() as stack:

        async def start(user: str = "test", transport: str = "udp") -> Phone:
            return await stack.enter_async_context(Phone(user, transport))

        yield start
