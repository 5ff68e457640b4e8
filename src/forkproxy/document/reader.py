"""From a file to a `Document`: which language it is in, and what can be wrong with the file itself."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path

from forkproxy.document import json_reader, yaml_reader
from forkproxy.document.tree import MAX_BYTES, Builder, Document, TooMuch
from forkproxy.errors import InputError, Problem


def load(
    path: Path | str,
    *,
    problems: list[Problem] | None = None,
    prepare: Callable[[str], str] | None = None,
) -> Document:
    """Read a YAML or JSON file; see `loads`. `prepare` may change the text before it is read, not its places.

    Raises:
        InputError: likewise, and when the file cannot be read or is not UTF-8.
    """
    file = str(path)
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError([Problem(file, 0, 0, "#", f"cannot be read: {error.strerror or error}")]) from error
    except ValueError as error:  # a NUL in the name
        raise InputError([Problem(file, 0, 0, "#", f"cannot be read: {error}")]) from error
    if len(data) > MAX_BYTES:
        message = f"is larger than {MAX_BYTES // 1024 // 1024} MB, which no flow or configuration is"
        raise InputError([Problem(file, 0, 0, "#", message)])
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError([Problem(file, 1, 1, "#", "is UTF-16; save it as UTF-8")])
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        message = f"is not UTF-8 (byte 0x{data[error.start]:02x}); save it as UTF-8"
        raise InputError([Problem(file, line, column, "#", message)]) from error
    return loads(text if prepare is None else prepare(text), file, problems=problems)


def loads(text: str, file: str, *, problems: list[Problem] | None = None) -> Document:
    """Read YAML or JSON. A `file` that ends in ``.json`` is JSON; others are JSON if they can be read as it.

    With `problems`, mistakes that leave something to look at (duplicate keys) are appended to that list, so
    that a caller can report them with its own findings; without, they are raised.

    Raises:
        InputError: a syntax error, a duplicate key, more than one document, an empty one, or one that is
            beyond `MAX_NODES` or `MAX_DEPTH` (anchors that multiply, say).
    """
    text = text.removeprefix("\ufeff")
    builder = Builder(file)
    try:
        _read(text, builder)
    except TooMuch as error:
        raise InputError([Problem(file, 0, 0, "#", str(error))]) from error
    if problems is not None:
        problems.extend(builder.problems)
    elif builder.problems:
        raise InputError(builder.problems)
    assert builder.root is not None
    return Document(file, builder.root)


def _read(text: str, builder: Builder) -> None:
    if not text.strip():
        raise InputError([Problem(builder.file, 0, 0, "#", "is empty")])
    if builder.file.lower().endswith(".json"):
        json_reader.read(text, builder)
        return
    if text.lstrip()[0] in "{[":
        trial = Builder(builder.file)
        try:
            json_reader.read(text, trial)
        except InputError:
            pass  # YAML's own braces
        else:
            builder.root, builder.problems = trial.root, trial.problems
            return
    yaml_reader.read(text, builder)
