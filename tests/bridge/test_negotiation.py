"""Offer and answer across two legs, with the real SDP rules and real RTP ports."""

from __future__ import annotations

import asyncio
import base64
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from forkproxy.bridge.negotiation import Negotiation, payload_types
from forkproxy.errors import SdpError
from forkproxy.media import MediaEngine, MediaLeg, SrtpKeys
from forkproxy.model import Address
from forkproxy.signalling import sdp


def description(port: int, *codecs: tuple[int, str], extra: str = "") -> bytes:
    numbers = " ".join(str(number) for number, _ in codecs)
    maps = "".join(f"a=rtpmap:{number} {name}/8000\r\n" for number, name in codecs)
    return (
        "v=0\r\no=- 1 1 IN IP4 192.0.2.5\r\ns=-\r\nc=IN IP4 192.0.2.5\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP {numbers}\r\n{maps}{extra}"
    ).encode()


OFFER = description(4000, (0, "PCMU"), (8, "PCMA"), (9, "G722"), (101, "telephone-event"))


@pytest.fixture
async def engine() -> AsyncIterator[MediaEngine]:
    engine = MediaEngine(ports=(44200, 44299))
    engine.start()
    yield engine
    engine.close()


async def test_the_offer_goes_on_with_our_address_and_the_answer_comes_back(engine: MediaEngine) -> None:
    a, b = engine.open_leg(), engine.open_leg()
    negotiation = Negotiation(OFFER, a, "192.0.2.1")
    offered = sdp.parse(negotiation.offer_for_callee(b, "192.0.2.1"))
    assert (offered.host, offered.port, offered.rtcp_port) == ("192.0.2.1", b.rtp_port, b.rtcp_port)
    assert [codec.name for codec in offered.codecs] == ["PCMU", "PCMA", "G722", "TELEPHONE-EVENT"]
    negotiation.callee_answered(description(6000, (8, "PCMA"), (101, "telephone-event")), b)
    assert negotiation.answer is not None
    answered = sdp.parse(negotiation.answer)
    assert (answered.host, answered.port) == ("192.0.2.1", a.rtp_port)
    assert [codec.name for codec in answered.codecs] == ["PCMA", "TELEPHONE-EVENT"]


async def test_the_first_answer_stands_and_the_next_callee_is_offered_it_first(engine: MediaEngine) -> None:
    a, b, c = engine.open_leg(), engine.open_leg(), engine.open_leg()
    negotiation = Negotiation(OFFER, a, "192.0.2.1")
    negotiation.offer_for_callee(b, "192.0.2.1")
    negotiation.callee_answered(description(6000, (8, "PCMA")), b)
    stands = negotiation.answer
    offered = sdp.parse(negotiation.offer_for_callee(c, "192.0.2.1"))
    assert [codec.name for codec in offered.codecs] == ["PCMA", "PCMU", "G722"]
    negotiation.callee_answered(description(6002, (9, "G722")), c)
    assert negotiation.answer is stands


async def test_our_own_answer_is_what_the_caller_prefers(engine: MediaEngine) -> None:
    negotiation = Negotiation(OFFER, engine.open_leg(), "192.0.2.1")
    answer = negotiation.answer_alone()
    assert [codec.name for codec in sdp.parse(answer).codecs] == ["PCMU", "TELEPHONE-EVENT"]
    assert negotiation.answer_alone() is answer


async def test_a_delayed_offer_is_ours_and_the_ack_answers_it(engine: MediaEngine) -> None:
    a, b = engine.open_leg(), engine.open_leg()
    negotiation = Negotiation(None, a, "192.0.2.1")
    assert "PCMU" in [codec.name for codec in sdp.parse(negotiation.offer_for_callee(b, "192.0.2.1")).codecs]
    negotiation.callee_answered(description(6000, (8, "PCMA")), b)
    assert negotiation.answer is not None
    assert sdp.parse(negotiation.answer).codecs[0].name == "PCMA"
    negotiation.caller_confirmed(description(4000, (8, "PCMA")))
    assert negotiation.remote is not None
    assert negotiation.remote.port == 4000


async def test_what_cannot_be_carried_is_not_acceptable(engine: MediaEngine) -> None:
    with pytest.raises(SdpError, match="G729") as caught:
        Negotiation(description(4000, (18, "G729"), (101, "telephone-event")), engine.open_leg(), "192.0.2.1")
    assert caught.value.sip_status == 488
    a, b = engine.open_leg(), engine.open_leg()
    negotiation = Negotiation(OFFER, a, "192.0.2.1")
    negotiation.offer_for_callee(b, "192.0.2.1")
    for answer in (b"", b"v=0\r\n", description(0, (0, "PCMU")), description(6000, (18, "G729"))):
        with pytest.raises(SdpError):
            negotiation.callee_answered(answer, b)
    assert negotiation.answer is None


def test_payload_types_are_renumbered_where_they_differ() -> None:
    a = sdp.parse(description(4000, (0, "PCMU"), (101, "telephone-event")))
    b = sdp.parse(description(6000, (0, "PCMU"), (96, "telephone-event")))
    assert payload_types(a, b) == {101: 96}
    assert payload_types(b, a) == {96: 101}
    assert payload_types(a, a) == {}


