"""Host names to addresses, and SIP URIs to destinations, without blocking and without asking twice."""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from forkproxy.model import Address
from forkproxy.signalling.dns import Dns, Kind, Record
from forkproxy.signalling.locate import Destination, fixed, locate, transport_of
from forkproxy.signalling.uris import SipUri

LIFETIME = 30.0
"""Seconds that an answer of the system's resolver is used again; it does not say how long it holds."""
REMEMBERED = 1024
TIMEOUT = 10.0
HOSTS = Path("/etc/hosts")


class Resolver:
    """Looks names up: /etc/hosts, then DNS; what neither knows, with the system's resolver (getaddrinfo)."""

    def __init__(self, nameservers: Sequence[Address] = ()) -> None:
        """
        Args:
            nameservers: the only ones to ask; none: the system's, and all that the system knows.
        """
        self.dns = Dns(nameservers)
        self._system = not nameservers
        self._dice = random.Random()
        self._known: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._last: dict[tuple[str, int | None, str | None], list[Destination]] = {}
        self._hosts: dict[str, tuple[str, ...]] = {}
        self._hosts_read: tuple[int, int] | None = None

    # SIP URIs

    def located(self, uri: SipUri) -> list[Destination] | None:
        """Where a URI leads that has an IP literal; None: `locate` must be asked."""
        return fixed(uri.host, uri.port, transport_of(uri.text))

    async def locate(self, uri: SipUri, supported: Sequence[str]) -> list[Destination]:
        """Where a URI leads (RFC 3263), best first; `supported` are our transports. Never raises."""
        wanted = transport_of(uri.text)
        found = await locate(uri.host, uri.port, wanted, supported, self, self._dice)
        if len(self._last) >= REMEMBERED:
            self._last.clear()
        self._last[(uri.host.lower(), uri.port, wanted)] = found
        return found

    def last(self, uri: SipUri) -> list[Destination]:
        """Where a URI led when that was asked last; empty when it was not."""
        literal = self.located(uri)
        if literal is not None:
            return literal
        return self._last.get((uri.host.lower(), uri.port, transport_of(uri.text)), [])

    async def query(self, name: str, kind: Kind) -> tuple[Record, ...]:
        """DNS records."""
        return await self.dns.query(name, kind)

    # Host names

    def known(self, host: str) -> tuple[str, ...] | None:
        """The addresses of a literal, or of a name looked up a moment ago; None: resolve() must be asked."""
        plain = host.strip("[]")
        try:
            return (str(ipaddress.ip_address(plain.partition("%")[0])),)
        except ValueError:
            pass
        entry = self._known.get(plain.lower())
        return entry[1] if entry is not None and entry[0] > monotonic() else None

    async def resolve(self, host: str) -> tuple[str, ...]:
        """IP literals, best first; empty when the name has none or nobody answers in time."""
        known = self.known(host)
        if known is not None:
            return known
        if self._system:
            written = self._in_hosts(host)
            if written:
                return written
        if not self._system or "." in host.strip(
            "."
        ):  # a single label is no domain, but may be in a search list
            v4, v6 = await asyncio.gather(self.dns.query(host, "A"), self.dns.query(host, "AAAA"))
            found = tuple(dict.fromkeys(str(each) for each in (*v4, *v6)))
            if found or not self._system:
                return found
        return await self._ask_system(host)

    async def _ask_system(self, host: str) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(TIMEOUT):
                records = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError, TimeoutError):
            return ()
        found = tuple(dict.fromkeys(str(record[4][0]) for record in records))
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[host.lower()] = (monotonic() + LIFETIME, found)
        return found

    def _in_hosts(self, host: str) -> tuple[str, ...]:
        """What /etc/hosts says, which goes before DNS; the file is read again when it has changed."""
        try:
            about = HOSTS.stat()
            if (about.st_mtime_ns, about.st_size) != self._hosts_read:
                self._hosts = _parse_hosts(HOSTS.read_text("utf-8", "replace"))
                self._hosts_read = (about.st_mtime_ns, about.st_size)
        except OSError:
            return ()
        return self._hosts.get(host.lower().rstrip("."), ())


def _parse_hosts(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        try:
            ipaddress.ip_address(address)
        except ValueError:
            continue
        for name in names:
            found[name.lower()] = (*found.get(name.lower(), ()), address)
    return found
