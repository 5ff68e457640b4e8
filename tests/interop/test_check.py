"""`forkproxy check` names every mistake, with file and line."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.support.processes import Process

CONFIG = """\
sip:
  listen: [sctp://127.0.0.1:5060]             # mistake: a transport that there is not
  drain: soon                                 # mistake: a word for a number
media:
  ports: 30000-20000                          # mistake: the range ends before it begins
trunks:
  - name: carrier
    accept: [192.0.2.0/33]                    # mistake: no such network
    adress: sip:sip.carrier.example           # mistake: a key that is misspelt
connectors:
  Gridspace_1:
    type: gridspaec                           # mistake: a type that nobody installed
flows:
  default: flow.yaml
"""

FLOW = """\
description: ten mistakes, five of them here
initial_state: Trigger
flags: {allow_concurrent_calls: true}
states:
  - name: Trigger
    type: trigger
    transitions: [{event: incomingCall, next: start}]
    properties: {}
  - name: start
    type: fork-stream
    transitions:
      - event: next
        next: connekt                         # mistake: a state that there is not
    properties:
      stream_action: begin                    # mistake: not in the enumeration
      stream_transport_type: websocket
      stream_track: both_tracks
      stream_url: wss://consumer.example/media
  - name: connect
    type: connect-call-to
    transitions: [{event: callCompleted, next: bye}]
    properties:
      noun: sip
      sip_endpoint: sip:bob@127.0.0.1:5080
      timeout: true                           # mistake: a boolean for an integer
  - name: bye
    type: hang-up                             # mistake: a widget that Studio does not have
    transitions: []
    properties: {}
"""


def _marked(text: str) -> dict[int, str]:
    return {
        n: line.split("# mistake: ")[1] for n, line in enumerate(text.splitlines(), 1) if "# mistake" in line
    }


async def test_ten_planted_mistakes_are_all_named(tmp_path: Path) -> None:
    assert len(_marked(CONFIG)) + len(_marked(FLOW)) == 10
    (tmp_path / "forkproxy.yaml").write_text(CONFIG)
    (tmp_path / "flow.yaml").write_text(FLOW)
    check = Process("check", [sys.executable, "-m", "forkproxy", "check", "forkproxy.yaml"], tmp_path)
    assert await check.exited(20) == 1, check.describe()
    said = check.out + check.err
    missing = [
        f"{file}:{line}: {what}"
        for file, text in (("forkproxy.yaml", CONFIG), ("flow.yaml", FLOW))
        for line, what in _marked(text).items()
        if not re.search(rf"{re.escape(file)}:{line}:\d+: #/", said)
    ]
    assert not missing, check.describe()
    errors = [
        line for line in said.splitlines() if re.search(r"\.yaml:\d+:\d+: #/", line) and "warning" not in line
    ]
    assert len(errors) == 10, check.describe()
    assert "Traceback" not in said


async def test_a_good_configuration_passes(tmp_path: Path) -> None:
    good = (
        FLOW.replace("connekt", "connect").replace("begin", "start").replace("timeout: true", "timeout: 20")
    )
    good = good.replace("next: bye}", "next: ''}")[: good.index("  - name: bye")]
    (tmp_path / "flow.yaml").write_text(good[: good.rindex("\n") + 1] if not good.endswith("\n") else good)
    (tmp_path / "forkproxy.yaml").write_text("flows: {default: flow.yaml}\n")
    check = Process(
        "check", [sys.executable, "-m", "forkproxy", "check", "forkproxy.yaml", "flow.yaml"], tmp_path
    )
    assert await check.exited(20) == 0, check.describe()
