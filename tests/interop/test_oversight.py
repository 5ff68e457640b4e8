"""What an operator sees and does while a call runs: figures, masks, and silence that ends it."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path

from tests.support.consumer import Consumer
from tests.support.flows import bridge, fork_and_bridge
from tests.support.proxy import Proxy
from tests.support.sip import Call, Phone

SPOKEN = b"\x12" * 160


async def _connect(proxy: Proxy, alice: Phone, bob: Phone) -> tuple[Call, Call]:
    call = await alice.call(f"sip:bob@{proxy.udp[0]}:{proxy.udp[1]}", proxy.udp)
    taken = await asyncio.wait_for(bob.incoming.get(), 10)
    async with asyncio.TaskGroup() as group:
        group.create_task(taken.accept())
        group.create_task(call.answered())
    return call, taken


async def test_a_mask_hides_both_tracks_from_the_consumer_and_nothing_from_the_phones(tmp_path: Path) -> None:
    async with Consumer(tmp_path) as consumer, Phone("alice") as alice, Phone("bob") as bob:
        config = {"streams": {"ca_file": str(consumer.ca_file)}}
        async with Proxy(tmp_path / "proxy", fork_and_bridge(consumer.url, bob.uri), config=config) as proxy:
            call, taken = await _connect(proxy, alice, bob)
            assert call.rtp is not None
            assert taken.rtp is not None
            async with asyncio.TaskGroup() as group:
                group.create_task(call.rtp.play([SPOKEN] * 100))
                group.create_task(taken.rtp.play([SPOKEN] * 100))
                await asyncio.sleep(0.5)
                (running,) = await proxy.calls()
                sid = running["sid"]
                assert not running["masked"]
                assert [leg["leg"] for leg in running["legs"]] == ["caller", "callee_2"]
                assert all(leg["mos"] > 4.3 and leg["packets_in"] > 10 for leg in running["legs"])
                assert running["streams"][0]["received"]["outbound"] > 5
                assert (await proxy.post(f"/calls/{sid}/mask"))[0] == 200
                await asyncio.sleep(0.5)
                assert (await proxy.calls())[0]["masked"]
                status, text = await proxy.post(f"/calls/{sid}/unmask")
            assert status == 200
            assert (await proxy.post(f"/calls/CA{'0' * 32}/mask"))[0] == 404
            await call.hang_up()
            stream = await consumer.ended()
            await taken.request("BYE")
            (span,) = json.loads(text)["streams"]
            await proxy.logged(rf"unmasked after .*{span['first']}-{span['last']}")
            await proxy.logged(r"call ended.* mos 4\.")
    assert span["sid"] == stream.sid
    assert span["last"] - span["first"] >= 20
    for track in ("inbound", "outbound"):
        frames = stream.payloads(track)
        hidden = frames[span["first"] : span["last"] + 1]
        assert set(hidden) == {b"\xff" * 160}
        said = [n for n, payload in enumerate(frames) if payload == SPOKEN]
        gaps = [(a + 1, b - 1) for a, b in itertools.pairwise(said) if b > a + 1]
        assert gaps == [(span["first"], span["last"])], "what was said before and after is there"
    assert len(taken.rtp.received) == len(call.rtp.received) == 100


async def test_a_phone_that_falls_silent_ends_its_call(tmp_path: Path) -> None:
    config = {"media": {"inactivity": 1}}
    async with (
        Phone("alice") as alice,
        Phone("bob") as bob,
        Proxy(tmp_path / "proxy", bridge(bob.uri), config=config) as proxy,
    ):
        call, taken = await _connect(proxy, alice, bob)
        assert taken.rtp is not None
        assert call.rtp is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(taken.rtp.play([SPOKEN] * 150))
            await call.rtp.play([SPOKEN] * 25)
            await asyncio.sleep(0.7)
            assert not call.over
            await asyncio.gather(call.request("BYE"), taken.request("BYE"))
        await proxy.logged(r"warning.* the caller has sent no audio for 1 s")
        await proxy.logged(r"call ended after .*: the caller has sent no audio for 1 s")
        counted = await proxy.counted()
        assert counted["forkproxy_legs_inactive_total"] == 1
        assert counted["forkproxy_calls_inactive_total"] == 1
        await proxy.idle()
