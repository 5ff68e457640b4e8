"""Phones for the relay's tests: UDP sockets that speak RTP as they are told."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

import pytest

from forkproxy.media import MediaEngine, MediaLeg
from forkproxy.model import Address

CODECS = {0: "PCMU", 8: "PCMA", 101: "TELEPHONE-EVENT"}


def rtp(
    sequence: int, payload: bytes, *, pt: int = 0, ssrc: int = 7, marker: bool = False, ts: int = -1
) -> bytes:
    timestamp = sequence * 160 if ts < 0 else ts
    return (
        struct.pack(">BBHII", 0x80, pt | marker << 7, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
        + payload
    )


def frame(n: int) -> bytes:
    """160 octets that tell which frame they are; never mu-law silence."""
    return bytes([n & 0x7F]) * 160


class Phone:
    """A UDP socket that talks to a leg."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, port))
        self.socket.setblocking(False)
        self.leg: MediaLeg | None = None

    @property
    def address(self) -> Address:
        return Address(*self.socket.getsockname()[:2])

    def attach(self, leg: MediaLeg, **kwargs: object) -> None:
        self.leg = leg
        rtcp = Address(self.address.host, self.address.port + 1)
        leg.set_remote(self.address, rtcp, CODECS, **kwargs)  # type: ignore[arg-type]

    def send(self, packet: bytes, leg: MediaLeg | None = None) -> None:
        target = leg or self.leg
        assert target is not None
        self.send_to(packet, target.rtp_port)

    def send_to(self, packet: bytes, port: int) -> None:
        self.socket.sendto(packet, ("::1" if self.socket.family is socket.AF_INET6 else "127.0.0.1", port))

    @staticmethod
    def reusing() -> socket.socket:
        """A socket that would share any port that lets it."""
        thief = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return thief

    async def receive(self, seconds: float = 2.0) -> bytes:
        async with asyncio.timeout(seconds):
            return await asyncio.get_running_loop().sock_recv(self.socket, 2048)

    async def silence(self, seconds: float = 0.15) -> None:
        with pytest.raises(TimeoutError):
            await self.receive(seconds)


async def pair(engine: MediaEngine, phone: Callable[..., Phone]) -> tuple[MediaLeg, Phone, MediaLeg, Phone]:
    legs = engine.open_leg("a"), engine.open_leg("b")
    phones = phone(), phone()
    for leg, each in zip(legs, phones, strict=True):
        each.attach(leg)
    legs[0].connect(legs[1])
    return legs[0], phones[0], legs[1], phones[1]
