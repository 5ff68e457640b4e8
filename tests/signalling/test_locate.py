"""RFC 3263 against a real DNS server of the test's own: NAPTR, SRV, addresses, caching, silence."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from forkproxy.signalling import dns, resolver
from forkproxy.signalling.dns import Dns, Srv
from forkproxy.signalling.locate import MOST, Destination, by_weight, transport_of
from forkproxy.signalling.resolver import Resolver
from forkproxy.signalling.uris import parse_uri
from tests.support.nameserver import Nameserver

RECORDS = {
    ("carrier.example", "NAPTR"): [
        '20 10 "s" "SIP+D2U" "" _sip._udp.carrier.example.',
        '10 10 "s" "SIPS+D2T" "" _sips._tcp.carrier.example.',
        '10 20 "s" "SIP+D2T" "" _sip._tcp.carrier.example.',
        '5 10 "u" "E2U+sip" "!^.*$!sip:x@y!" .',
    ],
    ("_sip._udp.carrier.example", "SRV"): ["10 0 5070 a.carrier.example."],
    ("_sip._tcp.carrier.example", "SRV"): ["20 0 5081 b.carrier.example.", "10 0 5080 a.carrier.example."],
    ("a.carrier.example", "A"): ["192.0.2.1"],
    ("b.carrier.example", "A"): ["192.0.2.3"],
    ("b.carrier.example", "AAAA"): ["2001:db8::3"],
    ("plain.example", "A"): ["192.0.2.9"],
    ("only-srv.example", "A"): ["192.0.2.8"],
    ("_sip._udp.only-srv.example", "SRV"): ["1 1 5071 plain.example."],
    ("_sip._tcp.none.example", "SRV"): ["0 0 0 ."],
    ("none.example", "A"): ["192.0.2.7"],
    ("_sip._udp.many.example", "SRV"): [f"{n} 0 {5000 + n} plain.example." for n in range(1, 60)],
}


async def where(uri: str, *supported: str, server: Nameserver | None = None) -> list[str]:
    async with server or Nameserver(RECORDS) as running:
        names = Resolver([running.address])
        found = await names.locate(parse_uri(uri), supported or ("udp", "tcp"))
        return [str(each) for each in found]


@pytest.mark.parametrize(
    ("uri", "supported", "found"),
    [
        ("sip:192.0.2.5", ("udp",), ["udp:192.0.2.5:5060"]),
        ("sip:a@[2001:db8::5]:5090;transport=tcp", ("tcp",), ["tcp:[2001:db8::5]:5090"]),
        ("sip:plain.example:5099", ("tcp",), ["udp:192.0.2.9:5099"]),
        (
            "sip:b.carrier.example:5099;transport=tcp",
            ("tcp",),
            ["tcp:192.0.2.3:5099", "tcp:[2001:db8::3]:5099"],
        ),
        ("sip:plain.example", ("udp", "tcp"), ["udp:192.0.2.9:5060"]),
        ("sip:only-srv.example", ("tcp", "udp"), ["udp:192.0.2.9:5071"]),
        ("sip:plain.example;transport=tcp", ("tcp",), ["tcp:192.0.2.9:5060"]),
        (
            "sip:carrier.example",
            ("udp", "tcp"),
            [
                *("tcp:192.0.2.1:5080", "tcp:192.0.2.3:5081", "tcp:[2001:db8::3]:5081"),
                "udp:192.0.2.1:5070",
            ],
        ),
        ("sip:carrier.example", ("udp",), ["udp:192.0.2.1:5070"]),
        ("sip:carrier.example;transport=udp", ("udp",), ["udp:192.0.2.1:5070"]),
        ("sip:nowhere.example", ("udp",), []),
    ],
)
async def test_where_a_uri_leads(uri: str, supported: tuple[str, ...], found: list[str]) -> None:
    assert await where(uri, *supported) == found


async def test_a_service_that_is_not_offered_is_not_used() -> None:
    assert await where("sip:none.example;transport=tcp") == ["tcp:192.0.2.7:5060"]


async def test_a_domain_with_very_many_servers_is_cut_short() -> None:
    assert len(await where("sip:many.example")) == MOST


def test_the_transport_that_a_uri_names() -> None:
    assert transport_of("sip:a@b;transport=TCP;lr") == "tcp"
    assert transport_of("sip:a@b?x=;transport=tcp") is None
    assert transport_of("sips:a@b") == "tls"


def test_priorities_first_then_chance_by_weight() -> None:
    records = [Srv(2, 0, 1, "last"), Srv(1, 0, 1, "never"), Srv(1, 90, 1, "mostly"), Srv(1, 10, 1, "seldom")]
    dice = random.Random(1)
    orders = [[each.host for each in by_weight(records, dice)] for _ in range(2000)]
    assert all(
        order[-1] == "last" and sorted(order) == sorted(each.host for each in records) for order in orders
    )
    first = Counter(order[0] for order in orders)
    assert 1700 < first["mostly"] < 1900
    assert 100 < first["seldom"] < 300
    assert first["never"] < 20


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_answers_hold_as_long_as_they_say() -> None:
    clock = Clock()
    async with Nameserver(RECORDS, ttl=60) as server:
        client = Dns([server.address], clock)
        for after in (0, 59, 2):
            clock.now += after
            assert await client.query("Plain.example.", "A") == ("192.0.2.9",)
        assert client.queries == 2
        assert await client.query("missing.example", "A") == ()
        assert await client.query("missing.example", "A") == ()
        assert client.queries == 3, "that there is none is remembered, too"
        clock.now += dns.MISSING
        await client.query("missing.example", "A")
        assert client.queries == 4


async def test_of_many_at_once_one_asks() -> None:
    async with Nameserver(RECORDS) as server:
        client = Dns([server.address])
        found = await asyncio.gather(*(client.query("plain.example", "A") for _ in range(50)))
        assert found == [("192.0.2.9",)] * 50
        assert server.asked[("plain.example", "A")] == 1
        # one that gives up does not take the answer from the others
        client = Dns([server.address])
        first = asyncio.create_task(client.query("plain.example", "A"))
        second = asyncio.create_task(client.query("plain.example", "A"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == ("192.0.2.9",)


async def test_an_old_answer_is_better_than_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns, "TIMEOUT", 0.1)
    clock = Clock()
    async with Nameserver(RECORDS) as server:
        client = Dns([server.address], clock)
        await client.query("plain.example", "A")
        server.silent = True
        clock.now += 61
        assert await client.query("plain.example", "A") == ("192.0.2.9",)
        asked = client.queries
        await client.query("plain.example", "A")
        assert client.queries == asked, "a silent server is not asked for every call"
        assert await client.query("other.example", "A") == ()
        clock.now += dns.STALE
        assert await client.query("plain.example", "A") == ()


@pytest.mark.parametrize("name", ["a" * 300, "a..b", "\udcff.example", "." * 5, ""])
async def test_names_that_are_none(name: str) -> None:
    async with Nameserver(RECORDS) as server:
        assert await Dns([server.address]).query(name, "A") == ()


async def test_a_machine_without_name_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(**_more: object) -> None:
        raise dns.dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.dns.asyncresolver, "Resolver", none)
    assert await Dns().query("plain.example", "A") == ()


async def test_hosts_goes_before_dns_and_is_read_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    hosts = tmp_path / "hosts"  # type: ignore[operator]
    hosts.write_text("192.0.2.44 Plain.example other # no.example\n::1 other\nnonsense line\n")
    monkeypatch.setattr(resolver, "HOSTS", hosts)
    names = Resolver()
    assert await names.resolve("plain.EXAMPLE") == ("192.0.2.44",)
    assert await names.resolve("other") == ("192.0.2.44", "::1")
    hosts.write_text("192.0.2.45 plain.example longer.example\n")
    assert await names.resolve("plain.example") == ("192.0.2.45",)


def test_destinations_are_shown_as_they_are() -> None:
    assert str(Destination("udp", "::1", 5060)) == "udp:[::1]:5060"
