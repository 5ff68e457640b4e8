"""A lean wss consumer for many streams: reads as fast as it can and checks every frame.

    python sink.py CERTIFICATE

prints its port, and then one line of JSON for each line that it reads: the figures so far. A payload carries
the stamp of `rtpload.c`; the stream's custom parameter ``call`` says which call it should be of.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import ssl
import struct
import sys
import time
from collections import Counter
from typing import cast

import uvloop

_STAMP = struct.Struct("<2s2xIIxxxxQ")  # "FP", party, number, time of sending
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Figures:
    """What all streams together had."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.delays: Counter[int] = Counter()
        """From the sending of the RTP packet to the arrival of its frame here, in milliseconds."""

    def delay(self, share: float) -> int:
        """The delay in ms that this share of the frames did not exceed."""
        wanted = share * self.delays.total()
        for milliseconds in sorted(self.delays):
            wanted -= self.delays[milliseconds]
            if wanted <= 0:
                return milliseconds
        return 0

    def report(self) -> str:
        delays = {"p50": self.delay(0.5), "p99": self.delay(0.99), "max": max(self.delays, default=0)}
        return json.dumps({**self.counts, "delay_ms": delays})


class Stream(asyncio.Protocol):
    """One WebSocket."""

    def __init__(self, figures: Figures) -> None:
        self.figures = figures
        self.counts = figures.counts
        self.buffer = bytearray()
        self.open = False
        self.sequence = 0
        self.party = 0
        self.next = {"inbound": 0, "outbound": 0}
        """The time that the next frame of each track should have."""
        self.number: dict[str, int] = {}
        """The stamp that the next frame of each track should have; none before the phone's first packet."""
        self.gap = {"inbound": 0, "outbound": 0}
        """Frames without a stamp since the last one that had one."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is not derived from it

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.open:
            self._handshake()
        if self.open:
            self._frames()

    def _handshake(self) -> None:
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        headers = bytes(self.buffer[:end])
        del self.buffer[: end + 4]
        key = next(
            line.split(b":", 1)[1].strip()
            for line in headers.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key:")
        )
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self.open = True
        self.counts["connections"] += 1

    def _frames(self) -> None:
        buffer, at, size = self.buffer, 0, len(self.buffer)
        while size - at >= 6:
            length = buffer[at + 1] & 0x7F
            head = at + 2
            if length == 126:
                if size - at < 8:
                    break
                length = int.from_bytes(buffer[at + 2 : at + 4], "big")
                head = at + 4
            if size < head + 4 + length:
                break
            mask = bytes(buffer[head : head + 4])
            masked = buffer[head + 4 : head + 4 + length]
            key = (mask * (length // 4 + 1))[:length]
            text = (int.from_bytes(masked, "little") ^ int.from_bytes(key, "little")).to_bytes(
                length, "little"
            )
            opcode = buffer[at] & 0x0F
            at = head + 4 + length
            if opcode == 1:
                self._message(json.loads(text))
            elif opcode == 8:
                self.transport.write(b"\x88\x02\x03\xe8")
                self.transport.close()
                self.counts["closed"] += 1
            elif opcode == 9:
                self.transport.write(bytes([0x8A, length]) + text)
        del buffer[:at]

    def _message(self, message: dict[str, object]) -> None:
        kind = message["event"]
        self.counts["messages"] += 1
        if kind != "connected":
            self.sequence += 1
            if message["sequenceNumber"] != str(self.sequence):
                self.counts["sequence_holes"] += 1
                self.sequence = int(str(message["sequenceNumber"]))
        if kind == "media":
            self._media(message["media"])  # type: ignore[arg-type]
        elif kind == "start":
            self.counts["started"] += 1
            start = message["start"]
            self.party = 2 * int(start["customParameters"]["call"])  # type: ignore[index]
        elif kind == "stop":
            self.counts["stopped"] += 1

    def _media(self, media: dict[str, str]) -> None:
        track = media["track"]
        counts = self.counts
        counts["frames"] += 1
        if (timestamp := int(media["timestamp"])) != self.next[track]:
            counts["frames_missing"] += 1
        self.next[track] = timestamp + 20
        magic, party, number, sent = _STAMP.unpack(base64.b64decode(media["payload"][:32]))
        if magic != b"FP":
            self.gap[track] += 1
            return
        if party != self.party + (track == "outbound"):
            counts["frames_misrouted"] += 1
        expected = self.number.get(track)
        if expected is not None:  # between two packets of the phone: nothing made up, nothing left out
            counts["frames_concealed"] += self.gap[track]
            counts["frames_lost"] += number != expected
        self.gap[track] = 0
        self.number[track] = number + 1
        counts["frames_checked"] += 1
        self.figures.delays[(time.monotonic_ns() - sent) // 1_000_000] += 1


async def serve(certificate: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    figures = Figures()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Stream(figures), "127.0.0.1", 0, ssl=context, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        print(figures.report(), flush=True)
    server.close()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
