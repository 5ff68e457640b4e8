"""PJSIP without sockets (ext/pjsip/engine.pyx). One engine a process; event-loop thread only."""

from collections.abc import Callable, Iterable
from typing import Any, final

from forkproxy.signalling._calls import Event, Session

VERSION: str
WHEEL: str
LIMIT: int
VERDICT_SYNTAX: int
VERDICT_HEADER: int
VERDICT_LENGTH: int
VERDICT_TOO_LONG: int
VERDICT_CLOSED: int

@final
class Agent:
    """One SipEndpoint's side of the engine."""

    admit: Callable[[str, str, int, Transport], tuple[bytes, int] | int]
    events: list[Event]
    counts: dict[str, int]
    sessions: set[Session]
    received: int
    sent: int
    def __init__(
        self, product: bytes, admit: Callable[[str, str, int, Transport], tuple[bytes, int] | int]
    ) -> None: ...

@final
class Transport:
    """A datagram socket or one stream connection, as PJSIP sees it."""

    agent: Agent
    listener: Listener | None
    stream: bool
    alive: bool
    connected: bool
    host: str
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
        self, agent: Agent, v6: bool, host: bytes, port: int, connect: Callable[[Transport], None]
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

class Calls:
    """What the engine needs of _calls."""

@final
class Engine:
    """PJSIP's endpoint with its modules."""

    resolver: Callable[[Resolution], None]
    trace: Callable[[Transport, bool, bytes, str, int], None] | None
    def receive(self, transport: Transport, data: bytes, host: str, port: int) -> int: ...
    def deadline(self) -> float | None: ...
    def run_timers(self) -> None: ...
    def set_timers(self, t1: int = 500, t2: int = 4000, t4: int = 5000, td: int = 32000) -> None: ...
    def counters(self) -> dict[str, int]: ...

def datagrams(
    agent: Agent, v6: bool, host: bytes, port: int, send: Callable[[bytes, tuple[str, int]], Any]
) -> Transport: ...
def engine() -> Engine: ...
def library() -> str: ...
