"""Settings and presets, those of other packages included; and that secrets stay secret."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from forkproxy_siprec import Siprec, SiprecSettings, parts, presets
from forkproxy_siprec.settings import fill_in, recorder

from forkproxy.cli import main
from forkproxy.connectors.api import SipBody, SipReply, SipRequest
from forkproxy.connectors.testing import HOST, FakeDialler, make, running
from forkproxy.errors import InputError
from forkproxy.model import CallState, Party, StreamTransport

SRS = {"srs": ["sip:rec.example.com;transport=tcp"]}
ANSWER = (
    b"v=0\r\nc=IN IP4 192.0.2.9\r\na=recvonly\r\nm=audio 5000 RTP/AVP 0 8\r\nm=audio 5002 RTP/AVP 0 8\r\n"
)
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", sorted(presets.presets()))
def test_every_preset_is_one(name: str) -> None:
    preset = presets.find(name)
    assert preset.title
    assert preset.source
    settings = make(Siprec, preset=name, **SRS).settings
    for key, value in preset.settings.items():
        if isinstance(value, str | bool):
            assert getattr(settings, key) == value
    assert name in {each.name for each in Siprec.presets()}


def test_what_is_written_counts_more_than_the_preset() -> None:
    settings = make(Siprec, preset="twilio", user="me", **SRS).settings
    assert (settings.user, settings.labels.inbound, settings.bye) == ("me", "inbound", "complete")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"preset": "twilo"}, "did you mean 'twilio'"),
        ({"srs": []}, "srs"),
        ({"srs": ["http://x"]}, "not a SIP URI"),
        ({"srs": [["sip:a"]]}, "mode: parallel"),
        ({"srs": [[]], "mode": "parallel"}, "empty list"),
        ({"credentials": "x"}, "belong together"),
        ({"password": "x"}, "needs a username"),
        ({"labels": {"inbound": "1", "outbound": "1"}}, "different labels"),
        ({"labels": {"inbound": "a b"}}, "no label"),
        ({"headers": {"Bad Name": "x"}}, "no header name"),
        ({"extensions": {"session": "<x>"}}, "not well-formed"),
        ({"extensions": {"session": "<x/>"}}, "namespace of their own"),
        ({"catch_up": 99}, "catch_up"),
        ({"mistyped": 1}, "mistyped"),
    ],
)
def test_mistakes_are_told(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        make(Siprec, **{**SRS, **wrong})


def test_recorders_in_twilios_form() -> None:
    assert (
        recorder("sip:r.example;transport=tls;secure=true;edge=umatilla").uri == "sip:r.example;transport=tls"
    )
    assert recorder("sip:r.example;secure=true&edge=ashburn").secure
    assert fill_in("{a}{b.c}{nobody}", {"a": "1", "b.c": "{a}"}) == "1{a}{nobody}"


async def test_every_dialect_reaches_the_wire() -> None:
    sent: list[SipRequest] = []

    def answers(request: SipRequest) -> SipReply:
        sent.append(request)
        return SipReply(200, body=SipBody("application/sdp", ANSWER))

    dialler = FakeDialler(answers)
    connector = make(
        Siprec, host=replace(HOST, dialler=dialler), **SRS, contact_tag="src", supported=["siprec"],
        media_type="application/rs-metadata", disposition="recording-session;handling=required",
        headers={"Call-Info": "<urn:{call.id}:{parameter.Team}>"}, parameters="both", parameter_prefix="X-P-",
        credentials_header="X-Auth-Token", credentials="hunter2", order="outbound_first", bye="partial",
        labels={"inbound": "caller", "outbound": "agent"}, codecs=["PCMA"], session_name="Rec",
        aor_domain="x.example", display="Recorder", user="src",
        extensions={"session": '<q xmlns="urn:q">{from.name} {parameter.Team}</q>'},
    )  # fmt: skip
    state = CallState(Party("+15550100", "A & B"), Party("200"), call_id="abc@host")
    async with running(
        connector, parameters={"Team": "<red>\r\nX: y"}, transport=StreamTransport.SIPREC, state=state
    ) as run:
        assert await run.created()
        assert [copy.track for copy in run.copies] == ["outbound", "inbound"]
        assert run.copies[0].buffer_seconds == 10
        await run.stop()
    assert dialler.dialogs[0].options["contact_parameters"] == "src"
    assert (dialler.dialogs[0].options["user"], dialler.dialogs[0].options["display"]) == ("src", "Recorder")
    invite = sent[0]
    assert invite.header("Supported") == "siprec"
    assert invite.header("X-Auth-Token") == "hunter2"
    assert invite.header("Call-Info") == "<urn:abc@host:<red>  X: y>"
    assert invite.header("X-P-Team") == "<red>  X: y"
    found = parts.split(invite.content_type, invite.body)
    assert [part.kind for part in found] == ["application/sdp", "application/rs-metadata"]
    assert found[1].disposition == "recording-session;handling=required"
    offer, xml = found[0].data.decode(), found[1].data.decode()
    assert [line for line in offer.split("\r\n") if line.startswith("a=label")] == [
        "a=label:agent",
        "a=label:caller",
    ]
    assert "s=Rec\r\n" in offer
    assert "RTP/AVP 8\r\n" in offer
    assert '<q xmlns="urn:q">A &amp; B &lt;red&gt;' in xml
    assert 'aor="sip:200@x.example"' in xml
    bye = sent[-1]
    assert (bye.method, bye.header("Content-Type")) == ("BYE", "application/rs-metadata")
    assert b"<datamode>partial</datamode>" in bye.body


CONFIG = """
flows: {default: flow.json}
connectors:
  Rec:
    type: siprec
    srs: ["sip:rec.example.com"]
    username: me
    password: "hunter2-password"
    credentials_header: X-Auth-Token
    credentials: "hunter2-token"
    mistake: 1
