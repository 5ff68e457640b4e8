"""Two phones in Python that talk through the proxy, and whether a single packet of it was lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support import audio
from tests.support.proxy import Proxy
from tests.support.rtp import RtpParty, holes, longest_pause
from tests.support.sip import Call, Phone

ALICE_HZ = 440
BOB_HZ = 1000


class Conversation:
    """A call from `alice` to `bob` that is up; both talk without a break."""

    def __init__(self, alice: Call, bob: Call) -> None:
        self.alice = alice
        self.bob = bob
        self.began = time.monotonic()

    @property
    def parties(self) -> tuple[tuple[str, RtpParty, RtpParty], ...]:
        """(who listens, the one who speaks, the one who listens), both ways."""
        assert self.alice.rtp is not None
        assert self.bob.rtp is not None
        return ("bob", self.alice.rtp, self.bob.rtp), ("alice", self.bob.rtp, self.alice.rtp)

    def talk(self) -> None:
        assert self.alice.rtp is not None
        assert self.bob.rtp is not None
        self.alice.rtp.talk(audio.tone_ulaw(ALICE_HZ, 1))
        self.bob.rtp.talk(audio.tone_ulaw(BOB_HZ, 1))

    async def hush(self) -> None:
        """Both stop talking; what is under way arrives."""
        for _, speaker, _ in self.parties:
            await speaker.hush()
        await asyncio.sleep(0.3)

    def interruptions(self) -> list[str]:
        """What was wrong with the audio: nothing, if each packet came to the other phone, in order."""
        wrong = []
        for name, speaker, listener in self.parties:
            sent = [payload for _, _, payload in speaker.sent]
            got = [packet.payload for packet in listener.received]
            if sent != got:
                wrong.append(f"{name} heard {len(got)} of {len(sent)} packets")
            if holes(listener.received):
                wrong.append(f"{name} saw the sequence numbers jump to {holes(listener.received)[:5]}")
            if (pause := longest_pause(listener.received)) > 1.0:
                wrong.append(f"{name} heard nothing for {pause:.1f} s")
        return wrong


@asynccontextmanager
async def conversation(
    proxy: Proxy, alice: Phone, bob: Phone, *, dial: str = "bob", answer_within: float = 10
) -> AsyncIterator[Conversation]:
    """`alice` calls `dial` at the proxy, `bob` answers, both talk. The test ends the call.

    `bob` must have no other call coming in; where calls are placed side by side, each has a `bob` of its own.
    """
    address = proxy.udp if alice.transport == "udp" else proxy.tcp
    call = await alice.call(f"sip:{dial}@{address[0]}:{address[1]}", address)
    taken = await asyncio.wait_for(bob.incoming.get(), answer_within)
    taken.respond(180, "Ringing")
    accepting = asyncio.create_task(taken.accept())
    try:
        await call.answered(timeout=answer_within)
        await accepting
    finally:
        accepting.cancel()
        await asyncio.wait([accepting])
    talking = Conversation(call, taken)
    talking.talk()
    yield talking