async def test_a_phone_behind_nat_is_heard_from_where_its_sip_comes_from(engine: MediaEngine) -> None:
    """Its description has a private address; the packets come from the NAT's."""
    a, b = engine.open_leg(), engine.open_leg()
    private = OFFER.replace(b"192.0.2.5", b"10.0.0.7")
    negotiation = Negotiation(private, a, "127.0.0.1", signalled_from="127.0.0.1")
    negotiation.offer_for_callee(b, "127.0.0.1")
    negotiation.callee_answered(description(6000, (0, "PCMU")), b)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        packet = struct.pack(">BBHII", 0x80, 0, 1, 160, 7) + bytes(160)
        phone.sendto(packet, ("127.0.0.1", a.rtp_port))
        await asyncio.sleep(0.1)
        assert a.figures().source == Address("127.0.0.1", phone.getsockname()[1])


KEY = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
CRYPTO = f"a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20\r\n"


def secure(text: bytes) -> bytes:
    return text.replace(b"RTP/AVP", b"RTP/SAVP")


class Told(MediaLeg):
    """A leg that shows what the relay was told."""

    keys: SrtpKeys | None = None

    def set_remote(self, *arguments: Any, srtp: SrtpKeys | None = None, **named: Any) -> None:
        self.keys = srtp
        super().set_remote(*arguments, srtp=srtp, **named)


def told(engine: MediaEngine) -> Told:
    leg = engine.open_leg()
    leg.__class__ = Told
    assert isinstance(leg, Told)
    return leg


async def test_phones_without_a_common_codec_are_connected(engine: MediaEngine) -> None:
    a, b = engine.open_leg(), engine.open_leg()
    negotiation = Negotiation(description(4000, (9, "G722"), (101, "telephone-event")), a, "192.0.2.1")
    offered = sdp.parse(negotiation.offer_for_callee(b, "192.0.2.1"))
    assert [codec.name for codec in offered.codecs] == ["G722", "PCMU", "PCMA", "TELEPHONE-EVENT"]
    negotiation.callee_answered(description(6000, (8, "PCMA")), b)
    assert negotiation.answer is not None
    assert [codec.name for codec in sdp.parse(negotiation.answer).codecs] == ["G722"]


@pytest.mark.parametrize(
    "offer",
    [secure(description(4000, (0, "PCMU"), extra=CRYPTO)), description(4000, (0, "PCMU"), extra=CRYPTO)],
)
async def test_an_encrypted_caller_is_answered_with_a_key_of_ours(engine: MediaEngine, offer: bytes) -> None:
    a, b = told(engine), told(engine)
    negotiation = Negotiation(offer, a, "192.0.2.1")
    assert negotiation.encrypted
    forwarded = negotiation.offer_for_callee(b, "192.0.2.1")
    assert KEY.encode() not in forwarded
    negotiation.callee_answered(description(6000, (0, "PCMU")), b)
    assert negotiation.answer is not None
    answered = sdp.parse(negotiation.answer)
    assert a.keys is not None
    assert [(line.tag, line.suite, line.key) for line in answered.crypto] == [(7, a.keys.suite, a.keys.send)]
    assert a.keys.receive == base64.b64decode(KEY)
    assert (b"SAVP" in negotiation.answer) == (b"SAVP" in offer)
    assert b.keys is None


async def test_a_callee_takes_one_of_the_offered_keys(engine: MediaEngine) -> None:
    a, b = told(engine), told(engine)
    negotiation = Negotiation(OFFER, a, "192.0.2.1")
    offered = sdp.parse(negotiation.offer_for_callee(b, "192.0.2.1", "required"))
    line = next(line for line in offered.crypto if line.suite == "AES_CM_128_HMAC_SHA1_80")
    answer = secure(description(6000, (0, "PCMU"), extra=CRYPTO.replace(":7", f":{line.tag}")))
    negotiation.callee_answered(answer, b)
    assert b.keys == SrtpKeys(line.suite, send=line.key, receive=base64.b64decode(KEY))
    assert a.keys is None


@pytest.mark.parametrize(
    "answer",
    [
        description(6000, (0, "PCMU")),
        secure(description(6000, (0, "PCMU"), extra=CRYPTO.replace(":7", ":99"))),
    ],
)
async def test_encryption_that_is_required_is_never_given_up(engine: MediaEngine, answer: bytes) -> None:
    b = told(engine)
    negotiation = Negotiation(OFFER, engine.open_leg(), "192.0.2.1")
    assert b"RTP/SAVP" in negotiation.offer_for_callee(b, "192.0.2.1", "required")
    with pytest.raises(SdpError):
        negotiation.callee_answered(answer, b)
    with pytest.raises(SdpError, match="encrypted"):
        Negotiation(OFFER, engine.open_leg(), "192.0.2.1", srtp="required")


async def test_encryption_that_is_off_is_refused(engine: MediaEngine) -> None:
    with pytest.raises(SdpError, match="RTP/AVP"):
        Negotiation(
            secure(description(4000, (0, "PCMU"), extra=CRYPTO)), engine.open_leg(), "192.0.2.1", srtp="off"
        )