"""


def test_secrets_are_in_no_output(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(CONFIG)
    flow = (ROOT / "examples/flows/record-by-connector.json").read_text().replace("Gridspace_1", "Rec")
    (tmp_path / "flow.json").write_text(flow)
    result = CliRunner().invoke(main, ["check", str(tmp_path / "c.yaml")])
    assert "mistake" in result.output
    assert "hunter2" not in result.output
    connector = make(Siprec, **SRS, username="me", password="hunter2-password")
    assert "hunter2" not in repr(connector.settings)


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of somebody else's with a preset and a connector, as if pip had installed it."""
    folder = tmp_path / "acme_presets"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from forkproxy_siprec import Siprec\n\n\nclass Acme(Siprec):\n    pass\n"
    )
    (folder / "acme7.yaml").write_text(
        "title: Acme Recorder 7\nsource: acme.example/siprec\nsettings: {labels: {inbound: a, outbound: b}}\n"
    )
    (folder / "broken.yaml").write_text("title: [\n")
    info = tmp_path / "acme_presets-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-presets\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[forkproxy.siprec_presets]\nacme = acme_presets\ngone = acme_nowhere\n"
        "[forkproxy.connectors]\nacme = acme_presets:Acme\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    presets.presets.cache_clear()
    yield tmp_path
    presets.presets.cache_clear()
    sys.modules.pop("acme_presets", None)


def test_other_packages_bring_presets_and_connectors(acme: Path) -> None:
    settings = make(Siprec, preset="acme7", **SRS).settings
    assert settings.labels.inbound == "a"
    with pytest.raises(InputError, match="preset 'broken' cannot be used"):
        make(Siprec, preset="broken", **SRS)
    listed = CliRunner().invoke(main, ["connectors", "--presets"]).output
    assert "siprec  acme7  (acme-presets)" in listed
    assert "source: acme.example/siprec" in listed
    assert "unusable: ModuleNotFoundError" in listed
    (acme / "c.yaml").write_text(
        CONFIG.replace("type: siprec", "type: acme\n    preset: acme7").replace("    mistake: 1\n", "")
    )
    flow = (ROOT / "examples/flows/record-by-connector.json").read_text().replace("Gridspace_1", "Rec")
    (acme / "flow.json").write_text(flow)
    assert "Rec" in CliRunner().invoke(main, ["connectors", str(acme / "c.yaml")]).output
    assert CliRunner().invoke(main, ["check", str(acme / "c.yaml")]).exit_code == 0


def test_every_setting_is_in_the_manual() -> None:
    manual = (ROOT / "docs/siprec.md").read_text()
    for name in SiprecSettings.model_fields:
        assert f"`{name}`" in manual, name
