"""YAML with the place of every value, from libyaml's events: without tags, types or code of YAML's own."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from forkproxy.document.json_reader import number
from forkproxy.document.tree import Builder, Node
from forkproxy.errors import InputError, Problem

_LOADER = getattr(yaml, "CLoader", yaml.Loader)  # only its events are used, never its constructors
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_CONSTANTS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = ("", "~", "null", "Null", "NULL")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""``{password: ${NAME}}`` is not YAML, since a brace ends the text; but it is what people write."""
_LEFT, _RIGHT = "\ue000", "\ue001"
"""Stand for the braces of a reference while YAML is read: one character each, so that places stay right."""
_STANDARD = "tag:yaml.org,2002:"


def read(text: str, builder: Builder) -> None:
    """Read `text` into `builder`.

    Raises:
        InputError: it is not YAML, or YAML that we refuse (tags, keys that are not text, several documents).
        TooMuch: see `Builder`.
    """
    if _LEFT in text or _RIGHT in text:
        _Reader(builder, shielded=False).document(_events(text, builder.file))
    else:
        shielded = _REFERENCE.sub(rf"${_LEFT}\1{_RIGHT}", text)
        _Reader(builder, shielded=True).document(_events(shielded, builder.file))


def _events(text: str, file: str) -> Iterator[yaml.Event]:
    try:
        text.encode()
        yield from yaml.parse(text, Loader=_LOADER)
    except yaml.reader.ReaderError as error:
        before = _before(text, error)
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        raise InputError([Problem(file, line, column, "#", f"is not YAML: {error.reason}")]) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (min(mark.line, text.count("\n")) + 1, mark.column + 1) if mark else (0, 0)
        what = error.problem or "cannot be read"
        context = ""
        if error.context:
            begin = error.context_mark
            context = error.context + (f" from line {begin.line + 1} on, " if begin else ", ")
        message = f"is not YAML: {context}{what}{_hint(text, line, column)}"
        raise InputError([Problem(file, line, column, "#", message)]) from error
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        message = "is not YAML: half of a surrogate pair stands alone"
        raise InputError([Problem(file, line, 0, "#", message)]) from error


def _hint(text: str, line: int, column: int) -> str:
    """What the author probably meant, from the character that libyaml stopped at."""
    lines = text.split("\n")
    here = lines[line - 1][column - 1 : column] if 1 <= line <= len(lines) else ""
    if here == "\t":
        return "; YAML is indented with spaces, not with tabs"
    if here in ("@", "`", "%"):
        return f"; put a text that starts with {here} in quotes"
    if here == ":":
        return "; put a text that has a colon and a space in quotes, or mend the indentation"
    return ""


def _before(text: str, error: yaml.reader.ReaderError) -> str:
    """The text in front of a character that YAML refuses; libyaml counts octets."""
    if _LOADER is yaml.Loader:
        return text[: error.position]
    return text.encode()[: error.position].decode(errors="ignore")


def _mark(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


class _Reader:
    def __init__(self, builder: Builder, *, shielded: bool) -> None:
        self.builder = builder
        self.shielded = shielded
        self.anchors: dict[str, Node | None] = {}
        """None: the anchor's value is not complete yet."""
        self.open_anchors: list[str | None] = []

    def error(self, event: yaml.Event, message: str) -> InputError:
        line, column = _mark(event)
        path = "#" + "".join(f"/{step}" for step in self.builder.path())
        return InputError([Problem(self.builder.file, line, column, path, message)])

    def document(self, events: Iterator[yaml.Event]) -> None:
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self.error(event, "a second document starts here; one file holds one")
            elif isinstance(event, yaml.NodeEvent):
                self.node(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self.keep(self.open_anchors.pop(), self.builder.close())
        if not documents:
            raise InputError([Problem(self.builder.file, 0, 0, "#", "is empty")])

    def node(self, event: yaml.NodeEvent) -> None:
        line, column = _mark(event)
        if isinstance(event, yaml.CollectionStartEvent):
            if self.builder.wants_key:
                raise self.error(event, "a mapping or sequence cannot be a key")
            mapping = isinstance(event, yaml.MappingStartEvent)
            self.refuse_tag(event, "map" if mapping else "seq")
            self.keep(event.anchor, None)
            self.open_anchors.append(event.anchor)
            self.builder.open(Node(line, column, {} if mapping else []))
            return
        if isinstance(event, yaml.AliasEvent):
            node = self.aliased(event)
        else:
            assert isinstance(event, yaml.ScalarEvent)
            if self.shielded:
                event.value = event.value.replace(_LEFT, "{").replace(_RIGHT, "}")
            node = Node(line, column, self.scalar(event), event.value)
            self.keep(event.anchor, node)
        if not self.builder.wants_key:
            self.builder.value(node)
        elif node.text is None:
            raise self.error(event, "a mapping or sequence cannot be a key")
        else:
            self.builder.key(node.text, line, column)

    def keep(self, anchor: str | None, node: Node | None) -> None:
        if anchor is not None:
            self.anchors[anchor] = node

    def aliased(self, event: yaml.AliasEvent) -> Node:
        if event.anchor not in self.anchors:
            raise self.error(event, f"there is no anchor '&{event.anchor}' above")
        node = self.anchors[event.anchor]
        if node is None:
            raise self.error(event, f"the anchor '&{event.anchor}' contains itself")
        return node

    def scalar(self, event: yaml.ScalarEvent) -> str | int | float | bool | None:
        self.refuse_tag(event, "str")
        text: str = event.value
        if event.tag is not None or not event.implicit[0]:
            return text  # quoted, a block, or !!str
        if text in _NULLS:
            return None
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if not _NUMBER.fullmatch(text):
            return text
        try:
            return number(text)
        except ValueError as error:
            raise self.error(event, str(error)) from error

    def refuse_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, allowed: str) -> None:
        if event.tag not in (None, "!", _STANDARD + allowed):
            tag = event.tag.replace(_STANDARD, "!!")
            raise self.error(event, f"the tag '{tag}' has no meaning here; quote a text that starts with '!'")
