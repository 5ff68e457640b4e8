"""Which connector types are installed, and the instances that the configuration makes of them.

A type is an entry point in the group ``forkproxy.connectors``. Nothing is imported before it is needed: a
package that is broken but not configured does no harm, and a configured one fails by its name.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pydantic

from forkproxy.connectors.api import Connector, Host, Settings, describe
from forkproxy.document import Document, did_you_mean, loads, validate
from forkproxy.errors import ConfigError, InputError, Problem

GROUP = "forkproxy.connectors"
IMPLICIT = "websocket"
"""The instance that a websocket stream without a connector goes to: there without being configured."""

ConnectorClass = type[Connector[Any]]
At = Sequence[str | int]


@dataclass(frozen=True, slots=True)
class InstalledConnector:
    """One connector type that a package offers."""

    type: str
    """The entry point's name: what the configuration writes as ``type``."""
    package: str
    """The distribution, ``forkproxy-websocket``."""
    version: str
    target: str
    """``module:class``."""
    connector: ConnectorClass | None
    """The class; None: it cannot be used, see `error`."""
    error: str | None = None
    """What is wrong with it, in one line."""

    @property
    def source(self) -> str:
        """``forkproxy-websocket 0.1.0 (forkproxy_websocket:WebSocket)``."""
        return f"{self.package} {self.version} ({self.target})"


@dataclass(frozen=True, slots=True)
class Instance:
    """One entry of the configuration's ``connectors``, checked but not made yet."""

    name: str
    type: str
    connector: ConnectorClass
    settings: Settings
    document: Document | None
    """Where it stands; None: nowhere, it is implicit."""
    at: tuple[str | int, ...] = ()


def installed() -> list[InstalledConnector]:
    """Every installed type, loaded, sorted by type; what cannot be loaded says why."""
    return Registry().installed()


def build(
    connectors: Mapping[str, Mapping[str, Any]], host: Host, *, folder: Path | None = None
) -> dict[str, Connector[Any]]:
    """Make the instances of a configuration that is at hand as plain values, the implicit one included.

    Args:
        folder: where relative paths in settings start; the working directory unless given.

    Raises:
        ConfigError: settings have mistakes, or connectors failed to start; all are named.
    """
    document = loads(
        json.dumps({"connectors": connectors}, default=str), str((folder or Path()) / "connectors")
    )
    registry = Registry()
    instances, problems = registry.read(document)
    if any(not problem.warning for problem in problems):
        raise ConfigError(problems)
    return registry.build(instances, host)


class Registry:
    """The installed types; finds them when it is made, loads each when it is needed."""

    def __init__(self, points: Iterable[EntryPoint] | None = None) -> None:
        """Look at the installed packages (or, for tests, at `points`)."""
        self._points: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=GROUP) if points is None else points:
            self._points.setdefault(point.name, []).append(point)
        self._loaded: dict[str, InstalledConnector] = {}

    @property
    def types(self) -> tuple[str, ...]:
        """The names of the installed types, broken ones included."""
        return tuple(sorted(self._points))

    def installed(self) -> list[InstalledConnector]:
        """Every type, loaded; a type that several packages offer once for each, with that as its error."""
        found: list[InstalledConnector] = []
        for name in self.types:
            points = self._points[name]
            if len(points) == 1:
                found.append(self.load(name))
            else:
                found.extend(_described(point, error=_ambiguous(name, points)) for point in points)
        return found

    def load(self, name: str) -> InstalledConnector:
        """Import and check the type `name`, once.

        Raises:
            KeyError: no package offers it.
        """
        if name not in self._loaded:
            points = self._points[name]
            if len(points) > 1:
                self._loaded[name] = _described(points[0], error=_ambiguous(name, points))
            else:
                self._loaded[name] = _load(points[0])
        return self._loaded[name]

    def read(self, document: Document, at: At = ("connectors",)) -> tuple[dict[str, Instance], list[Problem]]:
        """Check the mapping of instances at `at`; nothing there is no instances.

        Every mistake in it is in the list. The instances are those without one, and the implicit
        ``websocket`` if its package is installed.
        """
        instances: dict[str, Instance] = {}
        problems: list[Problem] = []
        try:
            entries = _entries(document, at)
        except InputError as error:
            entries = ()
            problems.extend(error.problems)
        for name in entries:
            try:
                instances[name] = self._read_instance(document, name, (*at, name))
            except InputError as error:
                problems.extend(error.problems)
        if IMPLICIT not in entries and IMPLICIT in self._points:
            implicit = self.load(IMPLICIT)
            if implicit.connector is not None:
                settings = implicit.connector.settings_type()
                instances[IMPLICIT] = Instance(IMPLICIT, IMPLICIT, implicit.connector, settings, None)
            else:
                message = f"the connector type '{IMPLICIT}' of {implicit.source} {implicit.error}"
                problems.append(document.problem(at, message, warning=True))
        return instances, problems

    def build(self, instances: Mapping[str, Instance], host: Host) -> dict[str, Connector[Any]]:
        """Make the connectors.

        Raises:
            ConfigError: connectors refused their settings or failed to start; all of them are named.
        """
        built: dict[str, Connector[Any]] = {}
        problems: list[Problem] = []
        for name, instance in instances.items():
            try:
                built[name] = instance.connector(name, instance.settings, host)
            except Exception as error:
                problems.append(_cannot_start(instance, error))
        if problems:
            raise ConfigError(problems)
        return built

    def _read_instance(self, document: Document, name: str, at: tuple[str | int, ...]) -> Instance:
        type_ = validate(document, _Entry, at).type
        if type_ not in self._points:
            message = f"no installed package offers the connector type '{type_[:100]}'"
            hint = did_you_mean(type_, self.types) or f"; installed: {', '.join(self.types) or 'none'}"
            raise InputError([document.problem((*at, "type"), message + hint)])
        loaded = self.load(type_)
        if loaded.connector is None:
            message = f"the connector type '{type_}' of {loaded.source} {loaded.error}"
            raise InputError([document.problem((*at, "type"), message)])
        context = {"folder": Path(document.file).resolve().parent}
        model = _with_type(loaded.connector.settings_type)
        return Instance(
            name, type_, loaded.connector, validate(document, model, at, context=context), document, at
        )


