"""The graph of a flow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forkproxy.flow.graph import Node, reached, traps

INSTANT = ("split",)


def graph(**targets: str) -> dict[str, Node]:
    """Nodes by name; the targets are letters, '-' is the end of a branch, capital names wait."""
    return {
        name: Node(
            index,
            "split" if name.islower() else "play",
            [(f"e{number}", None if target == "-" else target) for number, target in enumerate(edges)],
        )
        for index, (name, edges) in enumerate(targets.items())
    }


def test_reached() -> None:
    nodes = graph(a="bx", b="c-", c="", d="a")
    assert reached(nodes, "a") == {"a", "b", "c"}
    assert reached(nodes, "a", ignore=["e0"]) == {"a"}
    assert reached(nodes, "x") == set()


def test_traps() -> None:
    assert list(traps(graph(a="b", b="a"), INSTANT)) == ["a"]
    assert list(traps(graph(a="b", b="c", c="c"), INSTANT)) == ["a"]
    assert list(traps(graph(a="b", b="a-"), INSTANT)) == []
    assert list(traps(graph(a="b", b="aC", C="a"), INSTANT)) == []
    assert list(traps(graph(a="a", b="b", c="-"), INSTANT)) == ["a", "b"]
    assert list(traps(graph(a="ax"), INSTANT)) == [], "an edge to nowhere is a way out"


@given(st.lists(st.text("abcdef-F", max_size=3), min_size=6, max_size=6))
def test_a_trap_is_what_a_walk_never_leaves(edges: list[str]) -> None:
    nodes = graph(**dict(zip("abcdeF", edges, strict=True)))
    free = {name for name in nodes if not name.islower() or not edges["abcdeF".index(name)]}
    free |= {name for name, targets in zip("abcdeF", edges, strict=True) if set(targets) - set("abcdeF")}
    covered = {each for name in traps(nodes, INSTANT) for each in reached(nodes, name)}
    assert covered == {name for name in nodes if not reached(nodes, name) & free}
