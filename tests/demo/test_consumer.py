"""The consumer writes down what a real WebSocket client sends."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from forkproxy.demo import certificate
from forkproxy.demo.consumer import Consumer


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> certificate.Certificate:
    return certificate.make(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def trust(made: certificate.Certificate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(made.authority))


@pytest.fixture
async def consumer(made: certificate.Certificate) -> AsyncIterator[Consumer]:
    async with Consumer(made) as consumer:
        yield consumer


async def test_it_notes_handshake_messages_and_close(consumer: Consumer, trust: ssl.SSLContext) -> None:
    headers = {"X-Twilio-Signature": "abc="}
    async with connect(consumer.url, ssl=trust, additional_headers=headers, compression=None) as client:
        await client.send('{"event":"connected"}')
        await client.send(b"\x00\xff")
        await client.close(1000, "done")
    await consumer.closed.wait()
    report = consumer.report()
    assert (report.connections, report.path) == (1, "/media")
    assert ("X-Twilio-Signature", "abc=") in report.headers
    assert [message.text for message in report.messages] == ['{"event":"connected"}', "(binary: 00ff)"]
    assert (report.close_code, report.close_reason) == (1000, "done")
    assert report.opened_at is not None
    assert report.closed_at is not None
    assert report.opened_at <= report.messages[0].at <= report.closed_at
    assert "X-Twilio-Signature: abc=" in report.handshake()


async def test_a_connection_that_is_cut_has_no_close_code_of_its_own(
    consumer: Consumer, trust: ssl.SSLContext
) -> None:
    client = await connect(consumer.url, ssl=trust)
    await consumer.opened.wait()
    client.transport.abort()
    await consumer.closed.wait()
    assert consumer.report().close_code == 1006
    await client.wait_closed()


async def test_a_second_connection_is_counted_and_not_mixed_in(
    consumer: Consumer, trust: ssl.SSLContext
) -> None:
    async with connect(consumer.url, ssl=trust) as first:
        async with connect(consumer.url, ssl=trust) as second:
            await second.wait_closed()
        await first.send("one")
    await asyncio.wait_for(consumer.closed.wait(), 10)
    assert consumer.report().connections == 2
    assert [message.text for message in consumer.report().messages] == ["one"]


async def test_the_url_names_a_real_port(consumer: Consumer, tmp_path: Path) -> None:
    assert consumer.url.startswith("wss://127.0.0.1:")
    assert not consumer.url.startswith("wss://127.0.0.1:0/")
