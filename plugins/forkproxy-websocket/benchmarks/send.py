"""What a media message costs: many streams, both tracks, over wss to a local sink in a process of its own.

    python benchmarks/send.py [--streams 200] [--seconds 10]

Prints the CPU time of this process for each message, everything from `StreamRunner.feed` to the socket
included, for the connector and, in the same run, for the plain way: `websockets.connect`, `json.dumps`, a
send for each message. The sink counts messages, so that a lost one would show.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import multiprocessing
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import cast

import trustme
import uvloop
from forkproxy_websocket import WebSocket
from websockets.asyncio.client import connect
from websockets.http11 import Request
from websockets.server import ServerProtocol

from forkproxy.connectors.api import Frame
from forkproxy.connectors.events import StreamCreated, StreamEvent
from forkproxy.connectors.streams import StreamRunner
from forkproxy.connectors.testing import CALL, HOST, frames, make
from forkproxy.model import StreamSpec, StreamTransport, Tracks

Feed = Callable[[list[Frame]], None]
Streams = tuple[list[Feed], Callable[[], Awaitable[None]]]
"""How to feed each, and how to end them all."""
Maker = Callable[[str, str, int], Awaitable[Streams]]


class Sink(asyncio.Protocol):
    """Answers the handshake and counts frames by their headers."""

    counted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.core = ServerProtocol()
        self.open = False
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        if not self.open:
            self.core.receive_data(data)
            for event in self.core.events_received():
                if isinstance(event, Request):
                    self.core.send_response(self.core.accept(event))
                    self.transport.writelines(self.core.data_to_send())
                    self.open = True
            return
        data = self.rest + data
        at = 0
        while len(data) - at >= 4:
            length, header = data[at + 1] & 127, 6
            if length == 126:
                length, header = int.from_bytes(data[at + 2 : at + 4], "big"), 8
            if len(data) - at < header + length:
                break
            Sink.counted += (data[at] & 15) == 1
            if data[at] & 15 == 8:
                self.transport.close()
            at += header + length
        self.rest = data[at:]


def sink(certificate: str, pipe: Pipe) -> None:
    """The sink's process: sends its port, then the count each time that it is asked."""

    async def main() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Sink, "127.0.0.1", 0, ssl=context)
        pipe.send(server.sockets[0].getsockname()[1])
        while await loop.run_in_executor(None, pipe.recv):
            pipe.send(Sink.counted)

    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(main())


async def ours(url: str, ca_file: str, streams: int) -> Streams:
    """Streams on the connector."""
    connector = make(WebSocket, ca_file=ca_file, url=url)
    spec = StreamSpec(StreamTransport.WEBSOCKET, Tracks.BOTH, url=url)
    events: asyncio.Queue[StreamEvent] = asyncio.Queue()
    runners = [StreamRunner(connector, spec, CALL, HOST, on_event=events.put_nowait) for _ in range(streams)]
    for runner in runners:
        runner.start()
    for _ in runners:
        assert isinstance(await events.get(), StreamCreated)

    async def end() -> None:
        for runner in runners:
            runner.stop("done")
        await asyncio.gather(*(runner.closed() for runner in runners))
        assert not any(runner.dropped for runner in runners)
        await connector.close()

    return [runner.feed for runner in runners], end


async def plain(url: str, ca_file: str, streams: int) -> Streams:
    """Streams as one would write them without further thought."""
    context = ssl.create_default_context(cafile=ca_file)
    queues: list[asyncio.Queue[list[Frame] | None]] = [asyncio.Queue() for _ in range(streams)]
    connections = [await connect(url, ssl=context, compression=None, proxy=None) for _ in range(streams)]

    async def carry(number: int) -> None:
        sequence = 0
        while (batch := await queues[number].get()) is not None:
            for frame in batch:
                sequence += 1
                media = {
                    "track": str(frame.track),
                    "chunk": str(frame.number + 1),
                    "timestamp": str(frame.timestamp),
                    "payload": base64.b64encode(frame.payload).decode(),
                }
                message = {"event": "media", "sequenceNumber": str(sequence), "media": media}
                await connections[number].send(json.dumps({**message, "streamSid": "MZ" + "0" * 32}))

    tasks = [asyncio.create_task(carry(number)) for number in range(streams)]

    async def end() -> None:
        for queue in queues:
            queue.put_nowait(None)
        await asyncio.gather(*tasks)
        await asyncio.gather(*(connection.close() for connection in connections))

    return [queue.put_nowait for queue in queues], end


async def measure(feeds: list[Feed], seconds: float) -> tuple[float, int]:
    """CPU seconds and messages of a steady flow: each stream every 20 ms, their phases spread."""
    batches = [frames(1, start=number) for number in range(int(seconds * 50))]
    slots = 10
    loop = asyncio.get_running_loop()
    start, cpu = loop.time(), time.process_time()
    for number, batch in enumerate(batches):
        for slot in range(slots):
            wait = start + number * 0.02 + slot * 0.02 / slots - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            for feed in feeds[slot::slots]:
                feed(batch)
    await asyncio.sleep(0.1)
    return time.process_time() - cpu, len(batches) * 2 * len(feeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        authority = trustme.CA()
        certificate, ca_file = str(Path(folder, "server.pem")), str(Path(folder, "ca.pem"))
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
        authority.cert_pem.write_to_path(ca_file)
        near, far = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=sink, args=(certificate, far), daemon=True
        )
        process.start()
        url = f"wss://localhost:{near.recv()}/"
        for name, make_streams in (("forkproxy-websocket", ours), ("websockets and json.dumps", plain)):

            async def run(make_streams: Maker = make_streams) -> tuple[float, int]:
                feeds, end = await make_streams(url, ca_file, options.streams)
                figures = await measure(feeds, options.seconds)
                await end()
                return figures

            near.send(True)
            before = near.recv()
            cpu, messages = uvloop.run(run())
            time.sleep(0.5)
            near.send(True)
            extra = near.recv() - before - messages
            print(
                f"{name}: {cpu / messages * 1e6:.1f} us of CPU a message, {messages} messages, "
                f"{cpu / options.seconds:.0%} of a core; the sink counted {extra:+d}"
            )
        process.kill()


if __name__ == "__main__":
    main()
