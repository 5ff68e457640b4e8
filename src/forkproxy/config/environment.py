"""``${NAME}`` in a configuration's texts: the environment's value takes its place.

``$${NAME}`` stands for the text ``${NAME}``. What came from the environment is never shown: problems name the
variable instead.

YAML takes the braces of an unquoted reference for its own where it stands in a ``{...}`` or ``[...]``. So
they are hidden from it (`hide_braces`) before the text is read, and come back in every value and message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from forkproxy.document import Document, did_you_mean
from forkproxy.errors import Problem

Path = tuple[str | int, ...]

_PLAIN = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_REFERENCE = re.compile(r"(\$?)\$\{([^}\n]*)(\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPEN, _CLOSE = "\uf8f0", "\uf8f1"
"""What stands for the braces while YAML reads: private characters, as long as what they stand for."""
_BRACES = str.maketrans({_OPEN: "{", _CLOSE: "}"})
_SHORTEST = 3
"""Values shorter than this are no secrets, and hiding them would garble messages."""


@dataclass
class Substitution:
    """What was put in, and what could not be."""

    problems: list[Problem] = field(default_factory=list)
    unset: set[Path] = field(default_factory=set)
    """Texts that still have a reference in them; what a model says about them is not worth reading."""
    used: dict[str, str] = field(default_factory=dict)
    """The values that were put in, and the names that they came from."""

    def hide(self, problem: Problem) -> Problem:
        """The problem without anything that came from the environment."""
        problem = show_braces(problem)
        message = problem.message
        for value in sorted(self.used, key=len, reverse=True):
            if len(value) >= _SHORTEST:
                message = message.replace(value, "${" + self.used[value] + "}")
        return replace(problem, message=message)


def hide_braces(text: str) -> str:
    """The text of a configuration with references that YAML reads as text; every place stays where it is."""
    return _PLAIN.sub(rf"${_OPEN}\1{_CLOSE}", text)


def show_braces(problem: Problem) -> Problem:
    """The problem with the braces as the file has them."""
    return replace(problem, path=problem.path.translate(_BRACES), message=problem.message.translate(_BRACES))


def substitute(
    document: Document, environ: Mapping[str, str], is_number: Callable[[Path], bool] = lambda path: False
) -> Substitution:
    """Replace the references in all texts of `document`, in place.

    Where `is_number` says that a number, true or false is wanted, a text that is one becomes it:
    the environment knows only text.
    """
    done = Substitution()
    for path, text in list(_texts(document.data, ())):
        text = text.translate(_BRACES)
        if "${" in text:
            _replace(document, path, text, environ, is_number, done)
    return done


def _replace(
    document: Document,
    path: Path,
    text: str,
    environ: Mapping[str, str],
    is_number: Callable[[Path], bool],
    done: Substitution,
) -> None:
    def value(match: re.Match[str]) -> str:
        escaped, name, closed = match.groups()
        if escaped:
            return match.group()[1:]
        if not closed or not _NAME.fullmatch(name):
            shown = match.group()
            message = f"{shown!r} is not ${{NAME}}, with a NAME of letters, digits and _"
        elif name not in environ:
            message = f"the environment has no {name}{did_you_mean(name, environ)}"
        else:
            done.used[environ[name]] = name
            return environ[name]
        done.problems.append(show_braces(document.problem(path, message)))
        done.unset.add(path)
        return match.group()

    new: Any = _REFERENCE.sub(value, text)
    if path not in done.unset and is_number(path):
        new = _as_number(new)
    document.at(path[:-1])[path[-1]] = new


def _as_number(text: str) -> str | int | float | bool:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) else text


def _texts(data: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(data, str):
        yield path, data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from _texts(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _texts(value, (*path, index))
