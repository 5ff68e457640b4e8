"""Reliable provisional responses (RFC 3262), beyond what test_wire.py has of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from forkproxy.model import Terms
from forkproxy.signalling.events import Answered, Confirmed, Progress
from tests.signalling.support import OFFER, Station, answer_to
from tests.support.sip import Call, Message, Phone

Stations = Callable[..., Awaitable[Station]]
Phones = Callable[..., Awaitable[Phone]]


async def acknowledged(call: Call, early: Message) -> None:
    """PRACK."""
    call.remote = early.get("to")
    rack = f"RAck: {early.get('rseq')} {early.get('cseq')}"
    assert (await call.change("PRACK", headers=(rack,))).status == 200


async def test_callers_who_can_get_them_where_that_is_wanted(stations: Stations, phones: Phones) -> None:
    bob, carol = await stations(), await phones("carol")
    bob.endpoint.terms = Terms(reliable=True)
    for able in (True, False):
        headers = ("Supported: timer, 100rel",) if able else ()
        call = await carol.call(bob.uri(), bob.address(), sdp=OFFER, headers=headers)
        leg, seen = await bob.call()
        leg.ring(180)
        leg.ring(183, "", answer_to(OFFER))
        ringing = await call.response(180)
        assert (ringing.get("require") == "100rel") is able
        if able:
            assert not [m for m in call.responses if m.status == 183], "one at a time"
            await acknowledged(call, ringing)
        early = await call.response(183)
        assert early.body
        leg.answer(answer_to(OFFER))
        if able:
            assert int(early.get("rseq")) == int(ringing.get("rseq")) + 1
            assert not [m for m in call.responses if m.status == 200 and m.method == "INVITE"], (
                "it waits for the PRACK"
            )
            await acknowledged(call, early)
        final = await call.response(200)
        call.acknowledge(final)
        await seen.first(Confirmed)
        await call.hang_up()


async def test_without_an_offer_there_is_nothing_to_send_reliably(stations: Stations, phones: Phones) -> None:
    bob, carol = await stations(), await phones("carol")
    call = await carol.call(
        bob.uri(), bob.address(), sdp=b"", headers=("Require: 100rel", "Supported: 100rel")
    )
    leg, seen = await bob.call()
    leg.ring(180)
    leg.answer(OFFER)
    final = await call.response(200)
    call.remote, call.target = final.get("to"), bob.uri()
    call._request("ACK", sdp=answer_to(OFFER), cseq=1)
    await seen.first(Confirmed)
    assert [m.status for m in call.responses] == [100, 200]
    await call.hang_up()


async def test_several_of_a_callee_are_acknowledged_once_each(stations: Stations, phones: Phones) -> None:
    alice, bob = await stations(), await phones("bob")
    _, heard = alice.dial(bob.uri)
    call = await asyncio.wait_for(bob.incoming.get(), 5)

    def early(status: int, rseq: int, sdp: bytes = b"") -> None:
        call.respond(status, "Early", sdp=sdp, headers=("Require: 100rel", f"RSeq: {rseq}"))

    early(180, 5)
    early(180, 5)
    prack = await call.nth("PRACK", 1)
    assert prack.get("rack").startswith("5 ")
    call.reply(prack, 200, "OK")
    early(183, 7, answer_to(OFFER))  # 6 was lost: this one is not taken before it
    early(182, 6)
    early(183, 7, answer_to(OFFER))
    for number, rack in ((2, "6 "), (3, "7 ")):
        prack = await call.nth("PRACK", number)
        assert prack.get("rack").startswith(rack)
        call.reply(prack, 200, "OK")
    call.respond(200, "OK", sdp=answer_to(OFFER))
    await heard.first(Answered)
    told = [(event.status, bool(event.sdp)) for event in heard.events if isinstance(event, Progress)]
    assert told == [(180, False), (182, False), (183, True)]
    await call.hang_up()
