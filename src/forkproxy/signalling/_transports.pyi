"""The sockets as PJSIP sees them (ext/pjsip/transports.pyx)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, final

from forkproxy.model import Terms
from forkproxy.signalling._sessions import Event, Session

class Core:
    """What transports need of the engine."""

    resolver: Callable[[Resolution], None]
    trace: Callable[[Transport, bool, bytes, str, int], None] | None

@final
class Agent:
    """One SipEndpoint's side of the engine."""

    admit: Callable[
        [str, str, int, Transport, bytes],
        tuple[bytes, int, str | None] | tuple[int, Sequence[tuple[bytes, bytes]]],
    ]
    events: list[Event]
    counts: dict[str, int]
    sessions: set[Session]
    received: int
    sent: int
    terms: Terms
    def __init__(
        self,
        product: bytes,
        admit: Callable[
            [str, str, int, Transport, bytes],
            tuple[bytes, int, str | None] | tuple[int, Sequence[tuple[bytes, bytes]]],
        ],
    ) -> None: ...

@final
class Transport:
    """A datagram socket or one stream connection, as PJSIP sees it."""

    agent: Agent
    listener: Listener | None
    stream: bool
    alive: bool
    connected: bool
    scheme: str
    host: str
    name: str
    port: int
    type: int
    local_host: bytes
    local_port: int
    @property
    def in_use(self) -> bool: ...
    def established(self, send: Callable[[bytes], None], close: Callable[[], None]) -> None: ...
    def lost(self) -> None: ...
    def shut(self) -> None: ...

@final
class Listener:
    """A stream listener: makes connections, and takes those of peers."""

    agent: Agent
    alive: bool
    local_host: bytes
    local_port: int
    def __init__(
        self,
        agent: Agent,
        secure: bool,
        v6: bool,
        host: bytes,
        port: int,
        connect: Callable[[Transport], None],
    ) -> None: ...
    def accept(
        self, host: str, port: int, send: Callable[[bytes], None], close: Callable[[], None]
    ) -> Transport: ...
    def shut(self) -> None: ...

@final
class Resolution:
    """A host name that PJSIP wants resolved."""

    host: str
    port: int
    def done(self, addresses: Iterable[str]) -> None: ...

def datagrams(
    agent: Agent, v6: bool, host: bytes, port: int, send: Callable[[bytes, tuple[str, int]], Any]
) -> Transport: ...
def load(path: str) -> None: ...
