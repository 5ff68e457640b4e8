"""Consumers that do wrong: each gets its own code, none leaves a socket, a task or memory behind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus

import pytest
from forkproxy_websocket import connection, delivery
from websocket_consumers import ByHand, Certificates, Peer, by_hand, consumer
from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode

from forkproxy.connectors.api import (
    StreamBroken,
    StreamConnectTimeout,
    StreamError,
    StreamHandshakeError,
    StreamProtocolError,
    StreamRefused,
    StreamRemoteClosed,
    StreamTlsError,
    StreamUnreachable,
)
from forkproxy.connectors.testing import frames

ANSWER = b"HTTP/1.1 101 Switching Protocols\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"


@pytest.fixture(autouse=True)
def short_farewells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many consumers here never end their side of the connection."""
    monkeypatch.setattr(delivery, "FAREWELL", 0.4)


async def fails_to_start(connectors, url: str, **settings: object) -> StreamError:
    async with connectors.running(url, settings=settings) as run:
        run.feed(frames(3))
        assert not await run.created()
    assert run.figures.waiting == 6
    assert run.error is not None
    return run.error


@contextlib.asynccontextmanager
async def answering(
    certificates: Certificates, answer: bytes, *, stay: bool = False
) -> AsyncIterator[ByHand]:
    """A server that answers the upgrade request with these octets."""

    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        if stay:
            await peer.wait_for_end()

    async with by_hand(certificates.good, behave) as server:
        yield server


# On the way there.


async def test_nobody_listens(connectors) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        error = await fails_to_start(connectors, f"wss://127.0.0.1:{port}/")
    assert type(error) is StreamRefused
    assert str(error) == f"connecting to 127.0.0.1:{port}: connection refused"


async def test_nobody_listens_on_any_address_of_a_name(connectors) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        error = await fails_to_start(connectors, f"wss://localhost:{closed.getsockname()[1]}/")
    assert type(error) is StreamRefused


async def test_the_name_does_not_exist(connectors) -> None:
    error = await fails_to_start(connectors, "wss://no-such-host.invalid/")
    assert type(error) is StreamUnreachable
    assert str(error).startswith("looking up no-such-host.invalid: ")


async def test_there_is_no_way_to_the_address(connectors) -> None:
    # Reserved (RFC 1112, class E): the kernel has no route to it, or nothing answers.
    error = await fails_to_start(connectors, "wss://255.255.255.255/", open_timeout=0.5)
    assert isinstance(error, StreamUnreachable | StreamConnectTimeout | StreamError)
    assert error.twilio_code in {31900, 31901, 31904}


async def test_tcp_is_accepted_and_nothing_follows(connectors) -> None:
    async def mute(peer: Peer) -> None:
        await peer.wait_for_end()

    async with by_hand(None, mute) as server:
        error = await fails_to_start(connectors, server.url, open_timeout=0.2)
    assert type(error) is StreamConnectTimeout
    assert str(error) == f"the TLS handshake with localhost:{server.port}: no answer within 0.2 seconds"


async def test_tls_stands_and_nothing_follows(certificates: Certificates, connectors) -> None:
    async def mute(peer: Peer) -> None:
        await peer.wait_for_end()

    async with by_hand(certificates.good, mute) as server:
        error = await fails_to_start(connectors, server.url, open_timeout=0.3)
    assert type(error) is StreamConnectTimeout
    assert str(error).startswith("the WebSocket handshake with")


async def test_the_answer_comes_octet_by_octet(certificates: Certificates, connectors) -> None:
    async def slow_loris(peer: Peer) -> None:
        await peer.request()
        while True:
            await peer.send(b"H")
            await asyncio.sleep(0.01)

    async with by_hand(certificates.good, slow_loris) as server:
        error = await fails_to_start(connectors, server.url, open_timeout=0.3)
    assert type(error) is StreamConnectTimeout


async def test_the_stream_is_stopped_in_the_middle_of_connecting(certificates, connectors) -> None:
    async def mute(peer: Peer) -> None:
        await peer.wait_for_end()

    for tls in (None, certificates.good):
        async with by_hand(tls, mute) as server:
            async with connectors.running(server.url) as run:
                await server.connected.wait()
                await run.stop(drain=0)
            assert type(run.error) is StreamConnectTimeout


