"""What is not SIP: the process lives, each case is counted, and the next call works."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.flows import bridge
from tests.support.proxy import Proxy
from tests.support.sip import Phone, audio_sdp
from tests.support.talk import conversation

_RNG = random.Random(7)


def invite(
    *,
    start: bytes = b"INVITE sip:bob@127.0.0.1 SIP/2.0",
    headers: bytes = b"",
    without: bytes = b"",
    body: bytes = b"",
    length: bytes | None = None,
    content_type: bytes = b"application/sdp",
) -> bytes:
    """An INVITE with something wrong: a header missing, one too many, another body than it says."""
    number = _RNG.getrandbits(48)
    lines = [
        b"Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK%x;rport" % number,
        b"Max-Forwards: 70",
        b"From: <sip:mallory@127.0.0.1>;tag=%x" % number,
        b"To: <sip:bob@127.0.0.1>",
        b"Call-ID: malformed-%x" % number,
        b"CSeq: 1 INVITE",
        b"Contact: <sip:mallory@127.0.0.1:9>",
    ]
    lines = [line for line in lines if not without or not line.startswith(without + b":")]
    if body:
        lines.append(b"Content-Type: " + content_type)
    lines.append(b"Content-Length: " + (length if length is not None else b"%d" % len(body)))
    return start + b"\r\n" + b"\r\n".join(lines) + b"\r\n" + headers + b"\r\n" + body


def request(method: bytes) -> bytes:
    """The same headers under another method."""
    start = method + b" sip:bob@127.0.0.1 SIP/2.0"
    return invite(start=start, without=b"CSeq", headers=b"CSeq: 1 " + method + b"\r\n")


def sdp(old: bytes = b"", new: bytes = b"") -> bytes:
    return audio_sdp("127.0.0.1", 40000).replace(old, new)


GOOD = sdp()

CASES: dict[str, bytes] = {
    "random octets": _RNG.randbytes(700),
    "random octets with line ends": b"\r\n".join(_RNG.randbytes(40) for _ in range(20)) + b"\r\n\r\n",
    "only NUL": bytes(200),
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n",
    "TLS on a plain port": bytes.fromhex("16030100c8010000c40303") + _RNG.randbytes(194),
    "another version": invite(start=b"INVITE sip:bob@127.0.0.1 SIP/3.0"),
    "no request URI": invite(start=b"INVITE  SIP/2.0"),
    "a request URI that is none": invite(start=b"INVITE :::: SIP/2.0"),
    "a request line without end": b"INVITE sip:" + b"a" * 3000,
    "a response to nothing": b"SIP/2.0 200 OK\r\n" + invite().split(b"\r\n", 1)[1],
    "a status that is no number": b"SIP/2.0 abc OK\r\n" + invite().split(b"\r\n", 1)[1],
    "no Via": invite(without=b"Via"),
    "no From": invite(without=b"From"),
    "no To": invite(without=b"To"),
    "no Call-ID": invite(without=b"Call-ID"),
    "no CSeq": invite(without=b"CSeq"),
    "a CSeq of another method": invite(without=b"CSeq", headers=b"CSeq: 1 BYE\r\n"),
    "a CSeq that is no number": invite(without=b"CSeq", headers=b"CSeq: one INVITE\r\n"),
    "a CSeq beyond 32 bits": invite(without=b"CSeq", headers=b"CSeq: 99999999999999999999 INVITE\r\n"),
    "a From that never ends": invite(without=b"From", headers=b'From: "mallory <sip:mallory@127.0.0.1\r\n'),
    "a Via that is none": invite(without=b"Via", headers=b"Via: SIP/2.0/UDP\r\n"),
    "a header without a colon": invite(headers=b"this is no header\r\n"),
    "Max-Forwards that is no number": invite(without=b"Max-Forwards", headers=b"Max-Forwards: many\r\n"),
    "a Content-Length that is no number": invite(body=GOOD, length=b"many"),
    "a negative Content-Length": invite(body=GOOD, length=b"-5"),
    "a Content-Length that is too large": invite(body=GOOD, length=b"60000"),
    "cut in the headers": invite(body=GOOD)[:120],
    "cut in the body": invite(body=GOOD)[:-60],
    "SDP that is none": invite(body=b"this is no session description\r\n"),
    "SDP without a version": invite(body=sdp(b"v=0\r\n")),
    "SDP without an origin": invite(body=sdp(b"o=", b"x=")),
    "SDP without an address": invite(body=sdp(b"c=IN IP4 127.0.0.1\r\n")),
    "SDP with a port that is none": invite(body=sdp(b"m=audio 40000", b"m=audio 99999999")),
    "SDP with a port that is no number": invite(body=sdp(b"m=audio 40000", b"m=audio x")),
    "SDP without a format": invite(body=sdp(b" RTP/AVP 0 101", b" RTP/AVP")),
    "SDP with a line of 4,000 octets": invite(body=GOOD + b"a=" + b"x" * 4000 + b"\r\n"),
    "SDP with binary": invite(body=GOOD + _RNG.randbytes(300)),
    "SDP with video only": invite(body=sdp(b"m=audio", b"m=video")),
    "SDP with a codec that we do not carry": invite(
        body=sdp(b"AVP 0 101", b"AVP 9").replace(b":0 PCMU", b":9 G722")
    ),
    "a body of another type": invite(body=b"<xml/>", content_type=b"application/xml"),
    "multipart without parts": invite(body=b"--x--\r\n", content_type=b'multipart/mixed;boundary="x"'),
    "4,000 headers": invite(headers=b"X: y\r\n" * 4000),
    "a header of 40,000 octets": invite(headers=b"X-Long: " + b"y" * 40000 + b"\r\n"),
    "a user part of 3,000 octets": invite(start=b"INVITE sip:" + b"b" * 3000 + b"@127.0.0.1 SIP/2.0"),
    "a Call-ID of 5,000 octets": invite(without=b"Call-ID", headers=b"Call-ID: " + b"c" * 5000 + b"\r\n"),
    "a hundred Vias": invite(headers=b"Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx\r\n" * 100),
    "a BYE for no call": request(b"BYE"),
    "an ACK for no call": request(b"ACK"),
    "a CANCEL for no call": request(b"CANCEL"),
    "a method that there is not": request(b"DANCE"),
    "a URI scheme that we do not know": invite(start=b"INVITE mailto:bob@example.org SIP/2.0"),
    "a Require that nobody supports": invite(body=GOOD, headers=b"Require: telepathy\r\n"),
}
"""By name, so that a failure says which."""

DATAGRAMS: dict[str, bytes] = {
    "nothing": b"",
    "one octet": b"x",
    "over-long": invite(headers=b"X-Long: " + b"y" * 64000 + b"\r\n"),
    "a Content-Length that is too small": invite(body=GOOD, length=b"10"),
}
STREAMS: dict[str, bytes] = {
    "over-long": invite(headers=b"X-Long: " + b"y" * 200_000 + b"\r\n"),
    "headers without end": b"INVITE sip:bob@127.0.0.1 SIP/2.0\r\n" + b"X: y\r\n" * 40_000,
    "no Content-Length": invite(body=GOOD).replace(b"Content-Length", b"X-Length"),
    "a body of a gigabyte announced": invite(length=b"1000000000"),
}


TRAFFIC = ("forkproxy_sip_received", "forkproxy_sip_sent")
"""These move with every message, whatever it is."""


async def _send_datagram(proxy: Proxy, data: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(data, proxy.udp)
    await asyncio.sleep(0.02)


async def _send_stream(proxy: Proxy, data: bytes) -> None:
    reader, writer = await asyncio.open_connection(*proxy.tcp)
    try:
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        await asyncio.wait_for(reader.read(65536), 0.1)
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("send", "cases"),
    [(_send_datagram, CASES | DATAGRAMS), (_send_stream, CASES | STREAMS)],
    ids=["udp", "tcp"],
)
async def test_nothing_that_comes_in_ends_anything(
    tmp_path: Path, send: Callable[[Proxy, bytes], object], cases: dict[str, bytes]
) -> None:
    async with (
        Phone("alice") as alice,
        Phone("bob") as bob,
        Proxy(tmp_path / "proxy", bridge(bob.uri)) as proxy,
    ):
        async with conversation(proxy, alice, bob) as talking:  # a call that is up meanwhile
            uncounted = []
            seen = await _counted(proxy)
            for name, data in cases.items():
                await send(proxy, data)  # type: ignore[misc]
                assert proxy.process.returncode is None, f"{name} ended it: {proxy.process.describe(8000)}"
                counted = await _settled(proxy, seen)
                if counted == seen:
                    uncounted.append(name)
                seen = counted
            assert not uncounted, "these cannot be seen in /metrics"
            await talking.hush()
            assert talking.interruptions() == []
            await talking.alice.hang_up()
            await talking.bob.request("BYE")
        while not bob.incoming.empty():  # INVITEs that were not so wrong have rung the phone
            bob.incoming.get_nowait().respond(486, "Busy Here")
        assert (await alice.options(f"sip:{proxy.udp[0]}:{proxy.udp[1]}", proxy.udp)).status == 200
        async with conversation(proxy, alice, bob) as talking:
            await asyncio.sleep(0.5)
            await talking.hush()
            assert talking.interruptions() == []
            await talking.alice.hang_up()


async def _counted(proxy: Proxy) -> dict[str, float]:
    """What an operator can see of odd messages: all that is counted of SIP, but the traffic itself."""
    return {
        name: value
        for name, value in (await proxy.counted()).items()
        if name.startswith("forkproxy_sip_") and not name.startswith(TRAFFIC)
    }


async def _settled(proxy: Proxy, before: dict[str, float]) -> dict[str, float]:
    """The figures, as soon as they differ from `before`, otherwise after half a second."""
    for _ in range(10):
        if (now := await _counted(proxy)) != before:
            return now
        await asyncio.sleep(0.05)
    return before
