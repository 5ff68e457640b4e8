"""Split Based On: all seventeen operators, and which branch is taken."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import get_args

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.flow import Execution
from forkproxy.flow.actions import HangUp, Play, Warn
from forkproxy.flow.widgets.split_based_on import Operator, holds
from tests.flow.conftest import NOW

Found = Callable[..., list[str]]
OPERATORS: tuple[Operator, ...] = get_args(Operator)
OPPOSITES: list[tuple[Operator, Operator]] = [
    ("equal_to", "not_equal_to"),
    ("matches_any_of", "does_not_match_any_of"),
    ("is_blank", "is_not_blank"),
    ("contains", "does_not_contain"),
    ("starts_with", "does_not_start_with"),
]


def test_there_are_seventeen() -> None:
    assert len(OPERATORS) == 17


@pytest.mark.parametrize(
    ("operator", "subject", "value", "expected"),
    [
        ("equal_to", "yes", "YES", True),
        ("equal_to", " yes\n", "yes ", True),
        ("equal_to", "yes", "yes!", False),
        ("equal_to", "1", "1.0", False),
        ("not_equal_to", "completed", "busy", True),
        ("matches_any_of", "Billing", "sales, billing,support", True),
        ("matches_any_of", "bill", "sales, billing", False),
        ("does_not_match_any_of", "Sat", "sat, sun", False),
        ("is_blank", " \n", "", True),
        ("is_blank", "0", "", False),
        ("is_not_blank", "a", "", True),
        ("regex", "Support line", "support.*", True),
        ("regex", "my support", "support", False),
        ("regex", "+15550100", r"\+1\d{7}", True),
        ("contains", "I want SALES now", "sales", True),
        ("does_not_contain", "abc", "d", True),
        ("starts_with", "+4930123", "+49", True),
        ("does_not_start_with", "+4930123", "+49", False),
        ("less_than", "9", "10", True),
        ("less_than", "1.5", "1.50", False),
        ("less_than", "", "10", False),
        ("less_than", "NaN", "10", False),
        ("greater_than", "-1", "-2", True),
        ("greater_than", "ten", "2", False),
        ("is_before_time", "08:59", "09:00", True),
        ("is_before_time", "09:00", "9:00", False),
        ("is_after_time", "18:00:01", "18:00", True),
        ("is_after_time", "25:00", "18:00", False),
        ("is_before_date", "2026-01-31", "2026-02-01", True),
        ("is_before_date", "31.01.2026", "2026-02-01", False),
        ("is_after_date", "2026-02-02", "2026-02-01", True),
    ],
)
def test_one(operator: Operator, subject: str, value: str, expected: bool) -> None:
    assert holds(operator, subject, value) is expected


@given(st.text(), st.text(), st.sampled_from(OPPOSITES))
def test_opposites(subject: str, value: str, pair: tuple[Operator, Operator]) -> None:
    assert holds(pair[0], subject, value) is not holds(pair[1], subject, value)


@given(st.text(), st.text())
def test_text_without_regard_to_case_and_ends(subject: str, value: str) -> None:
    for operator in OPERATORS[:4] + OPERATORS[7:11]:
        assert holds(operator, subject, value) is holds(operator, f" {subject}\n", f"\t{value} ")
    assert holds("equal_to", subject, subject.strip())
    assert holds("contains", subject + value, value)
    assert holds("starts_with", subject.strip() + value, subject)


@given(st.integers() | st.decimals(allow_nan=False), st.integers() | st.decimals(allow_nan=False))
def test_numbers(left: int, right: int) -> None:
    finite = "Inf" not in f"{left}{right}"
    assert holds("less_than", str(left), str(right)) is (finite and left < right)
    assert holds("greater_than", str(left), str(right)) is (finite and left > right)


@given(st.dates(datetime.date(1000, 1, 1)), st.dates(datetime.date(1000, 1, 1)))
def test_dates(left: datetime.date, right: datetime.date) -> None:
    assert holds("is_before_date", str(left), str(right)) is (left < right)
    assert holds("is_after_date", str(left), str(right)) is (left > right)


@given(st.times(), st.times())
def test_times(left: datetime.time, right: datetime.time) -> None:
    texts = left.strftime("%H:%M"), right.strftime("%H:%M")
    assert holds("is_before_time", *texts) is (texts < texts[::-1])
    assert holds("is_after_time", *texts) is (texts > texts[::-1])


@given(st.sampled_from(OPERATORS), st.text(), st.text())
def test_nothing_else_is_raised(operator: Operator, subject: str, value: str) -> None:
    try:
        assert holds(operator, subject, value) in (True, False)
    except regex.error:
        raised_by = operator
    except TimeoutError:
        raised_by = operator
    else:
        raised_by = "regex"
    assert raised_by == "regex"


def test_a_regular_expression_cannot_think_for_ever() -> None:
    with pytest.raises(TimeoutError):
        holds("regex", "a" * 5000 + "!", "(a+a+)+b")


def split(*transitions: str, value: str = "{{trigger.call.Sent}}") -> str:
    lines = "".join(f"    - {transition}\n" for transition in transitions)
    states = (
        f"- name: first\n  type: split-based-on\n  properties: {{input: '{value}'}}\n  transitions:\n{lines}"
    )
    for name in ("one", "two", "other"):
        states += f"- {{name: {name}, type: say-play, properties: {{play: 'http://a/b'}}}}\n"
    return states


def match(target: str, *conditions: str) -> str:
    return f"{{event: match, next: {target}, conditions: [{', '.join(conditions)}]}}"


SENT = "arguments: ['{{trigger.call.Sent}}']"
NO_MATCH = "{event: noMatch, next: other}"


@pytest.mark.parametrize(
    ("sent", "widget"), [("1", "one"), ("2", "two"), ("12", "one"), ("3", "other"), ("", "other")]
)
def test_the_first_transition_that_is_true_wins(
    execution_of: Callable[..., Execution], sent: str, widget: str
) -> None:
    states = split(
        NO_MATCH,
        match("one", f"{{{SENT}, type: contains, value: '1'}}"),
        match("two", f"{{{SENT}, type: contains, value: '2'}}"),
    )
    assert execution_of(states, Sent=sent).start(NOW) == [Play(widget, "http://a/b", 1)]


def test_all_conditions_of_a_transition_must_be_true(execution_of: Callable[..., Execution]) -> None:
    both = match(
        "one", f"{{{SENT}, type: starts_with, value: a}}", f"{{{SENT}, type: does_not_contain, value: b}}"
    )
    for sent, widget in {"ac": "one", "ab": "other", "c": "other"}.items():
        (action,) = execution_of(split(NO_MATCH, both), Sent=sent).start(NOW)
        assert action == Play(widget, "http://a/b", 1)


def test_the_value_is_a_template_and_input_stands_in_for_arguments(
    execution_of: Callable[..., Execution],
) -> None:
    states = split(NO_MATCH, match("one", "{type: equal_to, value: '{{trigger.call.From}}'}"))
    assert execution_of(states, Sent="+15550001111").start(NOW) == [Play("one", "http://a/b", 1)]


def test_a_match_may_end_the_flow(execution_of: Callable[..., Execution]) -> None:
    states = split(NO_MATCH, "{event: match, conditions: [{type: is_blank}]}")
    assert execution_of(states).start(NOW) == [HangUp("the flow ended after 'first'")]


def test_nothing_matches_and_there_is_no_no_match(execution_of: Callable[..., Execution]) -> None:
    assert execution_of(split(match("one", "{type: is_not_blank}"))).start(NOW) == [
        Warn(81005, "no condition is true and there is no 'noMatch': the call is hung up", "first"),
        HangUp("the flow ended after 'first'"),
    ]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("(", "is not a regular expression"), ("(a+a+)+b", "took too long and counts as no match")],
)
def test_a_regular_expression_that_fails_is_no_match(
    execution_of: Callable[..., Execution], pattern: str, message: str
) -> None:
    states = split(NO_MATCH, match("one", f"{{{SENT}, type: regex, value: '{{{{trigger.call.Pattern}}}}'}}"))
    warning, action = execution_of(states, Sent="a" * 5000, Pattern=pattern).start(NOW)
    assert isinstance(warning, Warn)
    assert message in warning.message
    assert action == Play("other", "http://a/b", 1)


@pytest.mark.parametrize(
    ("transition", "expected"),
    [
        ("{event: match, next: one}", "conditions: is missing but it is required for the event 'match'"),
        ("{event: match, next: one, conditions: []}", "conditions: must not be empty"),
        (
            "{event: noMatch, conditions: [{type: is_blank}]}",
            "conditions: belongs to the event 'match', not to 'noMatch'",
        ),
        (
            "{event: Match, next: one}",
            "event: 'Match' does not have a value in the enumeration [noMatch, match]; did you mean",
        ),
        (match("one", "{type: equals, value: x}"), "0/type: does not have a value in the enumeration"),
        (match("one", "{type: equal_to}"), "0/value: is missing but it is required by 'equal_to'"),
        (match("one", "{type: regex, value: '('}"), "0/value: is not a regular expression: missing )"),
        (
            match("one", "{type: less_than, value: ten}"),
            "warning: 0/value: is not a number: 'less_than' is never true",
        ),
        (
            match("one", "{type: is_after_time, value: 9am}"),
            "warning: 0/value: is not a time HH:MM: 'is_after_time' is never true",
        ),
        (match("one", "{type: is_after_date, value: 1.2.}"), "warning: 0/value: is not a date YYYY-MM-DD"),
        (
            match("one", "{type: is_blank, arguments: [a, b]}"),
            "warning: 0/arguments: has more than one value",
        ),
        (match("one", "{type: is_blank, arguments: a}"), "0/arguments: string found, array expected"),
        (match("one", "{type: equal_to, value: 5}"), "0/value: integer found, string expected"),
    ],
)
def test_what_is_checked(found: Found, transition: str, expected: str) -> None:
    lines = [
        line.replace("#/states/1/transitions/1/", "").replace("conditions/0", "0")
        for line in found(split(NO_MATCH, transition))
    ]
    assert any(line.startswith(expected) for line in lines), lines


def test_a_split_without_a_no_match(found: Found) -> None:
    assert (
        "warning: #/states/1/transitions: has no 'noMatch': where no condition is true the call is hung up"
        in found(split(match("one", "{type: is_blank}")))
    )
