"""The demo runs the example flow of the repository, and a configuration that forkproxy accepts."""

from __future__ import annotations

import json
import re
from pathlib import Path

from forkproxy.config import check, load
from forkproxy.demo import certificate
from forkproxy.demo.scene import flow_definition, write_scene

EXAMPLE = Path(__file__).parents[2] / "examples/flows/fork-for-processing.json"


def test_the_flow_is_the_example_with_the_demo_s_addresses() -> None:
    text = EXAMPLE.read_text()
    url = re.search(r'"stream_url": "([^"]+)"', text)
    callee = re.search(r'"sip_endpoint": "([^"]+)"', text)
    assert url is not None
    assert callee is not None
    made = flow_definition(url[1], callee[1])
    example = json.loads(text)
    for flow in (made, example):
        for state in flow["states"]:
            state["transitions"].sort(key=lambda transition: transition["event"])
    assert made == example


def test_the_configuration_passes_its_own_check(tmp_path: Path) -> None:
    made = certificate.make(tmp_path)
    made.authority.replace(tmp_path / "certificate.pem")
    flow = flow_definition("wss://127.0.0.1:1234/media", "sip:callee@127.0.0.1:5070")
    path = write_scene(tmp_path, flow, account_sid="AC" + "0" * 32, auth_token="a" * 32)
    assert [problem for problem in check(path) if not problem.warning] == []
    config = load(path)
    assert config.account.sid == "AC" + "0" * 32
    assert config.streams.ca_file == tmp_path / "certificate.pem"
    assert list(config.flows) == ["default"]
