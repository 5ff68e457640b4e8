"""The flow and the configuration that the demo gives to `forkproxy serve`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

STREAM_NAME = "demo"
NUMBER = "+15551230000"
"""What the caller dials; every number would do, for the flow is the default one."""


def flow_definition(url: str, callee: str) -> dict[str, Any]:
    """Twilio's "fork for processing", as Studio exports it: start a stream, connect the call, stop it.

    `url` is the consumer's wss URL, `callee` the SIP URI that the call is connected to.
    """
    stream = {
        "stream_action": "start",
        "stream_transport_type": "websocket",
        "stream_name": STREAM_NAME,
        "stream_track": "both_tracks",
        "stream_url": url,
        "stream_parameters": [{"key": "caller", "value": "{{trigger.call.From}}"}],
    }
    call = {
        "noun": "sip",
        "sip_endpoint": callee,
        "caller_id": "{{contact.channel.address}}",
        "record": False,
        "timeout": 30,
    }
    stop = {"stream_action": "stop", "stream_transport_type": "websocket", "stream_name": STREAM_NAME}
    return {
        "description": "Fork for processing: stream both sides of a call while it goes on",
        "states": [
            _state("Trigger", "trigger", {}, 0, incomingCall="start_stream"),
            _state("start_stream", "fork-stream", stream, 1, next="connect_call"),
            _state("connect_call", "connect-call-to", call, 2, callCompleted="stop_stream", hangup=None),
            _state("stop_stream", "fork-stream", stop, 3, next=None),
        ],
        "initial_state": "Trigger",
        "flags": {"allow_concurrent_calls": True},
    }


def _state(
    name: str, kind: str, properties: dict[str, Any], row: int, **transitions: str | None
) -> dict[str, Any]:
    """One widget; a transition to None is one that ends the flow."""
    return {
        "name": name,
        "type": kind,
        "transitions": [
            {"event": event} if target is None else {"event": event, "next": target}
            for event, target in transitions.items()
        ],
        "properties": {"offset": {"x": 0, "y": 200 * row}, **properties},
    }


CONFIG = """\
# What `forkproxy demo` ran, all of it on this machine. Port 0 takes any free port.
sip:
  listen: ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"]
media: {{listen: 127.0.0.1, ports: 20000-29999}}
flows:
  default: flow.json
account: {{sid: {account_sid}, auth_token: {auth_token}}}
streams: {{ca_file: {ca_file}}}   # the demo's own certificate; real servers need no such line
api: {{listen: "127.0.0.1:0"}}
"""


def write_scene(folder: Path, flow: dict[str, Any], *, account_sid: str, auth_token: str) -> Path:
    """Write ``flow.json`` and ``forkproxy.yaml`` to `folder`; returns the path of the latter."""
    (folder / "flow.json").write_text(json.dumps(flow, indent=2) + "\n")
    config = folder / "forkproxy.yaml"
    config.write_text(CONFIG.format(account_sid=account_sid, auth_token=auth_token))
    return config
