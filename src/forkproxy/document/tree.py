"""A document's values and the place of each of them in its file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from forkproxy.errors import Problem

MAX_BYTES = 8 * 1024 * 1024
"""The largest file that is read: a flow of a thousand widgets is a tenth of it."""
MAX_NODES = 500_000
"""The most values that a document may have, aliases counted as what they stand for."""
MAX_DEPTH = 64
"""The deepest nesting, aliases counted as what they stand for."""

Path = Sequence[str | int]


class Node:
    """A value and where it stands. Its children are nodes; `data` is the plain value of all of it."""

    __slots__ = ("children", "column", "data", "height", "keys", "line", "size", "text")

    def __init__(self, line: int, column: int, data: Any, text: str | None = None) -> None:
        self.line = line
        self.column = column
        self.data = data
        self.text = text
        """A scalar exactly as written: what it is as a mapping's key."""
        self.children: dict[str | int, Node] = {}
        self.keys: dict[str, tuple[int, int]] = {}
        """The line and column of each key of a mapping."""
        self.size = 1
        """This value and all below it."""
        self.height = 1

    def add(self, key: str | int, child: Node) -> None:
        """Put `child` below this mapping (at a key) or sequence (at the end)."""
        self.children[key] = child
        if isinstance(key, int):
            self.data.append(child.data)
        else:
            self.data[key] = child.data


class TooMuch(Exception):
    """The document is larger or deeper than any honest one."""


class Scope:
    """A mapping or sequence that is being read, and the way up."""

    __slots__ = ("key", "key_mark", "node")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.key: str | None = None
        self.key_mark = (0, 0)


class Builder:
    """Puts nodes together from what a reader meets, top down, without recursion; keeps the limits.

    Raises:
        TooMuch: from any of its methods.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Node | None = None
        self.problems: list[Problem] = []
        """Duplicate keys: the document can still be looked at for other mistakes."""
        self._scopes: list[Scope] = []
        self._nodes = 0

    @property
    def wants_key(self) -> bool:
        """The next value is a mapping's key."""
        return (
            bool(self._scopes)
            and isinstance(self._scopes[-1].node.data, dict)
            and self._scopes[-1].key is None
        )

    @property
    def innermost(self) -> Node:
        """The mapping or sequence that is being read."""
        return self._scopes[-1].node

    def path(self) -> list[str | int]:
        """The place of the next value."""
        path: list[str | int] = []
        for scope in self._scopes:
            if isinstance(scope.node.data, list):
                path.append(len(scope.node.data))
            elif scope.key is not None:
                path.append(scope.key)
        return path

    def key(self, text: str, line: int, column: int) -> None:
        """The next value is that of the key `text`."""
        scope = self._scopes[-1]
        first = scope.node.keys.get(text)
        if first is not None:
            where = pointer([*self.path(), text])
            message = f"is here a second time; the first is in line {first[0]}"
            self.problems.append(Problem(self.file, line, column, where, message))
        scope.key = text
        scope.key_mark = (line, column)

    def open(self, node: Node) -> None:
        """Begin a mapping or sequence."""
        self._scopes.append(Scope(node))
        if len(self._scopes) > MAX_DEPTH:
            raise TooMuch(f"is nested more than {MAX_DEPTH} deep")

    def close(self) -> Node:
        """End the innermost mapping or sequence and put it into the one around it."""
        node = self._scopes.pop().node
        node.size = 1 + sum(child.size for child in node.children.values())
        node.height = 1 + max((child.height for child in node.children.values()), default=0)
        self.value(node, new=False)
        return node

    def value(self, node: Node, *, new: bool = True) -> None:
        """Put a complete value at its place: a scalar, or (aliases) whatever an anchor stands for."""
        self._nodes += node.size if new else 1
        if self._nodes > MAX_NODES:
            raise TooMuch(f"has more than {MAX_NODES:,} values")
        if len(self._scopes) + node.height - 1 > MAX_DEPTH:
            raise TooMuch(f"is nested more than {MAX_DEPTH} deep")
        if not self._scopes:
            self.root = node
            return
        scope = self._scopes[-1]
        if scope.key is None:
            scope.node.add(len(scope.node.data), node)
            return
        if scope.key not in scope.node.keys:  # of duplicates the first stays
            scope.node.keys[scope.key] = scope.key_mark
            scope.node.add(scope.key, node)
        scope.key = None


class Document:
    """What a file says, and where.

    `data` is plain: dict, list, str, int, float, bool and None. Keys of mappings are always text. Values may
    be replaced in it: the places stay.
    """

    def __init__(self, file: str, root: Node) -> None:
        self.file = file
        self.data: Any = root.data
        self._root = root

    def __repr__(self) -> str:
        return f"Document({self.file!r})"

    def problem(self, path: Path, message: str, *, key: bool = False, warning: bool = False) -> Problem:
        """Say that something is wrong at `path`, a sequence of keys and indexes.

        The line is that of the value (`key`: of the key that it stands behind); when the path leads nowhere,
        of the nearest value that exists above it.
        """
        node, line, column = self._root, self._root.line, self._root.column
        for position, step in enumerate(path):
            child = node.children.get(step)
            if child is None:
                break
            line, column = child.line, child.column
            if key and position == len(path) - 1 and isinstance(step, str):
                line, column = node.keys[step]
            node = child
        return Problem(self.file, line, column, pointer(path), message, warning)

    def at(self, path: Path) -> Any:
        """The value at `path`.

        Raises:
            KeyError: there is none.
        """
        data = self.data
        for step in path:
            index = isinstance(data, list) and isinstance(step, int) and 0 <= step < len(data)
            if not index and not (isinstance(data, dict) and step in data):
                raise KeyError(step)
            data = data[step]
        return data


def pointer(path: Path) -> str:
    """Write a path as Twilio does (a JSON pointer, RFC 6901, as a fragment).

    >>> pointer(["states", 3, "properties", "timeout"])
    '#/states/3/properties/timeout'
    """
    return "#" + "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` is probably a misspelling of."""
    lower = {candidate.lower(): candidate for candidate in known}
    start = word.lower()[:200]
    longer = [candidate for candidate in lower if candidate.startswith(start)]
    if len(start) >= 3 and len(longer) == 1:  # "both" for "both_tracks"
        return lower[longer[0]]
    close = difflib.get_close_matches(start, lower, n=1, cutoff=0.6)
    return lower[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint to append to a message, or nothing.

    >>> did_you_mean("stream_tracks", ["stream_track", "stream_url"])
    "; did you mean 'stream_track'?"
    """
    meant = closest(word, known)
    return f"; did you mean '{meant}'?" if meant is not None else ""
