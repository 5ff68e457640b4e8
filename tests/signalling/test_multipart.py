"""Bodies of several parts, as recording clients send them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.errors import SignallingError
from forkproxy.signalling.multipart import MOST_PARTS, Part, parts

SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n"
XML = b"<recording/>"


def test_a_body_that_is_not_multipart_is_its_own_part() -> None:
    assert parts("Application/SDP; charset=utf-8", SDP) == (Part("application/sdp", SDP),)
    assert parts("application/sdp", b"") == ()


@pytest.mark.parametrize("end", ["\r\n", "\n"])
@pytest.mark.parametrize("quoted", ['"a b"', "a-b"])
def test_parts_in_order(end: str, quoted: str) -> None:
    boundary = quoted.strip('"')
    head = f"Content-Type: application/rs-metadata+xml{end}Content-Disposition: recording-session"
    body = (
        f"preamble{end}--{boundary}{end}{head}{end}{end}<recording/>{end}--{boundary}{end}"
        f"content-type: APPLICATION/sdp ;x=y{end}{end}v=0{end}--{boundary}--{end}epilogue"
    )
    found = parts(f"multipart/mixed;boundary={quoted}", body.encode())
    assert found == (Part("application/rs-metadata+xml", XML), Part("application/sdp", b"v=0"))


def test_a_part_without_a_type_is_text_and_a_missing_last_boundary_is_forgiven() -> None:
    assert parts("multipart/mixed; boundary=x", b"--x\r\n\r\nhello") == (Part("text/plain", b"hello"),)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/mixed", b"--x\r\n\r\nhello\r\n--x--"),
        ("multipart/mixed;boundary=y", b"--x\r\n\r\nhello\r\n--x--"),
        ("multipart/mixed;boundary=x", b""),
        ("multipart/mixed;boundary=x", b"--x--"),
    ],
)
def test_what_has_no_parts_is_refused(kind: str, body: bytes) -> None:
    with pytest.raises(SignallingError, match=r"multipart"):
        parts(kind, body)


def test_no_more_parts_than_can_be_meant() -> None:
    body = b"--x\r\n\r\n1\r\n" * 100
    assert len(parts("multipart/mixed;boundary=x", body)) == MOST_PARTS + 1


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=8))
def test_what_was_put_in_comes_out(contents: list[bytes]) -> None:
    fence = b"--=_Part_7"
    wrapped = b"".join(fence + b"\r\nContent-Type: a/b\r\n\r\n" + content + b"\r\n" for content in contents)
    found = parts('multipart/mixed; boundary="=_Part_7"', wrapped + fence + b"--\r\n")
    assert [part.content for part in found] == contents


@given(st.binary(max_size=300))
def test_nothing_that_comes_in_breaks_it(body: bytes) -> None:
    with contextlib.suppress(SignallingError):
        parts("multipart/mixed;boundary=x", b"--x\r\n" + body)
