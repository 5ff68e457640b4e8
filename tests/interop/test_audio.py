"""The consumer gets the very octets that the phones sent."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from tests.support.consumer import Consumer
from tests.support.flows import fork_and_bridge
from tests.support.proxy import Proxy
from tests.support.sip import Phone


async def test_every_octet_arrives_at_the_other_phone_and_at_the_consumer(tmp_path: Path) -> None:
    rng = random.Random(1)
    said = {name: [rng.randbytes(160) for _ in range(150)] for name in ("alice", "bob")}
    async with Consumer(tmp_path) as consumer, Phone("alice") as alice, Phone("bob") as bob:
        config = {"streams": {"ca_file": str(consumer.ca_file)}}
        async with Proxy(tmp_path / "proxy", fork_and_bridge(consumer.url, bob.uri), config=config) as proxy:
            call = await alice.call(f"sip:bob@{proxy.udp[0]}:{proxy.udp[1]}", proxy.udp)
            taken = await asyncio.wait_for(bob.incoming.get(), 10)
            async with asyncio.TaskGroup() as group:
                group.create_task(taken.accept())
                group.create_task(call.answered())
            assert call.rtp is not None
            assert taken.rtp is not None
            async with asyncio.TaskGroup() as group:
                group.create_task(call.rtp.play(said["alice"]))
                group.create_task(taken.rtp.play(said["bob"]))
            await asyncio.sleep(0.3)
            await call.hang_up()
            stream = await consumer.ended()
            await taken.request("BYE")

    assert [packet.payload for packet in taken.rtp.received] == said["alice"]
    assert [packet.payload for packet in call.rtp.received] == said["bob"]
    assert stream.mistakes() == []
    for track, name in (("inbound", "alice"), ("outbound", "bob")):
        whole = b"".join(stream.payloads(track))
        assert whole.find(b"".join(said[name])) >= 0, f"{track} does not hold what {name} said"
        # a packet is a frame: the consumer's messages are cut where the phone cut its packets
        frames = stream.payloads(track)
        first = frames.index(said[name][0])
        assert frames[first : first + len(said[name])] == said[name]
