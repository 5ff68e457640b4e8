"""Whether one more call can be taken: calls, calls a second, and how late the event loop runs."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

from forkproxy.model import Limits

TICK = 0.1
"""Seconds between two looks at the event loop."""
FADES = 1.0
"""Seconds for which a lag counts."""


class Overload:
    """Says no to calls that are too many. Those that are up are not touched."""

    def __init__(
        self, limits: Limits, active: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            active: how many calls there are.
        """
        self.limits = limits
        self._active = active
        self._clock = clock
        self._tokens, self._at = 1.0, clock()
        self._lag, self._lag_at = 0.0, clock()
        self._counts = Counter(dict.fromkeys(("refused_full", "refused_rate", "refused_lag"), 0))
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch the running event loop."""
        self._due = self._clock() + TICK
        self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)

    def close(self) -> None:
        """Watch it no more."""
        if self._timer is not None:
            self._timer.cancel()

    @property
    def lag(self) -> float:
        """Seconds that the event loop was late by, at most, within the last second."""
        return self._lag if self._clock() - self._lag_at < FADES else 0.0

    def late(self, seconds: float) -> None:
        """The event loop did something so many seconds after it was due."""
        if seconds >= self.lag:
            self._lag, self._lag_at = seconds, self._clock()

    def takes(self) -> bool:
        """Whether there is room for one more call; it is taken, then, and otherwise counted."""
        limits = self.limits
        if limits.max_calls is not None and self._active() >= limits.max_calls:
            return self._refuse("full")
        if limits.max_lag is not None and self.lag > limits.max_lag:
            return self._refuse("lag")
        if limits.max_rate is not None:
            now = self._clock()
            burst = max(limits.max_rate, 1.0)
            self._tokens = min(self._tokens + (now - self._at) * limits.max_rate, burst)
            self._at = now
            if self._tokens < 1:
                return self._refuse("rate")
            self._tokens -= 1
        return True

    def counters(self) -> dict[str, int | float]:
        """Calls refused by reason since the start, and the present lag in seconds."""
        return {**self._counts, "lag_seconds": round(self.lag, 4)}

    def _refuse(self, why: str) -> bool:
        self._counts[f"refused_{why}"] += 1
        return False

    def _tick(self) -> None:
        self.late(max(self._clock() - self._due, 0.0))
        self.start()
