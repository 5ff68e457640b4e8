"""The queue behind a speaker: the relay's and its twin agree, and what both promise."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from forkproxy.media._seams import SpeechQueue
from forkproxy.media.g711 import decode_ulaw_sample, encode_ulaw_sample
from forkproxy.media.speech_twin import SpeechQueue as Twin

MS = 1_000_000
START = 1000 * MS


def noise(count: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(count)


def run(queue: SpeechQueue | Twin, milliseconds: int, now: int = START, samples: int = 160) -> list[bytes]:
    """What is sent while time passes, as the relay looks: every 5 ms."""
    sent = []
    for at in range(0, milliseconds, 5):
        sent += [audio for _, audio in queue.tick(now + at * MS, samples)]
    return sent


steps = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 900)),
    st.tuples(st.just("write"), st.integers(7000, 17000)),
    st.tuples(st.just("tick"), st.sampled_from([5, 5, 5, 5, 20, 70, 210, 450])),
    st.tuples(st.just("tick"), st.sampled_from([5, 5, 5])),
    st.tuples(st.just("mix"), st.sampled_from([0, 80, 160, 160, 160, 400, 480])),
    st.tuples(st.just("clear"), st.just(0)),
    st.tuples(st.just("drain"), st.just(0)),
)


@given(
    st.lists(steps, max_size=120),
    st.booleans(),
    st.booleans(),
    st.sampled_from([80, 160, 240, 480]),
    st.integers(0, 65535),
)
def test_the_relay_and_its_twin_agree(
    script: list[tuple[str, int]], mixes: bool, alaw: bool, samples: int, sequence: int
) -> None:
    queue, twin = SpeechQueue(mixes, START), Twin(mixes, START)
    chance = random.Random(len(script))
    now = START
    for what, amount in script:
        match what:
            case "write":
                audio = noise(amount, amount)
                assert queue.write(audio) == twin.write(audio) == amount
            case "tick":
                now += amount * MS
                assert queue.tick(now, samples) == twin.tick(now, samples)
            case "mix" if mixes:
                sequence = (sequence + chance.choice([1, 1, 1, 1, 2, -1, 0])) % 65536
                packet = noise(amount, sequence)
                assert queue.mix(packet, sequence, now, alaw) == twin.mix(packet, sequence, now, alaw)
            case "clear":
                queue.clear()
                twin.clear()
            case "drain":
                queue.drain()
                twin.drain()
        assert queue.state == twin.state
        assert queue.replaces == twin.replaces
        waiting = queue.state["written"] - queue.state["sent"]
        assert queue.blocks <= waiting // 8000 + 2 + (what != "write") * 3


@given(st.lists(st.tuples(st.integers(1, 700), st.integers(0, 30)), min_size=1, max_size=60))
def test_everything_is_sent_once_and_in_order(writes: list[tuple[int, int]]) -> None:
    """However it is cut and whenever it comes: nothing is lost; silence stands only at an end of speech."""
    queue = SpeechQueue()
    now, said, heard = START, b"", []
    for n, (size, pause) in enumerate(writes):
        audio = bytes([1 + n % 120]) * size
        said += audio
        queue.write(audio)
        heard += run(queue, pause, now)
        now += pause * MS
    heard += run(queue, 20 * (len(said) // 160 + 6), now)  # two packets of silence may stand between
    assert b"".join(heard).replace(b"\xff", b"") == said
    assert queue.state["played"] == queue.state["written"] == len(said)
    assert sum(b"\xff" in packet for packet in heard) == queue.state["padded"]


def test_packets_are_cut_through_writes_without_padding() -> None:
    queue = SpeechQueue()
    audio = noise(8000 * 3)
    for at in range(0, len(audio), 107):
        queue.write(audio[at : at + 107])
    sent = run(queue, 3000)
    assert b"".join(sent) == audio
    assert queue.state["padded"] == 0


def test_the_end_is_filled_up_after_a_packets_time() -> None:
    queue = SpeechQueue()
    queue.write(b"\x01" * 200)
    assert run(queue, 20) == [b"\x01" * 160]
    assert run(queue, 20, START + 20 * MS) == []
    assert run(queue, 5, START + 40 * MS) == [b"\x01" * 40 + b"\xff" * 120]


def test_the_rest_of_a_packet_is_waited_for() -> None:
    queue = SpeechQueue()
    queue.write(b"\x01" * 200)
    run(queue, 35)
    queue.write(b"\x02" * 120)
    assert queue.tick(START + 35 * MS) == [(True, b"\x01" * 40 + b"\x02" * 120)]
    assert queue.state["underruns"] == 1


def test_what_was_late_is_not_hurried() -> None:
    queue = SpeechQueue()
    queue.write(b"\x01" * 160)
    run(queue, 120)
    queue.write(b"\x02" * 160 * 5)
    at = START + 120 * MS
    assert [len(queue.tick(at + n * 5 * MS)) for n in range(8)] == [1, 0, 0, 0, 1, 0, 0, 0]


def test_a_thread_that_stood_still_catches_up_unless_it_stood_too_long() -> None:
    queue = SpeechQueue()
    queue.write(b"\x01" * 160 * 50)
    queue.tick(START)
    assert [late for late, _ in queue.tick(START + 65 * MS)] == [False] * 3
    assert [late for late, _ in queue.tick(START + 500 * MS)] == [True]


def test_played_is_what_has_been_heard() -> None:
    queue = SpeechQueue()
    queue.write(b"\x01" * 320)
    queue.tick(START)
    assert (queue.state["sent"], queue.state["played"]) == (160, 0)
    queue.tick(START + 20 * MS)
    assert (queue.state["sent"], queue.state["played"]) == (320, 160)
    queue.tick(START + 40 * MS)
    assert queue.state["played"] == 320


def test_a_pause_begins_200_ms_after_the_last_sample() -> None:
    queue = SpeechQueue()
    queue.write(b"\x01" * 160)
    run(queue, 20)
    queue.tick(START + 215 * MS)
    assert queue.replaces
    queue.tick(START + 220 * MS)
    assert not queue.replaces


def test_clearing_ends_speech_at_once_but_not_the_pace() -> None:
    queue = SpeechQueue()
    queue.write(b"\x01" * 8000 * 4)
    queue.tick(START)
    queue.clear()
    assert not queue.replaces
    assert (queue.state["cleared"], queue.blocks) == (8000 * 4 - 160, 1)
    queue.write(b"\x02" * 320)
    assert queue.tick(START + 15 * MS) == []
    assert queue.tick(START + 20 * MS) == [(False, b"\x02" * 160)]


def test_blocks_are_given_back_as_they_are_played() -> None:
    queue = SpeechQueue()
    queue.write(bytes(8000 * 20))
    assert queue.blocks == 20
    run(queue, 10_005)
    queue.write(b"")
    assert queue.blocks == 10


def test_mixing_adds_and_saturates() -> None:
    queue = SpeechQueue(True, START)
    queue.write(bytes(encode_ulaw_sample(level) for level in (1000, -1000, 20_000, -20_000)) * 40)
    packet = bytes(encode_ulaw_sample(level) for level in (2000, 3000, 20_000, -20_000)) * 40
    both = [decode_ulaw_sample(code) for code in queue.mix(packet, 7, START)]
    assert both == both[:4] * 40
    assert abs(both[0] - 3000) <= 128
    assert abs(both[1] - 2000) <= 64
    assert both[2:4] == [32124, -32124]


def test_mixed_speech_goes_along_with_packets_then_by_itself() -> None:
    queue = SpeechQueue(True, START)
    silence = b"\xff" * 160
    queue.write(b"\x12" * 160 * 8)
    for n in range(4):
        assert queue.mix(silence, n, START + n * 20 * MS) == b"\x12" * 160
        assert run(queue, 20, START + n * 20 * MS) == []
    # The last packet's time is over at 80 ms; 60 ms later nobody is waited for.
    assert run(queue, 60, START + 80 * MS) == []
    assert run(queue, 80, START + 140 * MS) == [b"\x12" * 160] * 4


def test_what_was_overtaken_is_not_mixed_with_what_comes_later() -> None:
    queue = SpeechQueue(True, START)
    queue.write(b"\x12" * 160 * 8)
    silence = b"\xff" * 160
    assert [queue.mix(silence, n, START) != silence for n in (65535, 1, 0, 1, 2)] == [
        True,
        True,
        False,
        False,
        True,
    ]
