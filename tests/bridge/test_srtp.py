"""Which legs are encrypted, and with what; refused rather than plain where SRTP is required."""

from __future__ import annotations

import re
from typing import Any

import pytest

from forkproxy.bridge.choice import Abilities
from forkproxy.bridge.negotiation import Negotiation
from forkproxy.errors import SdpError
from forkproxy.media import SRTP_SUITES, MediaEngine, MediaLeg, SrtpKeys
from forkproxy.model import SrtpMode
from forkproxy.signalling import sdes, sdp
from tests.bridge.conftest import Told

HOST = "192.0.2.1"
SUITES = tuple(SRTP_SUITES)
PLAIN = sdp.offer("192.0.2.5", 4000, 4001)


@pytest.fixture
async def engine() -> Any:
    engine = MediaEngine(ports=(44300, 44399))
    engine.start()
    yield engine
    engine.close()


def reply(line: sdes.Crypto) -> sdes.Crypto:
    return sdes.fresh(line.tag, line.suite)


def answered(offer: bytes, crypto: sdes.Crypto | None = None) -> bytes:
    return sdp.make_answer(offer, "192.0.2.6", 6000, 6001, ["PCMU"], crypto=crypto)


@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("srtp", ["optional", "required"])
async def test_a_callers_keys_are_answered(
    engine: MediaEngine, told: Told, secure: bool, srtp: SrtpMode
) -> None:
    a = engine.open_leg()
    lines = sdes.fresh_offer(SUITES)
    offer = sdp.offer("192.0.2.5", 4000, 4001, secure=secure, crypto=lines)
    negotiation = Negotiation(offer, a, HOST, srtp=srtp)
    before = told(a)["srtp"]
    answer = negotiation.answer_alone()
    keys = told(a)["srtp"]
    assert keys == before  # no moment without
    assert (b"RTP/SAVP" in answer) == secure
    assert sdp.parse(answer).crypto == (sdes.Crypto(lines[0].tag, lines[0].suite, keys.send),)
    assert keys == SrtpKeys(lines[0].suite, keys.send, lines[0].key)
    assert keys.send not in [line.key for line in lines]


@pytest.mark.parametrize("srtp", ["optional", "required"])
async def test_a_callee_is_offered_keys_of_its_own(engine: MediaEngine, told: Told, srtp: SrtpMode) -> None:
    a, b, c = engine.open_leg(), engine.open_leg(), engine.open_leg()
    negotiation = Negotiation(PLAIN, a, HOST)
    offer = negotiation.offer_for_callee(b, HOST, srtp)
    other = negotiation.offer_for_callee(c, HOST, srtp)
    lines = sdp.parse(offer).crypto
    assert (b"RTP/SAVP" in offer) == (srtp == "required")
    assert [line.suite for line in lines] == list(SUITES)
    assert not {line.key for line in lines} & {line.key for line in sdp.parse(other).crypto}
    theirs = reply(lines[-1])
    negotiation.callee_answered(answered(offer, theirs), b)
    assert told(b)["srtp"] == SrtpKeys(theirs.suite, lines[-1].key, theirs.key)
    assert told(a)["srtp"] is None
    assert negotiation.answer is not None
    assert b"crypto" not in negotiation.answer


async def test_a_callee_that_ignores_the_keys_gets_plain_rtp(engine: MediaEngine, told: Told) -> None:
    b = engine.open_leg()
    negotiation = Negotiation(PLAIN, engine.open_leg(), HOST)
    negotiation.callee_answered(answered(negotiation.offer_for_callee(b, HOST)), b)
    assert told(b)["srtp"] is None


def stripped(answer: bytes) -> bytes:
    return re.sub(rb"a=crypto:[^\r]*\r\n", b"", answer)


@pytest.mark.parametrize(
    "attack",
    [
        stripped,
        lambda answer: stripped(answer).replace(b"RTP/SAVP", b"RTP/AVP"),
        lambda answer: answer.replace(b"a=crypto:1", b"a=crypto:7"),
        lambda answer: answer.replace(b"a=crypto:1", b"a=x-crypto:1"),
        lambda answer: re.sub(rb"(a=crypto:[^\r]*)", rb"\1 UNENCRYPTED_SRTP", answer),
        lambda answer: re.sub(rb"(a=crypto:[^\r]*)", rb"\1|1:1", answer),
        lambda answer: re.sub(rb"inline:[^\r]*", b"inline:AAAA", answer),
    ],
)
async def test_who_strips_keys_ends_a_leg_that_must_have_them(
    engine: MediaEngine, told: Told, attack: Any
) -> None:
    """A required leg never sends plain RTP: the relay does not even hear of the callee."""
    a, b = engine.open_leg(), engine.open_leg()
    negotiation = Negotiation(PLAIN, a, HOST)
    offer = negotiation.offer_for_callee(b, HOST, "required")
    answer = answered(offer, reply(sdp.parse(offer).crypto[0]))
    with pytest.raises(SdpError) as caught:
        negotiation.callee_answered(attack(answer), b)
    assert caught.value.sip_status == 488
    assert told(b) == {}
    assert negotiation.answer is None
    negotiation.callee_answered(answer, b)
    assert told(b)["srtp"] is not None
    with pytest.raises(SdpError):  # after a good answer, too
        negotiation.callee_answered(attack(answer), b)
    assert told(b)["srtp"] is not None


