"""Flows as YAML texts, and calls to run them for."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forkproxy.flow import Execution, Flow, check, load
from forkproxy.model import CallInfo

NOW = 1_767_600_000.0  # Monday 2026-01-05 08:00 UTC
CALL = CallInfo("CA" + "1" * 32, "AC" + "2" * 32, "+15550001111", "+15550100")

HEAD = """\
initial_state: Trigger
states:
  - {name: Trigger, type: trigger, transitions: [{event: incomingCall, next: first}]}
"""


@pytest.fixture
def corpus() -> Path:
    return Path(__file__).parents[1] / "corpus" / "flows"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Write the states of a flow behind a trigger that leads to 'first'; give the file."""

    def write(states: str) -> Path:
        path = tmp_path / "flow.yaml"
        path.write_text(HEAD + textwrap.indent(textwrap.dedent(states), "  "))
        return path

    return write


@pytest.fixture
def found(write: Callable[[str], Path]) -> Callable[..., list[str]]:
    """What `check` finds in states: path and message of each, warnings marked."""

    def found(states: str, **known: Any) -> list[str]:
        return [
            f"{'warning: ' if problem.warning else ''}{problem.path}: {problem.message}"
            for problem in check(write(states), **known)
        ]

    return found


@pytest.fixture
def flow_of(write: Callable[[str], Path]) -> Callable[..., Flow]:
    """A flow from the text of its states."""

    def flow_of(states: str, **known: Any) -> Flow:
        return load(write(states), **known)

    return flow_of


@pytest.fixture
def execution_of(flow_of: Callable[..., Flow]) -> Callable[..., Execution]:
    """An execution, not yet started, from the text of its states; keywords are further call parameters."""

    def execution_of(states: str, **parameters: str) -> Execution:
        return execution(flow_of(states), **parameters)

    return execution_of


def execution(flow: Flow, **parameters: str) -> Execution:
    """An execution for the call that all tests share."""
    sids = {"flow_sid": "FW" + "3" * 32, "execution_sid": "FN" + "4" * 32}
    return Execution(flow, CALL, call_parameters=parameters, **sids)
