"""SIPp answers our challenges: its calls come in by the password's trunk, and others do not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.support.flows import bridge
from tests.support.processes import needs
from tests.support.proxy import Proxy
from tests.support.sipp import Sipp

USERS = {"name": "phones", "accept": ["127.0.0.0/8"], "users": {"alice": "wonder"}}


@needs("sipp")
async def test_a_right_and_a_wrong_password(tmp_path: Path) -> None:
    records = tmp_path / "calls.jsonl"
    # SIPp looks at the first challenge only, and knows MD5.
    config = {"sip": {"digest": ["MD5"]}, "trunks": [USERS], "cdr": {"file": str(records)}}
    async with (
        Sipp("uas_load", tmp_path / "uas", calls=1) as callee,
        Proxy(tmp_path / "proxy", bridge(callee.uri), config=config) as proxy,
    ):
        remote = f"127.0.0.1:{proxy.udp[1]}"
        async with Sipp("uac_password", tmp_path / "wrong", remote=remote, login=("alice", "land")):
            while not (await proxy.metrics())["forkproxy_sip_refused_password_total"]:
                await asyncio.sleep(0.05)
        async with Sipp(
            "uac_password", tmp_path / "right", remote=remote, hold_ms=100, login=("alice", "wonder")
        ) as caller:
            await caller.finished()
        await callee.finished()
        await proxy.idle()
        figures = await proxy.metrics()
        assert figures["forkproxy_sip_refused_challenged_total"] == 2
        assert figures["forkproxy_sip_refused_password_total"] >= 1
        assert figures["forkproxy_sip_calls_in_total"] == 1
        assert "wonder" not in proxy.log
        assert json.loads((await proxy.get("/refusals"))[1]) == {"sources": []}  # this machine is no stranger
    (record,) = map(json.loads, records.read_text().splitlines())
    assert record["trunk"] == "phones"
