"""Trunks at work against carriers that a test plays: registering, probing, limits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from forkproxy.signalling import carriers as module
from forkproxy.signalling.carriers import Carriers
from forkproxy.signalling.driver import driver
from forkproxy.signalling.events import Ended
from forkproxy.signalling.resolver import Resolver
from forkproxy.signalling.trunks import Trunk
from tests.signalling.support import Station, until
from tests.support.carrier import Carrier, Guarded
from tests.support.nameserver import Nameserver
from tests.support.sip import Message

Stations = Callable[..., Awaitable[Station]]
Working = Callable[..., Awaitable[Carriers]]


@pytest.fixture(autouse=True)
def own_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver(), "resolver", Resolver())


@pytest.fixture
async def working(stations: Stations) -> AsyncIterator[Working]:
    made: list[Carriers] = []

    async def start(*trunks: Trunk, station: Station | None = None) -> Carriers:
        station = station or await stations()
        made.append(Carriers(station.endpoint, trunks, retry=0.05))
        made[-1].start()
        return made[-1]

    yield start
    for each in made:
        await each.close()


def trunk(carrier: Carrier, **more: object) -> Trunk:
    settings = {"name": "carrier", "register": True, "username": "acme", "user": "acme", "password": "secret"}
    return Trunk(address=carrier.uri, **(settings | more))  # type: ignore[arg-type]


def registers(request: Message) -> tuple[int, list[str]]:
    return 200, [f"Contact: {request.get('contact')};expires=2", "Expires: 900"]


def state(working: Carriers) -> str:
    return str(working.describe()[0]["registration"]["state"])


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_it_registers_refreshes_and_unregisters(working: Working, algorithm: str) -> None:
    guard = Guarded(algorithm, "secret", registers)
    async with Carrier(guard) as carrier:
        trunks = await working(trunk(carrier, domain="us.example"))
        await until(lambda: state(trunks) == "registered")
        assert trunks.figures()["trunk_registered"] == {"carrier": 1.0}
        (entry,) = trunks.describe()
        assert entry["registration"]["expires_in"] <= 2
        guard.nonce = "another"  # the old one is stale: it is asked anew, and goes on
        await until(lambda: len(carrier.of("REGISTER")) >= 4)
        assert guard.wrong == 0
        await trunks.close()
        first, *_, last = carrier.of("REGISTER")
        assert first.request_uri == carrier.uri
        assert first.get("to") == "<sip:acme@us.example>"
        assert first.get("contact").startswith("<sip:acme@127.0.0.1:")
        assert first.get("expires") == "3600"
        assert last.get("expires") == "0"
        assert len({each.get("call-id") for each in carrier.of("REGISTER")}) == 1
        numbers = [int(each.get("cseq").split()[0]) for each in carrier.of("REGISTER")]
        assert numbers == list(range(1, len(numbers) + 1))


async def test_a_wrong_password_is_not_tried_for_ever(
    working: Working, caplog: pytest.LogCaptureFixture
) -> None:
    guard = Guarded("MD5", "other", registers)
    async with Carrier(guard) as carrier:
        trunks = await working(trunk(carrier))
        await until(lambda: trunks.describe()[0]["registration"]["failures"] >= 2)
        assert guard.wrong == trunks.describe()[0]["registration"]["failures"], "carriers lock accounts"
        assert trunks.describe()[0]["registration"]["status"] == 401
        assert trunks.figures()["trunk_registered"] == {"carrier": 0.0}
        told = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert "registering failed" in told[0].getMessage()
        assert "other" not in caplog.text
        assert "secret" not in caplog.text


async def test_another_address_registers_when_one_is_silent(
    stations: Stations, working: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER", 0.2)
    async with Carrier(lambda request: None) as silent, Carrier(registers) as carrier:
        records = {
            ("_sip._udp.carrier.example", "SRV"): [
                f"1 0 {silent.port} host.example.",
                f"2 0 {carrier.port} host.example.",
            ],
            ("host.example", "A"): ["127.0.0.1"],
        }
        async with Nameserver(records) as names:
            station = await stations(nameservers=[names.address])
            line = Trunk("carrier", address="sip:carrier.example", register=True, user="acme")
            trunks = await working(line, station=station)
            await until(lambda: state(trunks) == "registered")
        assert silent.requests
        (register,) = carrier.of("REGISTER")
        assert register.request_uri == "sip:carrier.example"
        assert register.get("to") == "<sip:acme@carrier.example>"
        entry = trunks.describe()[0]
        assert [each["up"] for each in entry["destinations"]] == [False, True]
        assert entry["up"]


async def test_a_carrier_that_cannot_be_found(working: Working) -> None:
    async with Nameserver({}) as names:
        driver().resolver = Resolver([names.address])
        trunks = await working(Trunk("a", address="sip:nowhere.example", register=True, user="u", health=0.1))
        await until(lambda: trunks.describe()[0]["registration"]["failures"] >= 2)
        assert trunks.describe()[0]["registration"]["status"] == 502


async def test_probes_say_who_is_up(working: Working) -> None:
    answers = {"status": 404}
    async with Carrier(lambda request: (answers["status"], [])) as carrier:
        trunks = await working(trunk(carrier, register=False, health=0.05))
        await until(lambda: len(carrier.of("OPTIONS")) >= 2)
        assert trunks.up("carrier"), "any answer shows that somebody is there"
        answers["status"] = 503
        await until(lambda: not trunks.up("carrier"))
        assert trunks.figures()["trunk_up"] == {"carrier": 0.0}
        answers["status"] = 200
        await until(lambda: trunks.up("carrier"))


async def test_calls_find_out_by_themselves_who_is_down(stations: Stations, working: Working) -> None:
    """Without probes, too, the next call takes the next trunk first."""
    async with Carrier(lambda request: (503, [])) as carrier:
        records = {
            ("_sip._udp.carrier.example", "SRV"): [f"1 0 {carrier.port} host.example."],
            ("host.example", "A"): ["127.0.0.1"],
        }
        async with Nameserver(records) as names:
            station = await stations(nameservers=[names.address])
            trunks = await working(Trunk("carrier", address="sip:carrier.example"), station=station)
            assert trunks.up("carrier")
            assert trunks.describe()[0]["destinations"] == []
            _, history = station.dial("sip:bob@Carrier.example")
            await history.first(Ended)
        assert not trunks.up("carrier")
        entry = trunks.describe()[0]
        assert entry["destinations"] == [{"address": f"udp:127.0.0.1:{carrier.port}", "up": False}]


async def test_limits_hold_over_a_change_of_the_trunk(working: Working) -> None:
    line = Trunk("a", address="sip:127.0.0.1:9", max_calls=2)
    trunks = await working(line)
    first, second = trunks.take("a"), trunks.take("a")
    assert first is not None
    assert second is not None
    assert trunks.take("a") is None
    trunks.update([Trunk("a", address="sip:127.0.0.1:9", max_calls=3)])
    third = trunks.take("a")
    assert third is not None
    assert trunks.take("a") is None
    first()
    first()
    assert trunks.take("a") is not None
    assert trunks.take("a") is None, "a call that ended twice made room twice"
    assert trunks.figures()["trunk_calls"] == {"a": 3.0}
    assert trunks.figures()["trunk_refused"] == {"a": 3.0}
    assert trunks.take("none such") is not None


async def test_a_change_registers_anew_and_a_trunk_that_goes_unregisters(working: Working) -> None:
    async with Carrier(registers) as carrier, Carrier(registers) as other:
        line = trunk(carrier)
        trunks = await working(line, trunk(other, name="other"))
        trunks.update([line])
        trunks.update([line])
        await until(lambda: state(trunks) == "registered")
        sent = len(carrier.of("REGISTER"))
        trunks.update([trunk(carrier, user="else")])
        await until(lambda: len(carrier.of("REGISTER")) > sent)
        assert "else@" in carrier.of("REGISTER")[-1].get("to")
        trunks.update([])
        await until(lambda: carrier.of("REGISTER")[-1].get("expires") == "0")
        assert other.of("REGISTER")[-1].get("expires") == "0", "though its answer had not been heard yet"


async def test_a_stop_does_not_wait_for_a_carrier_that_is_gone(
    working: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAVING", 0.1)
    async with Carrier(registers) as carrier:
        trunks = await working(trunk(carrier))
        await until(lambda: state(trunks) == "registered")
        carrier.answer = lambda request: None
        async with asyncio.timeout(2):
            await trunks.close()
