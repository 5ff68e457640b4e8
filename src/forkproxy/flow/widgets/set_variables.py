"""Set Variables: keep values under `flow.variables` (twilio.com/docs/studio/widget-library/set-variables)."""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar

from forkproxy.flow.definition import Name, Part, Properties
from forkproxy.flow.liquid import Object, Template
from forkproxy.flow.widgets.base import BAD_TEMPLATE, EMPTY, Goto, Site, Step, Widget

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,30})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,10})\.[0-9]{1,4}")


class Variable(Part):
    """One variable."""

    key: Name
    value: Template = EMPTY
    type: str = ""
    parse_as_json: bool = False


class SetVariablesProperties(Properties):
    """The properties of Set Variables."""

    variables: tuple[Variable, ...]


class SetVariables(Widget[SetVariablesProperties]):
    """Sets the variables in order, so that a later one can use an earlier one."""

    type_name: ClassVar[str] = "set-variables"
    events: ClassVar[tuple[str, ...]] = ("next",)
    properties_model: ClassVar[type[Properties]] = SetVariablesProperties
    waits: ClassVar[bool] = False

    def check(self, site: Site) -> None:
        for index, variable in enumerate(self.properties.variables):
            at = ("properties", "variables", index)
            if "{{" in variable.key or "{%" in variable.key:
                site.warning("a key is taken as it is: Liquid works in values only", *at, "key")
            if variable.parse_as_json and variable.value.literal:
                try:
                    _parse(variable.value.source)
                except ValueError as error:
                    site.error(f"is not JSON: {error}", *at, "value")

    def run(self, step: Step) -> Goto:
        written: dict[str, Any] = {}
        for variable in self.properties.variables:
            text = step.render(variable.value, f"the variable '{variable.key}'")
            value: Any = text if variable.type == "string" else _cast(text)
            if variable.parse_as_json:
                try:
                    value = _parse(text)
                except ValueError as error:
                    step.warn(
                        BAD_TEMPLATE, f"the variable '{variable.key}' is kept as text: not JSON: {error}"
                    )
            step.context.variables[variable.key] = written[variable.key] = value
        step.context.output(self.name, written)
        return self.follow("next")


def _cast(text: str) -> str | int | float:
    """A number where the text is one and looks the same when written out again, so that nothing is lost.

    >>> _cast(" 3 "), _cast("007"), _cast("+15551230000"), _cast("1.50")
    (3, '007', '+15551230000', '1.50')
    """
    bare = text.strip()
    if _INTEGER.fullmatch(bare) and bare != "-0":
        return int(bare)
    if _DECIMAL.fullmatch(bare) and str(float(bare)) == bare:
        return float(bare)
    return text


def _parse(text: str) -> Any:
    """JSON for templates to look into.

    Raises:
        ValueError: it is not JSON, or absurd.
    """

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    try:
        value = json.loads(text, object_hook=Object, parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    return "" if value is None else value
