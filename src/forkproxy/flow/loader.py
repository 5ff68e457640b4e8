"""Loading a flow: the file, its envelope, its graph, and every widget; all mistakes at once."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from forkproxy import document as documents
from forkproxy.document import Document, closest, did_you_mean, validate
from forkproxy.errors import FlowError, InputError, Problem
from forkproxy.flow import graph
from forkproxy.flow.definition import KNOWN_KEYS, Envelope, State, Transition
from forkproxy.flow.liquid import Template
from forkproxy.flow.widgets import INVENTED, KNOWN, RUNNING, Widget
from forkproxy.flow.widgets.base import Site
from forkproxy.flow.widgets.fork_stream import ForkStream
from forkproxy.flow.widgets.split_based_on import SplitBasedOn
from forkproxy.flow.widgets.trigger import INCOMING_CALL, Trigger

M = TypeVar("M", bound=BaseModel)

_NO_CALL = tuple(event for event in Trigger.events if event != INCOMING_CALL)
_INSTANT = tuple(widget.type_name for widget in RUNNING.values() if not widget.waits)


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow that can be run."""

    path: Path
    """Its file."""
    description: str
    initial: str
    """The name of the trigger."""
    widgets: Mapping[str, Widget[Any]]
    """By name; every widget that an incoming call can reach is there."""
    warnings: tuple[Problem, ...]
    """What `check` would say besides."""


def load(
    path: Path | str, *, connectors: Collection[str] | None = None, allow_ws: bool | None = None
) -> Flow:
    """Read and check a flow definition (JSON as Studio exports it, or the same in YAML).

    Args:
        path: the file.
        connectors: the names of the connector instances that there are; None: not known, so not checked.
        allow_ws: whether streams may go to ``ws://``; None: not known, so a warning.

    Raises:
        FlowError: with every problem, warnings included.
    """
    problems: list[Problem] = []
    flow = _Loader(Path(path), problems, connectors, allow_ws).load()
    problems.sort(key=lambda problem: (problem.line, problem.column))
    if flow is None or any(not problem.warning for problem in problems):
        raise FlowError(problems)
    return Flow(flow.path, flow.description, flow.initial, flow.widgets, tuple(problems))


def check(
    path: Path | str, *, connectors: Collection[str] | None = None, allow_ws: bool | None = None
) -> list[Problem]:
    """Every problem of a flow definition, warnings included, in the order of its lines; see `load`."""
    try:
        return list(load(path, connectors=connectors, allow_ws=allow_ws).warnings)
    except FlowError as error:
        return list(error.problems)


