"""The flow and the configuration that the demo gives to `forkproxy serve`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STREAM_NAME = "AudioStream"
STOP_WIDGET = "stop_stream"
NUMBER = "+15551230000"
"""What the caller dials; every number would do, for the flow is the default one."""


def flow_definition(url: str, callee: str) -> dict[str, Any]:
    """Twilio's "fork for processing", as Studio exports it: start a stream, connect the call, stop it.

    The same as ``examples/flows/fork-for-processing.json`` but for `url`, the consumer's wss URL, and
    `callee`, the SIP URI that the call is connected to.
    """
    stream = {"stream_name": STREAM_NAME, "stream_transport_type": "websocket"}
    start = {
        "stream_action": "start",
        **stream,
        "stream_url": url,
        "stream_track": "both_tracks",
        "stream_parameters": [{"value": "{{trigger.call.From}}", "key": "caller"}],
    }
    connect = {
        "noun": "sip",
        "sip_endpoint": callee,
        "caller_id": "{{contact.channel.address}}",
        "timeout": 30,
    }
    other = dict.fromkeys(
        ("incomingMessage", "incomingConversationMessage", "incomingRequest", "incomingParent")
    )
    after = {"callCompleted": STOP_WIDGET, "hangup": STOP_WIDGET}
    return {
        "description": "Fork for processing: stream both sides of an incoming call while it is connected",
        "states": [
            _state(0, "Trigger", "trigger", {}, {"incomingCall": "start_stream", **other}),
            _state(1, "start_stream", "fork-stream", start, {"next": "connect_call"}),
            _state(2, "connect_call", "connect-call-to", connect, after),
            _state(3, STOP_WIDGET, "fork-stream", {"stream_action": "stop", **stream}, {"next": None}),
        ],
        "initial_state": "Trigger",
        "flags": {"allow_concurrent_calls": True},
    }


def _state(
    row: int, name: str, kind: str, properties: dict[str, Any], transitions: Mapping[str, str | None]
) -> dict[str, Any]:
    """One widget; a transition to None ends the flow."""
    return {
        "name": name,
        "type": kind,
        "transitions": [
            {"event": event} if target is None else {"next": target, "event": event}
            for event, target in transitions.items()
        ],
        "properties": {"offset": {"x": 60 if row else 0, "y": 240 * row}, **properties},
    }


CONFIG = """\
# What `forkproxy demo` ran, all of it on this machine. Port 0 takes any free port.
sip:
  listen: ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"]
media: {{listen: 127.0.0.1, ports: 20000-29999}}
flows:
  default: flow.json
account: {{sid: {account_sid}, auth_token: {auth_token}}}
streams: {{ca_file: certificate.pem}}   # the demo's own certificate; real servers need no such line
api: {{listen: "127.0.0.1:0"}}
"""


def write_scene(folder: Path, flow: dict[str, Any], *, account_sid: str, auth_token: str) -> Path:
    """Write ``flow.json`` and ``forkproxy.yaml`` to `folder`; returns the path of the latter."""
    (folder / "flow.json").write_text(json.dumps(flow, indent=2) + "\n")
    config = folder / "forkproxy.yaml"
    config.write_text(CONFIG.format(account_sid=account_sid, auth_token=auth_token))
    return config
