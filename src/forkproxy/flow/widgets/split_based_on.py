"""Split Based On...: take the branch that fits a value.

Text is compared without regard to case and to white space at its ends. A comparison that makes no sense for
its values (a number with a word, a date that is none) is false.

Source: twilio.com/docs/studio/widget-library/split-based-on.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, ClassVar, Literal, TypeVar

import regex
from pydantic import Field

from forkproxy.flow.definition import Part, Properties, Transition
from forkproxy.flow.liquid import Template
from forkproxy.flow.widgets.base import NO_MATCH, Goto, Site, Step, Widget

REGEX_SECONDS = 0.1
"""The longest that one regular expression may think: other calls wait meanwhile."""

Operator = Literal[
    "equal_to",
    "not_equal_to",
    "matches_any_of",
    "does_not_match_any_of",
    "is_blank",
    "is_not_blank",
    "regex",
    "contains",
    "does_not_contain",
    "starts_with",
    "does_not_start_with",
    "less_than",
    "greater_than",
    "is_before_time",
    "is_after_time",
    "is_before_date",
    "is_after_date",
]


class Condition(Part):
    """One comparison; those of one transition must all be true."""

    friendly_name: str = ""
    arguments: tuple[Template, ...] = ()
    """What is tested; Studio writes one, the widget's `input`."""
    type: Operator
    value: Template | None = None


class Match(Transition):
    """A transition of the split."""

    conditions: Annotated[tuple[Condition, ...], Field(min_length=1)] | None = None


class SplitBasedOnProperties(Properties):
    """The properties of Split Based On."""

    hints: ClassVar[dict[str, str]] = {"variable": "input", "value": "input", "test": "input"}

    input: Template


class SplitBasedOn(Widget[SplitBasedOnProperties]):
    """Tries its transitions in order."""

    type_name: ClassVar[str] = "split-based-on"
    events: ClassVar[tuple[str, ...]] = ("noMatch", "match")
    properties_model: ClassVar[type[Properties]] = SplitBasedOnProperties
    transition_model: ClassVar[type[Transition]] = Match
    waits: ClassVar[bool] = False

    def check(self, site: Site) -> None:
        if not self.has("noMatch"):
            site.warning("has no 'noMatch': where no condition is true the call is hung up", "transitions")
        for index, transition in enumerate(self.transitions):
            assert isinstance(transition, Match)
            at = ("transitions", index)
            if transition.event == "match" and transition.conditions is None:
                site.error("is missing but it is required for the event 'match'", *at, "conditions")
            if transition.event == "noMatch" and transition.conditions is not None:
                site.error("belongs to the event 'match', not to 'noMatch'", *at, "conditions", key=True)
            for number, condition in enumerate(transition.conditions or ()):
                self._check(site, condition, (*at, "conditions", number))

    def _check(self, site: Site, condition: Condition, at: tuple[str | int, ...]) -> None:
        if len(condition.arguments) > 1:
            site.warning("has more than one value: the first is tested", *at, "arguments")
        if condition.type in ("is_blank", "is_not_blank"):
            return
        if condition.value is None:
            site.error(f"is missing but it is required by '{condition.type}'", *at, "value")
        elif condition.type == "regex":
            try:
                if condition.value.literal:
                    regex.compile(condition.value.source, regex.IGNORECASE)
            except regex.error as error:
                site.error(f"is not a regular expression: {error}", *at, "value")
        elif condition.value.literal and condition.type in _PARSERS:
            what, parse = _PARSERS[condition.type]
            if parse(condition.value.source) is None:
                site.warning(f"is not {what}: '{condition.type}' is never true", *at, "value")

    def run(self, step: Step) -> Goto:
        for transition in self.transitions:
            assert isinstance(transition, Match)
            if transition.conditions and all(self._true(step, each) for each in transition.conditions):
                return Goto(transition.next or None)
        if not self.has("noMatch"):
            step.warn(NO_MATCH, "no condition is true and there is no 'noMatch': the call is hung up")
        return self.follow("noMatch")

    def _true(self, step: Step, condition: Condition) -> bool:
        tested = condition.arguments[0] if condition.arguments else self.properties.input
        subject = step.render(tested, "the value to test")
        value = step.render(condition.value, "the condition's value") if condition.value else ""
        try:
            return holds(condition.type, subject, value)
        except regex.error as error:
            step.warn(None, f"'{value[:100]}' is not a regular expression: {error}")
        except TimeoutError:
            step.warn(None, f"the regular expression '{value[:100]}' took too long and counts as no match")
        return False


def holds(operator: Operator, subject: str, value: str) -> bool:
    """Whether `subject` compares with `value` as the condition says.

    Raises:
        regex.error: `value` is not a regular expression.
        TimeoutError: the regular expression took longer than `REGEX_SECONDS`.
    """
    if operator == "regex":
        pattern = regex.compile(value, regex.IGNORECASE)
        return pattern.fullmatch(subject.strip(), timeout=REGEX_SECONDS) is not None
    if operator in _POSITIVE:
        return not _OPERATORS[_POSITIVE[operator]](_fold(subject), _fold(value))
    return _OPERATORS[operator](_fold(subject), _fold(value))


def _fold(text: str) -> str:
    return text.strip().casefold()


def _any_of(subject: str, value: str) -> bool:
    return subject in (each.strip() for each in value.split(","))


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _time(text: str) -> datetime.time | None:
    """A time of day, HH:MM or HH:MM:SS, 24 hours."""
    for pattern in ("%H:%M", "%H:%M:%S"):
        try:
            return datetime.datetime.strptime(text.strip(), pattern).time()
        except ValueError:
            continue
    return None


def _date(text: str) -> datetime.date | None:
    """A date, YYYY-MM-DD."""
    try:
        return datetime.datetime.strptime(text.strip(), "%Y-%m-%d").date()
    except ValueError:
        return None


V = TypeVar("V", Decimal, datetime.time, datetime.date)


def _ordered(parse: Callable[[str], V | None], *, less: bool) -> Callable[[str, str], bool]:
    """Compare two values of one kind; false when one of them is not of it."""

    def compare(subject: str, value: str) -> bool:
        left, right = parse(subject), parse(value)
        if left is None or right is None:
            return False
        return left < right if less else right < left

    return compare


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "equal_to": lambda subject, value: subject == value,
    "matches_any_of": _any_of,
    "is_blank": lambda subject, value: not subject,
    "contains": lambda subject, value: value in subject,
    "starts_with": lambda subject, value: subject.startswith(value),
    "less_than": _ordered(_number, less=True),
    "greater_than": _ordered(_number, less=False),
    "is_before_time": _ordered(_time, less=True),
    "is_after_time": _ordered(_time, less=False),
    "is_before_date": _ordered(_date, less=True),
    "is_after_date": _ordered(_date, less=False),
}
_POSITIVE: Mapping[str, str] = {
    "not_equal_to": "equal_to",
    "does_not_match_any_of": "matches_any_of",
    "is_not_blank": "is_blank",
    "does_not_contain": "contains",
    "does_not_start_with": "starts_with",
}
"""The operators that are the opposite of another."""
_PARSERS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "less_than": ("a number", _number),
    "greater_than": ("a number", _number),
    "is_before_time": ("a time HH:MM", _time),
    "is_after_time": ("a time HH:MM", _time),
    "is_before_date": ("a date YYYY-MM-DD", _date),
    "is_after_date": ("a date YYYY-MM-DD", _date),
}
