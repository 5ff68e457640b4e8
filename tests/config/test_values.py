"""The texts of a configuration: what each means, and what is said when it means nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.config import values
from forkproxy.model import Address

GOOD: list[tuple[Callable[[object], Any], str, Any]] = [
    (values.listen_url, "udp://0.0.0.0:5060", "udp://0.0.0.0:5060"),
    (values.listen_url, "TCP://[::1]:0", "tcp://[::1]:0"),
    (values.listen_address, "127.0.0.1:8080", Address("127.0.0.1", 8080)),
    (values.listen_address, "[::]:1", Address("::", 1)),
    (values.ip, "192.0.2.1", "192.0.2.1"),
    (values.ip, "[2001:DB8::1]", "2001:db8::1"),
    (values.advertised, "sip.example.com", "sip.example.com"),
    (values.advertised, "sip.example.com:5070", "sip.example.com:5070"),
    (values.advertised, "203.0.113.4", "203.0.113.4"),
    (values.advertised, "[2001:db8::1]:5060", "[2001:db8::1]:5060"),
    (values.advertised, "[2001:db8::1]", "[2001:db8::1]"),
    (values.rtp_ports, "20000-29999", (20_000, 29_999)),
    (values.rtp_ports, " 2 - 3 ", (2, 3)),
    (values.network, "192.0.2.0/24", ip_network("192.0.2.0/24")),
    (values.network, "192.0.2.7", ip_network("192.0.2.7/32")),
    (values.network, "2001:db8::/32", ip_network("2001:db8::/32")),
    (values.trunk_address, "sip:carrier.example", "sip:carrier.example"),
    (values.trunk_address, "sips:carrier.example:5061", "sips:carrier.example:5061"),
    (values.trunk_address, "sip:carrier.example;transport=tls", "sip:carrier.example;transport=tls"),
    (values.listen_url, "TLS://0.0.0.0:5061", "tls://0.0.0.0:5061"),
    (values.trunk_address, "sip:192.0.2.1:5070;transport=TCP", "sip:192.0.2.1:5070;transport=TCP"),
    (values.trunk_address, "sip:[2001:db8::1]:5060;lr", "sip:[2001:db8::1]:5060;lr"),
    (values.number_pattern, "+49*", "+49*"),
    (values.codec, "pcma", "PCMA"),
    (values.codec, "l16/8000", "L16/8000"),
    (values.account_sid, "AC" + "0a" * 16, "AC" + "0a" * 16),
    (values.flow_key, "default", "default"),
    (values.flow_key, "+15551230000", "+15551230000"),
    (values.flow_key, "200", "200"),
    (values.flow_key, "support", "support"),
]

BAD: list[tuple[Callable[[object], Any], object, str]] = [
    (values.codec, "PCMUU", "did you mean 'PCMU'?"),
    (values.codec, "L16", "it needs a rate, as in L16/8000"),
    (values.codec, "L16/44100", "'L16/44100' is not a codec that can be offered"),
    (values.codec, "opus", "Opus is not transcoded"),
    (values.codec, "telephone-event", "is no audio codec; it is offered where the caller has it"),
    (values.codec, 0, "integer found, string expected"),
    (
        values.listen_url,
        "wss://0.0.0.0:443",
        "wss:// is not in this version of forkproxy; udp://, tcp:// and",
    ),
    (values.listen_url, "upd://0.0.0.0:5060", "did you mean 'udp'?"),
    (values.listen_url, "0.0.0.0:5060", "is not a listen URL"),
    (values.listen_url, "udp://0.0.0.0", "0.0.0.0:PORT expected, 0 picks a free one"),
    (values.listen_url, "udp://localhost:5060", "'localhost' is not an IP address; 127.0.0.1 is"),
    (values.listen_url, "udp://::1:5060", "an IPv6 address stands in brackets"),
    (values.listen_url, "udp://0.0.0.0:65536", "'65536' is not a port"),
    (values.listen_url, "udp://0.0.0.0:sip", "'sip' is not a port"),
    (values.listen_url, "udp://:5060", "has no address"),
    (values.listen_url, "udp://0.0.0.0:5060/", "has a path"),
    (values.listen_url, "udp://[::1:5060", "is not HOST:PORT"),
    (values.listen_url, 5060, "integer found, string expected"),
    (values.listen_url, None, "must not be null"),
    (values.listen_url, "udp://0.0.0.0:5060\n", "control character"),
    (values.listen_address, "8080", "'8080' is not an IP address|has no port"),
    (values.ip, "eth0", "'eth0' is not an IP address"),
    (values.public_ip, "0.0.0.0", "no address that a peer can send to"),
    (values.advertised, "-bad-.example", "is not a host or host:port"),
    (values.advertised, "999.1.1.1", "is not an IP address"),
    (values.advertised, "a.example:0", "port 0"),
    (values.advertised, "sip:a.example", "is not a port|is not a host"),
    (values.rtp_ports, "20001-29999", "must begin even and end odd; did you mean '20002-29999'?"),
    (values.rtp_ports, "20000-30000", "must begin even and end odd; did you mean '20000-29999'?"),
    (values.rtp_ports, "20001-20002", r"must begin even and end odd$"),
    (values.rtp_ports, "30000-20000", "ends before it begins"),
    (values.rtp_ports, "60000-70000", "beyond 1-65535"),
    (values.rtp_ports, "20000", "is not a port range"),
    (values.network, "192.0.2.1/24", "did you mean '192.0.2.0/24' or '192.0.2.1'?"),
    (values.network, "carrier.example", "is not an address or network"),
    (values.network, 7, "integer found, string expected"),
    (values.trunk_address, "sips:carrier.example;transport=udp", "sips: goes over TLS, not over UDP"),
    (values.trunk_address, "carrier.example:5060", "did you mean 'sip:carrier.example:5060'?"),
    (values.trunk_address, "https://carrier.example", "is not a SIP URI"),
    (values.trunk_address, "sip:me@carrier.example", "names a user"),
    (values.trunk_address, "sip:carrier.example?x=y", "has headers"),
    (values.trunk_address, "sip:", "no usable host"),
    (values.trunk_address, "sip:1.2.3.4.5", "no usable host"),
    (values.trunk_address, "sip:a.example:0", "no usable host"),
    (values.trunk_address, "sip:a.example;transport=wss", "transport=wss is not in this version"),
    (values.trunk_address, "sip:a.example;transport=tpc", "did you mean 'tcp'?"),
    (values.number_pattern, "+1 555", "is not a number pattern"),
    (values.account_sid, "AC123", "32 hexadecimal digits"),
    (values.flow_key, "Default", "did you mean 'default'?"),
    (values.flow_key, "two words", r"as in \+15551230000"),
]


@pytest.mark.parametrize(("function", "text", "value"), GOOD)
def test_good(function: Callable[[object], Any], text: str, value: object) -> None:
    assert function(text) == value


@pytest.mark.parametrize(("function", "text", "message"), BAD)
def test_bad(function: Callable[[object], Any], text: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(text)


@pytest.mark.parametrize("function", sorted({entry[0] for entry in GOOD}, key=lambda each: each.__name__))
@given(text=st.one_of(st.text(max_size=40), st.from_regex(r"(udp|sip|tcp)?:?(//)?[\[\]0-9a-f:.;/*+-]{0,30}")))
def test_any_text_is_a_value_or_a_value_error(function: Callable[[object], Any], text: str) -> None:
    with contextlib.suppress(ValueError):
        value = function(text)
        assert function(str(value)) == value  # what was made is written as it is read


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("127.0.0.1:1", "127.0.0.1:1", True),
        ("0.0.0.0:1", "127.0.0.1:1", True),
        ("127.0.0.2:1", "127.0.0.1:1", False),
        ("127.0.0.1:1", "127.0.0.1:2", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
        ("0.0.0.0:1", "[::1]:1", False),
        ("[::]:1", "[::1]:1", True),
    ],
)
def test_overlap(one: str, other: str, expected: bool) -> None:
    assert values.overlap(values.listen_address(one), values.listen_address(other)) is expected
    assert values.overlap(values.listen_address(other), values.listen_address(one)) is expected


@pytest.mark.parametrize(
    ("target", "host"),
    [("a.example", "a.example"), ("a.example:1", "a.example"), ("[::1]", "::1"), ("[::1]:5060", "::1")],
)
def test_host_of(target: str, host: str) -> None:
    assert values.host_of(target) == host


def test_split_listen_url() -> None:
    assert values.split_listen_url("tcp://[::1]:5060") == ("tcp", Address("::1", 5060))
