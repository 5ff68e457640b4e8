"""References to the environment: what takes their place, and that it is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from forkproxy.errors import ConfigError
from tests.config.conftest import Check, Load


def test_values_take_the_references_place(load: Load) -> None:
    text = "trunks: [{name: '${A}-${B}', accept: ['${NET}/24']}]"
    (trunk,) = load(text, {"A": "one", "B": "two", "NET": "192.0.2.0"}).trunks
    assert trunk.name == "one-two"
    assert str(trunk.accept[0]) == "192.0.2.0/24"


@pytest.mark.parametrize("reference", ["${A}", '"${A}"', "'${A}'"])
@pytest.mark.parametrize(
    "text",
    [
        "account: {auth_token: REF}",
        "account: {auth_token: REF }",
        "account:\n  auth_token: REF",
        '{"account": {"auth_token": REF}}',
    ],
)
def test_quoted_or_not_in_braces_or_not(load: Load, text: str, reference: str) -> None:
    if text.startswith("{"):  # JSON
        text = text[:-1] + ', "flows": {"default": "flow.json"}}'
    config = load(text.replace("REF", reference), {"A": "a: {b}"})
    assert config.account.auth_token is not None
    assert config.account.auth_token.get_secret_value() == "a: {b}"


def test_places_and_syntax_errors_are_those_of_the_file(check: Check) -> None:
    (problem,) = check("trunks: [{name: ${A}, accept: [${B}], nmae: x}]", {"A": "a", "B": "1.1.1.1"})
    assert (problem.line, problem.column) == (1, 39)
    (problem,) = check("trunks: [{${A}: x, name: a, accept: [1.1.1.1]}]")
    assert problem.path == "#/trunks/0/${A}"
    (problem,) = check("trunks: [{name: ${A}]", {"A": "a"})
    assert "is not YAML" in problem.message


def test_what_was_put_in_is_not_looked_at_again(load: Load) -> None:
    (trunk,) = load("trunks: [{name: '${A}', accept: [1.1.1.1]}]", {"A": "${B}", "B": "x"}).trunks
    assert trunk.name == "${B}"


def test_a_doubled_dollar_is_a_dollar(load: Load) -> None:
    (trunk,) = load("trunks: [{name: 'a $${B} $5', accept: [1.1.1.1]}]", {"B": "x"}).trunks
    assert trunk.name == "a ${B} $5"


def test_anchors_are_replaced_everywhere(load: Load) -> None:
    text = "trunks: [{name: a, accept: &n ['${NET}']}, {name: b, accept: *n}]"
    one, two = load(text, {"NET": "192.0.2.7"}).trunks
    assert one.accept == two.accept
    assert str(one.accept[0]) == "192.0.2.7/32"


def test_numbers_and_booleans_come_from_text(load: Load) -> None:
    text = """
sip: {drain: ${D}}
media: {threads: ${T}, inactivity: ${D}}
streams: {allow_ws: ${W}, buffer: "${D}"}
connectors: {A: {type: archive, port: ${P}, strict: ${W}, folder: ${P}}}
account: {auth_token: ${P}, sid: AC0123456789abcdef0123456789abcdef}
"""
    config = load(text, {"D": "2.5", "T": "3", "W": "true", "P": "12345"})
    assert (config.sip.drain, config.media.threads, config.streams.allow_ws) == (2.5, 3, True)
    assert config.media.inactivity == 2.5
    settings = config.instances["A"].settings.model_dump()
    assert (settings["port"], settings["strict"], settings["folder"]) == (12345, True, "12345")
    assert config.account.auth_token is not None
    assert config.account.auth_token.get_secret_value() == "12345"


def test_a_number_that_is_none_is_a_problem(check: Check) -> None:
    (problem,) = check("sip: {drain: '${D}'}", {"D": "soon"})
    assert problem.message == "string found, number expected"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${NOPE}", "the environment has no NOPE; did you mean 'NOPES'?"),
        ("${NO-PE}", "'${NO-PE}' is not ${NAME}, with a NAME of letters, digits and _"),
        ("${NAME:-default}", "'${NAME:-default}' is not ${NAME}"),
        ("x ${", "'${' is not ${NAME}"),
        ("${}", "'${}' is not ${NAME}"),
    ],
)
def test_references_that_cannot_be_followed(check: Check, text: str, message: str) -> None:
    problems = check(f"trunks:\n  - name: a\n    accept: ['{text}']", {"NOPES": "x"})
    (problem,) = problems  # and nothing about the network that it is not
    assert (problem.line, problem.path) == (3, "#/trunks/0/accept/0")
    assert message in problem.message


def test_what_came_from_the_environment_is_never_shown(check: Check, load: Load) -> None:
    text = """
trunks: [{name: a, accept: ['${SECRET}'], numbers: ['x${SECRET} y'], address: 'sip:${SECRET}@b'}]
connectors: {A: {type: '${SECRET}'}}
flows: {default: '${SECRET}.json'}
streams: {ca_file: '/${SECRET}'}
log: {level: '${SECRET}'}
"""
    problems = check(text, {"SECRET": "hunter2"})
    assert len(problems) == 7
    assert "hunter2" not in "\n".join(map(str, problems))
    assert any("'${SECRET}' is not an address or network" in problem.message for problem in problems)
    with pytest.raises(ConfigError) as caught:
        load(text, {"SECRET": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_flow_files_are_left_alone(check: Check, flow: Path) -> None:
    flow.write_text(flow.read_text().replace('"b"', '"${NOT_OURS}"'))
    assert check("") == []
