"""URLs, good and bad, and the codes that they get."""

from __future__ import annotations

import pytest
from forkproxy_websocket.target import MAX_LENGTH, parse_target, without_secrets
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.connectors.api import StreamError, StreamSchemeError, StreamUrlError


@pytest.mark.parametrize(
    ("url", "host", "port", "resource"),
    [
        ("wss://a.example/media", "a.example", 443, "/media"),
        ("wss://a.example", "a.example", 443, "/"),
        ("wss://a.example/", "a.example", 443, "/"),
        ("WSS://A.example:8443/Path/", "a.example", 8443, "/Path/"),
        ("wss://127.0.0.1:1/x", "127.0.0.1", 1, "/x"),
        ("wss://[::1]:8443/x", "::1", 8443, "/x"),
        ("wss://a.example/x%20y;z=1,2", "a.example", 443, "/x%20y;z=1,2"),
        ("wss://a.example/x?token=a%2Fb&c=/?", "a.example", 443, "/x?token=a%2Fb&c=/?"),
        ("wss://b\u00fccher.example/\u00e4?\u00f6", "xn--bcher-kva.example", 443, "/%C3%A4?%C3%B6"),
        ("wss://under_score.example./", "under_score.example.", 443, "/"),
    ],
)
def test_good_urls(url: str, host: str, port: int, resource: str) -> None:
    target = parse_target(url)
    assert (target.host, target.port, target.resource_name, target.secure) == (host, port, resource, True)


@pytest.mark.parametrize("url", ["ws://a.example/", "http://a.example/", "https://a.example/", "sip://a/"])
def test_other_schemes(url: str) -> None:
    with pytest.raises(StreamSchemeError, match="not wss"):
        parse_target(url)


def test_plain_ws_where_it_is_allowed() -> None:
    target = parse_target("ws://localhost:8080/x", allow_ws=True)
    assert (target.secure, target.port) == (False, 8080)
    with pytest.raises(StreamSchemeError):
        parse_target("http://localhost:8080/x", allow_ws=True)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "not absolute"),
        ("/media", "not absolute"),
        ("a.example/media", "not absolute"),
        ("//a.example/media", "not absolute"),
        ("wss:///media", "not absolute"),
        ("wss:a.example", "not absolute"),
        ("wss://:443/", "hostname"),
        ("wss://a.example:0/", "no usable host name or port"),
        ("wss://a.example:65536/", "out of range"),
        ("wss://a.example:http/", "malformed"),
        ("wss://a..example/", "no usable host name"),
        ("wss://" + "a" * 64 + ".example/", "no usable host name"),
        ("wss://a.example" + ".a" * 130 + "/", "no usable host name"),
        ("wss://a%20b/", "no usable host name"),
        ("wss://[::1/", "malformed"),
        ("wss://[fe80::1%25eth0]/", "no usable host name"),
        ("wss://b\u00fccher..example/", "cannot be encoded"),
        (" wss://a.example/", "white space"),
        ("wss://a.example/ ", "white space"),
        ("wss://a.example/\n", "white space"),
        ("wss://a.exa\tmple/", "white space"),
        ("wss://a.example/x\x00", "control characters"),
        ("wss://a.example/\u00a0", "white space"),
        ("wss://a.example/\ud800", "control characters"),
        ("wss://a.example/#x", "fragment"),
        ("wss://a.example/#", "fragment"),
        ("wss://user:secret@a.example/", "Authorization header"),
        ("wss://user@a.example/", "Authorization header"),
        ("wss://a.example/" + "x" * MAX_LENGTH, "characters"),
    ],
)
def test_bad_urls(url: str, words: str) -> None:
    with pytest.raises(StreamUrlError, match=words):
        parse_target(url)


@pytest.mark.parametrize(
    "url",
    ["wss://u:secret@a.example:x/", "wss://a.example/ ?t=secret", "x?secret", "wss://a.example/?secret#"],
)
def test_no_message_shows_a_secret(url: str) -> None:
    with pytest.raises(StreamUrlError) as caught:
        parse_target(url)
    assert "secret" not in str(caught.value)


def test_what_is_shown_of_a_url() -> None:
    assert without_secrets("wss://a.example/x") == "wss://a.example/x"
    assert without_secrets("wss://u:p@a.example/x?t=1") == "wss://...@a.example/x?..."


@given(st.text() | st.text().map("wss://".__add__) | st.from_regex(r"wss?://[a-z.:\[\]@#?/%0-9]*"))
def test_any_text_is_a_target_or_a_stream_error(url: str) -> None:
    try:
        target = parse_target(url)
    except StreamError:
        return
    assert target.secure
    assert 0 < target.port < 65536
    target.resource_name.encode("ascii")
    target.host.encode("ascii")
