"""What fuzzing found interesting, and its neighbours, once more; `make test-asan` watches that, too."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator

import pytest

from forkproxy.errors import SdpError
from forkproxy.media import twins
from forkproxy.media._seams import FUZZED, fuzz, parse_rtp
from forkproxy.signalling import sdp
from tests.fuzz.stored import load
from tests.fuzz.test_sip_process import mutate

NEIGHBOURS = 20


def inputs(target: str) -> Iterator[bytes]:
    """The stored ones, each followed by some that differ from it a little, the same in every run."""
    chance = random.Random(target)
    stored = load(target)
    assert len(stored) > 10
    for data in stored:
        yield data
        for _ in range(NEIGHBOURS):
            yield mutate(chance, data)


@pytest.mark.parametrize("target", FUZZED)
def test_every_claim_holds(target: str) -> None:
    for data in inputs(target):
        assert fuzz(target, data) == 0, data.hex()


def test_the_parsers_twin_agrees() -> None:
    for data in inputs("rtp"):
        ours = parse_rtp(data)
        try:
            assert ours == dataclasses.asdict(twins.parse_rtp(data)), data.hex()
        except ValueError:
            assert isinstance(ours, int), data.hex()


def test_a_session_description_is_read_or_refused() -> None:
    for data in inputs("sdp"):
        try:
            names = [codec.key for codec in sdp.parse(data).codecs]
            made = [
                sdp.forward_offer(data, "192.0.2.1", 20000, 20001),
                sdp.make_answer(data, "2001:db8::1", 20000, 20001, names),
            ]
        except SdpError:
            continue
        for each in made:
            sdp.parse(each)
