"""Where a SIP URI leads (RFC 3263): transport by NAPTR, servers by SRV, addresses by A and AAAA, in the order
in which they are to be tried. Pure, but for the records, which `Lookup` fetches.
"""

from __future__ import annotations

import ipaddress
import random
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from forkproxy.signalling.dns import Kind, Naptr, Record, Srv

MOST = 32
"""Destinations of one URI; a domain with more is cut short."""
SERVICES = {"SIP+D2U": "udp", "SIP+D2T": "tcp", "SIPS+D2T": "tls"}
PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}
_TRANSPORT = re.compile(r";transport=([^;?>\s]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Destination:
    """One place that a request can be sent to."""

    transport: str
    """``udp``, ``tcp`` or ``tls``."""
    host: str
    """An IP literal, without brackets."""
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}:{host}:{self.port}"


class Lookup(Protocol):
    """What answers the questions."""

    async def query(self, name: str, kind: Kind) -> tuple[Record, ...]:
        """The records of a type, in any order."""

    async def resolve(self, host: str) -> tuple[str, ...]:
        """The addresses of a host, best first."""


def transport_of(uri: str) -> str | None:
    """The transport that a SIP URI names; None: it leaves that open."""
    if uri.lower().startswith("sips:"):
        return "tls"
    match = _TRANSPORT.search(uri.partition("?")[0])
    return match[1].lower() if match is not None else None


def fixed(host: str, port: int | None, wanted: str | None) -> list[Destination] | None:
    """Where an IP literal leads, which needs no look-up; None: `host` is a name."""
    try:
        literal = str(ipaddress.ip_address(host.strip("[]").partition("%")[0]))
    except ValueError:
        return None
    transport = wanted or "udp"
    return [Destination(transport, literal, port or PORTS.get(transport, 5060))]


async def locate(
    host: str,
    port: int | None,
    wanted: str | None,
    supported: Sequence[str],
    lookup: Lookup,
    dice: random.Random,
) -> list[Destination]:
    """The destinations of a URI, the first one to be tried first; none: it leads nowhere that we can send to.

    Args:
        host, port: the URI's.
        wanted: the transport that it names, or None.
        supported: the transports that we have, best first.
        lookup: where records come from.
        dice: for the weights of SRV.
    """
    known = fixed(host, port, wanted)
    if known is not None:
        return known
    if port is not None:
        transport = wanted or "udp"
        return await _addresses([(transport, host, port)], lookup)
    if wanted is not None:
        found = await _servers(f"_{_service(wanted)}.{host}", wanted, lookup, dice)
        return await _addresses(found or [(wanted, host, PORTS.get(wanted, 5060))], lookup)
    servers: list[tuple[str, str, int]] = []
    for transport, name in await _transports(host, supported, lookup):
        servers += await _servers(name, transport, lookup, dice)
    return await _addresses(servers or [("udp", host, PORTS["udp"])], lookup)


async def _transports(host: str, supported: Sequence[str], lookup: Lookup) -> list[tuple[str, str]]:
    """The transports to use and the names of their SRV records: by NAPTR, otherwise all that we have."""
    records = [each for each in await lookup.query(host, "NAPTR") if isinstance(each, Naptr)]
    offered = [
        (SERVICES[each.service], each.replacement)
        for each in sorted(records, key=lambda each: (each.order, each.preference))
        if each.flags == "s" and SERVICES.get(each.service) in supported
    ]
    return offered or [
        (transport, f"_{_service(transport)}.{host}") for transport in supported if transport != "tls"
    ]


def _service(transport: str) -> str:
    return "sips._tcp" if transport == "tls" else f"sip._{transport}"


async def _servers(
    name: str, transport: str, lookup: Lookup, dice: random.Random
) -> list[tuple[str, str, int]]:
    records = [each for each in await lookup.query(name, "SRV") if isinstance(each, Srv) and each.host]
    return [(transport, each.host, each.port) for each in by_weight(records, dice)]


def by_weight(records: Iterable[Srv], dice: random.Random) -> list[Srv]:
    """The order in which servers are tried: by priority, and by chance in proportion to weight within one."""
    ordered: list[Srv] = []
    left = sorted(records, key=lambda each: (each.priority, each.weight))
    while left:
        first = [each for each in left if each.priority == left[0].priority]
        left = left[len(first) :]
        while first:
            point = dice.uniform(0, sum(each.weight for each in first))
            for each in first:
                point -= each.weight
                if point <= 0:
                    break
            first.remove(each)
            ordered.append(each)
    return ordered


async def _addresses(servers: Collection[tuple[str, str, int]], lookup: Lookup) -> list[Destination]:
    found: dict[Destination, None] = {}
    for transport, host, port in servers:
        for address in await lookup.resolve(host):
            found[Destination(transport, address, port)] = None
        if len(found) >= MOST:
            break
    return list(found)[:MOST]
