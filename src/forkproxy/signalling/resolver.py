"""Host names to addresses, without blocking and without asking twice for the same call."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from time import monotonic

LIFETIME = 30.0
"""Seconds that an answer is used again: long enough for a call's set-up, too short to hide a failover."""
REMEMBERED = 1024
TIMEOUT = 10.0


class Resolver:
    """Looks names up with the system's resolver (getaddrinfo, in asyncio's threads)."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, tuple[str, ...]]] = {}

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
