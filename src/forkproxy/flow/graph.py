"""A flow as a graph: which widgets a call can reach, and which loops it could never leave."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Node:
    """One widget, however wrong the rest of it may be."""

    index: int
    """Its place in ``states``."""
    type: str
    edges: list[tuple[str, str | None]] = field(default_factory=list)
    """Event and target; None: the branch ends."""


def reached(nodes: Mapping[str, Node], start: str, *, ignore: Collection[str] = ()) -> set[str]:
    """The widgets that can be reached from `start`, it included, without following the events in `ignore`."""
    found: set[str] = set()
    waiting = [start] if start in nodes else []
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _targets(nodes, name, ignore)
    return found


def traps(nodes: Mapping[str, Node], instant: Collection[str]) -> Iterable[str]:
    """The first widget of every circle that a call could never leave.

    `instant` has the types of widget that do not wait: a circle of them alone runs away.
    """
    sources: dict[str, list[str]] = {name: [] for name in nodes}
    leaving: list[str] = []
    for name, node in nodes.items():
        targets = _targets(nodes, name, ())
        for target in targets:
            sources[target].append(name)
        if node.type not in instant or len(targets) < len(node.edges) or not node.edges:
            leaving.append(name)
    free: set[str] = set()
    while leaving:
        name = leaving.pop()
        if name not in free:
            free.add(name)
            leaving += sources[name]
    covered: set[str] = set()
    for name in nodes:
        if name not in free and name not in covered:
            covered |= reached(nodes, name)
            yield name


def _targets(nodes: Mapping[str, Node], name: str, ignore: Collection[str]) -> list[str]:
    edges = nodes[name].edges
    return [
        target for event, target in edges if target is not None and target in nodes and event not in ignore
    ]
