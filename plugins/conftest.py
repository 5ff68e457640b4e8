"""The plugins are tested from their sources, installed or not, and leave the process as they found it."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.conftest import leaves_no_task, leaves_nothing_behind

__all__ = ["leaves_no_task", "leaves_nothing_behind"]

HERE = Path(__file__).parent
sys.path[:0] = [str(source) for source in sorted(HERE.glob("*/src"))]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """As in tests/conftest.py, which pytest has not loaded when only the plugins are tested."""
    for item in items:
        if not isinstance(item, pytest.Function) or HERE not in item.path.parents:
            continue
        if inspect.iscoroutinefunction(item.function) and "leaves_no_task" not in item.fixturenames:
            item.fixturenames.insert(0, "leaves_no_task")
