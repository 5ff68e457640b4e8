"""Number rules: strip, prefix, E.164; the first that matches, and no other."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkproxy import numbers
from forkproxy.numbers import Rule, rewrite


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(numbers).failed == 0


@pytest.mark.parametrize(
    ("rule", "number", "becomes"),
    [
        ("0* -> +49*", "030", "+4930"),
        ("0*->+49*", "0", "+49"),
        ("+1* -> *", "+15551230000", "5551230000"),
        ("* -> 9*", "112", "9112"),
        ("100 -> +4930", "100", "+4930"),
        ("100 -> +4930", "1000", None),
        ("1*9 -> *", "19", ""),
        ("1*1 -> *", "1", None),
        ("*99 -> 00*", "12399", "00123"),
        ("5* -> 112", "5551", "112"),
    ],
)
def test_one_rule(rule: str, number: str, becomes: str | None) -> None:
    assert Rule.parse(rule).apply(number) == becomes


def test_the_first_match_is_the_only_one() -> None:
    rules = [Rule.parse(each) for each in ("00* -> +*", "0* -> 00*", "+* -> x*")]
    assert rewrite(rules, "0044") == "+44"
    assert rewrite(rules, "030") == "0030"
    assert rewrite(rules, "12") == "12"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0*", "is not a rule"),
        ("-> 1", "is not a rule"),
        ("0 1 -> 2", "is not a rule"),
        ("0** -> *", r"one \* on each side"),
        ("0* -> **", r"one \* on each side"),
        ("0 -> 49*", r"\* stands for nothing"),
        ("1 -> \r\n2\r\n", "is not a rule"),
    ],
)
def test_what_is_no_rule(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Rule.parse(text)


@given(st.text("0123456789+", max_size=12), st.text("0123456789", max_size=3))
def test_a_prefix_that_is_put_in_front_comes_off_again(number: str, prefix: str) -> None:
    there = Rule.parse(f"* -> {prefix}*").apply(number)
    assert there is not None
    assert Rule.parse(f"{prefix}* -> *").apply(there) == number
