"""Dialogs without an invite session (ext/pjsip/dialogs.pyx)."""

from typing import Any, Final, final

from forkproxy.signalling._transports import Agent, Listener, Transport

EVENT_RESPONSE: Final[int]
EVENT_REQUEST: Final[int]

@final
class Dialog:
    """One dialog that we begin."""

    owner: Any
    call_id: str
    local_host: bytes
    local_port: int
    @property
    def over(self) -> bool: ...
    def request(
        self,
        method: bytes,
        headers: list[tuple[bytes, bytes]],
        kind: bytes | None,
        subkind: bytes | None,
        body: bytes | None,
    ) -> int: ...
    def cancel(self, number: int) -> None: ...
    def respond(
        self,
        number: int,
        status: int,
        reason: bytes | None,
        headers: list[tuple[bytes, bytes]],
        kind: bytes | None,
        subkind: bytes | None,
        body: bytes | None,
    ) -> None: ...
    def close(self) -> None: ...
    def terminate(self, status: int) -> None: ...
    def settle(self) -> None: ...

def open_dialog(
    agent: Agent,
    home: Transport | Listener,
    target: bytes,
    local: bytes,
    remote: bytes,
    contact: bytes,
    host: bytes,
    port: int,
    username: bytes | None = None,
    password: bytes | None = None,
    owner: object = None,
    peer: str = "",
    peer_port: int = 0,
    name: bytes = b"",
) -> Dialog: ...
def start() -> None: ...
