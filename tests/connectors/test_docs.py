"""The documentation names what there is, and its examples are true."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import sys
from pathlib import Path

import pytest

from forkproxy.connectors import api, testing
from forkproxy.errors import ConnectorConfigError, InvalidTrack, StreamError

ROOT = Path(__file__).parents[2]
STREAMS = (ROOT / "docs" / "streams.md").read_text()
CONNECTORS = (ROOT / "docs" / "connectors.md").read_text()
PLUGIN = ROOT / "plugins" / "forkproxy-websocket"
sys.path.insert(0, str(PLUGIN / "src"))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


NOT_OF_A_STREAM = {InvalidTrack, ConnectorConfigError}
"""Found when a flow or a configuration is checked."""


@pytest.mark.parametrize(
    "error", [StreamError, *StreamError.__subclasses__()], ids=lambda error: error.__name__
)
def test_every_code_has_its_line(error: type[StreamError]) -> None:
    if error not in NOT_OF_A_STREAM:
        assert f"| {error.twilio_code} |" in STREAMS


@pytest.mark.parametrize("code", [31930, 31931, 31950, 31951])
def test_every_warning_has_its_line(code: int) -> None:
    assert re.search(rf"^\| {code} \| ", STREAMS, re.MULTILINE)


@pytest.mark.parametrize("name", api.__all__)
def test_every_name_of_the_api_is_described(name: str) -> None:
    incidental = {"FRAME_BYTES", "FRAME_MS", "StreamTransport", "CallInfo", "Account", "kind_of", "Track"}
    assert name in incidental or re.search(
        rf"`(async )?{name}\b|\b{name}\[|^class {name}\b|\.{name}\b", CONNECTORS
    )


@pytest.mark.parametrize(
    "name",
    sorted(
        {field.name for kind in (api.Host, api.CallInfo) for field in dataclasses.fields(kind)}
        | set(api.Stream.__annotations__)
        | {name for kind in (api.Stream, api.Connector) for name in vars(kind) if not name.startswith("_")}
        - {"settings_type"}
        | set(api.Frame._fields)
        | set(api.FrameFlag.__members__)
    ),
)
def test_every_attribute_is_described(name: str) -> None:
    assert re.search(rf"`(async )?{name}\b|{name}\(", CONNECTORS)


@pytest.mark.parametrize(
    "name", ["make", "frames", "payload_of", "tone", "FakeStream", "run_connector", "running"]
)
def test_what_tests_use_is_described(name: str) -> None:
    assert hasattr(testing, name)
    assert f"{name}(" in CONNECTORS


@pytest.mark.parametrize("code", blocks(CONNECTORS, "python") + blocks(STREAMS, "python"))
def test_the_examples_are_python(code: str) -> None:
    ast.parse(code)


def test_the_settings_of_the_websocket_connector_are_described() -> None:
    from forkproxy_websocket import WebSocketSettings

    readme = (PLUGIN / "README.md").read_text()
    for name, field in WebSocketSettings.model_fields.items():
        line = re.search(rf"^\| `{name}` \| .* \| (.*) \|$", readme, re.MULTILINE)
        assert line is not None, name
        if isinstance(field.default, bool):
            assert line[1] == str(field.default).lower()
        elif isinstance(field.default, int | float):
            assert line[1] == f"{field.default:g}"


def test_the_signature_of_the_example_is_the_right_one() -> None:
    from forkproxy_websocket.signature import sign

    (request,) = blocks(STREAMS, "http")
    (signature,) = re.findall(r"^X-Twilio-Signature: (.*)$", request, re.MULTILINE)
    assert sign("12345", "wss://transcripts.example.com/audio") == signature


def test_the_messages_of_the_example_have_the_form_of_the_real_ones() -> None:
    from forkproxy_websocket.dialect import Audio, Clear, Mark
    from forkproxy_websocket.messages import CONNECTED, Messages

    messages = Messages(account_sid="AC1", call_sid="CA1", stream_sid="MZ1")
    real = [
        CONNECTED,
        messages.start((api.Track.INBOUND, api.Track.OUTBOUND), {"language": "de"}),
        messages.media(testing.frames(1)[0]),
        messages.stop(),
    ]
    shown = blocks(STREAMS, "json")
    sent, received, answered = shown[:4], shown[4:7], shown[7:]
    assert [_form(json.loads(each)) for each in sent] == [_form(json.loads(each)) for each in real]
    replies = [messages.mark("greeting"), messages.dtmf("1", 100.0) or b"", messages.gap(15, 20)]
    assert [_form(json.loads(each)) for each in answered] == [_form(json.loads(each)) for each in replies]
    consumers = Messages(account_sid="AC1", call_sid="CA1", stream_sid="MZ...")
    read = [consumers.read(each.replace("f39/f39...", "f39/fw==").encode(), False) for each in received]
    assert [type(each) for each in read] == [Audio, Mark, Clear]


def _form(value: object) -> object:
    if isinstance(value, dict):
        return {key: _form(each) for key, each in value.items()}
    return type(value).__name__ if not isinstance(value, int) else value
