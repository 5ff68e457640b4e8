"""Offers, and what answers are worth."""

from __future__ import annotations

import contextlib

import pytest
from forkproxy_siprec import parts, sdp
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.connectors.api import Address
from tests.support.srs import medias

KEY = sdp.Crypto("1", "AES_CM_128_HMAC_SHA1_80", bytes(range(30)))
LINES = [sdp.Line("1", 4000, 4001), sdp.Line("2", 4002, 4003)]
SECURE = [sdp.Line("1", 4000, 4001, cryptos=(KEY,))]


def answer(*lines: str, head: str = "v=0\r\nc=IN IP4 192.0.2.1\r\n") -> bytes:
    return (head + "".join(f"{line}\r\n" for line in lines)).encode()


def test_an_offer_says_what_is_needed_and_its_version_grows_with_changes_only() -> None:
    offerer = sdp.Offerer(7)
    offer = offerer.describe("192.0.2.7", LINES)
    assert b"o=forkproxy 7 1 IN IP4 192.0.2.7\r\n" in offer
    assert [(m.attribute("label"), m.direction, m.port, m.formats) for m in medias(offer)] == [
        ("1", "sendonly", 4000, [0, 8]),
        ("2", "sendonly", 4002, [0, 8]),
    ]
    assert offerer.describe("192.0.2.7", LINES) == offer
    assert b"o=forkproxy 7 2 IN IP6 ::1\r\n" in offerer.describe("::1", [sdp.Line("1", 4000, 4009)])
    secure = sdp.Offerer(7).describe("192.0.2.7", SECURE)
    assert b"RTP/SAVP" in secure
    assert b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAEC" in secure


def test_answers_are_matched_by_place_and_read_leniently() -> None:
    judged = sdp.judge(
        LINES,
        answer("m=audio 5000 RTP/AVP 0", "a=label:2", "a=recvonly",
               "m=audio 5002 RTP/AVP 8", "c=IN IP4 192.0.2.2", "a=rtcp:6000 IN IP4 192.0.2.3",
               "a=inactive", "m=audio 9 RTP/AVP 0"),
    )  # fmt: skip
    first, second = judged.verdicts
    assert (first.rtp, first.rtcp, first.codec) == (
        Address("192.0.2.1", 5000),
        Address("192.0.2.1", 5001),
        "PCMU",
    )
    assert first.active
    assert (second.rtp, second.rtcp, second.codec) == (
        Address("192.0.2.2", 5002),
        Address("192.0.2.3", 6000),
        "PCMA",
    )
    assert not second.active
    assert len(judged.remarks) == 2
    dynamic = sdp.judge(LINES[:1], answer("m=audio 5000 RTP/AVP 96", "a=rtpmap:96 pcma/8000"))
    assert (dynamic.verdicts[0].codec, dynamic.verdicts[0].payload_type) == ("PCMA", 96)
    session_wide = sdp.judge(LINES[:1], answer("a=inactive", "m=audio 5000 RTP/AVP 0"))
    assert not session_wide.verdicts[0].active


@pytest.mark.parametrize(
    ("lines", "reply", "why"),
    [
        (LINES, answer("m=audio 0 RTP/AVP 0"), "port 0"),
        (LINES, answer(), "no such m-line"),
        (LINES, answer("m=audio 5000 RTP/AVP 18"), "none of PCMU, PCMA"),
        (LINES, answer("m=audio 5000 RTP/AVP 0", head="v=0\r\n"), "no c= line"),
        (SECURE, answer("m=audio 5000 RTP/AVP 0"), "nothing is sent in the clear"),
        (SECURE, answer("m=audio 5000 RTP/SAVP 0"), "without a key"),
        (
            SECURE,
            answer("m=audio 5000 RTP/SAVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:AAAA"),
            "without a key",
        ),
        ([sdp.Line("1", 0, 0)], answer("m=audio 5000 RTP/AVP 0"), "taken out"),
    ],
)
def test_what_cannot_be_sent_to_is_refused_with_its_reason(
    lines: list[sdp.Line], reply: bytes, why: str
) -> None:
    judged = sdp.judge(lines, reply)
    assert judged.useless
    assert why in (judged.verdicts[0].rejected or "")


def test_the_key_of_the_answer_is_taken() -> None:
    judged = sdp.judge(SECURE, answer("m=audio 5000 RTP/SAVP 0", f"a={KEY.line[2:]}|2^20"))
    assert judged.verdicts[0].theirs == KEY
    assert "AAEC" not in repr(judged)


def test_the_recorders_own_offers() -> None:
    answered = sdp.answer_to(
        LINES,
        answer(
            "m=audio 5000 RTP/AVP 0", "a=inactive", "m=audio 0 RTP/AVP 0", "m=audio 7 RTP/AVP 0", "a=label:x"
        ),
    )
    assert [(line.label, line.port, line.direction) for line in answered] == [
        ("1", 4000, "inactive"),
        ("2", 0, "inactive"),
        ("x", 0, "inactive"),
    ]


@given(st.binary(max_size=300))
def test_nothing_that_comes_is_more_than_a_value_error(data: bytes) -> None:
    for piece in (data, b"v=0\r\nm=" + data, b"v=0\r\nm=audio 1 RTP/AVP 0\r\na=" + data):
        with contextlib.suppress(ValueError):
            sdp.judge(LINES, piece)
    with contextlib.suppress(ValueError):
        parts.split("multipart/mixed;boundary=b", b"--b" + data)


def test_bodies_of_several_parts() -> None:
    made = [parts.Part("application/sdp", b"v=0\r\n"), parts.Part("text/x", b"--x\r\n", "recording-session")]
    body = parts.join(made)
    assert parts.split(body.content_type, body.data) == made
    assert parts.split("application/sdp", b"v=0") == [parts.Part("application/sdp", b"v=0")]
    odd = b"preamble\n--b\nContent-Type: Application/SDP; x=y\n\nv=0\n--b--\nepilogue"
    assert [part.kind for part in parts.split('Multipart/Mixed; boundary="b"', odd)] == ["application/sdp"]
    with pytest.raises(ValueError, match="without a boundary"):
        parts.split("multipart/mixed", b"x")
    with pytest.raises(ValueError, match="nowhere"):
        parts.split("multipart/mixed;boundary=q", b"x")