class _Entry(Settings):
    """What every instance has."""

    model_config = pydantic.ConfigDict(extra="allow")

    type: str


def _entries(document: Document, at: At) -> Collection[str]:
    """The names of the instances.

    Raises:
        InputError: what stands there is no mapping.
    """
    try:
        entries = document.at(at)
    except KeyError:
        return ()
    if not isinstance(entries, dict):
        validate(document, Settings, at)
    return tuple(entries)


def _load(point: EntryPoint) -> InstalledConnector:
    found = error = None
    try:
        found = point.load()
    except ImportError as failure:
        error = f"cannot be imported: {failure}"
    except AttributeError as failure:
        error = f"cannot be loaded: {failure}"
    except (Exception, SystemExit) as failure:
        error = f"failed while it was imported: {type(failure).__name__}: {failure}"
    else:
        error = check(found)
    return _described(point, connector=None if error else found, error=error)


def check(connector: object) -> str | None:
    """What keeps `connector` from being one, or None."""
    if not inspect.isclass(connector) or not issubclass(connector, Connector):
        return f"is not a subclass of Connector but {connector!r}"
    settings = connector.settings_type
    if not inspect.isclass(settings) or not issubclass(settings, Settings):
        return f"has settings that are not a subclass of Settings but {settings!r}"
    if "type" in settings.model_fields:
        return "has settings with a field 'type', which is forkproxy's own"
    abstract = sorted(getattr(connector, "__abstractmethods__", ()))
    if abstract:
        return f"does not define {', '.join(abstract)}()"
    for name in ("stream", "close"):
        if not asyncio.iscoroutinefunction(getattr(connector, name)):
            return f"has a method {name} that is not a coroutine function (async def)"
    try:
        inspect.signature(connector).bind("name", settings, "host")
    except TypeError as error:
        return f"cannot be made from (name, settings, host): {error}"
    return None


def settings_of(connector: ConnectorClass, settings: Mapping[str, object]) -> Settings:
    """Check `settings` as if they stood in the configuration.

    Raises:
        InputError: with every mistake.
    """
    text = json.dumps(settings, default=str)
    return validate(loads(text, "settings"), connector.settings_type)


def _described(
    point: EntryPoint, *, connector: ConnectorClass | None = None, error: str | None = None
) -> InstalledConnector:
    package, version = _distribution(point)
    return InstalledConnector(point.name, package, version, point.value, connector, error)


def _distribution(point: EntryPoint) -> tuple[str, str]:
    if point.dist is None:
        return "an unknown package", "of an unknown version"
    return point.dist.name, point.dist.version


def _ambiguous(name: str, points: Sequence[EntryPoint]) -> str:
    packages = " and ".join(" ".join(_distribution(point)) for point in points)
    return f"is ambiguous: '{name}' is offered by {packages}; uninstall all but one"


def _with_type(model: type[Settings]) -> type[Settings]:
    """`model` with the key ``type``, so that the settings can be checked where they stand."""
    key: Any = (str, pydantic.Field(exclude=True, repr=False))
    return pydantic.create_model(model.__name__, __base__=model, __module__=model.__module__, type=key)


def _cannot_start(instance: Instance, error: Exception) -> Problem:
    message = describe(error)
    if not isinstance(error, OSError | ValueError | LookupError) and type(error).__module__ == "builtins":
        message = f"{type(error).__name__}: {message}"
    text = f"the connector cannot start: {message}"
    if instance.document is None:
        return Problem(f"connector {instance.name}", 0, 0, "#", text)
    return instance.document.problem(instance.at, text, key=True)
