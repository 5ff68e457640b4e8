"""Streams and datagrams as they come: cut, glued, over-long, silent, too many."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from forkproxy.signalling import listeners, sockets
from forkproxy.signalling.endpoint import COUNTED
from forkproxy.signalling.events import Answered, Confirmed, Ended
from tests.interop.test_malformed import CASES, DATAGRAMS, STREAMS
from tests.signalling.support import OFFER, Station, answer_to, conversation, until
from tests.signalling.test_wire import GOOD, Wire, invite

Stations = Callable[..., Awaitable[Station]]


@asynccontextmanager
async def connected(bob: Station) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*bob.address("tcp"))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def over_tcp(**more: object) -> bytes:
    return invite(**more).replace(b"/UDP ", b"/TCP ")  # type: ignore[arg-type]


async def head(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)


async def test_an_invite_may_come_in_pieces(stations: Stations) -> None:
    bob = await stations()
    async with connected(bob) as (reader, writer):
        request = over_tcp()
        for i in range(0, len(request), 50):
            writer.write(request[i : i + 50])
            await asyncio.sleep(0.005)
        assert (await head(reader)).startswith(b"SIP/2.0 100 ")
        leg, _ = await bob.call()
        assert leg.offer == GOOD
        leg.reject(486)
        assert (await head(reader)).startswith(b"SIP/2.0 486 ")


async def test_several_requests_may_come_at_once(stations: Stations) -> None:
    bob = await stations()
    async with connected(bob) as (reader, writer):
        writer.write(b"\r\n\r\n" + b"".join(over_tcp(method="OPTIONS", body=b"") for _ in range(5)))
        assert await asyncio.wait_for(reader.readexactly(2), 5) == b"\r\n"
        for _ in range(5):
            assert (await head(reader)).startswith(b"SIP/2.0 200 ")
        assert bob.endpoint.counters()["keepalives"] == 1


@pytest.mark.parametrize(
    ("data", "status", "counted"),
    [
        (STREAMS["no Content-Length"], 400, "malformed_header"),
        (CASES["a Content-Length that is no number"], 400, "malformed_length"),
        (STREAMS["a body of a gigabyte announced"], 513, "malformed_oversize"),
        (STREAMS["over-long"], 513, "malformed_oversize"),
        (CASES["no From"], 400, "malformed_header"),
        (CASES["a From that never ends"], 400, "malformed_syntax"),
    ],
)
async def test_what_cannot_be_read_is_answered(
    stations: Stations, data: bytes, status: int, counted: str
) -> None:
    bob = await stations()
    async with connected(bob) as (reader, writer):
        writer.write(data)
        answer = await head(reader)
        assert answer.startswith(b"SIP/2.0 %d " % status)
        assert bob.endpoint.counters()[counted] == 1
        assert bob.endpoint.counters()["malformed"] == 1
        if counted != "malformed_syntax" and b"no From" not in data and data != CASES["no From"]:
            assert await asyncio.wait_for(reader.read(), 5) == b"", "such a connection is closed"


async def test_a_stream_that_ends_in_a_message_is_counted(stations: Stations) -> None:
    bob = await stations()
    async with connected(bob) as (reader, writer):
        writer.write(over_tcp()[:100])
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b""
    assert bob.endpoint.counters()["malformed_length"] == 1
    await until(lambda: bob.endpoint.counters()["tcp_connections"] == 0)


async def test_nothing_malformed_ends_anything_or_goes_uncounted(stations: Stations) -> None:
    alice, bob = await stations(), await stations()
    out, _, _, seen = await conversation(alice, bob)

    def figures() -> list[int]:
        """Everything that only grows, but what is received at all."""
        counters = bob.endpoint.counters()
        return [counters[name] for name in COUNTED]

    async with Wire(bob.address()) as wire:
        for name, data in (CASES | DATAGRAMS).items():
            before = figures()
            wire.send(data)
            for _ in range(100):
                if figures() != before:
                    break
                await asyncio.sleep(0.01)
            else:
                pytest.fail(f"{name} cannot be seen in the counters")
    for data in (CASES | STREAMS).values():
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with connected(bob) as (reader, writer):
                writer.write(data)
                await writer.drain()
                writer.write_eof()
                await asyncio.wait_for(reader.read(), 0.05)
    while not bob.calls.empty():
        bob.calls.get_nowait()[0].reject(486)
    out.hang_up()
    await seen.first(Ended)
    out, _, _, seen = await conversation(alice, bob, "tcp")
    out.hang_up()
    await seen.first(Ended)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("size", [3900, 3999, 4000, 4001, 8000, 30000])
async def test_long_messages_pass_both_ways(stations: Stations, transport: str, size: int) -> None:
    """PJSIP alone stops at 4,000 octets."""
    alice, bob = await stations(), await stations()
    long = OFFER + b"a=x-long:" + b"y" * (size - len(OFFER)) + b"\r\n"
    out, heard = alice.dial(bob.uri(transport=transport), sdp=long, headers=[("X-Long", "z" * 2000)])
    leg, seen = await bob.call()
    assert leg.offer == long
    assert dict(leg.headers)["X-Long"] == "z" * 2000
    answer = answer_to(OFFER) + long[len(OFFER) :]
    leg.answer(answer)
    assert (await heard.first(Answered)).sdp == answer
    await seen.first(Confirmed)
    out.hang_up()
    await seen.first(Ended)


async def test_a_message_that_no_datagram_holds_ends_the_call(stations: Stations) -> None:
    alice, bob = await stations(), await stations()
    headers = [(f"X-{number}", "z" * 4000) for number in range(17)]
    _, heard = alice.dial(bob.uri(), headers=headers)
    ended = await heard.first(Ended)
    assert (ended.status, ended.by) == (503, "transport")


async def test_a_connection_that_says_nothing_is_closed(
    stations: Stations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "FIRST_MESSAGE", 0.1)
    bob = await stations()
    async with connected(bob) as (silent, _), connected(bob) as (begun, writer):
        writer.write(over_tcp()[:50])
        assert await asyncio.wait_for(silent.read(), 5) == b""
        assert await asyncio.wait_for(begun.read(), 5) == b""
    assert bob.endpoint.counters()["connections_idle"] == 2


async def test_a_connection_with_a_call_on_it_may_be_silent(
    stations: Stations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "FIRST_MESSAGE", 0.1)
    monkeypatch.setattr(sockets, "IDLE", 0.2)
    alice, bob = await stations(), await stations()
    out, _, _, seen = await conversation(alice, bob, "tcp")
    await asyncio.sleep(1.5)
    assert bob.endpoint.counters()["tcp_connections"] == 1
    out.hang_up()
    await seen.first(Ended)
    await until(lambda: bob.endpoint.counters()["tcp_connections"] == 0)


async def test_too_many_connections_from_one_host(
    stations: Stations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "MAX_PER_HOST", 2)
    bob = await stations()
    async with connected(bob), connected(bob):
        await until(lambda: bob.endpoint.counters()["tcp_connections"] == 2)
        async with connected(bob) as (reader, _):
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 5) == b""
        assert bob.endpoint.counters()["connections_refused"] == 1
    await until(lambda: bob.endpoint.counters()["tcp_connections"] == 0)
    async with connected(bob):
        await until(lambda: bob.endpoint.counters()["tcp_connections"] == 1)


async def test_a_peer_that_does_not_read_is_given_up(
    stations: Stations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "BACKLOG", 100_000)
    bob = await stations()
    _, writer = await asyncio.open_connection(*bob.address("tcp"))
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    request = over_tcp(method="OPTIONS", body=b"", headers="X-Fill: " + "y" * 1000 + "\r\n")
    with contextlib.suppress(ConnectionError):
        for _ in range(200):
            if bob.endpoint.counters()["connections_stalled"]:
                break
            writer.write(request * 200)
            await asyncio.wait_for(writer.drain(), 5)
    assert bob.endpoint.counters()["connections_stalled"] == 1
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_call_survives_its_connection(stations: Stations) -> None:
    alice, bob = await stations(), await stations()
    _, heard, leg, seen = await conversation(alice, bob, "tcp")
    for station in (alice, bob):
        for listener in station.endpoint._listeners:
            for connection in tuple(getattr(listener, "connections", ())):
                connection.close()
    await until(lambda: bob.endpoint.counters()["tcp_connections"] == 0)
    leg.hang_up()  # over a new connection, to where the caller's Contact says
    await heard.first(Ended)
    assert (await seen.first(Ended)).by == "local"


async def test_a_connection_that_ends_ends_what_waits_on_it(stations: Stations) -> None:
    alice = await stations()
    writers: list[asyncio.StreamWriter] = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, heard = alice.dial(f"sip:bob@127.0.0.1:{port};transport=tcp")
    ended = await heard.first(Ended)
    assert (ended.status, ended.by) == (503, "transport")
    server.close()
    await server.wait_closed()


async def test_keep_alives_over_udp_are_counted(stations: Stations) -> None:
    bob = await stations()
    async with Wire(bob.address()) as wire:
        for data in (b"\r\n\r\n", b"\0\0\0\0", b""):
            wire.send(data)
        await until(lambda: bob.endpoint.counters()["malformed_empty"] == 1)
        assert bob.endpoint.counters()["keepalives"] == 2
        assert await wire.silent()
