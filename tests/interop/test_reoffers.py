"""Changes to a call that is up, through the whole proxy: hold, resume, codecs, addresses, glare."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support import audio
from tests.support.dialogs import dialled, direction_of, origin_of, own, sides, talking
from tests.support.proxy import Proxy
from tests.support.sip import audio_address

pytestmark = pytest.mark.asyncio(loop_scope="module")
EITHER = pytest.mark.parametrize("who", ["caller", "callee"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Proxy]:
    async with Proxy(tmp_path_factory.mktemp("reoffers") / "proxy", dialled()) as proxy:
        yield proxy


@EITHER
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_hold_and_resume_travel_to_the_other_party_and_back(
    proxy: Proxy, who: str, transport: str
) -> None:
    async with talking(proxy, transport) as (call, taken):
        asks, other = sides(call, taken, who)
        for number, (offered, answered) in enumerate(
            [("sendonly", "recvonly"), ("inactive", "inactive"), ("sendrecv", "sendrecv")], 1
        ):
            cseq = asks.send_in_dialog("INVITE", own(asks, offered))
            passed = await other.nth("INVITE", number)
            assert direction_of(passed.body) == offered
            other.reply(passed, 200, "OK", sdp=own(other, answered))
            final = await asks.response_to(cseq, "INVITE")
            asks._request("ACK", cseq=cseq)
            assert final.status == 200
            assert direction_of(final.body) == answered
            await other.nth("ACK", number + (other is taken))
            legs = (await proxy.calls())[0]["state"]
            assert legs == "up"
        assert other.rtp is not None
        assert asks.rtp is not None
        asks.rtp.talk(audio.tone_ulaw(440, 0.2))
        await asyncio.sleep(0.25)
        await asks.rtp.hush()
        assert len(other.rtp.received) > 5, "no audio after the resume"


async def test_a_held_phone_hears_nothing_and_descriptions_continue(proxy: Proxy) -> None:
    async with talking(proxy) as (call, taken):
        assert call.rtp is not None
        assert taken.rtp is not None
        cseq = call.send_in_dialog("INVITE", own(call, "sendonly"))
        passed = await taken.nth("INVITE", 1)
        assert taken.invite is not None
        first, second = origin_of(taken.invite.body), origin_of(passed.body)
        assert (second[0], second[1], *second[3:]) == (first[0], first[1], *first[3:])
        assert int(second[2]) == int(first[2]) + 1
        assert audio_address(passed.body) == audio_address(taken.invite.body)
        taken.reply(passed, 200, "OK", sdp=own(taken, "recvonly"))
        await call.response_to(cseq, "INVITE")
        call._request("ACK", cseq=cseq)
        taken.rtp.talk(audio.tone_ulaw(440, 0.2))
        await asyncio.sleep(0.25)
        await taken.rtp.hush()
        assert call.rtp.received == []
        # the old way: address 0.0.0.0 instead of a direction; that is the same hold, and is answered here
        old = own(call).replace(b"c=IN IP4 127.0.0.1", b"c=IN IP4 0.0.0.0")
        final = await call.reinvite(old)
        assert (final.status, direction_of(final.body)) == (200, "recvonly")
        assert len([m for m in taken.requests if m.method == "INVITE"]) == 1


@EITHER
async def test_a_refusal_comes_back_and_leaves_the_old_session(proxy: Proxy, who: str) -> None:
    async with talking(proxy) as (call, taken):
        asks, other = sides(call, taken, who)
        cseq = asks.send_in_dialog("INVITE", own(asks, "sendonly"))
        passed = await other.nth("INVITE", 1)
        other.reply(passed, 488, "Not Here")
        final = await asks.response_to(cseq, "INVITE")
        assert final.status == 488
        assert asks.rtp is not None
        assert other.rtp is not None
        other.rtp.talk(audio.tone_ulaw(440, 0.2))
        await asyncio.sleep(0.25)
        await other.rtp.hush()
        assert len(asks.rtp.received) > 5, "the old session does not stand"
        again = await asks.reinvite(own(asks))
        assert again.status == 200, "nothing can be offered any more"


@EITHER
async def test_another_codec_or_address_is_answered_here(proxy: Proxy, who: str) -> None:
    async with talking(proxy) as (call, taken):
        asks, other = sides(call, taken, who)
        before, asks.rtp = asks.rtp, await asks.phone._party()
        assert before is not None
        assert other.rtp is not None
        asks.rtp.remote = before.remote
        final = await asks.reinvite(own(asks, payload_types=(8, 101)))
        assert final.status == 200
        assert b"RTP/AVP 8" in final.body
        other.rtp.talk(audio.tone_ulaw(440, 0.2))
        await asyncio.sleep(0.25)
        await other.rtp.hush()
        assert len(asks.rtp.received) > 5, "nothing comes to the new address"
        assert {packet.payload_type for packet in asks.rtp.received} == {8}
        assert [m for m in other.requests if m.method == "INVITE"] == []


@EITHER
async def test_a_reinvite_without_an_offer_gets_ours(proxy: Proxy, who: str) -> None:
    async with talking(proxy) as (call, taken):
        asks, other = sides(call, taken, who)
        final = await asks.reinvite(acknowledge=False)
        assert final.status == 200
        assert direction_of(final.body) == "sendrecv"
        asks._request("ACK", cseq=asks.cseq, sdp=own(asks, "sendonly"))
        passed = await other.nth("INVITE", 1)
        assert direction_of(passed.body) == "sendonly"
        other.reply(passed, 200, "OK", sdp=own(other, "recvonly"))
        await other.nth("ACK", 1 + (other is taken))
        # an ACK without the answer changes nothing, and the next offer can come
        final = await asks.reinvite()
        assert final.status == 200
        assert (await asks.reinvite(own(asks, "sendonly"))).status == 200


@EITHER
async def test_an_update_is_answered_at_once_and_the_other_party_is_told(proxy: Proxy, who: str) -> None:
    before = (await proxy.metrics())["forkproxy_sip_updated_total"]
    async with talking(proxy) as (call, taken):
        asks, other = sides(call, taken, who)
        final = await asks.change("UPDATE", own(asks, "sendonly"))
        assert (final.status, direction_of(final.body)) == (200, "recvonly")
        passed = await other.nth("INVITE", 1)
        assert direction_of(passed.body) == "sendonly"
        other.reply(passed, 491, "Request Pending")
        again = await other.nth("INVITE", 2)
        other.reply(again, 200, "OK", sdp=own(other, "recvonly"))
        await other.nth("ACK", 2 + (other is taken))
        final = await asks.change("UPDATE", own(asks))
        assert (final.status, direction_of(final.body)) == (200, "sendrecv")
        passed = await other.nth("INVITE", 3)
        assert direction_of(passed.body) == "sendrecv"
        other.reply(passed, 200, "OK", sdp=own(other))
        await other.nth("ACK", 3 + (other is taken))
        unusable = await asks.change("UPDATE", own(asks).replace(b"RTP/AVP 0 101", b"RTP/AVP 18"))
        assert unusable.status == 488
    assert (await proxy.metrics())["forkproxy_sip_updated_total"] == before + 2


async def test_glare_is_left_to_the_parties(proxy: Proxy) -> None:
    async with talking(proxy) as (call, taken):
        mine = call.send_in_dialog("INVITE", own(call, "sendonly"))
        passed = await taken.nth("INVITE", 1)
        theirs = taken.send_in_dialog("INVITE", own(taken, "sendonly"))
        assert (await taken.response_to(theirs, "INVITE")).status == 491
        taken.reply(passed, 491, "Request Pending")
        assert (await call.response_to(mine, "INVITE")).status == 491


async def test_a_change_that_is_cancelled_does_not_happen(proxy: Proxy) -> None:
    async with talking(proxy) as (call, taken):
        cseq = call.send_in_dialog("INVITE", own(call, "sendonly"))
        passed = await taken.nth("INVITE", 1)
        taken.reply(passed, 100, "Trying")
        await asyncio.sleep(0.05)
        invite = next(m for m in reversed(call.phone.sent) if m.method == "INVITE")
        branch = re.search(r"branch=([^;]+)", invite.get("via"))
        assert branch is not None
        call._request("CANCEL", cseq=cseq, branch=branch[1])
        assert (await call.response_to(cseq, "INVITE")).status == 487
        await taken.request("CANCEL")
        taken.reply(passed, 487, "Request Terminated")
        assert (await call.reinvite(own(call))).status == 200


async def test_a_hang_up_during_a_change_leaves_nothing(proxy: Proxy) -> None:
    async with talking(proxy) as (call, taken):
        call.send_in_dialog("INVITE", own(call, "sendonly"))
        await taken.nth("INVITE", 1)
