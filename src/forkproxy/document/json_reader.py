"""JSON (RFC 8259) with the place of every value; the standard library's reader keeps none."""

from __future__ import annotations

import json
import re
from bisect import bisect_right

from forkproxy.document.tree import Builder, Node
from forkproxy.errors import InputError, Problem

_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?", re.ASCII)
_WORD = re.compile(r"[^\s,:\[\]{}\"]+")
_CONSTANTS = {"true": True, "false": False, "null": None}
_MAX_DIGITS = 300
_STRING = json.JSONDecoder()


def read(text: str, builder: Builder) -> None:
    """Read `text` into `builder`.

    Raises:
        InputError: it is not JSON.
        TooMuch: see `Builder`.
    """
    _Reader(text, builder).document()


def number(literal: str) -> int | float:
    """The value of a JSON number.

    Raises:
        ValueError: it is absurdly long.
    """
    if len(literal) > _MAX_DIGITS:
        raise ValueError(f"has a number of {len(literal)} digits")
    return float(literal) if any(c in ".eE" for c in literal) else int(literal)


class _Reader:
    def __init__(self, text: str, builder: Builder) -> None:
        self.text = text
        self.builder = builder
        self.position = 0
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]

    def mark(self, position: int) -> tuple[int, int]:
        line = bisect_right(self.lines, position)
        return line, position - self.lines[line - 1] + 1

    def error(self, message: str, position: int | None = None) -> InputError:
        line, column = self.mark(self.position if position is None else position)
        return InputError([Problem(self.builder.file, line, column, "#", f"is not JSON: {message}")])

    def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        match = _SPACE.match(self.text, self.position)
        assert match is not None
        self.position = match.end()
        return self.text[self.position : self.position + 1]

    def document(self) -> None:
        closers: list[str] = []
        self.value(closers)
        while closers:
            self.member(closers)
        if self.peek():
            raise self.error("there is more text behind the end of the document")

    def member(self, closers: list[str]) -> None:
        """Read to the end of the innermost object or array, or its next value."""
        closer = closers[-1]
        node = self.builder.innermost
        character = self.peek()
        if character == closer:
            self.position += 1
            closers.pop()
            self.builder.close()
            return
        if node.children:
            if character != ",":
                raise self.error(f"expected ',' or '{closer}'" + self.found(character))
            comma = self.position
            self.position += 1
            if self.peek() == closer:
                raise self.error("a comma before the end of the object or array", comma)
        if closer == "}":
            self.key()
        self.value(closers)

    def key(self) -> None:
        if self.peek() != '"':
            raise self.error("expected a key in double quotes" + self.found(self.peek()))
        start = self.position
        self.builder.key(self.string(), *self.mark(start))
        if self.peek() != ":":
            raise self.error("expected ':' behind the key" + self.found(self.peek()))
        self.position += 1

    def value(self, closers: list[str]) -> None:
        character = self.peek()
        line, column = self.mark(self.position)
        if character in ("{", "["):
            self.position += 1
            closers.append("}" if character == "{" else "]")
            self.builder.open(Node(line, column, {} if character == "{" else []))
        elif character == '"':
            self.builder.value(Node(line, column, self.string()))
        else:
            self.builder.value(Node(line, column, self.literal(character)))

    def string(self) -> str:
        try:
            value, self.position = _STRING.raw_decode(self.text, self.position)
        except json.JSONDecodeError as error:
            hint = " (write a tab as \\t)" if self.text[error.pos : error.pos + 1] == "\t" else ""
            message = error.msg[0].lower() + error.msg[1:].removesuffix(" at") + hint
            raise self.error(message, error.pos) from error
        assert isinstance(value, str)
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise self.error("half of a surrogate pair (\\ud800 to \\udfff) stands alone") from error
        return value

    def literal(self, character: str) -> int | float | bool | None:
        match = _NUMBER.match(self.text, self.position)
        word = _WORD.match(self.text, self.position)
        if match and word and match.end() == word.end():
            self.position = match.end()
            try:
                return number(match.group())
            except ValueError as error:
                raise self.error(str(error), match.start()) from error
        if word and word.group() in _CONSTANTS:
            self.position = word.end()
            return _CONSTANTS[word.group()]
        raise self.error("expected a value" + self.found(character))

    def found(self, character: str) -> str:
        """What stands there instead, with a hint for what people try."""
        if not character:
            return ", found the end of the file"
        if character in "/#":
            return ", found a comment (JSON has none)"
        if character == "'":
            return ", found a single quote (JSON wants double quotes)"
        word = _WORD.match(self.text, self.position)
        return f", found '{word.group()[:30] if word else character}'"
