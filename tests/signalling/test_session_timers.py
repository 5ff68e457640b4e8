"""Session timers (RFC 4028) on one leg: who asks, who refreshes, what is refused, what a silence ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from forkproxy.model import Terms
from forkproxy.signalling.events import Answered, Confirmed, Ended
from tests.signalling.support import OFFER, History, Station, answer_to
from tests.support.sip import Call, Phone

Stations = Callable[..., Awaitable[Station]]
Phones = Callable[..., Awaitable[Phone]]
SHORT = Terms(expires=2, min_expires=1)
"""Shorter than a configuration may ask for: a refresh each second, and an end after two."""
ABLE = "Supported: timer"


async def taken(bob: Station, carol: Phone, *headers: str) -> tuple[Call, str, History]:
    """A call of carol's that is up: with our Session-Expires."""
    call = await carol.call(bob.uri(), bob.address(), sdp=OFFER, headers=headers)
    leg, seen = await bob.call()
    leg.answer(answer_to(OFFER))
    final = await call.response(200)
    call.acknowledge(final)
    await seen.first(Confirmed)
    return call, final.get("session-expires"), seen


async def placed(alice: Station, bob: Phone, *headers: str) -> tuple[Call, str, History]:
    """A call to bob that is up: with our Session-Expires."""
    _, heard = alice.dial(bob.uri)
    call = await asyncio.wait_for(bob.incoming.get(), 5)
    assert call.invite is not None
    call.respond(200, "OK", sdp=answer_to(OFFER), headers=headers)
    await heard.first(Answered)
    return call, call.invite.get("session-expires"), heard


GRANTED = [
    (Terms(), (ABLE, "Session-Expires: 200"), "200;refresher=uac"),
    (Terms(), ("Session-Expires: 200",), "200;refresher=uas"),  # a proxy asked, the caller cannot
    (Terms(), (ABLE, "x: 200;refresher=uas"), "200;refresher=uas"),
    (Terms(refresher="self"), (ABLE, "Session-Expires: 200"), "200;refresher=uas"),
    (Terms(refresher="self"), (ABLE, "Session-Expires: 200;refresher=uac"), "200;refresher=uac"),
    (Terms(refresher="peer"), (ABLE, "Session-Expires: 200"), "200;refresher=uac"),
    (Terms(refresher="peer"), ("Session-Expires: 200",), "200;refresher=uas"),
    (Terms(), (ABLE,), ""),
    (Terms(timers="off"), (ABLE, "Session-Expires: 200"), ""),
    (Terms(timers="always"), (), "1800;refresher=uas"),
]


async def test_what_a_caller_is_granted(stations: Stations, phones: Phones) -> None:
    bob, carol = await stations(), await phones("carol")
    for terms, headers, granted in GRANTED:
        bob.endpoint.terms = terms
        call, told, _ = await taken(bob, carol, *headers)
        assert told == granted, (terms, headers)
        final = next(m for m in call.responses if m.status == 200)
        assert ("timer" in final.get("supported")) is (terms.timers != "off")
        assert (final.get("require") == "timer") is granted.endswith("uac")
        await call.hang_up()


async def test_a_caller_who_wants_less_than_is_accepted(stations: Stations, phones: Phones) -> None:
    bob, carol = await stations(), await phones("carol")
    bob.endpoint.terms = Terms(min_expires=300)
    call = await carol.call(bob.uri(), bob.address(), sdp=OFFER, headers=(ABLE, "Session-Expires: 200"))
    refused = await call.response(300)
    assert (refused.status, refused.get("min-se")) == (422, "300")
    assert bob.endpoint.counters()["unacceptable"] == 1


ASKED = [
    (Terms(), "1800"),
    (Terms(expires=300, refresher="self"), "300;refresher=uac"),
    (Terms(refresher="peer"), "1800;refresher=uas"),
    (Terms(timers="off"), ""),
]


async def test_what_a_callee_is_asked_for(stations: Stations, phones: Phones) -> None:
    alice, bob = await stations(), await phones("bob")
    for terms, asked in ASKED:
        alice.endpoint.terms = terms
        call, told, _ = await placed(alice, bob)
        assert told == asked
        assert call.invite is not None
        assert ("timer" in call.invite.get("supported")) is bool(asked)
        await call.hang_up()


async def test_a_callee_that_wants_longer_times_gets_another_invite(
    stations: Stations, phones: Phones
) -> None:
    alice, bob = await stations(), await phones("bob")
    alice.endpoint.terms = Terms(expires=100)
    _, heard = alice.dial(bob.uri)
    call = await asyncio.wait_for(bob.incoming.get(), 5)
    call.respond(422, "Session Interval Too Small", headers=("Min-SE: 500",))
    again = await call.nth("INVITE", 1)
    assert (again.get("session-expires"), again.get("min-se"), again.body) == ("500", "500", OFFER)
    call.invite = again
    call.respond(200, "OK", sdp=answer_to(OFFER))
    await heard.first(Answered)
    await call.hang_up()


async def test_refreshes_keep_a_leg_up_and_their_absence_ends_it(stations: Stations, phones: Phones) -> None:
    station = await stations()
    station.endpoint.terms = SHORT

    async def refreshed(who: str, method: str) -> None:
        phone = await phones("phone")
        allow = "Allow: INVITE, ACK, BYE, CANCEL" + (", UPDATE" if method == "UPDATE" else "")
        if who == "caller":  # the phone's part
            call, _, events = await taken(station, phone, ABLE, allow, "Session-Expires: 2;refresher=uas")
        else:
            granted = ("Require: timer", "Session-Expires: 2;refresher=uac")
            call, _, events = await placed(station, phone, allow, *granted)
        for number in (1, 2):
            refresh = await call.nth(method, number)
            assert refresh.get("session-expires") == "2;refresher=uac"
            assert bool(refresh.body) is (method == "INVITE")
            sdp = answer_to(OFFER) if method == "INVITE" else b""
            more = ("Session-Expires: 2;refresher=uac", "Require: timer", allow)
            call.reply(refresh, 200, "OK", sdp=sdp, headers=more)
        assert not [event for event in events.events if isinstance(event, Ended)]
        await call.nth(method, 3)  # this one is not answered
        assert (await events.first(Ended)).by == "timeout"

    other = await stations()
    other.endpoint.terms = replace(SHORT, expires=3)
    expires = "Session-Expires: 3;refresher="

    async def silent(who: str) -> None:
        phone = await phones("phone")
        if who == "caller":
            call, told, events = await taken(other, phone, ABLE, f"{expires}uac")
            assert told == "3;refresher=uac"
        else:
            call, _, events = await placed(other, phone, f"{expires}uas")
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(1)
        answer = await call.change("UPDATE", headers=(f"{expires}uac", ABLE))
        assert (answer.status, answer.get("session-expires")) == (200, "3;refresher=uac")
        await call.request("BYE")
        ended = await events.first(Ended)
        assert (ended.by, ended.reason) == ("timeout", "No session refresh received.")
        assert asyncio.get_running_loop().time() - began >= 2.5, "the refresh was counted"

    await asyncio.gather(
        *(refreshed(who, how) for who in ("caller", "callee") for how in ("UPDATE", "INVITE")),
        *(silent(who) for who in ("caller", "callee")),
    )
    assert other.endpoint.counters()["sessions_expired"] == 2
