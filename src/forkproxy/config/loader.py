"""From a file to a `Config`, with every mistake found at once."""

from __future__ import annotations

import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from forkproxy import document as documents
from forkproxy import flow as flows
from forkproxy.config import checks, environment
from forkproxy.config.models import Config
from forkproxy.connectors import Instance, Registry
from forkproxy.connectors.registry import IMPLICIT
from forkproxy.document import Document
from forkproxy.errors import ConfigError, InputError, Problem
from forkproxy.flow import Flow


def load(path: Path | str, environ: Mapping[str, str] | None = None) -> Config:
    """Read and check a configuration and the flows that it names.

    Args:
        path: the file; paths in it start at its folder.
        environ: where ``${NAME}`` is looked up; the process's environment unless given.

    Raises:
        ConfigError: with all problems of the configuration and its flows, warnings included.
    """
    config, problems = _read(path, os.environ if environ is None else environ)
    if config is None:
        raise ConfigError(problems)
    return config


def check(path: Path | str, environ: Mapping[str, str] | None = None) -> list[Problem]:
    """All problems of a configuration and its flows, warnings included; see `load`."""
    return _read(path, os.environ if environ is None else environ)[1]


def instances(
    path: Path | str, environ: Mapping[str, str] | None = None
) -> tuple[dict[str, Instance], list[Problem]]:
    """The connectors' instances of a configuration, and what is wrong with them; the rest is not looked at.

    Raises:
        ConfigError: the file cannot be read.
    """
    registry = Registry()
    try:
        document = documents.load(path, prepare=environment.hide_braces)
    except InputError as error:
        raise ConfigError([environment.show_braces(problem) for problem in error.problems]) from error
    done = _substitute(document, os.environ if environ is None else environ, registry)
    found, problems = registry.read(document)
    problems = [done.hide(problem) for problem in problems] + [
        problem for problem in done.problems if problem.path.startswith("#/connectors/")
    ]
    return found, _sorted(problems, path)


def _read(path: Path | str, environ: Mapping[str, str]) -> tuple[Config | None, list[Problem]]:
    """The configuration, or None if it has errors; and all problems."""
    folder = Path(path).parent
    problems: list[Problem] = []
    try:
        document = documents.load(path, problems=problems, prepare=environment.hide_braces)
    except InputError as error:
        return None, [environment.show_braces(problem) for problem in error.problems]
    if not isinstance(document.data, dict):
        return None, [*problems, document.problem((), "is not a configuration: keys such as flows: expected")]
    registry = Registry()
    done = _substitute(document, environ, registry)
    found = list(problems)
    config = None
    try:
        config = documents.validate(document, Config, context={"folder": folder})
    except InputError as error:
        found += error.problems
    found += checks.cross_check(document, folder)
    made, mistakes = registry.read(document)
    found += mistakes
    if IMPLICIT not in registry.types and IMPLICIT not in made:
        message = "streams to URLs will fail: the package forkproxy-websocket is not installed"
        found.append(document.problem(("connectors",), message, warning=True))
    loaded = _flows(document, folder, found)
    unset = {document.problem(path, "").path for path in done.unset}
    problems = _sorted(
        done.problems + [done.hide(problem) for problem in found if problem.path not in unset], path
    )
    if config is None or any(not problem.warning for problem in problems):
        return None, problems
    config._flows = loaded
    config._instances = made
    config._warnings = tuple(problems)
    return config, problems


def _substitute(
    document: Document, environ: Mapping[str, str], registry: Registry
) -> environment.Substitution:
    return environment.substitute(document, environ, lambda at: _wants_number(at, document, registry))


def _flows(document: Document, folder: Path, problems: list[Problem]) -> dict[str, Flow]:
    """Load the flows by key, each file once; appends to `problems`."""
    written = document.data.get("flows")
    if not isinstance(written, dict):
        return {}
    unreadable = dict(checks.missing_flows(document, folder, written))
    problems += unreadable.values()
    connectors = checks.names(document)
    allow_ws = checks.allows_ws(document)
    files: dict[Path, Flow] = {}
    loaded: dict[str, Flow] = {}
    seen: set[Path] = set()
    for key, name in written.items():
        if not isinstance(name, str) or key in unreadable:
            continue
        file = folder / Path(name).expanduser()
        if file not in seen:
            seen.add(file)
            try:
                files[file] = flows.load(file, connectors=connectors, allow_ws=allow_ws)
                problems += files[file].warnings
            except InputError as error:
                problems += error.problems
        if file in files:
            loaded[key] = files[file]
    return loaded


def _wants_number(path: environment.Path, document: Document, registry: Registry) -> bool:
    """True where the model has a number or a boolean: ``streams.allow_ws: ${ALLOW_WS}`` must work."""
    model: Any = Config
    if len(path) > 2 and path[0] == "connectors":
        kind = checks.at(document, *path[:2], "type")
        connector = registry.load(kind).connector if kind in registry.types else None
        if connector is None:
            return False
        model, path = connector.settings_type, path[2:]
    for step in path:
        if not (isinstance(model, type) and issubclass(model, BaseModel) and step in model.model_fields):
            return False
        model = model.model_fields[str(step)].annotation
    return not {int, float, bool}.isdisjoint(_members(model))


def _members(annotation: Any) -> list[Any]:
    """The types of a union (a number or null), without what is said about them."""
    members = (
        typing.get_args(annotation)
        if typing.get_origin(annotation) in (typing.Union, types.UnionType)
        else (annotation,)
    )
    return [
        typing.get_args(each)[0] if typing.get_origin(each) is typing.Annotated else each for each in members
    ]


def _sorted(problems: list[Problem], path: Path | str) -> list[Problem]:
    """The configuration's first, in the order of its lines, then those of each flow file."""
    unique = dict.fromkeys(problems)
    return sorted(
        unique, key=lambda problem: (problem.file != str(path), problem.file, problem.line, problem.column)
    )
