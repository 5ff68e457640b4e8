"""The relay's event queue: in order, bounded, and nothing vanishes uncounted."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from forkproxy.media._seams import Events


@given(st.lists(st.one_of(st.just(0), st.integers(1, 300)), max_size=30))
def test_what_found_room_comes_out_in_order_and_the_rest_is_counted(steps: list[int]) -> None:
    """A step is a number of events put in, or 0: take out half of what is there."""
    queue, expected, lost, number = Events(), deque[tuple[int, ...]](), 0, 0
    for step in steps:
        for _ in range(step):
            number += 1
            event = number, number % 7, -number, number << 40, 0
            fits = len(expected) < Events.SLOTS
            assert queue.put(*event) is fits
            lost += not fits
            if fits:
                expected.append(event)
        if step == 0:
            for _ in range(len(expected) // 2):
                assert queue.take() == expected.popleft()
    assert queue.lost == lost
    while expected:
        assert queue.take() == expected.popleft()
    assert queue.take() is None
