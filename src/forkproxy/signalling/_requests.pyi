"""Requests outside calls that we send (ext/pjsip/requests.pyx)."""

from typing import Any, Final, final

from forkproxy.signalling._transports import Agent, Listener, Transport

RESPONSE: Final[int]
METHODS: dict[bytes, int]

@final
class Request:
    """One that is on its way, or was."""

    owner: Any

def send(
    agent: Agent,
    home: Transport | Listener,
    method: bytes,
    target: bytes,
    local: bytes,
    remote: bytes,
    contact: bytes | None,
    call_id: bytes,
    cseq: int,
    host: bytes,
    port: int,
    address: str,
    peer_port: int,
    headers: list[tuple[bytes, bytes]],
    owner: object = None,
) -> Request: ...
