"""The peers proved on one another, without forkproxy: what they cannot show here, they cannot show there."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.support import audio
from tests.support.baresip import Baresip
from tests.support.consumer import Consumer, Fault
from tests.support.processes import needs
from tests.support.rtp import holes
from tests.support.sip import Phone
from tests.support.sipp import Sipp


@needs("baresip")
async def test_baresip_calls_baresip_and_each_hears_the_other(tmp_path: Path) -> None:
    async with (
        Baresip(tmp_path / "bob", "bob", tone=1000, account=";answermode=auto") as bob,
        Baresip(tmp_path / "alice", "alice", tone=440) as alice,
    ):
        await alice.dial(bob.uri)
        await alice.event("CALL_ESTABLISHED")
        await asyncio.sleep(2)
        await alice.hang_up()
        await bob.event("CALL_CLOSED")
        for phone, wanted, other in ((alice, 1000, 440), (bob, 440, 1000)):
            heard = audio.listen(phone.heard(), wanted, other)
            assert heard.seconds > 1.5
            assert (heard.breaks, heard.mixed) == (0, 0), heard


@needs("sipp")
@pytest.mark.parametrize(
    ("caller", "callee"),
    [
        ("uac_load", "uas_load"),
        ("uac_audio", "uas_audio"),
        ("uac_audio", "uas_early"),
        ("uac_waits", "uas_hangs_up"),
        ("uac_offerless", "uas_load"),
        ("uac_cancel", "uas_never"),
        ("uac_busy", "uas_busy"),
        ("uac_load", "uas_late"),
    ],
)
async def test_sipp_scenarios_fit_one_another(tmp_path: Path, caller: str, callee: str) -> None:
    async def run(transport: str) -> None:
        folder = tmp_path / transport
        async with Sipp(callee, folder / "uas", transport=transport, hold_ms=300) as uas:
            remote = f"127.0.0.1:{uas.port}"
            async with Sipp(caller, folder / "uac", transport=transport, remote=remote, hold_ms=300) as uac:
                assert (await uac.finished()).successful == 1
                assert (await uas.finished()).successful == 1

    async with asyncio.TaskGroup() as group:
        for transport in ("udp", "tcp"):
            group.create_task(run(transport))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_the_python_phone_calls_itself(transport: str) -> None:
    async with Phone("bob", transport) as bob, Phone("alice", transport) as alice:
        call = await alice.call(bob.uri, ("127.0.0.1", bob.port))
        taken = await bob.incoming.get()
        taken.respond(180, "Ringing")
        assert (await call.response()).status == 180
        answering = asyncio.create_task(taken.accept())
        await call.answered()
        await answering
        assert call.rtp is not None
        assert taken.rtp is not None
        await call.rtp.play([bytes([i]) * 160 for i in range(10)], interval=0.005)
        await asyncio.sleep(0.1)
        assert [packet.payload[0] for packet in taken.rtp.received] == list(range(10))
        assert holes(taken.rtp.received) == []
        await taken.hang_up()
        assert call.over


async def test_the_python_phone_cancels_and_is_refused() -> None:
    async with Phone("bob") as bob, Phone("alice") as alice:
        call = await alice.call(bob.uri, ("127.0.0.1", bob.port))
        taken = await bob.incoming.get()
        call.cancel()
        await taken.request("CANCEL")
        assert (await call.response(300)).status == 487
        await taken.request("ACK")

        call = await alice.call(bob.uri, ("127.0.0.1", bob.port))
        taken = await bob.incoming.get()
        taken.respond(486, "Busy Here")
        assert (await call.response(200)).status == 486
        await taken.request("ACK")


@needs("baresip")
async def test_baresip_calls_the_python_phone(tmp_path: Path) -> None:
    async with Phone("bob") as bob, Baresip(tmp_path / "alice", "alice", tone=440) as alice:
        await alice.dial(bob.uri)
        taken = await bob.incoming.get()
        await taken.accept()
        assert taken.rtp is not None
        taken.rtp.talk(audio.tone_ulaw(1000, 1))
        await asyncio.sleep(1.5)
        await taken.hang_up()
        await alice.event("CALL_CLOSED")
        samples = audio.decode(b"".join(packet.payload for packet in taken.rtp.received))
        assert audio.listen(samples, 440, 1000).breaks == 0
        assert holes(taken.rtp.received) == []
        assert audio.listen(alice.heard(), 1000, 440).seconds > 1


async def test_the_consumer_records_and_finds_mistakes(tmp_path: Path) -> None:
    async with Consumer(tmp_path) as consumer:
        context = ssl.create_default_context(cafile=consumer.ca_file)
        async with connect(consumer.url, ssl=context) as client:
            await client.send('{"event":"connected","protocol":"Call","version":"1.0.0"}')
            start = '"start":{"streamSid":"MZ1","tracks":["inbound"]}'
            await client.send(f'{{"event":"start","sequenceNumber":"1",{start},"streamSid":"MZ1"}}')
            payload = base64.b64encode(bytes(160)).decode()
            for number, timestamp in ((2, 0), (3, 20), (5, 80)):
                media = {"track": "inbound", "chunk": "1", "timestamp": str(timestamp), "payload": payload}
                message = {
                    "event": "media",
                    "sequenceNumber": str(number),
                    "media": media,
                    "streamSid": "MZ1",
                }
                await client.send(json.dumps(message))
        recording = await consumer.ended()
        assert recording.path == "/media"
        assert len(recording.payloads("inbound")) == 3
        mistakes = "\n".join(recording.mistakes())
        assert "sequenceNumber '5' stands where 4 should" in mistakes
        assert "timestamps jump 1 times" in mistakes
        assert "stop stands at []" in mistakes


@pytest.mark.parametrize(
    "fault", [Fault.NOT_FOUND, Fault.FORBIDDEN, Fault.MISSING, Fault.WRONG_CERTIFICATE, Fault.MUTE]
)
async def test_a_faulty_consumer_is_faulty(tmp_path: Path, fault: Fault) -> None:
    async with Consumer(tmp_path, fault) as consumer:
        context = ssl.create_default_context(cafile=consumer.ca_file)
        with pytest.raises((OSError, WebSocketException)) as error:
            async with connect(consumer.url, ssl=context, open_timeout=0.5):
                pass
        names = {
            Fault.NOT_FOUND: "InvalidStatus",
            Fault.FORBIDDEN: "InvalidStatus",
            Fault.MISSING: "OSError|ConnectionRefusedError",
            Fault.WRONG_CERTIFICATE: "SSLCertVerificationError",
            Fault.MUTE: "TimeoutError",
        }
        assert type(error.value).__name__ in names[fault].split("|")


def test_tones_are_told_apart() -> None:
    a, b = audio.tone(440, 2), audio.tone(1000, 2)
    assert audio.listen(a, 440, 1000) == pytest.approx((2.0, 0, 0, 12000), rel=0.01)
    assert audio.listen(a, 1000, 440).seconds == 0
    both = [(x + y) // 2 for x, y in zip(a, b, strict=True)]
    assert audio.listen(both, 440, 1000).mixed == 20
    broken = a[:4000] + audio.tone(440, 0.3, 0) + a[4000:]
    assert audio.listen(broken, 440, 1000).breaks >= 2
    assert audio.silent(audio.decode(b"\xff" * 160))


def test_mulaw_is_g711() -> None:
    assert [audio.decode(bytes([code]))[0] for code in (0x00, 0x80, 0x7F, 0xFF, 0xCE)] == [
        -32124,
        32124,
        0,
        0,
        988,
    ]
    assert all(audio.encode(audio.decode(bytes([code])))[0] in (code, 0xFF) for code in range(256))
