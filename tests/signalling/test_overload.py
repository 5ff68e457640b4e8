"""Whether one more call is taken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from forkproxy.model import Limits
from forkproxy.signalling.events import Ended
from forkproxy.signalling.overload import FADES, Overload
from tests.signalling.support import Station, conversation

Stations = Callable[..., Awaitable[Station]]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_as_many_calls_as_are_allowed() -> None:
    active = [0]
    made = Overload(Limits(max_calls=2), lambda: active[0], Clock())
    for active[0], taken in ((0, True), (1, True), (2, False), (3, False), (1, True)):
        assert made.takes() is taken
    assert made.counters()["refused_full"] == 2


def test_as_many_a_second_as_are_allowed() -> None:
    clock = Clock()
    made = Overload(Limits(max_rate=5), lambda: 0, clock)
    clock.now += 10
    assert sum(made.takes() for _ in range(20)) == 5
    clock.now += 0.5
    assert sum(made.takes() for _ in range(20)) == 2
    assert made.counters()["refused_rate"] == 33


def test_less_than_one_a_second() -> None:
    clock = Clock()
    made = Overload(Limits(max_rate=0.5), lambda: 0, clock)
    assert made.takes()
    assert not made.takes()
    clock.now += 2
    assert made.takes()


def test_none_while_work_is_late() -> None:
    clock = Clock()
    made = Overload(Limits(max_lag=0.5), lambda: 0, clock)
    made.late(0.4)
    assert made.takes()
    made.late(0.6)
    made.late(0.1)
    assert not made.takes()
    assert made.counters() == {"refused_full": 0, "refused_rate": 0, "refused_lag": 1, "lag_seconds": 0.6}
    clock.now += FADES
    assert made.takes()
    assert made.lag == 0


async def test_a_loop_that_is_held_up_is_noticed() -> None:
    made = Overload(Limits(max_lag=0.2), lambda: 0)
    made.start()
    assert made.takes()
    await asyncio.sleep(0)
    time.sleep(0.5)  # noqa: ASYNC251
    await asyncio.sleep(0.01)
    assert made.lag > 0.2
    assert not made.takes()
    made.close()


async def test_503_for_one_call_more_and_the_others_go_on(stations: Stations) -> None:
    alice = await stations()
    made = Overload(Limits(max_calls=1), lambda: bob.endpoint.counters()["legs"])
    bob = await stations(takes_call=made.takes)
    out, _, leg, seen = await conversation(alice, bob)
    _, heard = alice.dial(bob.uri())
    assert (await heard.first(Ended)).status == 503
    assert not leg.ended
    out.hang_up()
    await seen.first(Ended)
    await conversation(alice, bob)
