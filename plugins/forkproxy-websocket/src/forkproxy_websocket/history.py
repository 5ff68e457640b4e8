"""The frames that were sent and that the consumer has perhaps not read: what a new connection gets again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from forkproxy.connectors.api import FRAME_MS, Frame

MARGIN = 50
"""Frame numbers (a second) before the last one known to be read that are kept all the same: a library that
answers our ping has read what came before; its application may still have it in a queue."""


class History:
    """The last seconds of what was sent, bounded; what is known to have been read is forgotten earlier."""

    def __init__(self, seconds: float) -> None:
        self._moments = int(seconds * 1000 / FRAME_MS)
        self._frames: deque[Frame] = deque()

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def first(self) -> int | None:
        """The oldest frame's number; None: there is none."""
        return self._frames[0].number if self._frames else None

    def add(self, frames: Iterable[Frame]) -> None:
        """These are being sent."""
        kept = self._frames
        kept.extend(frames)
        if kept:
            self._forget(kept[-1].number + 1 - self._moments)

    def confirm(self, number: int) -> None:
        """The frames before `number` have been read. A number that was never sent counts as the last one."""
        if self._frames:
            self._forget(min(number, self._frames[-1].number + 1) - MARGIN)

    def unconfirmed(self) -> list[Frame]:
        """What is sent again, in order."""
        return list(self._frames)

    def _forget(self, before: int) -> None:
        kept = self._frames
        while kept and kept[0].number < before:
            kept.popleft()
