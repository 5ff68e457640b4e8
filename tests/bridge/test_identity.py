"""Which headers of an INVITE go to whom (RFC 3323, RFC 3325)."""

from __future__ import annotations

import doctest
from ipaddress import ip_network

import pytest

from forkproxy.bridge import identity
from forkproxy.bridge.identity import is_trusted, passed, shown
from forkproxy.signalling.trunks import Trunk

ASSERTED = ("P-Asserted-Identity", "<sip:+15551230000@carrier.example>")
OFFICE = Trunk("office", accept=(ip_network("10.0.0.0/8"),), trusted=True)
CARRIER = Trunk("carrier", accept=(ip_network("192.0.2.0/24"),))


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(identity).failed == 0


def test_who_is_trusted() -> None:
    trunks = [OFFICE, CARRIER]
    hosts = ("10.1.2.3", "192.0.2.7", "127.0.0.1", "203.0.113.9", "a.name")
    assert [is_trusted(trunks, host) for host in hosts] == [True, False, True, False, False]


@pytest.mark.parametrize(
    ("privacy", "trusted_from", "trusted_to", "patterns", "passes"),
    [
        ("", True, True, [], True),  # within the trust domain it goes by itself
        ("id", True, True, [], True),
        ("", True, False, [], False),
        ("", True, False, ["p-asserted-*"], True),
        ("none", True, False, ["*"], True),
        ("id", True, False, ["*"], False),
        ("user; critical", True, False, ["*"], False),
        ("", False, True, ["*"], False),  # nobody outside can say who he is
    ],
)
def test_the_asserted_identity(
    privacy: str, trusted_from: bool, trusted_to: bool, patterns: list[str], passes: bool
) -> None:
    headers = [ASSERTED, *([("Privacy", privacy)] if privacy else [])]
    found = passed(headers, patterns, trusted_from=trusted_from, trusted_to=trusted_to)
    assert (ASSERTED in found) is passes


def test_headers_of_one_leg_pass_never_and_history_by_the_callers_wish() -> None:
    headers = [("Replaces", "a"), ("User-Agent", "b"), ("Via", "c"), ("Diversion", "d"), ("X-E", "e")]
    found = passed(headers, ["*"], trusted_from=True, trusted_to=True)
    assert [name for name, _ in found] == ["Diversion", "X-E"]
    headers.append(("Privacy", "history"))
    assert ("Diversion", "d") not in passed(headers, ["*"], trusted_from=True, trusted_to=False)


def test_a_flow_sees_who_is_calling_only_where_that_can_be_believed() -> None:
    headers = [ASSERTED, ("X-Order", "7"), ("X-Order", "8"), ("Diversion", "<sip:b@x>"), ("Via", "v")]
    assert shown(headers, trusted=True) == {
        "SipHeader_P-Asserted-Identity": ASSERTED[1],
        "SipHeader_X-Order": "7",
        "SipHeader_Diversion": "<sip:b@x>",
    }
    assert "SipHeader_P-Asserted-Identity" not in shown(headers, trusted=False)
