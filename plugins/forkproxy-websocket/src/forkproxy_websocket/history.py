"""The frames that were sent and that the consumer has perhaps not read: what a new connection gets again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from forkproxy.connectors.api import FRAME_MS, Frame, FrameFlag, Track

if TYPE_CHECKING:
    from forkproxy_websocket._native import NativeHistory

MARGIN = 50
"""Frame numbers (a second) before the last one known to be read that are kept all the same: a library that
answers our ping has read what came before; its application may still have it in a queue."""


TRACKS = tuple(Track)
"""By the native code's numbers."""


class Kept(Protocol):
    """What delivery asks of either history."""

    def add(self, frames: Iterable[Frame]) -> None:
        """These are being sent."""

    def confirm(self, number: int) -> None:
        """The frames before `number` have been read. A number that was never sent counts as the last one."""

    def unconfirmed(self) -> list[Frame]:
        """What is sent again, in order."""

    @property
    def first(self) -> int | None:
        """The oldest frame's number; None: there is none."""

    @property
    def next(self) -> int:
        """The number behind that of the newest frame that was added."""


class History:
    """The last seconds of what was sent, bounded; what is known to have been read is forgotten earlier."""

    def __init__(self, seconds: float) -> None:
        self._moments = int(seconds * 1000 / FRAME_MS)
        self._frames: deque[Frame] = deque()
        self._next = 0

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def first(self) -> int | None:
        """The oldest frame's number; None: there is none."""
        return self._frames[0].number if self._frames else None

    @property
    def next(self) -> int:
        """The number behind that of the newest frame that was added."""
        return self._next

    def add(self, frames: Iterable[Frame]) -> None:
        """These are being sent."""
        kept = self._frames
        kept.extend(frames)
        if kept:
            self._next = kept[-1].number + 1
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


class SharedHistory:
    """The same, kept by native code, whose sender threads add what they send."""

    def __init__(self, seconds: float) -> None:
        from forkproxy_websocket._native import NativeHistory  # there is none if it was not built

        self.core: NativeHistory = NativeHistory(int(seconds * 1000 / FRAME_MS))

    def __len__(self) -> int:
        return len(self.core)

    @property
    def first(self) -> int | None:
        """The oldest frame's number; None: there is none."""
        return self.core.first

    @property
    def next(self) -> int:
        """The number behind that of the newest frame that was added."""
        return self.core.next

    def add(self, frames: Iterable[Frame]) -> None:
        """These are being sent, by Python."""
        self.core.add(frames)

    def confirm(self, number: int) -> None:
        """The frames before `number` have been read. A number that was never sent counts as the last one."""
        self.core.forget(max(min(number, self.core.next) - MARGIN, 0))

    def unconfirmed(self) -> list[Frame]:
        """What is sent again, in order. No sender thread may add meanwhile."""
        return [
            Frame(TRACKS[track], number, FrameFlag(flags), payload)
            for track, number, flags, payload in self.core.unconfirmed()
        ]
