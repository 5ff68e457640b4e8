"""The whole program records a call, and tshark reads what the recorder got: who said what, without a hole."""

from __future__ import annotations

import asyncio
import struct
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.support import audio
from tests.support.dialogs import own
from tests.support.flows import connect, flow, state
from tests.support.processes import needs
from tests.support.proxy import Proxy
from tests.support.sip import Phone
from tests.support.srs import Session, Srs
from tests.support.talk import ALICE_HZ, BOB_HZ, Conversation, conversation

SECONDS = 2.0


def recorded(desk: str) -> dict[str, Any]:
    """Fork to the connector, then call the desk."""
    properties = {
        "stream_action": "start",
        "stream_name": "Recording",
        "stream_transport_type": "siprec",
        "stream_connector": "Gridspace_1",
        "stream_track": "both_tracks",
        "stream_parameters": [{"key": "Team", "value": "{{trigger.call.From}}"}],
    }
    start = state("start_recording", "fork-stream", properties, ("next", "connect"))
    return flow("start_recording", start, connect(desk))


def capture(session: Session, path: Path) -> Path:
    """What the recorder's RTP sockets got, as a capture that tshark reads."""
    packets = sorted(
        (at, receiver.port, data) for receiver, _ in session.rtp.values() for at, data in receiver.packets
    )
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
        for at, port, data in packets:
            udp = struct.pack(">HHHH", 9, port, 8 + len(data), 0) + data
            ip = struct.pack(
                ">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, b"\x7f\0\0\1", b"\x7f\0\0\1"
            )
            file.write(
                struct.pack("<IIII", int(at), int(at % 1 * 1e6), len(ip + udp), len(ip + udp)) + ip + udp
            )
    return path


def decoded(path: Path, port: int) -> list[tuple[int, int, bytes]]:
    """Sequence number, timestamp and payload of each RTP packet to a port, as tshark reads them."""
    fields = ["rtp.seq", "rtp.timestamp", "rtp.payload"]
    command = ["tshark", "-r", str(path), "-d", f"udp.port=={port},rtp", "-Y", f"udp.dstport=={port} && rtp"]
    command += ["-T", "fields", *(word for each in fields for word in ("-e", each))]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    rows = [line.split("\t") for line in output.splitlines()]
    return [(int(row[0]), int(row[1]), bytes.fromhex(row[2].replace(":", ""))) for row in rows]


async def hold(talking: Conversation, session: Session) -> None:
    """Alice puts the desk on hold and comes back; the recorder is told of both."""
    alice, desk = talking.alice, talking.bob
    told = len(session.snapshots)
    for number, (offered, answered, sending) in enumerate(
        [("sendonly", "recvonly", 1), ("sendrecv", "sendrecv", 2)], 1
    ):
        cseq = alice.send_in_dialog("INVITE", own(alice, offered))
        passed = await desk.nth("INVITE", number)
        desk.reply(passed, 200, "OK", sdp=own(desk, answered))
        assert (await alice.response_to(cseq, "INVITE")).status == 200
        alice._request("ACK", cseq=cseq)
        await session.snapshot(told + number)
        assert len(session.texts("r:participantstreamassoc/r:send")) == sending


@needs("tshark")
async def test_the_recorder_gets_both_sides_on_their_labels_without_a_hole(tmp_path: Path) -> None:
    async with Srs() as srs, Phone("alice") as alice, Phone("desk") as desk:
        config = {"connectors": {"Gridspace_1": {"type": "siprec", "srs": [srs.uri], "bye": "complete"}}}
        async with Proxy(tmp_path / "proxy", recorded(desk.uri), config=config) as proxy:
            before = await proxy.held()
            async with conversation(proxy, alice, desk) as talking:
                session = await srs.session()
                await asyncio.sleep(SECONDS)
                assert talking.alice.rtp is not None
                await talking.alice.rtp.hush()
                talking.alice.rtp.sequence += 10  # lost on the way to us
                talking.alice.rtp.timestamp += 1600
                await asyncio.sleep(0.2)
                talking.talk()
                await hold(talking, session)
                await asyncio.sleep(SECONDS / 2)
                await talking.alice.hang_up()
                await session.until(lambda: session.over, "BYE")
                await talking.hush()
            assert srs.faults == []
            path = capture(session, tmp_path / "recorded.pcap")
            for label, hertz, other in (("1", ALICE_HZ, BOB_HZ), ("2", BOB_HZ, ALICE_HZ)):
                packets = decoded(path, session.rtp[label][0].port)
                assert len(packets) > 50 * SECONDS
                assert all((b[0] - a[0]) & 0xFFFF == 1 for a, b in pairwise(packets))
                assert {(b[1] - a[1]) & 0xFFFFFFFF for a, b in pairwise(packets)} == {160}
                samples = audio.decode(b"".join(payload for _, _, payload in packets))
                heard = audio.listen(samples, hertz, other)
                assert heard.seconds > SECONDS, heard
                assert heard.mixed <= 1, heard
            assert session.texts("//*[local-name()='Parameter']/@name") == ["Team"]
            assert session.texts("r:participant/r:nameID/@aor")[1] == desk.uri
            await srs.crash()
            await proxy.idle()
            assert await proxy.held() == before
