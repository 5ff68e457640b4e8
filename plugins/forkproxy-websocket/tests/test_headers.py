"""Headers of an operator's own."""

from __future__ import annotations

import pytest
from forkproxy_websocket.headers import OURS, check_headers


def test_good_headers() -> None:
    headers = {"Authorization": "Bearer a.b.c", "X-Tenant": "7", "x-words": "one two\tthree"}
    assert check_headers(headers) == headers


@pytest.mark.parametrize("name", sorted(OURS | {"Host", "Sec-WebSocket-Key", "SEC-WEBSOCKET-EXTENSIONS"}))
def test_the_handshakes_own_headers_stay(name: str) -> None:
    with pytest.raises(ValueError, match="set by forkproxy"):
        check_headers({name: "x"})


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "ä"])
def test_bad_names(name: str) -> None:
    with pytest.raises(ValueError, match="not a header's name"):
        check_headers({name: "x"})


@pytest.mark.parametrize("value", ["", " ", " x", "x ", "x\r\nEvil: 1", "x\x00", "sécret"])
def test_bad_values_are_not_shown(value: str) -> None:
    with pytest.raises(ValueError, match="the value of X-A") as caught:
        check_headers({"X-A": value})
    assert value.strip() not in str(caught.value) or not value.strip()


def test_the_same_header_twice() -> None:
    with pytest.raises(ValueError, match="x-a is there twice"):
        check_headers({"X-A": "1", "x-a": "2"})
