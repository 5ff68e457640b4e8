from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from forkproxy.bridge import prompts
from forkproxy.bridge.prompts import Prompts
from forkproxy.errors import MediaError


def wav(audio: bytes) -> bytes:
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 7, 1, 8000, 8000, 1, 8)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(audio)) + audio
    return struct.pack("<4sI", b"RIFF", len(body)) + body


@pytest.fixture
async def loader() -> AsyncIterator[Prompts]:
    loader = Prompts("forkproxy/test")
    yield loader
    await loader.close()


@pytest.fixture
async def server() -> AsyncIterator[tuple[str, list[str]]]:
    """A web server with a prompt, and the User-Agents that asked."""
    agents: list[str] = []

    async def hello(request: web.Request) -> web.Response:
        agents.append(request.headers["User-Agent"])
        return web.Response(body=wav(b"hello"))

    async def text(request: web.Request) -> web.Response:
        return web.Response(text="<html>")

    application = web.Application()
    application.add_routes([web.get("/hello.wav", hello), web.get("/page", text)])
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", agents
    await runner.cleanup()


async def test_files_are_found_beside_the_flow_and_read_again_when_they_change(
    loader: Prompts, tmp_path: Path
) -> None:
    file = tmp_path / "a b.wav"
    file.write_bytes(wav(b"one"))
    assert await loader.load("a b.wav", tmp_path) == b"one"
    assert await loader.load(file.as_uri(), Path("/")) == b"one"
    file.write_bytes(wav(b"second"))
    assert await loader.load("a b.wav", tmp_path) == b"second"


async def test_prompts_are_fetched(loader: Prompts, server: tuple[str, list[str]]) -> None:
    base, agents = server
    assert await loader.load(f"{base}/hello.wav", Path()) == b"hello"
    assert agents == ["forkproxy/test"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("{base}/nowhere.wav", "the server answered 404"),
        ("{base}/page", "not a WAV file"),
        ("http://127.0.0.1:9/x.wav", "cannot play http://127.0.0.1:9/x.wav"),
        ("http://[/x.wav", "cannot play .*Invalid IPv6"),
        ("ftp://127.0.0.1/x.wav", "http, https and file"),
        ("nowhere.wav", "No such file"),
        (".", "Is a directory|No such file"),
    ],
)
async def test_what_cannot_be_played_says_why(
    loader: Prompts, server: tuple[str, list[str]], tmp_path: Path, url: str, message: str
) -> None:
    with pytest.raises(MediaError, match=message):
        await loader.load(url.format(base=server[0]), tmp_path)


async def test_a_prompt_is_bounded(
    loader: Prompts, server: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts, "LARGEST", 16)
    (tmp_path / "big.wav").write_bytes(wav(b"x" * 16))
    for url in (f"{server[0]}/hello.wav", "big.wav"):
        with pytest.raises(MediaError, match="16"):
            await loader.load(url, tmp_path)
