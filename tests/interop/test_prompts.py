"""A flow that decides, answers, plays, forks to a named connector and connects; every octet arrives."""

from __future__ import annotations

import asyncio
import random
import struct
import wave
from collections.abc import Callable
from pathlib import Path

from forkproxy.media.audio import decode_ulaw
from tests.support.flows import connect, flow, state
from tests.support.proxy import Proxy
from tests.support.sip import Phone


def mulaw_wav(audio: bytes) -> bytes:
    form = struct.pack("<HHIIHH", 7, 1, 8000, 8000, 1, 8)
    return (
        b"RIFF"
        + struct.pack("<I", 28 + len(audio))
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"data"
        + struct.pack("<I", len(audio))
        + audio
    )


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that within five seconds")


async def test_a_prompt_then_a_named_connector_then_the_callee(tmp_path: Path) -> None:
    rng = random.Random(2)
    prompt = rng.randbytes(160 * 40)
    breath = rng.randbytes(160)
    said = {name: [rng.randbytes(160) for _ in range(50)] for name in ("alice", "bob")}
    folder = tmp_path / "proxy"
    folder.mkdir()
    (folder / "hello.wav").write_bytes(mulaw_wav(prompt))
    async with Phone("alice") as alice, Phone("bob") as bob:
        call_bob = connect(bob.uri)
        known = {
            "friendly_name": "alice",
            "arguments": ["{{flow.variables.who}}"],
            "type": "contains",
            "value": "alice",
        }
        decide = state("who", "split-based-on", {"input": "{{flow.variables.who}}"}, ("noMatch", None))
        decide["transitions"].append({"event": "match", "next": "hello", "conditions": [known]})
        fork = {
            "stream_action": "start",
            "stream_transport_type": "siprec",
            "stream_connector": "Archive_1",
            "stream_name": "archive",
            "stream_track": "both_tracks",
        }
        variables = {"variables": [{"key": "who", "value": "{{contact.channel.address}}"}]}
        definition = flow(
            "remember",
            state("remember", "set-variables", variables, ("next", "who")),
            decide,
            state("hello", "say-play", {"play": "hello.wav", "loop": 1}, ("audioComplete", "archive")),
            state("archive", "fork-stream", fork, ("next", "connect")),
            call_bob,
        )
        config = {"connectors": {"Archive_1": {"type": "wav", "folder": "archive"}}}
        async with Proxy(folder, definition, config=config) as proxy:
            before = await proxy.held()
            call = await alice.call(f"sip:bob@{proxy.udp[0]}:{proxy.udp[1]}", proxy.udp)
            await call.answered()
            taken = await asyncio.wait_for(bob.incoming.get(), 10)
            assert call.rtp is not None
            heard = b"".join(packet.payload for packet in call.rtp.received)
            assert prompt in heard
            await taken.accept()
            assert taken.rtp is not None
            # The proxy connects the two an instant after it has acknowledged the answer. What is said before
            # that is not forwarded; so the callee breathes first.
            taken.rtp.talk(breath)
            await until(lambda: call.rtp is not None and call.rtp.received[-1].payload == breath)
            await taken.rtp.hush()
            async with asyncio.TaskGroup() as group:
                group.create_task(call.rtp.play(said["alice"]))
                group.create_task(taken.rtp.play(said["bob"]))
            await asyncio.sleep(0.3)
            await call.hang_up()
            await taken.request("BYE")
            await proxy.idle()
            assert await proxy.held() == before

    assert b"".join(said["bob"]) in b"".join(packet.payload for packet in call.rtp.received)
    # to the phone that rang, the prompt and the callee are one RTP stream
    assert len({packet.ssrc for packet in call.rtp.received}) == 1
    files = sorted(path.name for path in (folder / "archive").iterdir())
    assert len(files) == 2, files
    for track, name in (("inbound", "alice"), ("outbound", "bob")):
        (path,) = (folder / "archive").glob(f"*{track}.wav")
        with wave.open(str(path)) as recorded:
            assert (recorded.getframerate(), recorded.getnchannels()) == (8000, 1)
            frames = recorded.readframes(recorded.getnframes())
        assert decode_ulaw(b"".join(said[name])).tobytes() in frames


async def test_a_flow_presses_keys_for_the_caller_and_an_extension_for_the_callee(tmp_path: Path) -> None:
    async with Phone("alice") as alice, Phone("bob") as bob:
        call_bob = connect(bob.uri)
        call_bob["properties"]["send_digits"] = "w42#"
        press = state("press", "say-play", {"digits": "1D"}, ("audioComplete", "connect"))
        async with Proxy(tmp_path / "proxy", flow("press", press, call_bob)) as proxy:
            call = await alice.call(f"sip:bob@{proxy.udp[0]}:{proxy.udp[1]}", proxy.udp)
            await call.answered()
            taken = await asyncio.wait_for(bob.incoming.get(), 10)
            await taken.accept()
            heard = {"alice": call.rtp, "bob": taken.rtp}

            def keys(who: str) -> str:
                rtp = heard[who]
                assert rtp is not None
                events = {p.timestamp: p.payload[0] for p in rtp.received if p.payload_type == 101}
                return "".join("0123456789*#ABCD"[events[at]] for at in sorted(events))

            await until(lambda: keys("alice") == "1D" and keys("bob") == "42#")
            await call.hang_up()
            await taken.request("BYE")
            await proxy.idle()
            assert "42#" not in proxy.log


async def test_a_prompt_that_cannot_be_played_is_reported_and_the_flow_goes_on(tmp_path: Path) -> None:
    async with Phone("alice") as alice, Phone("bob") as bob:
        definition = flow(
            "hello",
            state(
                "hello", "say-play", {"play": "http://127.0.0.1:9/nowhere.wav"}, ("audioComplete", "connect")
            ),
            connect(bob.uri),
        )
        async with Proxy(tmp_path / "proxy", definition) as proxy:
            call = await alice.call(f"sip:bob@{proxy.udp[0]}:{proxy.udp[1]}", proxy.udp)
            await call.answered()
            taken = await asyncio.wait_for(bob.incoming.get(), 10)
            await taken.accept()
            await call.hang_up()
            await taken.request("BYE")
            await proxy.idle()
            assert "cannot play http://127.0.0.1:9/nowhere.wav" in proxy.log
