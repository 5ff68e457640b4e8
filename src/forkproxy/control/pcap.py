"""Packets in files that Wireshark and tshark read (the classic pcap format): written, and read again. Pure.

What is written is IP packets without a link layer, each with one UDP datagram, whatever the message came by:
one that came in pieces over TCP, or encrypted over TLS, is one packet, and readable.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from forkproxy.errors import ForkproxyError
from forkproxy.model import Address

MOST = 65_000
"""Octets of a message that fit into a packet; longer ones are cut."""
_MAGIC = 0xA1B2C3D4
_RAW_IP, _ETHERNET, _LINUX_COOKED = 101, 1, 113
_UDP = 17


class PcapError(ForkproxyError):
    """A file that is no capture, or one of a kind that is not read here."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One UDP datagram."""

    time: float
    """Seconds since the epoch."""
    source: Address
    target: Address
    data: bytes


def header() -> bytes:
    """What a file begins with."""
    return struct.pack("<IHHiIII", _MAGIC, 2, 4, 0, 0, 0x40000, _RAW_IP)


def record(packet: Packet) -> bytes:
    """One packet, as it stands in the file behind the header and the packets before it.

    Raises:
        ValueError: a host is no IP literal.
    """
    source, target = ipaddress.ip_address(packet.source.host), ipaddress.ip_address(packet.target.host)
    if source.version != target.version:  # one of the two is IPv4 within IPv6
        source, target = _as_v6(source), _as_v6(target)
    data = packet.data[:MOST]
    length = 8 + len(data)
    ports = struct.pack("!HHH", packet.source.port, packet.target.port, length)
    if source.version == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0, 64, _UDP, 0)
        head += source.packed + target.packed
        head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
        whole = head + ports + b"\0\0" + data
    else:
        pseudo = source.packed + target.packed + struct.pack("!II", length, _UDP)
        checksum = _checksum(pseudo + ports + b"\0\0" + data) or 0xFFFF
        head = struct.pack("!IHBB", 6 << 28, length, _UDP, 64) + source.packed + target.packed
        whole = head + ports + struct.pack("!H", checksum) + data
    seconds, micros = divmod(round(packet.time * 1e6), 1_000_000)
    return struct.pack("<IIII", seconds, micros, len(whole), len(whole)) + whole


def read(data: bytes) -> Iterator[Packet]:
    """The UDP datagrams of a capture, in its order; what is no UDP, or cut off, is passed over.

    Raises:
        PcapError: it is no capture, or has a link layer that is not read here.
    """
    order = {b"\xd4\xc3\xb2\xa1": ("<", 1e6), b"\xa1\xb2\xc3\xd4": (">", 1e6),
             b"\x4d\x3c\xb2\xa1": ("<", 1e9), b"\xa1\xb2\x3c\x4d": (">", 1e9)}.get(data[:4])  # fmt: skip
    if order is None or len(data) < 24:
        raise PcapError("is no capture in pcap's format (pcapng: convert it with editcap -F pcap)")
    endian, fraction = order
    link = struct.unpack_from(f"{endian}I", data, 20)[0] & 0xFFFF
    skip = {_RAW_IP: 0, _ETHERNET: 14, _LINUX_COOKED: 16}.get(link)
    if skip is None:
        raise PcapError(f"has the link layer {link}; raw IP, Ethernet and Linux's are read")
    at = 24
    while at + 16 <= len(data):
        seconds, part, length, _ = struct.unpack_from(f"{endian}IIII", data, at)
        at += 16
        packet = _udp(seconds + part / fraction, data[at + skip : at + length])
        at += length
        if packet is not None:
            yield packet


def _udp(time: float, data: bytes) -> Packet | None:
    if len(data) < 28:
        return None
    version = data[0] >> 4
    if version == 4 and data[9] == _UDP:
        size, source, target = (data[0] & 15) * 4, data[12:16], data[16:20]
    elif version == 6 and data[6] == _UDP and len(data) >= 48:
        size, source, target = 40, data[8:24], data[24:40]
    else:
        return None
    if len(data) < size + 8:
        return None
    from_, to, length = struct.unpack_from("!HHH", data, size)
    return Packet(
        time,
        Address(str(ipaddress.ip_address(source)), from_),
        Address(str(ipaddress.ip_address(target)), to),
        data[size + 8 : size + max(length, 8)],
    )


def _as_v6(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv6Address:
    if isinstance(address, ipaddress.IPv6Address):
        return address
    return ipaddress.IPv6Address(f"::ffff:{address}")


def _checksum(data: bytes) -> int:
    """Internet's (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
