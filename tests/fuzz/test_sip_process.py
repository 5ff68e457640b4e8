"""Messages that were right before chance got hold of them, thrown at a running proxy with a call on it."""

from __future__ import annotations

import asyncio
import random
import socket
from contextlib import suppress
from pathlib import Path

from tests.interop.test_malformed import CASES, GOOD, invite, request
from tests.support.flows import bridge
from tests.support.proxy import Proxy
from tests.support.sip import Phone
from tests.support.talk import Conversation, conversation

MESSAGES = 1500
PIECES = (
    [
        b"\r\n",
        b"\r\n\r\n",
        b"\x00",
        b"\xff\xfe",
        b"99999999999",
        b"-1",
        b"=" * 300,
        b"sip:",
        b"SIP/2.0",
        b"z9hG4bK",
    ]
    + [b"tag=", b"Via:", b"[::1]", b"m=audio 0 RTP/AVP\r\n", b"a=rtpmap:"]
    + [bytes([octet]) for octet in b';<>":@% \t']
)


def mutate(rng: random.Random, data: bytes) -> bytes:
    """One to six changes: cut, doubled, overwritten, swapped or put in between."""
    text = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        if not text:
            break
        at, other = sorted((rng.randrange(len(text)), rng.randrange(len(text))))
        match rng.randrange(6):
            case 0:
                del text[at:other]
            case 1:
                text[at:at] = text[at : min(other, at + 2000)]
            case 2:
                text[at] = rng.randrange(256)
            case 3:
                text[at:at] = rng.choice(PIECES)
            case 4:
                text[at : at + rng.randrange(20)] = rng.choice(PIECES)
            case 5:
                lines = bytes(text).split(b"\r\n")
                i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
                lines[i], lines[j] = lines[j], lines[i]
                text = bytearray(b"\r\n".join(lines))
    return bytes(text[:60_000])


def seeds() -> list[bytes]:
    """Right messages of every method that can come in, and the wrong ones of the interop suite."""
    methods = (
        b"OPTIONS",
        b"REGISTER",
        b"BYE",
        b"CANCEL",
        b"ACK",
        b"PRACK",
        b"UPDATE",
        b"INFO",
        b"REFER",
        b"MESSAGE",
    )
    right = [invite(body=GOOD), invite(), *map(request, methods)]
    return right * 5 + list(CASES.values())


async def _rtp_garbage(rng: random.Random, talking: Conversation) -> None:
    """Packets that are no RTP, from the right address and from a wrong one, to RTP and RTCP."""
    for _, _, listener in talking.parties:
        assert listener.remote is not None
        host, port = listener.remote
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for _ in range(100):
                size = rng.choice((0, 1, 3, 11, 12, 13, 172, 1400))
                packet = bytes([rng.choice((0x80, 0x00, 0x9F, 0xBF, 0xFF))]) + rng.randbytes(size)
                stranger.sendto(packet, (host, port))
                stranger.sendto(packet, (host, port + 1))
                listener.send_raw(b"\x00" + rng.randbytes(size))  # version 0: never RTP
        await asyncio.sleep(0.05)


async def test_mutated_messages_end_nothing(tmp_path: Path) -> None:
    rng = random.Random(20)
    basis = seeds()
    async with (
        Phone("alice") as alice,
        Phone("bob") as bob,
        Proxy(tmp_path / "proxy", bridge(bob.uri)) as proxy,
    ):
        async with conversation(proxy, alice, bob) as talking:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for number in range(MESSAGES):
                    data = mutate(rng, rng.choice(basis))
                    # those that are right enough become calls; each needs a transaction of its own
                    sender.sendto(data.replace(b"z9hG4bK", b"z9hG4bK%d" % number), proxy.udp)
                    if number % 50 == 0:
                        await asyncio.sleep(0.01)
                        assert proxy.process.returncode is None, proxy.process.describe(8000)
            for _ in range(40):
                _, writer = await asyncio.open_connection(*proxy.tcp)
                with suppress(ConnectionError):
                    for _ in range(10):
                        writer.write(mutate(rng, rng.choice(basis)))
                    await asyncio.wait_for(writer.drain(), 2)
                writer.close()
                assert proxy.process.returncode is None, proxy.process.describe(8000)
            await _rtp_garbage(rng, talking)
            await talking.hush()
            assert talking.interruptions() == []
            await talking.alice.hang_up()
            await talking.bob.request("BYE")
        while not bob.incoming.empty():
            bob.incoming.get_nowait().respond(486, "Busy Here")
        async with conversation(proxy, alice, bob) as talking:
            await talking.hush()
            assert talking.interruptions() == []
            await talking.alice.hang_up()
        # those calls of the chance messages that still ring are ended by the proxy's own end
        assert "Traceback (most recent call last)" not in proxy.log
