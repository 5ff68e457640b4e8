"""When a relay thread naps: under load, where naps save wake-ups, never beyond what is due, and no longer."""

from __future__ import annotations

import pytest

from forkproxy.media._seams import Pacing

MS = 1_000_000
NEVER = 1 << 62


def run(pace: Pacing, ms: int, *, looks: int, packets: int, waited: int = 100_000, start: int = 0) -> int:
    """`looks` a millisecond from `start` ms on, with `packets` each, after `waited` ns; the end in ms."""
    for at in range(start * looks, (start + ms) * looks):
        pace.note(packets, waited, at * MS // looks)
    return start + ms


def napping(pace: Pacing, at: int) -> bool:
    return pace.until(at * MS, NEVER) != 0


def test_many_packets_that_come_one_by_one_make_it_nap_for_a_millisecond_at_most() -> None:
    pace = Pacing()
    at = run(pace, 100, looks=5, packets=10)
    assert at * MS < pace.until(at * MS, NEVER) <= (at + 1) * MS


def test_what_is_due_ends_a_nap() -> None:
    pace = Pacing()
    at = run(pace, 100, looks=5, packets=10)
    assert pace.until(at * MS, at * MS + 300_000) == at * MS + 300_000


@pytest.mark.parametrize("packets", [0, 1, 3])
def test_few_packets_are_never_waited_for(packets: int) -> None:
    pace = Pacing()
    for start in range(0, 2000, 20):
        at = run(pace, 20, looks=5, packets=packets, start=start)
        assert not napping(pace, at)


def test_bursts_that_are_a_wakeup_each_are_not_waited_for() -> None:
    pace = Pacing()
    for start in range(0, 2000, 20):
        at = run(pace, 20, looks=1, packets=50, start=start)
        assert not napping(pace, at)


def test_a_burst_that_is_read_in_several_looks_is_one_wakeup() -> None:
    pace = Pacing()
    for start in range(2000):
        pace.note(10, 600_000, start * MS)
        for _ in range(4):
            pace.note(10, 3_000, start * MS + 100_000)
        assert not napping(pace, start)


def test_naps_end_when_the_load_does() -> None:
    pace = Pacing()
    at = run(pace, 100, looks=5, packets=10)
    assert napping(pace, at)
    at = run(pace, 60, looks=1, packets=10, start=at)
    assert not napping(pace, at)


def test_naps_end_after_a_silence() -> None:
    pace = Pacing()
    at = run(pace, 100, looks=5, packets=10)
    pace.note(1, 500 * MS, (at + 500) * MS)
    assert not napping(pace, at + 500)


def test_it_looks_again_whether_naps_pay() -> None:
    pace = Pacing()
    at = run(pace, 100, looks=5, packets=10)
    awake = 0
    for _ in range(2000):
        # one look a nap while it naps; bursts of a wake-up each while it does not
        awake += not napping(pace, at)
        at = run(pace, 1, looks=1, packets=50, start=at)
    assert not napping(pace, at)
    assert awake > 500
