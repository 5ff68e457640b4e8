"""A consumer that is killed in the middle of a call and started again: no frame of the call is missing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.flows import fork_and_bridge
from tests.support.processes import free_ports, until
from tests.support.proxy import Proxy
from tests.support.sip import Phone
from tests.support.talk import conversation

SCRIPT = Path(__file__).parents[2] / "plugins/forkproxy-websocket/tests/killable_consumer.py"


@contextlib.asynccontextmanager
async def killable(port: int, file: Path) -> AsyncIterator[None]:
    """A consumer in a process of its own, which SIGKILL ends."""
    process = await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), str(port), str(file))
    try:
        yield
    finally:
        process.kill()
        await process.wait()


def heard(file: Path) -> list[dict[str, Any]]:
    """Every message so far; a line that the kill has cut is none."""
    found = []
    for line in file.read_text().splitlines() if file.exists() else []:
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def media(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message["media"] for message in messages if message["event"] == "media"]


@pytest.mark.parametrize("sender", ["native", "python"])
async def test_a_consumer_is_killed_and_started_again(tmp_path: Path, sender: str) -> None:
    port, file = free_ports(1)[0], tmp_path / "heard.jsonl"
    websocket = {"type": "websocket", "reconnect": 30, "sender": sender}
    async with (
        Phone("alice") as alice,
        Phone("bob") as bob,
        Proxy(
            tmp_path / "proxy",
            fork_and_bridge(f"ws://127.0.0.1:{port}/", bob.uri),
            config={"streams": {"allow_ws": True}, "connectors": {"websocket": websocket}},
        ) as proxy,
    ):
        async with contextlib.AsyncExitStack() as first:
            await first.enter_async_context(killable(port, file))
            await until(lambda: _listens(port), timeout=10, what="the consumer")
            talking = await first.enter_async_context(conversation(proxy, alice, bob))
            await until(lambda: len(media(heard(file))) > 150, timeout=10, what="frames", every=0.05)
            attached = (await proxy.gauges())["forkproxy_rtp_taps_attached"]
            assert attached == (sender == "native")
            await first.aclose()  # the consumer is killed; the call goes on
        await asyncio.sleep(0.5)
        async with killable(port, file):
            before = len(media(heard(file)))
            await until(lambda: len(media(heard(file))) > before + 150, timeout=15, what="more", every=0.05)
            await talking.hush()
            assert talking.interruptions() == [], "the people on the phone noticed"
            await talking.alice.hang_up()
            await talking.bob.request("BYE")
            await until(lambda: heard(file)[-1]["event"] == "stop", timeout=10, what="the stop")
        await proxy.idle()
        metrics = await proxy.metrics()
        ended = re.search(r"stream ended: StreamFigures\(fed=(\d+), handed_over=(\d+)", proxy.log)
    messages = heard(file)
    assert Counter(message["event"] for message in messages)["connection"] >= 2
    frames = {(each["track"], int(each["timestamp"])): each["payload"] for each in media(messages)}
    assert ended is not None
    assert len(frames) == int(ended[1]) == int(ended[2])
    assert set(frames) == {
        (track, 20 * at) for track in ("inbound", "outbound") for at in range(len(frames) // 2)
    }
    dropped = ("forkproxy_stream_frames_dropped_total", "forkproxy_tap_frames_dropped_total")
    assert [metrics.get(name, 0) for name in dropped] == [0, 0]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
