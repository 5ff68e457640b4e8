"""A phone presses keys, and the flow goes where they lead; the whole program, with real packets."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from tests.interop.test_prompts import mulaw_wav
from tests.support.flows import connect, flow, state
from tests.support.proxy import Proxy
from tests.support.sip import Phone

CODE = "739154"


def menu(desk: str, other: str, nobody: str) -> dict[str, Any]:
    """Ask for six keys: the code leads to `desk`, other keys to `other`, none to `nobody`."""
    gather = {
        "play": "menu.wav",
        "loop": 1,
        "timeout": 1,
        "number_of_digits": 6,
        "stop_gather": True,
        "finish_on_key": "#",
        "speech_timeout": "auto",
        "gather_language": "en",
    }
    right = {
        "friendly_name": "the code",
        "arguments": ["{{widgets.ask.Digits}}"],
        "type": "equal_to",
        "value": CODE,
    }
    decide = state("decide", "split-based-on", {"input": "{{widgets.ask.Digits}}"}, ("noMatch", "other"))
    decide["transitions"].append({"event": "match", "next": "desk", "conditions": [right]})
    return flow(
        "ask",
        state(
            "ask",
            "gather-input-on-call",
            gather,
            ("keypress", "decide"),
            ("speech", None),
            ("timeout", "none"),
        ),
        decide,
        connect(desk, name="desk"),
        connect(other, name="other"),
        connect(nobody, name="none"),
    )


@pytest.mark.parametrize(
    ("pressed", "reached", "seconds"),
    [(CODE, 0, 20), ("*1#", 1, 20), ("", 2, 1)],
    ids=["code", "other", "none"],
)
async def test_the_flow_branches_by_the_keys(
    tmp_path: Path, pressed: str, reached: int, seconds: int
) -> None:
    prompt = random.Random(3).randbytes(8000 * seconds)
    folder = tmp_path / "proxy"
    folder.mkdir()
    (folder / "menu.wav").write_bytes(mulaw_wav(prompt))
    async with Phone("alice") as alice, Phone("desk") as desk, Phone("other") as other, Phone("none") as none:
        callees = (desk, other, none)
        async with Proxy(folder, menu(*(phone.uri for phone in callees))) as proxy:
            before = await proxy.held()
            call = await alice.call(f"sip:menu@{proxy.udp[0]}:{proxy.udp[1]}", proxy.udp)
            await call.answered()
            assert call.rtp is not None
            async with asyncio.timeout(10):
                while not call.rtp.received:  # the prompt has begun
                    await asyncio.sleep(0.01)
            await call.rtp.press(pressed)
            taken = await asyncio.wait_for(callees[reached].incoming.get(), 10)
            heard = b"".join(packet.payload for packet in call.rtp.received)
            assert (prompt in heard) == (not pressed)
            await taken.accept()
            await call.hang_up()
            await taken.request("BYE")
            await proxy.idle()
            assert await proxy.held() == before
            ended = await proxy.logged("call ended after")
            assert f"keys={len(pressed)}" in ended
            assert CODE not in proxy.log
    assert all(phone.incoming.empty() for phone in callees)
