"""The consumer with real WebSocket clients: what is kept of a stream, what is said of it, and answers."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import ssl
import wave
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from forkproxy.consumer import fixture
from forkproxy.consumer import main as consumer_main
from forkproxy.consumer.answers import Echo, Recording
from forkproxy.consumer.main import Options, serve
from forkproxy.consumer.screen import Screen, summary_lines
from forkproxy.consumer.server import ConsumerError, Listen, Server
from forkproxy.consumer.session import Settings, Summary
from forkproxy.replay.client import Connection, play
from forkproxy.replay.script import Faults, Script

WS = Listen.parse("ws://127.0.0.1:0")
FAST = Connection(speed=50, auth_token="12345")
TWO_SECONDS = fixture.sample(2.0)


async def one(server: Server, script: Script | None = None, connection: Connection = FAST) -> Summary:
    await play(TWO_SECONDS, server.urls[0] + "media", script=script, connection=connection)
    await asyncio.wait_for(server.wait_ended(1), 10)
    return server.ended[0]


async def test_a_stream_is_kept_and_found_good(tmp_path: Path) -> None:
    settings = Settings(tmp_path, auth_token="12345")
    async with Server([WS], settings=settings) as server:
        summary = await one(server, Script(keep_sids=True, parameters={"language": "de"}))
    assert summary.passed, summary.findings
    assert summary.frames == {"inbound": 100, "outbound": 100}
    assert summary.parameters == {"language": "de"}
    assert (summary.path, summary.close_code, summary.gap_count) == ("/media", 1000, 0)
    folder = tmp_path / summary.stream_sid
    assert {path.name for path in summary.files} == {"inbound.wav", "outbound.wav", "transcript.jsonl"}
    with wave.open(str(folder / "inbound.wav")) as file:
        assert file.getnframes() == 16000
    kept = fixture.load(folder / "transcript.jsonl")
    assert [e.message for e in kept.entries if e.message and e.message["event"] == "media"] == [
        e.message for e in TWO_SECONDS.entries if e.message and e.message["event"] == "media"
    ]
    assert kept.entries[-1].close == 1000
    assert "x-twilio-signature" not in (folder / "transcript.jsonl").read_text().lower()


async def test_a_wrong_signature_and_a_missing_one_are_found() -> None:
    async with Server([WS], settings=Settings(auth_token="other")) as server:
        summary = await one(server)
        assert dict(summary.finding_counts) == {"signature": 1}
        async with connect(server.urls[0]) as client:
            await client.send("{}")
        await asyncio.wait_for(server.wait_ended(2), 10)
    texts = [finding.text for finding in server.ended[1].findings if finding.rule == "signature"]
    assert texts == ["the handshake has no X-Twilio-Signature"]


async def test_the_signed_url_can_be_said_where_a_proxy_changes_it() -> None:
    settings = Settings(auth_token="12345", url="wss://outside.example/media")
    async with Server([WS], settings=settings) as server:
        assert dict((await one(server)).finding_counts) == {"signature": 1}


async def test_what_was_lost_is_told_as_gaps() -> None:
    async with Server([WS]) as server:
        summary = await one(server, Script(faults=Faults(loss=0.1), seed=3))
    assert summary.passed
    assert summary.gap_count > 5
    assert sum(summary.frames.values()) < 200
    assert any("gaps: " in line for line in summary_lines(summary))


async def test_a_stream_that_is_cut_is_found_and_kept(tmp_path: Path) -> None:
    async with Server([WS], settings=Settings(tmp_path, stereo=True)) as server:
        summary = await one(server, Script(faults=Faults(disconnect_ms=500)))
    assert dict(summary.finding_counts) == {"end": 1}
    with wave.open(str(tmp_path / summary.stream_sid / "stereo.wav")) as file:
        assert (file.getnchannels(), file.getnframes()) == (2, 24 * 160)


async def test_an_echo_comes_back_with_its_marks() -> None:
    async with Server([WS], make_answer=Echo) as server:
        caller = fixture.sample(2.0, bidirectional=True)
        script = Script(bidirectional=True, linger_ms=10_000)
        result = await play(caller, server.urls[0], script=script, connection=Connection(speed=8))
        await asyncio.wait_for(server.wait_ended(1), 10)
    assert result.passed, result.findings
    assert result.marks[:2] == ("echo-1", "echo-2")
    assert server.ended[0].passed, server.ended[0].findings
    assert server.ended[0].marks == result.marks


async def test_a_recording_is_interrupted_and_ends_the_stream() -> None:
    audio = b"\x90" * 8000 * 20
    async with Server(
        [WS], settings=Settings(hang_up=True), make_answer=lambda: Recording(audio, barge_in=True)
    ) as server:
        caller = fixture.sample(4.0, bidirectional=True)
        script = Script(bidirectional=True, linger_ms=60_000)  # which the server does not wait for
        result = await play(caller, server.urls[0], script=script, connection=Connection(speed=8))
        await asyncio.wait_for(server.wait_ended(1), 10)
    assert result.passed, result.findings
    assert (result.cleared, result.close_code) == (1, 1000)
    assert result.marks[-1] == "end"
    assert len(result.marks) == 20
    assert 0 < len(result.heard) < len(audio)
    assert server.ended[0].passed, server.ended[0].findings


async def test_hostile_starts_leave_the_folder_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with Server([WS], settings=Settings(out)) as server, connect(server.urls[0]) as client:
        await client.send('{"event":"connected","protocol":"Call","version":"1.0.0"}')
        start = json.dumps([e.message for e in TWO_SECONDS.entries][1]).replace(
            "MZ" + "0" * 31 + "1", "../../x"
        )
        await client.send(start)
        await client.close()
        await asyncio.wait_for(server.wait_ended(1), 10)
    assert os.listdir(tmp_path) == []


async def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConsumerError, match=rf"cannot listen on 127\.0\.0\.1:{port}: "):
            async with Server([WS, Listen(False, "127.0.0.1", port)]):
                pass


@pytest.mark.parametrize("text", ["", "127.0.0.1:80", "http://a", "ws://", "ws://a/path", "ws://a:b"])
def test_what_cannot_be_listened_on(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Listen.parse(text)


def test_listen_knows_its_names_and_url() -> None:
    assert Listen.parse("wss://0.0.0.0:1").names == ["127.0.0.1", "localhost"]
    assert Listen.parse("ws://[::1]").url(5) == "ws://[::1]:5/"
    assert Listen.parse("wss://media.example").port == 8765


# The commands


async def ready(screen: io.StringIO) -> str:
    while "ready" not in screen.getvalue():
        await asyncio.sleep(0.01)
    return screen.getvalue().split("ready ")[1].split()[0]


async def test_consume_over_tls_by_a_certificate_of_its_own(tmp_path: Path) -> None:
    screen = io.StringIO()
    options = Options([Listen.parse("wss://127.0.0.1:0")], Settings(tmp_path, auth_token="12345"), streams=1)
    task = asyncio.create_task(serve(options, screen))
    url = await asyncio.wait_for(ready(screen), 10)
    connection = Connection(speed=50, auth_token="12345", ca_file=tmp_path / "certificate.pem")
    assert (await play(TWO_SECONDS, url, connection=connection)).passed
    assert await asyncio.wait_for(task, 10) == 0
    assert not (tmp_path / "key.pem").exists()
    assert "as Twilio Media Streams promises" in screen.getvalue()
    assert screen.getvalue().endswith("1 stream, none with findings\n")


async def test_consume_with_a_certificate_that_is_given(tmp_path: Path) -> None:
    from forkproxy.demo import certificate

    made = certificate.make(tmp_path)
    screen = io.StringIO()
    options = Options(
        [Listen.parse("wss://127.0.0.1:0")],
        Settings(),
        chain=made.chain,
        key=made.key,
        streams=1,
        answer="echo",
    )
    task = asyncio.create_task(serve(options, screen))
    url = await asyncio.wait_for(ready(screen), 10)
    trust = ssl.create_default_context(cafile=str(made.authority))
    async with connect(url, ssl=trust) as client:
        await client.send(b"\0")
    assert await asyncio.wait_for(task, 10) == 1
    assert "NOT as Twilio Media Streams promises: 2 findings" in screen.getvalue()


def test_record_is_consume_of_one_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Options] = []

    def run(options: Options, target: object) -> int:
        seen.append(options)
        return 0

    monkeypatch.setattr(consumer_main, "run", run)
    path = tmp_path / "new" / "stream.jsonl"
    assert consumer_main.record(path, Options([WS], Settings())) == 0
    assert (seen[0].streams, seen[0].settings.fixture) == (1, path)
    with pytest.raises(ConsumerError, match=f"{tmp_path}: Is a directory"):
        consumer_main.record(tmp_path, Options([WS], Settings()))


async def test_the_first_stream_is_recorded_so_that_replay_can_play_it(tmp_path: Path) -> None:
    path = tmp_path / "stream.jsonl"
    async with Server([WS], settings=Settings(fixture=path)) as server:
        await one(server)
        recorded = fixture.load(path)
        assert (await play(recorded, server.urls[0], connection=FAST)).passed
        await asyncio.wait_for(server.wait_ended(2), 10)
    assert fixture.load(path) == recorded
    assert server.ended[1].passed
    assert server.ended[1].frames == {"inbound": 100, "outbound": 100}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"answer": "nowhere.wav"}, "nowhere.wav: No such file"),
        ({"answer": __file__}, "test_server.py: this is not a WAV file"),
        ({"chain": Path("nowhere.pem")}, "nowhere.pem cannot be used as certificate and key"),
    ],
)
async def test_what_consume_cannot_use(options: dict[str, object], message: str, tmp_path: Path) -> None:
    made = Options([Listen.parse("wss://127.0.0.1:0")], Settings(tmp_path), **options)  # type: ignore[arg-type]
    with pytest.raises(ConsumerError, match=message):
        await serve(made, io.StringIO())


class Terminal(io.StringIO):
    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


async def test_meters_move_in_a_terminal_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    moving, still = Terminal(), io.StringIO()
    async with Server([WS]) as server, connect(server.urls[0]) as client:
        for entry in TWO_SECONDS.entries[:40]:
            await client.send(entry.content or "")
        await client.send("wrong")
        while sum(server.sessions[1].checker.counts.values()) < 41:
            await asyncio.sleep(0.01)
        screen = Screen(moving)
        for _ in range(3):
            screen.meters(list(server.sessions.values()), server.sessions[1].began + 1.5)
        Screen(still).meters(list(server.sessions.values()), 0)
    lines = moving.getvalue().split("\x1b[1F\x1b[J")
    assert len(lines) == 3
    assert "1.5 s  inbound" in lines[0]
    assert "     19  outbound" in lines[0]
    assert "1 finding\x1b[0m" in lines[0]
    assert still.getvalue() == ""