# TLS.


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ("wrong_name", "the certificate was refused: hostname mismatch"),
        ("expired", "the certificate was refused: certificate has expired"),
        ("strange", "the certificate was refused: unable to get local issuer certificate"),
    ],
)
async def test_a_certificate_that_is_refused(
    certificates: Certificates, connectors, context: str, words: str
) -> None:
    async with consumer(getattr(certificates, context)) as server:
        error = await fails_to_start(connectors, server.url)
    assert type(error) is StreamTlsError
    assert words in str(error).lower()
    assert server.requests == []


async def test_plain_text_on_the_tls_port(connectors) -> None:
    async with consumer(None) as server:
        error = await fails_to_start(connectors, server.url.replace("ws:", "wss:"))
    assert type(error) is StreamTlsError

    async def smtp(peer: Peer) -> None:
        await peer.send(b"220 mail.example ESMTP\r\n")
        await peer.wait_for_end()

    async with by_hand(None, smtp) as by_hand_server:
        error = await fails_to_start(connectors, by_hand_server.url)
    assert type(error) is StreamTlsError
    assert "wrong version number" in str(error)


async def test_tls_is_cut(connectors) -> None:
    async def cut(peer: Peer) -> None:
        await peer.reader.read(1)
        peer.reset()

    async with by_hand(None, cut) as server:
        error = await fails_to_start(connectors, server.url)
    assert type(error) is StreamTlsError


async def test_the_consumer_wants_a_certificate_of_ours(certificates: Certificates, connectors) -> None:
    async with consumer(certificates.wants_one_too) as server:
        error = await fails_to_start(connectors, server.url)
    # The server's library cuts the connection without an alert; with one it would be 31910.
    assert type(error) is StreamHandshakeError


# The upgrade.


@pytest.mark.parametrize(
    "status",
    [HTTPStatus.OK, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, 429, 500, 503],
)
async def test_anything_but_101(certificates: Certificates, connectors, status: int) -> None:
    def refuse(connection: ServerConnection, request: object) -> object:
        return connection.respond(HTTPStatus(status), "no\n")

    async with consumer(certificates.good, process_request=refuse) as server:
        error = await fails_to_start(connectors, server.url)
    assert type(error) is StreamHandshakeError
    phrase = HTTPStatus(status).phrase
    assert f"answered {int(status)} {phrase} to the upgrade request, not 101" in str(error)


async def test_a_redirect_is_not_followed(certificates: Certificates, connectors) -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: wss://localhost/elsewhere\r\nContent-Length: 0\r\n\r\n"
    async with answering(certificates, answer) as server:
        error = await fails_to_start(connectors, server.url)
    assert type(error) is StreamHandshakeError
    assert "redirects to 'wss://localhost/elsewhere', which is not followed" in str(error)
    assert len(server.peers) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ANSWER + UPGRADE + b"\r\n", "Sec-WebSocket-Accept"),
        (ANSWER + UPGRADE + b"Sec-WebSocket-Accept: AAAA\r\n\r\n", "Sec-WebSocket-Accept"),
        (ANSWER + b"Connection: Upgrade\r\n\r\n", "Upgrade"),
        (ANSWER + b"Upgrade: websocket\r\n\r\n", "Connection"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not usable"),
        (b"HTTP/1.1 abc\r\n\r\n", "not usable"),
        (b"\x00" * 100 + b"\r\n\r\n", "not usable"),
        (ANSWER + b"A" * 100_000 + b"\r\n\r\n", "not usable"),
        (ANSWER + b"A: b\r\n" * 10_000 + b"\r\n", "not usable"),
        (b"", "cut before the upgrade request was answered"),
        (b"HTTP/1.1 101", "cut before the upgrade request was answered"),
    ],
    ids=range(11),
)
async def test_answers_that_are_none(certificates, connectors, answer: bytes, words: str) -> None:
    async with answering(certificates, answer) as server:
        error = await fails_to_start(connectors, server.url)
    assert type(error) is StreamHandshakeError
    assert words in str(error)


