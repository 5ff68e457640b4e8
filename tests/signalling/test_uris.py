"""What may become part of a message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.errors import SignallingError
from forkproxy.signalling import uris
from forkproxy.signalling.uris import SipUri


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sip:bob@127.0.0.1", SipUri("sip:bob@127.0.0.1", "127.0.0.1", None, "udp", ())),
        ("sip:127.0.0.1:5070", SipUri("sip:127.0.0.1:5070", "127.0.0.1", 5070, "udp", ())),
        ("SIP:b@[::1]:5070;transport=TCP", SipUri("SIP:b@[::1]:5070;transport=TCP", "::1", 5070, "tcp", ())),
        (
            "sip:+1555;ext=7@sip.example;user=phone?X-A=b%20c&x-d",
            SipUri(
                "sip:+1555;ext=7@sip.example;user=phone",
                "sip.example",
                None,
                "udp",
                (("X-A", "b c"), ("x-d", "")),
            ),
        ),
    ],
)
def test_uris_are_taken_apart(text: str, expected: SipUri) -> None:
    assert uris.parse_uri(text) == expected


@given(st.text(max_size=80))
def test_what_is_no_uri_is_refused(text: str) -> None:
    try:
        found = uris.parse_uri("sip:" + text)
    except SignallingError:
        return
    assert not set(found.text) & set(' \r\n\t<>"')
    assert found.text.isascii() or "@" in found.text


@given(st.text(max_size=40), st.text(max_size=40))
def test_headers_never_break_out(name: str, value: str) -> None:
    try:
        key, text = uris.header(name, value)
    except SignallingError:
        return
    assert b"\r" not in key + text
    assert b"\n" not in key + text
    assert b":" not in key


def test_our_own_headers_are_ours() -> None:
    for name in ("Via", "contact", "Content-Length", "i", "Route"):
        with pytest.raises(SignallingError, match="written by forkproxy"):
            uris.header(name, "x")
    assert uris.header("Contact", "<sip:a@b>", redirect=True) == (b"Contact", b"<sip:a@b>")


@given(st.text(max_size=200))
def test_display_names_stay_inside_their_quotes(display: str) -> None:
    text = uris.name_addr(display, "sip:a@b").decode("utf-8", "surrogateescape")
    inside = text.removesuffix("<sip:a@b>").strip()
    assert text.endswith("<sip:a@b>")
    assert not inside or (inside[0] == inside[-1] == '"' and '"' not in inside[1:-1])
    assert not set(text) & set("\r\n\\")


def test_reason_phrases() -> None:
    assert uris.reason_phrase("") is None
    assert uris.reason_phrase("a\r\nb") == b"a  b"
