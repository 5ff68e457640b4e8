"""Liquid, the template language of Studio's widgets.

What is undefined is empty. A template is parsed when the flow is loaded, and its mistakes are found there; at
run time it can still fail on what it is given (a division by zero, a comparison of text with a number), which
is a `TemplateError` and nothing worse. Loops, output and variables have limits, so that no template can hold
up a call.

Source: twilio.com/docs/studio/user-guide/liquid-template-language.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any, cast

from liquid import Environment
from liquid.builtin.filters import misc
from liquid.exceptions import LiquidError
from liquid.filter import liquid_filter, with_context, with_environment
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from forkproxy.document import did_you_mean

LOOP_LIMIT = 1000
"""Iterations of a template's loops, the inner ones of nested loops counted each (Studio allows 15)."""
OUTPUT_LIMIT = 64 * 1024
"""Octets that a template may become."""
_NAMESPACE_LIMIT = 256 * 1024
_NOW = "forkproxy now"  # with a space, so that no template can name it


class TemplateError(Exception):
    """A template failed on the values that it was given (Twilio: warning 81018)."""


class Object(dict[str, Any]):
    """A JSON object among a template's values: written out, it is JSON again."""

    def __str__(self) -> str:
        return json.dumps(self, ensure_ascii=False)


class Template:
    """A text with Liquid in it, parsed.

    In a pydantic model it is what a text becomes; a mistake in it is a validation error at its place.

    >>> Template("Hello {{ name | upcase }}").render({"name": "ann"}, now=0.0)
    'Hello ANN'
    """

    __slots__ = ("_parsed", "source")

    def __init__(self, source: str) -> None:
        """Parse `source`.

        Raises:
            ValueError: it is not Liquid, or names a filter that there is not.
        """
        self.source = source
        self._parsed = _ENVIRONMENT.from_string("") if self.literal else _parse(source)

    def __repr__(self) -> str:
        return f"Template({self.source!r})"

    @property
    def literal(self) -> bool:
        """True: it is plain text and always the same."""
        return "{{" not in self.source and "{%" not in self.source

    @property
    def prefix(self) -> str:
        """The plain text in front of the first markup."""
        return self.source.split("{{")[0].split("{%")[0]

    def render(self, values: Mapping[str, object], now: float) -> str:
        """Fill the template with `values`; `now` (epoch seconds) is what ``"now" | date`` means.

        Raises:
            TemplateError: it cannot be filled with these values, or went beyond a limit.
        """
        if self.literal:
            return self.source
        try:
            return self._parsed.render({**values, _NOW: now})
        except LiquidError as error:
            raise TemplateError(str(error.message)) from error
        except Exception as error:  # a filter of the library tripped over a value
            raise TemplateError(f"{type(error).__name__}: {error}") from error

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            _validated,
            core_schema.str_schema(strict=True),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda template: template.source),
        )


def _validated(source: str) -> Template:
    try:
        return Template(source)
    except ValueError as error:
        raise PydanticCustomError("liquid", "{message}", {"message": str(error)}) from error


def _parse(source: str) -> Any:
    try:
        parsed = _ENVIRONMENT.from_string(source)
        filters = parsed.analyze().filters
    except LiquidError as error:
        place = error.context()
        where = f" at '{place[3].strip()[:60]}'" if place else ""
        raise ValueError(f"is not a valid Liquid template: {error.message}{where}") from error
    except Exception as error:  # the library's parser tripped
        raise ValueError(f"is not a valid Liquid template: {error}") from error
    for name in filters:
        if name not in _ENVIRONMENT.filters:
            hint = did_you_mean(name, _ENVIRONMENT.filters)
            raise ValueError(f"is not a valid Liquid template: there is no filter '{name}'{hint}")
    return parsed


@liquid_filter
def _to_json(value: object) -> str:
    """JSON of a value; what is undefined is null."""
    return json.dumps(value, ensure_ascii=False, default=lambda other: None if not str(other) else str(other))


@with_context
@with_environment
@liquid_filter
def _date(value: object, pattern: object, *, context: Any, environment: Environment) -> str:
    """The library's filter, but now is when the flow's event happened."""
    if value in ("now", "today"):
        value = datetime.datetime.fromtimestamp(cast(float, context.globals[_NOW])).astimezone()
    return cast(str, misc.date(value, pattern, environment=environment))


def _environment() -> Environment:
    class Limited(Environment):
        loop_iteration_limit = LOOP_LIMIT
        output_stream_limit = OUTPUT_LIMIT
        local_namespace_limit = _NAMESPACE_LIMIT

    environment = Limited()
    for tag in ("include", "render"):  # there are no other templates to include
        del environment.tags[tag]
    environment.add_filter("to_json", _to_json)
    environment.add_filter("json", _to_json)
    environment.add_filter("date", _date)
    return environment


_ENVIRONMENT = _environment()
