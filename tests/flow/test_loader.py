"""Loading flows: real shapes load unchanged, and every mistake is named at its place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from forkproxy.errors import FlowError
from forkproxy.flow import Flow, check, load
from forkproxy.flow.widgets import INVENTED, KNOWN, RUNNING

Found = Callable[..., list[str]]
PLAY = "- {name: first, type: say-play, properties: {play: 'https://a.example/b.wav'}}\n"


class TestWhatLoads:
    @pytest.mark.parametrize("name", ["ivr-by-header.json", "office-hours.yaml"])
    def test_without_a_word(self, corpus: Path, name: str) -> None:
        assert check(corpus / name) == []

    def test_an_export_with_a_branch_for_messages(self, corpus: Path) -> None:
        """Tabs, emoji, ``$schema``, a null and an empty `next`; what calls cannot reach may be anything."""
        flow = load(corpus / "calls-and-messages.json")
        assert [(warning.line, warning.path) for warning in flow.warnings] == [
            (14, "#/states/1/type"),
            (17, "#/states/2/type"),
        ]
        assert all(warning.warning for warning in flow.warnings)
        assert flow.warnings[0].message == (
            "'send-message' is a Studio widget that forkproxy does not run yet;"
            " an incoming call does not get here"
        )

    def test_the_flow(self, corpus: Path) -> None:
        flow = load(str(corpus / "ivr-by-header.json"))
        assert flow.path == corpus / "ivr-by-header.json"
        assert flow.description == "Department by SIP header"
        assert flow.initial == "Trigger"
        assert repr(flow.widgets["which"]) == "<split-based-on 'which'>"

    def test_yaml_needs_nothing_that_only_the_canvas_needs(self, flow_of: Callable[..., Flow]) -> None:
        assert flow_of(PLAY).warnings == ()

    @pytest.mark.parametrize("kind", sorted(KNOWN))
    def test_every_studio_widget_is_known(self, found: Found, kind: str) -> None:
        states = PLAY + f"- {{name: other, type: {kind}}}\n"
        assert found(states) == [
            "warning: #/states/2/name: 'other' is never reached: no transition leads there",
            f"warning: #/states/2/type: '{kind}' is a Studio widget that forkproxy does not run yet;"
            " an incoming call does not get here",
        ]
        assert found(f"- {{name: first, type: {kind}}}\n") == [
            f"#/states/1/type: '{kind}' is a Studio widget that forkproxy does not run yet"
        ]


class TestAllMistakesAtOnce:
    def test_ten_planted_mistakes(self, corpus: Path) -> None:
        problems = check(corpus / "broken" / "ten-mistakes.json", connectors=["Gridspace_1"])
        assert [(each.line, each.path, each.message) for each in problems if not each.warning] == [
            (
                9,
                "#/states/0/transitions/1/next",
                "there is no widget 'start_steam'; did you mean 'start_stream'?",
            ),
            (
                18,
                "#/states/1/properties/stream_action",
                "does not have a value in the enumeration [start, stop]; did you mean 'start'?",
            ),
            (20, "#/states/1/properties/stream_url", "must begin with 'wss://' (31922)"),
            (
                21,
                "#/states/1/properties/stream_tracks",
                "is not a known property; did you mean 'stream_track'?",
            ),
            (
                28,
                "#/states/2/transitions/0/event",
                "'callComplete' does not have a value in the enumeration [callCompleted, hangup];"
                " did you mean 'callCompleted'?",
            ),
            (33, "#/states/2/properties/to", "integer found, string expected"),
            (
                44,
                "#/states/3/properties/stream_connector",
                "the configuration has no connector 'Gridspace1' (31940); did you mean 'Gridspace_1'?",
            ),
            (
                49,
                "#/states/4/type",
                "'hangup' is not a Studio widget: Studio has no widget that hangs up:"
                " leave out 'next', and the call is hung up where a branch ends",
            ),
            (54, "#/states/5/name", "'goodbye' is the name of another widget too, in line 48"),
            (
                57,
                "#/states/5/properties/play",
                "is not a valid Liquid template: there is no filter 'uppcase'; did you mean 'upcase'?",
            ),
        ]

    def test_they_are_raised_together(self, corpus: Path) -> None:
        path = corpus / "broken" / "ten-mistakes.json"
        with pytest.raises(FlowError) as caught:
            load(path, connectors=["Gridspace_1"])
        assert list(caught.value.problems) == check(path, connectors=["Gridspace_1"])
        assert f"{path}:20:23: #/states/1/properties/stream_url: must begin" in str(caught.value)
        assert caught.value.twilio_code == 81022

    def test_inventions(self, corpus: Path) -> None:
        problems = check(corpus / "broken" / "invented.yaml")
        assert [(each.line, each.path) for each in problems] == [
            (5, "#/states/1/type"),
            (8, "#/states/2/properties/stream_action"),
            (8, "#/states/2/properties/action"),
            (8, "#/states/2/properties/stream_type"),
            (8, "#/states/2/properties/url"),
            (10, "#/states/3/properties"),
            (10, "#/states/3/transitions/1/event"),
            (11, "#/states/4/type"),
            (11, "#/states/4/transitions/0/next"),
            (12, "#/states/5/type"),
        ]

    @pytest.mark.parametrize("kind", sorted(INVENTED))
    def test_every_invention_gets_its_sentence(self, found: Found, kind: str) -> None:
        assert kind not in RUNNING
        assert kind not in KNOWN
        (message,) = found(f"- {{name: first, type: {kind.replace('-', '_').upper()}}}\n")
        assert message.endswith(INVENTED[kind])

    def test_the_file_itself(self, tmp_path: Path) -> None:
        with pytest.raises(FlowError, match="cannot be read: No such file"):
            load(tmp_path / "none.json")
        (tmp_path / "a.json").write_text('{"states": [],}')
        (problem,) = check(tmp_path / "a.json")
        assert problem.message == "is not JSON: a comma before the end of the object or array"

    def test_a_duplicate_key_beside_other_mistakes(self, tmp_path: Path) -> None:
        path = tmp_path / "flow.json"
        path.write_text(
            '{"initial_state": "T", "states": [{"name": "T",\n"type": "triger",\n"type": "trigger",\n'
            '"transitions": [{"event": "incomingcall"}]}]}'
        )
        assert [(each.line, each.path) for each in check(path)] == [
            (1, "#/initial_state"),
            (2, "#/states/0/type"),
            (3, "#/states/0/type"),
        ]


class TestTheEnvelope:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("[]", ["#: array found, object expected"]),
            ("'a'", ["#: string found, object expected"]),
            (
                "{}",
                [
                    "#/initial_state: is missing but it is required",
                    "#/states: is missing but it is required",
                ],
            ),
            ("{initial_state: T, states: []}", ["#/states: must not be empty"]),
            ("{initial_state: T, states: {}}", ["#/states: object found, array expected"]),
            ("{initial_state: T, states: [5]}", ["#/states/0: integer found, object expected"]),
            (
                "{states: [{name: T, type: trigger, transition: []}]}",
                [
                    "#/initial_state: is missing but it is required",
                    "#/states/0/transition: is not a known property; did you mean 'transitions'?",
                    "warning: #/states/0/transitions: has no 'next' for 'incomingCall':"
                    " an incoming call is hung up at once",
                ],
            ),
            (
                "{initial_state: Triger, states: [{name: Trigger, type: say-play, properties: {play: 'http://a/b'}}]}",
                ["#/initial_state: there is no widget 'Triger'; did you mean 'Trigger'?"],
            ),
            (
                "{initial_state: T, states: [{name: T, type: say-play, properties: {play: 'http://a/b'}}]}",
                ["#/initial_state: 'T' is not a widget of the type 'trigger'"],
            ),
            (
                "{sid: FW1, definition: {states: []}}",
                ["#/definition: the flow is in here: save what 'definition' holds as the file"],
            ),
        ],
    )
    def test_mistakes(self, tmp_path: Path, text: str, expected: list[str]) -> None:
        path = tmp_path / "flow.yaml"
        path.write_text(text)
        lines = [f"{'warning: ' if each.warning else ''}{each.path}: {each.message}" for each in check(path)]
        assert sorted(lines) == sorted(expected)

    def test_keys_that_studio_may_add_are_let_through(self, corpus: Path, tmp_path: Path) -> None:
        data = json.loads((corpus / "ivr-by-header.json").read_text())
        data |= {"$schema": "https://x", "descriptoin": "x", "flags": {"allow_concurrent_calls": False}}
        path = tmp_path / "flow.json"
        path.write_text(json.dumps(data))
        assert [each.message for each in load(path).warnings] == [
            "is false, but forkproxy takes several calls of one caller at the same time",
            "is not a known property, it is ignored; did you mean 'description'?",
        ]

    def test_more_widgets_than_studio_takes(self, tmp_path: Path) -> None:
        states = [{"name": f"n{i}", "type": "trigger", "transitions": []} for i in range(1001)]
        path = tmp_path / "flow.json"
        path.write_text(json.dumps({"initial_state": "n0", "states": states}))
        messages = {each.path: each.message for each in check(path) if not each.warning}
        assert list(messages) == ["#/states"]
        assert messages["#/states"] == "must not have more than 1,000 items"


class TestStates:
    @pytest.mark.parametrize(
        ("states", "expected"),
        [
            ("- {type: say-play}", "#/states/1/name: is missing but it is required"),
            ("- {name: first}", "#/states/1/type: is missing but it is required"),
            ("- {name: first, type: 5}", "#/states/1/type: integer found, string expected"),
            ("- {name: '', type: trigger}", "#/states/1/name: must not be empty"),
            (
                "- {name: first, type: say-paly}",
                "#/states/1/type: 'say-paly' is not a Studio widget; did you mean 'say-play'?",
            ),
            (
                "- {name: first, type: fork-stream}",
                "#/states/1/properties: is missing but it is required, with 'stream_action'",
            ),
            (
                "- {name: first, type: set-variables, properties: 5}",
                "#/states/1/properties: integer found, object expected",
            ),
            (
                "- {name: first, type: trigger, transitions: 5}",
                "#/states/1/transitions: integer found, array expected",
            ),
            (
                "- {name: first, type: trigger, transitions: [5]}",
                "#/states/1/transitions/0: integer found, object expected",
            ),
            (
                "- {name: first, type: trigger, transitions: [{next: first}]}",
                "#/states/1/transitions/0/event: is missing but it is required",
            ),
            (
                "- {name: first, type: trigger, transitions: [{event: incomingCall, to: first}]}",
                "#/states/1/transitions/0/to: is not a known property; did you mean 'next'?",
            ),
            (
                "- {name: first, type: trigger, transitions: [{event: incomingCall, next: 5}]}",
                "#/states/1/transitions/0/next: integer found, string expected",
            ),
            (
                "- {name: first, type: set-variables, transitions: [{event: done}]}",
                "#/states/1/transitions/0/event: must be a constant value next, and it is 'done'",
            ),
            (
                "- {name: first, type: say-play, transitions: [{event: audioComplete, next: hangup}]}",
                f"#/states/1/transitions/0/next: there is no widget 'hangup'; {INVENTED['hangup']}",
            ),
            (
                "- {name: first, type: record-call, transitions: [{event: recordingError}]}",
                "#/states/1/transitions/0/event: 'recordingError' does not have a value in the"
                " enumeration [success, failed]",
            ),
        ],
    )
    def test_mistakes(self, found: Found, states: str, expected: str) -> None:
        assert expected in found(states)

    def test_a_transition_given_twice(self, found: Found) -> None:
        states = PLAY[:-2] + ", transitions: [{event: audioComplete}, {event: audioComplete}]}\n"
        assert found(states) == [
            "warning: #/states/1/transitions/1/event: 'audioComplete' is here a second time:"
            " the first one counts"
        ]

    def test_one_wrong_link_does_not_make_the_rest_look_unreached(self, found: Found) -> None:
        states = PLAY[:-2] + ", transitions: [{event: audioComplete, next: Zweite}]}\n"
        states += "- {name: second, type: say-play, properties: {play: 'http://a/b'}}\n"
        assert found(states) == ["#/states/1/transitions/0/next: there is no widget 'Zweite'"]

    def test_a_circle_that_nothing_leaves(self, found: Found) -> None:
        states = """
        - name: first
          type: set-variables
          properties: {variables: []}
          transitions: [{event: next, next: second}]
        - name: second
          type: split-based-on
          properties: {input: a}
          transitions:
            - {event: noMatch, next: first}
            - {event: match, next: first, conditions: [{type: is_blank}]}
        """
        (message,) = found(states)
        assert re.match(r"warning: #/states/0/name: from 'Trigger' on the flow goes in a circle", message)

    def test_a_circle_with_a_way_out_is_a_loop(self, found: Found) -> None:
        states = """
        - name: first
          type: set-variables
          properties: {variables: []}
          transitions: [{event: next, next: second}]
        - name: second
          type: split-based-on
          properties: {input: a}
          transitions:
            - {event: noMatch, next: first}
            - {event: match, conditions: [{type: is_blank}]}
        """
        assert found(states) == []

    def test_a_circle_that_plays_is_hold_music(self, found: Found) -> None:
        assert found(PLAY[:-2] + ", transitions: [{event: audioComplete, next: first}]}\n") == []
