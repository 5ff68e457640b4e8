"""Calls that are up, with a phone that does what a test says at each end: for what happens within a call."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.support.flows import Flow, bridge
from tests.support.proxy import Proxy
from tests.support.sip import Call, Phone, audio_sdp

TO_WHOM = "X-Callee"


def dialled(**more: Any) -> Flow:
    """A flow that connects the caller to whom its INVITE names in X-Callee: one proxy is enough for all."""
    return bridge(f"{{{{trigger.call.SipHeader_{TO_WHOM}}}}}", **more)


def with_direction(sdp: bytes, direction: str) -> bytes:
    return sdp.replace(b"a=sendrecv", b"a=" + direction.encode())


def direction_of(sdp: bytes) -> str:
    found = re.search(rb"^a=(sendrecv|sendonly|recvonly|inactive)\r?$", sdp, re.MULTILINE)
    assert found is not None, sdp
    return found[1].decode()


def origin_of(sdp: bytes) -> list[str]:
    """The words of the o= line."""
    found = re.search(rb"^o=(.*?)\r?$", sdp, re.MULTILINE)
    assert found is not None
    return found[1].decode().split()


def own(call: Call, direction: str = "sendrecv", payload_types: tuple[int, ...] = (0, 101)) -> bytes:
    """What a phone says of its RTP."""
    assert call.rtp is not None
    return with_direction(audio_sdp(call.rtp.host, call.rtp.port, payload_types), direction)


@asynccontextmanager
async def ringing(
    proxy: Proxy, transport: str = "udp", *, headers: Sequence[str] = (), number: str = "bob"
) -> AsyncIterator[tuple[Call, Call]]:
    """A call whose INVITE has reached the callee; afterwards nothing of it may be left."""
    async with Phone("alice", transport) as alice, Phone("bob", transport) as bob:
        before = await proxy.held()
        there = proxy.udp if transport == "udp" else proxy.tcp
        call = await alice.call(
            f"sip:{number}@{there[0]}:{there[1]}", there, headers=(f"{TO_WHOM}: {bob.uri}", *headers)
        )
        taken = await asyncio.wait_for(bob.incoming.get(), 10)
        yield call, taken
        await proxy.idle()
        after = await proxy.held()
        for each in (before, after):
            each.pop("forkproxy_sip_tcp_connections", None)  # the phones keep theirs
        assert after == before, "something is left of the call"


@asynccontextmanager
async def talking(
    proxy: Proxy, transport: str = "udp", *, headers: Sequence[str] = (), number: str = "bob"
) -> AsyncIterator[tuple[Call, Call]]:
    """A call that is up: its two ends. The caller hangs up, unless one of them has."""
    async with ringing(proxy, transport, headers=headers, number=number) as (call, taken):
        await taken.accept()
        await call.answered()
        yield call, taken
        if not call.over:
            await call.hang_up()
        await taken.request("BYE")


def sides(call: Call, taken: Call, who: str) -> tuple[Call, Call]:
    """The one that asks, and the other."""
    return (call, taken) if who == "caller" else (taken, call)
