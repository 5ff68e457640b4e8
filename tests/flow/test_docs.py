"""docs/flows.md says all there is to say, and its examples work."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from forkproxy.flow import check
from forkproxy.flow.context import Context
from forkproxy.flow.execution import REPEAT_LIMIT, STEP_LIMIT, TOO_MANY_REPEATS, TOO_MANY_STEPS
from forkproxy.flow.liquid import LOOP_LIMIT
from forkproxy.flow.widgets import KNOWN, RUNNING
from forkproxy.flow.widgets.split_based_on import Condition, Operator
from forkproxy.flow.widgets.streams import PARAMETER_LIMIT
from tests.flow.conftest import CALL

TEXT = (Path(__file__).parents[2] / "docs" / "flows.md").read_text()
SECTIONS = {part.split("\n", 1)[0]: part for part in re.split(r"^###? ", TEXT, flags=re.MULTILINE)}
FLOWS = re.findall(r"```yaml\n(# flow\n.*?)```", TEXT, flags=re.DOTALL)


def properties(kind: str) -> set[str]:
    """The names of a widget's properties, as a definition spells them."""
    fields = RUNNING[kind].properties_model.model_fields
    return {field.alias or name for name, field in fields.items()}


@pytest.mark.parametrize("kind", sorted(RUNNING))
def test_every_widget_with_its_properties_and_events(kind: str) -> None:
    widget, section = RUNNING[kind], SECTIONS[kind]
    words = {*properties(kind), *widget.events} - {"offset"}
    assert {word for word in words if f"`{word}`" not in section} == set()


def test_every_property_that_is_documented_exists() -> None:
    for kind, widget in RUNNING.items():
        rows = re.findall(r"^\| (`[^|]*`) \| (?:required[^|]*)?\|", SECTIONS[kind], flags=re.MULTILINE)
        named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
        known = {*properties(kind), *widget.events, *get_args(Operator)}
        assert named <= known, kind


def test_every_operator_and_condition() -> None:
    words = {*get_args(Operator), *Condition.model_fields}
    assert {word for word in words if f"`{word}`" not in SECTIONS["split-based-on"]} == set()


def test_every_known_widget() -> None:
    assert {kind for kind in KNOWN if f"`{kind}`" not in SECTIONS["Widgets that are known"]} == set()


def test_every_name_of_the_context() -> None:
    values = Context(CALL, {}, flow_sid="FW", execution_sid="FN").values
    names = {f"trigger.call.{key}" for key in values["trigger"]["call"]}
    names |= {f"flow.{key}" for key in values["flow"]}
    assert {name for name in names if f"`{name}" not in SECTIONS["Templates"]} == set()


def test_every_limit() -> None:
    limits = SECTIONS["Limits"]
    assert f"{STEP_LIMIT:,} steps in an execution ({TOO_MANY_STEPS})" in limits
    assert f"widget {REPEAT_LIMIT} times in a row ({TOO_MANY_REPEATS})" in limits
    assert f"loop {LOOP_LIMIT:,} times" in SECTIONS["Templates"]
    assert f"fewer than {PARAMETER_LIMIT} characters" in SECTIONS["fork-stream"]


def test_the_flows_can_be_run(tmp_path: Path) -> None:
    assert len(FLOWS) == 4
    for text in FLOWS:
        (tmp_path / "flow.yaml").write_text(text)
        assert check(tmp_path / "flow.yaml") == []
