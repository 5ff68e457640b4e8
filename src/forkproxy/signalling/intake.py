"""What comes in: into the engine, or counted by what is wrong with it and answered if that can be."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forkproxy.model import Address
from forkproxy.signalling import _pjsip
from forkproxy.signalling.mending import bare, refusal

if TYPE_CHECKING:
    from forkproxy.signalling._transports import Transport
    from forkproxy.signalling.driver import Driver
    from forkproxy.signalling.gate import Gate

Answer = Callable[[bytes], None]
_KINDS = {
    _pjsip.VERDICT_SYNTAX: "syntax",
    _pjsip.VERDICT_HEADER: "header",
    _pjsip.VERDICT_LENGTH: "length",
    _pjsip.VERDICT_TOO_LONG: "oversize",
}


@dataclass(frozen=True, slots=True)
class TraceMessage:
    """One SIP message as it was on the wire."""

    time: float
    """Seconds since the epoch."""
    sent: bool
    """True: by us."""
    local: Address
    remote: Address
    transport: str
    """``udp``, ``tcp`` or ``tls``."""
    data: bytes


Tracer = Callable[[TraceMessage], None]


class Intake:
    """The receiving end of all of an endpoint's sockets."""

    def __init__(self, driver: Driver, gate: Gate | None = None) -> None:
        self._driver = driver
        self.gate = gate
        self.counts: Counter[str] = Counter()
        """What has happened, by the names in docs/sip.md."""
        self.tracer: Tracer | None = None

    def datagram(self, transport: Transport, data: bytes, host: str, port: int, answer: Answer) -> None:
        """One datagram."""
        if data.strip(b"\r\n\0"):
            self.message(transport, data, host, port, answer)
        elif data:
            self.count("keepalives")
        else:
            self.malformed("empty")

    def message(self, transport: Transport, data: bytes, host: str, port: int, answer: Answer) -> None:
        """One whole message, from a datagram or a stream; `answer` sends bytes back to where it came from."""
        if self.gate is not None and not self.gate.hears(host, data):
            return
        if self.tracer is not None:
            self.trace(transport, False, data, host, port)
        verdict = self._driver.engine.receive(transport, data, host, port)
        if verdict == _pjsip.VERDICT_SYNTAX and (mended := bare(data)) is not None:
            verdict = self._driver.engine.receive(transport, mended, host, port)
            if not verdict:
                self.count("mended")
        if verdict:
            kind = _KINDS.get(verdict)  # None: for a socket that is being closed
            if kind is not None:
                self.malformed(kind)
                if self.gate is not None:
                    self.gate.strike(host, "malformed")
                response = refusal(data, 400, host, port) if kind != "oversize" else None
                if response is not None:
                    answer(response)
        self._driver.pump()

    def trace(self, transport: Transport, sent: bool, data: bytes, host: str, port: int) -> None:
        """Show one message, if somebody wants to see them."""
        if self.tracer is None:
            return
        local = Address(transport.local_host.decode(), transport.local_port)
        self.tracer(TraceMessage(time.time(), sent, local, Address(host, port), transport.scheme, data))

    def count(self, what: str) -> None:
        """One more of `what`."""
        self.counts[what] += 1

    def malformed(self, kind: str) -> None:
        """A message that could not be used: syntax, header, length, oversize, empty, sdp."""
        self.counts[f"malformed_{kind}"] += 1
