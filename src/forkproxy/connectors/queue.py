"""The frames between the tap and a connector: bounded in time, oldest dropped first, all counted."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Collection, Sequence

from forkproxy.model import FRAME_MS, Frame, Track


class FrameQueue:
    """Frames of the chosen tracks, in order.

    An *episode* of loss begins with a frame that is dropped and ends when the reader has caught up.
    """

    def __init__(self, tracks: Collection[Track], seconds: float) -> None:
        """Keep the last `seconds` of `tracks`, at least one frame of each; infinity keeps all.

        Raises:
            ValueError: there is no track.
        """
        if not tracks:
            raise ValueError("a queue without tracks")
        self.tracks = tuple(tracks)  # a tuple: members are found by identity, an enumeration's hash is slow
        moments = sys.maxsize if math.isinf(seconds) else max(1, int(seconds * 1000 / FRAME_MS))
        self.limit = moments * len(self.tracks)
        """The most frames that wait."""
        self.added = 0
        self.taken = 0
        self.dropped = 0
        self.losing = 0
        """The frames lost in the episode that is on; 0: none is."""
        self._frames: deque[Frame] = deque()

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frames: Sequence[Frame]) -> bool:
        """Append the frames of our tracks; True when that began an episode of loss.

        Frames of one call of this method may come in any order; they are put in that of their numbers,
        inbound first. Whole moments are dropped: never one track's half of 20 ms.
        """
        queue, tracks = self._frames, self.tracks
        before = len(queue)
        in_order = True
        last: tuple[int, Track] | None = None
        for frame in frames:
            if frame[0] in tracks:
                place = (frame[1], frame[0])
                if last is not None and place < last:
                    in_order = False
                last = place
                queue.append(frame)
        self.added += len(queue) - before
        if not in_order:
            late = sorted((queue.pop() for _ in range(len(queue) - before)), key=_place)
            queue.extend(late)
        return len(queue) > self.limit and self._drop()

    @property
    def span_ms(self) -> int:
        """Milliseconds between the oldest frame that waits and the newest."""
        frames = self._frames
        return (frames[-1].number - frames[0].number) * FRAME_MS if frames else 0

    def take(self, most: int) -> list[Frame]:
        """The next frames, at most `most`; empty when none waits."""
        queue = self._frames
        if len(queue) <= most:
            frames = list(queue)
            queue.clear()
            self.losing = 0
        else:
            frames = [queue.popleft() for _ in range(most)]
        self.taken += len(frames)
        return frames

    def clear(self) -> None:
        """Forget what waits."""
        self._frames.clear()

    def _drop(self) -> bool:
        queue = self._frames
        before = len(queue)
        while len(queue) > self.limit:
            number = queue.popleft().number
            while queue and queue[0].number == number:
                queue.popleft()
        began = not self.losing
        self.losing += before - len(queue)
        self.dropped += before - len(queue)
        return began


def _place(frame: Frame) -> tuple[int, Track]:
    return frame.number, frame.track  # "inbound" sorts before "outbound"
