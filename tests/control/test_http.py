"""The HTTP server: what it answers, and that bad requests do nothing but fail."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from forkproxy.control import http
from forkproxy.control.http import ApiError, ApiServer
from forkproxy.model import Address


@asynccontextmanager
async def serving(**functions: Any) -> AsyncIterator[ApiServer]:
    server = ApiServer(
        Address("127.0.0.1", 0),
        **{"accepting": lambda: True, "counters": dict, "calls": list, **functions},
    )
    await server.start()
    try:
        yield server
    finally:
        await server.close()


async def get(server: ApiServer, path: str, method: str = "GET") -> tuple[int, str, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://{server.address}{path}") as answer,
    ):
        return answer.status, answer.headers["Content-Type"], await answer.text()


async def raw(server: ApiServer, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(server.address.host, server.address.port)
    try:
        writer.write(data)
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_health_follows_the_drain() -> None:
    health = True
    async with serving(accepting=lambda: health) as server:
        assert server.address.port != 0
        assert (await get(server, "/healthz"))[::2] == (200, "ok\n")
        health = False
        assert (await get(server, "/healthz"))[::2] == (503, "draining\n")


async def test_metrics_are_prometheus_text_and_count_the_server_itself() -> None:
    async with serving(counters=lambda: {"something": 4}) as server:
        status, kind, text = await get(server, "/metrics")
        assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert "forkproxy_something 4\n" in text
        assert "forkproxy_http_requests_total 1\n" in text


async def test_calls_are_json() -> None:
    async with serving(calls=lambda: [{"sid": "CA1", "streams": []}]) as server:
        status, kind, text = await get(server, "/calls")
        assert (status, kind) == (200, "application/json; charset=utf-8")
        assert json.loads(text) == {"calls": [{"sid": "CA1", "streams": []}]}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/metrics/x", 404), ("POST", "/calls", 405), ("HEAD", "/healthz", 200)],
)
async def test_other_requests(method: str, path: str, status: int) -> None:
    async with serving() as server:
        assert (await get(server, path, method))[0] == status


async def test_a_call_is_masked_and_unmasked() -> None:
    asked: list[tuple[str, bool]] = []

    def mask(sid: str, on: bool) -> dict[str, Any] | None:
        asked.append((sid, on))
        return {"sid": sid, "masked": on} if sid == "CA1" else None

    async with serving(mask=mask) as server:
        for action, on in (("mask", True), ("unmask", False)):
            status, kind, text = await get(server, f"/calls/CA1/{action}", "POST")
            assert (status, kind) == (200, "application/json; charset=utf-8")
            assert json.loads(text) == {"sid": "CA1", "masked": on}
            assert (await get(server, f"/calls/CA2/{action}", "POST"))[::2] == (404, "no such call\n")
            assert (await get(server, f"/calls/CA1/{action}"))[0] == 405
        assert (await get(server, "/calls/CA1/hide", "POST"))[0] == 404
    assert asked == [("CA1", True), ("CA2", True), ("CA1", False), ("CA2", False)]


async def test_a_failing_source_is_a_500_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> dict[str, int]:
        raise RuntimeError("secret detail")

    async with serving(counters=broken) as server:
        with caplog.at_level(logging.ERROR):
            status, _, text = await get(server, "/metrics")
        assert status == 500
        assert "secret detail" not in text
        assert "a request failed" in caplog.text
        assert (await get(server, "/healthz"))[0] == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"INVITE sip:a@b SIP/2.0\r\nVia: x\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
    ],
)
async def test_what_is_not_http_is_counted_and_refused(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as server:
        answer = await raw(server, data)
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
        assert server.counters()["http_bad_requests"] == 1
        assert caplog.records == []
        assert (await get(server, "/healthz"))[0] == 200


async def test_connections_beyond_the_limit_are_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_CONNECTIONS", 2)
    async with serving() as server:
        held = []
        for _ in range(2):  # one after the other: the server must have seen each
            held.append(await asyncio.open_connection(server.address.host, server.address.port))
            held[-1][1].write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await held[-1][0].readline()).startswith(b"HTTP/1.1 200")
        assert await raw(server, b"") == b""
        assert server.counters()["http_connections_refused"] == 1
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        assert server._runner is not None
        assert server._runner.server is not None
        while server._runner.server.connections:  # aiohttp has no event for it
            await asyncio.sleep(0.01)
        assert (await raw(server, b"GET /healthz HTTP/1.0\r\n\r\n")).endswith(b"ok\n")


async def test_a_taken_port_is_one_clear_error() -> None:
    async with serving() as server:
        second = ApiServer(server.address, accepting=bool, counters=dict, calls=list)
        with pytest.raises(ApiError, match=rf"api\.listen: cannot listen at {server.address}: .*in use"):
            await second.start()
        await second.close()


async def test_close_ends_idle_connections_and_frees_the_port() -> None:
    async with serving() as server:
        reader, writer = await asyncio.open_connection(server.address.host, server.address.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"ok\n")
        await server.close()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        await server.close()
        again = ApiServer(server.address, accepting=bool, counters=dict, calls=list)
        await again.start()
        await again.close()


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
async def test_ipv6() -> None:
    server = ApiServer(Address("::1", 0), accepting=lambda: True, counters=dict, calls=list)
    await server.start()
    assert str(server.address).startswith("[::1]:")
    assert (await get(server, "/healthz"))[0] == 200
    await server.close()
