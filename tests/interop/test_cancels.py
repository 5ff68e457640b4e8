"""A CANCEL that meets something else on the wire, on either leg; and calls that go in a circle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.dialogs import TO_WHOM, dialled, own, ringing
from tests.support.proxy import Proxy
from tests.support.sip import Phone

TRANSPORTS = pytest.mark.parametrize("transport", ["udp", "tcp"])
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Proxy]:
    config = {"sip": {"pass_headers": ["X-*"]}}
    async with Proxy(tmp_path_factory.mktemp("cancels") / "proxy", dialled(), config=config) as proxy:
        yield proxy


@TRANSPORTS
async def test_the_callees_200_crosses_our_cancel(proxy: Proxy, transport: str) -> None:
    async with ringing(proxy, transport) as (call, taken):
        taken.respond(180, "Ringing")
        await call.response(180)
        await taken.prepare()
        taken.phone.obeys_cancels = False  # it had picked up already
        call.cancel()
        await taken.request("CANCEL")
        taken.respond(200, "OK", sdp=own(taken))
        assert (await call.response(300)).status == 487
        await taken.request("ACK")
        await taken.request("BYE")


@TRANSPORTS
async def test_the_callees_failure_crosses_our_cancel(proxy: Proxy, transport: str) -> None:
    async with ringing(proxy, transport) as (call, taken):
        taken.respond(180, "Ringing")
        await call.response(180)
        taken.phone.obeys_cancels = False
        call.cancel()
        await taken.request("CANCEL")
        taken.respond(486, "Busy Here")
        assert (await call.response(300)).status == 487
        await taken.request("ACK")


@TRANSPORTS
async def test_a_cancel_before_the_callee_has_said_anything(proxy: Proxy, transport: str) -> None:
    async with ringing(proxy, transport) as (call, taken):
        call.cancel()
        assert (await call.response(300)).status == 487
        assert not [m for m in taken.requests if m.method == "CANCEL"], "RFC 3261, 9.1: not before a response"
        taken.respond(180, "Ringing")
        await taken.request("CANCEL")


@TRANSPORTS
async def test_the_callers_cancel_crosses_our_200(proxy: Proxy, transport: str) -> None:
    async with ringing(proxy, transport) as (call, taken):
        await taken.prepare()
        taken.respond(200, "OK", sdp=own(taken))
        await taken.request("ACK")
        call.cancel()
        while not any(m.method == "CANCEL" and m.status == 200 for m in call.responses):
            await call._until("200 to CANCEL", 10)
        await call.answered()
        cseq = call.send_in_dialog("MESSAGE", b"still here", content_type="text/plain")
        taken.reply(await taken.request("MESSAGE"), 200, "OK")
        assert (await call.response_to(cseq, "MESSAGE")).status == 200
        await call.hang_up()
        await taken.request("BYE")


async def test_a_second_cancel_and_one_for_nothing(proxy: Proxy) -> None:
    async with ringing(proxy) as (call, taken):
        taken.respond(180, "Ringing")
        await call.response(180)
        call.cancel()
        call.cancel()
        assert (await call.response(300)).status == 487
        await taken.request("CANCEL")
        await asyncio.sleep(0.1)
        assert len([m for m in taken.requests if m.method == "CANCEL"]) == 1
        call._request("CANCEL", cseq=1)  # with another branch: no such transaction
        while not any(m.method == "CANCEL" and m.status == 481 for m in call.responses):
            await call._until("481 to CANCEL", 10)


@TRANSPORTS
async def test_a_call_that_goes_in_a_circle_ends_with_483(proxy: Proxy, transport: str) -> None:
    """The proxy calls itself, for the header that says whom to call goes along."""
    before = await proxy.gauges()
    there = proxy.udp if transport == "udp" else proxy.tcp
    itself = f"sip:bob@{there[0]}:{there[1]}" + (";transport=tcp" if transport == "tcp" else "")
    async with Phone("alice", transport) as alice:
        alice.max_forwards = 4
        call = await alice.call(f"sip:bob@{there[0]}:{there[1]}", there, headers=(f"{TO_WHOM}: {itself}",))
        assert (await call.response(300, timeout=20)).status == 483
    await proxy.idle()
    after = await proxy.metrics()
    assert after["forkproxy_sip_too_many_hops_total"] >= 1
    assert (await proxy.gauges())["forkproxy_sip_legs"] == before["forkproxy_sip_legs"]
    seen = {line.strip() for line in proxy.log.splitlines() if "Max-Forwards:" in line}
    assert {f"Max-Forwards: {hops}" for hops in range(5)} <= seen, "each leg had one less"


async def test_the_reason_of_a_failure_is_carried_over(proxy: Proxy) -> None:
    async with ringing(proxy) as (call, taken):
        taken.respond(486, "Busy Here", headers=("Reason: Q.850;cause=17",))
        final = await call.response(300)
        assert (final.status, final.get("reason")) == (486, "Q.850;cause=17")
        await taken.request("ACK")
