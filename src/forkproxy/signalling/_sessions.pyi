"""Call legs as PJSIP sees them (ext/pjsip/sessions.pyx)."""

from collections.abc import Iterable
from typing import Any, Final, final

from forkproxy.signalling._dialogs import Dialog

EVENT_INVITE: Final[int]
EVENT_PROGRESS: Final[int]
EVENT_ANSWERED: Final[int]
EVENT_CONFIRMED: Final[int]
EVENT_REOFFERED: Final[int]
EVENT_REANSWERED: Final[int]
EVENT_REFUSED: Final[int]
EVENT_WITHDRAWN: Final[int]
EVENT_REQUESTED: Final[int]
EVENT_RESPONDED: Final[int]
EVENT_DESCRIBED: Final[int]
EVENT_ENDED: Final[int]

Event = tuple[Session | Dialog, int, int, str, Any]

@final
class Request:
    """A request of the peer's within the dialog, which somebody else answers."""

    method: str
    message: bytes
    def respond(
        self,
        status: int,
        reason: bytes | None = None,
        headers: Iterable[tuple[bytes, bytes]] = (),
        kind: str = "",
        body: bytes = b"",
    ) -> None: ...

@final
class Session:
    """One call leg as PJSIP sees it."""

    owner: Any
    local_sdp: bytes | None
    remote_sdp: bytes | None
    incoming: bool
    recording: bool
    trunk: str | None
    call_id: str
    from_uri: str
    from_display: str
    from_user: str
    to_uri: str
    to_display: str
    request_uri: str
    to_user: str
    host: str
    port: int
    max_forwards: int
    local_host: bytes
    local_port: int
    message: bytes
    farewell: bytes | None
    transport: str
    @property
    def over(self) -> bool: ...
    def ring(self, status: int, reason: bytes | None = None, sdp: bytes | None = None) -> None: ...
    def answer(self, sdp: bytes | None = None) -> None: ...
    def end(
        self, status: int, reason: bytes | None = None, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None: ...
    def accept_reoffer(self, sdp: bytes) -> None: ...
    def refuse_reoffer(
        self, status: int, reason: bytes | None = None, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None: ...
    @property
    def idle(self) -> bool: ...
    def reoffer(self, sdp: bytes) -> bool: ...
    def withdraw_reoffer(self) -> None: ...
    def give_up(self) -> bool: ...
    def request(
        self,
        name: bytes,
        token: Any,
        headers: Iterable[tuple[bytes, bytes]] = (),
        kind: str = "",
        body: bytes = b"",
    ) -> bool: ...
    def terminate(self, status: int) -> None: ...
    def settle(self) -> None: ...

def load(path: str) -> None: ...
