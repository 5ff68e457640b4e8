"""Offers of recording clients, and their answers."""

from __future__ import annotations

import pytest

from forkproxy.errors import SdpError
from forkproxy.signalling import recorded, sdes, sdp

OFFER = b"""v=0\r
o=root 1 1 IN IP4 192.0.2.5\r
s=-\r
c=IN IP4 192.0.2.5\r
t=0 0\r
m=audio 17588 RTP/AVP 0 8 101\r
a=rtpmap:0 PCMU/8000\r
a=rtpmap:101 telephone-event/8000\r
a=ptime:20\r
a=sendonly\r
a=label:inbound\r
m=video 9 RTP/AVP 99\r
m=audio 11248 RTP/AVP 8\r
a=sendonly\r
a=label:outbound\r
"""


def test_each_line_is_a_track() -> None:
    found = recorded.tracks(OFFER, sdes.ANY)
    assert [(each.label, each.session.port, each.session.index) for each in found] == [
        ("inbound", 17588, 0),
        ("outbound", 11248, 2),
    ]
    assert not any(each.paused for each in found)


def test_the_answer_receives_and_repeats_the_labels() -> None:
    taken = {0: recorded.Taken(20000, 20001, ["PCMU"]), 2: recorded.Taken(20004, 20005, ["PCMA"])}
    text = recorded.answer(OFFER, "192.0.2.9", taken, sdes.ANY).decode()
    sdp.parse(text.encode())
    media = text.split("m=")[1:]
    assert media[0].startswith("audio 20000 RTP/AVP 0\r\n")
    assert media[1].startswith("video 0 RTP/AVP 99\r\n")
    assert media[2].startswith("audio 20004 RTP/AVP 8\r\n")
    assert [part.count("a=recvonly\r\n") for part in media] == [1, 0, 1]
    assert "a=label:inbound\r\n" in media[0]
    assert "a=label:outbound\r\n" in media[2]


def test_a_paused_track_is_answered_inactive() -> None:
    offer = OFFER.replace(b"a=sendonly", b"a=inactive", 1)
    first, second = recorded.tracks(offer, sdes.ANY)
    assert first.paused
    assert not second.paused
    text = recorded.answer(offer, "192.0.2.9", {0: recorded.Taken(20000, 20001, ["PCMU"])}, sdes.ANY).decode()
    assert "a=inactive" in text
    assert "m=audio 0 RTP/AVP 8" in text


def test_a_line_without_a_label_is_called_by_its_place() -> None:
    bare = OFFER.replace(b"a=label:inbound\r\n", b"").replace(b"a=label:outbound\r\n", b"")
    assert [each.label for each in recorded.tracks(bare, sdes.ANY)] == ["1", "3"]
    assert b"a=label" not in recorded.answer(
        bare, "192.0.2.9", {0: recorded.Taken(20000, 20001, ["PCMU"])}, sdes.ANY
    )


def test_keys_are_answered_with_keys() -> None:
    key = sdes.fresh(1, "AES_CM_128_HMAC_SHA1_80")
    secure = OFFER.replace(b"RTP/AVP 0 8 101\r\n", b"RTP/SAVP 0 8 101\r\n" + key.line().encode() + b"\r\n")
    first, second = recorded.tracks(secure, sdes.ANY)
    pair = recorded.choose_keys(first, sdes.ANY)
    assert pair is not None
    ours, theirs = pair
    assert theirs == key
    assert ours.key != theirs.key
    assert recorded.choose_keys(second, sdes.ANY) is None
    text = recorded.answer(
        secure, "192.0.2.9", {0: recorded.Taken(20000, 20001, ["PCMU"], ours)}, sdes.ANY
    ).decode()
    assert ours.line() in text
    assert "m=audio 20000 RTP/SAVP 0" in text


@pytest.mark.parametrize(
    ("offer", "said"),
    [
        (OFFER.split(b"m=")[0], "no audio stream"),
        (OFFER.replace(b"audio 17588", b"audio 0").replace(b"audio 11248", b"audio 0"), "no audio stream"),
        (OFFER.replace(b"RTP/AVP", b"RTP/SAVP"), "m= line 1: RTP/SAVP without a=crypto.*; m= line 3"),
        (OFFER.replace(b"RTP/AVP", b"UDP/TLS/RTP/SAVP"), "UDP/TLS/RTP/SAVP is not supported"),
    ],
)
def test_an_offer_without_tracks_is_refused(offer: bytes, said: str) -> None:
    with pytest.raises(SdpError, match=said):
        recorded.tracks(offer, sdes.ANY)


def test_encryption_that_is_required_leaves_plain_tracks_out() -> None:
    with pytest.raises(SdpError, match="without a=crypto"):
        recorded.tracks(OFFER, sdes.Security("required"))
