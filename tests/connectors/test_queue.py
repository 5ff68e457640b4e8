"""The bounded queue: order, tracks, what is dropped, and that every frame is accounted for."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.connectors.queue import FrameQueue
from forkproxy.connectors.testing import frames
from forkproxy.model import Track, Tracks

BOTH = Tracks.BOTH.members


def test_frames_come_out_as_they_went_in() -> None:
    queue = FrameQueue(BOTH, 1)
    assert not queue.add(frames(3))
    assert len(queue) == 6
    assert queue.take(100) == frames(3)
    assert (queue.added, queue.taken, queue.dropped, len(queue)) == (6, 6, 0, 0)


@pytest.mark.parametrize("tracks", [Tracks.INBOUND, Tracks.OUTBOUND])
def test_other_tracks_are_left_out_and_not_counted(tracks: Tracks) -> None:
    queue = FrameQueue(tracks.members, 1)
    queue.add(frames(5))
    assert queue.take(100) == frames(5, tracks)
    assert queue.added == 5


def test_inbound_stands_before_outbound_of_the_same_moment() -> None:
    queue = FrameQueue(BOTH, 1)
    queue.add(frames(1))
    queue.add(frames(3, start=1)[::-1])
    assert queue.take(100) == frames(4)


def test_taking_at_most_some() -> None:
    queue = FrameQueue(BOTH, 1)
    queue.add(frames(5))
    assert queue.take(4) + queue.take(4) + queue.take(4) == frames(5)
    assert queue.take(4) == []


def test_the_oldest_go_first_and_whole_moments() -> None:
    queue = FrameQueue(BOTH, 0.1)  # five moments
    assert not queue.add(frames(5))
    assert queue.add(frames(1, Tracks.INBOUND, start=5))  # one frame too many takes a pair with it
    assert queue.dropped == 2
    assert queue.take(100) == [*frames(4, start=1), *frames(1, Tracks.INBOUND, start=5)]


def test_an_episode_of_loss_is_reported_once_and_ends_when_the_reader_has_caught_up() -> None:
    queue = FrameQueue((Track.INBOUND,), 0.1)
    assert queue.add(frames(6))
    assert not queue.add(frames(3, start=6))
    assert queue.losing == queue.dropped == 4
    queue.take(2)
    assert queue.losing, "three frames still wait"
    queue.take(100)
    assert not queue.losing
    assert queue.add(frames(6, start=9))
    assert (queue.losing, queue.dropped) == (1, 5)


def test_without_a_limit_nothing_is_dropped() -> None:
    queue = FrameQueue(BOTH, math.inf)
    assert not queue.add(frames(10_000))
    assert len(queue) == 20_000


def test_a_tiny_queue_still_holds_a_moment() -> None:
    queue = FrameQueue(BOTH, 0)
    queue.add(frames(7))
    assert queue.take(10) == frames(1, start=6)


def test_no_track_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="without tracks"):
        FrameQueue((), 1)


@given(
    tracks=st.sampled_from(Tracks),
    seconds=st.floats(0, 1),
    steps=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=30),
)
def test_every_frame_is_accounted_for(tracks: Tracks, seconds: float, steps: list[tuple[int, int]]) -> None:
    queue = FrameQueue(tracks.members, seconds)
    number = 0
    out = []
    for added, taken in steps:
        queue.add(frames(added, start=number))
        number += added
        out += queue.take(taken)
        assert len(queue) <= queue.limit
        assert queue.added == queue.taken + queue.dropped + len(queue) == number * len(tracks.members)
    everything = frames(number, tracks)
    remaining = iter(everything)
    assert all(frame in remaining for frame in out), "frames come in order, each once"
    waiting = queue.take(len(everything))
    assert waiting == everything[len(everything) - len(waiting) :], "what waits is the newest"