class _Loader:
    """One look at one file: each stage goes on with what the one before could make sense of."""

    def __init__(
        self,
        path: Path,
        problems: list[Problem],
        connectors: Collection[str] | None,
        allow_ws: bool | None,
    ) -> None:
        self.path = path
        self.problems = problems
        self.connectors = connectors
        self.allow_ws = allow_ws
        self.document: Document
        self.nodes: dict[str, graph.Node] = {}
        self.by_call: set[str] = set()

    def load(self) -> Flow | None:
        """The flow, as far as it could be made; problems tell whether it can be run."""
        try:
            self.document = documents.load(self.path, problems=self.problems)
        except InputError as error:
            self.problems += error.problems
            return None
        envelope = self._envelope()
        if envelope is None:
            return None
        states = self._states(envelope)
        self._graph(envelope.initial_state, states)
        widgets: dict[str, Widget[Any]] = {}
        for index, state in states.items():
            widget = self._widget(index, state)
            if widget is not None:
                widgets[state.name] = widget
        self._check_stops([widget for widget in widgets.values() if isinstance(widget, ForkStream)])
        return Flow(self.path, envelope.description or "", envelope.initial_state, widgets, ())

    def _validated(self, model: type[M], *at: str | int) -> M | None:
        try:
            return validate(self.document, model, at)
        except InputError as error:
            self.problems += error.problems
            return None

    def _report(self, path: tuple[str | int, ...], message: str, **how: bool) -> None:
        self.problems.append(self.document.problem(path, message, **how))

    def _envelope(self) -> Envelope | None:
        data = self.document.data
        if isinstance(data, dict) and isinstance(data.get("definition"), dict) and "states" not in data:
            self._report(
                ("definition",), "the flow is in here: save what 'definition' holds as the file", key=True
            )
            return None
        envelope = self._validated(Envelope)
        if isinstance(data, dict):
            if envelope is None and isinstance(data.get("states"), list):
                initial = data.get("initial_state")
                envelope = Envelope.model_construct(
                    initial_state=initial if isinstance(initial, str) else "", states=tuple(data["states"])
                )
            for key in data:
                if key not in KNOWN_KEYS:
                    message = f"is not a known property, it is ignored{did_you_mean(key, KNOWN_KEYS)}"
                    self._report((key,), message, key=True, warning=True)
            flags = data.get("flags")
            if isinstance(flags, dict) and flags.get("allow_concurrent_calls") is False:
                message = "is false, but forkproxy takes several calls of one caller at the same time"
                self._report(("flags", "allow_concurrent_calls"), message, warning=True)
        return envelope

    def _states(self, envelope: Envelope) -> dict[int, State]:
        """The states that have at least a name and a type, by index; names are unique."""
        states: dict[int, State] = {}
        for index in range(len(envelope.states)):
            state = self._validated(State, "states", index)
            if state is None:
                state = self._rest_of(envelope.states[index])
                if state is None:
                    continue
            states[index] = state
            if state.name in self.nodes:
                first = self.nodes[state.name].index
                line = self.document.problem(("states", first, "name"), "").line
                message = f"'{state.name}' is the name of another widget too, in line {line}"
                self._report(("states", index, "name"), message)
                continue
            self.nodes[state.name] = graph.Node(index, state.type)
        return states

    @staticmethod
    def _rest_of(data: Any) -> State | None:
        """A state with a mistake, without it: so that what leads to it does not look wrong, too."""
        if not isinstance(data, dict):
            return None
        name, kind = data.get("name"), data.get("type")
        transitions, properties = data.get("transitions"), data.get("properties")
        if not (isinstance(name, str) and name):
            return None
        return State(
            name=name,
            type=kind if isinstance(kind, str) and kind else "?",
            transitions=tuple(transitions) if isinstance(transitions, list) else (),
            properties=properties if isinstance(properties, dict) else {},
        )

    def _graph(self, initial: str, states: Mapping[int, State]) -> None:
        dangling = False
        for index, state in states.items():
            node = self.nodes[state.name]
            for number, data in enumerate(state.transitions):
                if not isinstance(data, dict):
                    continue
                event, target = str(data.get("event")), data.get("next")
                if isinstance(target, str) and target and target not in self.nodes:
                    meant = closest(target, self.nodes)
                    self._dangling(("states", index, "transitions", number, "next"), target, meant)
                    dangling = dangling or meant is None
                    target = meant
                if node.index == index:  # not of a second widget with the same name
                    node.edges.append((event, target or None if isinstance(target, str) else None))
            if state.type == SplitBasedOn.type_name and "noMatch" not in (event for event, _ in node.edges):
                node.edges.append(("noMatch", None))
        if not initial or not self.nodes:  # reported with the envelope
            self.by_call = set(self.nodes)
            return
        if initial not in self.nodes:
            message = f"there is no widget '{initial}'{did_you_mean(initial, self.nodes)}"
            self._report(("initial_state",), message)
            self.by_call = set(self.nodes)
            return
        if self.nodes[initial].type != Trigger.type_name:
            self._report(("initial_state",), f"'{initial}' is not a widget of the type 'trigger'")
        self.by_call = graph.reached(self.nodes, initial, ignore=_NO_CALL)
        reached = graph.reached(self.nodes, initial)
        for name, node in self.nodes.items():
            if name not in reached and not dangling:  # otherwise who knows what leads there
                message = f"'{name}' is never reached: no transition leads there"
                self._report(("states", node.index, "name"), message, warning=True)
        for name in graph.traps(
            {each: self.nodes[each] for each in self.nodes if each in self.by_call}, _INSTANT
        ):
            message = f"from '{name}' on the flow goes in a circle for ever; it is stopped after 1,000 steps"
            self._report(("states", self.nodes[name].index, "name"), message, warning=True)

    def _dangling(self, path: tuple[str | int, ...], target: str, meant: str | None) -> None:
        hint = f"; did you mean '{meant}'?" if meant else ""
        if not meant and target.lower() in INVENTED:
            hint = f"; {INVENTED[target.lower()]}"
        self._report(path, f"there is no widget '{target}'{hint}")

    def _widget(self, index: int, state: State) -> Widget[Any] | None:
        """One widget, with all that is wrong with it reported."""
        at = ("states", index)
        runs = RUNNING.get(state.type)
        if runs is None:
            self._check_type(index, state)
        events = runs.events if runs else KNOWN.get(state.type)
        model = runs.transition_model if runs else Transition
        transitions = []
        seen: set[str] = set()
        for number in range(len(state.transitions)):
            transition = self._validated(model, *at, "transitions", number)
            if transition is None:
                continue
            transitions.append(transition)
            where = (*at, "transitions", number, "event")
            if events is not None and transition.event not in events:
                self._report(where, _wrong_event(transition.event, events))
            elif transition.event in seen and transition.event != "match":
                message = f"'{transition.event}' is here a second time: the first one counts"
                self._report(where, message, warning=True)
            seen.add(transition.event)
        if runs is None:
            return None
        broken = len(transitions) != len(state.transitions)
        properties = self._properties(runs, index)
        site = Site(
            self.document,
            at,
            self.problems,
            connectors=self.connectors,
            allow_ws=self.allow_ws,
            folder=self.path.parent,
            reachable=state.name in self.by_call,
        )
        if properties is None:
            broken, properties = True, _repaired(runs, state.properties, self.problems, site.document, at)
        if properties is None or (broken and runs.transition_model is not Transition):
            return None
        widget = runs(state.name, properties, transitions)
        widget.check(site)
        return None if broken else widget

    def _properties(self, runs: type[Widget[Any]], index: int) -> Any:
        if "properties" in self.document.at(("states", index)):
            return self._validated(runs.properties_model, "states", index, "properties")
        required = [name for name, field in runs.properties_model.model_fields.items() if field.is_required()]
        if not required:
            return runs.properties_model()
        message = f"is missing but it is required, with {', '.join(repr(name) for name in required)}"
        self._report(("states", index, "properties"), message)
        return None

    def _check_stops(self, forks: Sequence[ForkStream]) -> None:
        """A name that is stopped but never started is misspelt, or another system starts that stream."""
        started = [fork.properties.stream_name for fork in forks if fork.properties.stream_action == "start"]
        names = {name.source.strip() for name in started if name.source}
        for fork in forks:
            stopped = fork.properties.stream_name
            if fork.properties.stream_action == "start" or not stopped.source or not stopped.literal:
                continue
            if stopped.source.strip() not in names and all(name.literal for name in started):
                hint = did_you_mean(stopped.source, names)
                message = f"no widget of this flow starts a stream named '{stopped.source}'{hint}"
                at = ("states", self.nodes[fork.name].index, "properties", "stream_name")
                self._report(at, message, warning=True)

    def _check_type(self, index: int, state: State) -> None:
        if state.type == "?":
            return  # reported with the state
        where = ("states", index, "type")
        if state.type in KNOWN:
            reachable = state.name in self.by_call
            ending = "" if reachable else "; an incoming call does not get here"
            message = f"'{state.type}' is a Studio widget that forkproxy does not run yet{ending}"
            self._report(where, message, warning=not reachable)
            return
        known = [*RUNNING, *KNOWN]
        invented = INVENTED.get(state.type.lower().replace("_", "-"))
        hint = f": {invented}" if invented else did_you_mean(state.type, known)
        self._report(where, f"'{state.type}' is not a Studio widget{hint}")


def _wrong_event(event: str, events: tuple[str, ...]) -> str:
    if len(events) == 1:
        return f"must be a constant value {events[0]}, and it is '{event}'"
    listed = ", ".join(events)
    return f"'{event}' does not have a value in the enumeration [{listed}]{did_you_mean(event, events)}"


def _repaired(
    runs: type[Widget[Any]],
    given: Mapping[str, Any],
    problems: Sequence[Problem],
    document: Document,
    at: tuple[str | int, ...],
) -> Any:
    """Properties without what has been reported already, so that the rest can be checked, too; or None."""
    if not given:
        return None
    where = document.problem((*at, "properties"), "").path + "/"
    wrong = {
        problem.path[len(where) :].split("/")[0] for problem in problems if problem.path.startswith(where)
    }
    kept: dict[str, Any] = {}
    for name, field in runs.properties_model.model_fields.items():
        if name in given and name not in wrong:
            kept[name] = given[name]
        elif field.annotation is Template and (name in given or field.is_required()):
            kept[name] = "{{ x }}"  # could be anything
        elif name in given and field.is_required():
            kept[name] = str(given[name]).lower()  # "Start"
    try:
        return runs.properties_model.model_validate_json(json.dumps(kept), strict=True)
    except ValidationError:
        return None
