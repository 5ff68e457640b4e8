"""Answers to what PJSIP refuses, and responses without the headers that it cannot read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forkproxy.signalling.mending import bare, refusal

REQUEST = (
    b"INVITE sip:bob@example SIP/2.0\r\nv: SIP/2.0/UDP a;branch=z9hG4bK1;rport\r\nVia: SIP/2.0/UDP b\r\n"
    b"f: <sip:a@b>;tag=1\r\nTo: <sip:b@c>\r\ni: x\r\nCSeq: 7\r\n INVITE\r\nContact: nonsense\r\n\r\n"
)


def test_the_answer_is_made_of_the_lines_that_are_there() -> None:
    answer = refusal(REQUEST, 400, "192.0.2.1", 5070)
    assert answer == (
        b"SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1;rport=5070;received=192.0.2.1\r\n"
        b"Via: SIP/2.0/UDP b\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@c>;tag=refused\r\nCall-ID: x\r\n"
        b"CSeq: 7 INVITE\r\nContent-Length: 0\r\n\r\n"
    )


def test_what_is_not_answered() -> None:
    for silent in (
        b"",
        b"nonsense",
        b"GET / HTTP/1.1\r\nVia: x\r\n\r\n",
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a\r\n\r\n",
        REQUEST.replace(b"INVITE sip", b"ACK sip"),
        b"INVITE sip:bob@example SIP/2.0\r\nTo: <sip:b@c>\r\n\r\n",
    ):
        assert refusal(silent, 400, "192.0.2.1", 5070) is None


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_an_answer_is_always_a_response_of_whole_lines(start: bytes, rest: bytes) -> None:
    request = b"INVITE sip:bob@example SIP/2.0\r\nVia: SIP/2.0/UDP a" + start + b"\r\n" + rest
    answer = refusal(request, 400, "192.0.2.1", 5070)
    if answer is not None:
        head, end, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"SIP/2.0 400 Bad Request\r\nVia: ")
        assert end
        assert not body
        assert all(b":" in line for line in head.split(b"\r\n")[1:])
        assert b"\n" not in head.replace(b"\r\n", b"")


def test_a_response_keeps_what_a_call_needs() -> None:
    response = (
        b"SIP/2.0 401 Who\r\nVia: a\r\nFrom: b\r\nTo: c\r\nCall-ID: d\r\nCSeq: 1 INVITE\r\nDate: nonsense\r\n"
        b'WWW-Authenticate: NTLM x\r\nWWW-Authenticate: Digest realm="r"\r\nContent-Length: 1\r\n\r\nx'
    )
    assert bare(response) == (
        b"SIP/2.0 401 Who\r\nVia: a\r\nFrom: b\r\nTo: c\r\nCall-ID: d\r\nCSeq: 1 INVITE\r\n"
        b'WWW-Authenticate: Digest realm="r"\r\nContent-Length: 1\r\n\r\nx'
    )
    kept = bare(response)
    assert kept is not None
    assert bare(kept) is None
    assert bare(REQUEST) is None
    assert bare(b"SIP/2.0 200 OK") is None
