"""Documents: what a file means, where everything stands, and every way in which a file can be wrong."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_validator

from forkproxy import document as documents
from forkproxy.document import did_you_mean, load, loads, validate
from forkproxy.errors import InputError, Problem


def problems_of(text: str, file: str = "x.yaml") -> list[Problem]:
    with pytest.raises(InputError) as caught:
        loads(text, file)
    return list(caught.value.problems)


def problem_of(text: str, file: str = "x.yaml") -> Problem:
    (problem,) = problems_of(text, file)
    return problem


class TestYaml:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("true", True),
            ("False", False),
            ("null", None),
            ("~", None),
            ("", None),
            ("5", 5),
            ("-12", -12),
            ("1.5", 1.5),
            ("1e3", 1000.0),
            ("'5'", "5"),
            ("!!str 5", "5"),
            ("no", "no"),
            ("on", "on"),
            ("+15551230000", "+15551230000"),
            ("007", "007"),
            ("0x1f", "0x1f"),
            ("12:30", "12:30"),
            ("2026-01-31", "2026-01-31"),
            (".inf", ".inf"),
            ("1_000", "1_000"),
            ("=", "="),
            ("<<", "<<"),
        ],
    )
    def test_a_plain_scalar_is_what_json_would_make_of_it_and_text_otherwise(
        self, text: str, value: object
    ) -> None:
        assert loads(f"a: {text}\n", "x.yaml").data == {"a": value}
        assert type(loads(f"a: {text}\n", "x.yaml").data["a"]) is type(value)

    def test_keys_are_text_exactly_as_written(self) -> None:
        text = "+15551230000: a\n5: b\ntrue: c\n'6': d\n2026-01-01: e\nnull: f\n"
        assert list(loads(text, "x.yaml").data) == ["+15551230000", "5", "true", "6", "2026-01-01", "null"]

    def test_anchors_and_aliases(self) -> None:
        text = "a: &x {b: 1}\nc: *x\n&k d: 2\ne: *k\n"
        assert loads(text, "x.yaml").data == {"a": {"b": 1}, "c": {"b": 1}, "d": 2, "e": "d"}

    def test_references_to_the_environment_need_no_quotes(self) -> None:
        text = "a: {b: ${NAME}, c: [${A}${B}x], '${K}': \"${Q}\"}\nd: ${E}  # ${NO}\ne: |\n  ${F} {}\n"
        document = loads(text, "x.yaml")
        assert document.data == {
            "a": {"b": "${NAME}", "c": ["${A}${B}x"], "${K}": "${Q}"},
            "d": "${E}",
            "e": "${F} {}\n",
        }
        assert document.problem(("a", "${K}"), "").column == 41
        assert loads("a: \ue000${X}", "x.yaml").data == {"a": "\ue000${X}"}

    @pytest.mark.parametrize(
        ("text", "line", "column", "path", "message"),
        [
            ("a: 1\nb: 2\na: 3\n", 3, 1, "#/a", "is here a second time; the first is in line 1"),
            ("a:\n  - {b: 1, b: 2}\n", 2, 12, "#/a/0/b", "is here a second time; the first is in line 2"),
            ("a:\n\t- b\n", 2, 1, "#", "YAML is indented with spaces, not with tabs"),
            ("a: @b", 1, 4, "#", "put a text that starts with @ in quotes"),
            ("a: b: c", 1, 5, "#", "mapping values are not allowed in this context"),
            (
                "a: [1, 2",
                1,
                1,
                "#",
                "while parsing a flow sequence from line 1 on, did not find expected ',' or ']'",
            ),
            (
                "a: 'b\nc: d\n",
                3,
                1,
                "#",
                "while scanning a quoted scalar from line 1 on, found unexpected end",
            ),
            ("ü: ä\nb: \x01", 2, 4, "#", "control characters are not allowed"),
            ("---\na: 1\n---\nb: 1\n", 3, 1, "#", "a second document starts here"),
            ("a: *nope", 1, 4, "#/a", "there is no anchor '&nope' above"),
            ("a: &x\n  - *x\n", 2, 5, "#/a/0", "the anchor '&x' contains itself"),
            ("? [a]\n: b", 1, 3, "#", "a mapping or sequence cannot be a key"),
            ("a: &x [1]\n*x : b", 2, 1, "#", "a mapping or sequence cannot be a key"),
            (
                "a: !!python/name:os.system x",
                1,
                4,
                "#/a",
                "the tag '!!python/name:os.system' has no meaning here",
            ),
            ("a: !secret b", 1, 4, "#/a", "the tag '!secret' has no meaning here"),
            ("a: " + "9" * 5000, 1, 4, "#/a", "has a number of 5000 digits"),
        ],
    )
    def test_mistakes_have_their_place(
        self, text: str, line: int, column: int, path: str, message: str
    ) -> None:
        problem = problem_of(text)
        assert (problem.line, problem.column, problem.path) == (line, column, path)
        assert message in problem.message

    @pytest.mark.parametrize("text", ["", "  \n\t\n", "# only a comment\n", "\ufeff"])
    def test_an_empty_file(self, text: str) -> None:
        assert problem_of(text).message == "is empty"

    def test_text_that_cannot_be_written_as_utf8(self) -> None:
        assert "surrogate" in problem_of("a: '\ud800'").message

    def test_the_slow_reader_of_pyyaml_agrees(self, monkeypatch: pytest.MonkeyPatch) -> None:
        text = "a: &x [1, '2', no]\nb: *x\nc: {d: ~}\n"
        fast = loads(text, "x.yaml").data
        monkeypatch.setattr("forkproxy.document.yaml_reader._LOADER", yaml.Loader)
        assert loads(text, "x.yaml").data == fast
        assert problem_of("é: x\nb: \x01").line == 2


class TestJson:
    @pytest.mark.parametrize(
        ("text", "line", "column", "message"),
        [
            ('{"a": 1,}', 1, 8, "a comma before the end"),
            ('{\n"a": 1\n"b": 2}', 3, 1, "expected ',' or '}'"),
            ('{"a": 1} x', 1, 10, "more text behind the end"),
            ('{"a": 1 // no\n}', 1, 9, "found a comment (JSON has none)"),
            ("{'a': 1}", 1, 2, "JSON wants double quotes"),
            ('{"a" 1}', 1, 6, "expected ':' behind the key, found '1'"),
            ('{"a": tru}', 1, 7, "expected a value, found 'tru'"),
            ('{"a": 01}', 1, 7, "expected a value, found '01'"),
            ('{"a": NaN}', 1, 7, "expected a value, found 'NaN'"),
            ('{"a": ', 1, 7, "expected a value, found the end of the file"),
            ('{"a": "x\ty"}', 1, 9, "write a tab as \\t"),
            ('{"a": "\\ud83d"}', 1, 15, "surrogate"),
            ('{"a": "b', 1, 7, "unterminated string"),
            ("[" + "9" * 301 + "]", 1, 2, "a number of 301 digits"),
        ],
    )
    def test_mistakes_have_their_place(self, text: str, line: int, column: int, message: str) -> None:
        problem = problem_of(text, "x.json")
        assert (problem.line, problem.column) == (line, column)
        assert message in problem.message

    def test_duplicate_keys_are_all_named(self) -> None:
        found = problems_of('{"a": 1,\n "a": 2,\n "b": {"c": 1,\n "c": 2}}', "x.json")
        assert [(problem.line, problem.path) for problem in found] == [(2, "#/a"), (4, "#/b/c")]

    def test_duplicate_keys_leave_something_to_look_at_for_who_asks(self) -> None:
        found: list[Problem] = []
        document = loads('{"a": 1, "a": 2}', "x.json", problems=found)
        assert document.data == {"a": 1}
        assert len(found) == 1

    def test_tabs_a_byte_order_mark_and_emoji(self) -> None:
        text = '\ufeff{\t"a":\t["\\ud83d\\ude00", "😀"]\t}\r\n'
        assert loads(text, "x.json").data == {"a": ["😀", "😀"]}

    def test_json_is_read_under_any_name(self) -> None:
        assert loads('{\t"a": "\\u00e4"}', "flow").data == {"a": "ä"}
        assert loads("{a: b}", "flow").data == {"a": "b"}, "YAML with braces is YAML"
        assert loads('{"a": b}', "x.yaml").data == {"a": "b"}

    values = st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )

    @given(values, st.sampled_from([None, 1, "\t"]), st.booleans())
    def test_it_reads_what_the_standard_library_writes(
        self, value: object, indent: int | str | None, ascii_only: bool
    ) -> None:
        text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
        assert loads(text, "x.json").data == value

    @given(st.text(alphabet='{}[]",:0123456789.eE+-truefalsn\\u \t\n', max_size=40))
    def test_it_accepts_what_the_standard_library_accepts_and_nothing_else(self, text: str) -> None:
        try:
            expected = json.loads(text, parse_constant=lambda name: pytest.fail(name))
        except ValueError:
            assert problems_of(text, "x.json")
            return
        found: list[Problem] = []
        data = loads(text, "x.json", problems=found).data
        if not found:  # of duplicate keys we keep the first, and say so
            assert data == expected


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x85\u2028\u2029"))
"""Without what YAML 1.1 takes for the end of a line: PyYAML writes it unescaped."""
TEXTS = st.recursive(TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=15)


class TestAnything:
    soup = st.text(alphabet="ab:-?[]{}&*!|>'\"%@`#,\t \n~0.\u00fc\ud800\x00", max_size=60)

    @given(soup, st.sampled_from(["x.yaml", "x.json", "x"]))
    def test_any_text_is_read_or_has_problems_inside_of_it(self, text: str, file: str) -> None:
        problems: tuple[Problem, ...] = ()
        try:
            loads(text, file)
        except InputError as error:
            problems = error.problems or (Problem(file, -1, 0, "", "an error without problems"),)
        for problem in problems:
            assert 0 <= problem.line <= text.count("\n") + 1
            assert problem.message

    @given(TEXTS, st.sampled_from([None, '"', "'", "|"]), st.booleans())
    def test_yaml_reads_the_texts_that_pyyaml_writes(
        self, value: object, style: str | None, flow: bool
    ) -> None:
        written = yaml.dump({"a": value}, allow_unicode=True, default_style=style, default_flow_style=flow)
        assert loads(written.replace("!!str ", ""), "x.yaml").data == {"a": value}


class TestLimits:
    def test_an_anchor_bomb(self) -> None:
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
        assert problem_of("\n".join(lines)).message == "has more than 500,000 values"

    def test_aliases_add_up_in_depth(self) -> None:
        lines = ["a0: &a0 x"]
        lines += [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 100)]
        assert problem_of("\n".join(lines)).message == "is nested more than 64 deep"

    @pytest.mark.parametrize("file", ["x.json", "x.yaml"])
    def test_depth(self, file: str) -> None:
        deep = documents.MAX_DEPTH
        assert loads("[" * deep + "]" * deep, file).data is not None
        assert problem_of("[" * (deep + 1) + "]" * (deep + 1), file).message == "is nested more than 64 deep"
        assert problem_of("[" * 1_000_000, file).message == "is nested more than 64 deep"

    def test_a_file_without_end(self) -> None:
        with pytest.raises(InputError, match="is larger than 8 MB"):
            load("/dev/zero")


class TestFiles:
    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("/nowhere/flow.json", "cannot be read: No such file or directory"),
            ("/tmp", "cannot be read: Is a directory"),
            ("a\0b", "cannot be read: embedded null byte"),
        ],
    )
    def test_what_cannot_be_read(self, path: str, message: str) -> None:
        with pytest.raises(InputError) as caught:
            load(path)
        assert caught.value.problems == (Problem(path, 0, 0, "#", message),)
        assert str(caught.value) == f"{path}: #: {message}"

    def test_latin_1_is_named_with_its_line(self, tmp_path: Path) -> None:
        file = tmp_path / "flow.yaml"
        file.write_bytes(b"a: 1\nb: K\xf6ln\n")
        with pytest.raises(InputError) as caught:
            load(file)
        (problem,) = caught.value.problems
        assert (problem.line, problem.column) == (2, 5)
        assert problem.message == "is not UTF-8 (byte 0xf6); save it as UTF-8"

    def test_utf_16_from_a_windows_shell(self, tmp_path: Path) -> None:
        file = tmp_path / "flow.json"
        file.write_bytes('{"a": 1}'.encode("utf-16"))
        with pytest.raises(InputError, match="is UTF-16; save it as UTF-8"):
            load(file)

    def test_both_languages(self, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text('{"a": 1}')
        (tmp_path / "a.yaml").write_text("a: 1")
        assert load(tmp_path / "a.json").data == load(str(tmp_path / "a.yaml")).data == {"a": 1}


class TestPlaces:
    document = loads("a: 1\nb:\n  - c: {d/e: 2}\n    f: ~\n", "x.yaml")

    @pytest.mark.parametrize(
        ("path", "key", "place"),
        [
            ((), False, (1, 1, "#")),
            (("a",), False, (1, 4, "#/a")),
            (("a",), True, (1, 1, "#/a")),
            (("b", 0, "c", "d/e"), False, (3, 14, "#/b/0/c/d~1e")),
            (("b", 0, "c", "d/e"), True, (3, 9, "#/b/0/c/d~1e")),
            (("b", 0, "missing", "more"), False, (3, 5, "#/b/0/missing/more")),
            (("b", 7), True, (3, 3, "#/b/7")),
        ],
    )
    def test_the_line_of_a_value_its_key_or_what_is_above(
        self, path: tuple[str | int, ...], key: bool, place: tuple[int, int, str]
    ) -> None:
        problem = self.document.problem(path, "is odd", key=key)
        assert (problem.line, problem.column, problem.path) == place
        assert str(problem) == f"x.yaml:{place[0]}:{place[1]}: {place[2]}: is odd"

    def test_values_by_path(self) -> None:
        assert self.document.at(("b", 0, "c")) == {"d/e": 2}
        for path in (("b", 1), ("a", 0), ("b", "c"), ("nope",), ("b", -1)):
            with pytest.raises(KeyError):
                self.document.at(path)

    def test_a_replaced_value_is_found(self) -> None:
        document = loads("a: {b: 1}", "x.yaml")
        document.data["a"]["b"] = 2
        assert document.at(("a", "b")) == 2


class Colour(StrEnum):
    RED = "red"


class Leaf(BaseModel):
    model_config = ConfigDict(extra="forbid")
    hints: ClassVar[dict[str, str]] = {"colour": "shade"}
    number: int
    action: Literal["start", "stop"] = "start"
    names: str | list[str] = "a"
    size: Annotated[int, Field(ge=1, le=9)] = 1
    shade: Colour = Colour.RED
    name: Annotated[str, Field(min_length=1)] = "x"
    on: bool = False
    ratio: float = 1.0
    file: Path = Path()

    @field_validator("ratio")
    @classmethod
    def _ratio(cls, value: float) -> float:
        if value > 1:
            raise ValueError("is more than all of it")
        return value


class Tree(BaseModel):
    model_config = ConfigDict(extra="forbid")
    leaf: Leaf | None = None
    leaves: list[Leaf] = []
    named: dict[str, Leaf] = {}


class TestValidation:
    @pytest.mark.parametrize(
        ("text", "line", "path", "message"),
        [
            ("number: '5'", 2, "number", "string found, integer expected"),
            ("number: true", 2, "number", "boolean found, integer expected"),
            ("number: 1.5", 2, "number", "number found, integer expected"),
            ("number:", 2, "number", "must not be null"),
            ("number: 1\n  on: 'true'", 3, "on", "string found, boolean expected"),
            ("number: 1\n  name: 5", 3, "name", "integer found, string expected"),
            ("number: 1\n  name: []", 3, "name", "array found, string expected"),
            ("number: 1\n  names: 5", 3, "names", "integer found, string or array expected"),
            ("number: 1\n  ratio: x", 3, "ratio", "string found, number expected"),
            ("action: stop", 2, "number", "is missing but it is required"),
            (
                "number: 1\n  action: strat",
                3,
                "action",
                "does not have a value in the enumeration [start, stop]; did you mean 'start'?",
            ),
            ("number: 1\n  shade: blue", 3, "shade", "does not have a value in the enumeration [red]"),
            ("number: 1\n  size: 0", 3, "size", "must be 1 or more"),
            ("number: 1\n  size: 10", 3, "size", "must be 9 or less"),
            ("number: 1\n  name: ''", 3, "name", "must not be empty"),
            ("number: 1\n  ratio: 2.0", 3, "ratio", "is more than all of it"),
            ("number: 1\n  nmber: 2", 3, "nmber", "is not a known property; did you mean 'number'?"),
            ("number: 1\n  colour: 2", 3, "colour", "is not a known property; did you mean 'shade'?"),
            ("number: 1\n  zzz: 2", 3, "zzz", "is not a known property"),
        ],
    )
    @pytest.mark.parametrize("where", ["leaf", "leaves", "named"])
    def test_one_mistake(self, where: str, text: str, line: int, path: str, message: str) -> None:
        head = {"leaf": "leaf:\n  ", "leaves": "leaves:\n- ", "named": "named:\n k:\n  "}[where]
        at = {"leaf": "leaf", "leaves": "leaves/0", "named": "named/k"}[where]
        with pytest.raises(InputError) as caught:
            validate(loads(head + text, "x.yaml"), Tree)
        (problem,) = caught.value.problems
        assert problem.message == message
        assert problem.path == f"#/{at}/{path}"
        assert problem.line == line + (where == "named")

    def test_all_mistakes_at_once_in_the_order_of_their_lines(self) -> None:
        text = "leaves:\n- nmber: 1\n  action: go\n- {number: x}\nlaef: {}\nnamed: []\n"
        with pytest.raises(InputError) as caught:
            validate(loads(text, "x.yaml"), Tree)
        assert [(problem.line, problem.path) for problem in caught.value.problems] == [
            (2, "#/leaves/0/number"),
            (2, "#/leaves/0/nmber"),
            (3, "#/leaves/0/action"),
            (4, "#/leaves/1/number"),
            (5, "#/laef"),
            (6, "#/named"),
        ]

    def test_what_json_has_no_type_for_is_made_from_text(self) -> None:
        leaf = validate(loads("number: 1\nshade: red\nfile: /a\nratio: 1\n", "x.yaml"), Leaf)
        assert (leaf.shade, leaf.file, leaf.ratio) == (Colour.RED, Path("/a"), 1.0)

    def test_a_part_of_a_document(self) -> None:
        document = loads("a: {leaf: {number: 1}}\n", "x.yaml")
        assert validate(document, Leaf, ("a", "leaf")).number == 1
        with pytest.raises(InputError) as caught:
            validate(document, Leaf, ("a", "loaf"))
        assert str(caught.value) == "x.yaml:1:4: #/a/loaf: is missing but it is required"

    def test_the_whole_is_of_the_wrong_kind(self) -> None:
        with pytest.raises(InputError, match="#: array found, object expected"):
            validate(loads("[]", "x.yaml"), Tree)

    def test_context_reaches_the_models(self) -> None:
        class Asking(BaseModel):
            word: str

            @field_validator("word")
            @classmethod
            def _word(cls, value: str, info: object) -> str:
                return f"{value}{info.context}"  # type: ignore[attr-defined]

        assert validate(loads("word: a", "x.yaml"), Asking, context="b").word == "ab"


def test_did_you_mean() -> None:
    assert did_you_mean("Fork_Stream", ["fork-stream", "trigger"]) == "; did you mean 'fork-stream'?"
    assert did_you_mean("both", ["both_tracks", "x"]) == "; did you mean 'both_tracks'?"
    assert did_you_mean("x", ["fork-stream"]) == ""
    assert did_you_mean("y" * 1_000_000, ["x" * 100]) == ""
