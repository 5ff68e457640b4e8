"""Real SIP and RTP, with SIP's timers short; on the loop that forkproxy runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop

from forkproxy.signalling.driver import driver


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def short_timers() -> Iterator[None]:
    """A lost peer is noticed, and a transaction forgotten, within a second."""
    driver().engine.set_timers(t1=50, t2=200, t4=150, td=500)
    yield
    driver().engine.set_timers()
