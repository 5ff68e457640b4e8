"""Keys for SRTP in session descriptions: read, chosen, answered, never shown."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forkproxy.errors import SdpError
from forkproxy.signalling import sdes, sdp
from forkproxy.signalling.sdes import Crypto, Security

SUITES = tuple(sdes.SUITES)
KEY = bytes(range(200, 230))
INLINE = base64.b64encode(KEY).decode()
CM = "AES_CM_128_HMAC_SHA1_80"


@pytest.mark.parametrize("rest", ["", "|2^20", "|1048576", "|2^48 WSH=64", " -x-later=1", "  "])
def test_a_line_is_read_and_shows_no_key(rest: str) -> None:
    line = sdes.parse(f"3 {CM} inline:{INLINE}{rest}")
    assert line == Crypto(3, CM, KEY)
    assert INLINE not in f"{line} {line!r}"
    assert repr(KEY) not in f"{line} {line!r}"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (f"1 {CM} inline:{INLINE}|1:4", "crypto:1 has a master key identifier"),
        (f"1 {CM} inline:{INLINE}|2^20|1:4", "crypto:1 has a master key identifier"),
        (f"1 {CM} inline:{INLINE};inline:{INLINE}", "not one inline key"),
        (f"1 {CM} uri:{INLINE}", "not one inline key"),
        (f"1 {CM} inline:{INLINE} UNENCRYPTED_SRTP", "session parameter UNENCRYPTED_SRTP"),
        (f"1 {CM} inline:{INLINE} KDR=1", "session parameter KDR"),
        (f"1 {CM} inline:{INLINE} {INLINE}", "session parameter that is none"),
        (f"1 F8_128_HMAC_SHA1_80 inline:{INLINE}", "unknown suite, F8_128_HMAC_SHA1_80"),
        (
            f"1 {INLINE.replace('/', 'x').replace('+', 'x')} inline:x",
            "unknown suite, that is no suite's name",
        ),
        (f"1 {CM} inline:{INLINE[:-4]}", "27 octets instead of 30"),
        (f"1 {CM} inline:{INLINE[:-1]}*", "not in base64"),
        (f"1 AEAD_AES_256_GCM inline:{INLINE}", "30 octets instead of 44"),
        (f"1234567890 {CM} inline:{INLINE}", "is not <tag> <suite> <key>"),
        (f"1 {CM}", "is not <tag> <suite> <key>"),
    ],
)
def test_what_cannot_be_used_is_said_without_the_key(value: str, why: str) -> None:
    with pytest.raises(SdpError, match=why) as caught:
        sdes.parse(value)
    assert INLINE[:20] not in str(caught.value)


def test_padding_may_be_missing() -> None:
    key = bytes(44)
    encoded = base64.b64encode(key).decode().rstrip("=")
    assert sdes.parse(f"1 AEAD_AES_256_GCM inline:{encoded}").key == key


def test_lines_are_sorted_into_good_and_bad() -> None:
    values = [f"1 {CM} inline:{INLINE}", f"1 {CM} inline:{INLINE}", "x", f"2 {CM} inline:{INLINE}|1:1"]
    good, bad = sdes.read(values, SUITES)
    assert good == (Crypto(1, CM, KEY),)
    assert len(bad) == 3
    assert sdes.read(values[:1], ("AEAD_AES_128_GCM",))[0] == ()


def test_our_best_suite_is_taken_whatever_the_order() -> None:
    lines = [Crypto(1, "AES_CM_128_HMAC_SHA1_32", KEY), Crypto(2, CM, KEY)]
    assert sdes.choose(lines, SUITES) == lines[1]
    assert sdes.choose(lines, ("AES_CM_128_HMAC_SHA1_32", CM)) == lines[0]
    assert sdes.choose(lines, ("AEAD_AES_128_GCM",)) is None


def test_an_answer_takes_one_of_our_lines_with_a_key_of_its_own() -> None:
    ours = sdes.fresh_offer(SUITES)
    theirs = sdes.fresh(ours[1].tag, ours[1].suite)
    assert sdes.accepted(ours, [theirs]) == (ours[1], theirs)
    assert sdes.accepted(ours, []) is None
    for wrong, why in (
        ([sdes.fresh(9, ours[1].suite)], "not offered"),
        ([sdes.fresh(ours[0].tag, ours[1].suite)], "not offered"),
        ([theirs, theirs], "2 lines"),
        ([ours[1]], "repeats our own key"),
    ):
        with pytest.raises(SdpError, match=why):
            sdes.accepted(ours, wrong)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.sampled_from(SUITES), unique=True, min_size=1), st.permutations(SUITES), st.booleans())
def test_both_sides_come_to_the_same_keys(offered: list[str], wanted: list[str], secure: bool) -> None:
    ours = sdes.fresh_offer(offered)
    assert len({line.key for line in ours}) == len(ours)
    offer = sdp.offer("192.0.2.1", 4000, 4001, secure=secure, crypto=ours)
    read = sdp.parse(offer)
    assert (read.crypto, read.crypto_refused) == (ours, ())
    taken = sdes.choose(read.crypto, wanted)
    assert taken is not None
    assert taken.suite == next(suite for suite in wanted if suite in offered)
    reply = sdes.fresh(taken.tag, taken.suite)
    answer = sdp.make_answer(offer, "192.0.2.2", 5000, 5001, ["PCMU"], crypto=reply)
    assert (b"RTP/SAVP" in answer) == secure
    assert sdes.accepted(ours, sdp.parse(answer).crypto) == (taken, reply)


lines = st.text(max_size=120) | st.from_regex(r"\A\d+ \w+ inline:[\w+/=|:^;]*\Z") | st.builds(
    "{} {} inline:{}{}".format,
    st.integers(0, 10**10),
    st.sampled_from(SUITES),
    st.binary(max_size=50).map(lambda key: base64.b64encode(key).decode()),
    st.sampled_from(["", "|2^31", "|1:4", ";", " FEC_KEY=x", " WSH=1", "\t"]),
)  # fmt: skip


@settings(deadline=None)  # the machine may be busy
@given(lines)
def test_no_line_raises_anything_but_sdp_errors(value: str) -> None:
    with contextlib.suppress(SdpError):
        assert len(sdes.parse(value).key) in sdes.SUITES.values()
    text = f"v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/SAVP 0\r\na=crypto:{value}\r\n"
    with contextlib.suppress(SdpError):
        sdp.parse(text.encode("utf-8", "replace"))


SECURE = sdp.offer("192.0.2.1", 4000, 4001, secure=True, crypto=sdes.fresh_offer(SUITES))
BEST_EFFORT = sdp.offer("192.0.2.1", 4002, 4003, crypto=sdes.fresh_offer(SUITES))
PLAIN = sdp.offer("192.0.2.1", 4004, 4005)


def two(*ports: int) -> bytes:
    """One description with several streams, by their ports."""
    by_port = {4000: SECURE, 4002: BEST_EFFORT, 4004: PLAIN}
    first, *more = (by_port[port] for port in ports)
    return first + b"".join(text[text.index(b"m=audio") :] for text in more)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((4000,), {"off": None, "optional": 4000, "required": 4000}),
        ((4002,), {"off": 4002, "optional": 4002, "required": 4002}),
        ((4004,), {"off": 4004, "optional": 4004, "required": None}),
        ((4004, 4000), {"off": 4004, "optional": 4000, "required": 4000}),
        ((4000, 4004), {"off": 4004, "optional": 4000, "required": 4000}),
    ],
)
def test_which_stream_is_used_is_a_matter_of_security(
    offered: tuple[int, ...], chosen: dict[sdes.SrtpMode, int | None]
) -> None:
    for mode, port in chosen.items():
        if port is None:
            with pytest.raises(SdpError, match="no audio stream"):
                sdp.parse(two(*offered), Security(mode))
            continue
        session = sdp.parse(two(*offered), Security(mode))
        assert session.port == port
        assert bool(session.crypto) == (mode != "off" and port != 4004)


def test_suites_that_are_not_to_be_had_do_not_count() -> None:
    bare = Security("optional", ())
    assert sdp.parse(BEST_EFFORT, bare).crypto == ()
    assert "not to be had" in sdp.parse(BEST_EFFORT, bare).crypto_refused[0]
    with pytest.raises(SdpError, match="not to be had"):
        sdp.parse(SECURE, bare)


def test_an_offer_for_srtp_only_is_not_answered_without_a_key() -> None:
    with pytest.raises(SdpError, match="needs a=crypto"):
        sdp.make_answer(SECURE, "192.0.2.2", 1, 2, ["PCMU"])
    assert b"crypto" not in sdp.make_answer(BEST_EFFORT, "192.0.2.2", 1, 2, ["PCMU"])
    with pytest.raises(SdpError, match="must be encrypted"):
        sdp.offer("192.0.2.1", 1, 2, secure=True)


@pytest.mark.parametrize(
    "attribute", ["crypto:1", "CRYPTO:1", "acap:1 crypto:1", "x-backup:1", "key-mgmt:mikey", "pcfg:1"]
)
def test_no_key_of_one_leg_reaches_the_other(attribute: str) -> None:
    offer = PLAIN + f"a={attribute} {CM} inline:{INLINE}|2^31\r\n".encode()
    for made in (
        sdp.forward_offer(offer, "192.0.2.9", 6000, 6001),
        sdp.forward_offer(offer, "192.0.2.9", 6000, 6001, secure=True, crypto=sdes.fresh_offer(SUITES)),
        sdp.make_answer(offer, "192.0.2.9", 6000, 6001, ["PCMU"]),
    ):
        assert INLINE.encode() not in made


def test_keys_are_masked_where_they_are_shown() -> None:
    shown = sdes.masked(SECURE.decode())
    assert shown.count("inline:...\r\n") == len(SUITES)
    assert not any(base64.b64encode(line.key).decode() in shown for line in sdp.parse(SECURE).crypto)
    with pytest.raises(SdpError) as caught:
        sdp.parse(f"v=0\r\n crypto:1 X inline:{INLINE}\r\n".encode())
    assert INLINE[:8] not in str(caught.value)
