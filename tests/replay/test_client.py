"""Replay against real servers: what they get, what is found when they misbehave, and the command."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from forkproxy.cli import main as forkproxy
from forkproxy.consumer import fixture
from forkproxy.consumer.checker import Checker
from forkproxy.consumer.session import sign
from forkproxy.demo import certificate
from forkproxy.replay import main as replay_main
from forkproxy.replay.client import Connection, play
from forkproxy.replay.player import Result
from forkproxy.replay.script import Faults, Script

FAST = Connection(speed=50, auth_token="12345")
SAMPLE = fixture.sample(2.0)
TALK = fixture.sample(2.0, bidirectional=True)
BOTH = Script(bidirectional=True)

Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def server(handler: Handler, **options: Any) -> AsyncIterator[str]:
    # an unbounded queue: at fifty times real time, a close frame must not wait behind a full one
    async with serve(handler, "127.0.0.1", 0, max_queue=None, **options) as running:
        scheme = "wss" if options.get("ssl") else "ws"
        yield f"{scheme}://127.0.0.1:{next(iter(running.sockets)).getsockname()[1]}/media?x=1"


async def listen(connection: ServerConnection) -> None:
    async for _ in connection:
        pass


def saying(*contents: str | bytes, after: str = "start", then: int | None = None) -> Handler:
    """A server that says these when an event has come; SID in them is the stream's."""

    async def handler(connection: ServerConnection) -> None:
        async for text in connection:
            message = json.loads(text)
            if message["event"] != after:
                continue
            for content in contents:
                if isinstance(content, str):
                    content = content.replace("SID", message["streamSid"])
                await connection.send(content)
            if then is not None:
                await connection.close(then, "enough")

    return handler


def hanging_up(*contents: str) -> Handler:
    """A server that says these, and goes when their last mark has come back."""

    async def handler(connection: ServerConnection) -> None:
        waiting = sum('"mark"' in content for content in contents)
        async for text in connection:
            message = json.loads(text)
            if message["event"] == "start":
                for content in contents:
                    await connection.send(content.replace("SID", message["streamSid"]))
            waiting -= message["event"] == "mark"
            if not waiting:
                await connection.close()

    return handler


async def played(handler: Handler, script: Script = BOTH, **options: Any) -> Result:
    async with server(handler, **options) as url:
        return await play(TALK, url, script=script, connection=FAST)