@pytest.mark.parametrize("spoilt", [b"a=crypto:7", b"a=crypto:1 NONE"])
async def test_keys_that_do_not_fit_are_no_excuse_for_plain_rtp(
    engine: MediaEngine, told: Told, spoilt: bytes
) -> None:
    """Who answers with keys sends SRTP; to take it for plain would be noise."""
    b = engine.open_leg()
    negotiation = Negotiation(PLAIN, engine.open_leg(), HOST)
    offer = negotiation.offer_for_callee(b, HOST)
    answer = answered(offer, reply(sdp.parse(offer).crypto[0]))
    with pytest.raises(SdpError, match="crypto:"):
        negotiation.callee_answered(answer.replace(b"a=crypto:1", spoilt), b)
    assert told(b) == {}


async def test_offers_that_the_setting_forbids_are_refused(engine: MediaEngine, told: Told) -> None:
    secure = sdp.offer("192.0.2.5", 4000, 4001, secure=True, crypto=sdes.fresh_offer(SUITES))
    cases: list[tuple[bytes, SrtpMode]] = [(secure, "off"), (stripped(secure), "optional")]
    cases += [(PLAIN, "required"), (stripped(secure), "required"), (stripped(secure), "off")]
    for offer, srtp in cases:
        leg = engine.open_leg()
        with pytest.raises(SdpError) as caught:
            Negotiation(offer, leg, HOST, srtp=srtp)
        assert caught.value.sip_status == 488
        assert told(leg) == {}


async def test_off_offers_and_takes_no_keys(engine: MediaEngine, told: Told) -> None:
    a, b = engine.open_leg(), engine.open_leg()
    best_effort = sdp.offer("192.0.2.5", 4000, 4001, crypto=sdes.fresh_offer(SUITES))
    negotiation = Negotiation(best_effort, a, HOST, srtp="off")
    assert b"crypto" not in negotiation.offer_for_callee(b, HOST, "off")
    assert b"crypto" not in negotiation.answer_alone()
    assert told(a)["srtp"] is None


async def test_without_a_library_nothing_is_promised(engine: MediaEngine, told: Told) -> None:
    able = Abilities(suites=())
    a, b = engine.open_leg(), engine.open_leg()
    best_effort = sdp.offer("192.0.2.5", 4000, 4001, crypto=sdes.fresh_offer(SUITES))
    negotiation = Negotiation(best_effort, a, HOST, abilities=able)
    assert b"crypto" not in negotiation.offer_for_callee(b, HOST)
    assert b"crypto" not in negotiation.answer_alone()
    with pytest.raises(SdpError, match="must be encrypted"):
        negotiation.offer_for_callee(b, HOST, "required")
    with pytest.raises(SdpError):
        Negotiation(best_effort, a, HOST, srtp="required", abilities=able)


@pytest.mark.parametrize("srtp", ["optional", "required"])
async def test_a_delayed_offer_has_keys_and_the_ack_accepts_them(
    engine: MediaEngine, told: Told, srtp: SrtpMode
) -> None:
    a = engine.open_leg()
    negotiation = Negotiation(None, a, HOST, srtp=srtp)
    offer = negotiation.answer_alone()
    lines = sdp.parse(offer).crypto
    theirs = reply(lines[0])
    answer = answered(offer, theirs)
    if srtp == "required":
        with pytest.raises(SdpError):
            negotiation.caller_confirmed(stripped(answer))
        assert told(a) == {}
    negotiation.caller_confirmed(answer)
    assert told(a)["srtp"] == SrtpKeys(theirs.suite, lines[0].key, theirs.key)


async def test_real_legs_take_the_keys(engine: MediaEngine) -> None:
    a, b = engine.open_leg(), engine.open_leg()
    offer = sdp.offer("127.0.0.1", 4000, 4001, secure=True, crypto=sdes.fresh_offer(SUITES))
    negotiation = Negotiation(offer, a, "127.0.0.1", srtp="required")
    ours = negotiation.offer_for_callee(b, "127.0.0.1", "required")
    theirs = reply(sdp.parse(ours).crypto[0])
    negotiation.callee_answered(sdp.make_answer(ours, "127.0.0.1", 6000, 6001, ["PCMU"], crypto=theirs), b)
    assert engine.counters()["srtp_sessions"] == 4
    leg: MediaLeg
    for leg in (a, b):
        leg.close()
