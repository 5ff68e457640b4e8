"""What a widget is.

A widget is a class with

- `type_name`, its type in a definition, and `events`, what its transitions may be about;
- `properties_model`, the model of its properties, in Studio's spelling;
- `check`, which finds what types alone do not show, when the flow is loaded;
- `run`, which does its work when the flow reaches it: it answers with where to go (`Goto`) or with an action
  to wait for; `resume` then takes the action's outcome.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from forkproxy.document import Document
from forkproxy.errors import Problem
from forkproxy.flow.actions import Action, WaitingAction, Warn
from forkproxy.flow.context import Context
from forkproxy.flow.definition import Properties, Transition
from forkproxy.flow.events import CallerHungUp, FlowEvent
from forkproxy.flow.liquid import Template, TemplateError

EMPTY = Template("")
"""The default of a text property: empty and absent are the same, as in Studio."""

BAD_TEMPLATE = 81018
NO_MATCH = 81005


@dataclass(frozen=True, slots=True)
class Goto:
    """The widget is done: the flow goes on at the widget of this name, or ends."""

    target: str | None


class Site:
    """A place in a definition, while it is checked: where problems are reported."""

    def __init__(
        self,
        document: Document,
        path: Sequence[str | int],
        problems: list[Problem],
        *,
        connectors: Collection[str] | None,
        allow_ws: bool | None,
        folder: Path,
        reachable: bool,
    ) -> None:
        self.document = document
        self.path = tuple(path)
        self.problems = problems
        self.connectors = connectors
        """The connector instances that there are; None: not known."""
        self.allow_ws = allow_ws
        """Whether plain ``ws://`` may be used; None: not known."""
        self.folder = folder
        """The folder of the flow's file."""
        self.reachable = reachable
        """An incoming call can get here."""

    def error(self, message: str, *path: str | int, key: bool = False) -> None:
        """The flow cannot be run. `path` leads on from the widget."""
        self.problems.append(self.document.problem((*self.path, *path), message, key=key))

    def warning(self, message: str, *path: str | int, key: bool = False) -> None:
        """The flow can be run, but it will not do what it seems to."""
        problem = self.document.problem((*self.path, *path), message, key=key, warning=True)
        self.problems.append(problem)

    def not_yet(self, message: str, *path: str | int, key: bool = False) -> None:
        """Studio can, we cannot: an error only where calls can get."""
        (self.error if self.reachable else self.warning)(message, *path, key=key)


class Step:
    """One widget's turn: what it can see and do."""

    def __init__(self, widget: str, context: Context, folder: Path, now: float, out: list[Action]) -> None:
        self.widget = widget
        self.context = context
        self.folder = folder
        """The folder of the flow's file."""
        self.now = now
        self._out = out

    def warn(self, code: int | None, message: str) -> None:
        """Tell the flow's author something."""
        self._out.append(Warn(code, message, self.widget))

    def render(self, template: Template, what: str) -> str:
        """Fill a template; one that fails is empty and a warning. `what` names the property."""
        try:
            return template.render(self.context.values, self.now)
        except TemplateError as error:
            self.warn(BAD_TEMPLATE, f"the template of {what} failed, it is taken as empty: {error}")
            return ""

    def text(self, template: Template, what: str) -> str | None:
        """Fill a template whose surrounding white space means nothing; None when it comes out empty."""
        return self.render(template, what).strip() or None


P = TypeVar("P", bound=Properties)


class Widget(ABC, Generic[P]):
    """One widget of a flow. See the module's text."""

    type_name: ClassVar[str]
    events: ClassVar[tuple[str, ...]]
    properties_model: ClassVar[type[Properties]] = Properties
    transition_model: ClassVar[type[Transition]] = Transition
    waits: ClassVar[bool] = True
    """False: the flow never stops here, so a loop of nothing but such widgets runs away."""

    def __init__(self, name: str, properties: P, transitions: Sequence[Transition]) -> None:
        self.name = name
        self.properties = properties
        self.transitions = tuple(transitions)

    def __repr__(self) -> str:
        return f"<{self.type_name} {self.name!r}>"

    def has(self, event: str) -> bool:
        """There is a transition for `event`, though it may lead nowhere."""
        return any(transition.event == event for transition in self.transitions)

    def follow(self, event: str) -> Goto:
        """Where the transition for `event` leads; without one the flow ends."""
        for transition in self.transitions:
            if transition.event == event:
                return Goto(transition.next or None)
        return Goto(None)

    def check(self, site: Site) -> None:
        """Report to `site` what is wrong with this widget."""

    @abstractmethod
    def run(self, step: Step) -> Goto | WaitingAction:
        """The flow has come to this widget."""

    def resume(self, step: Step, event: FlowEvent) -> Goto | None:
        """The outcome of the action that `run` returned; None: `event` is not about that."""
        return None

    def caller_gone(self, step: Step, event: CallerHungUp) -> Goto | None:
        """The caller hung up while the flow waited here; None: so the flow ends."""
        return None
