"""What other stacks may send: requests and responses written out by hand, over UDP and TCP."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from hashlib import md5

import pytest

from forkproxy.signalling import OutgoingLeg, sdp
from forkproxy.signalling.events import (
    Answered,
    Confirmed,
    Ended,
    Progress,
    Reanswered,
    Reoffered,
    ReofferFailed,
    Requested,
)
from tests.signalling.support import OFFER, History, Station, answer_to, until
from tests.support.sip import Call, Message, Phone, audio_sdp, parse

Stations = Callable[..., Awaitable[Station]]
Phones = Callable[..., Awaitable[Phone]]
BOTH = pytest.mark.parametrize("transport", ["udp", "tcp"])
GOOD = audio_sdp("127.0.0.1", 40000)


def invite(
    *, method: str = "INVITE", headers: str = "", body: bytes = GOOD, branch: str = "", to: str = ""
) -> bytes:
    """A request that is right, to be spoilt."""
    token = secrets.token_hex(6)
    kind = "Content-Type: application/sdp\r\n" if body else ""
    return (
        f"{method} sip:bob@127.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK{token};rport\r\n"
        "Max-Forwards: 70\r\n"
        f"From: <sip:carol@127.0.0.1>;tag={token}\r\n"
        f"To: {to or '<sip:bob@127.0.0.1>'}\r\n"
        f"Call-ID: {token}\r\n"
        f"CSeq: 1 {method}\r\n"
        "Contact: <sip:carol@127.0.0.1:9>\r\n"
        f"{headers}{kind}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Wire:
    """A bare UDP socket: sends octets, collects what comes back."""

    def __init__(self, peer: tuple[str, int]) -> None:
        self.peer = peer
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    async def __aenter__(self) -> Wire:
        wire = self

        class Protocol(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: object) -> None:
                wire.queue.put_nowait(data)

        loop = asyncio.get_running_loop()
        self.raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.raw.bind(("127.0.0.1", 0))
        self.raw.setblocking(False)
        self.port: int = self.raw.getsockname()[1]
        self.socket, _ = await loop.create_datagram_endpoint(Protocol, sock=self.raw)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.socket.close()
        await asyncio.sleep(0)

    def send(self, data: bytes) -> None:
        self.raw.sendto(data, self.peer)  # (asyncio's own sendto leaves empty datagrams out)

    async def message(self, at_least: int = 0) -> Message:
        """The next one with that status or more."""
        async with asyncio.timeout(5):
            while True:
                message = parse(await self.queue.get())
                if message.status >= at_least:
                    return message

    async def silent(self, seconds: float = 0.25) -> bool:
        await asyncio.sleep(seconds)
        return self.queue.empty()


@BOTH
async def test_a_call_without_an_offer_gets_ours(stations: Stations, phones: Phones, transport: str) -> None:
    bob, carol = await stations(), await phones("carol", transport)
    call = await carol.call(bob.uri(transport=transport), bob.address(transport), sdp=b"")
    leg, seen = await bob.call()
    assert leg.offer is None
    leg.ring()
    ours = sdp.offer("127.0.0.1", 42000, 42001)
    leg.answer(ours)
    final = await call.response(200)
    assert final.body == ours
    call.acknowledge(final, GOOD)
    assert await seen.first(Confirmed) == Confirmed(GOOD)
    await call.hang_up()
    assert (await seen.first(Ended)).by == "remote"


async def test_an_ack_without_the_answer_ends_the_call(stations: Stations, phones: Phones) -> None:
    bob, carol = await stations(), await phones("carol")
    call = await carol.call(bob.uri(), bob.address(), sdp=b"")
    leg, seen = await bob.call()
    leg.answer(sdp.offer("127.0.0.1", 42000, 42001))
    call.acknowledge(await call.response(200))
    await call.request("BYE")
    ended = await seen.first(Ended)
    assert (ended.status, ended.by) == (406, "remote")
    assert seen.names == ["Ended"]


async def test_trying_is_sent_at_once(stations: Stations) -> None:
    bob = await stations()
    async with Wire(bob.address()) as wire:
        wire.send(invite())
        trying = await wire.message()
        assert trying.status == 100
        assert ";tag=" not in trying.get("to")
        leg, _ = await bob.call()
        assert leg.remote.port == wire.port
        leg.ring()
        ringing = await wire.message()
        assert ringing.status == 180
        assert ringing.get("contact") == f"<{bob.uri().replace('bob@', '')}>"
        assert ringing.get("server") == "test/1"
        leg.reject(486)
        assert (await wire.message()).status == 486


async def test_a_repeated_invite_is_one_call(stations: Stations) -> None:
    bob = await stations()
    async with Wire(bob.address()) as wire:
        request = invite()
        for _ in range(3):
            wire.send(request)
        leg, seen = await bob.call()
        leg.answer(answer_to(GOOD))
        final = await wire.message(200)
        wire.send(request)
        again = await wire.message(200)
        assert again == final
        await asyncio.sleep(0.3)
        assert wire.queue.qsize() >= 1, "a 200 that is not acknowledged is repeated"
        assert bob.calls.empty()
        ended = await seen.first(Ended)
        assert (ended.status, ended.by) == (408, "timeout"), "no ACK: the call is given up"


async def test_the_same_call_by_two_ways_is_merged(stations: Stations) -> None:
    bob = await stations()
    async with Wire(bob.address()) as wire:
        request = invite()
        wire.send(request)
        leg, _ = await bob.call()
        wire.send(re.sub(rb"branch=z9hG4bK", b"branch=z9hG4bKother", request))
        assert (await wire.message(200)).status == 482
        leg.reject(486)
        assert bob.endpoint.counters()["merged"] == 1


@BOTH
async def test_options(stations: Stations, phones: Phones, transport: str) -> None:
    bob, carol = await stations(), await phones("carol", transport)
    answer = await carol.options(bob.uri(), bob.address(transport))
    assert answer.status == 200
    assert "INVITE" in answer.get("allow")
    assert answer.get("accept") == "application/sdp"
    assert "timer" in answer.get("supported")
    assert bob.endpoint.counters()["options"] == 1
    assert bob.endpoint.counters()["transactions"] == 0


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("REGISTER", 405), ("SUBSCRIBE", 405), ("MESSAGE", 405), ("INFO", 405), ("NOTIFY", 405),
        ("REFER", 405), ("PUBLISH", 405), ("DANCE", 501), ("BYE", 481), ("UPDATE", 481), ("PRACK", 481),
        ("CANCEL", 481),
    ],
)  # fmt: skip
async def test_requests_outside_calls(stations: Stations, method: str, status: int) -> None:
    bob = await stations()
    async with Wire(bob.address()) as wire:
        wire.send(invite(method=method, body=b""))
        answer = await wire.message()
        assert answer.status == status
        if status in (405, 501):
            assert "INVITE" in answer.get("allow")
        wire.send(invite(method=method, body=b"", to="<sip:bob@127.0.0.1>;tag=unheard-of"))
        assert (await wire.message()).status == 481
        wire.send(invite(method="ACK", body=b""))
        assert await wire.silent()


async def test_strangers_get_403_and_cost_nothing(stations: Stations) -> None:
    bob = await stations(admit=lambda address: False)
    async with Wire(bob.address()) as wire:
        for method in ("INVITE", "OPTIONS", "REGISTER", "DANCE"):
            wire.send(invite(method=method))
            assert (await wire.message()).status == 403
        figures = bob.endpoint.counters()
        assert (figures["refused"], figures["transactions"], figures["dialogs"]) == (4, 0, 0)


@BOTH
async def test_a_response_goes_where_the_request_came_from(stations: Stations, transport: str) -> None:
    bob = await stations("udp://127.0.0.1:0", "udp://127.0.0.1:0", "tcp://127.0.0.1:0")
    if transport == "tcp":
        reader, writer = await asyncio.open_connection(*bob.address("tcp"))
        writer.write(invite(method="OPTIONS", body=b"").replace(b"/UDP ", b"/TCP "))
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"SIP/2.0 200")
        writer.close()
        await writer.wait_closed()
        return
    second = bob.endpoint.listening[1].rpartition(":")[2]
    async with Wire(("127.0.0.1", int(second))) as wire:
        ours = wire.port
        # without rport the port in Via counts (RFC 3261), with it the one that it came from (RFC 3581)
        for via in (f"127.0.0.1:{ours}", "127.0.0.1:9;rport", f"127.0.0.1:{ours};maddr=127.0.0.77"):
            for method, status in (("OPTIONS", 200), ("BYE", 481)):
                request = re.sub(
                    rb"127.0.0.1:9;(.*);rport", rb"%b;\1" % via.encode(), invite(method=method, body=b"")
                )
                wire.send(request)
                answer = await wire.message()
                assert answer.status == status
                assert ";received=127.0.0.1" in answer.get("via")


async def test_a_body_of_another_kind_is_415(stations: Stations) -> None:
    bob = await stations()
    async with Wire(bob.address()) as wire:
        wire.send(invite(body=b"<xml/>").replace(b"application/sdp", b"application/xml"))
        answer = await wire.message(200)
        assert answer.status == 415
        assert answer.get("accept") == "application/sdp"
        wire.send(invite(headers="Require: telepathy\r\n"))
        answer = await wire.message(200)
        assert answer.status == 420
        assert answer.get("unsupported") == "telepathy"
        wire.send(invite(headers="Session-Expires: 30\r\nSupported: timer\r\n"))
        answer = await wire.message(200)
        assert answer.status == 422
        assert answer.get("min-se") == "90"
        assert bob.calls.empty()
        assert bob.endpoint.counters()["unacceptable"] == 3


async def test_a_description_in_a_multipart_body_is_found(stations: Stations) -> None:
    bob = await stations()
    parts = (
        b"--x\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x\r\nContent-Type: application/sdp\r\n\r\n" + GOOD
    )
    body = parts + b"\r\n--x--\r\n"
    async with Wire(bob.address()) as wire:
        wire.send(invite(body=body).replace(b"application/sdp", b'multipart/mixed;boundary="x"', 1))
        leg, _ = await bob.call()
        assert leg.offer == GOOD
        leg.reject(486)


@pytest.mark.parametrize(
    "body",
    [b"nonsense", GOOD.replace(b"m=audio", b"m=video"), b"v=0\r\n", GOOD[:40]],
    ids=["no SDP", "video alone", "cut short", "cut in a line"],
)
async def test_a_description_that_we_cannot_use_is_488(stations: Stations, body: bytes) -> None:
    bob = await stations()
    async with Wire(bob.address()) as wire:
        wire.send(invite(body=body))
        answer = await wire.message(200)
        assert answer.status == 488
        assert "session description" in answer.get("warning")
        assert bob.calls.empty()
        assert bob.endpoint.counters()["malformed_sdp"] == 1


async def answered(bob: Station, carol: Phone) -> tuple[Call, History]:
    call = await carol.call(bob.uri(), bob.address(), sdp=GOOD)
    leg, seen = await bob.call()
    leg.answer(answer_to(GOOD))
    call.acknowledge(await call.response(200))
    await seen.first(Confirmed)
    return call, seen


async def within(call: Call, method: str, *, body: bytes = b"", headers: Sequence[str] = ()) -> Message:
    """One more request in the dialog, and its final response."""
    call.cseq += 1
    number = f"{call.cseq} {method}"
    call.phone._send_request(
        method, call.target, call.peer, branch="z9hG4bK" + secrets.token_hex(6), from_=call.local,
        to=call.remote, call_id=call.call_id, cseq=call.cseq, sdp=body, headers=headers,
    )  # fmt: skip

    def finals() -> list[Message]:
        return [
            m for m in (*call.responses, *call.phone.other) if m.get("cseq") == number and m.status >= 200
        ]

    await until(finals)
    return finals()[0]


async def test_a_refresh_is_answered_here_and_a_change_by_the_application(
    stations: Stations, phones: Phones
) -> None:
    bob, carol = await stations(), await phones("carol")
    call, seen = await answered(bob, carol)
    (leg,) = bob.endpoint._legs.values()
    hold = GOOD.replace(b"sendrecv", b"sendonly")
    for method in ("INVITE", "UPDATE"):
        same = await within(call, method, body=GOOD.replace(b" 1 IN IP4", b" 2 IN IP4", 1))
        assert same.status == 200
        assert b"m=audio 42000 " in same.body
        if method == "INVITE":
            call._request("ACK", cseq=call.cseq)
    assert (await within(call, "UPDATE", body=hold)).status == 488  # nobody answers
    asked = asyncio.create_task(within(call, "INVITE", body=hold))
    assert (await seen.first(Reoffered)).sdp == hold
    leg.refuse_reoffer(488, warning="no")
    assert (await asked).status == 488
    leg.on_update = answer_to
    assert b"recvonly" in (await within(call, "UPDATE", body=hold)).body
    assert (await within(call, "UPDATE")).status == 200
    figures = bob.endpoint.counters()
    assert (figures["refreshed"], figures["reoffers_refused"], figures["updated"]) == (2, 2, 1)
    await call.hang_up()


@pytest.mark.parametrize("answer", [True, False])
async def test_a_reinvite_without_an_offer_is_answered_with_one(
    stations: Stations, phones: Phones, answer: bool
) -> None:
    bob, carol = await stations(), await phones("carol")
    call, seen = await answered(bob, carol)
    (leg,) = bob.endpoint._legs.values()
    asked = asyncio.create_task(within(call, "INVITE"))
    assert (await seen.first(Reoffered)).sdp is None
    assert not leg.reoffer(GOOD), "an offer while another is open"
    leg.accept_reoffer(GOOD)
    assert b"m=audio " in (await asked).body
    hold = GOOD.replace(b"sendrecv", b"sendonly")
    call._request("ACK", cseq=call.cseq, sdp=hold if answer else b"")
    if answer:
        assert (await seen.first(Reanswered)).sdp == hold
    else:
        assert (await seen.first(ReofferFailed)).status == 488
    assert leg.idle
    await call.hang_up()


async def test_a_200_to_a_reinvite_that_nobody_acknowledges_ends_the_call(
    stations: Stations, phones: Phones
) -> None:
    bob, carol = await stations(), await phones("carol")
    call, seen = await answered(bob, carol)
    (leg,) = bob.endpoint._legs.values()
    asked = asyncio.create_task(within(call, "INVITE", body=GOOD.replace(b"sendrecv", b"inactive")))
    await seen.first(Reoffered)
    leg.accept_reoffer(GOOD)
    assert (await asked).status == 200
    await call.request("BYE")
    await seen.first(Ended)


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (488, ()),
        (491, ()),
        (401, ('WWW-Authenticate: Digest realm="x", nonce="y"',)),
        (422, ("Min-SE: 9000",)),
    ],
)
async def test_a_reinvite_of_ours_that_is_refused_leaves_the_session(
    stations: Stations, phones: Phones, status: int, headers: tuple[str, ...]
) -> None:
    bob, carol = await stations(), await phones("carol")
    call, seen = await answered(bob, carol)
    (leg,) = bob.endpoint._legs.values()
    assert leg.reoffer(GOOD)
    assert not leg.reoffer(GOOD)
    request = await call.request("INVITE")
    call.reply(request, status, "No", headers=headers)
    if status == 422:  # it is repeated with the time that the peer wants
        request = await call.nth("INVITE", 2)
        assert request.get("session-expires").startswith("9000")
        call.reply(request, 200, "OK", sdp=GOOD)
        assert await seen.first(Reanswered) == Reanswered(GOOD)
    else:
        assert (await seen.first(ReofferFailed)).status == status
    await until(lambda: leg.idle)
    await call.hang_up()


async def test_what_calls_do_not_understand(stations: Stations, phones: Phones) -> None:
    bob, carol = await stations(), await phones("carol")
    call, seen = await answered(bob, carol)
    for method, status in (("OPTIONS", 200), ("DANCE", 501), ("SUBSCRIBE", 405)):
        assert (await within(call, method)).status == status
    asked = asyncio.create_task(within(call, "INFO", body=GOOD, headers=["X-A: 1\r\n 2"]))
    request = (await seen.first(Requested)).request
    assert (request.method, request.content.get("x-a"), request.content.body) == ("INFO", "1 2", GOOD)
    request.respond(299, "Fine", content_type="text/plain", body=b"x")
    request.respond(200)
    final = await asked
    assert (final.status, final.reason, final.body) == (299, "Fine", b"x")
    spoilt = await within(call, "REFER", headers=["Contact: <tel:1>", "Refer-To: <tel:1>"])
    assert spoilt.status == 400
    assert (await within(call, "PRACK", body=GOOD)).status == 400
    await call.hang_up()
    for method in ("INVITE", "UPDATE", "PRACK", "BYE"):
        assert (await within(call, method)).status in (200, 481)


async def test_an_update_before_our_offer_waits(stations: Stations, phones: Phones) -> None:
    """PJSIP would look into a negotiation that has not begun."""
    bob, carol = await stations(), await phones("carol")
    call = await carol.call(bob.uri(), bob.address(), sdp=b"")
    leg, _ = await bob.call()
    leg.ring()
    ringing = await call.response(180)
    call.remote, call.target = ringing.get("to"), bob.uri()
    assert (await within(call, "UPDATE", body=GOOD)).status == 491
    assert (await within(call, "UPDATE")).status == 491
    assert (await within(call, "PRACK", body=GOOD)).status in (200, 400)
    leg.reject(486)
    await until(lambda: any(m.status == 486 for m in call.responses))


async def test_reliable_provisional_responses(stations: Stations, phones: Phones) -> None:
    bob, carol = await stations(), await phones("carol")
    call = await carol.call(
        bob.uri(), bob.address(), sdp=GOOD, headers=["Supported: 100rel", "Require: 100rel"]
    )
    leg, seen = await bob.call()
    leg.ring(183, "", answer_to(GOOD))
    early = await call.response(183)
    assert early.get("require") == "100rel"
    assert early.body
    leg.answer(answer_to(GOOD))
    call.remote, call.target = early.get("to"), bob.uri()
    prack = await within(call, "PRACK", headers=[f"RAck: {early.get('rseq')} 1 INVITE"], body=GOOD)
    assert prack.status == 200
    final = await call.response(200)
    call.acknowledge(final)
    await seen.first(Confirmed)
    await call.hang_up()


async def test_a_reliable_response_that_nobody_acknowledges(stations: Stations, phones: Phones) -> None:
    bob, carol = await stations(), await phones("carol")
    call = await carol.call(bob.uri(), bob.address(), sdp=GOOD, headers=["Require: 100rel"])
    leg, seen = await bob.call()
    leg.ring(183, "", answer_to(GOOD))
    await until(lambda: seen.events)
    assert (await seen.first(Ended)).by == "timeout"
    assert (await call.response(300)).status == 500


async def callee(alice: Station, bob: Phone) -> tuple[OutgoingLeg, History, Call]:
    out, heard = alice.dial(bob.uri)
    return out, heard, await asyncio.wait_for(bob.incoming.get(), 5)


@BOTH
async def test_a_phone_that_rings_and_answers(stations: Stations, phones: Phones, transport: str) -> None:
    alice, bob = await stations(), await phones("bob", transport)
    out, heard, call = await callee(alice, bob)
    call.respond(100, "Trying")
    call.respond(180, "Ringing")
    assert await heard.first(Progress) == Progress(180, "Ringing", None)
    call.respond(183, "Early", sdp=GOOD)
    assert (await heard.first(Progress, 2)).sdp == GOOD
    call.respond(200, "Fine", sdp=GOOD)
    await call.request("ACK")
    assert await heard.first(Answered) == Answered(200, GOOD)
    call.respond(200, "Fine", sdp=GOOD)
    await until(lambda: len([m for m in call.requests if m.method == "ACK"]) >= 2)
    out.hang_up()
    bye = await call.request("BYE")
    bob._respond(bye, 200, "OK", call.peer)
    assert (await heard.first(Ended)).by == "local"


async def test_an_answer_without_a_description_ends_the_call(stations: Stations, phones: Phones) -> None:
    alice, bob = await stations(), await phones("bob")
    _, heard, call = await callee(alice, bob)
    call.respond(200, "OK")
    await call.request("ACK")
    bye = await call.request("BYE")
    bob._respond(bye, 200, "OK", call.peer)
    ended = await heard.first(Ended)
    assert (ended.status, ended.by) == (406, "remote")


def reply(request: Message, status: int, *, body: bytes = b"", headers: str = "", tag: str = "wire") -> bytes:
    """A response of a bare callee."""
    kind = "Content-Type: application/sdp\r\n" if body else ""
    return (
        f"SIP/2.0 {status} Whatever\r\n"
        f"Via: {request.get('via')}\r\n"
        f"From: {request.get('from')}\r\n"
        f"To: {request.get('to').partition(';tag=')[0]};tag={tag}\r\n"
        f"Call-ID: {request.get('call-id')}\r\n"
        f"CSeq: {request.get('cseq')}\r\n"
        f"{headers}{kind}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def contact(wire: Wire) -> str:
    return f"Contact: <sip:bob@127.0.0.1:{wire.port}>\r\n"


async def test_a_200_that_crosses_our_cancel_is_hung_up(stations: Stations) -> None:
    alice = await stations()
    async with Wire(alice.address()) as wire:
        out, heard = alice.dial(f"sip:bob@127.0.0.1:{wire.port}")
        invited = await wire.message()
        wire.send(reply(invited, 180, headers=contact(wire)))
        await heard.first(Progress)
        out.hang_up()
        cancel = await wire.message()
        assert cancel.method == "CANCEL"
        wire.send(reply(invited, 200, body=GOOD, headers=contact(wire)))
        wire.send(reply(cancel, 200))
        found = [await wire.message(), await wire.message()]
        assert [message.method for message in found] == ["ACK", "BYE"]
        wire.send(reply(found[1], 200))
        assert (await heard.first(Ended)).by == "local"
        assert heard.names == ["Progress", "Ended"]


async def test_one_bye_is_enough(stations: Stations, phones: Phones) -> None:
    alice, bob = await stations(), await phones("bob")
    out, heard, call = await callee(alice, bob)
    call.respond(200, "OK", sdp=GOOD)
    await heard.first(Answered)
    for _ in range(3):
        out.hang_up()
    await heard.first(Ended)
    assert len({message.get("cseq") for message in call.requests if message.method == "BYE"}) == 1


async def test_a_bye_that_nobody_answers_ends_the_leg(stations: Stations, phones: Phones) -> None:
    alice, bob = await stations(), await phones("bob")
    out, heard, call = await callee(alice, bob)
    call.respond(200, "OK", sdp=GOOD)
    await heard.first(Answered)
    out.hang_up()
    await call.request("BYE")
    assert (await heard.first(Ended)).by == "local"


async def test_a_callee_that_goes_silent_after_ringing_can_be_given_up(
    stations: Stations, phones: Phones
) -> None:
    alice, bob = await stations(), await phones("bob")
    out, heard, call = await callee(alice, bob)
    call.respond(180, "Ringing")
    await heard.first(Progress)
    out.hang_up()
    assert (await heard.first(Ended)).by == "local"


async def test_the_route_of_the_dialog_is_kept(stations: Stations, phones: Phones) -> None:
    alice, bob, proxy = await stations(), await phones("bob"), await phones("proxy")
    out, heard, call = await callee(alice, bob)
    route = f"<sip:{proxy.host}:{proxy.port};lr>"
    call.respond(200, "OK", sdp=GOOD, headers=[f"Record-Route: {route}"])
    await heard.first(Answered)
    out.hang_up()
    await until(lambda: any(m.method == "BYE" for m in proxy.other))
    ack, bye = proxy.other[:2]
    assert (ack.method, bye.method) == ("ACK", "BYE")
    assert bye.get("route") == route
    assert bye.request_uri == bob.uri
    proxy._respond(bye, 200, "OK", alice.address())
    assert (await heard.first(Ended)).by == "local"


@pytest.mark.parametrize("contact", ["tel:+15551230000", "mailto:bob@example.org", "sips:bob@127.0.0.1"])
async def test_a_contact_that_we_cannot_send_to(stations: Stations, phones: Phones, contact: str) -> None:
    """PJSIP asserts when the ACK cannot be sent."""
    alice, bob = await stations(), await phones("bob")
    out, heard, call = await callee(alice, bob)
    bob._contact = lambda: f"<{contact}>"  # type: ignore[method-assign]
    call.respond(200, "OK", sdp=GOOD)
    await asyncio.sleep(0.2)
    out.hang_up()
    await heard.first(Ended)


@pytest.mark.parametrize("first", ["udp", "tcp"])
async def test_a_contact_may_move_to_the_other_transport(
    stations: Stations, phones: Phones, first: str
) -> None:
    alice, bob = await stations(), await phones("bob", first)
    moved = await phones("bob", "tcp" if first == "udp" else "udp")
    out, heard, call = await callee(alice, bob)
    there = moved.uri if moved.transport == "tcp" else moved.uri + ";transport=udp"
    bob._contact = lambda: f"<{there}>"  # type: ignore[method-assign]
    call.respond(200, "OK", sdp=GOOD)
    await heard.first(Answered)
    out.hang_up()
    await until(lambda: any(m.method == "BYE" for m in moved.other))
    assert [m.method for m in moved.other][:2] == ["ACK", "BYE"]


async def test_two_callees_answer_one_forked_call(stations: Stations, phones: Phones) -> None:
    alice, bob = await stations(), await phones("bob")
    _, heard, call = await callee(alice, bob)
    call.respond(180, "Ringing")
    call.tag = "second"
    call.respond(183, "Early", sdp=GOOD)
    call.tag = "third"
    call.respond(200, "OK", sdp=GOOD)
    await heard.first(Answered)
    call.tag = "second"
    call.respond(200, "OK", sdp=GOOD)
    await asyncio.sleep(0.2)


@pytest.mark.parametrize(("status", "challenge"), [(401, "WWW-Authenticate"), (407, "Proxy-Authenticate")])
async def test_a_challenge_is_answered(stations: Stations, status: int, challenge: str) -> None:
    alice = await stations()
    proof = challenge.replace("WWW-Authenticate", "Authorization").replace("enticate", "orization").lower()
    asked = f'{challenge}: Digest realm="here", nonce="n1", qop="auth", algorithm=MD5\r\n'
    async with Wire(alice.address()) as wire:
        _, heard = alice.dial(f"sip:bob@127.0.0.1:{wire.port}", username="al", password='p"w')
        wire.send(reply(await wire.message(), status, headers=asked))
        assert (await wire.message()).method == "ACK"
        again = await wire.message()
        assert again.get("cseq") > ""
        assert again.body == OFFER
        fields = dict(re.findall(r'(\w+)="?([^",]*)"?', again.get(proof)))
        assert (fields["username"], fields["realm"]) == ("al", "here")
        assert fields["response"] == _digest("al", "here", 'p"w', again.request_uri, fields)
        wire.send(reply(again, 200, body=GOOD, headers=contact(wire)))
        assert (await wire.message()).method == "ACK"
        await heard.first(Answered)


async def test_wrong_credentials_end_the_call(stations: Stations) -> None:
    alice = await stations()
    asked = 'WWW-Authenticate: Digest realm="here", nonce="n1"\r\n'
    async with Wire(alice.address()) as wire:
        for more, attempts in (({}, 1), ({"username": "al", "password": "x"}, 2)):
            _, heard = alice.dial(f"sip:bob@127.0.0.1:{wire.port}", **more)
            for _ in range(attempts):
                wire.send(reply(await wire.message(), 401, headers=asked))
                assert (await wire.message()).method == "ACK"
            ended = await heard.first(Ended)
            assert (ended.status, ended.by) == (401, "remote")
        for asked in (
            "",
            "WWW-Authenticate: Negotiate x\r\n",
            'WWW-Authenticate: Digest realm="r", algorithm=X\r\n',
        ):
            _, heard = alice.dial(f"sip:bob@127.0.0.1:{wire.port}", username="al", password="x")
            wire.send(reply(await wire.message(), 401, headers=asked))
            assert (await heard.first(Ended)).by == "remote"
            assert (await wire.message()).method == "ACK"


@pytest.mark.parametrize(
    "challenge",
    ['realm=""', 'realm="r"', 'nonce="n"', 'realm="r", nonce="", qop="auth-int"', 'realm="r", stale=true'],
)
async def test_odd_challenges_are_survived(stations: Stations, challenge: str) -> None:
    alice = await stations()
    async with Wire(alice.address()) as wire:
        _, heard = alice.dial(f"sip:bob@127.0.0.1:{wire.port}", username="al", password="x")
        for _ in range(8):
            request = await wire.message()
            if request.method == "INVITE":
                wire.send(reply(request, 401, headers=f"WWW-Authenticate: Digest {challenge}\r\n"))
            if heard.events:
                break
        assert (await heard.first(Ended)).status == 401


def _digest(user: str, realm: str, password: str, uri: str, fields: dict[str, str]) -> str:
    def h(text: str) -> str:
        return md5(text.encode()).hexdigest()

    middle = f"{fields['nonce']}:{fields['nc']}:{fields['cnonce']}:auth"
    return h(f"{h(f'{user}:{realm}:{password}')}:{middle}:{h(f'INVITE:{uri}')}")
