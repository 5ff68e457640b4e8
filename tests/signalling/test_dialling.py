"""Outgoing calls go on to the next destination where one fails, and nowhere else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from forkproxy.signalling import dialling, sdp
from forkproxy.signalling.driver import driver
from forkproxy.signalling.events import Answered, Confirmed, Ended, Progress
from forkproxy.signalling.locate import Destination
from forkproxy.signalling.resolver import Resolver
from tests.signalling.support import Station, answer_to, until
from tests.support.carrier import Carrier, Guarded
from tests.support.nameserver import Nameserver
from tests.support.sip import Message

Stations = Callable[..., Awaitable[Station]]


@pytest.fixture(autouse=True)
def own_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver(), "resolver", Resolver())


def servers(*ports: int, transport: str = "udp") -> dict[tuple[str, str], list[str]]:
    """A domain whose servers are tried in this order."""
    return {
        (f"_sip._{transport}.carrier.example", "SRV"): [
            f"{number} 0 {port} host.carrier.example." for number, port in enumerate(ports)
        ],
        ("host.carrier.example", "A"): ["127.0.0.1"],
    }


async def dialled(
    stations: Stations, *ports: int, transport: str = "udp", **more: object
) -> tuple[Station, Ended | Answered, list[str]]:
    """A call to the domain, and how it came out; an answered one is hung up."""
    async with Nameserver(servers(*ports, transport=transport)) as names:
        station = await stations(nameservers=[names.address])
        tail = "" if transport == "udp" else f";transport={transport}"
        leg, history = station.dial(f"sip:bob@carrier.example{tail}", **more)
        await until(lambda: any(isinstance(each, (Ended, Answered)) for each in history.events))
        outcome = next(each for each in history.events if isinstance(each, (Ended, Answered)))
        if isinstance(outcome, Answered):
            leg.hang_up()
        await history.first(Ended)
        return station, outcome, history.names


async def answering(stations: Stations, *listen: str) -> tuple[Station, asyncio.Task[None]]:
    station = await stations(*listen)

    async def take() -> None:
        leg, seen = await station.call()
        assert leg.offer is not None
        leg.answer(answer_to(leg.offer))
        await seen.first(Confirmed)

    return station, asyncio.create_task(take())


async def test_503_goes_on_and_the_uri_stays_the_domains(stations: Stations) -> None:
    callee, taking = await answering(stations)
    async with Carrier(lambda request: (503, [])) as busy:
        station, outcome, names = await dialled(stations, busy.port, callee.address()[1])
        await taking
        (invite,) = busy.of("INVITE")
        assert invite.request_uri == "sip:bob@carrier.example"
        assert len(busy.of("ACK")) == 1
    assert isinstance(outcome, Answered)
    assert names == ["Answered", "Ended"], "nothing is told of the first"
    assert station.endpoint.counters()["failed_over"] == 1
    assert station.endpoint.counters()["calls_out"] == 1
    now = asyncio.get_running_loop().time()
    assert station.endpoint.health.is_down(Destination("udp", "127.0.0.1", busy.port), now)


async def test_silence_goes_on(stations: Stations) -> None:
    callee, taking = await answering(stations)
    async with Carrier(lambda request: None) as silent:
        _, outcome, _ = await dialled(stations, silent.port, callee.address()[1], patience=0.2)
        await taking
        sent = len(silent.requests)
        await asyncio.sleep(0.3)
        assert len(silent.requests) == sent, "the INVITE that was given up is not repeated"
    assert isinstance(outcome, Answered)


@pytest.mark.parametrize(("late", "answered_with"), [(180, "CANCEL"), (200, "BYE")])
async def test_a_late_response_rings_nobody_for_nothing(
    stations: Stations, late: int, answered_with: str
) -> None:
    async with (
        Carrier(lambda request: None) as silent,
        Carrier(lambda request: (486, [])) as other,
        Nameserver(servers(silent.port, other.port)) as names,
    ):
        station = await stations(nameservers=[names.address])
        _, history = station.dial("sip:bob@carrier.example", patience=0.1)
        assert (await history.first(Ended)).status == 486
        sdp = answer_to(silent.requests[0].body)
        silent.respond(silent.requests[0], late, [f"Contact: <{silent.uri}>"], sdp if late == 200 else b"")
        await until(lambda: silent.of(answered_with))
        silent.respond(silent.of(answered_with)[0], 200)
        if late == 180:
            silent.respond(silent.requests[0], 487)
        await until(lambda: silent.of("ACK"))
        assert history.names == ["Ended"], "nothing more is told"


async def test_100_is_an_answer(stations: Stations) -> None:
    async with (
        Carrier(lambda request: (100, []) if request.method == "INVITE" else (200, [])) as slow,
        Carrier(lambda request: (486, [])) as other,
        Nameserver(servers(slow.port, other.port)) as names,
    ):
        station = await stations(nameservers=[names.address])
        leg, history = station.dial("sip:bob@carrier.example", patience=0.2)
        await until(lambda: slow.requests)
        await asyncio.sleep(0.5)
        assert not history.events
        leg.hang_up()
        await until(lambda: slow.of("CANCEL"))
        slow.respond(slow.requests[0], 487)
        await history.first(Ended)
        assert not other.requests, "a call that was hung up goes nowhere else"


async def test_a_refused_connection_goes_on(stations: Stations) -> None:
    callee, taking = await answering(stations)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        _, outcome, _ = await dialled(stations, port, callee.address("tcp")[1], transport="tcp")
    await taking
    assert isinstance(outcome, Answered)


async def test_a_connection_that_does_not_come_about_goes_on(stations: Stations) -> None:
    """The listener's queue is full: the kernel lets connections hang."""
    callee, taking = await answering(stations)
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        _, outcome, _ = await dialled(
            stations, full.getsockname()[1], callee.address("tcp")[1], transport="tcp", patience=0.3
        )
    await taking
    assert isinstance(outcome, Answered)


