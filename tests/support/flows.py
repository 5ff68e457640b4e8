"""Flows as Twilio Studio exports them, as Python values to be written as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

State = dict[str, Any]
Flow = dict[str, Any]


def state(name: str, kind: str, properties: Mapping[str, Any], *transitions: tuple[str, str | None]) -> State:
    """One widget; a transition without a target ends the branch."""
    return {
        "name": name,
        "type": kind,
        "transitions": [
            {"event": event, **({"next": target} if target else {})} for event, target in transitions
        ],
        "properties": {"offset": {"x": 0, "y": 0}, **properties},
    }


def flow(first: str, *states: State) -> Flow:
    """A definition whose incoming calls go to the state `first`."""
    trigger = state(
        "Trigger",
        "trigger",
        {},
        ("incomingMessage", None),
        ("incomingCall", first),
        ("incomingRequest", None),
    )
    return {
        "description": "A test",
        "states": [trigger, *states],
        "initial_state": "Trigger",
        "flags": {"allow_concurrent_calls": True},
    }


def connect(
    uri: str, next_: str | None = None, *, name: str = "connect", timeout: int = 30, **more: Any
) -> State:
    """Dial a SIP URI."""
    properties = {
        "noun": "sip",
        "sip_endpoint": uri,
        "timeout": timeout,
        "caller_id": "{{contact.channel.address}}",
        **more,
    }
    return state(name, "connect-call-to", properties, ("callCompleted", next_), ("hangup", None))


def fork(
    url: str,
    next_: str | None,
    *,
    name: str = "start_stream",
    stream_name: str = "test",
    track: str = "both_tracks",
    parameters: Sequence[tuple[str, str]] = (),
) -> State:
    """Start a stream to a WebSocket server."""
    properties = {
        "stream_action": "start",
        "stream_transport_type": "websocket",
        "stream_name": stream_name,
        "stream_track": track,
        "stream_url": url,
        "stream_parameters": [{"key": key, "value": value} for key, value in parameters],
    }
    return state(name, "fork-stream", properties, ("next", next_))


def unfork(next_: str | None = None, *, name: str = "stop_stream", stream_name: str = "test") -> State:
    """Stop a stream."""
    properties = {"stream_action": "stop", "stream_transport_type": "websocket", "stream_name": stream_name}
    return state(name, "fork-stream", properties, ("next", next_))


def bridge(uri: str, **more: Any) -> Flow:
    """Connect the caller to `uri`, nothing else."""
    return flow("connect", connect(uri, **more))


def fork_and_bridge(url: str, uri: str, *, parameters: Sequence[tuple[str, str]] = (), **more: Any) -> Flow:
    """The flow of Twilio's page "fork for processing": start the stream, connect, stop the stream."""
    return flow(
        "start_stream",
        fork(url, "connect", parameters=parameters),
        connect(uri, "stop_stream", **more),
        unfork(),
    )
