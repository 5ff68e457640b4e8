"""Calls between two endpoints: every way that one begins, goes on and ends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from forkproxy.errors import SdpError, SignallingError
from forkproxy.model import Address
from forkproxy.signalling import IncomingLeg, Leg, TraceMessage, sdp
from forkproxy.signalling.events import Answered, Confirmed, Ended, LegEvent, Progress
from tests.signalling.support import OFFER, History, Station, answer_to, conversation

Stations = Callable[..., Awaitable[Station]]
BOTH = pytest.mark.parametrize("transport", ["udp", "tcp"])


@BOTH
async def test_a_call_is_answered_and_hung_up_by_the_caller(stations: Stations, transport: str) -> None:
    alice, bob = await stations(), await stations()
    out, heard = alice.dial(bob.uri("bob", transport), from_display="Alice", headers=[("X-Test", "one, two")])
    leg, seen = await bob.call()
    assert (leg.from_uri, leg.from_display, leg.from_user) == ("sip:alice@127.0.0.1", "Alice", "alice")
    assert leg.to_user == "bob"
    assert leg.request_uri.startswith("sip:bob@127.0.0.1:")
    assert leg.transport == transport
    assert leg.offer == OFFER
    assert ("X-Test", "one, two") in leg.headers
    assert leg.local_host == "127.0.0.1"
    assert out.call_id == leg.call_id != ""
    leg.ring()
    assert (await heard.first(Progress)) == Progress(180, "Ringing", None)
    answer = answer_to(leg.offer)
    leg.answer(answer)
    assert await heard.first(Answered) == Answered(200, answer)
    assert await seen.first(Confirmed) == Confirmed(None)
    out.hang_up()
    assert await seen.first(Ended) == Ended(200, "Normal call clearing", "remote")
    assert (await heard.first(Ended)).by == "local"
    assert heard.names == ["Progress", "Answered", "Ended"]
    assert seen.names == ["Confirmed", "Ended"]
    assert out.ended
    assert leg.ended


@BOTH
async def test_the_callee_hangs_up(stations: Stations, transport: str) -> None:
    alice, bob = await stations(), await stations()
    _, heard, leg, seen = await conversation(alice, bob, transport)
    leg.hang_up()
    leg.hang_up()
    assert await heard.first(Ended) == Ended(200, "Normal call clearing", "remote")
    assert (await seen.first(Ended)).by == "local"


@BOTH
async def test_early_media_stands_as_the_answer(stations: Stations, transport: str) -> None:
    alice, bob = await stations(), await stations()
    _, heard = alice.dial(bob.uri(transport=transport))
    leg, seen = await bob.call()
    assert leg.offer is not None
    early = answer_to(leg.offer)
    leg.ring(183, "Session Progress", early)
    assert await heard.first(Progress) == Progress(183, "Session Progress", early)
    leg.answer(sdp.make_answer(leg.offer, "127.0.0.9", 1, 2, ["PCMA"]))
    assert await heard.first(Answered) == Answered(200, early)
    await seen.first(Confirmed)


@pytest.mark.parametrize("status", [302, 404, 480, 486, 488, 503, 603])
async def test_a_refusal_reaches_the_caller(stations: Stations, status: int) -> None:
    alice, bob = await stations(), await stations()
    _, heard = alice.dial(bob.uri())
    leg, seen = await bob.call()
    leg.reject(status, "So ist es", [("Contact", "<sip:elsewhere@127.0.0.1>")] if status == 302 else ())
    assert await heard.first(Ended) == Ended(status, "So ist es", "remote")
    assert (await seen.first(Ended)).by == "local"
    assert (await seen.first(Ended)).status == status
    leg.answer(answer_to(OFFER))
    leg.ring()
    leg.reject(500)
    assert len(seen.events) == 1


async def test_hanging_up_an_unanswered_call_declines_it(stations: Stations) -> None:
    alice, bob = await stations(), await stations()
    _, heard = alice.dial(bob.uri())
    leg, _ = await bob.call()
    leg.hang_up()
    assert (await heard.first(Ended)).status == 603


@BOTH
@pytest.mark.parametrize("ringing", [True, False])
async def test_the_caller_cancels(stations: Stations, transport: str, ringing: bool) -> None:
    alice, bob = await stations(), await stations()
    out, heard = alice.dial(bob.uri(transport=transport))
    leg, seen = await bob.call()
    if ringing:
        leg.ring()
        await heard.first(Progress)
    out.hang_up()
    assert await seen.first(Ended) == Ended(487, "Request Terminated", "remote")
    assert await heard.first(Ended) == Ended(487, "Request Terminated", "local")


async def test_a_leg_hung_up_at_once_is_cancelled_once_it_can_be(stations: Stations) -> None:
    alice, bob = await stations(), await stations()
    out, heard = alice.dial(bob.uri())
    out.hang_up()
    out.hang_up()
    assert (await heard.first(Ended)).by == "local"
    _, seen = await bob.call()
    assert (await seen.first(Ended)).status == 487


async def test_events_never_come_from_within_a_method(stations: Stations) -> None:
    alice, bob = await stations(), await stations()
    busy = False

    def listen(leg: Leg, event: LegEvent) -> None:
        assert not busy
        history(leg, event)

    history = History()
    alice.dial(bob.uri(), on_event=listen)
    leg, _ = await bob.call()
    leg.on_event = listen
    busy = True
    leg.ring()
    leg.reject(486)
    busy = False
    assert not history.events
    await history.first(Ended, 2)


async def test_a_listener_that_fails_ends_its_leg_only(
    stations: Stations, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob = await stations(), await stations()

    def broken(leg: Leg, event: LegEvent) -> None:
        raise RuntimeError("broken listener")

    alice.dial(bob.uri(), on_event=broken)
    leg, seen = await bob.call()
    leg.ring()
    assert (await seen.first(Ended)).status == 487
    assert "broken listener" in caplog.text
    await conversation(alice, bob)


async def test_on_invite_that_fails_is_a_500(stations: Stations, caplog: pytest.LogCaptureFixture) -> None:
    alice, bob = await stations(), await stations()

    def broken(leg: IncomingLeg) -> None:
        raise RuntimeError("broken application")

    bob.endpoint._on_invite = broken
    _, heard = alice.dial(bob.uri())
    assert (await heard.first(Ended)).status == 500
    assert "broken application" in caplog.text


async def test_a_peer_that_is_not_there(stations: Stations) -> None:
    alice, gone = await stations(), await stations()
    uri = gone.uri()
    tcp = gone.uri(transport="tcp")
    await gone.endpoint.close()
    _, heard = alice.dial(uri)
    assert (await heard.first(Ended)) == Ended(408, "Request Timeout", "timeout")
    _, heard = alice.dial(tcp)
    ended = await heard.first(Ended)
    assert (ended.status, ended.by) == (503, "transport")


async def test_a_name_that_resolves_and_one_that_does_not(stations: Stations) -> None:
    alice, bob = await stations(), await stations()
    out, heard = alice.dial(bob.uri().replace("127.0.0.1", "localhost"))
    leg, _ = await bob.call()
    leg.reject(486)
    assert (await heard.first(Ended)).status == 486
    assert out.local_host == "127.0.0.1"
    _, heard = alice.dial("sip:bob@nobody.invalid")
    assert (await heard.first(Ended)).status == 502
    out, heard = alice.dial("sip:bob@nobody-else.invalid")
    out.hang_up()
    assert await heard.first(Ended) == Ended(487, "Request Terminated", "local")
    await asyncio.sleep(0.3)
    assert len(heard.events) == 1


@pytest.mark.parametrize(
    "uri",
    [
        "bob@127.0.0.1",
        "sips:bob@127.0.0.1",
        "sips:bob@127.0.0.1;transport=udp",
        "sip:bob@127.0.0.1;transport=tls",
        "sip:bob@127.0.0.1:99999",
        "sip:bob@127.0.0.1\r\nX: y",
        "sip:bob@host name",
        "sip:bob@127.0.0.1?Route=%3Csip:evil%3E",
        "sip:bob@127.0.0.1?X-A=1%0d%0aVia:x",
        "tel:+15551230000",
        "sip:" + "b" * 2000 + "@127.0.0.1",
    ],
)
async def test_uris_that_cannot_be_dialled(stations: Stations, uri: str) -> None:
    alice = await stations()
    with pytest.raises(SignallingError):
        alice.dial(uri)
    assert alice.endpoint.counters()["legs"] == 0


async def test_what_cannot_be_sent_is_refused(stations: Stations) -> None:
    alice = await stations("udp://127.0.0.1:0")
    uri = alice.uri()
    for bad in (("X-A", "b\r\nVia: x"), ("X A", "b"), ("Via", "x"), ("X-A", "a\nb"), ("X-A\r\n", "b")):
        with pytest.raises(SignallingError):
            alice.dial(uri, headers=[bad])
    with pytest.raises(SignallingError):
        alice.dial(uri, from_uri="sip:a@b\r\nX: y")
    with pytest.raises(SdpError):
        alice.dial(uri, sdp=b"no description")
    with pytest.raises(SignallingError, match="needs a tcp:// listen address"):
        alice.dial(uri + ";transport=tcp")


async def test_a_display_name_cannot_break_out(stations: Stations) -> None:
    alice, bob = await stations(), await stations()
    alice.dial(bob.uri(), from_display='"<sip:evil@x>;tag=1\r\nX-Evil: yes\\', to_display="B\x00b")
    leg, _ = await bob.call()
    assert leg.from_uri == "sip:alice@127.0.0.1"
    assert leg.from_display == "<sip:evil@x>;tag=1X-Evil: yes"
    assert "x-evil" not in {name.lower() for name, _ in leg.headers}
    leg.reject(486)


async def test_headers_of_a_uri_become_headers(stations: Stations) -> None:
    alice, bob = await stations(), await stations()
    alice.dial(bob.uri() + "?X-Order=12%2034&x-b=c", max_forwards=7)
    leg, _ = await bob.call()
    assert {("X-Order", "12 34"), ("x-b", "c")} <= set(leg.headers)
    assert "?" not in leg.request_uri
    assert leg.max_forwards == 7
    leg.reject(486)


async def test_a_call_in_a_circle_ends(stations: Stations) -> None:
    alice, bob = await stations(), await stations()
    _, heard = alice.dial(bob.uri(), max_forwards=0)
    assert (await heard.first(Ended)).status == 483
    assert bob.endpoint.counters()["too_many_hops"] == 1


async def test_draining_refuses_new_calls_and_keeps_the_old(stations: Stations) -> None:
    alice, bob = await stations(), await stations()
    out, _, _, seen = await conversation(alice, bob)
    bob.endpoint.accepting = False
    _, heard = alice.dial(bob.uri())
    assert (await heard.first(Ended)).status == 503
    assert bob.endpoint.counters()["refused_draining"] == 1
    out.hang_up()
    await seen.first(Ended)
    bob.endpoint.accepting = True
    await conversation(alice, bob)


async def test_strangers_are_refused(stations: Stations) -> None:
    asked: list[Address] = []

    def admit(address: Address) -> bool:
        asked.append(address)
        return False

    alice, bob = await stations(), await stations(admit=admit)
    _, heard = alice.dial(bob.uri())
    assert (await heard.first(Ended)).status == 403
    assert asked == [Address(*alice.address())]
    assert bob.endpoint.counters()["refused"] == 1
    assert bob.endpoint.counters()["calls_in"] == 0


async def test_admit_that_fails_is_a_500(stations: Stations, caplog: pytest.LogCaptureFixture) -> None:
    def broken(address: Address) -> bool:
        raise RuntimeError("broken admission")

    alice, bob = await stations(), await stations(admit=broken)
    _, heard = alice.dial(bob.uri())
    assert (await heard.first(Ended)).status == 500
    assert "broken admission" in caplog.text


async def test_close_ends_every_leg(stations: Stations) -> None:
    alice, bob = await stations(), await stations()
    _, heard, _, seen = await conversation(alice, bob)
    _, ringing = alice.dial(bob.uri())
    await bob.call()
    await bob.endpoint.close()
    assert (await heard.first(Ended)).by == "remote"
    assert (await seen.first(Ended)).by == "local"
    assert (await ringing.first(Ended)).status == 603
    await bob.endpoint.close()


async def test_a_new_endpoint_takes_the_place_of_a_closed_one(stations: Stations) -> None:
    for _ in range(3):
        alice, bob = await stations(), await stations()
        out, _, _, seen = await conversation(alice, bob)
        out.hang_up()
        await seen.first(Ended)
        await alice.endpoint.close()
        await bob.endpoint.close()


async def test_a_port_that_is_taken_is_named(stations: Stations) -> None:
    alice = await stations("tcp://127.0.0.1:0", "udp://127.0.0.1:0")
    for scheme in ("tcp", "udp"):
        url = f"{scheme}://127.0.0.1:{alice.address(scheme)[1]}"
        with pytest.raises(SignallingError, match=re.escape(url)):
            await stations("udp://127.0.0.1:0", url)


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:5060",
        "tls://127.0.0.1:5061",
        "ws://127.0.0.1:80",
        "udp://sip.example:5060",
        "udp://127.0.0.1:70000",
        "udp://",
    ],
)
async def test_listen_urls_that_are_none(url: str) -> None:
    with pytest.raises(SignallingError, match=re.escape(url)):
        Station(url)


async def test_what_peers_are_told_when_advertised(stations: Stations) -> None:
    alice = await stations("udp://127.0.0.1:0", "tcp://127.0.0.1:0", advertise="sip.example:5099")
    bob = await stations()
    messages: list[TraceMessage] = []
    alice.endpoint.set_trace(messages.append)
    out, heard = alice.dial(bob.uri())
    leg, _ = await bob.call()
    assert out.local_host == "sip.example"
    headers = dict(leg.headers)
    assert headers["Contact"] == "<sip:sip.example:5099>"
    assert headers["Via"].startswith("SIP/2.0/UDP sip.example:5099;")
    leg.reject(486)
    await heard.first(Ended)
    assert [(message.sent, message.transport) for message in messages][:2] == [(True, "udp"), (False, "udp")]
    assert messages[0].data.startswith(b"INVITE ")
    assert messages[0].remote == Address(*bob.address())
    alice.endpoint.set_trace(None)
    count = len(messages)
    alice.dial(bob.uri())
    (leg, _) = await bob.call()
    leg.reject(486)
    assert len(messages) == count


async def test_a_wildcard_address_is_never_told(stations: Stations) -> None:
    alice = await stations("udp://0.0.0.0:0", "tcp://0.0.0.0:0")
    bob = await stations("udp://0.0.0.0:0", "tcp://0.0.0.0:0")
    for transport in ("udp", "tcp"):
        uri = bob.uri(transport=transport).replace("0.0.0.0", "127.0.0.1")
        out, heard = alice.dial(uri)
        leg, seen = await bob.call()
        assert out.local_host == leg.local_host == "127.0.0.1"
        assert "0.0.0.0" not in str(leg.headers)
        leg.answer(answer_to(OFFER))
        await heard.first(Answered)
        await seen.first(Confirmed)
        leg.hang_up()
        await heard.first(Ended)


async def test_ipv6(stations: Stations) -> None:
    alice, bob = (
        await stations("udp://[::1]:0", "tcp://[::1]:0"),
        await stations("udp://[::1]:0", "tcp://[::1]:0"),
    )
    for transport in ("udp", "tcp"):
        out, heard = alice.dial(bob.uri(transport=transport), from_uri="sip:alice@[::1]")
        leg, seen = await bob.call()
        assert leg.remote.host == leg.local_host == out.local_host == "::1"
        leg.answer(answer_to(OFFER))
        await heard.first(Answered)
        await seen.first(Confirmed)
        leg.hang_up()
        await heard.first(Ended)


async def test_several_listeners_each_answer_for_themselves(stations: Stations) -> None:
    alice = await stations("udp://127.0.0.1:0")
    bob = await stations("udp://127.0.0.1:0", "udp://127.0.0.2:0", "tcp://127.0.0.1:0")
    for listening in bob.endpoint.listening[:2]:
        address = listening.partition(":")[2]
        _, heard = alice.dial(f"sip:bob@{address}")
        leg, seen = await bob.call()
        assert leg.local_host == address.partition(":")[0]
        leg.answer(answer_to(OFFER))
        await heard.first(Answered)
        await seen.first(Confirmed)
        leg.hang_up()
        await heard.first(Ended)


async def test_every_counter_is_explained(stations: Stations) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sip.md").read_text()
    named = set(re.findall(r"`(\w+)`", page))
    for name in (await stations()).endpoint.counters():
        assert name in named or name.removeprefix("malformed_") in named, (
            f"docs/sip.md does not explain {name}"
        )
