"""Changes within a call: what goes on to the other party, what is answered here, and what fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from forkproxy.bridge.negotiation import Negotiation
from forkproxy.bridge.party import Way
from forkproxy.bridge.reoffers import MOST_OFFERS, Reoffers, Side, glare_delay
from forkproxy.errors import SdpError
from forkproxy.media import MediaEngine
from forkproxy.signalling import events as sip
from forkproxy.signalling import sdes, sdp
from tests.bridge.test_negotiation import OFFER, description


class Leg:
    """A leg that notes what is asked of it."""

    def __init__(self) -> None:
        self.idle = self.established = True
        self.offers: list[bytes] = []
        self.accepted: list[bytes] = []
        self.refused: list[int] = []
        self.withdrawn = 0

    def reoffer(self, text: bytes) -> bool:
        self.offers.append(text)
        return True

    def accept_reoffer(self, text: bytes) -> None:
        self.accepted.append(text)

    def refuse_reoffer(self, status: int, reason: str = "", warning: str = "") -> None:
        self.refused.append(status)

    def withdraw_reoffer(self) -> None:
        self.withdrawn += 1


HELD = "a=sendonly\r\n"
CALLEE = description(6000, (0, "PCMU"), (101, "telephone-event"))


class Talk:
    """A call that is up, without its signalling."""

    def __init__(self, engine: MediaEngine) -> None:
        a, b = engine.open_leg(), engine.open_leg()
        negotiation = Negotiation(OFFER, a, "192.0.2.1")
        negotiation.offer_for_callee(b, "192.0.2.1", "off")
        session = negotiation.callee_answered(CALLEE, b)
        caller = negotiation.caller()
        assert caller is not None
        self.delays: list[bool] = []
        self.changed: list[Side] = []
        self.caller, self.callee = Leg(), Leg()
        self.reoffers = Reoffers(logging.getLogger("test"), self.changed.append, delay=self._delay)
        self.a = self.reoffers.caller = Side(self.caller, caller)  # type: ignore[arg-type]
        callee = negotiation.callee(b, CALLEE, session, None)
        self.b = self.reoffers.callee = Side(self.callee, callee)  # type: ignore[arg-type]

    def _delay(self, owner: bool) -> float:
        self.delays.append(owner)
        return 0


@pytest.fixture
async def engine() -> AsyncIterator[MediaEngine]:
    engine = MediaEngine(ports=(44300, 44399))
    engine.start()
    yield engine
    engine.close()


def directions(texts: list[bytes]) -> list[str]:
    return [sdp.parse(text).direction for text in texts]


async def test_a_hold_goes_on_and_its_answer_comes_back(engine: MediaEngine) -> None:
    talk = Talk(engine)
    talk.reoffers.happened(talk.a, sip.Reoffered(OFFER + HELD.encode()))
    assert directions(talk.callee.offers) == ["sendonly"]
    assert talk.caller.accepted == []
    talk.reoffers.happened(talk.b, sip.Reanswered(CALLEE + b"a=recvonly\r\n"))
    assert directions(talk.caller.accepted) == ["recvonly"]
    talk.reoffers.happened(talk.b, sip.Reoffered(CALLEE))  # the callee would talk, but is held
    assert directions(talk.callee.accepted) == ["sendonly"]
    assert talk.caller.offers == []
    talk.reoffers.happened(talk.a, sip.Reoffered(OFFER))
    talk.reoffers.happened(talk.b, sip.Reanswered(CALLEE))
    assert directions(talk.callee.offers) == ["sendonly", "sendrecv"]
    assert directions(talk.caller.accepted) == ["recvonly", "sendrecv"]


async def test_both_hold(engine: MediaEngine) -> None:
    talk = Talk(engine)
    talk.reoffers.update(talk.a, OFFER + HELD.encode())
    talk.reoffers.reconcile()
    talk.reoffers.happened(talk.b, sip.Reanswered(CALLEE + b"a=inactive\r\n"))
    assert (talk.a.party.now.will, talk.b.party.now.will) == (Way(True, False), Way(True, False))
    talk.reoffers.happened(talk.a, sip.Reanswered(OFFER + b"a=inactive\r\n"))
    assert directions(talk.caller.offers) == ["sendonly"]
    sent = len(talk.callee.offers)
    talk.reoffers.update(talk.a, OFFER)  # the caller resumes; the callee's hold stays
    talk.reoffers.reconcile()
    assert talk.a.party.told.direction == "sendonly"
    assert directions(talk.callee.offers[sent:]) == ["sendrecv"]


async def test_the_other_refuses(engine: MediaEngine) -> None:
    talk = Talk(engine)
    for status, told in ((488, 488), (491, 491), (401, 488), (302, 488), (486, 486)):
        talk.reoffers.happened(talk.a, sip.Reoffered(OFFER + HELD.encode()))
        talk.reoffers.happened(talk.b, sip.ReofferFailed(status, "No"))
        assert talk.caller.refused[-1] == told
    assert talk.changed == []
    assert talk.a.party.now.remote.direction == "sendrecv"


async def test_glare_is_timed_as_the_rfc_has_it(engine: MediaEngine) -> None:
    assert all(2.1 <= glare_delay(True) <= 4 for _ in range(100))
    assert all(0 <= glare_delay(False) <= 2 for _ in range(100))
    talk = Talk(engine)
    talk.reoffers.update(talk.a, OFFER + HELD.encode())
    talk.reoffers.reconcile()
    for number in range(3):
        talk.reoffers.happened(talk.b, sip.ReofferFailed(491, "Pending"))
        talk.reoffers.reconcile()
        assert len(talk.callee.offers) == number + 1, "it did not wait"
        await asyncio.sleep(0.02)
        assert len(talk.callee.offers) == number + 2
    assert talk.delays == [False] * 3
    talk.reoffers.happened(talk.b, sip.ReofferFailed(488, "No"))
    talk.reoffers.reconcile()
    assert len(talk.callee.offers) == 4, "what was refused is offered again"
    talk.reoffers.close()


async def test_two_that_disagree_do_not_keep_us_busy(engine: MediaEngine) -> None:
    talk = Talk(engine)
    talk.reoffers.update(talk.a, OFFER + HELD.encode())
    talk.reoffers.reconcile()
    for number in range(20):
        answer = b"a=inactive\r\n" if number % 2 else b"a=recvonly\r\n"
        for side, own in ((talk.a, OFFER), (talk.b, CALLEE)):
            if side.proposal is not None:
                talk.reoffers.happened(side, sip.Reanswered(own + answer))
    assert len(talk.caller.offers) + len(talk.callee.offers) <= MOST_OFFERS


async def test_while_one_is_asked_the_other_must_wait(engine: MediaEngine) -> None:
    talk = Talk(engine)
    talk.reoffers.happened(talk.a, sip.Reoffered(OFFER + HELD.encode()))
    talk.reoffers.happened(talk.b, sip.Reoffered(CALLEE + HELD.encode()))
    assert talk.callee.refused == [491]
    with pytest.raises(SdpError):
        talk.reoffers.update(talk.a, OFFER)
    talk.reoffers.happened(talk.a, sip.ReofferWithdrawn())
    assert talk.callee.withdrawn == 1
    talk.reoffers.happened(talk.b, sip.Reanswered(CALLEE + b"a=recvonly\r\n"))  # it crossed the CANCEL
    assert talk.caller.accepted == []
    assert directions(talk.callee.offers) == ["sendonly", "sendrecv"]


async def test_a_callee_that_goes_takes_its_hold_with_it(engine: MediaEngine) -> None:
    talk = Talk(engine)
    talk.reoffers.happened(talk.b, sip.Reoffered(CALLEE + HELD.encode()))
    talk.reoffers.happened(talk.a, sip.Reanswered(OFFER + b"a=recvonly\r\n"))
    talk.reoffers.callee_is(None)
    assert directions(talk.caller.offers) == ["sendonly", "sendrecv"]


async def test_what_was_encrypted_stays_so(engine: MediaEngine) -> None:
    key, other = sdes.fresh(1, "AES_CM_128_HMAC_SHA1_80"), sdes.fresh(1, "AES_CM_128_HMAC_SHA1_80")

    def secured(port: int, crypto: sdes.Crypto, extra: str = "") -> bytes:
        text = description(port, (0, "PCMU"), extra=f"{crypto.line()}\r\n{extra}")
        return text.replace(b"RTP/AVP", b"RTP/SAVP")

    a, b = engine.open_leg(), engine.open_leg()
    negotiation = Negotiation(secured(4000, key), a, "192.0.2.1", srtp="required")
    offered = sdp.parse(negotiation.offer_for_callee(b, "192.0.2.1", "required"))
    ours = offered.crypto[0]
    answer = secured(6000, sdes.fresh(ours.tag, ours.suite))
    session = negotiation.callee_answered(answer, b)
    caller, callee = negotiation.caller(), negotiation.callee(b, answer, session, None)
    assert caller is not None
    before = sdp.parse(caller.now.local).crypto
    codecs = callee.now.remote.codecs
    same = caller.answer(secured(4002, key), codecs, callee.now.will)
    assert sdp.parse(same.local).crypto == before, "a key that stays must not be changed"
    fresh = caller.answer(secured(4002, other), codecs, callee.now.will)
    assert sdp.parse(fresh.local).crypto[0].key != before[0].key
    with pytest.raises(SdpError):
        caller.answer(OFFER, codecs, callee.now.will)
    again = callee.offer(caller.now, Way(True, False), caller.security)
    assert sdp.parse(again.text).crypto == (ours,)
    assert b"RTP/SAVP" in again.text
    with pytest.raises(SdpError):
        callee.apply(callee.answered(again, CALLEE))
