"""Which trunk a number takes."""

from __future__ import annotations

import doctest

from hypothesis import given
from hypothesis import strategies as st

from forkproxy.signalling import trunks
from forkproxy.signalling.trunks import Trunk, route

CARRIER = Trunk("carrier", address="sip:a", numbers=("+1*", "+44*99"))
EMERGENCY = Trunk("emergency", address="sip:b", numbers=("911", "+1911*"))
INBOUND = Trunk("inbound", numbers=("*",))
ALL = Trunk("all", address="sip:c", numbers=("*",), password="secret")


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(trunks).failed == 0


def test_the_first_match_wins() -> None:
    order = [INBOUND, EMERGENCY, CARRIER, ALL]
    assert route(order, "911") is EMERGENCY
    assert route(order, "+1911") is EMERGENCY
    assert route(order, "+15551230000") is CARRIER
    assert route(order, "+4420799") is CARRIER
    assert route(order, "+4420798") is ALL
    assert route(order[:3], "+4420798") is None
    assert route([], "1") is None


def test_only_the_star_is_special() -> None:
    odd = Trunk("odd", address="sip:a", numbers=("1?2", "3[45]"))
    assert route([odd], "1?2") is odd
    assert route([odd], "3[45]") is odd
    assert route([odd], "142") is None
    assert route([odd], "34") is None


@given(st.text("+0123456789*#", max_size=15))
def test_a_literal_number_matches_itself(number: str) -> None:
    trunk = Trunk("x", address="sip:a", numbers=(number,))
    assert route([trunk], number) is trunk


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(ALL)
