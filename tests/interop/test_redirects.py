"""3xx and the identity of callers, through the whole proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.dialogs import dialled, ringing
from tests.support.proxy import Proxy
from tests.support.sip import Call, Phone

pytestmark = pytest.mark.asyncio(loop_scope="module")
PAI = "<sip:+15551230000@carrier.example>"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Proxy]:
    config = {
        "sip": {"redirects": "follow"},
        "trunks": [{"name": "here", "accept": ["127.0.0.0/8"], "trusted": True}],
    }
    async with Proxy(tmp_path_factory.mktemp("redirects") / "proxy", dialled(), config=config) as proxy:
        yield proxy


async def taken_by(phone: Phone) -> Call:
    return await asyncio.wait_for(phone.incoming.get(), 10)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_302_is_followed_past_contacts_that_lead_nowhere(proxy: Proxy, transport: str) -> None:
    headers = (f"P-Asserted-Identity: {PAI}", "Privacy: id")
    async with Phone("carol", transport) as carol, ringing(proxy, transport, headers=headers) as (call, bob):
        contacts = f"Contact: <sip:+900123@127.0.0.1:{carol.port}>, <{carol.uri}>;q=0.5, <sip:x@198.51.100.1>"
        bob.respond(302, "Moved", headers=(contacts,))
        taken = await taken_by(carol)
        assert taken.invite is not None
        assert taken.invite.get("p-asserted-identity") == PAI
        assert taken.invite.get("privacy") == "id"
        await taken.accept()
        await call.answered()
        await call.hang_up()
        await taken.request("BYE")
    assert (await proxy.metrics())["forkproxy_calls_redirected_total"] >= 1


async def test_a_302_in_a_circle_ends(proxy: Proxy) -> None:
    async with Phone("carol") as carol, ringing(proxy) as (call, bob):
        bob.respond(302, "Moved", headers=(f"Contact: <{carol.uri}>",))
        taken = await taken_by(carol)
        taken.respond(302, "Back", headers=(f"Contact: <{bob.phone.uri}>, <{carol.uri}>",))
        final = await call.response(300)
        assert final.status == 480
        assert bob.phone.incoming.empty()
    assert (await proxy.metrics())["forkproxy_redirects_refused_total"] >= 1


async def test_a_302_is_passed_to_the_caller_by_setting(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("passed") / "proxy"
    config = {"sip": {"redirects": "pass"}}
    async with Proxy(folder, dialled(), config=config) as proxy, ringing(proxy) as (call, bob):
        bob.respond(302, "Moved", headers=("Contact: <sip:carol@198.51.100.1;transport=tcp>",))
        final = await call.response(300)
        assert final.status == 302
        assert final.all("contact")[-1] == "<sip:carol@198.51.100.1;transport=tcp>"
