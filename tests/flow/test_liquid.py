"""Liquid: what Studio's templates use, and that no template can hurt."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from forkproxy.flow import liquid
from forkproxy.flow.liquid import Object, Template, TemplateError

VALUES: dict[str, Any] = {
    "trigger": {"call": {"From": "+15550001111", "SipHeader_X-Foo-Bar": "baz"}},
    "widgets": {"my-widget": {"Digits": "5"}, "two words": {"c": "d"}},
    "flow": {"variables": {"n": 3, "s": "3", "o": Object({"a": [1, Object({"b": "ü"})]}), "big": "9" * 5000}},
}


def render(source: str, now: float = 0.0) -> str:
    return Template(source).render(VALUES, now)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("plain", "plain"),
        ("{{trigger.call.From}}", "+15550001111"),
        ("a{{ trigger.call.From }}b{{flow.variables.n}}", "a+15550001111b3"),
        ("{{trigger.call.SipHeader_X-Foo-Bar}}", "baz"),
        ("{{widgets.my-widget.Digits}}", "5"),
        ("{{widgets['two words'].c}}", "d"),
        ("{{nothing.at.all}}", ""),
        ("{{nothing | plus: 1}}", "1"),
        ("{{flow.variables.s | plus: 1}}", "4"),
        ("{{nothing | default: 'x'}}{{ '' | default: 'y' }}", "xy"),
        ("{{trigger.call.From | replace: '+', '00'}}", "0015550001111"),
        ("{{trigger.call.From | slice: -4, 4}}", "1111"),
        ("{% if flow.variables.nope %}a{% else %}b{% endif %}", "b"),
        ("{% if flow.variables.n > 2 %}a{% endif %}", "a"),
        ("{% for i in flow.variables.o.a %}[{{i}}]{% endfor %}", '[1][{"b": "ü"}]'),
        ("{{flow.variables.o}}", '{"a": [1, {"b": "ü"}]}'),
        ("{{flow.variables.o.a | to_json}}", '[1, {"b": "ü"}]'),
        ("{{flow.variables.o.a[1].b}}", "ü"),
        ("{{nothing | to_json}}", "null"),
        ("{% assign x = 'a' %}{{ x | upcase }}", "A"),
        ("{projects/{trigger.call.CallSid}}", "{projects/{trigger.call.CallSid}}"),
        ("{{ '2026-01-31' | date: '%d.%m.' }}", "31.01."),
        ("}} %}", "}} %}"),
    ],
)
def test_what_flows_use(source: str, text: str) -> None:
    assert render(source) == text


def test_now_is_the_time_of_the_flow() -> None:
    noon = datetime.datetime(2026, 1, 31, 12, 30)
    assert render("{{ 'now' | date: '%Y-%m-%d %H:%M' }}", noon.timestamp()) == "2026-01-31 12:30"
    assert render("{{ 'today' | date: '%Z' }}") == noon.fromtimestamp(0).astimezone().strftime("%Z")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{", "expected '}}', found end of file"),
        ("{{ a b }}", "expected end of expression, found word at '{{ a b }}'"),
        ("{% if a %}", "expected tag endif"),
        ("{% nope %}", "unexpected tag 'nope'"),
        ("{% include 'x' %}", "unexpected tag 'include'"),
        ("{{ a | uppcase }}", "there is no filter 'uppcase'; did you mean 'upcase'?"),
        ("{% assign a = b | nope1 %}", "there is no filter 'nope1'"),
    ],
)
def test_a_bad_template_is_found_when_it_is_parsed(source: str, message: str) -> None:
    with pytest.raises(ValueError, match="is not a valid Liquid template: ") as caught:
        Template(source)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 5 | divided_by: 0 }}",
        "{% if flow.variables.s > 2 %}a{% endif %}",
        "{{ 'a' | upcase: 1 }}",
        "{{ flow.variables.big | plus: 1 }}",
        "{{ flow.variables.o | date: '%H' }}",
        "{% for i in (1..1000000000) %}{{i}}{% endfor %}",
        "{% for i in (1..40) %}{% for j in (1..40) %}x{% endfor %}{% endfor %}",
        "{% assign s = 'aaaaaaaa' %}{% for i in (1..60) %}{% assign s = s | append: s %}{% endfor %}",
        "{% for i in (1..900) %}{{ flow.variables.big }}{% endfor %}",
    ],
)
def test_what_goes_wrong_at_run_time_is_one_kind_of_error(source: str) -> None:
    with pytest.raises(TemplateError):
        render(source)


def test_a_thousand_iterations_are_allowed() -> None:
    assert len(render("{% for i in (1..999) %}x{% endfor %}")) == 999


def test_values_are_never_templates() -> None:
    assert Template("{{ a }}").render({"a": "{{ b }}"}, 0.0) == "{{ b }}"


def test_literals_and_prefixes() -> None:
    assert Template("a { b }").literal
    assert not Template("a{% if b %}{% endif %}").literal
    assert Template("wss://{{ host }}/{% if a %}{% endif %}").prefix == "wss://"
    assert Template("x").prefix == "x"
    assert repr(Template("{{a}}")) == "Template('{{a}}')"


def test_a_text_in_a_model_becomes_a_template() -> None:
    class Model(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        text: Template

    model = Model.model_validate_json('{"text": "{{a}}!"}')
    assert model.text.render({"a": "b"}, 0.0) == "b!"
    assert model.model_dump() == {"text": "{{a}}!"}
    with pytest.raises(ValidationError, match="is not a valid Liquid template"):
        Model.model_validate_json('{"text": "{{a"}')
    with pytest.raises(ValidationError, match="valid string"):
        Model.model_validate_json('{"text": 5}')


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_to_json(value: Any) -> None:
    text = Template("{{ x | to_json }}").render({"x": value}, 0.0)
    if len(text) < 1000:  # infinities are Python's own in both directions
        assert json.loads(text) == value


filters = sorted(liquid._ENVIRONMENT.filters)


@given(
    st.lists(st.sampled_from(filters), min_size=1, max_size=3),
    st.sampled_from(["", ": 1", ": 'a'", ": x", ": -1, 2", ": 'a', 'b'", ": nothing"]),
    json_values,
)
def test_no_filter_on_no_value_raises_anything_else(names: list[str], arguments: str, value: Any) -> None:
    source = "{{ x | " + " | ".join(name + arguments for name in names) + " }}"
    try:
        assert isinstance(Template(source).render({"x": value}, 0.0), str)
    except TemplateError as error:
        outcome = str(error)
    else:
        outcome = "rendered"
    assert outcome


@given(st.text(alphabet="{}%|:'\". abif-_[]<>=end09\n#", max_size=40))
def test_no_text_raises_anything_else(source: str) -> None:
    try:
        template = Template(source)
    except ValueError:
        return
    try:
        rendered = template.render(VALUES, 0.0)
    except TemplateError:
        return
    assert isinstance(rendered, str)
