"""Who may call in."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from forkproxy.model import Address
from forkproxy.signalling.access import LOGGED, REMEMBERED, Access
from forkproxy.signalling.trunks import Trunk, origin

CARRIER = Trunk("carrier", accept=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
OTHER = Trunk("other", accept=(ip_network("192.0.2.128/25"),))


@pytest.mark.parametrize(
    ("host", "admitted"),
    [
        ("127.0.0.1", True),
        ("127.99.1.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.200", True),
        ("::ffff:192.0.2.1", True),
        ("2001:db8::7", True),
        ("fe80::1%eth0", False),
        ("192.0.3.1", False),
        ("2001:db9::7", False),
        ("sip.example", False),
        ("", False),
    ],
)
def test_trunks_and_loopback_and_nobody_else(host: str, admitted: bool) -> None:
    assert Access([CARRIER, OTHER]).admits(Address(host, 5060)) is admitted


def test_the_trunk_of_a_caller_is_the_first_that_accepts_it() -> None:
    access = Access([CARRIER, OTHER])
    assert access.trunk_of(Address("192.0.2.200", 1)) is CARRIER
    assert Access([OTHER]).trunk_of(Address("192.0.2.1", 1)) is None
    assert access.trunk_of(Address("127.0.0.1", 1)) is None


def test_refusals_are_counted_by_reason_and_source() -> None:
    access = Access([CARRIER])
    for host in ("192.0.3.1", "192.0.3.2", "192.0.3.1", "nonsense"):
        access.admits(Address(host, 1))
    assert access.counters() == {"refused_unknown": 3, "refused_unreadable": 1, "refused_sources": 3}
    assert access.refused() == {"192.0.3.2": 1, "192.0.3.1": 2, "nonsense": 1}


def test_each_refused_source_is_logged_once_and_a_scan_is_not(caplog: pytest.LogCaptureFixture) -> None:
    access = Access([CARRIER])
    for number in range(500):
        access.admits(Address(f"10.0.{number // 256}.{number % 256}", 1))
        access.admits(Address("10.0.0.0", 1))
    assert len(caplog.records) == LOGGED
    assert caplog.messages[0] == "requests from 10.0.0.0 are refused: no trunk accepts this address"


def test_the_table_of_sources_does_not_grow_for_ever() -> None:
    access = Access([])
    for number in range(REMEMBERED + 50):
        access.admits(Address(f"10.0.{number // 256}.{number % 256}", 1))
    assert access.counters()["refused_sources"] == REMEMBERED
    assert "10.0.0.0" not in access.refused()


def test_the_trunk_of_a_caller_is_found_however_its_address_is_written() -> None:
    """Its `srtp` depends on it: an IPv6 socket sees IPv4 callers as ::ffff:192.0.2.130."""
    for host in ("192.0.2.130", "::ffff:192.0.2.130", "[::ffff:c000:282]"):
        assert origin([OTHER, CARRIER], host) is OTHER
    assert origin([CARRIER], "2001:db8::7%eth0") is CARRIER
    assert origin([CARRIER, OTHER], "198.51.100.1") is None
    assert origin([CARRIER, OTHER], "carrier.example") is None
