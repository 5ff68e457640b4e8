"""An RTP party in Python: sends exactly what it is told, keeps exactly what comes."""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from tests.support.processes import free_ports

_HEADER = struct.Struct("!BBHII")


class Packet(NamedTuple):
    """One RTP packet (RFC 3550, section 5.1) as it arrived."""

    at: float
    """`time.monotonic()` at the arrival."""
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    source: tuple[str, int]


def build(
    payload_type: int, sequence: int, timestamp: int, ssrc: int, payload: bytes, *, marker: bool = False
) -> bytes:
    """An RTP packet without extension or contributing sources."""
    second = payload_type | (0x80 if marker else 0)
    return _HEADER.pack(0x80, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


def parse(data: bytes, source: tuple[str, int]) -> Packet:
    """The packet in `data`; contributing sources and an extension are skipped, padding is not expected."""
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    assert first & 0xC0 == 0x80, f"not RTP: {data[:12].hex()}"
    offset = 12 + 4 * (first & 0x0F)
    if first & 0x10:
        offset += 4 + 4 * struct.unpack_from("!H", data, offset + 2)[0]
    return Packet(
        time.monotonic(), second & 0x7F, bool(second & 0x80), sequence, timestamp, ssrc, data[offset:], source
    )


@dataclass
class _Receiver(asyncio.DatagramProtocol):
    packets: list[Packet] = field(default_factory=list)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.packets.append(parse(data, addr))


class RtpParty:
    """One end of an audio session: a socket pair on loopback, even port and odd.

    `await RtpParty.open()`, then `remote` is set from the peer's SDP.
    """

    def __init__(
        self, transport: asyncio.DatagramTransport, rtcp: socket.socket, receiver: _Receiver
    ) -> None:
        self._transport = transport
        self._rtcp = rtcp
        self._receiver = receiver
        self.host, self.port = transport.get_extra_info("sockname")[:2]
        self.remote: tuple[str, int] | None = None
        self.ssrc = secrets.randbits(32)
        self.sequence = secrets.randbits(16)
        self.timestamp = secrets.randbits(32)
        self.payload_type = 0
        self.sent: list[tuple[float, int, bytes]] = []
        """(time, sequence number, payload) of what was sent, in order."""
        self._talking: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls) -> RtpParty:
        port = free_ports(2)[0]
        receiver = _Receiver()
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind(("127.0.0.1", port))
        sock.setblocking(False)
        rtcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        rtcp.bind(("127.0.0.1", port + 1))
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: receiver, sock=sock)
        return cls(transport, rtcp, receiver)

    @property
    def received(self) -> list[Packet]:
        """Every packet so far, in the order of arrival."""
        return self._receiver.packets

    def send(self, payload: bytes, *, marker: bool = False, samples: int | None = None) -> None:
        """Send one packet now; the timestamp goes on by its length in samples."""
        assert self.remote is not None, "the peer's address is not known yet"
        data = build(self.payload_type, self.sequence, self.timestamp, self.ssrc, payload, marker=marker)
        self._transport.sendto(data, self.remote)
        self.sent.append((time.monotonic(), self.sequence, payload))
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.timestamp = (self.timestamp + (len(payload) if samples is None else samples)) & 0xFFFFFFFF

    def send_raw(self, data: bytes) -> None:
        """Send these octets from our RTP port; they do not count as sent."""
        assert self.remote is not None, "the peer's address is not known yet"
        self._transport.sendto(data, self.remote)

    async def press(self, keys: str, *, payload_type: int = 101) -> None:
        """Press `keys` one after another for 80 ms each (RFC 4733); each end is sent three times."""
        assert self.remote is not None, "the peer's address is not known yet"
        for key in keys:
            event = "0123456789*#ABCD".index(key)
            for n, duration in enumerate((160, 320, 480, 640, 640, 640)):
                payload = struct.pack("!BBH", event, (0x80 if n >= 3 else 0) | 10, duration)
                self.send_raw(
                    build(payload_type, self.sequence, self.timestamp, self.ssrc, payload, marker=n == 0)
                )
                self.sequence = (self.sequence + 1) & 0xFFFF
                await asyncio.sleep(0.02)
            self.timestamp = (self.timestamp + 960) & 0xFFFFFFFF

    async def play(self, payloads: Iterable[bytes], *, interval: float = 0.02) -> None:
        """Send `payloads`, one each `interval` seconds without drift."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        for payload in payloads:
            self.send(payload)
            due += interval
            await asyncio.sleep(max(0.0, due - loop.time()))

    def talk(self, ulaw: bytes) -> None:
        """Send `ulaw` over and over, in packets of 20 ms, until `hush` or `close`."""
        assert len(ulaw) % 160 == 0, "whole frames of 160 octets"

        def forever() -> Iterable[bytes]:
            while True:
                for i in range(0, len(ulaw), 160):
                    yield ulaw[i : i + 160]

        self._talking = asyncio.create_task(self.play(forever()))

    async def hush(self) -> None:
        """End `talk`."""
        if self._talking is not None:
            self._talking.cancel()
            await asyncio.wait([self._talking])
            self._talking = None

    async def close(self) -> None:
        await self.hush()
        self._transport.close()
        self._rtcp.close()
        await asyncio.sleep(0)  # the transport closes its socket in the loop's next round


def holes(packets: list[Packet]) -> list[int]:
    """The sequence numbers that do not follow the one before: empty when nothing was lost or reordered."""
    return [
        after.sequence
        for before, after in pairwise(packets)
        if (after.sequence - before.sequence) & 0xFFFF != 1
    ]


def longest_pause(packets: list[Packet]) -> float:
    """The longest time between two arrivals, in seconds."""
    return max((after.at - before.at for before, after in pairwise(packets)), default=0.0)
