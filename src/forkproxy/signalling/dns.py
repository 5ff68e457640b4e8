"""DNS: records by name and type, kept as long as they say, asked for without blocking.

A name server that does not answer costs no call that has been placed before: what was found an hour ago at
the most is used until it answers again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Literal

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdatatype
import dns.resolver

from forkproxy.model import Address

Kind = Literal["A", "AAAA", "SRV", "NAPTR"]

TIMEOUT = 5.0
"""Seconds that the name servers together have for an answer."""
MISSING = 30.0
"""Seconds that a name's absence is believed."""
FAILED = 5.0
"""Seconds after a failure before it is tried again."""
SHORTEST, LONGEST = 1.0, 86_400.0
"""Bounds of the seconds that an answer is used, whatever it says."""
STALE = 3_600.0
"""Seconds that it is used beyond that while no name server answers."""
REMEMBERED = 4_096


@dataclass(frozen=True, slots=True)
class Srv:
    """One server of a service (RFC 2782)."""

    priority: int
    weight: int
    port: int
    host: str
    """"" where the service is not offered."""


@dataclass(frozen=True, slots=True)
class Naptr:
    """One transport of a domain (RFC 3263, 4.1)."""

    order: int
    preference: int
    flags: str
    service: str
    """``SIP+D2U``, upper case."""
    replacement: str


Record = str | Srv | Naptr
"""An address (A, AAAA), or what its type says."""


@dataclass(frozen=True, slots=True)
class _Entry:
    records: tuple[Record, ...]
    until: float
    stale_until: float


class Dns:
    """A caching client of the name servers."""

    def __init__(self, nameservers: Sequence[Address] = (), now: Callable[[], float] = monotonic) -> None:
        """
        Args:
            nameservers: whom to ask; none: those of the system (resolv.conf).
            now: the clock, in seconds.
        """
        self.queries = 0
        """Queries that were sent."""
        self._now = now
        self._known: dict[tuple[str, Kind], _Entry] = {}
        self._asking: dict[tuple[str, Kind], asyncio.Task[tuple[Record, ...]]] = {}
        self._resolver: dns.asyncresolver.Resolver | None = None
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=not nameservers)
        except dns.resolver.NoResolverConfiguration:  # a machine without resolv.conf: nobody can be asked
            return
        if nameservers:
            self._resolver.nameservers = [
                dns.nameserver.Do53Nameserver(server.host, server.port) for server in nameservers
            ]

    def known(self, name: str, kind: Kind) -> tuple[Record, ...] | None:
        """What is remembered and still holds; None: `query` must be asked."""
        entry = self._known.get((name.lower().rstrip("."), kind))
        return entry.records if entry is not None and entry.until > self._now() else None

    async def query(self, name: str, kind: Kind) -> tuple[Record, ...]:
        """The records, in the server's order; empty where there are none or nobody answers in time."""
        found = self.known(name, kind)
        if found is not None:
            return found
        key = (name.lower().rstrip("."), kind)
        task = self._asking.get(key)
        if task is None:  # of many calls at once only the first one asks
            task = asyncio.get_running_loop().create_task(self._ask(*key))
            self._asking[key] = task
            task.add_done_callback(lambda _task: self._asking.pop(key, None))
        return await asyncio.shield(task)

    async def _ask(self, name: str, kind: Kind) -> tuple[Record, ...]:
        if self._resolver is None:
            return ()
        self.queries += 1
        try:
            answer = await self._resolver.resolve(
                name, kind, lifetime=TIMEOUT, search=False, raise_on_no_answer=False
            )
        except (dns.resolver.NXDOMAIN, dns.resolver.YXDOMAIN):
            return self._keep(name, kind, (), MISSING)
        except (dns.exception.DNSException, OSError, UnicodeError, ValueError):
            old = self._known.get((name, kind))
            if old is not None and old.stale_until > self._now():
                self._known[(name, kind)] = _Entry(old.records, self._now() + FAILED, old.stale_until)
                return old.records
            return self._keep(name, kind, (), FAILED)
        if answer.rrset is None:
            return self._keep(name, kind, (), MISSING)
        return self._keep(name, kind, tuple(map(_record, answer.rrset)), float(answer.rrset.ttl))

    def _keep(self, name: str, kind: Kind, records: tuple[Record, ...], ttl: float) -> tuple[Record, ...]:
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        until = self._now() + min(max(ttl, SHORTEST), LONGEST)
        self._known[(name, kind)] = _Entry(records, until, until + STALE if records else until)
        return records


def _record(data: object) -> Record:
    match getattr(data, "rdtype", None):
        case dns.rdatatype.SRV:
            target = data.target.to_text(omit_final_dot=True)  # type: ignore[attr-defined]
            target = "" if target in (".", "@") else target
            return Srv(data.priority, data.weight, data.port, target)  # type: ignore[attr-defined]
        case dns.rdatatype.NAPTR:
            return Naptr(
                data.order,  # type: ignore[attr-defined]
                data.preference,  # type: ignore[attr-defined]
                data.flags.decode("ascii", "replace").lower(),  # type: ignore[attr-defined]
                data.service.decode("ascii", "replace").upper(),  # type: ignore[attr-defined]
                data.replacement.to_text(omit_final_dot=True),  # type: ignore[attr-defined]
            )
        case _:
            return str(data)
