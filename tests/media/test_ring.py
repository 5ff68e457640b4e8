"""The ring: one writer, readers that may fall behind."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forkproxy.media._seams import FrameRing


@given(st.integers(0, 600))
def test_the_newest_pairs_can_be_read_and_older_ones_cannot(count: int) -> None:
    ring = FrameRing()
    for n in range(count):
        ring.write(n % 256)
    assert ring.first == max(0, count - (FrameRing.SLOTS - 1))
    for n in range(count):
        assert ring.read(n) == (n % 256 if n >= ring.first else None)
