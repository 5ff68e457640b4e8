"""PJSIP without sockets (ext/pjsip/engine.pyx). One engine a process; event-loop thread only."""

from typing import final

from forkproxy.signalling._transports import Core, Transport

VERSION: str
WHEEL: str
LIMIT: int
VERDICT_SYNTAX: int
VERDICT_HEADER: int
VERDICT_LENGTH: int
VERDICT_TOO_LONG: int
VERDICT_CLOSED: int

class Calls:
    """What the engine needs of _calls."""

class Bare:
    """What the engine needs of _dialogs."""

@final
class Engine(Core):
    """PJSIP's endpoint with its modules."""

    def receive(self, transport: Transport, data: bytes, host: str, port: int) -> int: ...
    def deadline(self) -> float | None: ...
    def run_timers(self) -> None: ...
    def set_timers(self, t1: int = 500, t2: int = 4000, t4: int = 5000, td: int = 32000) -> None: ...
    def counters(self) -> dict[str, int]: ...

def engine() -> Engine: ...
def library() -> str: ...
