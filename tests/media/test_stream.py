"""A leg's two ends: statistics of what comes, and the one stream that goes."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from forkproxy.media._seams import Received, Sent

MS = 1_000_000


def test_losses_duplicates_and_order() -> None:
    received = Received()
    for n, sequence in enumerate([65533, 65534, 0, 65535, 0, 1, 4, 3, 3]):
        received.note(1, sequence, sequence * 160, n * 20 * MS)
    figures = received.figures
    assert figures["expected"] == 8  # 65533 to 4
    assert figures["packets"] == 9
    assert figures["duplicate"] == 2
    assert figures["reordered"] == 2


@given(st.lists(st.integers(0, 40), min_size=1, max_size=300), st.integers(0, 65535))
def test_any_order_is_accounted_for(displacements: list[int], first: int) -> None:
    """Every number from the first to the last, shuffled a little, each once or twice: none is lost."""
    order = sorted(range(1, len(displacements) + 1), key=lambda n: n + displacements[n - 1])
    received = Received()
    received.note(1, first, 0, 0)
    again = 0
    for n in order:
        for _ in range(1 + (n % 7 == 0)):
            received.note(1, (first + n) % 65536, n * 160, n * 20 * MS)
        again += n % 7 == 0
    figures = received.figures
    assert figures["expected"] == len(displacements) + 1
    assert figures["duplicate"] == again
    assert figures["packets"] - figures["duplicate"] == figures["expected"]
    assert figures["starts"] == 1


def test_a_new_ssrc_and_a_restart_are_new_starts() -> None:
    received = Received()
    for ssrc, sequence in [(1, 10), (1, 11), (2, 5000), (2, 5001), (2, 40000), (2, 40001), (2, 39000)]:
        received.note(ssrc, sequence, 0, 0)
    figures = received.figures
    assert figures["starts"] == 4
    assert figures["changes"] == 1
    assert figures["expected"] == figures["packets"] == 7


def test_jitter_is_rfc_3550s() -> None:
    received = Received()
    jitter, before = 0.0, None
    chance = random.Random(3)
    for n in range(500):
        late = chance.randrange(0, 30)
        received.note(1, n, n * 160, (n * 20 + late) * MS)
        transit = late * 8
        if before is not None:
            jitter += (abs(transit - before) - jitter) / 16
        before = transit
    assert abs(received.figures["jitter"] - jitter) < 1.0


def test_events_and_leaps_do_not_enter_the_jitter() -> None:
    received = Received()
    for n in range(20):
        received.note(1, n, n * 160, n * 20 * MS)
    for n in range(20, 30):
        received.note(1, n, 20 * 160, n * 20 * MS, audio=False)
    received.note(1, 30, 2**31, 30 * 20 * MS)
    assert received.figures["jitter"] == 0


def test_the_extended_number_counts_cycles() -> None:
    received = Received()
    for sequence in (65534, 65535, 0, 1):
        received.note(1, sequence, 0, 0)
    assert [received.extend(sequence) for sequence in (65535, 1, 3)] == [65535, 65537, 65539]


def test_a_source_keeps_its_steps() -> None:
    sent = Sent(65534, 2**32 - 100)
    first = sent.next(5, 1000, 77, 0)
    assert first is not None
    assert first[2] is True  # the marker
    for sequence, timestamp, marker in [(1001, 237, False), (1003, 557, False), (1002, 397, True)]:
        assert sent.next(5, sequence, timestamp, 0, marker) == (
            (first[0] + sequence - 1000) % 2**16,
            (first[1] + timestamp - 77) % 2**32,
            marker,
        )


@given(
    st.lists(
        st.tuples(st.integers(1, 40), st.integers(0, 65535), st.integers(0, 2**32 - 1), st.integers(0, 3000)),
        min_size=1,
        max_size=20,
    ),
    st.integers(0, 65535),
    st.integers(0, 2**32 - 1),
)
def test_whatever_is_sent_is_one_stream(
    sources: list[tuple[int, int, int, int]], sequence: int, timestamp: int
) -> None:
    """Sources of any length and numbers, with pauses between: no gap, and time goes on by whole frames."""
    sent = Sent(sequence, timestamp)
    now, last, start, paused = 0, None, None, 0
    for source, (count, first, stamp, pause) in enumerate(sources):
        for n in range(count):
            numbers = sent.next(source + 2, (first + n) % 2**16, (stamp + n * 160) % 2**32, now)
            assert numbers is not None
            assert numbers[2] is (n == 0)
            if last is not None and start is not None:
                assert numbers[0] == (last[0] + 1) % 2**16
                on = (numbers[1] - last[1]) % 2**32
                assert on % 160 == 0
                assert 160 <= on <= 160 + (paused if n == 0 else 0) * 8
                # What the phone plays never runs ahead of what was sent, nor falls behind it by a frame.
                assert 0 <= (now - start) / MS * 8 - (numbers[1] - timestamp) % 2**32 < 320 + 160
            else:
                start = now
            last = numbers
            now += 20 * MS
        now += pause * MS
        paused = pause + 20


def test_stragglers_of_the_source_before_are_held_back() -> None:
    sent = Sent()
    assert sent.next(5, 100, 0, 0) is not None
    switched = sent.next(6, 500, 0, 20 * MS)
    assert switched is not None
    assert sent.next(6, 498, 0, 21 * MS) is None
    for n in range(1, 40_000):
        assert sent.next(6, (500 + n) % 2**16, n * 160, n * 20 * MS) is not None
    assert sent.next(6, (500 + 39_990) % 2**16, 0, 0) is not None  # reordered, long after the switch