@pytest.mark.parametrize(
    "header", [b"Sec-WebSocket-Protocol: x", b"Sec-WebSocket-Extensions: permessage-deflate"]
)
async def test_an_extension_that_nobody_asked_for(certificates, connectors, header: bytes) -> None:
    async def too_much(peer: Peer) -> None:
        response = peer.core.accept(await peer.request())
        name, value = header.decode().split(": ")
        response.headers[name] = value
        peer.core.send_response(response)
        await peer.flush()
        await peer.wait_for_end()

    async with by_hand(certificates.good, too_much) as server:
        error = await fails_to_start(connectors, server.url)
    assert type(error) is StreamHandshakeError


async def test_the_connection_is_reset_instead_of_an_answer(certificates, connectors) -> None:
    async def reset(peer: Peer) -> None:
        await peer.request()
        peer.reset()

    async with by_hand(certificates.good, reset) as server:
        error = await fails_to_start(connectors, server.url)
    assert type(error) is StreamHandshakeError
    assert "cut before the upgrade request was answered" in str(error)


# In the middle.


async def ends(connectors, tls: ssl.SSLContext, behave: Callable[[Peer], Awaitable[None]]) -> StreamError:
    """A stream whose consumer accepts and then does something; what it fails with."""

    async def accept_first(peer: Peer) -> None:
        await peer.accept()
        await behave(peer)
        await peer.wait_for_end()

    async with by_hand(tls, accept_first) as server, connectors.running(server.url) as run:
        number = 0
        while not run.ended:
            run.feed(frames(1, start=number))
            number += 1
            await asyncio.sleep(0.01)
    assert run.error is not None
    return run.error


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 4000])
async def test_the_consumer_closes(certificates: Certificates, connectors, code: int) -> None:
    async def close(connection: ServerConnection) -> None:
        for _ in range(5):
            await connection.recv()
        await connection.close(code, "its own reason")

    async with (
        consumer(certificates.good, close, max_queue=None) as server,
        connectors.running(server.url) as run,
    ):
        assert await run.created()
        run.feed(frames(10))
        await run.closed()
    assert type(run.error) is StreamRemoteClosed
    assert str(code) in str(run.error)
    assert "its own reason" in str(run.error)


async def test_the_consumer_closes_without_a_code(certificates: Certificates, connectors) -> None:
    async def close(peer: Peer) -> None:
        peer.core.send_close()
        await peer.flush()

    error = await ends(connectors, certificates.good, close)
    assert type(error) is StreamRemoteClosed
    assert "1005" in str(error)


