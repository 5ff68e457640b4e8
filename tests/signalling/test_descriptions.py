"""Session descriptions as phones, carriers and browsers write them, and what is made of each."""

from __future__ import annotations

import pytest

from forkproxy.errors import SdpError
from forkproxy.signalling import sdes, sdp
from forkproxy.signalling.sdes import Security

GCM256 = "A" * 59 + "="
CM80 = "B" * 40

DESK_PHONE = f"""v=0
o=desk 8000 8000 IN IP4 198.51.100.20
s=SIP Call
c=IN IP4 198.51.100.20
t=0 0
m=audio 5004 RTP/AVP 9 0 8 123 18 101
a=sendrecv
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:123 opus/48000/2
a=fmtp:123 maxplaybackrate=16000; sprop-maxcapturerate=16000; useinbandfec=1
a=rtpmap:18 G729/8000
a=fmtp:18 annexb=no
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{CM80}|2^31
a=crypto:2 AES_256_CM_HMAC_SHA1_80 inline:{"C" * 62}==
"""
"""A desk phone, encryption "optional": keys on RTP/AVP."""

CARRIER = f"""v=0
o=SBC 1742 1 IN IP4 203.0.113.40
s=-
c=IN IP4 203.0.113.40
t=0 0
m=audio 34010 RTP/SAVP 8 0 100
a=rtpmap:100 telephone-event/8000
a=fmtp:100 0-15
a=crypto:1 AEAD_AES_256_GCM inline:{GCM256}
a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:{CM80}|2^31|1:1
a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{CM80}
a=maxptime:40
a=rtcp:34011
"""
"""A session border controller: SRTP only, one of the lines with an MKI."""

BROWSER = f"""v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=msid-semantic: WMS
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:4ZcD
a=ice-pwd:2/1muCWoOi3uLifh0NuRHlDG
a=fingerprint:sha-256 {":".join(["AB"] * 32)}
a=setup:actpass
a=mid:0
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=rtpmap:63 red/48000/2
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
"""

GATEWAY = (
    BROWSER
    + f"""m=audio 41000 RTP/SAVPF 111 0 110 126
c=IN IP4 192.0.2.77
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
a=crypto:0 AES_CM_128_HMAC_SHA1_32 inline:{CM80}
m=video 41002 RTP/SAVPF 96
a=rtpmap:96 VP8/90000
"""
)
"""Something in front of a browser that also offers SRTP with keys; its first stream is the browser's."""

OLD_CODEC = """v=0
o=- 1 1 IN IP4 192.0.2.3
s=-
c=IN IP4 192.0.2.3
t=0 0
m=audio 7078 RTP/AVP 97 98 99 13
a=rtpmap:97 L16/16000
a=rtpmap:98 L16/44100
a=rtpmap:99 telephone-event/16000
"""


def read(text: str, security: Security = sdes.ANY) -> sdp.AudioSession:
    return sdp.parse(text.replace("\n", "\r\n").encode(), security)


@pytest.mark.parametrize(
    ("text", "port", "keys", "suites"),
    [
        (
            DESK_PHONE,
            5004,
            ["G722", "PCMU", "PCMA", "OPUS", "G729", "TELEPHONE-EVENT"],
            ["AES_CM_128_HMAC_SHA1_80"],
        ),
        (
            CARRIER,
            34010,
            ["PCMA", "PCMU", "TELEPHONE-EVENT"],
            ["AEAD_AES_256_GCM", "AES_CM_128_HMAC_SHA1_80"],
        ),
        (
            GATEWAY,
            41000,
            ["OPUS", "PCMU", "TELEPHONE-EVENT/48000", "TELEPHONE-EVENT"],
            ["AES_CM_128_HMAC_SHA1_32"],
        ),
        (OLD_CODEC, 7078, ["L16/16000", "TELEPHONE-EVENT/16000", "CN"], []),
    ],
)
def test_what_is_read(text: str, port: int, keys: list[str], suites: list[str]) -> None:
    session = read(text)
    assert (session.port, [codec.key for codec in session.codecs]) == (port, keys)
    assert [line.suite for line in session.crypto] == suites


def test_a_browsers_stream_is_nothing_for_us() -> None:
    with pytest.raises(SdpError, match="audio UDP/TLS/RTP/SAVPF"):
        read(BROWSER)


@pytest.mark.parametrize(("text", "mode"), [(CARRIER, "off"), (GATEWAY, "off"), (OLD_CODEC, "required")])
def test_what_cannot_be_had(text: str, mode: sdes.SrtpMode) -> None:
    with pytest.raises(SdpError, match="no audio stream"):
        read(text, Security(mode))


@pytest.mark.parametrize("text", [DESK_PHONE, CARRIER, GATEWAY])
def test_answers_take_the_same_stream_tag_and_profile(text: str) -> None:
    offer = text.replace("\n", "\r\n").encode()
    taken = sdes.choose(sdp.parse(offer).crypto, tuple(sdes.SUITES))
    assert taken is not None
    reply = sdes.fresh(taken.tag, taken.suite)
    answer = sdp.make_answer(offer, "192.0.2.1", 20000, 20001, sdp.CARRIED, crypto=reply)
    offered = [line.split()[:3] for line in text.split("\n") if line.startswith("m=")]
    streams = [line.split()[:3] for line in answer.decode().split("\r\n") if line.startswith("m=")]
    assert [[kind, profile] for kind, _, profile in streams] == [
        [kind, profile] for kind, _, profile in offered
    ]
    assert [port for _, port, _ in streams] == [
        "20000" if index == sdp.parse(offer).index else "0" for index in range(len(streams))
    ]
    assert sdp.parse(answer).crypto == (reply,)
    for key in (GCM256, CM80):
        assert key.encode() not in answer
        assert key.encode() not in sdp.forward_offer(offer, "192.0.2.1", 20000, 20001)
