"""What a recording client offers, and what it is told, with real RTP legs."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import pytest

from forkproxy.bridge.choice import Abilities
from forkproxy.bridge.tracks import Tracks
from forkproxy.errors import SdpError
from forkproxy.media import MediaEngine
from forkproxy.signalling.sdes import PLAIN, Security
from tests.support.src import answered, line, offer

KEY = base64.b64encode(bytes(30)).decode()
OTHER = base64.b64encode(bytes(29) + b"1").decode()


@pytest.fixture
async def engine() -> AsyncIterator[MediaEngine]:
    engine = MediaEngine(ports=(45300, 45499))
    engine.start()
    yield engine
    engine.close()


def tracks(engine: MediaEngine, security: Security = PLAIN) -> Tracks:
    legs = engine.open_leg("first"), engine.open_leg("second")
    return Tracks(legs, "127.0.0.1", security, signalled_from=None, abilities=Abilities())


def secured(port: int, key: str, label: str = "1") -> str:
    crypto = f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n"
    return line(port, label, more=crypto).replace("RTP/AVP", "RTP/SAVP")


async def test_a_line_keeps_its_place(engine: MediaEngine) -> None:
    pair = tracks(engine)
    first = answered(pair.take(offer(line(4000, "a"), line(4002, "b"), line(4004, "c"))))
    assert [bool(each.port) for each in first] == [True, True, False]
    assert pair.labels == ["a", "b"]
    second = answered(pair.take(offer(line(0, "a"), line(4002, "b", "inactive"), line(4004, "c"))))
    assert [each.port for each in second] == [0, first[1].port, first[0].port]
    assert [each.direction for each in second[1:]] == ["inactive", "recvonly"]
    assert pair.labels == ["c", "b"]
    assert [place.open for place in pair.places] == [True, False]


async def test_the_same_offer_gets_the_same_answer(engine: MediaEngine) -> None:
    pair = tracks(engine)
    text = offer(line(4000))
    assert pair.take(text) == pair.take(text)
    assert pair.take(offer(line(4000, direction="inactive"))) != pair.take(text)


async def test_a_line_that_cannot_be_recorded_is_left_out(engine: MediaEngine) -> None:
    pair = tracks(engine)
    strange = line(4000).replace("0 8", "96").replace("rtpmap:0 PCMU/8000", "rtpmap:96 X-WHALE/8000")
    told = answered(pair.take(offer(strange, line(4002, "2"))))
    assert [bool(each.port) for each in told] == [False, True]
    assert pair.labels == ["2"]
    before = pair.answer
    with pytest.raises(SdpError, match="X-WHALE"):
        pair.take(offer(strange))
    assert (pair.answer, pair.labels) == (before, ["2"])


async def test_keys_stay_while_the_clients_do(engine: MediaEngine) -> None:
    pair = tracks(engine, Security())
    pair.take(offer(secured(4000, KEY), secured(4002, KEY, "2")))
    mine = [place.keys[0].key for place in pair.places if place.keys]
    assert len(set(mine)) == 2
    pair.take(offer(secured(4000, KEY), secured(4002, OTHER, "2"), version=2))
    again = [place.keys[0].key for place in pair.places if place.keys]
    assert again[0] == mine[0]
    assert again[1] != mine[1]


async def test_what_must_be_encrypted_is_not_taken_plain(engine: MediaEngine) -> None:
    with pytest.raises(SdpError, match="RTP/AVP"):
        tracks(engine, Security("required")).take(offer(line(4000)))
    with pytest.raises(SdpError):
        tracks(engine).take(offer(secured(4000, KEY).replace("a=crypto", "a=nothing")))
