"""Set Variables: text, numbers and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.flow import Execution
from forkproxy.flow.actions import HangUp, Warn
from forkproxy.flow.widgets.set_variables import _cast
from tests.flow.conftest import NOW

Found = Callable[..., list[str]]


def widget(*variables: dict[str, Any]) -> str:
    return f"- {{name: first, type: set-variables, properties: {json.dumps({'variables': variables})}}}\n"


def variables(make: Callable[..., Execution], *given: dict[str, Any], **parameters: str) -> dict[str, Any]:
    execution = make(widget(*given), **parameters)
    assert execution.start(NOW) == [HangUp("the flow ended after 'first'")]
    left: dict[str, Any] = execution.context()["flow"]["variables"]
    assert execution.context()["widgets"]["first"] == left
    return left


def test_in_order(execution_of: Callable[..., Execution]) -> None:
    given = ({"key": "a", "value": "x{{trigger.call.N}}"}, {"key": "b", "value": "{{flow.variables.a}}y"})
    assert variables(execution_of, *given, N="1") == {"a": "x1", "b": "x1y"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("\n  3\n", 3),
        ("-1", -1),
        ("1.5", 1.5),
        ("007", "007"),
        ("+15551230000", "+15551230000"),
        ("1.50", "1.50"),
        ("-0", "-0"),
        ("1e3", "1e3"),
        ("", ""),
        (" a ", " a "),
        ("9" * 40, "9" * 40),
        ("true", "true"),
    ],
)
def test_what_looks_like_a_number_is_one(
    execution_of: Callable[..., Execution], text: str, value: object
) -> None:
    assert variables(execution_of, {"key": "a", "value": text}) == {"a": value}
    assert type(variables(execution_of, {"key": "a", "value": text})["a"]) is type(value)


@given(st.text() | st.from_regex(r"\s*-?\d{1,40}(\.\d{1,6})?\s*", fullmatch=True))
def test_nothing_of_a_text_is_lost(text: str) -> None:
    value = _cast(text)
    assert str(value) == (text if isinstance(value, str) else text.strip())


def test_a_string_stays_one(execution_of: Callable[..., Execution]) -> None:
    assert variables(execution_of, {"key": "a", "value": "3", "type": "string"}) == {"a": "3"}


def test_the_counter_of_twilios_page(execution_of: Callable[..., Execution]) -> None:
    value = (
        "{% if flow.variables.num %}\\n  {{flow.variables.num | plus: 1}}\\n{% else %}\\n  0\\n{% endif %}"
    )
    states = f"""
    - name: first
      type: set-variables
      properties: {{variables: [{{key: num, value: "{value}"}}]}}
      transitions: [{{event: next, next: again}}]
    - name: again
      type: split-based-on
      properties: {{input: "{{{{flow.variables.num}}}}"}}
      transitions:
        - {{event: noMatch, next: first}}
        - {{event: match, conditions: [{{type: greater_than, value: "2"}}]}}
    """
    execution = execution_of(states)
    assert execution.start(NOW) == [HangUp("the flow ended after 'again'")]
    assert execution.context()["flow"]["variables"] == {"num": 3}


def test_json(execution_of: Callable[..., Execution]) -> None:
    given = (
        {"key": "o", "value": '{"a": [{"b": "{{trigger.call.N}}"}], "n": null}', "parse_as_json": True},
        {"key": "b", "value": "{{flow.variables.o.a[0].b}}{{flow.variables.o.n}}"},
        {"key": "copy", "value": "{{flow.variables.o}}", "parse_as_json": True},
        {"key": "none", "value": "null", "parse_as_json": True},
    )
    parsed = {"a": [{"b": "x"}], "n": None}
    assert variables(execution_of, *given, N="x") == {"o": parsed, "b": "x", "copy": parsed, "none": ""}


@pytest.mark.parametrize("text", ["{", "NaN", "[" * 50_000, "", "1" * 5000])
def test_what_turns_out_not_to_be_json_is_kept(execution_of: Callable[..., Execution], text: str) -> None:
    given = {"key": "a", "value": "{{trigger.call.Sent}}", "parse_as_json": True}
    execution = execution_of(widget(given), Sent=text)
    warning, _ = execution.start(NOW)
    assert isinstance(warning, Warn)
    assert warning.code == 81018
    assert "the variable 'a' is kept as text: not JSON" in warning.message
    assert execution.context()["flow"]["variables"] == {"a": text}


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("{value: x}", "#/states/1/properties/variables/0/key: is missing but it is required"),
        ("{key: '', value: x}", "#/states/1/properties/variables/0/key: must not be empty"),
        ("{key: a, value: 5}", "#/states/1/properties/variables/0/value: integer found, string expected"),
        (
            "{key: a, value: '{', parse_as_json: true}",
            "#/states/1/properties/variables/0/value: is not JSON: Expecting property name enclosed in double"
            " quotes: line 1 column 2 (char 1)",
        ),
        (
            "{key: '{{a}}', value: x}",
            "warning: #/states/1/properties/variables/0/key: a key is taken as it is:"
            " Liquid works in values only",
        ),
        (
            "{key: a, value: x, parse_json: true}",
            "#/states/1/properties/variables/0/parse_json: is not a known property;"
            " did you mean 'parse_as_json'?",
        ),
    ],
)
def test_what_is_checked(found: Found, variable: str, expected: str) -> None:
    states = f"- {{name: first, type: set-variables, properties: {{variables: [{variable}]}}}}\n"
    assert found(states) == [expected]
