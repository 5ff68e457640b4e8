"""What a bridged call costs in signalling: SIPp places calls without audio and hangs up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.peers import pin, table
from tests.support.flows import bridge
from tests.support.processes import needs
from tests.support.proxy import Proxy
from tests.support.sipp import Sipp

CALLS = 1000
RATE = 100


async def _run(folder: Path, transport: str) -> dict[str, Any]:
    async with (
        Sipp("uas_load", folder / "uas", calls=2 * CALLS, transport=transport, timeout=120) as callee,
        Proxy(
            folder / "proxy", bridge(callee.uri), legs=2 * CALLS, config={"log": {"level": "warning"}}
        ) as proxy,
    ):
        pin(proxy.process.pid, [1])
        pin(callee.process.pid, [0])
        remote = f"127.0.0.1:{(proxy.udp if transport == 'udp' else proxy.tcp)[1]}"
        costs = []
        for number in range(2):  # the first round warms up: memory, caches, tables
            before, peer = proxy.process.cpu(), callee.process.cpu()
            async with Sipp(
                "uac_load", folder / f"uac-{number}", remote=remote, calls=CALLS, rate=RATE, hold_ms=500,
                transport=transport, timeout=60,
            ) as caller:  # fmt: skip
                pin(caller.process.pid, [0])
                figures = await caller.finished()
            await asyncio.sleep(1)
            costs.append((proxy.process.cpu() - before, callee.process.cpu() - peer))
            assert (figures.successful, figures.failed) == (CALLS, 0)
            assert figures.retransmissions == 0
        await callee.finished()
        cost, peer = costs[-1]
        return {"ms": cost / CALLS * 1e3, "callee_ms": peer / CALLS * 1e3, "rss": proxy.process.rss()}


@needs("sipp")
@pytest.mark.timeout(240)
def test_the_cost_of_a_bridged_call(tmp_path: Path, benchmark: BenchmarkFixture) -> None:
    def both() -> dict[str, dict[str, Any]]:
        return {kind: asyncio.run(_run(tmp_path / kind, kind)) for kind in ("udp", "tcp")}

    result = benchmark.pedantic(both, rounds=1, iterations=1)
    rows = [("calls, calls a second", f"{CALLS}, {RATE}")]
    for kind, run in result.items():
        rows += [
            (f"CPU a bridged call over {kind.upper()}", f"{run['ms']:.2f} ms"),
            ("the same / SIPp's as the callee", f"{run['ms'] / run['callee_ms']:.1f}"),
            ("memory after two rounds", f"{run['rss'] / 1e6:.0f} MB"),
        ]
    print(table("Call set-up and tear-down", rows))
    benchmark.extra_info.update(result)
