"""SIP messages out of a capture (pcap and pcapng): as much of IP, UDP and TCP as that takes. Pure."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

PCAP = {
    b"\xd4\xc3\xb2\xa1": "<",
    b"\xa1\xb2\xc3\xd4": ">",
    b"\x4d\x3c\xb2\xa1": "<",
    b"\xa1\xb2\x3c\x4d": ">",
}
PCAPNG = b"\x0a\x0d\x0d\x0a"
_START = re.compile(rb"(?:[A-Z]{3,12} \S+ SIP/2\.0|SIP/2\.0 \d{3} )")
_LENGTH = re.compile(rb"^(?:Content-Length|l)[ \t]*:[ \t]*(\d{1,6})", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SipMessage:
    """One message, and the number of the packet that it ends in, as Wireshark counts."""

    packet: int
    data: bytes


def is_capture(data: bytes) -> bool:
    """Whether a file is a capture."""
    return data[:4] in PCAP or data[:4] == PCAPNG


def sip_messages(data: bytes) -> Iterator[SipMessage]:
    """The SIP messages over UDP and TCP, in the order in which they were complete.

    Raises:
        ValueError: the file is cut off in its head.
    """
    streams: dict[bytes, _Stream] = {}
    for number, (link, packet) in enumerate(_packets(data), 1):
        datagram = _ip(link, packet)
        if datagram is None:
            continue
        protocol, hosts, payload = datagram
        if protocol == 17 and len(payload) > 8 and _START.match(payload[8:]):
            yield SipMessage(number, payload[8:])
        elif protocol == 6 and len(payload) >= 20:
            key = hosts + payload[:4]
            stream = streams.setdefault(key, _Stream())
            offset = (payload[12] >> 4) * 4
            syn = bool(payload[13] & 2)
            for message in stream.add(struct.unpack_from(">I", payload, 4)[0] + syn, payload[offset:], syn):
                yield SipMessage(number, message)


@dataclass(slots=True)
class _Stream:
    """One direction of a TCP connection."""

    expected: int | None = None
    early: dict[int, bytes] = field(default_factory=dict)
    buffer: bytes = b""

    def add(self, sequence: int, data: bytes, syn: bool) -> Iterator[bytes]:
        if syn or self.expected is None:
            self.expected = sequence & 0xFFFFFFFF
        if data:
            self.early[sequence & 0xFFFFFFFF] = data
        while self.early:
            ready = [at for at in self.early if (self.expected - at) & 0xFFFFFFFF < 0x80000000]
            if not ready:
                break
            at = ready[0]
            piece = self.early.pop(at)[(self.expected - at) & 0xFFFFFFFF :]
            self.buffer += piece
            self.expected = (self.expected + len(piece)) & 0xFFFFFFFF
        yield from self._whole()

    def _whole(self) -> Iterator[bytes]:
        while True:
            start = _START.search(self.buffer)
            if start is None:
                return
            self.buffer = self.buffer[start.start() :]
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(self.buffer, 0, end + 2)
            total = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < total:
                return
            yield self.buffer[:total]
            self.buffer = self.buffer[total:]


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Link type and octets of each packet."""
    if data[:4] == PCAPNG:
        yield from _pcapng(data)
        return
    order = PCAP[data[:4]]
    if len(data) < 24:
        raise ValueError("the capture is cut off")
    link = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF
    at = 24
    while at + 16 <= len(data):
        length = struct.unpack_from(order + "I", data, at + 8)[0]
        yield link, data[at + 16 : at + 16 + length]
        at += 16 + length


def _pcapng(data: bytes) -> Iterator[tuple[int, bytes]]:
    at, order = 0, "<"
    links: list[int] = []
    while at + 12 <= len(data):
        if data[at : at + 4] == PCAPNG:
            order = "<" if data[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            links = []
        kind, length = struct.unpack_from(order + "II", data, at)
        if length < 12 or at + length > len(data):
            return
        if kind == 1 and length >= 16:
            links.append(struct.unpack_from(order + "H", data, at + 8)[0])
        elif kind == 6 and length >= 32:
            interface = struct.unpack_from(order + "I", data, at + 8)[0]
            captured = struct.unpack_from(order + "I", data, at + 20)[0]
            if interface < len(links):
                yield links[interface], data[at + 28 : at + 28 + captured]
        at += length


def _ip(link: int, packet: bytes) -> tuple[int, bytes, bytes] | None:
    """Protocol, both hosts and payload of the IP packet in a frame; None: it has none, or only a later
    fragment."""
    skip = {1: 14, 113: 16, 276: 20, 0: 4, 108: 4, 101: 0, 12: 0, 14: 0, 228: 0, 229: 0}.get(link)
    if skip is None:
        return None
    if link == 1:
        while packet[skip - 2 : skip] in (b"\x81\x00", b"\x88\xa8"):  # VLANs
            skip += 4
    packet = packet[skip:]
    if len(packet) >= 20 and packet[0] >> 4 == 4:
        length = struct.unpack_from(">H", packet, 2)[0] or len(packet)
        if struct.unpack_from(">H", packet, 6)[0] & 0x1FFF:
            return None
        return packet[9], packet[12:20], packet[(packet[0] & 15) * 4 : length]
    if len(packet) >= 40 and packet[0] >> 4 == 6:
        length = struct.unpack_from(">H", packet, 4)[0]
        return packet[6], packet[8:40], packet[40 : 40 + length]
    return None
