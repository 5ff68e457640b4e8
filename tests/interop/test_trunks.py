"""Trunks of a running forkproxy: a call that its first carrier cannot take, and kamailio as a registrar."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.support.flows import flow, state
from tests.support.kamailio import Kamailio
from tests.support.nameserver import Nameserver
from tests.support.processes import needs
from tests.support.proxy import Proxy
from tests.support.sip import Phone
from tests.support.sipp import Sipp

NUMBER = "+4930123456"


def dial(number: str) -> dict[str, Any]:
    properties = {"noun": "number", "to": number, "timeout": 20, "caller_id": "{{contact.channel.address}}"}
    widget = state("connect", "connect-call-to", properties, ("callCompleted", None), ("hangup", None))
    return flow("connect", widget)


async def trunks(proxy: Proxy) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((await proxy.get("/trunks"))[1])["trunks"]
    return found


@needs("sipp")
async def test_a_call_goes_on_to_the_next_address_and_the_next_trunk(tmp_path: Path) -> None:
    """Two addresses of the first trunk say 503; the second trunk wants other numbers and another caller."""
    records = tmp_path / "calls.jsonl"
    async with (
        Sipp("uas_unavailable", tmp_path / "one", calls=1) as one,
        Sipp("uas_unavailable", tmp_path / "two", calls=1) as two,
        Phone("alice") as alice,
        Phone("bob") as bob,
    ):
        names = {
            ("_sip._udp.carrier.test", "SRV"): [
                f"1 0 {one.port} host.carrier.test.",
                f"2 0 {two.port} host.carrier.test.",
            ],
            ("host.carrier.test", "A"): ["127.0.0.1"],
        }
        async with Nameserver(names) as server:
            config = {
                "sip": {"nameservers": [str(server.address)]},
                "cdr": {"file": str(records)},
                "trunks": [
                    {"name": "first", "address": "sip:carrier.test", "numbers": ["+*"], "patience": 0.5},
                    {
                        "name": "second",
                        "address": f"sip:127.0.0.1:{bob.port}",
                        "numbers": ["+49*"],
                        "outgoing": ["+49* -> 0*"],
                        "caller": ["+1* -> 001*"],
                        "caller_id": "+1555",
                        "domain": "us.example",
                        "max_calls": 1,
                    },
                ],
            }
            async with Proxy(tmp_path / "proxy", dial(NUMBER), config=config) as proxy:
                call = await alice.call(f"sip:x@127.0.0.1:{proxy.udp[1]}", proxy.udp)
                taken = await asyncio.wait_for(bob.incoming.get(), 10)
                assert taken.invite is not None
                assert taken.invite.request_uri.startswith("sip:030123456@127.0.0.1")
                assert taken.invite.get("from").startswith("<sip:001555@us.example>")
                async with asyncio.TaskGroup() as group:
                    group.create_task(taken.accept())
                    group.create_task(call.answered())
                calls = {each["name"]: each["calls"] for each in await trunks(proxy)}
                assert calls == {"first": 0, "second": 1}

                # the first trunk is down now, and the second has no room
                other = await alice.call(f"sip:x@127.0.0.1:{proxy.udp[1]}", proxy.udp)
                assert (await other.response(300, timeout=15)).status in (408, 480, 502, 503)
                await call.hang_up()
                await taken.request("BYE")
                await proxy.idle()
                counted = await proxy.metrics()
                assert counted["forkproxy_sip_failed_over_total"] >= 1
                assert counted["forkproxy_calls_failed_over_total"] >= 1
                assert counted["forkproxy_calls_limited_total"] == 1
                assert counted['forkproxy_trunk_calls{trunk="second"}'] == 0
                assert counted['forkproxy_trunk_refused_total{trunk="second"}'] == 1
        await one.finished()
        await two.finished()
    entries = [json.loads(line) for line in records.read_text().splitlines()]
    went = next(entry for entry in entries if entry["status"] == 200)
    assert [(leg["trunk"], leg["status"]) for leg in went["legs"][1:]] == [("first", 503), ("second", 200)]


@needs("kamailio")
async def test_kamailio_registers_us_and_sends_us_its_calls(tmp_path: Path) -> None:
    async with (
        Kamailio(tmp_path / "kamailio", password="secret") as kamailio,
        Phone("alice") as alice,
        Phone("bob") as bob,
    ):
        trunk = {
            "name": "carrier",
            "accept": ["127.0.0.1"],
            "address": f"sip:127.0.0.1:{kamailio.port}",
            "numbers": ["+*"],
            "username": "acme",
            "password": "secret",
            "register": True,
            "expires": 30,  # kamailio wants 60 at least, and grants that
            "health": 1,
        }
        definition = flow("connect", connect_to(bob.uri))
        flows = {"out": dial(NUMBER)}
        async with Proxy(tmp_path / "proxy", definition, flows=flows, config={"trunks": [trunk]}) as proxy:

            async def registered() -> dict[str, Any]:
                for _ in range(200):
                    (found,) = await trunks(proxy)
                    if found["registration"]["state"] == "registered":
                        return found
                    await asyncio.sleep(0.05)
                raise AssertionError(f"{await trunks(proxy)}\n{kamailio.process.describe()}")

            found = await registered()
            assert found["registration"]["expires_in"] > 50
            assert found["up"]
            assert (await proxy.metrics())['forkproxy_trunk_registered{trunk="carrier"}'] == 1
            call = await alice.call(f"sip:acme@127.0.0.1:{kamailio.port}", ("127.0.0.1", kamailio.port))
            taken = await asyncio.wait_for(bob.incoming.get(), 10)
            taken.respond(486, "Busy Here")
            assert (await call.response(300)).status == 486
            await proxy.idle()
            call = await alice.call(f"sip:out@127.0.0.1:{proxy.udp[1]}", proxy.udp)
            assert (await call.response(300)).status == 486, "our INVITE's digest was refused"
            await proxy.idle()
        again = await alice.call(f"sip:acme@127.0.0.1:{kamailio.port}", ("127.0.0.1", kamailio.port))
        assert (await again.response(300)).status == 404, "it has unregistered"
        assert "secret" not in proxy.log


def connect_to(uri: str) -> dict[str, Any]:
    properties = {"noun": "sip", "sip_endpoint": uri, "timeout": 20}
    return state("connect", "connect-call-to", properties, ("callCompleted", None), ("hangup", None))
