from __future__ import annotations

import doctest
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.bridge import addresses
from forkproxy.bridge.addresses import NoRoute, caller_uri, party, target
from forkproxy.flow.actions import Connect
from forkproxy.signalling.trunks import Trunk

CARRIER = Trunk(
    name="carrier",
    accept=(ip_network("192.0.2.0/24"),),
    address="sip:sip.carrier.example:5070;transport=tcp",
    numbers=("+1*",),
    username="u",
    password="p",
)


def connect(noun: str, to: str, **kwargs: str) -> Connect:
    return Connect(
        widget="w",
        noun=noun,  # type: ignore[arg-type]
        to=to,
        username=kwargs.get("username"),
        password=kwargs.get("password"),
        caller_id=None,
        timeout=30,
        time_limit=None,
        record=False,
    )


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(addresses).failed == 0


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:+15551230000@carrier.example;user=phone", "+15551230000"),
        ("sip:5551230000@192.0.2.1:5060", "5551230000"),
        ("sip:alice@192.0.2.1:5060;transport=tcp", "sip:alice@192.0.2.1"),
        ("sip:alice;x=y@host", "sip:alice@host"),
        ("sip:192.0.2.1", "sip:192.0.2.1"),
        ("sips:bob@[2001:db8::1]:5061", "sip:bob@[2001:db8::1]"),
        ("tel:+15551230000;phone-context=x", "+15551230000"),
        ("nonsense", "nonsense"),
    ],
)
def test_parties_are_numbers_or_addresses(uri: str, expected: str) -> None:
    assert party(uri) == expected


@pytest.mark.parametrize(
    ("caller_id", "caller", "expected"),
    [
        (None, "+15551230000", "sip:+15551230000@192.0.2.9"),
        (None, "sip:alice@192.0.2.1", "sip:alice@192.0.2.1"),
        ("+1 (555) 123-0000", "x", "sip:+1(555)123-0000@192.0.2.9"),
        ("client:ann", "x", "sip:ann@192.0.2.9"),
        ("", "", "sip:anonymous@192.0.2.9"),
        ("sip:", "x", "sip:anonymous@192.0.2.9"),
    ],
)
def test_the_callee_sees_the_callers_identity(caller_id: str | None, caller: str, expected: str) -> None:
    assert caller_uri(caller_id, caller, "192.0.2.9") == expected


@given(st.text(), st.text())
def test_no_caller_id_can_inject_a_header(caller_id: str, caller: str) -> None:
    uri = caller_uri(caller_id, caller, "192.0.2.9")
    assert not set(uri) & set('\r\n<> \t"')


def test_a_number_takes_the_first_trunk_that_wants_it() -> None:
    found = target(connect("number", "+1 (555) 123-0000"), [CARRIER])
    assert found.uri == "sip:+15551230000@sip.carrier.example:5070;transport=tcp"
    assert (found.username, found.password) == ("u", "p")


@pytest.mark.parametrize("to", ["+4930123", "bob", "", "+1\r\nX: y"])
def test_a_number_that_no_trunk_takes_is_not_found(to: str) -> None:
    with pytest.raises(NoRoute) as caught:
        target(connect("number", to), [CARRIER])
    assert caught.value.sip_status == 404


def test_a_sip_address_is_dialled_as_it_stands() -> None:
    found = target(connect("sip", "bob@192.0.2.7:5080", username="a", password="b"), [])
    assert (found.uri, found.username, found.password) == ("sip:bob@192.0.2.7:5080", "a", "b")
    assert (
        target(connect("sip", "sip:bob@[::1]:5080;transport=tcp"), []).uri
        == "sip:bob@[::1]:5080;transport=tcp"
    )


@pytest.mark.parametrize("to", ["", "sip:", "sip:bob@", "sip:bob@host\r\nX-Evil: 1", "sip:b ob@host"])
def test_what_is_no_address_is_not_dialled(to: str) -> None:
    with pytest.raises(NoRoute):
        target(connect("sip", to), [])


OFFICE = Trunk(name="office", accept=(ip_network("10.0.0.0/8"),))


@pytest.mark.parametrize(
    ("uri", "leads_to"),
    [
        ("sip:+15551230000@evil.example:5080", "sip:+15551230000@sip.carrier.example:5070;transport=tcp"),
        ("tel:+1-555-123-0000", "sip:+15551230000@sip.carrier.example:5070;transport=tcp"),
        ("sip:%2B1555(123)0000;x=y@10.0.0.7", "sip:+15551230000@sip.carrier.example:5070;transport=tcp"),
        ("sip:carol@10.0.0.7:5062;transport=tcp?Subject=x", "sip:carol@10.0.0.7:5062;transport=tcp"),
        ("sip:carol@SIP.carrier.example", "sip:carol@SIP.carrier.example"),
    ],
)
def test_a_peer_can_send_a_call_where_the_trunks_let_it_go(uri: str, leads_to: str) -> None:
    assert [each.uri for each in addresses.elsewhere(uri, [CARRIER, OFFICE])] == [leads_to]


@pytest.mark.parametrize(
    "uri",
    [
        "sip:+900123456@10.0.0.7",  # a number that no trunk takes, at a host that is somebody's
        "sip:+900123456@sip.carrier.example",
        "sip:900123456;phone-context=x@sip.carrier.example",
        "sip:%30%30900123456@sip.carrier.example",
        "sip:_900@sip.carrier.example",
        "sip:carol@evil.example",
        "sip:carol@203.0.113.7",
        "sip:10.0.0.7",
        "mailto:carol@10.0.0.7",
        "tel:carol",
    ],
)
def test_and_nowhere_else(uri: str) -> None:
    with pytest.raises(NoRoute):
        addresses.elsewhere(uri, [CARRIER, OFFICE])
