"""Two hundred calls forked at the same time, both tracks over wss: no frame lost, and what it costs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.peers import Generator, Sink, pin, place, table
from tests.support import flows
from tests.support.processes import needs
from tests.support.proxy import Proxy
from tests.support.sip import Phone

CALLS = 200
SECONDS = 10
WARM_UP = 3


async def _run(folder: Path, forked: bool) -> dict[str, Any]:
    """Place the calls, let them talk, measure the proxy over `SECONDS`, hang up; all the figures."""
    async with (
        Sink(folder) as sink,
        Generator(folder, CALLS) as generator,
        Phone("bob") as bob,
        Phone("alice") as alice,
    ):
        callee = f"sip:{{{{trigger.call.SipHeader_X-Call}}}}@127.0.0.1:{bob.port}"
        flow = (
            flows.fork_and_bridge(
                sink.url, callee, parameters=[("call", "{{trigger.call.SipHeader_X-Call}}")]
            )
            if forked
            else flows.bridge(callee)
        )
        config = {"streams": {"ca_file": str(sink.ca_file)}, "log": {"level": "warning"}}
        async with Proxy(folder / "proxy", flow, config=config, legs=2 * CALLS + 10) as proxy:
            pin(proxy.process.pid, [1])
            empty = proxy.process.rss()
            calls = await place(proxy, generator, alice, bob)
            await asyncio.sleep(WARM_UP)
            before, cpu = await sink.figures(), proxy.process.cpu()
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(SECONDS)
            after, cpu = await sink.figures(), proxy.process.cpu() - cpu
            lasted = asyncio.get_running_loop().time() - began
            memory = proxy.process.rss() - empty
            rtp = await generator.finish()
            for call in calls:
                await call.hang_up()
            await proxy.idle(timeout=20)
            await asyncio.sleep(0.5)
            metrics = await proxy.metrics()
            return {
                "cpu": cpu / lasted,
                "messages": (after.get("messages", 0) - before.get("messages", 0)) / lasted,
                "memory": memory / CALLS,
                "rtp": rtp,
                "sink": await sink.figures(),
                "dropped": {name: value for name, value in metrics.items() if "dropped" in name and value},
            }


@needs("cc")
@pytest.mark.timeout(240)
def test_two_hundred_calls_forked_at_the_same_time(tmp_path: Path, benchmark: BenchmarkFixture) -> None:
    def both() -> tuple[dict[str, Any], dict[str, Any]]:
        (tmp_path / "bridged").mkdir()
        (tmp_path / "forked").mkdir()
        return asyncio.run(_run(tmp_path / "bridged", False)), asyncio.run(_run(tmp_path / "forked", True))

    bridged, forked = benchmark.pedantic(both, rounds=1, iterations=1)
    packets = CALLS * 100  # a second, both ways; each is received and sent once
    rows = [
        ("calls, both tracks over wss", str(CALLS)),
        ("RTP packets sent, lost", f"{forked['rtp']['sent']}, {forked['rtp']['lost']}"),
        (
            "frames at the consumer, checked by stamp",
            f"{forked['sink']['frames']}, {forked['sink']['frames_checked']}",
        ),
        ("messages a second", f"{forked['messages']:.0f}"),
        (
            "CPU, bridged only",
            f"{bridged['cpu']:.1%} of a core, {bridged['cpu'] / packets * 1e6:.1f} us a packet",
        ),
        (
            "CPU, forked",
            f"{forked['cpu']:.1%} of a core, {forked['cpu'] / CALLS * 1e3:.2f} ms a call and second",
        ),
        ("CPU a message, relay included", f"{forked['cpu'] / forked['messages'] * 1e6:.1f} us"),
        (
            "CPU a message, the fork alone",
            f"{(forked['cpu'] - bridged['cpu']) / forked['messages'] * 1e6:.1f} us",
        ),
        ("forked / bridged", f"{forked['cpu'] / bridged['cpu']:.1f}"),
        (
            "memory a call, bridged / forked",
            f"{bridged['memory'] / 1e3:.0f} kB / {forked['memory'] / 1e3:.0f} kB",
        ),
        ("relay delay p50 / p99 / max, bridged", _delays(bridged["rtp"])),
        ("relay delay p50 / p99 / max, forked", _delays(forked["rtp"])),
        ("packet to consumer p50 / p99 / max", _delays(forked["sink"])),
    ]
    print(table("Forked calls", rows))
    benchmark.extra_info.update(bridged=bridged, forked=forked)

    for run in (bridged, forked):
        assert run["rtp"]["lost"] == run["rtp"]["misrouted"] == run["rtp"]["foreign"] == 0, run
        assert run["rtp"]["late_slots"] == 0, "the generator was starved: this run says nothing"
    sink = forked["sink"]
    wrong = ("frames_missing", "frames_lost", "frames_concealed", "frames_misrouted", "sequence_holes")
    assert not any(sink.get(name, 0) for name in wrong), sink
    assert sink["started"] == sink["stopped"] == sink["closed"] == CALLS, sink
    assert sink["frames_checked"] == forked["rtp"]["sent"], "a frame did not arrive"
    assert not forked["dropped"]


def _delays(figures: dict[str, Any]) -> str:
    delay = figures["delay_ms"]
    return f"{delay['p50']} / {delay['p99']} / {delay['max']} ms"
