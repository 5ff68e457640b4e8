"""An engine that must hold nothing in the end, and phones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack

import pytest

from forkproxy.media import MediaEngine
from tests.media.phones import Phone

HELD = ("legs", "ports", "taps", "rings", "playbacks", "speakers", "copies", "srtp_sessions")


@pytest.fixture
async def engine() -> AsyncIterator[MediaEngine]:
    """An engine that must hold nothing when the test's legs are closed."""
    engine = MediaEngine(ports=(42000, 43999))
    engine.start()
    try:
        yield engine
        await asyncio.sleep(0.02)
        left = {name: engine.counters()[name] for name in HELD}
        assert left == dict.fromkeys(HELD, 0)
    finally:
        engine.close()


@pytest.fixture
def phone() -> Iterator[Callable[..., Phone]]:
    with ExitStack() as stack:

        def make(host: str = "127.0.0.1", port: int = 0) -> Phone:
            made = Phone(host, port)
            stack.callback(made.socket.close)
            return made

        yield make
