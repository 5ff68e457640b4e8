"""Two endpoints, what happened to their legs, and the timers of a test: short."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from forkproxy.signalling import IncomingLeg, Leg, OutgoingLeg, SipEndpoint, sdp
from forkproxy.signalling.access import Admit, by_address
from forkproxy.signalling.events import Answered, Confirmed, LegEvent

E = TypeVar("E", bound=LegEvent)
OFFER = sdp.offer("127.0.0.1", 40000, 40001)
PATIENCE = 5.0


def answer_to(offer: bytes) -> bytes:
    return sdp.make_answer(offer, "127.0.0.1", 42000, 42001, ["PCMU", "TELEPHONE-EVENT"])


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that has no event of its own."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


class History:
    """The events of one leg, awaited by type."""

    def __init__(self) -> None:
        self.events: list[LegEvent] = []
        self._news = asyncio.Event()

    def __call__(self, leg: Leg, event: LegEvent) -> None:
        self.events.append(event)
        self._news.set()

    async def first(self, kind: type[E], nth: int = 1) -> E:
        """The nth event of that type, as soon as it is there."""
        async with asyncio.timeout(PATIENCE):
            while len(found := [event for event in self.events if isinstance(event, kind)]) < nth:
                self._news.clear()
                await self._news.wait()
        return found[nth - 1]

    @property
    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


class Station:
    """An endpoint with the calls that came to it."""

    def __init__(
        self,
        *listen: str,
        admit: Callable[[object], bool] = lambda address: True,
        judge: Admit | None = None,
        **more: Any,
    ) -> None:
        self.calls: asyncio.Queue[tuple[IncomingLeg, History]] = asyncio.Queue()
        self.endpoint = SipEndpoint(
            listen=listen or ("udp://127.0.0.1:0", "tcp://127.0.0.1:0"),
            user_agent="test/1",
            on_invite=self._came,
            admit=judge or by_address(admit),
            **more,
        )

    def _came(self, leg: IncomingLeg) -> None:
        history = History()
        leg.on_event = history
        self.calls.put_nowait((leg, history))

    async def call(self) -> tuple[IncomingLeg, History]:
        """The next call that came in."""
        async with asyncio.timeout(PATIENCE):
            return await self.calls.get()

    def address(self, transport: str = "udp") -> tuple[str, int]:
        """Where it listens."""
        found = next(each for each in self.endpoint.listening if each.startswith(transport))
        host, _, port = found.partition(":")[2].rpartition(":")
        return host.strip("[]"), int(port)

    def uri(self, user: str = "bob", transport: str = "udp") -> str:
        """What to dial to reach it."""
        host, port = self.address(transport)
        tail = "" if transport == "udp" else f";transport={transport}"
        return f"sip:{user}@{f'[{host}]' if ':' in host else host}:{port}{tail}"

    def dial(self, uri: str, **more: Any) -> tuple[OutgoingLeg, History]:
        history = History()
        options: dict[str, Any] = {"sdp": OFFER, "from_uri": "sip:alice@127.0.0.1", "on_event": history}
        leg = self.endpoint.dial(uri, **(options | more))
        return leg, history


async def conversation(
    caller: Station, callee: Station, transport: str = "udp"
) -> tuple[OutgoingLeg, History, IncomingLeg, History]:
    """A call that is up: both legs and what happened to them."""
    out, heard = caller.dial(callee.uri(transport=transport))
    leg, seen = await callee.call()
    assert leg.offer is not None
    leg.answer(answer_to(leg.offer))
    await heard.first(Answered)
    await seen.first(Confirmed)
    return out, heard, leg, seen
