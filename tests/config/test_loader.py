"""Whole configurations: what a good one becomes, and every mistake of a bad one at its line."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any, get_args

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from forkproxy import config as configuration
from forkproxy.config import Config, Ports
from forkproxy.connectors import Host
from forkproxy.errors import ConfigError, Problem
from forkproxy.model import Account, Address
from tests.config.conftest import Check, Load

WHOLE = """\
sip:
  listen: [udp://127.0.0.1:0, tcp://127.0.0.1:0]
  advertise: sip.example.com:5060
  drain: 12.5
media:
  {listen: 127.0.0.1, advertise: 203.0.113.5, ports: 30000-30099, threads: 2, window: 0, inactivity: 45,
   codecs: [g722, PCMA], srtp: required, dtmf_inband: fallback}
trunks:
  - name: carrier
    accept: [192.0.2.0/24, 198.51.100.7]
    address: sip:sip.carrier.example
    numbers: ["+49*", "+*"]
    username: u
    password: ${CARRIER_PASSWORD}
    srtp: off
    register: true
    expires: 600
    user: me
    domain: us.example
    health: 20
    patience: 2
    max_calls: 10
    max_rate: 0.5
    incoming: ["00*->+*", "0* -> +49*"]
    outgoing: ["+* -> 00*"]
    caller: ["100 -> +49301"]
    caller_id: "+4930"
connectors:
  Archive_1: {type: archive, folder: /tmp/x, port: 5, token: abc-token}
flows:
  default: flow.json
  +15551230000: ./flow.json
account: {sid: AC0123456789abcdef0123456789abcdef, auth_token: "${TOKEN}"}
streams: {ca_file: ca.pem, allow_ws: true, start_wait: 0, buffer: 5}
api: {listen: 127.0.0.1:0}
log: {level: debug, format: json}
"""
ENVIRON = {"CARRIER_PASSWORD": "pass-word", "TOKEN": "to-ken"}


@pytest.fixture
def whole(load: Load, tmp_path: Path) -> Config:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    return load(WHOLE, ENVIRON)


def said(problems: list[Problem]) -> list[str]:
    """Without the folder, which differs with every run."""
    return [str(problem).partition("forkproxy.yaml:")[2] for problem in problems]


def test_every_key_has_a_default_but_the_flows(load: Load) -> None:
    config = load()
    assert config.sip.listen == ("udp://0.0.0.0:5060", "tcp://0.0.0.0:5060")
    assert config.media.ports == Ports(20_000, 29_999)
    assert config.api.listen == Address("127.0.0.1", 8080)
    assert (config.sip.drain, config.streams.start_wait, config.streams.buffer) == (30, 1, 30)
    assert (config.media.window, config.media.inactivity) == (60, None)
    assert (config.log.level, config.log.format, config.media.threads) == ("info", "text", None)
    assert (config.media.codecs, config.media.srtp) == (("PCMU", "PCMA", "G722"), "optional")
    assert config.media.dtmf_inband == "off"
    assert not config.streams.allow_ws
    assert config.trunks == ()
    assert config.warnings == ()
    assert list(config.instances) == ["websocket"]


def test_every_key_is_read(whole: Config, tmp_path: Path) -> None:
    assert whole.sip.listen == ("udp://127.0.0.1:0", "tcp://127.0.0.1:0")
    assert whole.sip.advertised_hosts == ("sip.example.com",)
    assert (whole.sip.advertise, whole.sip.drain) == (("sip.example.com:5060",), 12.5)
    assert whole.media.listen == "127.0.0.1"
    assert whole.media.advertise == ("203.0.113.5",)
    assert whole.media_addresses == ("203.0.113.5", "127.0.0.1")
    assert (whole.media.ports, whole.media.threads) == ((30_000, 30_099), 2)
    assert (whole.media.window, whole.media.inactivity) == (0, 45)
    assert (whole.media.codecs, whole.media.srtp) == (("G722", "PCMA"), "required")
    assert whole.media.dtmf_inband == "fallback"
    assert whole.trunks[0].srtp == whole.routes()[0].srtp == "off"
    (trunk,) = whole.trunks
    assert trunk.accept == (ip_network("192.0.2.0/24"), ip_network("198.51.100.7/32"))
    assert (trunk.address, trunk.numbers, trunk.username) == ("sip:sip.carrier.example", ("+49*", "+*"), "u")
    assert trunk.password is not None
    assert trunk.password.get_secret_value() == "pass-word"
    assert whole.instances["Archive_1"].settings.port == 5  # type: ignore[attr-defined]
    assert whole.account.sid == "AC0123456789abcdef0123456789abcdef"
    assert whole.streams.ca_file == tmp_path / "ca.pem"
    assert (whole.streams.allow_ws, whole.streams.start_wait, whole.streams.buffer) == (True, 0, 5)
    assert whole.api.listen == Address("127.0.0.1", 0)
    assert (whole.log.level, whole.log.format) == ("debug", "json")


def test_flows_are_loaded_once_each_and_found_by_number(whole: Config, tmp_path: Path) -> None:
    assert whole.flows["default"] == tmp_path / "flow.json"
    assert set(whole.loaded_flows) == {"default", "+15551230000"}
    assert whole.flow_for("+15551230000") is whole.loaded_flows["+15551230000"]
    assert whole.flow_for("+4930") is whole.loaded_flows["default"]
    assert whole.loaded_flows["default"] is whole.loaded_flows["+15551230000"]


def test_without_a_default_flow_other_numbers_have_none(load: Load) -> None:
    assert load("flows: {+15551230000: flow.json}").flow_for("+4930") is None


def test_json_is_a_configuration_too(flow: Path) -> None:
    path = flow.with_name("config.json")
    path.write_text('{"flows": {"default": "flow.json"},\n\t"media": {"ports": "4000-4001"}}')
    assert configuration.load(path, {}).media.ports == (4000, 4001)


def test_certificates(load: Load, check: Check, tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("sip.example.com")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "chain.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "both.pem").write_bytes(issued.private_key_pem.bytes() + issued.cert_chain_pems[0].bytes())
    text = """\
sip:
  listen: [tls://127.0.0.1:0]
  keep_alive: null
  tls: {certificate: chain.pem, key: key.pem, hosts: {b.example: both.pem}, client_certificates: optional}
flows: {default: flow.json}
"""
    settings = load(text).sip.tls_settings()
    assert settings is not None
    assert (settings.certificate, settings.key) == (tmp_path / "chain.pem", tmp_path / "key.pem")
    assert settings.hosts == {"b.example": tmp_path / "both.pem"}
    assert (settings.ca_file, settings.verify, settings.client_certificates) == (None, True, "optional")
    secret = issued.private_key_pem.bytes()
    key = serialization.load_pem_private_key(secret, None)
    best = serialization.BestAvailableEncryption(b"secret")
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "key.pem").write_bytes(key.private_bytes(pem, pkcs8, best))
    assert any("its key has a passphrase" in line for line in said(check(text)))


def test_it_is_frozen(whole: Config) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        whole.sip.drain = 1  # type: ignore[misc]


def test_secrets_are_known_and_never_printed(whole: Config) -> None:
    assert set(whole.secrets()) == {"pass-word", "to-ken", "abc-token"}
    for text in (repr(whole), str(whole), repr(whole.trunks), repr(whole.account), repr(whole.instances)):
        assert not any(secret in text for secret in whole.secrets())


def test_trunks_become_routes(whole: Config) -> None:
    (route,) = whole.routes()
    assert (route.name, route.address, route.username, route.password) == (
        "carrier",
        "sip:sip.carrier.example",
        "u",
        "pass-word",
    )


def test_connectors_are_made_with_their_lines(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(Account("AC", "x"), "forkproxy/0", None, False, logging.getLogger())
    made = load("connectors: {A: {type: archive, port: 7}}").make_connectors(host)
    assert (made["A"].name, made["A"].settings.port) == ("A", 7)
    with pytest.raises(ConfigError) as caught:
        load("connectors:\n  A: {type: archive}\n  R: {type: refusing}").make_connectors(host)
    (problem,) = caught.value.problems
    assert (problem.line, problem.path) == (3, "#/connectors/R")
    assert "cannot start: the disk is full" in problem.message


TEN_MISTAKES = """\
sip:
  listen: [udp://127.0.0.1:5060, tls://127.0.0.1:5061]
  advertize: sip.example.com
media:
  ports: 20001-29999
trunks:
  - name: carrier
    accept: [192.0.2.1/24]
    register: true
  - name: carrier
connectors:
  Archive_1: {type: archvie}
flows:
  default: nowhere.json
  two words: flow.json
streams: {allow_ws: "yes"}
"""


def keys(model: type[BaseModel] = Config) -> Iterator[tuple[str, Any]]:
    """All keys of all sections."""
    for name, field in model.model_fields.items():
        yield field.alias or name, field
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from keys(inner)


def test_ten_mistakes_are_found_at_once(check: Check) -> None:
    assert said(check(TEN_MISTAKES)) == [
        "2:34: #/sip/listen/1: needs a certificate: sip.tls.certificate",
        "3:3: #/sip/advertize: is not a known property; did you mean 'advertise'?",
        "5:10: #/media/ports: 20001-29999: RTP takes an even port and RTCP the next, so it must begin even "
        "and end odd; did you mean '20002-29999'?",
        "8:14: #/trunks/0/accept/0: '192.0.2.1/24' has bits set behind its prefix; did you mean "
        "'192.0.2.0/24' or '192.0.2.1'?",
        "9:5: #/trunks/0/register: needs user or username next to it",
        "9:5: #/trunks/0/register: needs address next to it: where the calls go out",
        "10:5: #/trunks/1: warning: accepts no call and sends none: it has neither accept, users nor address",
        "10:11: #/trunks/1/name: 'carrier' is also the name of #/trunks/0",
        "12:21: #/connectors/Archive_1/type: no installed package offers the connector type 'archvie'; did "
        "you mean 'archive'?",
        "14:12: #/flows/default: 'nowhere.json' cannot be read: No such file or directory",
        "15:3: #/flows/two words: is not 'default', a number as in +15551230000 or a user's name",
        "16:21: #/streams/allow_ws: string found, boolean expected",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sip: 5", "1:6: #/sip: integer found, object expected"),
        ("sip: {listen: []}", "1:15: #/sip/listen: must not be empty"),
        ("sip: {listen: udp://0.0.0.0:5060}", "1:15: #/sip/listen: string found, array expected"),
        ("sip: {drain: -1}", "1:14: #/sip/drain: must be 0 or more"),
        ("sip: {drain: soon}", "1:14: #/sip/drain: string found, number expected"),
        ("media: {codecs: [PCMU, G729]}", "1:24: #/media/codecs/1: 'G729' is not a codec"),
        ("media: {codecs: [PCMU, pcmu]}", "1:17: #/media/codecs: has PCMU twice"),
        ("media: {srtp: always}", "1:15: #/media/srtp: "),
        ("media: {threads: 0}", "1:18: #/media/threads: must be 1 or more"),
        ("media: {threads: 1.5}", "1:18: #/media/threads: number found, integer expected"),
        ("media: {window: 62}", "1:17: #/media/window: must be a multiple of 5"),
        ("media: {window: 505}", "1:17: #/media/window: must be 500 or less"),
        ("media: {inactivity: 0.5}", "1:21: #/media/inactivity: must be 1 or more"),
        ("media: {listen: eth0}", "1:17: #/media/listen: 'eth0' is not an IP address"),
        (
            "media: {advertise: 0.0.0.0}",
            "1:20: #/media/advertise: 0.0.0.0 is no address that a peer can send to",
        ),
        ("trunks: [{}]", "1:10: #/trunks/0/name: is missing but it is required"),
        ("trunks: [{name: 5}]", "1:17: #/trunks/0/name: integer found, string expected"),
        ("trunks: [{name: a, accept: 192.0.2.1}]", "1:28: #/trunks/0/accept: string found, array expected"),
        ("trunks: {name: a}", "1:9: #/trunks: object found, array expected"),
        (
            "trunks: [{name: a, accept: [1.1.1.1], numbers: [+*]}]",
            "1:39: #/trunks/0/numbers: needs address next to it: where the calls go out",
        ),
        (
            "trunks: [{name: a, accept: [1.1.1.1], address: sip:b, numbers: [+1], username: u}]",
            "1:70: #/trunks/0/username: needs password next to it",
        ),
        (
            "trunks: [{name: a, accept: [1.1.1.1], address: sip:b, numbers: [+1], password: pass}]",
            "1:70: #/trunks/0/password: needs username next to it",
        ),
        (
            "trunks: [{name: a, accept: [1.1.1.1], register: 'no'}]",
            "#/trunks/0/register: string found, boolean expected",
        ),
        ("connectors: [a]", "1:13: #/connectors: array found, object expected"),
        ("connectors: {A: {}}", "1:17: #/connectors/A/type: is missing but it is required"),
        (
            "connectors: {A: {type: archive, prot: 5}}",
            "1:33: #/connectors/A/prot: is not a known property; did you mean 'port'?",
        ),
        (
            "connectors: {A: {type: archive, port: '5'}}",
            "#/connectors/A/port: string found, integer expected",
        ),
        (
            "connectors: {A: {type: broken}}",
            "cannot be imported: No module named 'tests.config.no_such_module'",
        ),
        ("flows: {}", "1:8: #/flows: must not be empty"),
        ("flows: [flow.json]", "1:8: #/flows: array found, object expected"),
        ("flows: {default: 5}", "1:18: #/flows/default: integer found, string expected"),
        ("flows: {default: .}", "1:18: #/flows/default: '.' cannot be read: Is a directory"),
        (
            "account: {sid: AC12}",
            "1:16: #/account/sid: is not an account sid ('AC' and 32 hexadecimal digits)",
        ),
        ("account: {auth_token: ''}", "#/account/auth_token: must not be empty"),
        ("streams: {ca_file: nope.pem}", "1:20: #/streams/ca_file: 'nope.pem' cannot be read: No such file"),
        ("streams: {ca_file: flow.json}", "'flow.json' holds no certificate in PEM's form"),
        (
            "streams: {ca_file: ~no-such-user/ca.pem}",
            "#/streams/ca_file: '~no-such-user/ca.pem' cannot be read",
        ),
        (
            "sip: {listen: ['tls://127.0.0.1:5061']}",
            "1:16: #/sip/listen/0: needs a certificate: sip.tls.certificate",
        ),
        ("sip: {tls: {key: k.pem}}", "1:13: #/sip/tls/key: needs certificate next to it"),
        ("sip: {tls: {certificate: nope.pem}}", "'nope.pem' cannot be read: No such file"),
        ("sip: {tls: {certificate: flow.json}}", "'flow.json': no certificate (PEM) and its key: "),
        ("sip: {tls: {hosts: {a.example: flow.json}}}", "#/sip/tls/hosts/a.example: 'flow.json': no certif"),
        (
            "sip: {tls: {ca_file: flow.json}}",
            "#/sip/tls/ca_file: 'flow.json' holds no certificate in PEM's form",
        ),
        (
            "trunks: [{name: a, address: 'sips:a.example', numbers: ['*']}]",
            "#/trunks/0/address: needs a tls:// address in sip.listen, whose certificate it shows",
        ),
        ("streams: {ca_file: ''}", "#/streams/ca_file: '' cannot be read: Is a directory"),
        (
            "flows: {default: ~no-such-user/flow.json}",
            "#/flows/default: '~no-such-user/flow.json' cannot be read",
        ),
        ('flows: {default: "a\\0b"}', "#/flows/default: 'a\\x00b' cannot be read"),
        ("streams: {buffer: 0}", "1:19: #/streams/buffer: must"),
        ("api: {listen: 0.0.0.0}", "1:15: #/api/listen: has no port"),
        (
            "log: {level: INFO}",
            "does not have a value in the enumeration [debug, info, warning, error]; did you mean",
        ),
        ("logs: {level: info}", "1:1: #/logs: is not a known property; did you mean 'log'?"),
        ("sip: {}\nsip: {}", "2:1: #/sip: is here a second time; the first is in line 1"),
        (
            "sip: {listen: [udp://127.0.0.1:5060, udp://0.0.0.0:5060]}",
            "1:38: #/sip/listen/1: 0.0.0.0:5060 is taken by udp://127.0.0.1:5060",
        ),
        (
            "sip: {listen: [tcp://0.0.0.0:8080]}",
            "1:1: #/api/listen: 127.0.0.1:8080 is taken by tcp://0.0.0.0:8080",
        ),
    ],
)
def test_one_mistake(check: Check, text: str, expected: str) -> None:
    errors = [problem for problem in check(text) if not problem.warning]
    (problem,) = said(errors)
    assert expected in problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "sip: {listen: [udp://0.0.0.0:20000]}",
            "1:16: #/sip/listen/0: warning: port 20000 lies in media.ports",
        ),
        (
            "api: {listen: 0.0.0.0:8080}",
            "1:15: #/api/listen: warning: 0.0.0.0:8080 can be reached from other machines",
        ),
        ("trunks: [{name: a, accept: [0.0.0.0/0]}]", "#/trunks/0/accept/0: warning: 0.0.0.0/0: everybody"),
        ("trunks: [{name: a, address: sip:b}]", "1:20: #/trunks/0/address: warning: sends no call"),
        (
            "trunks: [{name: a, address: sip:b, numbers: [+*], user: u, register: true}]",
            "1:60: #/trunks/0/register: warning: registers for calls and accepts none",
        ),
        (
            "trunks: [{name: a, address: sip:b, numbers: [+*, +49*]}]",
            "#/trunks/0/numbers/1: warning: '+49*' says nothing: '+*' before it takes its numbers, too",
        ),
        ("account: {auth_token: abcdef}", "1:11: #/account/auth_token: warning: stands without a sid"),
    ],
)
def test_doubts_are_warnings(check: Check, load: Load, text: str, expected: str) -> None:
    (problem,) = check(text)
    assert problem.warning
    assert expected in said([problem])[0]
    assert load(text).warnings == (problem,)


def test_the_mistakes_of_the_flows_are_among_them(check: Check, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"initial_state": "Trigger",\n"states": [\n{"name": 5}]}')
    problems = check("sip: {drain: x}\nflows: {default: bad.json, +15551230000: bad.json}")
    assert Path(problems[0].file).name == "forkproxy.yaml"
    in_flow = [problem for problem in problems if problem.file == str(tmp_path / "bad.json")]
    assert any(problem.path == "#/states/0/name" and problem.line == 3 for problem in in_flow)
    assert len(in_flow) == len(set(in_flow))


FORK = """\
initial_state: Trigger
states:
  - name: Trigger
    type: trigger
    transitions: [{event: incomingCall, next: fork}]
    properties: {}
  - name: fork
    type: fork-stream
    transitions: [{event: next}]
    properties: {stream_action: start, stream_transport_type: siprec, stream_connector: Archive_2,
                 stream_track: both_tracks}
"""


def test_a_flow_that_names_an_unknown_connector(check: Check, tmp_path: Path) -> None:
    (tmp_path / "fork.yaml").write_text(FORK)
    text = "flows: {default: fork.yaml}\nconnectors: {Archive_1: {type: archive}}"
    (problem,) = check(text)
    assert (Path(problem.file).name, problem.line) == ("fork.yaml", 10)
    assert "Archive_2" in problem.message
    # An instance with a mistake in its settings is known all the same: one mistake, one problem.
    (problem,) = check(text.replace("Archive_1: {type: archive}", "Archive_2: {type: archive, x: 1}"))
    assert problem.path == "#/connectors/Archive_2/x"


def test_ws_streams_need_the_configurations_leave(check: Check, tmp_path: Path) -> None:
    text = FORK.replace("siprec, stream_connector: Archive_2", "websocket, stream_url: 'ws://127.0.0.1:9/'")
    (tmp_path / "fork.yaml").write_text(text)
    assert any(not problem.warning for problem in check("flows: {default: fork.yaml}"))
    assert check("flows: {default: fork.yaml}\nstreams: {allow_ws: true}") == []


def test_the_missing_websocket_package_is_told(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    from forkproxy.connectors import Registry

    monkeypatch.setattr("forkproxy.config.loader.Registry", lambda: Registry([]))
    (problem,) = check("")
    assert problem.warning
    assert "forkproxy-websocket is not installed" in problem.message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\xff\xfe", "is UTF-16"),
        (b"- a\n", "is not a configuration"),
        (b"sip: {", "is not YAML"),
        (b"hello", "is not a configuration"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        configuration.load(path)
    assert message in caught.value.problems[0].message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (problem,) = configuration.check(tmp_path / "none.yaml")
    assert problem.message == "cannot be read: No such file or directory"


def test_instances_are_read_without_the_rest(write: Callable[[str], Path]) -> None:
    text = (
        "sip: 5\nconnectors:\n  A: {type: archive, port: ${P}}\n  B: {type: archive, x: 1}\n  C: {type: ${N}}"
    )
    path = write(text)
    found, problems = configuration.instances(path, {"P": "5"})
    assert sorted(found) == ["A", "websocket"]
    assert [problem.line for problem in problems] == [4, 5, 5]


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 70_000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(
        ["${A}", "${", "udp://127.0.0.1:5060", "+1*", "192.0.2.0/24", "archive", "flow.json", "~x/y"]
    ),
)
_KEYS = [*sorted({name for name, _ in keys()}), "name", "type", "Archive_1", "default", "x"]
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.dictionaries(st.sampled_from(list(Config.model_fields)), _VALUES, max_size=5))
def test_whatever_stands_there_ends_in_problems_with_places(flow: Path, data: dict[str, Any]) -> None:
    path = flow.with_name("any.json")
    path.write_text(json.dumps(data))
    problems = configuration.check(path, {"A": "1"})
    if any(not problem.warning for problem in problems):
        with pytest.raises(ConfigError) as caught:
            configuration.load(path, {"A": "1"})
        assert list(caught.value.problems) == problems
    else:
        assert configuration.load(path, {"A": "1"}).warnings == tuple(problems)
    assert all(problem.message and problem.path.startswith("#") for problem in problems)
    assert all(problem.line for problem in problems)
