"""Every test leaves the process as it found it: threads, tasks, file descriptors and child processes."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

_KEPT = ("anon_inode:", "/dev/", "pipe:[", "/proc/", "/sys/")
"""Descriptors that libraries open once and keep, or whose number says nothing."""


def _descriptors() -> dict[str, str]:
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(entry)
        except FileNotFoundError:  # the one that this loop itself has open
            continue
        if not target.startswith(_KEPT):
            found[f"{entry.name}: {target}"] = target
    return found


def _children() -> set[str]:
    found: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found |= set((task / "children").read_text().split())
        except FileNotFoundError:  # the thread has ended
            continue
    return found


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


def _left(before: set[str], now: Callable[[], set[str]], grace: float = 2.0) -> set[str]:
    """What is there now and was not before, once what is ending has had its time to end."""
    deadline = time.monotonic() + grace
    while (left := now() - before) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    return left


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """Fail a test that leaves a thread, a socket or file, or a child process."""
    threads, children, descriptors = _threads(), _children(), set(_descriptors())
    yield
    assert not (left := _left(threads, _threads)), f"threads are left: {sorted(left)}"
    assert not (left := _left(children, _children)), f"child processes are left: {sorted(left)}"
    assert not (left := _left(descriptors, lambda: set(_descriptors()))), (
        f"descriptors are left: {sorted(left)}"
    )


@pytest.fixture
async def leaves_no_task() -> AsyncIterator[None]:
    """Fail an asynchronous test that leaves a task running in its loop."""
    before = asyncio.all_tasks()
    yield
    deadline = time.monotonic() + 2
    while left := {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}:
        assert time.monotonic() < deadline, f"tasks are left: {left}"
        await asyncio.sleep(0.01)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give asynchronous tests `leaves_no_task`, as the outermost of their fixtures; the longest come first.

    Tests run side by side, and nobody is to wait for one that began last.
    """
    items.sort(key=lambda item: not item.get_closest_marker("timeout"))
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
            item.fixturenames.insert(0, "leaves_no_task")
