"""How many calls a trunk carries at a time, and how many may begin in a second. Pure."""

from __future__ import annotations


class Limit:
    """One trunk's."""

    def __init__(self, calls: int | None, rate: float | None) -> None:
        """
        Args:
            calls: the most at a time, those that come in and those that go out; None: any number.
            rate: the most that begin in a second, over time; a second's worth may begin at once.
        """
        self.calls = calls
        self.rate = rate
        self.active = 0
        """Calls now."""
        self.refused = 0
        """Calls that were not let in."""
        self._room = self._most = max(rate or 0.0, 1.0)
        self._at: float | None = None

    def take(self, now: float) -> bool:
        """Begin a call; False: there is no room for it. Each one taken must be released."""
        if self.rate is not None:
            since = 0.0 if self._at is None else now - self._at
            self._room = min(self._room + since * self.rate, self._most)
            self._at = now
        full = self.calls is not None and self.active >= self.calls
        if full or (self.rate is not None and self._room < 1):
            self.refused += 1
            return False
        if self.rate is not None:
            self._room -= 1
        self.active += 1
        return True

    def release(self) -> None:
        """A call has ended."""
        self.active = max(self.active - 1, 0)
