"""Servers as people write them for Twilio Media Streams, with the usual libraries, take forkproxy's calls."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.flows import connect, flow, fork_and_bridge, state
from tests.support.processes import Process, free_ports, until
from tests.support.proxy import Proxy
from tests.support.sip import Phone

SERVERS = Path(__file__).parents[2] / "examples/servers"
NODE = shutil.which("node")
NODE_MODULES = Path("/usr/share/nodejs")
"""Where Debian's node-ws is."""
GREETING, GOODBYE = b"\x90" * 160, b"\xa0" * 160
LOUD = b"\x10" * 160

pytestmark = pytest.mark.timeout(90)


def command(kind: str, port: int) -> list[str]:
    if kind == "fastapi":
        uvicorn = [sys.executable, "-m", "uvicorn", "--app-dir", str(SERVERS), "--port", str(port)]
        return [*uvicorn, "fastapi_bot:app"]
    return [str(NODE), str(SERVERS / "ws_bot.js")]


@asynccontextmanager
async def serving(kind: str, folder: Path) -> AsyncIterator[tuple[Process, str]]:
    """The server, and its URL without a path."""
    (port,) = free_ports(1)
    environment = {"PORT": str(port), "NODE_PATH": os.pathsep.join([str(NODE_MODULES)])}
    process = Process(kind, command(kind, port), folder, env=environment)
    try:
        await until(
            lambda: re.search("startup complete|listening on", process.out + process.err),
            timeout=30,
            what=lambda: f"the server {process.describe()}",
        )
        yield process, f"ws://127.0.0.1:{port}"
    finally:
        process.kill()


@pytest.mark.parametrize(
    "kind",
    [
        "fastapi",
        pytest.param(
            "ws",
            marks=pytest.mark.skipif(
                NODE is None or not (NODE_MODULES / "ws").exists(), reason="node-ws is not installed"
            ),
        ),
    ],
)
async def test_a_server_listens_to_a_call_and_a_bot_of_its_talks_is_interrupted_and_gets_its_marks(
    kind: str, tmp_path: Path
) -> None:
    async with serving(kind, tmp_path) as (server, url), Phone("alice") as alice, Phone("desk") as desk:
        bot = flow(
            "bot",
            state("bot", "connect-stream", {"stream_url": f"{url}/bot"}, ("streamEnded", "desk")),
            connect(desk.uri, name="desk"),
        )
        flows = {"1001": fork_and_bridge(f"{url}/listen", desk.uri)}
        config = {"streams": {"allow_ws": True}}
        async with Proxy(tmp_path / "proxy", bot, flows=flows, config=config) as proxy:
            where = f"{proxy.udp[0]}:{proxy.udp[1]}"

            call = await alice.call(f"sip:1001@{where}", proxy.udp)
            taken = await asyncio.wait_for(desk.incoming.get(), 10)
            await asyncio.gather(taken.accept(), call.answered())
            assert call.rtp is not None
            await call.rtp.play([LOUD] * 25)
            await call.hang_up()
            await taken.request("BYE")
            await until(lambda: "heard {" in server.out + server.err, timeout=10, what="what was heard")

            call = await alice.call(f"sip:bot@{where}", proxy.udp)
            await call.answered()
            rtp = call.rtp
            assert rtp is not None
            await until(
                lambda: sum(packet.payload == GREETING for packet in rtp.received) > 60,
                timeout=10,
                what="the greeting",
            )
            rtp.talk(LOUD * 50)
            taken = await asyncio.wait_for(desk.incoming.get(), 10)  # the bot has closed its stream
            await rtp.hush()
            await taken.accept()
            await call.hang_up()
            await taken.request("BYE")
            await proxy.idle()
            log = proxy.log
    said = server.out + server.err
    heard = json.loads(re.search(r"heard (\{.*\})", said)[1])  # type: ignore[index]
    assert heard["inbound"] == heard["outbound"] >= 25 * 160
    marks = json.loads(re.search(r"marks (\[.*\])", said)[1])  # type: ignore[index]
    assert marks == [*(f"greeting {number}" for number in range(20)), "goodbye"]
    greeted = sum(packet.payload == GREETING for packet in rtp.received)
    assert 60 < greeted < 20 * 50 - 250
    assert sum(packet.payload == GOODBYE for packet in rtp.received) >= 20
    assert "stream failed" not in log
    assert "is not as it should be" not in log