async def test_our_half_of_the_closing_handshake(certificates: Certificates, connectors) -> None:
    """The consumer that closes gets its close frame back, whatever else is on the way."""
    codes: list[int | None] = []

    async def close(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.close(1001)
        codes.append(connection.close_code)

    async with (
        consumer(certificates.good, close, max_queue=None) as server,
        connectors.running(server.url) as run,
    ):
        run.feed(frames(100))
        await run.closed()
    assert type(run.error) is StreamRemoteClosed
    assert codes == [1001]


async def test_our_half_comes_behind_what_the_consumer_has_yet_to_read(certificates, connectors) -> None:
    """It closes, and reads on: everything that was sent arrives, our close frame last."""
    heard: list[Opcode] = []
    enough = asyncio.Event()

    async def close_then_read(peer: Peer) -> None:
        await peer.accept()
        await enough.wait()
        peer.core.send_close(1001)
        await peer.flush()
        await asyncio.sleep(0.1)
        while data := await peer.reader.read(65536):
            peer.core.receive_data(data)
            heard.extend(event.opcode for event in peer.core.events_received() if isinstance(event, Frame))

    async with (
        by_hand(certificates.good, close_then_read, receive_buffer=4096) as server,
        connectors.running(server.url, queue_seconds=1) as run,
    ):
        assert await run.created()
        number = 0
        while not run.warnings:
            run.feed(frames(10, start=number))
            number += 10
            await asyncio.sleep(0.001)
        enough.set()
        await run.closed()
    assert type(run.error) is StreamRemoteClosed
    assert heard[-1] is Opcode.CLOSE
    assert len(heard) > 100


async def test_the_connection_is_reset(certificates: Certificates, connectors) -> None:
    async def reset(peer: Peer) -> None:
        await peer.reader.read(1)
        peer.reset()

    error = await ends(connectors, certificates.good, reset)
    assert type(error) is StreamBroken


async def test_the_connection_ends_without_a_close_frame(certificates: Certificates, connectors) -> None:
    async def end(peer: Peer) -> None:
        peer.writer.close()

    error = await ends(connectors, certificates.good, end)
    assert type(error) is StreamBroken


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"\x09\x00", "fragmented control frame"),  # a ping without FIN
        (b"\x89\x7e\x00\x7e" + b"x" * 126, "control frame too long"),
        (b"\x83\x00", "invalid opcode"),
        (b"\xc1\x00", "reserved bits"),
        (b"\x81\x80abcd", "incorrect masking"),
        (b"\x80\x00", "unexpected continuation frame"),
        (b"\x01\x00\x81\x00", "expected a continuation frame"),
        (b"\x88\x01\x00", "close"),
        (b"\x88\x02\x03\xe7", "invalid status code"),  # 999
        (b"\x82\x7f" + (2**30).to_bytes(8, "big") + b"x" * 100, "exceeds limit of 1048576 bytes"),
        (b"\x81\x7f" + (2**63).to_bytes(8, "big"), "exceeds limit of 1048576 bytes"),
        (
            b"\x01\x7f" + (2**20).to_bytes(8, "big") + b"x" * 2**20 + b"\x00\x01x",
            "exceeds limit of 1048576 bytes",
        ),
    ],
    ids=range(12),
)
async def test_the_consumer_breaks_the_protocol(certificates, connectors, octets: bytes, words: str) -> None:
    farewell = b""

    async def break_it(peer: Peer) -> None:
        nonlocal farewell
        await peer.send(octets)
        farewell = await peer.wait_for_end()

    error = await ends(connectors, certificates.good, break_it)
    assert type(error) is StreamProtocolError
    assert words in str(error).lower()
    assert farewell


async def test_what_a_consumer_says_is_counted_and_ignored(certificates: Certificates, connectors) -> None:
    async def talk(connection: ServerConnection) -> None:
        for _ in range(50):
            await connection.send('{"event":"mark"}')
            await connection.send("this is not JSON \udcff".encode("utf-8", "surrogateescape"), text=True)
            await connection.send(b"\x00\x01")
            await connection.send(["in ", "three ", "pieces"])
            await connection.ping()
        async for _ in connection:
            pass

    async with consumer(certificates.good, talk) as server, connectors.running(server.url) as run:
        assert await run.created()
        number = 0
        while sum(run.figures.warnings.values()) < 200:
            run.feed(frames(1, start=number))
            number += 1
            await asyncio.sleep(0.01)
        await run.stop()
    assert run.error is None
    assert run.figures.warnings == {31951: 150, 31950: 50}
    assert sorted(run.warnings) == [31950, 31951], "each is reported once"
    assert run.figures.handed_over == run.figures.fed


async def test_a_flood_is_held_back_and_the_stream_goes_on(certificates: Certificates, connectors) -> None:
    """Pings and messages as fast as TCP takes them: the loop stays free, frames go out."""
    flood = (b"\x89\x00" * 500 + b"\x81\x00" * 500) * 100
    sent = 0

    async def pour(peer: Peer) -> None:
        nonlocal sent
        await peer.accept()

        async def pouring() -> None:
            nonlocal sent
            while True:
                await peer.send(flood)
                sent += len(flood)

        task = asyncio.create_task(pouring())
        try:
            await peer.wait_for_end()
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await task

    async with by_hand(certificates.good, pour) as server, connectors.running(server.url) as run:
        assert await run.created()
        turns = 0
        for number in range(50):
            run.feed(frames(1, start=number))
            await asyncio.sleep(0.01)
            turns += 1
        looked_at = run.figures.warnings[31951] * 2 * 2
        await run.stop(drain=2)
    assert turns == 50
    assert run.figures.dropped == 0
    assert run.figures.handed_over == 100
    assert looked_at < 50 * 1024 * 100, "not everything that came was looked at"