async def test_a_server_gets_what_forkproxy_sends() -> None:
    requests: list[Request] = []
    checker = Checker()

    async def handler(connection: ServerConnection) -> None:
        assert connection.request is not None
        requests.append(connection.request)
        async for content in connection:
            checker.message(content)
        checker.closed(connection.close_code)

    async with server(handler) as url:
        result = await play(SAMPLE, url, connection=FAST)
    assert result.passed, result.findings
    assert not checker.findings.kept
    assert checker.counts == {"connected": 1, "start": 1, "media": 200, "stop": 1}
    headers = requests[0].headers
    assert requests[0].path == "/media?x=1"
    assert headers["X-Twilio-Signature"] == sign("12345", url)
    assert headers["User-Agent"].startswith("forkproxy/")
    assert not {"Origin", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"} & set(headers)


async def test_it_keeps_the_pace_of_the_recording() -> None:
    clock = asyncio.get_running_loop().time
    async with server(listen) as url:
        began = clock()
        result = await play(SAMPLE, url, connection=Connection(speed=4))
    assert clock() - began >= SAMPLE.entries[-1].ms / 1000 / 4
    assert result.seconds >= SAMPLE.entries[-1].ms / 1000


@pytest.mark.parametrize(
    ("handler", "script", "finding"),
    [
        (saying(b"\0"), BOTH, ("31950", "a binary message of 1 octets")),
        (saying("{"), BOTH, ("31951", "is not JSON")),
        (saying('{"event":"clear","streamSid":"MZ1"}'), BOTH, ("31951", "streamSid is 'MZ1', not MZ")),
        (saying('{"event":"clear","streamSid":"SID","x":1}'), BOTH, ("31951", "x does not belong here")),
        (saying('{"event":"clear","streamSid":"SID"}'), Script(), ("31951", "a one-way stream takes no")),
        (saying(then=1011), BOTH, ("31921", "closed the WebSocket with 1011: enough")),
        (saying(then=1000), Script(), ("31921", "closed the WebSocket with 1000")),
    ],
)
async def test_a_server_that_breaks_the_contract(
    handler: Handler, script: Script, finding: tuple[str, str]
) -> None:
    result = await played(handler, script)
    assert dict(result.finding_counts) == {finding[0]: 1}
    assert finding[1] in result.findings[0].text


async def test_a_server_may_end_a_bidirectional_stream() -> None:
    result = await played(saying(then=1000))
    assert (result.passed, result.close_code) == (True, 1000)


async def test_a_server_that_hangs_up_without_a_word() -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.recv()
        connection.transport.abort()

    assert dict((await played(handler)).finding_counts) == {"31903": 1}


async def test_a_server_that_refuses_or_redirects_and_one_that_is_not_there() -> None:
    async def forbid(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(403, "no\n")

    result = await played(listen, process_request=forbid)
    assert [finding.rule for finding in result.findings] == ["31920"]
    assert "answered 403" in result.findings[0].text
    async with server(listen) as url:
        pass
    assert dict((await play(SAMPLE, url, connection=FAST)).finding_counts) == {"31902": 1}
    assert dict((await play(SAMPLE, "http://a", connection=FAST)).finding_counts) == {"31923": 1}


async def test_a_certificate_is_verified(tmp_path: Path) -> None:
    made = certificate.make(tmp_path)
    async with server(listen, ssl=made.server_context()) as url:
        assert dict((await play(SAMPLE, url, connection=FAST)).finding_counts) == {"31910": 1}
        trusting = Connection(speed=50, ca_file=made.authority)
        assert (await play(SAMPLE, url, connection=trusting)).passed


SPEECH = '{"event":"media","streamSid":"SID","media":{"payload":"' + "kJCQ" * 400 + '"}}'
"""150 ms."""
MARKS = ['{"event":"mark","streamSid":"SID","mark":{"name":"' + name + '"}}' for name in "ab"]


@pytest.mark.parametrize(("faults", "expected"), [(Faults(), "ab"), (Faults(duplicate_marks=True), "aabb")])
async def test_marks_come_back_to_the_server_in_order(faults: Faults, expected: str) -> None:
    heard: list[str] = []

    async def handler(connection: ServerConnection) -> None:
        async for text in connection:
            message = json.loads(text)
            if message["event"] == "start":
                for said in (SPEECH, MARKS[0], SPEECH, MARKS[1]):
                    await connection.send(said.replace("SID", message["streamSid"]))
            elif message["event"] == "mark":
                heard.append(message["mark"]["name"])

    result = await played(handler, Script(bidirectional=True, linger_ms=30_000, faults=faults))
    assert result.passed, result.findings
    assert "".join(heard) == expected
    assert result.marks == ("a", "b")
    assert [received.event for received in result.received] == ["media", "mark", "media", "mark"]
    assert result.heard.count(b"\x90") == 2400


async def test_a_cut_is_one_for_the_server() -> None:
    codes: list[int | None] = []

    async def handler(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await listen(connection)
        codes.append(connection.close_code)

    async with server(handler) as url:
        await play(SAMPLE, url, script=Script(faults=Faults(disconnect_ms=200)), connection=FAST)
    assert codes == [1006]


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "talk.jsonl"
    with open(path, "w") as file:
        fixture.save(TALK, file)
    return path


async def test_the_command_tells_what_the_server_did(tmp_path: Path, recorded: Path) -> None:
    transcript, heard = tmp_path / "said.jsonl", tmp_path / "heard.wav"
    arguments = [
        "--speed",
        "50",
        "--bidirectional",
        "--parameter",
        "a=b",
        "--header",
        "X-Who: me",
        "--linger",
        "60",
    ]
    files = ["--transcript", str(transcript), "--heard", str(heard)]
    async with server(hanging_up(SPEECH, SPEECH, MARKS[0])) as url:
        outcome = await asyncio.to_thread(
            CliRunner().invoke, forkproxy, ["replay", str(recorded), url, *arguments, *files]
        )
    assert outcome.exit_code == 0, outcome.output
    assert "2 media messages, 0.30 s of audio\n" in outcome.output
    assert "  mark a\n" in outcome.output
    assert outcome.output.endswith("the server kept the contract\n")
    with wave.open(str(heard)) as file:
        assert file.getnframes() >= 2400
    again = fixture.load(transcript)
    assert again.bidirectional
    assert [entry.by for entry in again.entries].count("server") == 4  # and its close
    start = next(e.message for e in again.entries if e.message and e.message["event"] == "start")
    assert start["start"]["customParameters"] == {"a": "b"}


async def test_the_command_fails_where_the_server_does(tmp_path: Path) -> None:
    out = io.StringIO()
    async with server(saying(*["?"] * 8)) as url:
        status = await asyncio.to_thread(replay_main.run, TALK, url, script=BOTH, connection=FAST, target=out)
    assert status == 1
    text = out.getvalue()
    assert text.count("not a message for forkproxy: '?'") == 5
    assert "  31951  8 times in all\n" in text
    assert text.endswith("the server BROKE the contract\n")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["a", "b", "c"], 2, "give a fixture and a URL, or a URL alone"),
        (["nowhere.jsonl", "ws://127.0.0.1:1"], 1, "nowhere.jsonl: #: cannot be read: No such file"),
        (["ws://127.0.0.1:1", "--parameter", "x"], 2, "'x' is not like NAME=VALUE"),
        (["wss://127.0.0.1:1", "--ca-file", "nowhere.pem"], 1, "nowhere.pem: no such file"),
        (["ws://127.0.0.1:1", "--transcript", "no/where"], 1, "no/where: no such file"),
    ],
)
def test_what_the_command_cannot_use(arguments: list[str], status: int, message: str) -> None:
    outcome = CliRunner().invoke(forkproxy, ["replay", *arguments])
    assert outcome.exit_code == status
    assert message in outcome.output


def test_a_library_that_finds_a_broken_frame_is_a_protocol_error() -> None:
    async def scene() -> Result:
        async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            from websockets.server import ServerProtocol

            core = ServerProtocol()
            core.receive_data(await reader.readuntil(b"\r\n\r\n"))
            (request,) = core.events_received()
            assert isinstance(request, Request)
            core.send_response(core.accept(request))
            writer.write(b"".join(core.data_to_send()) + b"\x09\x00")  # a fragmented ping
            writer.write_eof()
            await reader.read()
            writer.close()

        listening = await asyncio.start_server(broken, "127.0.0.1", 0)
        async with listening:
            port = listening.sockets[0].getsockname()[1]
            return await play(TALK, f"ws://127.0.0.1:{port}/", script=BOTH, connection=FAST)

    assert dict(asyncio.run(scene()).finding_counts) == {"31924": 1}
