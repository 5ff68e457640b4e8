"""A document against a pydantic model: every mistake at its line, in the words that Twilio Studio uses.

Types are strict: ``"5"`` is not an integer and 5 is no text. What JSON has no type for (paths, enumerations,
networks) is made from text.
"""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import pydantic

from forkproxy.document.tree import Document, did_you_mean
from forkproxy.errors import InputError, Problem

M = TypeVar("M", bound=pydantic.BaseModel)

_EXPECTED = {
    "string_type": "string",
    "int_type": "integer",
    "int_from_float": "integer",
    "float_type": "number",
    "bool_type": "boolean",
    "list_type": "array",
    "tuple_type": "array",
    "set_type": "array",
    "frozen_set_type": "array",
    "dict_type": "object",
    "mapping_type": "object",
    "model_type": "object",
    "model_attributes_type": "object",
    "dataclass_type": "object",
    "path_type": "string",
    "ip_any_address": "string",
    "ip_any_network": "string",
}
_FOUND = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def validate(document: Document, model: type[M], at: Sequence[str | int] = (), *, context: Any = None) -> M:
    """Check what stands at `at` against `model` and make one. `context` is handed to the model's validators.

    Raises:
        InputError: with every mistake.
    """
    try:
        data = document.at(at)
    except KeyError as error:
        raise InputError([document.problem(at, "is missing but it is required")]) from error
    try:
        # JSON in between: pydantic's strict mode then knows that an enumeration or a path is written as text.
        return model.model_validate_json(json.dumps(data), strict=True, context=context)
    except pydantic.ValidationError as error:
        problems = sorted(
            _problems(document, model, tuple(at), error), key=lambda problem: (problem.line, problem.column)
        )
        raise InputError(problems) from error


def _problems(
    document: Document,
    model: type[pydantic.BaseModel],
    at: tuple[str | int, ...],
    error: pydantic.ValidationError,
) -> Iterable[Problem]:
    types_at: dict[tuple[str | int, ...], list[str]] = {}
    found: list[tuple[tuple[str | int, ...], Any]] = []
    mistakes = error.errors(include_url=False)
    broken = {tuple(mistake["loc"][:-1]) for mistake in mistakes if mistake["loc"]}
    for mistake in mistakes:
        if mistake["type"] == "too_short" and tuple(mistake["loc"]) in broken:
            continue  # pydantic counts only the items that are right; the wrong ones have been named
        path, key = _path(document, at, mistake["loc"], missing=mistake["type"] == "missing")
        expected = _EXPECTED.get(mistake["type"])
        if expected is not None and (_name(mistake["input"]) != expected or path in types_at):
            if path not in types_at:  # the members of a union complain one by one
                found.append((path, mistake["input"]))
            if expected not in types_at.setdefault(path, []):
                types_at[path].append(expected)
        elif mistake["type"] == "extra_forbidden":
            message = f"is not a known property{_hint(model, path[len(at) :])}"
            yield document.problem(path, message, key=True)
        else:
            yield document.problem(path, _message(mistake), key=key)
    for path, value in found:
        if value is None:
            yield document.problem(path, "must not be null")
        else:
            expected = " or ".join(types_at[path])
            yield document.problem(path, f"{_name(value)} found, {expected} expected")


def _name(value: Any) -> str:
    return _FOUND.get(type(value), "null")


def _path(
    document: Document, at: tuple[str | int, ...], location: tuple[str | int, ...], *, missing: bool
) -> tuple[tuple[str | int, ...], bool]:
    """The document's path for pydantic's location, which also names members of unions; is a key meant?"""
    path = list(at)
    for position, step in enumerate(location):
        if step == "[key]":
            return tuple(path), True
        last = position == len(location) - 1
        try:
            document.at([*path, step])
        except KeyError:
            if not (last and missing):
                continue
        path.append(step)
    return tuple(path), False


def _message(mistake: Mapping[str, Any]) -> str:
    """One mistake in words."""
    context = mistake.get("ctx", {})
    match mistake["type"]:
        case "missing":
            return "is missing but it is required"
        case "literal_error" | "enum":
            allowed = re.findall(r"'((?:[^'\\]|\\.)*)'", str(context["expected"]))
            hint = did_you_mean(mistake["input"], allowed) if isinstance(mistake["input"], str) else ""
            listed = ", ".join(allowed) if allowed else str(context["expected"])
            return f"does not have a value in the enumeration [{listed}]{hint}"
        case "value_error" | "assertion_error":
            return str(context.get("error") or mistake["msg"])
        case "greater_than_equal":
            return f"must be {_number(context['ge'])} or more"
        case "less_than_equal":
            return f"must be {_number(context['le'])} or less"
        case "string_too_short" | "too_short" if context.get("min_length") == 1:
            return "must not be empty"
        case "too_long":
            return f"must not have more than {context['max_length']:,} items"
        case "too_short":
            return f"must have at least {context['min_length']:,} items"
        case "none_required":
            return f"{_name(mistake['input'])} found, null expected"
    message = str(mistake["msg"])
    if message.startswith("Input should "):
        return "must " + message.removeprefix("Input should ")
    return message[:1].lower() + message[1:]


def _number(limit: Any) -> str:
    return str(int(limit)) if isinstance(limit, float) and limit.is_integer() else str(limit)


def _hint(model: type[pydantic.BaseModel], path: Sequence[str | int]) -> str:
    """What the author of an unknown key may have meant; a model can say so in a dict named `hints`."""
    wrong = str(path[-1])
    models = _models_at(model, path[:-1])
    for each in models:
        if wrong in getattr(each, "hints", {}):
            return f"; did you mean '{each.hints[wrong]}'?"
    return did_you_mean(wrong, {name for each in models for name in _fields(each)})


def _fields(model: type[pydantic.BaseModel]) -> dict[str, Any]:
    """The keys that a model knows, as a document writes them, and what they are."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _models_at(annotation: Any, path: Sequence[str | int]) -> list[Any]:
    """The models that `annotation` has at `path`: more than one where there is a union."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        if not path:
            return [annotation]
        return _models_at(_fields(annotation).get(str(path[0])), path[1:])
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _models_at(arguments[0], path)
    if origin in (typing.Union, types.UnionType):
        return [model for member in arguments for model in _models_at(member, path)]
    if path and arguments:  # a list or tuple of, or a dict to
        return _models_at(arguments[0 if isinstance(path[0], int) else -1], path[1:])
    return []