async def test_a_consumer_that_stops_reading(certificates: Certificates, connectors) -> None:
    """Its stream loses its oldest frames, is told so, holds little memory, and ends in time."""

    async def stop_reading(peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(3600)

    async with by_hand(certificates.good, stop_reading, receive_buffer=4096) as server:
        async with connectors.running(server.url, queue_seconds=1, drain_timeout=0.3) as run:
            assert await run.created()
            number, before = 0, -1
            async with asyncio.timeout(30):
                # Its own library's buffers fill first, and then nothing is piled up behind the queue.
                while not run.warnings or run.figures.handed_over != before:
                    before = run.figures.handed_over
                    for _ in range(50):
                        run.feed(frames(10, start=number))
                        number += 10
                        await asyncio.sleep(0.001)
            assert run.figures.waiting <= 100
            assert set(run.warnings) == {31930}
        assert run.error is None
    # 4 MB is more than TCP's buffers on both sides can be with these settings.
    assert run.figures.handed_over * 390 < 4_000_000
    assert run.figures.fed == run.figures.handed_over + run.figures.dropped + run.figures.waiting


async def test_a_consumer_that_reads_again_gets_the_newest_audio(certificates, connectors) -> None:
    read = asyncio.Event()

    async def pause(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await read.wait()
        connection.transport.resume_reading()
        with contextlib.suppress(Exception):
            async for message in connection:
                server.texts.append(str(message))

    async with consumer(certificates.good, pause, ping_interval=None) as server:
        async with connectors.running(server.url, queue_seconds=1) as run:
            assert await run.created()
            number = 0
            while not run.warnings:
                run.feed(frames(10, start=number))
                number += 10
                await asyncio.sleep(0.001)
            read.set()
        assert run.error is None
    messages = server.messages
    assert messages[-1]["event"] == "stop"
    assert messages[-2]["media"]["chunk"] == str(number)
    assert [int(m["sequenceNumber"]) for m in messages[1:]] == list(range(1, len(messages))), (
        "no hole in these"
    )
    media = sum(m["event"] == "media" for m in messages)
    assert media == run.figures.fed - run.figures.dropped


# At the end.


async def test_a_consumer_that_never_answers_the_close_frame(certificates, connectors, monkeypatch) -> None:
    monkeypatch.setattr(connection, "CLOSE_TIMEOUT", 0.1)
    tail = b""

    async def deaf(peer: Peer) -> None:
        nonlocal tail
        await peer.accept()
        tail = await peer.wait_for_end()

    async with by_hand(certificates.good, deaf) as server:
        async with connectors.running(server.url, drain_timeout=60) as run:
            run.feed(frames(5))
            await run.created()
        assert run.error is None
        assert run.warnings == []
    assert tail, "everything was delivered"


async def test_audio_that_did_not_leave_before_the_end_is_told(certificates, connectors, monkeypatch) -> None:
    monkeypatch.setattr(connection, "CLOSE_TIMEOUT", 0.1)

    async def stop_reading(peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(3600)

    async with (
        by_hand(certificates.good, stop_reading, receive_buffer=4096) as server,
        connectors.running(server.url, queue_seconds=60, drain_timeout=0.2) as run,
    ):
        assert await run.created()
        for number in range(0, 20_000, 1000):
            run.feed(frames(1000, start=number))
            await asyncio.sleep(0)
    assert run.error is None
    assert run.warnings == [31930, 31930], (
        "the frames in the queue, and the octets in the connection's buffer"
    )


async def test_the_consumer_closes_while_we_do(certificates: Certificates, connectors) -> None:
    async def close_at_stop(connection: ServerConnection) -> None:
        async for message in connection:
            if '"event":"stop"' in str(message):
                await connection.close(1000)

    async with consumer(certificates.good, close_at_stop) as server:
        async with connectors.running(server.url) as run:
            run.feed(frames(5))
            await run.created()
        assert run.error is None
        assert run.warnings == []
