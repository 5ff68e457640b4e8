"""forkproxy's relay by itself, without SIP, for a benchmark: as many legs as there are parties.

    python -m benchmarks.relayed TAPS READ COPIES

TAPS is `none`, `call` (both tracks of each call, at the caller's leg: what a fork takes) or `legs` (both
tracks at both legs). READ is `read`, or `idle`: the event loop stands still, and what the relay writes is
never read. COPIES is a port to which both tracks of each call are sent on as RTP, as to a recorder; 0: none.

It prints "up", reads one line, the parties' ports, and prints one line, where each party is to send to. Each
further line is answered by one line of JSON, what has been counted so far.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter

import uvloop

from forkproxy.media import MediaCopy, MediaEngine, MediaLeg
from forkproxy.model import Address, Frame, FrameFlag, Track

PORTS = (10000, 31999)


async def relay(taps: str, reads: bool, copies: int) -> None:
    engine = MediaEngine(ports=PORTS, threads=1)
    engine.start()
    print("up", flush=True)
    legs = [_leg(engine, int(port)) for port in sys.stdin.readline().split()]
    for caller, callee in zip(legs[::2], legs[1::2], strict=True):
        caller.connect(callee)
    frames: Counter[str] = Counter()
    tapped = {"none": [], "call": legs[::2], "legs": legs}[taps]
    held = [leg.tap(lambda batch: _count(batch, frames)) for leg in tapped]
    sent_on = [_copy(leg, track, copies) for leg in legs[::2] for track in Track if copies]
    print(*(leg.rtp_port for leg in legs), flush=True)
    if reads:
        lines = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while await lines.readline():
            print(json.dumps({**engine.counters(), **frames}), flush=True)
    else:
        while sys.stdin.readline():  # the loop, which alone reads the taps, is to stand still
            print(json.dumps(engine.counters()), flush=True)
    del held, sent_on
    engine.close()


def _leg(engine: MediaEngine, port: int) -> MediaLeg:
    leg = engine.open_leg()
    leg.set_remote(Address("127.0.0.1", port), Address("127.0.0.1", port), {0: "PCMU"})
    return leg


def _copy(leg: MediaLeg, track: Track, port: int) -> MediaCopy:
    copy = leg.copy(track)
    copy.send_to(Address("127.0.0.1", port), Address("127.0.0.1", port))
    return copy


def _count(batch: list[Frame], frames: Counter[str]) -> None:
    frames["frames"] += len(batch)
    for frame in batch:
        if frame.flags & FrameFlag.CONCEALED:
            frames["frames_concealed"] += 1


if __name__ == "__main__":
    uvloop.run(relay(sys.argv[1], sys.argv[2] == "read", int(sys.argv[3])))
