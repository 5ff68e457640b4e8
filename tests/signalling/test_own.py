"""What peers are told of us."""

from __future__ import annotations

import pytest

from forkproxy.errors import SignallingError
from forkproxy.signalling.listeners import parse_listen
from forkproxy.signalling.own import OwnAddresses, route_from

BOUND = parse_listen("udp://127.0.0.1:5060")
WILDCARD = parse_listen("udp://0.0.0.0:5060")


def test_what_is_bound_is_told() -> None:
    own = OwnAddresses(None)
    assert own.host(BOUND, "192.0.2.1") == "127.0.0.1"
    assert own.port(BOUND) == 5060


def test_behind_a_wildcard_it_is_the_way_to_the_peer() -> None:
    own = OwnAddresses(None)
    assert own.host(WILDCARD, "127.0.0.1") == "127.0.0.1"
    assert own.host(parse_listen("udp://[::]:5060"), "::1") == "::1"
    assert route_from("999.0.0.1", v6=False) == "127.0.0.1"


@pytest.mark.parametrize(
    ("advertise", "host", "port"),
    [
        ("sip.example", "sip.example", 5060),
        ("sip.example:5099", "sip.example", 5099),
        ("203.0.113.1:5099", "203.0.113.1", 5099),
        ("[2001:db8::1]:5099", "2001:db8::1", 5099),
        ("2001:db8::1", "2001:db8::1", 5060),
    ],
)
def test_what_is_advertised_is_told_to_all(advertise: str, host: str, port: int) -> None:
    own = OwnAddresses(advertise)
    bound, wildcard = (
        (BOUND, WILDCARD) if ":" not in host else map(parse_listen, ("udp://[::1]:5060", "udp://[::]:5060"))
    )
    assert own.host(bound, "127.0.0.1") == own.host(wildcard) == host
    assert own.port(bound) == port
    assert own.port(parse_listen("tls://127.0.0.1:5061")) == 5061, "TLS has a port of its own"


def test_an_address_is_advertised_to_those_who_can_use_it() -> None:
    own = OwnAddresses(["203.0.113.1:5099", "2001:db8::1"])
    six = parse_listen("udp://[::]:5060")
    assert (own.host(WILDCARD, "192.0.2.1"), own.port(WILDCARD)) == ("203.0.113.1", 5099)
    assert (own.host(six, "::1"), own.port(six)) == ("2001:db8::1", 5060)
    own = OwnAddresses("203.0.113.1:5099")
    assert (own.host(six, "::1"), own.port(six)) == ("::1", 5060)


@pytest.mark.parametrize("advertise", ["", "a b", "sip.example:70000", "<x>", "1:2:3", "[::1", "sip:"])
def test_what_cannot_be_advertised(advertise: str) -> None:
    with pytest.raises(SignallingError, match="no address to advertise"):
        OwnAddresses(advertise)
