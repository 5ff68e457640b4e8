"""A thousand calls at a time: none fails, none leaves anything behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.flows import bridge
from tests.support.processes import needs
from tests.support.proxy import Proxy
from tests.support.sipp import Sipp

CALLS = 1000
RATE = 60
HOLD_MS = 18_000
"""A little longer than it takes to place them all: the last is up before the first hangs up."""
TIMERS = 33.0
"""Seconds after which SIP's transactions have forgotten a call (RFC 3261: timers D, H and J, 32 seconds)."""


async def _round(proxy: Proxy, callee: Sipp, folder: Path) -> int:
    """Place the calls; the most that stood at the same time, as the proxy counts."""
    remote = f"127.0.0.1:{proxy.udp[1]}"
    peak = 0
    async with Sipp(
        "uac_load", folder, remote=remote, calls=CALLS, rate=RATE, limit=CALLS, hold_ms=HOLD_MS, timeout=60
    ) as caller:
        while caller.process.returncode is None:
            peak = max(peak, len(await proxy.calls()))
            await asyncio.sleep(0.5)
        figures = await caller.finished()
    assert (figures.created, figures.successful, figures.failed) == (CALLS, CALLS, 0)
    # On a busy machine, UDP may lose the answer to a BYE; SIPp has forgotten the call when that is repeated.
    await proxy.idle(timeout=TIMERS + 10)
    return peak


@needs("sipp")
@pytest.mark.timeout(240)
async def test_a_thousand_calls_at_a_time_twice(tmp_path: Path) -> None:
    async with (
        Sipp("uas_load", tmp_path / "uas", calls=2 * CALLS, timeout=180) as callee,
        Proxy(
            tmp_path / "proxy", bridge(callee.uri), legs=2 * CALLS, config={"log": {"level": "warning"}}
        ) as proxy,
    ):
        sockets = proxy.process.descriptors()
        before = await proxy.gauges()

        assert await _round(proxy, callee, tmp_path / "first") == CALLS
        await asyncio.sleep(TIMERS)
        first = await _held(proxy, sockets, before)
        memory = proxy.process.rss()

        assert await _round(proxy, callee, tmp_path / "second") == CALLS
        await asyncio.sleep(TIMERS)
        second = await _held(proxy, sockets, before)
        # PJSIP's hash tables have reached their size in the first round and stay at it; how much of a pool is
        # in use at an instant is chance, but nothing of a call may stay.
        assert second["forkproxy_sip_pool_bytes"] - first["forkproxy_sip_pool_bytes"] < 20 * CALLS
        # The process levels off after a few rounds, since freed memory is scattered; the legs and
        # transactions of one call that stayed would cost 45 kB.
        grown = (proxy.process.rss() - memory) / CALLS
        assert grown < 25_000, f"{grown:.0f} octets a call were not given back by the second round"
        figures = await callee.finished()
        assert (figures.successful, figures.failed) == (2 * CALLS, 0)


async def _held(proxy: Proxy, sockets: int, before: dict[str, float]) -> dict[str, float]:
    """What the proxy holds when all calls are over: nothing that it did not hold before the first."""
    assert proxy.process.descriptors() == sockets  # before our own request below opens one more
    now = await proxy.gauges()
    left = {name: (before.get(name), value) for name, value in now.items() if value != before.get(name)}
    for chance in ("forkproxy_sip_pool_bytes", "forkproxy_sip_lag_seconds"):
        left.pop(chance, None)
    assert not left, "not given back after the timers"
    return now
