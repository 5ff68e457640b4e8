"""What passes from party to party beside the call: requests within it, reasons, headers; and PRACK."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.dialogs import TO_WHOM, dialled, ringing, sides, talking
from tests.support.proxy import Proxy

EITHER = pytest.mark.parametrize("who", ["caller", "callee"])
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Proxy]:
    config = {"sip": {"pass_headers": ["P-Asserted-Identity", "X-*"], "refer": "pass"}}
    async with Proxy(tmp_path_factory.mktemp("passing") / "proxy", dialled(), config=config) as proxy:
        yield proxy


@EITHER
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_requests_go_to_the_other_party_and_its_answers_come_back(
    proxy: Proxy, who: str, transport: str
) -> None:
    async with talking(proxy, transport) as (call, taken):
        asks, other = sides(call, taken, who)
        cseq = asks.send_in_dialog(
            "MESSAGE", b"hello", headers=("X-Mood: fine", "Via-Not: passed"), content_type="text/plain"
        )
        passed = await other.request("MESSAGE")
        assert (passed.body, passed.get("content-type")) == (b"hello", "text/plain")
        assert (passed.get("x-mood"), passed.get("via-not")) == ("fine", "")
        other.reply(passed, 202, "Accepted", headers=("X-Seen: yes",))
        final = await asks.response_to(cseq, "MESSAGE")
        assert (final.status, final.reason, final.get("x-seen")) == (202, "Accepted", "yes")
        cseq = asks.send_in_dialog("REFER", headers=("Refer-To: <sip:carol@127.0.0.1>",))
        passed = await other.request("REFER")
        assert passed.get("refer-to") == "<sip:carol@127.0.0.1>"
        other.reply(passed, 603, "Decline")
        assert (await asks.response_to(cseq, "REFER")).status == 603
        first = asks.send_in_dialog("INFO", b"<a/>", content_type="application/media_control+xml")
        passed = await other.request("INFO")
        assert passed.body == b"<a/>"
        assert passed.get("content-type") == "application/media_control+xml"
        other.reply(passed, 488, "No")
        assert (await asks.response_to(first, "INFO")).status == 488
        assert (await asks.change("SUBSCRIBE")).status == 405


async def test_a_key_by_info_is_a_key_and_goes_on(proxy: Proxy) -> None:
    async with talking(proxy) as (call, taken):
        body = b"Signal=5\r\nDuration=160\r\n"
        cseq = call.send_in_dialog("INFO", body, content_type="application/dtmf-relay")
        passed = await taken.request("INFO")
        assert passed.body == body
        taken.reply(passed, 415, "Unsupported Media Type")
        assert (await call.response_to(cseq, "INFO")).status == 200, "the key was heard here"
    await proxy.logged("call ended .* keys=1")


@EITHER
async def test_the_reason_of_a_hang_up_is_carried_over(proxy: Proxy, who: str) -> None:
    async with talking(proxy) as (call, taken):
        asks, other = sides(call, taken, who)
        cause = 'Q.850;cause=16;text="Terminated"'
        asks.send_in_dialog("BYE", headers=(f"Reason: {cause}",))
        assert (await other.request("BYE")).get("reason") == cause
        if who == "callee":
            taken.requests.append(next(m for m in call.requests if m.method == "BYE"))


async def test_the_reason_of_a_cancel_is_carried_over(proxy: Proxy) -> None:
    async with ringing(proxy) as (call, taken):
        taken.respond(180, "Ringing")
        await call.response(180)
        cause = 'SIP;cause=200;text="Call completed elsewhere"'
        call._request("CANCEL", cseq=1, branch=call.branch, headers=(f"Reason: {cause}",))
        assert (await taken.request("CANCEL")).get("reason") == cause
        assert (await call.response(300)).status == 487


async def test_headers_of_the_invite_pass_as_the_setting_says(proxy: Proxy) -> None:
    headers = ("P-Asserted-Identity: <sip:+15551230000@carrier.example>", "X-Order: 12", "Privacy: none")
    async with talking(proxy, headers=headers) as (_, taken):
        assert taken.invite is not None
        assert taken.invite.get("p-asserted-identity") == "<sip:+15551230000@carrier.example>"
        assert taken.invite.get("x-order") == "12"
        assert taken.invite.get(TO_WHOM.lower()) != ""
        assert taken.invite.get("privacy") == ""


async def test_a_hang_up_while_a_request_waits_leaves_nothing(proxy: Proxy) -> None:
    async with talking(proxy) as (call, taken):
        cseq = call.send_in_dialog("MESSAGE", b"hello", content_type="text/plain")
        await taken.request("MESSAGE")
        await call.hang_up()
        assert (await call.response_to(cseq, "MESSAGE")).status == 487


async def test_reliable_provisional_responses_on_both_legs(proxy: Proxy) -> None:
    async with ringing(proxy, headers=("Require: 100rel", "Supported: 100rel")) as (call, taken):
        taken.respond(180, "Ringing", headers=("Require: 100rel", "RSeq: 7"))
        prack = await taken.request("PRACK")
        assert taken.invite is not None
        assert prack.get("rack") == f"7 {taken.invite.get('cseq')}"
        taken.reply(prack, 200, "OK")
        ringing_ = await call.response(180)
        assert "100rel" in ringing_.get("require")
        call.remote = ringing_.get("to")
        rack = f"RAck: {ringing_.get('rseq')} {ringing_.get('cseq')}"
        assert (await call.change("PRACK", headers=(rack,))).status == 200
        await taken.accept()
        await call.answered()
        await call.hang_up()
        await taken.request("BYE")
