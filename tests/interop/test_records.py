"""The call-detail records of real calls, with the keys that docs/operations.md names and no others."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path
from typing import Any

from tests.support.flows import connect, flow, fork
from tests.support.proxy import Proxy
from tests.support.sip import Phone
from tests.support.talk import conversation

ROOT = Path(__file__).parents[2]


def documented() -> list[set[str]]:
    """The keys of a call, a leg and a stream."""
    text = (ROOT / "docs/operations.md").read_text().partition("## Call-detail records\n")[2]
    tables = re.split(r"^\| key.*\|\n\|---.*\n", text.partition("\n## ")[0], flags=re.MULTILINE)[1:]
    firsts = [re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for table in tables]
    return [set(re.findall(r"`(\w+)`", " ".join(cells))) for cells in firsts]


def records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


async def test_every_call_is_written_down(tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    async with (
        Phone("alice") as alice,
        Phone("bob") as bob,
        Proxy(
            tmp_path / "proxy",
            flow("start_stream", fork("wss://127.0.0.1:9/", "connect"), connect(bob.uri)),
            config={"cdr": {"file": str(file)}, "streams": {"start_wait": 0}},
        ) as proxy,
    ):
        async with conversation(proxy, alice, bob) as talking:
            await asyncio.sleep(0.5)
            await talking.hush()
            await talking.alice.hang_up()
            await talking.bob.request("BYE")
        await proxy.idle()

        call = await alice.call(f"sip:bob@127.0.0.1:{proxy.udp[1]}", proxy.udp)
        taken = await asyncio.wait_for(bob.incoming.get(), 10)
        taken.respond(486, "Busy Here")
        assert (await call.response(200)).status == 486
        await proxy.idle()

        call = await alice.call(f"sip:bob@127.0.0.1:{proxy.udp[1]}", proxy.udp)
        taken = await asyncio.wait_for(bob.incoming.get(), 10)
        taken.respond(180, "Ringing")
        await call.response(180)
        call.cancel()
        await taken.request("CANCEL")
        await proxy.idle()

        file.rename(tmp_path / "calls.1")
        proxy.process.signal(signal.SIGHUP)
        async with conversation(proxy, alice, bob) as talking:  # cut short by the stop
            await talking.hush()
            for number in (signal.SIGTERM, signal.SIGTERM):
                proxy.process.signal(number)
                await asyncio.sleep(0.2)
            assert await proxy.process.exited(10) == 0

    talked, busy, cancelled = records(tmp_path / "calls.1")
    of_call, of_leg, of_stream = documented()
    assert set(talked) == of_call
    assert all(set(leg) == of_leg for leg in talked["legs"])
    assert all(set(stream) == of_stream for stream in talked["streams"])
    assert (talked["status"], talked["ended_by"], talked["flow"]) == (200, "caller", "flow-0.json")
    assert talked["talk_seconds"] > 0.5
    for leg in talked["legs"]:
        assert (leg["status"], leg["codec"], leg["srtp"]) == (200, "PCMU", False)
        assert leg["media"]["mos"] > 4
        assert leg["media"]["packets_in"] > 20
    assert talked["began"] <= talked["legs"][1]["rang"] <= talked["legs"][1]["answered"] <= talked["ended"]
    (stream,) = talked["streams"]
    assert stream["code"] == 31902
    assert stream["name"] == "test"
    assert (busy["status"], busy["ended_by"], busy["legs"][1]["status"]) == (486, "callee", 486)
    assert (cancelled["status"], cancelled["ended_by"], cancelled["legs"][1]["status"]) == (
        487,
        "caller",
        487,
    )
    (stopped,) = records(file)
    assert (stopped["status"], stopped["ended_by"]) == (200, "forkproxy")
    assert stopped["reason"] == "forkproxy is stopping"
    assert [leg["ended"] is not None for leg in stopped["legs"]] == [True, True]
