"""Dialects with linear audio, by calls: both sides of one as stereo, and a bot that echoes what it hears."""

from __future__ import annotations

import asyncio
import json
from array import array
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve

from tests.support import audio
from tests.support.flows import connect, flow, state
from tests.support.processes import until
from tests.support.proxy import Proxy
from tests.support.sip import Phone
from tests.support.talk import ALICE_HZ, BOB_HZ


async def test_both_sides_of_a_call_as_jambonz_streams_them_and_an_echo_bot_of_vonages(
    tmp_path: Path,
) -> None:
    heard: dict[str, list[str | bytes]] = {"/tee": [], "/bot": []}

    async def server(connection: ServerConnection) -> None:
        assert connection.request is not None
        path = connection.request.path
        async for message in connection:
            heard[path].append(message)
            if path == "/bot" and isinstance(message, bytes):
                await connection.send(message)

    async with (
        serve(server, "127.0.0.1", 0) as running,
        Phone("alice") as alice,
        Phone("desk") as desk,
    ):
        url = f"ws://127.0.0.1:{next(iter(running.sockets)).getsockname()[1]}"
        tee = {"type": "websocket", "url": f"{url}/tee", "dialect": "jambonz", "format": "l16/16000"}
        config = {
            "streams": {"allow_ws": True},
            "connectors": {
                "Tee": tee,
                "Bot": {"type": "websocket", "url": f"{url}/bot", "dialect": "vonage"},
            },
        }
        forked = {
            "stream_action": "start",
            "stream_transport_type": "websocket",
            "stream_connector": "Tee",
            "stream_track": "both_tracks",
        }
        tapped = flow(
            "tee", state("tee", "fork-stream", forked, ("next", "desk")), connect(desk.uri, name="desk")
        )
        bot = flow("bot", state("bot", "connect-stream", {"stream_connector": "Bot"}, ("streamEnded", None)))
        async with Proxy(tmp_path / "proxy", bot, flows={"1001": tapped}, config=config) as proxy:
            where = f"{proxy.udp[0]}:{proxy.udp[1]}"
            call = await alice.call(f"sip:1001@{where}", proxy.udp)
            taken = await asyncio.wait_for(desk.incoming.get(), 10)
            await asyncio.gather(taken.accept(), call.answered())
            assert call.rtp is not None
            assert taken.rtp is not None
            call.rtp.talk(audio.tone_ulaw(ALICE_HZ, 1))
            taken.rtp.talk(audio.tone_ulaw(BOB_HZ, 1))
            await until(lambda: len(heard["/tee"]) > 75, timeout=10, what="the audio of the call")
            await call.hang_up()
            await taken.request("BYE")

            call = await alice.call(f"sip:bot@{where}", proxy.udp)
            await call.answered()
            rtp = call.rtp
            assert rtp is not None
            rtp.talk(audio.tone_ulaw(ALICE_HZ, 1))
            await until(lambda: len(rtp.received) > 75, timeout=10, what="the echo")
            await call.hang_up()
            await proxy.idle()
            assert "stream failed" not in proxy.log

    start, *pieces = heard["/tee"]
    assert json.loads(start)["mixType"] == "stereo"
    assert json.loads(start)["sampleRate"] == 16000
    assert {len(piece) for piece in pieces} == {2 * 2 * 320}
    stereo = array("h", b"".join(piece for piece in pieces[25:] if isinstance(piece, bytes)))
    left, right = stereo[0::4], stereo[1::4]  # every other sample: audio at 8,000 Hz
    assert audio.level(left, ALICE_HZ) > 5 * audio.level(left, BOB_HZ)
    assert audio.level(right, BOB_HZ) > 5 * audio.level(right, ALICE_HZ)
    assert json.loads(heard["/bot"][0])["content-type"] == "audio/l16;rate=16000"
    echo = audio.decode(b"".join(packet.payload for packet in rtp.received[25:]))
    assert audio.listen(echo, ALICE_HZ, BOB_HZ).amplitude > 5000
