"""Frames that are put together before they are sent: the tracks of a moment, and moments after each other."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence

from forkproxy.connectors.api import Frame, Track

_LOUDEST = 32767


class Moments:
    """Joins the frames of both tracks that have one number. L16 only; what never came is silence."""

    def __init__(self, tracks: Sequence[Track], *, stereo: bool) -> None:
        """
        Args:
            tracks: those that come; of one alone, each frame is handed on.
            stereo: interleaved, inbound first; otherwise both are mixed to one channel.
        """
        self._both = len(tracks) > 1
        self._join = interleaved if stereo else mixed
        self._held: Frame | None = None

    def add(self, frame: Frame) -> tuple[int, bytes] | None:
        """A frame; returns a moment's number and audio once it is complete."""
        if not self._both:
            return frame.number, frame.payload
        held, self._held = self._held, frame
        if held is None:
            return None
        if held.number == frame.number and held.track is not frame.track:
            self._held = None
            first, second = (held, frame) if held.track is Track.INBOUND else (frame, held)
            return frame.number, self._join(first.payload, second.payload)
        return self._alone(held)

    def rest(self) -> tuple[int, bytes] | None:
        """What is held."""
        held, self._held = self._held, None
        return None if held is None else self._alone(held)

    def _alone(self, frame: Frame) -> tuple[int, bytes]:
        silence = bytes(len(frame.payload))
        pair = (frame.payload, silence) if frame.track is Track.INBOUND else (silence, frame.payload)
        return frame.number, self._join(*pair)


def interleaved(first: bytes, second: bytes) -> bytes:
    """Two channels of L16 as one stereo one."""
    both = array("h", bytes(2 * len(first)))
    both[0::2], both[1::2] = array("h", first), array("h", second)
    return both.tobytes()


def mixed(first: bytes, second: bytes) -> bytes:
    """The sum of two channels of L16 (little-endian), cut at the loudest."""
    ours, theirs = array("h", first), array("h", second)
    if sys.byteorder == "big":  # pragma: no cover
        ours.byteswap()
        theirs.byteswap()
    sums = (one + other for one, other in zip(ours, theirs, strict=True))
    total = array("h", [max(-_LOUDEST - 1, min(_LOUDEST, sum_)) for sum_ in sums])
    if sys.byteorder == "big":  # pragma: no cover
        total.byteswap()
    return total.tobytes()
