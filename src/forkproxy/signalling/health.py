"""Which destinations answer: what probes and calls found out, and the order in which calls try them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from forkproxy.signalling.locate import Destination

HOLD = 30.0
"""Seconds that a destination which failed a call is tried last, where no probe says better."""
REMEMBERED = 4_096


class Health:
    """What is known of destinations; those that nothing is known of count as up."""

    def __init__(self) -> None:
        self._down: dict[Destination, float] = {}
        """Until when a destination is passed over."""

    def good(self, destination: Destination) -> bool:
        """It has answered; True: it was down before."""
        return self._down.pop(destination, None) is not None

    def bad(self, destination: Destination, now: float, seconds: float = HOLD) -> bool:
        """It has not, or said 503; True: it was up before."""
        news = not self.is_down(destination, now)
        if len(self._down) >= REMEMBERED:
            self._down = {each: until for each, until in self._down.items() if until > now}
        self._down[destination] = now + seconds
        return news

    def is_down(self, destination: Destination, now: float) -> bool:
        """Whether calls pass it over."""
        return self._down.get(destination, now) > now

    def order(self, destinations: Iterable[Destination], now: float) -> list[Destination]:
        """Those that are up first, each part in its order; the others are the last resort."""
        return sorted(destinations, key=lambda each: self.is_down(each, now))
