"""Somebody from elsewhere: scanners that find nothing, and a flood that nobody on the phone hears."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.elsewhere import Elsewhere, elsewhere, needs_elsewhere
from tests.support.flows import bridge
from tests.support.processes import Process, needs
from tests.support.proxy import Proxy
from tests.support.sip import Phone
from tests.support.talk import conversation

RATE, SECONDS = 5000, 3
FLOOD = f"""
import socket, sys, time
host, port, source = sys.argv[1], int(sys.argv[2]), sys.argv[3]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
began = time.monotonic()
for n in range({RATE * SECONDS}):
    s.sendto((f"INVITE sip:{{n}}@{{host}} SIP/2.0\\r\\n"
              f"Via: SIP/2.0/UDP {{source}}:9;branch=z9hG4bK{{n}}\\r\\n"
              f"From: <sip:x@{{source}}>;tag={{n}}\\r\\nTo: <sip:{{n}}@{{host}}>\\r\\nCall-ID: {{n}}\\r\\n"
              f"CSeq: 1 INVITE\\r\\nContact: <sip:x@{{source}}>\\r\\nMax-Forwards: 70\\r\\n"
              "Content-Length: 0\\r\\n\\r\\n").encode(), (host, port))
    ahead = began + n / {RATE} - time.monotonic()
    if ahead > 0.002:
        time.sleep(ahead)
"""


@pytest.fixture
def stranger() -> Iterator[Elsewhere]:
    with elsewhere() as made:
        yield made


@asynccontextmanager
async def attacked(
    stranger: Elsewhere, folder: Path, **sip: object
) -> AsyncIterator[tuple[Proxy, int, Phone, Phone]]:
    """A proxy that is heard on the cable, too, the port there, and two phones here."""
    listen = ["udp://127.0.0.1:0", "tcp://127.0.0.1:0", f"udp://{stranger.here}:0"]
    config = {"sip": {"listen": listen, **sip}, "log": {"level": "warning"}}
    async with (
        Phone("alice") as alice,
        Phone("bob") as bob,
        Proxy(folder / "proxy", bridge(bob.uri), config=config) as proxy,
    ):
        heard = next(each for each in proxy.listening if stranger.here in each)
        yield proxy, int(heard.rpartition(":")[2]), alice, bob


@needs_elsewhere()
@pytest.mark.parametrize("banning", [True, False], ids=["banned", "each one read"])
async def test_a_flood_of_invites_is_not_heard_on_the_phone(
    stranger: Elsewhere, tmp_path: Path, banning: bool
) -> None:
    limits = {} if banning else {"ban_after": None, "source_rate": None}
    async with attacked(stranger, tmp_path, **limits) as (proxy, port, alice, bob):
        async with conversation(proxy, alice, bob) as talking:
            command = stranger.command(sys.executable, "-c", FLOOD, stranger.here, port, stranger.there)
            flood = Process("flood", command, tmp_path)
            assert await flood.exited(60) == 0
            await talking.hush()
            assert talking.interruptions() == []
            await talking.alice.hang_up()
            await talking.bob.request("BYE")
        await proxy.idle()
        figures = await proxy.metrics()
        assert figures["forkproxy_sip_calls_in_total"] == 1
        assert figures["forkproxy_sip_bans_total"] == banning
        if banning:
            assert figures["forkproxy_sip_refused_unknown_total"] == 20
            assert figures["forkproxy_sip_dropped_banned_total"] > RATE
            (source,) = json.loads((await proxy.get("/refusals"))[1])["sources"]
            assert source["source"] == stranger.there
            assert source["refused"] == {"unknown": 20}
        else:
            assert figures["forkproxy_sip_refused_unknown_total"] > RATE


@needs_elsewhere()
@needs("svmap", "svwar", "svcrack")
async def test_sipvicious_finds_nothing_and_is_banned(stranger: Elsewhere, tmp_path: Path) -> None:
    async with attacked(stranger, tmp_path) as (proxy, port, alice, bob):
        said = ""
        for number, program in enumerate(
            (
                ("svwar", "-m", "INVITE", "-e", "100-130"),
                ("svcrack", "-u", "100", "-r", "1-20"),
                ("svmap",),
            )
        ):
            target = (
                [f"{stranger.here}:{port}"] if program[0] == "svmap" else ["-p", str(port), stranger.here]
            )
            folder = tmp_path / str(number)
            folder.mkdir()
            scan = Process(program[0], stranger.command(*program, *target), folder)
            await scan.exited(60)
            said += scan.out + scan.err
        figures = await proxy.metrics()
        assert figures["forkproxy_sip_bans_total"] == 1
        assert figures["forkproxy_sip_dropped_banned_total"] > 0
        assert figures["forkproxy_sip_calls_in_total"] == 0
        assert "reqauth" not in said
        assert "The password" not in said
        async with conversation(proxy, alice, bob) as talking:  # and calls go on
            await talking.hush()
            await talking.alice.hang_up()
            await talking.bob.request("BYE")
