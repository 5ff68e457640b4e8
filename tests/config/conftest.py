"""Configurations written for one test, with connector types that are not really installed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from forkproxy import config as configuration
from forkproxy.config import loader
from forkproxy.connectors import Registry
from forkproxy.connectors.registry import GROUP
from forkproxy.errors import Problem

FLOW: dict[str, Any] = {
    "description": "A call that is let in and hung up",
    "initial_state": "Trigger",
    "states": [
        {
            "name": "Trigger",
            "type": "trigger",
            "transitions": [{"event": "incomingCall", "next": "note"}],
            "properties": {"offset": {"x": 0, "y": 0}},
        },
        {
            "name": "note",
            "type": "set-variables",
            "transitions": [{"event": "next"}],
            "properties": {"variables": [{"key": "a", "value": "b"}]},
        },
    ],
}

SAMPLE = "tests.config.sample_connector"
POINTS = [
    EntryPoint("websocket", f"{SAMPLE}:Archive", GROUP),
    EntryPoint("archive", f"{SAMPLE}:Archive", GROUP),
    EntryPoint("refusing", f"{SAMPLE}:Refusing", GROUP),
    EntryPoint("broken", "tests.config.no_such_module:Connector", GROUP),
]


@pytest.fixture(autouse=True)
def _types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "Registry", lambda: Registry(POINTS))


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(FLOW))
    return path


Check = Callable[..., list[Problem]]
Load = Callable[..., configuration.Config]


@pytest.fixture
def write(tmp_path: Path, flow: Path) -> Callable[[str], Path]:
    """Write a configuration next to the flow; without a `flows:` of its own it gets one, as its last line."""

    def write(text: str) -> Path:
        if "flows" not in text:
            text = text.rstrip() + "\nflows: {default: flow.json}\n"
        path = tmp_path / "forkproxy.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def check(write: Callable[[str], Path]) -> Check:
    def check(text: str, environ: Mapping[str, str] | None = None) -> list[Problem]:
        return configuration.check(write(text), environ or {})

    return check


@pytest.fixture
def load(write: Callable[[str], Path]) -> Load:
    def load(text: str = "", environ: Mapping[str, str] | None = None) -> configuration.Config:
        return configuration.load(write(text), environ or {})

    return load
