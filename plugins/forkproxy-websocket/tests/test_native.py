"""The native half: the same octets as Python's, nothing lost on a full socket, and how it is without."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from pathlib import Path

import pytest
from forkproxy_websocket import _native, native
from forkproxy_websocket._native import Line, Outlet
from forkproxy_websocket.history import History, SharedHistory
from forkproxy_websocket.messages import Messages
from forkproxy_websocket.templates import Hole, Template
from forkproxy_websocket.transport import LineTransport
from hypothesis import given
from hypothesis import strategies as st
from websocket_consumers import Certificates, consumer
from websockets.frames import Frame as WireFrame
from websockets.server import ServerProtocol, State

import forkproxy.connectors as connectors_package
from forkproxy.connectors.sinks import Sink
from forkproxy.connectors.testing import CALL, frames
from forkproxy.media import MediaEngine
from forkproxy.model import FRAME_MS, Frame, Track

SID = "MZ" + "1" * 32
LIMIT = 4096


def messages(sid: str = SID) -> Messages:
    return Messages(account_sid=CALL.account_sid, call_sid=CALL.sid, stream_sid=sid)


def outlet(line: Line, *templates: Template, history: SharedHistory | None = None) -> Outlet:
    both = templates or [messages().template(track) for track in Track]
    inbound, outbound = [(list(each.pieces), list(each.holes)) for each in both]
    return Outlet(line, inbound, outbound, FRAME_MS, None if history is None else history.core)


def unframed(octets: bytes) -> list[bytes]:
    """The text messages in what a client sent, as the `websockets` library reads them."""
    server = ServerProtocol(state=State.OPEN, max_size=None)
    server.receive_data(octets)
    events = server.events_received()
    assert server.parser_exc is None
    return [bytes(event.data) for event in events if isinstance(event, WireFrame)]


def nowhere() -> Line:
    return Line(-1, None, "", True, LIMIT)


class Sockets:
    """Two connected sockets with little room, and a line on one of them."""

    def __enter__(self) -> Sockets:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.far.setblocking(False)
        self.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.line = Line(self.near.fileno(), None, "", True, LIMIT)
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()
        self.near.close()
        self.far.close()

    def received(self) -> bytes:
        octets = b""
        while True:
            try:
                octets += self.far.recv(65536)
            except BlockingIOError:
                return octets


@given(
    st.lists(
        st.builds(
            Frame, st.sampled_from(Track), st.integers(0, 2**40), st.integers(0, 31), st.binary(max_size=400)
        )
    ),
    st.integers(0, 2**40),
)
def test_messages_are_those_of_python(batch: list[Frame], last: int) -> None:
    python = messages()
    made = outlet(nowhere())
    python.sequence_number = made.sequence = last
    assert unframed(made.messages(batch)) == [python.media(each) for each in batch]
    assert made.sequence == python.sequence_number


TEXT = st.binary(max_size=60).map(lambda text: text.replace(b"%", b""))


@given(st.lists(st.tuples(st.sampled_from(Hole), TEXT), max_size=8), TEXT, st.binary(max_size=200))
def test_any_template_is_filled_as_it_says(
    parts: list[tuple[Hole, bytes]], end: bytes, payload: bytes
) -> None:
    """Of every length, that of small frames too, whose header is shorter."""
    template = Template((*(text for _, text in parts), end), tuple(hole for hole, _ in parts))
    made = outlet(nowhere(), template, template)
    octets = made.messages([Frame(Track.INBOUND, 7, 1, payload)])
    assert unframed(octets) == [template.fill(1, 7, payload)]


def test_a_template_that_has_the_audio_more_than_once() -> None:
    template = Template((b"x",) * 9, (Hole.PAYLOAD,) * 8)
    made = outlet(nowhere(), template, template)
    batch = [Frame(Track.INBOUND, number, 1, bytes(4000)) for number in range(50)]
    octets = made.messages(batch)
    assert unframed(octets) == [template.fill(each.number, each.number, each.payload) for each in batch]


def test_keys_are_never_the_same() -> None:
    made = outlet(nowhere())
    octets = made.messages(frames(500))
    size = len(made.messages(frames(1, start=500)[:1]))
    assert len({octets[at + 4 : at + 8] for at in range(0, len(octets), size)}) > 100


def test_templates_that_are_none() -> None:
    with pytest.raises(ValueError, match="other holes"):
        Template.of(b"%d %b", (Hole.CHUNK,))
    long = Template((b"x" * 3000,), ())
    with pytest.raises(ValueError, match="too much text"):
        outlet(nowhere(), long, long)
    with pytest.raises(ValueError, match="too long"):
        outlet(nowhere()).messages([Frame(Track.INBOUND, 0, 1, bytes(5000))])


def test_both_messages_of_a_moment_in_one_write() -> None:
    with Sockets() as pair:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # which keeps writes apart
        with near, far:
            line = Line(near.fileno(), None, "", True, LIMIT)
            assert Sink(outlet(line).capsule).write(frames(1))
            python = messages()
            assert unframed(far.recv(65536)) == [python.media(each) for each in frames(1)]
            line.close()
        assert pair.line.pending == 0


def test_a_socket_without_room_loses_nothing_and_refuses_in_time() -> None:
    with Sockets() as pair:
        made = outlet(pair.line)
        sink = Sink(made.capsule)
        number = 0
        while sink.write(frames(1, start=number)):
            number += 1
        assert LIMIT < pair.line.pending < LIMIT + 1024
        assert not sink.write(frames(1, start=number)), "it stays full"
        assert pair.line.write(b"") == pair.line.pending, "Python may still send: a close frame, a pong"
        octets = b""
        while pair.line.write(b""):
            octets += pair.received()
        octets += pair.received()
        assert sink.write(frames(1, start=number))
        octets += pair.received()
        python = messages()
        assert unframed(octets) == [python.media(each) for each in frames(number + 1)]
        assert made.sequence == 2 * (number + 1)


def test_python_and_the_sink_take_turns() -> None:
    with Sockets() as pair:
        made = outlet(pair.line)
        sink = Sink(made.capsule)
        octets = b""
        for number in range(200):
            if number % 3:
                assert sink.write(frames(1, start=number))
            else:
                pair.line.write(made.messages(frames(1, start=number)))
                made.expected = number + 1
            if number % 2 or pair.line.pending > LIMIT:
                octets += pair.received()
                pair.line.write(b"")
        while pair.line.write(b""):
            octets += pair.received()
        octets += pair.received()
        assert unframed(octets) == list(map(messages().media, frames(200)))


def test_a_hole_in_the_audio_is_for_python_to_tell() -> None:
    with Sockets() as pair:
        made = outlet(pair.line)
        sink = Sink(made.capsule)
        assert sink.write(frames(1))
        assert not sink.write(frames(1, start=3))
        assert (made.expected, made.sequence) == (1, 2)
        made.expected = 3
        assert sink.write(frames(1, start=3))
        assert made.expected == 4


def test_what_waits_has_an_age() -> None:
    with Sockets() as pair:
        assert pair.line.backlog() == (0, 0.0)
        pair.line.write(bytes(100_000))
        octets, first = pair.line.backlog()
        assert octets == pair.line.pending > 0
        pair.line.write(bytes(100_000))
        assert pair.line.backlog()[1] > first > 0, "the oldest counts"
        while pair.line.write(b""):
            pair.received()
        assert pair.line.backlog() == (0, 0.0)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(1, 70)),
            st.tuples(st.just("skip"), st.integers(1, 5)),
            st.tuples(st.just("confirm"), st.integers(0, 400)),
        ),
        max_size=40,
    ),
    st.integers(0, 200),
)
def test_what_is_sent_again_is_what_python_would(steps: list[tuple[str, int]], moments: int) -> None:
    """Added by the sink or by Python, in turns: the same frames are kept."""
    seconds = moments * FRAME_MS / 1000 + 0.001
    python, shared = History(seconds), SharedHistory(seconds)
    with Sockets() as pair:
        made = outlet(pair.line, history=shared)
        sink = Sink(made.capsule)
        number = 0
        for step, count in steps:
            if step == "add":
                for at in range(number, number + count):
                    moment = frames(1, start=at)
                    python.add(moment)
                    made.expected = at
                    if at % 2 or not sink.write(moment):
                        shared.add(moment)
                number += count
            elif step == "skip":
                number += count
            else:
                python.confirm(count)
                shared.confirm(count)
            assert (shared.first, shared.next, len(shared)) == (python.first, python.next, len(python))
            pair.received()
        assert shared.unconfirmed() == python.unconfirmed()


def test_a_line_that_is_sealed_or_closed_takes_no_media() -> None:
    with Sockets() as pair:
        sink = Sink(outlet(pair.line).capsule)
        assert sink.write(frames(1))
        pair.line.seal()
        assert not sink.write(frames(1, start=1))
        assert pair.line.write(b"bye") == 0
        assert pair.received().endswith(b"bye")
    assert not sink.write(frames(1, start=2))
    assert pair.line.read() == b""


def test_a_broken_line_says_so_whoever_met_it_first() -> None:
    with Sockets() as pair:
        sink = Sink(outlet(pair.line).capsule)
        pair.far.close()
        sink.write(frames(1))
        assert not sink.write(frames(1, start=1))
        with pytest.raises(BrokenPipeError):
            pair.line.write(b"x")
        with pytest.raises(BrokenPipeError):
            pair.line.read()


def test_the_capsule_keeps_what_it_points_to() -> None:
    with Sockets() as pair:
        sink = Sink(outlet(pair.line).capsule)  # nobody else holds the outlet
        assert sink.write(frames(1))
        assert len(unframed(pair.received())) == 2


async def test_a_call_to_a_consumer_without_python_in_between(certificates: Certificates, connectors) -> None:
    """The relay's own threads, TLS, a real server: every frame is there, once, and in order."""
    engine = MediaEngine(ports=(44000, 44999))
    engine.start()
    leg = engine.open_leg()
    try:
        async with consumer(certificates.good) as server:
            async with connectors.running(server.url, settings={"sender": "native"}) as run:
                tap = leg.tap(run.runner.feed)
                run.runner.draw_from(tap)
                assert await run.created()
                await server.heard(60)
                leg.mask()
                await server.heard(90)
                assert run.runner.backlog()[0] == 0
                assert tap.close().frames >= 44
            figures = run.figures
            assert run.error is None
        assert tap.sent > 60, "native code has sent most of it"
        media = [message for message in server.messages if message["event"] == "media"]
        assert figures.fed == figures.handed_over == len(media)
        numbers = [message["sequenceNumber"] for message in server.messages[1:]]
        assert numbers == [str(n) for n in range(1, len(media) + 3)]
        chunks = [(each["media"]["chunk"], each["media"]["track"]) for each in media]
        assert chunks == [(str(n // 2 + 1), ("inbound", "outbound")[n % 2]) for n in range(len(media))]
        assert server.close_codes == [1000]
    finally:
        leg.close()
        engine.close()


async def test_without_native_code_python_sends(
    certificates: Certificates, connectors, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(native, "_why", "libssl.so.3: cannot open shared object file")
    monkeypatch.setattr(native, "_told", False)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            async with (
                consumer(certificates.good) as server,
                connectors.running(server.url, settings={"sender": "native"}) as run,
            ):
                assert await run.created()
                run.feed(frames(3))
                await server.heard(8)
            assert run.tap.sent == 0
    assert caplog.text.count("libssl.so.3: cannot open shared object file") == 1


async def test_the_setting_chooses(certificates: Certificates, connectors) -> None:
    for sender, sent in (("python", 0), ("native", 10)):
        async with (
            consumer(certificates.good) as server,
            connectors.running(server.url, settings={"sender": sender}) as run,
        ):
            assert await run.created()
            await asyncio.sleep(0)
            run.feed(frames(5))
            await server.heard(12)
        assert run.tap.sent == sent
        assert run.figures.handed_over == run.figures.fed == 10


@pytest.mark.parametrize("sender", ["native", "python"])
async def test_addresses_are_verified_as_addresses(
    certificates: Certificates, connectors, sender: str
) -> None:
    settings = {"sender": sender}
    async with (
        consumer(certificates.good) as server,
        connectors.running(server.url.replace("localhost", "127.0.0.1"), settings=settings) as run,
    ):
        assert await run.created()
    async with (
        consumer(certificates.wrong_name) as server,
        connectors.running(server.url.replace("localhost", "127.0.0.1"), settings=settings) as run,
    ):
        assert not await run.created()
    words = "the certificate was refused: IP address mismatch, certificate is not valid for '127.0.0.1'."
    assert words in str(run.error)


def test_tls_has_what_pythons_has(tmp_path: Path) -> None:
    context = ssl.create_default_context()
    assert isinstance(native.tls_of(context), _native.Tls)
    with pytest.raises(ssl.SSLError):
        native.tls_of(context, tmp_path / "none.pem")


async def test_a_certificate_of_ours(certificates: Certificates, tmp_path: Path) -> None:
    from forkproxy_websocket.transport import attach

    ours = certificates.authority.issue_cert("client.example")
    own = tmp_path / "own.pem"
    ours.private_key_and_cert_chain_pem.write_to_path(str(own))
    context = ssl.create_default_context(cafile=certificates.ca_file)
    seen: list[object] = []
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("ssl_object").getpeercert()["subjectAltName"])
        writer.write(await reader.readexactly(5))
        await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        ended.set()

    class Echo(asyncio.Protocol):
        def __init__(self) -> None:
            self.heard = b""
            self.over = asyncio.get_running_loop().create_future()

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, LineTransport)
            transport.write(b"hello")

        def data_received(self, data: bytes) -> None:
            self.heard += data

        def connection_lost(self, error: Exception | None) -> None:
            self.over.set_result(error)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=certificates.wants_one_too)
    async with server:
        sock = socket.create_connection(server.sockets[0].getsockname())
        sock.setblocking(False)
        echo = await attach(sock, Echo, native.tls_of(context, own, own), "localhost", limit=LIMIT)
        assert await echo.over is None
        await ended.wait()
    assert echo.heard == b"hello"
    assert seen == [(("DNS", "client.example"),)]


def test_the_header_is_forkproxys() -> None:
    ours = Path(__file__).parents[1] / "ext" / "sink.h"
    assert ours.read_bytes() == (Path(connectors_package.__file__).parent / "sink.h").read_bytes()
