"""a=crypto lines (RFC 4568): read, chosen, answered, whatever a stranger writes there."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.errors import SdpError
from forkproxy.signalling import sdes

SHA1 = "AES_CM_128_HMAC_SHA1_80"
KEY = base64.b64encode(bytes(range(30))).decode()


def test_a_line_is_read_and_written() -> None:
    line = sdes.parse(f"1 {SHA1} inline:{KEY}|2^20")
    assert (line.tag, line.suite, line.key) == (1, SHA1, bytes(range(30)))
    assert sdes.parse(line.line().removeprefix("a=crypto:")) == line
    assert KEY not in repr(line)
    assert KEY not in sdes.masked(line.line())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "is not <tag>"),
        (f"1 {SHA1}", "is not <tag>"),
        (f"1 F8_128_HMAC_SHA1_80 inline:{KEY}", "unknown suite, F8"),
        (f"1 {SHA1} inline:{KEY}|2^20|1:4", "MKI"),
        (f"1 {SHA1} inline:{KEY}|1:4", "MKI"),
        (f"1 {SHA1} inline:{KEY};inline:{KEY}", "not one inline key"),
        (f"1 {SHA1} clear:{KEY}", "not one inline key"),
        (f"1 {SHA1} inline:{KEY} UNENCRYPTED_SRTP", "UNENCRYPTED_SRTP"),
        (f"1 {SHA1} inline:{KEY} UNAUTHENTICATED_SRTP", "UNAUTHENTICATED_SRTP"),
        (f"1 {SHA1} inline:AAAA", "3 octets instead of 30"),
        (f"1 {SHA1} inline:****", "not in base64"),
    ],
)
def test_what_cannot_be_used_says_why_without_the_key(value: str, message: str) -> None:
    with pytest.raises(SdpError, match=message) as caught:
        sdes.parse(value)
    assert KEY not in str(caught.value)


@given(st.text(max_size=200))
def test_anything_is_read_or_refused(text: str) -> None:
    good, bad = sdes.read([text], list(sdes.SUITES))
    assert len(good) + len(bad) == 1


@given(st.permutations(list(sdes.SUITES)), st.permutations(list(sdes.SUITES)), st.integers(1, 4))
def test_both_sides_agree(theirs: list[str], ours: list[str], count: int) -> None:
    offered = sdes.fresh_offer(theirs[:count])
    chosen = sdes.choose(offered, ours)
    assert chosen is not None
    assert chosen.suite == min(theirs[:count], key=ours.index)
    answer = sdes.fresh(chosen.tag, chosen.suite)
    good, bad = sdes.read([answer.line().removeprefix("a=crypto:")], theirs)
    assert not bad
    assert sdes.accepted(offered, good) == (chosen, answer)


def test_an_answer_takes_what_was_offered() -> None:
    offered = sdes.fresh_offer([SHA1])
    assert sdes.accepted(offered, ()) is None
    with pytest.raises(SdpError, match="was not offered"):
        sdes.accepted(offered, [sdes.fresh(2, SHA1)])
    with pytest.raises(SdpError, match="repeats our own key"):
        sdes.accepted(offered, offered)
    with pytest.raises(SdpError, match="2 lines"):
        sdes.accepted(offered, [sdes.fresh(1, SHA1), sdes.fresh(1, SHA1)])
