"""Two hundred calls recorded by SIPREC at the same time: no packet lost, and what it costs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.peers import Generator, pin, place, table
from benchmarks.recorder import Recorder
from tests.support import flows
from tests.support.processes import needs
from tests.support.proxy import Proxy
from tests.support.sip import Phone

CALLS = 200
SECONDS = 10
WARM_UP = 3
SENT, DROPPED = "forkproxy_rtp_copy_packets_total", "forkproxy_rtp_copy_frames_dropped_total"


def _flow(callee: str, recorded: bool) -> dict[str, Any]:
    """Call the callee, and record it before if that is wanted."""
    if not recorded:
        return flows.bridge(callee)
    properties = {
        "stream_action": "start",
        "stream_transport_type": "siprec",
        "stream_connector": "Recorder",
        "stream_name": "recording",
        "stream_track": "both_tracks",
    }
    start = flows.state("record", "fork-stream", properties, ("next", "connect"))
    return flows.flow("record", start, flows.connect(callee))


async def _run(folder: Path, recorded: bool, seconds: float, calls: int) -> dict[str, Any]:
    """Place the calls, let them talk, measure the proxy over `seconds`, hang up; all the figures."""
    async with (
        Generator(folder, calls) as generator,
        Recorder(generator.copies) as recorder,
        Phone("bob") as bob,
        Phone("alice") as alice,
    ):
        callee = f"sip:{{{{trigger.call.SipHeader_X-Call}}}}@127.0.0.1:{bob.port}"
        config: dict[str, Any] = {
            "connectors": {"Recorder": {"type": "siprec", "srs": [recorder.uri]}},
            "log": {"level": "warning"},
        }
        legs = 4 * calls + 10
        async with Proxy(folder / "proxy", _flow(callee, recorded), config=config, legs=legs) as proxy:
            pin(proxy.process.pid, [1])
            empty = proxy.process.rss()
            placed = await place(proxy, generator, alice, bob)
            await asyncio.sleep(WARM_UP)
            sessions = len(recorder.sessions)
            before, cpu = await proxy.metrics(), proxy.process.cpu()
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(seconds)
            after, cpu = await proxy.metrics(), proxy.process.cpu() - cpu
            lasted = asyncio.get_running_loop().time() - began
            memory = proxy.process.rss() - empty
            rtp = await generator.finish()
            for call in placed:
                await call.hang_up()
            await proxy.idle(timeout=20)
            metrics = await proxy.metrics()
            return {
                "cpu": cpu / lasted,
                "copied": (after[SENT] - before[SENT]) / lasted,
                "memory": memory / calls,
                "rtp": rtp,
                "sessions": sessions,
                "left": len(recorder.sessions),
                "dropped": {name: value for name, value in metrics.items() if "dropped" in name and value},
            }


@needs("cc")
@pytest.mark.timeout(240)
def test_two_hundred_calls_recorded_at_the_same_time(
    tmp_path: Path, benchmark: BenchmarkFixture, quick: bool
) -> None:
    calls, seconds = (20, 1.0) if quick else (CALLS, SECONDS)

    def both() -> tuple[dict[str, Any], dict[str, Any]]:
        (tmp_path / "bridged").mkdir()
        (tmp_path / "recorded").mkdir()
        return (
            asyncio.run(_run(tmp_path / "bridged", False, seconds, calls)),
            asyncio.run(_run(tmp_path / "recorded", True, seconds, calls)),
        )

    bridged, recorded = benchmark.pedantic(both, rounds=1, iterations=1)
    more = recorded["cpu"] - bridged["cpu"]
    rows = [
        ("calls, both sides recorded", str(calls)),
        ("RTP packets sent, lost", f"{recorded['rtp']['sent']}, {recorded['rtp']['lost']}"),
        ("packets to the recorder a second", f"{recorded['copied']:.0f}"),
        ("CPU, bridged only", f"{bridged['cpu']:.1%} of a core"),
        ("CPU, recorded", f"{recorded['cpu']:.1%} of a core"),
        ("CPU a packet to the recorder", f"{more / recorded['copied'] * 1e6:.1f} us"),
        ("recorded / bridged", f"{recorded['cpu'] / bridged['cpu']:.2f}"),
        (
            "memory a call, bridged / recorded",
            f"{bridged['memory'] / 1e3:.0f} kB / {recorded['memory'] / 1e3:.0f} kB",
        ),
    ]
    print(table("Recorded calls", rows))
    benchmark.extra_info.update(bridged=bridged, recorded=recorded)

    for run in (bridged, recorded):
        assert run["rtp"]["lost"] == run["rtp"]["misrouted"] == run["rtp"]["foreign"] == 0, run
        assert not run["dropped"]
    assert (recorded["sessions"], recorded["left"]) == (calls, 0)
    assert recorded["copied"] >= 0.95 * calls * 100
