"""One connection without a network: writes, back-pressure, floods, and signs of life."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl

import pytest
from forkproxy_websocket import connection as module
from forkproxy_websocket.connection import Connection
from forkproxy_websocket.target import parse_target
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from forkproxy.connectors.api import (
    StreamBroken,
    StreamError,
    StreamHandshakeError,
    StreamRemoteClosed,
    StreamTlsError,
)
from tests.support.processes import until


class Wire(asyncio.Transport):
    """A transport that remembers, and the server's protocol behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.server = ServerProtocol(max_size=None)
        self.reading = True
        self.closing = False
        self.aborted = False
        self.protocol: Connection
        self.sock: object = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))
        self.server.receive_data(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return 7

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self.sock if name == "socket" else default

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True
        asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def frames(self) -> list[Frame]:
        """What the server has received since the last call."""
        return [event for event in self.server.events_received() if isinstance(event, Frame)]

    def answer(self) -> None:
        """The server says what it has to say."""
        for data in self.server.data_to_send():
            if data:
                self.protocol.data_received(data)


class Rig:
    """A connection on a `Wire`, its handshake done."""

    def __init__(self, **options: object) -> None:
        self.lost: list[StreamError] = []
        self.heard: list[tuple[bytes, bool]] = []
        self.wire = Wire()
        self.connection = self.wire.protocol = Connection(
            parse_target("wss://a.example/x"),
            {"User-Agent": "t"},
            on_lost=self.lost.append,
            on_message=lambda message, binary: self.heard.append((message, binary)),
            **options,  # type: ignore[arg-type]
        )
        self.connection.connection_made(self.wire)
        (request,) = self.wire.server.events_received()
        assert isinstance(request, Request)
        self.request = request

    async def open(self) -> Rig:
        self.wire.server.send_response(self.wire.server.accept(self.request))
        self.wire.answer()
        await self.connection.opened()
        self.wire.writes.clear()
        return self

    async def end(self) -> None:
        await self.connection.abort()


async def test_all_messages_of_a_tick_leave_in_one_write() -> None:
    rig = await Rig().open()
    rig.connection.send([b"one", b"two", b"three"])
    assert len(rig.wire.writes) == 1
    assert [bytes(frame.data) for frame in rig.wire.frames()] == [b"one", b"two", b"three"]
    await rig.end()


async def test_draining_waits_for_room() -> None:
    rig = await Rig().open()
    rig.connection.pause_writing()
    assert rig.connection.paused
    draining = asyncio.ensure_future(rig.connection.drain())
    again = asyncio.ensure_future(rig.connection.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    rig.connection.resume_writing()
    await draining
    await again
    assert not rig.connection.paused
    await rig.connection.drain()
    await rig.end()


async def test_draining_ends_with_the_connection() -> None:
    rig = await Rig().open()
    rig.connection.pause_writing()
    draining = asyncio.ensure_future(rig.connection.drain())
    await asyncio.sleep(0)
    rig.connection.connection_lost(ConnectionResetError(errno.ECONNRESET, "x"))
    with pytest.raises(StreamBroken, match="connection reset by peer"):
        await draining
    with pytest.raises(StreamBroken):
        rig.connection.send([b"x"])
    await asyncio.sleep(0)
    assert [str(error) for error in rig.lost] == ["the connection was cut: connection reset by peer"]
    assert rig.connection.unsent == 0


async def test_tls_that_breaks_in_the_middle() -> None:
    rig = await Rig().open()
    rig.connection.connection_lost(ssl.SSLError(1, "[SSL] bad record mac"))
    await asyncio.sleep(0)
    assert type(rig.lost[0]) is StreamTlsError


async def test_a_tls_alert_instead_of_an_answer() -> None:
    rig = Rig()
    rig.connection.connection_lost(ssl.SSLError(1, "[SSL] tlsv13 alert certificate required"))
    with pytest.raises(StreamTlsError, match="certificate required"):
        await rig.connection.opened()


async def test_a_connection_that_ends_before_its_handshake() -> None:
    rig = Rig()
    rig.connection.connection_lost(None)
    with pytest.raises(StreamHandshakeError, match="cut before"):
        await rig.connection.opened()
    assert rig.lost == []


async def test_pings_are_answered_while_there_is_room() -> None:
    rig = await Rig().open()
    rig.wire.server.send_ping(b"1")
    rig.wire.answer()
    rig.connection.pause_writing()
    for _ in range(1000):
        rig.wire.server.send_ping(b"2")
    rig.wire.answer()
    await asyncio.sleep(0.3)
    rig.connection.resume_writing()
    rig.wire.server.send_ping(b"3")
    rig.wire.answer()
    await asyncio.sleep(0.05)
    pongs = [bytes(frame.data) for frame in rig.wire.frames() if frame.opcode is Opcode.PONG]
    assert pongs == [b"1", b"3"]
    await rig.end()


async def test_a_close_frame_is_answered_even_without_room() -> None:
    rig = await Rig().open()
    rig.connection.pause_writing()
    rig.wire.server.send_close(1001, "bye")
    rig.wire.answer()
    assert [frame.opcode for frame in rig.wire.frames()] == [Opcode.CLOSE]
    await asyncio.sleep(0)
    assert type(rig.lost[0]) is StreamRemoteClosed
    await rig.end()


async def test_a_flood_is_looked_at_in_pieces() -> None:
    rig = await Rig().open()
    rig.connection.data_received(b"\x81\x00" * 10_000)
    assert len(rig.heard) == module.PIECE // 2
    assert not rig.wire.reading
    await until(lambda: rig.wire.reading, timeout=10, what="the rest of the flood", every=0.01)
    assert len(rig.heard) == 10_000
    await rig.end()


async def test_long_messages_are_not_held_back_like_a_flood() -> None:
    rig = await Rig().open()
    rig.connection.data_received(b"\x82\x7e\xea\x60" + bytes(60_000))
    assert rig.heard == [(b"", True)]
    assert rig.wire.reading
    await rig.end()


async def test_messages_are_put_together_where_they_are_wanted() -> None:
    rig = await Rig(collect=1000).open()
    rig.connection.data_received(b"\x01\x02ab\x89\x00\x00\x02cd\x80\x01e\x82\x01f\x81\x00")
    assert rig.heard == [(b"abcde", False), (b"f", True), (b"", False)]
    rig.connection.data_received(b"\x01\x7e\x02\x00" + bytes(512) + b"\x80\x7e\x02\x00" + bytes(512))
    await asyncio.sleep(0)
    assert [error.twilio_code for error in rig.lost] == [31924], "the limit counts for the whole message"
    assert len(rig.heard) == 3
    await rig.end()


async def test_binary_messages() -> None:
    rig = await Rig().open()
    rig.connection.send([b"\x00"], binary=True)
    rig.connection.send([b"a"])
    assert [frame.opcode for frame in rig.wire.frames()] == [Opcode.BINARY, Opcode.TEXT]
    await rig.end()


async def test_a_close_frame_that_still_waits_when_the_connection_goes() -> None:
    rig = await Rig().open()
    rig.connection.data_received(b"\x81\x00" * 600 + b"\x88\x02\x03\xe9")
    rig.connection.connection_lost(None)
    await asyncio.sleep(0)
    assert type(rig.lost[0]) is StreamRemoteClosed


async def test_pings_go_out_regularly_but_not_into_a_full_buffer() -> None:
    rig = await Rig(ping_every=0.02).open()
    rig.wire.sock = FakeSocket(0, 0)
    await until(lambda: len(rig.wire.writes) >= 3, timeout=10, what="three pings", every=0.01)
    assert {frame.opcode for frame in rig.wire.frames()} == {Opcode.PING}
    rig.connection.pause_writing()
    count = len(rig.wire.writes)
    await asyncio.sleep(0.1)
    assert len(rig.wire.writes) == count
    assert rig.lost == []
    await rig.end()


async def test_without_pings_the_host_is_still_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PING_EVERY", 0.02)
    rig = await Rig(ping_every=None).open()
    rig.wire.sock = FakeSocket(3, 61_000)
    await until(lambda: bool(rig.lost), timeout=10, what="the end of a dead connection", every=0.01)
    assert rig.wire.writes == []
    assert rig.wire.aborted


class FakeSocket:
    """TCP_INFO as a test says."""

    def __init__(self, unacknowledged: int, milliseconds: int) -> None:
        self.unacknowledged = unacknowledged
        self.milliseconds = milliseconds

    def getsockopt(self, *_: int) -> bytes:
        words = [0, 0, 0, 0, 0, 0, self.unacknowledged, *[0] * 7, self.milliseconds]
        return b"".join(word.to_bytes(4, "little") for word in words)


@pytest.mark.parametrize(
    ("unacknowledged", "milliseconds", "dead"),
    [(0, 0, False), (3, 59_000, False), (3, 61_000, True), (0, 3_600_000, False)],
)
async def test_a_host_is_dead_when_tcp_says_so(unacknowledged: int, milliseconds: int, dead: bool) -> None:
    """Not when it is slow: with nothing on the way there is nothing to acknowledge."""
    rig = await Rig(ping_every=0.02).open()
    rig.wire.sock = FakeSocket(unacknowledged, milliseconds)
    await asyncio.sleep(0.1)
    assert bool(rig.lost) is dead
    if dead:
        assert str(rig.lost[0]) == "the consumer's host has acknowledged nothing for 60 seconds"
        assert type(rig.lost[0]) is StreamBroken
    await rig.end()


async def test_what_the_kernel_says_of_a_live_connection() -> None:
    """The layout of struct tcp_info is the one that we read."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as near,
    ):
        far, _ = listener.accept()
        with far:
            rig = await Rig().open()
            rig.wire.sock = near
            near.send(b"x")
            far.recv(1)
            await asyncio.sleep(0.05)
            assert rig.connection._silence() == 0.0
            info = near.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, module._LAST_ACK_RECEIVED.size)
            assert 20 <= module._LAST_ACK_RECEIVED.unpack(info)[1] < 60_000
            await rig.end()


async def test_a_reader_that_has_stopped_is_not_taken_for_dead() -> None:
    """Its window is shut and nothing is on the way: TCP's probes are answered by its kernel."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as near,
    ):
        far, _ = listener.accept()
        with far:
            near.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while near.send(bytes(65536)):
                    pass
            await asyncio.sleep(0.5)
            rig = await Rig().open()
            rig.wire.sock = near
            assert rig.connection._silence() == 0.0
            await rig.end()


async def test_the_messages_of_a_connection_that_is_closed_twice() -> None:
    rig = await Rig().open()
    await rig.connection.close(0.01)
    await rig.connection.close(0.01)
    assert [frame.opcode for frame in rig.wire.frames()] == [Opcode.CLOSE]
    assert rig.connection.unsent == 7
    await rig.connection.abort()
    await rig.connection.abort()
    assert rig.lost == []
