"""A peer that has learnt SIP badly: right requests and responses in wrong states, some of them damaged.

Run as a process of its own, which an assertion would end: ``python -m tests.signalling.fuzz SEED STEPS``.
Prints a line when all has ended, with what is left.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import socket
import sys

from forkproxy.errors import ForkproxyError
from forkproxy.signalling import IncomingLeg, Leg
from forkproxy.signalling.driver import driver
from tests.fuzz.test_sip_process import mutate
from tests.signalling.support import OFFER, Station, answer_to
from tests.support.sip import Message, audio_sdp, parse

GOOD = audio_sdp("127.0.0.1", 40000)
PARTS = b"--x\r\nContent-Type: application/sdp\r\n\r\n" + GOOD + b"\r\n--x--\r\n"
BODIES = [b"", b"", GOOD, GOOD, GOOD, GOOD.replace(b"sendrecv", b"sendonly"), PARTS, b"v=0\r\n", b"x"]
METHODS = "INVITE ACK BYE CANCEL UPDATE PRACK OPTIONS INFO REGISTER DANCE".split()  # noqa: SIM905
STATUSES = [
    100,
    180,
    183,
    183,
    200,
    200,
    200,
    202,
    301,
    401,
    407,
    408,
    422,
    481,
    486,
    487,
    491,
    500,
    503,
    699,
]
HEADERS = [
    "Require: 100rel",
    "Supported: 100rel, timer",
    "Session-Expires: 90;refresher=uac",
    "Session-Expires: 90;refresher=uas",
    "Record-Route: <sip:127.0.0.1:9;lr>",
    "Record-Route: <sip:127.0.0.1:9>",
    "Record-Route: <sip:127.0.0.1:9;hide>",
    "RAck: 1 1 INVITE",
    "RSeq: 1",
    "Contact: <tel:+1>",
    "Contact: *",
    "Content-Type: multipart/mixed;boundary=x",
    "Replaces: a;to-tag=b;from-tag=c",
    "Min-SE: 200",
    'WWW-Authenticate: Digest realm="a", nonce="b"',
    'Proxy-Authenticate: Digest realm="", nonce="", qop="auth", stale=true',
    "Max-Forwards: 0",
    "Unsupported: x",
    "Retry-After: 5",
]


class Peer:
    """The dialogs that it has begun, and the requests that it has been sent."""

    def __init__(self, rng: random.Random, station: Station) -> None:
        self.rng = rng
        self.station = station
        self.raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.raw.bind(("127.0.0.1", 0))
        self.raw.setblocking(False)
        self.port: int = self.raw.getsockname()[1]
        self.dialogs: list[dict[str, str]] = []
        self.asked: list[Message] = []
        self.legs: list[Leg] = []
        self.stream: asyncio.StreamWriter | None = None

    def hear(self) -> None:
        """Take what came: To tags of dialogs, and requests that can be answered."""
        while True:
            try:
                message = parse(self.raw.recv(65536))
            except BlockingIOError:
                break
            if not message.status:
                self.asked = [*self.asked[-20:], message]
            for dialog in self.dialogs:
                if message.status and message.get("call-id") == dialog["call_id"]:
                    dialog["tag"] = message.get("to").partition(";tag=")[2] or dialog["tag"]
        while not self.station.calls.empty():
            self.legs.append(self.station.calls.get_nowait()[0])

    def tail(self) -> bytes:
        body = self.rng.choice(BODIES)
        lines = self.rng.sample(HEADERS, self.rng.choice([0, 0, 0, 0, 1, 1, 2]))
        if body:
            lines.append(
                f"Content-Type: {'multipart/mixed;boundary=x' if body == PARTS else 'application/sdp'}"
            )
        return "".join(line + "\r\n" for line in [*lines, f"Content-Length: {len(body)}", ""]).encode() + body

    def request(self, transport: str) -> bytes:
        if not self.dialogs or self.rng.random() < 0.3:
            fresh = {"call_id": secrets.token_hex(5), "from": secrets.token_hex(4), "tag": "", "cseq": "1"}
            fresh["branch"] = "z9hG4bK" + secrets.token_hex(5)
            self.dialogs = [*self.dialogs[-10:], fresh]
        dialog = self.rng.choice(self.dialogs)
        method = self.rng.choice(METHODS) if dialog["tag"] else "INVITE"
        token = secrets.token_hex(3)
        branch = self.rng.choice([dialog["branch"], "z9hG4bK" + token, "old" + token])
        number = int(dialog["cseq"]) + self.rng.choice([-1, 0, 0, 0, 1, 2])
        dialog["cseq"] = str(max(number, 1))
        tag = f";tag={dialog['tag']}" if dialog["tag"] and self.rng.random() < 0.8 else ""
        lines = [
            f"{method} sip:bob@127.0.0.1 SIP/2.0",
            f"Via: SIP/2.0/{transport} 127.0.0.1:{self.port};branch={branch};rport",
            "Max-Forwards: 70",
            f"From: <sip:c@127.0.0.1>;tag={dialog['from']}",
            f"To: <sip:bob@127.0.0.1>{tag}",
            f"Call-ID: {dialog['call_id']}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:c@127.0.0.1:{self.port}>",
        ]
        return "".join(line + "\r\n" for line in lines).encode() + self.tail()

    def response(self) -> bytes:
        asked = self.rng.choice(self.asked[-6:])
        tag = self.rng.choice([";tag=t1", ";tag=t1", ";tag=t1", ";tag=t2", ""])
        here = f"sip:b@127.0.0.1:{self.port}"
        target = self.rng.choice([here, here, here, here, here + ";transport=tcp", "sips:x@y", "tel:1"])
        lines = [
            f"SIP/2.0 {self.rng.choice(STATUSES)} X",
            f"Via: {asked.get('via')}",
            f"From: {asked.get('from')}",
            f"To: {asked.get('to').partition(';tag=')[0]}{tag}",
            f"Call-ID: {asked.get('call-id')}",
            f"CSeq: {asked.get('cseq')}",
            f"Contact: <{target}>",
        ]
        return "".join(line + "\r\n" for line in lines).encode() + self.tail()

    def datagram(self, data: bytes) -> None:
        if self.rng.random() < 0.08:
            data = mutate(self.rng, data)
        self.raw.sendto(data, self.station.address())

    async def segment(self, data: bytes) -> None:
        if self.stream is None or self.stream.is_closing():
            _, self.stream = await asyncio.open_connection(*self.station.address("tcp"))
        self.stream.write(data)
        if self.rng.random() < 0.2:
            self.stream.close()

    def act(self) -> None:
        """The application's part: with one of the legs, anything that there is."""
        leg = self.rng.choice(self.legs[-8:])
        action = self.rng.randrange(6)
        if isinstance(leg, IncomingLeg) and action < 4:
            ours = answer_to(leg.offer) if leg.offer else OFFER
            if action == 0:
                leg.ring()
            elif action == 1:
                leg.ring(183, "", ours)
            elif action == 2:
                leg.answer(ours)
            else:
                leg.reject(486)
        else:
            leg.hang_up()

    async def step(self) -> None:
        self.hear()
        chance = self.rng.random()
        if chance < 0.45:
            self.datagram(self.request("UDP"))
        elif chance < 0.5:
            await self.segment(self.request("TCP"))
        elif chance < 0.7 and self.asked:
            self.datagram(self.response())
        elif chance < 0.78:
            transport = self.rng.choice(["", "", ";transport=tcp"])
            secret = {"username": "u", "password": "p"} if chance < 0.74 else {}
            self.legs.append(self.station.dial(f"sip:b@127.0.0.1:{self.port}{transport}", **secret)[0])
        elif self.legs:
            self.act()
        await asyncio.sleep(0.001 if self.rng.random() < 0.5 else 0)


async def main(seed: int, steps: int) -> None:
    engine = driver().engine
    engine.set_timers(t1=20, t2=80, t4=60, td=300)
    station = Station()
    await station.endpoint.start()
    peer = Peer(random.Random(seed), station)
    for _ in range(steps):
        try:
            await peer.step()
        except (OSError, ForkproxyError):
            continue
    peer.raw.close()
    if peer.stream is not None:
        peer.stream.close()
    await station.endpoint.close()
    last = Station("udp://127.0.0.1:0")  # drives the timers of what is left
    await last.endpoint.start()
    for _ in range(200):
        held = engine.counters()
        if held["dialogs"] == held["transactions"] == 0 and held["transports"] == 1:
            break
        await asyncio.sleep(0.05)
    await last.endpoint.close()
    open_legs = sum(not leg.ended for leg in peer.legs)
    print("left", held["dialogs"], held["transactions"], held["transports"] - 1, open_legs)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
