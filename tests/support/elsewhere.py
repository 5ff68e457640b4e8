"""Another machine: a network namespace with one cable to this one. To forkproxy it is no loopback."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

_NUMBERS = itertools.count(os.getpid() % 200)


@dataclass(frozen=True)
class Elsewhere:
    """The other machine, while it is there."""

    name: str
    here: str
    """Our address on the cable."""
    there: str
    """Its own."""

    def command(self, *program: object) -> list[str]:
        """`program`, to be run there."""
        return ["ip", "netns", "exec", self.name, *map(str, program)]


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def available() -> bool:
    """Whether namespaces can be made here: by root, on a kernel that lets it."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        return False
    try:
        with elsewhere():
            return True
    except subprocess.CalledProcessError:
        return False


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    """Make the other machine, and take it away again."""
    number = next(_NUMBERS)
    name, ours, theirs = (f"fp{kind}{os.getpid()}" for kind in ("n", "a", "b"))
    made = Elsewhere(name, f"10.213.{number % 250}.1", f"10.213.{number % 250}.2")
    _ip("netns", "add", name)
    try:
        _ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
        _ip("addr", "add", f"{made.here}/24", "dev", ours)
        _ip("link", "set", ours, "up")
        _ip("-n", name, "addr", "add", f"{made.there}/24", "dev", theirs)
        _ip("-n", name, "link", "set", theirs, "up")
        yield made
    finally:
        with suppress(subprocess.CalledProcessError):
            _ip("link", "del", ours)
        _ip("netns", "del", name)


def needs_elsewhere() -> pytest.MarkDecorator:
    """Skip where no namespace can be made."""
    return pytest.mark.skipif(not available(), reason="no network namespaces (they take root)")
