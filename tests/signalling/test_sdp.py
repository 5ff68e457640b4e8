"""Session descriptions: read, offered, forwarded, answered."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.errors import SdpError
from forkproxy.signalling import sdp
from forkproxy.signalling.codecs import numbered
from forkproxy.signalling.sdp import AudioSession, Codec

PHONE = (
    b"v=0\r\no=- 20518 0 IN IP4 203.0.113.1\r\ns= \r\nt=0 0\r\nc=IN IP4 203.0.113.1\r\na=group:BUNDLE a v\r\n"
    b"m=video 0 RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n"
    b"m=audio 54400 RTP/AVP 9 8 0 96 97 13\r\nc=IN IP4 203.0.113.9\r\n"
    b"a=rtpmap:9 G722/8000\r\na=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-15\r\n"
    b"a=rtpmap:97 opus/48000/2\r\n"
    b"a=ptime:30\r\na=maxptime:60\r\na=sendonly\r\na=rtcp:54402 IN IP4 203.0.113.10\r\na=label:7\r\n"
    b"a=candidate:1 1 UDP 2130706431 203.0.113.9 54400 typ host\r\na=ice-ufrag:x\r\na=ssrc:1 cname:a\r\n"
    b"a=x-tool:y z\r\n"
    b"m=audio 54500 RTP/AVP 0\r\n"
)
OPUS = Codec(97, "OPUS", 48000)
EVENTS = Codec(96, "TELEPHONE-EVENT", 8000, "0-15")


def test_a_phones_offer_is_read() -> None:
    assert sdp.parse(PHONE) == AudioSession(
        host="203.0.113.9",
        port=54400,
        rtcp_host="203.0.113.10",
        rtcp_port=54402,
        codecs=(Codec(9, "G722"), Codec(8, "PCMA"), Codec(0, "PCMU"), EVENTS, OPUS, Codec(13, "CN")),
        ptime=30,
        direction="sendonly",
        index=1,
        maxptime=60,
    )


def test_our_offer_reads_back() -> None:
    session = sdp.parse(sdp.offer("192.0.2.1", 20000, 20001))
    assert session == AudioSession("192.0.2.1", 20000, "192.0.2.1", 20001, sdp.DEFAULT, 20, "sendrecv", 0)
    muxed = sdp.parse(sdp.offer("2001:db8::1", 20000, 20000, direction="recvonly", ptime=40))
    assert (muxed.host, muxed.rtcp_port, muxed.direction, muxed.ptime) == (
        "2001:db8::1",
        20000,
        "recvonly",
        40,
    )
    assert b"c=IN IP6 2001:db8::1\r\n" in sdp.offer("[2001:db8::1]", 1, 2)


def test_every_description_of_ours_has_its_own_number() -> None:
    first, second = (re.search(rb"o=forkproxy (\d+)", sdp.offer("h", 1, 2)) for _ in range(2))
    assert first
    assert second
    assert first[1] != second[1]


def test_an_offer_is_forwarded_with_our_address_and_codecs() -> None:
    ours = sdp.forward_offer(PHONE, "192.0.2.1", 20000, 20001)
    assert sdp.parse(ours) == AudioSession(
        "192.0.2.1",
        20000,
        "192.0.2.1",
        20001,
        sdp.parse(PHONE).codecs,
        30,
        "sendonly",
        0,
        60,
    )
    for line in (b"a=label:7", b"a=x-tool:y z", b"a=fmtp:96 0-15"):
        assert line + b"\r\n" in ours
    for gone in (
        b"203.0.113",
        b"video",
        b"candidate",
        b"ice",
        b"ssrc",
        b"54500",
        b"BUNDLE",
    ):
        assert gone not in ours


def test_forwarding_can_be_narrowed() -> None:
    ours = sdp.parse(sdp.forward_offer(PHONE, "h", 1, 2, [Codec(0, "PCMU"), EVENTS]))
    assert ours.codecs == (Codec(0, "PCMU"), EVENTS)
    with pytest.raises(SdpError, match="no audio codec in common"):
        sdp.forward_offer(PHONE, "h", 1, 2, [EVENTS])


def test_an_answer_has_the_offers_lines_and_numbers() -> None:
    answer = sdp.make_answer(PHONE, "192.0.2.1", 20000, 20001, ["PCMU", "PCMA", "TELEPHONE-EVENT"])
    lines = answer.decode().split("\r\n")
    assert [line for line in lines if line.startswith("m=")] == [
        "m=video 0 RTP/SAVPF 96",
        "m=audio 20000 RTP/AVP 0 8 96",
        "m=audio 0 RTP/AVP 0",
    ]
    assert "a=recvonly" in lines
    assert sdp.parse(answer).codecs == (Codec(0, "PCMU"), Codec(8, "PCMA"), EVENTS)


def test_an_answer_may_hold_and_repack() -> None:
    session = sdp.parse(sdp.make_answer(PHONE, "h", 1, 2, ["PCMU"], direction="inactive", ptime=20))
    assert (session.direction, session.ptime, session.codecs) == ("inactive", 20, (Codec(0, "PCMU"),))


@pytest.mark.parametrize("names", [["L16/16000"], ["TELEPHONE-EVENT", "CN"], []])
def test_an_answer_needs_a_codec_in_common(names: list[str]) -> None:
    with pytest.raises(SdpError, match="offered: G722, PCMA, PCMU"):
        sdp.make_answer(PHONE, "h", 1, 2, names)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"v=0", b"v=1", "line 1 .*v=0"),
        (b"s= ", b"nonsense", "line 3 .*<type>=<value>.*nonsense"),
        (b"m=audio 54400 RTP/AVP 9 8 0 96 97 13", b"m=audio 54400 RTP/AVP", "line 9 .*media line"),
        (b"m=audio 54400", b"m=audio 70000", "line 9 .*media line"),
        (b"m=audio 54400", b"m=audio -1", "line 9 .*media line"),
        (b"m=audio 54400", b"m=audio " + b"1" * 5000, "line 9 .*media line"),
        (b"c=IN IP4 203.0.113.9", b"c=IN IP4", "line 10 .*connection"),
        (b"c=IN IP4 203.0.113.9", b"c=IN IP4 a b", "line 10 .*connection"),
        (b"c=IN IP4 203.0.113.9", b"c=IN IP4 <x>", "line 10 .*address"),
        (b"a=rtcp:54402", b"a=rtcp:0", "a=rtcp"),
        (b"a=rtcp:54402 IN IP4 203.0.113.10", b"a=rtcp:x", "a=rtcp"),
        (b"m=audio", b"m=text", "no audio stream over RTP/AVP"),
        (b"RTP/AVP 9", b"RTP/SAVP 9", None),
        (b"\x73=", b"\0=", "NUL"),
    ],
)
def test_mistakes_are_named(old: bytes, new: bytes, message: str | None) -> None:
    spoilt = PHONE.replace(old, new)
    assert spoilt != PHONE
    if message is None:
        assert sdp.parse(spoilt).index == 2
        return
    with pytest.raises(SdpError, match=message) as caught:
        sdp.parse(spoilt)
    assert caught.value.sip_status == 488


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\r\n",
        b"v=0\r\n",
        b"v=0\r\nm=audio 9 RTP/AVP 0\r\n",
        b"v=0\r\n" + b"a=x\r\n" * 600,
        b"v" * 40000,
    ],
)
def test_too_little_and_too_much(text: bytes) -> None:
    with pytest.raises(SdpError):
        sdp.parse(text)


@pytest.mark.parametrize(("said", "meant"), [("sendrecv", "sendonly"), ("recvonly", "inactive")])
def test_no_address_is_hold(said: str, meant: str) -> None:
    assert sdp.parse(sdp.offer("0.0.0.0", 1, 2, direction=said)).direction == meant


def test_line_ends_may_be_bare() -> None:
    assert sdp.parse(PHONE.replace(b"\r\n", b"\n")) == sdp.parse(PHONE)


@pytest.mark.parametrize(
    ("attributes", "codecs"),
    [
        (b"a=rtpmap:0 pcmu/8000\r\n", (Codec(0, "PCMU"),)),
        (b"a=rtpmap:0 PCMU/16000\r\n", ()),
        (b"a=rtpmap:0 PCMU/8000/2\r\n", ()),
        (b"a=rtpmap:0 PCMU/8000/1\r\n", (Codec(0, "PCMU"),)),
        (b"a=rtpmap:0 nonsense\r\n", (Codec(0, "PCMU"),)),
        (b"a=rtpmap:0 opus/48000/2\r\na=fmtp:0 stereo=0\r\n", (Codec(0, "OPUS", 48000, "stereo=0"),)),
        (b"a=rtpmap:0 opus/48000\r\n", ()),
        (b"a=rtpmap:0 L16/16000\r\n", (Codec(0, "L16", 16000),)),
        (b"a=rtpmap:0 L16/44100\r\n", ()),
        (b"a=rtpmap:0 L16/16000/2\r\n", ()),
        (b"a=rtpmap:0 G722/16000\r\n", ()),
        (b"a=rtpmap:0 telephone-event/48000\r\n", (Codec(0, "TELEPHONE-EVENT", 48000),)),
        (b"a=rtpmap:0 CN/16000\r\n", ()),
        (b"a=fmtp:" + b"1" * 5000 + b" x\r\n", (Codec(0, "PCMU"),)),
    ],
)
def test_odd_rtpmaps(attributes: bytes, codecs: tuple[Codec, ...]) -> None:
    text = b"v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 9 RTP/AVP 0 0 200 x\r\n" + attributes
    assert sdp.parse(text).codecs == codecs


def test_what_changes_a_session_and_what_does_not() -> None:
    assert sdp.unchanged(PHONE, PHONE.replace(b"20518 0", b"20518 1").replace(b"label:7", b"label:8"))
    assert not sdp.unchanged(PHONE, PHONE.replace(b"sendonly", b"sendrecv"))
    assert not sdp.unchanged(PHONE, PHONE.replace(b"54400 RTP", b"54404 RTP"))
    assert not sdp.unchanged(PHONE, b"nonsense")


literals = st.ip_addresses().filter(lambda address: not address.is_unspecified).map(str)
hosts = literals | st.sampled_from(["sip.example", "h"])
codecs = st.lists(st.sampled_from(sdp.CARRIED), unique=True, min_size=1).filter(
    lambda keys: any(codec.is_audio for codec in numbered(keys))
)
ports = st.integers(1, 65534)


@given(hosts, ports, ports, codecs, st.sampled_from(sdp.DIRECTIONS), st.sampled_from([10, 20, 30, 40, 60]))
def test_what_we_write_reads_back(
    host: str, port: int, rtcp: int, names: list[str], direction: str, ptime: int
) -> None:
    offered = numbered(names)
    text = sdp.offer(host, port, rtcp, offered, direction=direction, ptime=ptime)
    session = sdp.parse(text)
    assert session == AudioSession(host, port, host, rtcp, tuple(offered), ptime, direction, 0)
    forwarded = sdp.parse(sdp.forward_offer(text, "192.0.2.7", 4000, 4001))
    assert (forwarded.codecs, forwarded.direction, forwarded.ptime) == (session.codecs, direction, ptime)
    answer = sdp.parse(sdp.make_answer(text, "192.0.2.8", 5000, 5001, names))
    assert answer.codecs == session.codecs


@given(
    st.binary(max_size=400) | st.lists(st.sampled_from(PHONE.split(b"\r\n")), max_size=30).map(b"\r\n".join)
)
def test_reading_never_fails_otherwise(text: bytes) -> None:
    for use in (
        sdp.parse,
        lambda text: sdp.forward_offer(text, "192.0.2.1", 1, 2),
        lambda text: sdp.make_answer(text, "192.0.2.1", 1, 2, sdp.CARRIED),
    ):
        try:
            result = use(text)
        except SdpError:
            continue
        if isinstance(result, bytes):
            assert sdp.parse(result).host == "192.0.2.1"


@given(st.text(max_size=60))
def test_a_host_cannot_smuggle_lines(host: str) -> None:
    try:
        text = sdp.offer(host, 1, 2)
    except SdpError:
        return
    assert text.count(b"\r\n") == sdp.offer("h", 1, 2).count(b"\r\n")
