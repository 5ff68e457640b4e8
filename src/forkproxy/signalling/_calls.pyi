"""Calls that come in and go out (ext/pjsip/calls.pyx)."""

from collections.abc import Callable

from forkproxy.signalling._pjsip import Engine
from forkproxy.signalling._sessions import Session
from forkproxy.signalling._transports import Agent, Listener, Transport

KNOWN_METHODS: frozenset[str]

def invite(
    agent: Agent,
    home: Transport | Listener,
    target: bytes,
    local: bytes,
    remote: bytes,
    host: bytes,
    port: int,
    sdp: bytes,
    headers: list[tuple[bytes, bytes]],
    username: bytes | None = None,
    password: bytes | None = None,
    max_forwards: int = 70,
    owner: object = None,
    peer: str | None = None,
    peer_port: int = 0,
    name: bytes = b"",
) -> Session: ...
def start(compare: Callable[[bytes, bytes], bool], records: Callable[[bytes], bool]) -> Engine: ...