@pytest.mark.parametrize("status", [486, 404, 500, 603])
async def test_a_refusal_is_final(stations: Stations, status: int) -> None:
    async with Carrier(lambda request: (status, [])) as refusing, Carrier(lambda request: (200, [])) as other:
        _, outcome, _ = await dialled(stations, refusing.port, other.port)
        assert isinstance(outcome, Ended)
        assert outcome.status == status
        assert not other.requests


async def test_after_180_a_call_goes_nowhere_else(stations: Stations) -> None:
    def rings(request: Message) -> tuple[int, list[str]]:
        return 180, [f"Contact: <{first.uri}>"]

    async with Carrier(rings) as first, Carrier(lambda request: (200, [])) as other:
        async with Nameserver(servers(first.port, other.port)) as names:
            station = await stations(nameservers=[names.address])
            _, history = station.dial("sip:bob@carrier.example")
            await history.first(Progress)
            first.answer = lambda request: (503, [])
            first.respond(first.requests[0], 503)
            assert (await history.first(Ended)).status == 503
        assert not other.requests


async def test_when_all_fail_the_last_one_is_told(stations: Stations) -> None:
    async with Carrier(lambda request: (503, [])) as one, Carrier(lambda request: (408, [])) as two:
        _, outcome, names = await dialled(stations, one.port, two.port)
    assert isinstance(outcome, Ended)
    assert (outcome.status, outcome.by, names) == (408, "remote", ["Ended"])


async def test_a_single_address_has_its_time_and_no_more_with_patience(
    stations: Stations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialling, "PATIENCE", 0.01)
    async with Carrier(lambda request: None) as silent:
        station = await stations()
        _, slow = station.dial(f"sip:bob@127.0.0.1:{silent.port}")
        _, quick = station.dial(f"sip:bob@127.0.0.1:{silent.port}", patience=0.05)
        ended = await quick.first(Ended)
        assert (ended.status, slow.events) == (408, []), "without patience it is SIP's timer that ends it"
        assert (await slow.first(Ended)).by == "timeout"


async def test_what_was_down_is_tried_last(stations: Stations) -> None:
    async with Carrier(lambda request: (486, [])) as one, Carrier(lambda request: (486, [])) as two:
        async with Nameserver(servers(one.port, two.port)) as names:
            station = await stations(nameservers=[names.address])
            now = asyncio.get_running_loop().time()
            station.endpoint.health.bad(Destination("udp", "127.0.0.1", one.port), now)
            _, history = station.dial("sip:bob@carrier.example")
            await history.first(Ended)
        assert not one.requests
        assert two.requests


async def test_nowhere_to_go(stations: Stations) -> None:
    async with Nameserver({("v6.example", "AAAA"): ["2001:db8::1"]}) as names:
        station = await stations("udp://127.0.0.1:0", nameservers=[names.address])
        for uri, why in (("sip:a@none.example", "cannot be resolved"), ("sip:a@v6.example", "no listener")):
            _, history = station.dial(uri)
            ended = await history.first(Ended)
            assert ended.status == 502
            assert why in ended.reason


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_a_challenge_is_answered_at_the_same_destination(stations: Stations, algorithm: str) -> None:
    guard = Guarded(algorithm, "secret", lambda request: (486, []))
    async with Carrier(guard) as carrier, Carrier(lambda request: (486, [])) as other:
        _, outcome, _ = await dialled(stations, carrier.port, other.port, username="u", password="secret")
        assert len(carrier.of("INVITE")) == 2
        assert not other.requests
    assert isinstance(outcome, Ended)
    assert (outcome.status, guard.wrong) == (486, 0)


async def test_each_destination_gets_an_offer_with_our_address_for_its_family(stations: Stations) -> None:
    callee, taking = await answering(stations, "udp://[::1]:0")
    asked: list[str] = []

    def offer(peer: str) -> bytes:
        asked.append(peer)
        return sdp.offer("::1" if ":" in peer else "127.0.0.1", 40000, 40001)

    async with Carrier(lambda request: (503, [])) as busy:
        records = {
            ("_sip._udp.carrier.example", "SRV"): [
                f"1 0 {busy.port} four.carrier.example.",
                f"2 0 {callee.address()[1]} six.carrier.example.",
            ],
            ("four.carrier.example", "A"): ["127.0.0.1"],
            ("six.carrier.example", "AAAA"): ["::1"],
        }
        async with Nameserver(records) as names:
            station = await stations("udp://127.0.0.1:0", "udp://[::1]:0", nameservers=[names.address])
            leg, history = station.dial("sip:bob@carrier.example", sdp_for=offer)
            await history.first(Answered)
            await taking
            leg.hang_up()
            await history.first(Ended)
        assert b"c=IN IP4 127.0.0.1" in busy.of("INVITE")[0].body
    assert asked == ["127.0.0.1", "::1"]
