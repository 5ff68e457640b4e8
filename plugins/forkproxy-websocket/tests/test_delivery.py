"""Outages: with reconnect on, nothing is lost that the ring can hold, and what it cannot is told."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from forkproxy_websocket import delivery
from forkproxy_websocket.delivery import worth_another
from forkproxy_websocket.history import MARGIN, History
from hypothesis import given
from hypothesis import strategies as st
from websocket_consumers import Consumer, Peer, by_hand, consumer
from websockets.asyncio.server import ServerConnection

from forkproxy.connectors.api import (
    StreamBroken,
    StreamConnectTimeout,
    StreamError,
    StreamHandshakeError,
    StreamProtocolError,
    StreamRefused,
    StreamRemoteClosed,
    StreamSchemeError,
    StreamTlsError,
    StreamUrlError,
)
from forkproxy.connectors.testing import HOST, FakeVoice, frames, payload_of
from forkproxy.model import Track, Tracks
from tests.support.processes import free_ports, until

SCRIPT = Path(__file__).with_name("killable_consumer.py")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(delivery, "LONGEST_PAUSE", 0.1)


@contextlib.asynccontextmanager
async def killable(port: int, file: Path) -> Any:
    process = await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), str(port), str(file))
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def lines(file: Path) -> list[dict[str, Any]]:
    """The messages so far; the last line may have been cut by the kill."""
    found = []
    for line in file.read_text().splitlines() if file.exists() else []:
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def media(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message["media"] for message in messages if message["event"] == "media"]


async def test_a_consumer_is_killed_and_started_again_and_has_every_frame(tmp_path: Path, connectors) -> None:
    """A real process, SIGKILL, real time; put together by timestamp, nothing is missing."""
    port, file = free_ports(1)[0], tmp_path / "heard.jsonl"
    host = dataclasses.replace(HOST, allow_ws=True)
    settings = {"reconnect": 30, "host": host, "ca_file": None}
    number = 0

    async def talk(moments: int) -> None:
        nonlocal number
        for _ in range(moments):
            run.feed(frames(1, start=number))
            number += 1
            await asyncio.sleep(0.02)

    async with connectors.running(f"ws://127.0.0.1:{port}/", settings=settings) as run:
        await talk(5)  # nobody is there yet: that is survived, too
        async with killable(port, file):
            assert await run.created()
            await talk(75)
            await until(lambda: len(media(lines(file))) > 60, timeout=10, what="frames", every=0.02)
        await talk(10)
        async with killable(port, file):
            await talk(40)
            await until(lambda: lines(file)[-1].get("event") == "media", timeout=10, what="frames")
            await run.stop()
            await until(lambda: lines(file)[-1]["event"] == "stop", timeout=10, what="the stop")
    assert run.error is None
    assert run.figures.dropped == 0
    assert {31902, 31903} & set(run.warnings)
    messages = lines(file)
    connections = [at for at, message in enumerate(messages) if message["event"] == "connection"]
    assert [messages[at]["again"] for at in connections] == [None, "1"]
    for at in connections:  # each connection is a stream that is complete in itself
        assert [message["event"] for message in messages[at + 1 : at + 3]] == ["connected", "start"]
        assert messages[at + 2]["streamSid"] == run.runner.sid
        assert messages[at + 2]["sequenceNumber"] == "1"
    heard = {(each["track"], int(each["timestamp"])): each for each in media(messages)}
    assert set(heard) == {(str(track), 20 * n) for track in Track for n in range(number)}
    for (track, timestamp), each in heard.items():
        assert int(each["chunk"]) == timestamp // 20 + 1
        assert base64.b64decode(each["payload"]) == payload_of(Track(track), timestamp // 20)


@contextlib.asynccontextmanager
async def cut_after(certificates: Any, count: int, code: int | None, **options: Any) -> Any:
    """A server whose first connection ends after `count` messages: by a close code, or by a cut."""
    server: Consumer

    async def handle(connection: ServerConnection) -> None:
        first = not server.requests
        assert connection.request is not None
        server.requests.append(connection.request)
        with contextlib.suppress(Exception):
            async for message in connection:
                server.texts.append(str(message))
                if first and len(server.texts) == count:
                    if code is None:
                        connection.transport.abort()
                    else:
                        await connection.close(code)
                    return

    async with consumer(certificates.good, handle, **options) as server:
        yield server


@pytest.mark.parametrize("code", [None, 1001, 1011, 1012])
async def test_a_lost_connection_is_made_again(certificates, connectors, code: int | None) -> None:
    settings = {"reconnect": 5}
    async with (
        cut_after(certificates, 12, code, max_queue=None) as server,
        connectors.running(server.url, settings=settings) as run,
    ):
        number = 0
        while len(server.requests) < 2 or number < 40:
            run.feed(frames(1, start=number))
            number += 1
            await asyncio.sleep(0.005)
        await until(lambda: f'"chunk":"{number}"' in "".join(server.texts[-3:]), timeout=10, what="the last")
    assert run.error is None
    assert run.warnings == [31903 if code is None else 31921]
    chunks = {(each["track"], int(each["chunk"])) for each in media(server.messages)}
    assert chunks == {(str(track), n) for track in Track for n in range(1, number + 1)}
    assert server.messages[-1]["event"] == "stop"


@pytest.mark.parametrize("code", [1000, 1008, 4001])
async def test_a_deliberate_close_ends_the_stream(certificates, connectors, code: int) -> None:
    async with (
        cut_after(certificates, 5, code, max_queue=None) as server,
        connectors.running(server.url, settings={"reconnect": 5}) as run,
    ):
        run.feed(frames(10))
        number = 10
        while not run.ended:
            run.feed(frames(1, start=number))
            number += 1
            await asyncio.sleep(0.01)
    assert type(run.error) is StreamRemoteClosed
    assert len(server.requests) == 1


async def test_patience_ends(connectors) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"wss://127.0.0.1:{closed.getsockname()[1]}/"
        async with connectors.running(url, settings={"reconnect": 0.3}) as run:
            run.feed(frames(3))
            assert not await run.created()
    assert type(run.error) is StreamRefused
    assert run.warnings == [31902]


async def test_what_the_ring_could_not_hold_is_told(certificates, connectors) -> None:
    """Counted, reported, and where it is wanted sent as an event; numbers and timestamps stay true."""
    settings = {"reconnect": 5, "buffer": 0.2, "gaps": True}
    async with (
        consumer(certificates.good) as server,
        connectors.running(server.url, settings=settings, tracks=Tracks.INBOUND) as run,
    ):
        run.feed(frames(30, Tracks.INBOUND))  # 10 are kept until the connection stands
        assert await run.created()
        await server.heard(13)
    assert run.figures.dropped == 20
    assert run.warnings == [31930]
    gap = server.messages[2]
    assert gap == {
        "event": "gap",
        "sequenceNumber": "2",
        "streamSid": run.runner.sid,
        "gap": {"timestamp": "0", "duration": "400"},
    }
    assert [each["chunk"] for each in media(server.messages)] == [str(n) for n in range(21, 31)]
    assert [m["sequenceNumber"] for m in server.messages[1:]] == [str(n) for n in range(1, 14)]


async def test_marks_survive_an_outage(certificates, connectors) -> None:
    voice = FakeVoice()
    async with (
        cut_after(certificates, 3, None, max_queue=None) as server,
        connectors.running(server.url, settings={"reconnect": 5}, voice=voice, tracks=Tracks.INBOUND) as run,
    ):
        assert await run.created()
        voice.write(b"x")
        voice.mark("greeted")
        run.feed(frames(1, Tracks.INBOUND))
        await until(lambda: len(server.texts) >= 3, timeout=10, what="the cut", every=0.005)
        await asyncio.sleep(0.1)  # now the cut is known here, too
        voice.play()
        number = 1
        while len(server.requests) < 2 or "mark" not in "".join(server.texts):
            run.feed(frames(1, Tracks.INBOUND, start=number))
            number += 1
            await asyncio.sleep(0.005)
    assert run.error is None
    assert [m["mark"]["name"] for m in server.messages if m["event"] == "mark"] == ["greeted"]


async def test_what_waits_is_measured(certificates, connectors) -> None:
    """Octets that the network has not taken, and how old the oldest audio is."""

    async def stop_reading(peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(3600)

    async with (
        by_hand(certificates.good, stop_reading, receive_buffer=4096) as server,
        connectors.running(server.url, queue_seconds=2, drain_timeout=0.1) as run,
    ):
        assert await run.created()
        assert run.runner.backlog() == (0, 0.0)
        number = 0
        while not run.warnings:
            run.feed(frames(10, start=number))
            number += 10
            await asyncio.sleep(0.001)
        octets, seconds = run.runner.backlog()
        assert octets > 10_000
        assert seconds >= 1.98
    assert run.runner.backlog() == (0, 0.0)


@pytest.mark.parametrize(
    ("error", "code", "worth"),
    [
        (StreamBroken("x"), None, True),
        (StreamRefused("x"), None, True),
        (StreamConnectTimeout("x"), None, True),
        (StreamHandshakeError("x"), None, True),
        (StreamTlsError("x"), None, True),
        (StreamRemoteClosed("x"), 1001, True),
        (StreamRemoteClosed("x"), 1011, True),
        (StreamRemoteClosed("x"), 1000, False),
        (StreamRemoteClosed("x"), 1005, False),
        (StreamRemoteClosed("x"), 1008, False),
        (StreamRemoteClosed("x"), 4000, False),
        (StreamProtocolError("x"), None, False),
        (StreamUrlError("x"), None, False),
        (StreamSchemeError("x"), None, False),
    ],
)
def test_what_another_connection_may_do_better(error: StreamError, code: int | None, worth: bool) -> None:
    assert worth_another(error, code) is worth


@given(
    st.lists(st.one_of(st.integers(1, 60), st.integers(0, 2000).map(lambda n: -n)), max_size=60),
    st.floats(0.1, 20),
)
def test_the_history_keeps_what_may_be_unread_and_is_bounded(steps: list[int], seconds: float) -> None:
    """A positive step sends so many frame numbers; another confirms the number."""
    history, sent, read = History(seconds), 0, 0
    most = int(seconds * 50)
    for step in steps:
        if step > 0:
            history.add(frames(step, start=sent))
            sent += step
        else:
            history.confirm(-step)
            read = max(read, min(-step, sent)) if sent else read
        kept = [frame.number for frame in history.unconfirmed()]
        assert len(kept) <= 2 * most
        first = max(sent - most, read - MARGIN, 0)
        assert kept == [n for n in range(first, sent) for _ in Track] or sent - most >= sent
        assert history.first == (kept[0] if kept else None)
