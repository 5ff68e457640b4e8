"""A DNS server for tests: answers from a table, or not at all."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from forkproxy.model import Address


class Nameserver(asyncio.DatagramProtocol):
    """An async context manager; `records` has, by name and type, the texts of its records."""

    def __init__(self, records: dict[tuple[str, str], list[str]], ttl: int = 60) -> None:
        self.records = records
        self.ttl = ttl
        self.silent = False
        """True: queries are not answered."""
        self.asked: Counter[tuple[str, str]] = Counter()

    async def __aenter__(self) -> Nameserver:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.address = Address(*self._transport.get_extra_info("sockname")[:2])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        query = dns.message.from_wire(data)
        (question,) = query.question
        name, kind = (
            question.name.to_text(omit_final_dot=True).lower(),
            dns.rdatatype.to_text(question.rdtype),
        )
        self.asked[(name, kind)] += 1
        if self.silent:
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        found = self.records.get((name, kind))
        if found:
            answer.answer.append(dns.rrset.from_text_list(question.name, self.ttl, "IN", kind, found))
        elif not any(name == known for known, _ in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(answer.to_wire(), addr)
