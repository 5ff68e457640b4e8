"""SIGTERM: no new calls, the running ones may end; a second one, or the end of the grace time, ends them."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from tests.support.flows import bridge
from tests.support.proxy import Proxy
from tests.support.sip import Phone
from tests.support.talk import conversation


async def test_a_running_call_goes_on_and_new_ones_are_refused(tmp_path: Path) -> None:
    async with (
        Phone("alice") as alice,
        Phone("bob") as bob,
        Phone("carol") as carol,
        Proxy(tmp_path / "proxy", bridge(bob.uri)) as proxy,
    ):
        async with conversation(proxy, alice, bob) as talking:
            assert (await proxy.get("/healthz"))[0] == 200
            proxy.process.signal(signal.SIGTERM)
            await asyncio.sleep(0.5)
            refused = await carol.call(f"sip:bob@127.0.0.1:{proxy.udp[1]}", proxy.udp)
            final = await refused.response(200)
            assert final.status == 503
            assert final.get("retry-after")
            assert (await proxy.get("/healthz"))[0] == 503
            await asyncio.sleep(1)
            await talking.hush()
            assert talking.interruptions() == []
            assert not talking.alice.over
            await talking.alice.hang_up()
            await talking.bob.request("BYE")
        assert await proxy.process.exited(5) == 0, "it does not end with its last call"


async def test_the_grace_time_ends_the_calls(tmp_path: Path) -> None:
    async with (
        Phone("alice") as alice,
        Phone("bob") as bob,
        Proxy(tmp_path / "proxy", bridge(bob.uri), config={"sip": {"drain": 1}}) as proxy,
        conversation(proxy, alice, bob) as talking,
    ):
        proxy.process.signal(signal.SIGTERM)
        await talking.alice.request("BYE", timeout=5)
        await talking.bob.request("BYE", timeout=5)
        await talking.hush()
        assert await proxy.process.exited(10) == 0


async def test_a_second_signal_ends_everything_at_once(tmp_path: Path) -> None:
    async with (
        Phone("alice") as alice,
        Phone("bob") as bob,
        Proxy(tmp_path / "proxy", bridge(bob.uri)) as proxy,
        conversation(proxy, alice, bob) as talking,
    ):
        proxy.process.signal(signal.SIGTERM)
        await asyncio.sleep(0.5)
        assert proxy.process.returncode is None, "the first signal waits for the call"
        proxy.process.signal(signal.SIGTERM)
        await proxy.process.exited(5)
        await talking.hush()
        assert proxy.process.returncode == 0, proxy.process.describe()
        assert talking.alice.over, "the caller was not told"
        assert talking.bob.over, "the callee was not told"


async def test_without_calls_it_ends_at_once(tmp_path: Path) -> None:
    async with Proxy(tmp_path / "proxy", bridge("sip:bob@127.0.0.1:9")) as proxy:
        proxy.process.signal(signal.SIGTERM)
        assert await proxy.process.exited(3) == 0
