"""A thousand calls up, a hundred a second coming and going, for as long as SOAK_SECONDS says (60).

forkproxy and Debian's kamailio get the same load, one after the other. They do not do the same work: kamailio
passes messages on as a proxy, forkproxy ends both dialogs, negotiates codecs, opens RTP ports, runs a flow.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.peers import pin, table
from tests.support.flows import bridge
from tests.support.kamailio import Kamailio
from tests.support.processes import Process, needs
from tests.support.proxy import Proxy
from tests.support.sipp import Sipp

RATE = 100
UP = 1000
SECONDS = int(os.environ.get("SOAK_SECONDS", "60"))
SETTLE = 2.0
LINGER = 40.0
"""Seconds in which SIP over UDP waits for what may be repeated: 64 * T1 (RFC 3261, 17.2.2), and some."""


@dataclass(slots=True)
class Load:
    """What a process did with it."""

    calls: int = 0
    failed: int = 0
    retransmissions: int = 0
    cpu: float = 0.0
    rss: list[int] = field(default_factory=list)

    @property
    def ms(self) -> float:
        return self.cpu / self.calls * 1e3


def _cpu(pid: int) -> float:
    """Seconds of CPU of a process and its children, exact (the scheduler's sum)."""
    total = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0]) / 1e9
        total += sum(_cpu(int(child)) for child in (task / "children").read_text().split())
    return total


async def _carry(process: Process, remote: str, folder: Path, seconds: int, transport: str = "udp") -> Load:
    load = Load(calls=seconds * RATE)
    pin(process.pid, [1])
    before = _cpu(process.pid)
    async with Sipp(
        "uac_load", folder / "uac", remote=remote, calls=load.calls, rate=RATE, limit=2 * UP,
        hold_ms=UP * 1000 // RATE, transport=transport, timeout=seconds + 60,
    ) as caller:  # fmt: skip
        pin(caller.process.pid, [0])
        done = asyncio.create_task(caller.finished())
        while not done.done():
            await asyncio.wait({done}, timeout=5)
            load.rss.append(process.rss())
        figures = await done
    await asyncio.sleep(SETTLE)
    load.cpu = _cpu(process.pid) - before
    load.rss.append(process.rss())
    load.failed, load.retransmissions = figures.failed, figures.retransmissions
    assert figures.successful + figures.failed == load.calls
    return load


async def _forkproxy(folder: Path, transport: str) -> tuple[Load, dict[str, Any]]:
    expected, timeout = (SECONDS + 10) * RATE, SECONDS + 200
    quiet = {"log": {"level": "warning"}}
    async with (
        Sipp("uas_load", folder / "uas", calls=expected, transport=transport, timeout=timeout) as callee,
        Proxy(folder / "proxy", bridge(callee.uri), legs=4 * UP, config=quiet) as proxy,
    ):
        pin(callee.process.pid, [0])
        remote = f"127.0.0.1:{(proxy.udp if transport == 'udp' else proxy.tcp)[1]}"
        await _carry(proxy.process, remote, folder / "warm", 10, transport)
        load = await _carry(proxy.process, remote, folder / "load", SECONDS, transport)
        await callee.finished()
        for _ in range(int(LINGER)):
            left = {name: value for name, value in (await proxy.metrics()).items() if name in LEFT}
            if not any(left.values()):
                break
            await asyncio.sleep(1)
        load.rss.append(proxy.process.rss())
        return load, left


LEFT = ("forkproxy_calls_active", "forkproxy_sip_dialogs", "forkproxy_streams_active")
"""What must be zero when the calls are over."""


async def _kamailio(folder: Path) -> Load:
    async with Sipp("uas_load", folder / "uas", calls=(SECONDS + 10) * RATE, timeout=SECONDS + 200) as callee:
        pin(callee.process.pid, [0])
        async with Kamailio(folder / "kamailio", relay_to=callee.uri) as proxy:
            remote = f"127.0.0.1:{proxy.port}"
            await _carry(proxy.process, remote, folder / "warm", 10)
            load = await _carry(proxy.process, remote, folder / "load", SECONDS)
            await callee.finished()
            return load


@needs("sipp", "kamailio")
@pytest.mark.timeout(4 * SECONDS + 400)
def test_a_thousand_calls(tmp_path: Path, benchmark: BenchmarkFixture) -> None:
    def all_of_them() -> dict[str, tuple[Load, dict[str, Any]]]:
        found = {kind: asyncio.run(_forkproxy(tmp_path / kind, kind)) for kind in ("udp", "tcp")}
        return {**found, "kamailio, udp": (asyncio.run(_kamailio(tmp_path / "kamailio")), {})}

    results = benchmark.pedantic(all_of_them, rounds=1, iterations=1)
    rows = [("calls up, calls a second, seconds", f"{UP}, {RATE}, {SECONDS}")]
    for kind, (load, left) in results.items():
        name = kind if kind.startswith("kamailio") else f"forkproxy, {kind}"
        rows += [
            (f"{name}: calls, failed", f"{load.calls}, {load.failed}"),
            (f"{name}: CPU a call", f"{load.ms:.2f} ms"),
            (
                f"{name}: memory, most / at the end",
                f"{max(load.rss) / 1e6:.0f} / {load.rss[-1] / 1e6:.0f} MB",
            ),
            (f"{name}: retransmissions", str(load.retransmissions)),
        ]
        assert not any(left.values()), left
    ratio = results["udp"][0].ms / results["kamailio, udp"][0].ms
    rows.append(("CPU a call over UDP, forkproxy / kamailio", f"{ratio:.1f}"))
    print(table("A thousand calls", rows))
    assert [load.failed for load, _ in results.values()] == [0] * len(results)
