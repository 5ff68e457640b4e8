"""Digest answers, by the examples of the RFCs, and challenges that are odd or hostile."""

from __future__ import annotations

import re

import pytest

from forkproxy.signalling import credentials
from forkproxy.signalling.credentials import Credentials, challenge

# RFC 7616, 3.9.1
REALM = 'realm="http-auth@example.org", qop="auth, auth-int"'
NONCE = (
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
    ],
)
def test_the_example_of_rfc_7616(monkeypatch: pytest.MonkeyPatch, algorithm: str, response: str) -> None:
    monkeypatch.setattr(credentials.secrets, "token_hex", lambda _length: CNONCE)
    found = challenge(401, [("WWW-Authenticate", f"Digest {REALM}, algorithm={algorithm}, {NONCE}")])
    assert found is not None
    mufasa = Credentials("Mufasa", "Circle of Life")
    mufasa.challenged(found)
    name, value = mufasa.header("GET", "/dir/index.html") or ("", "")
    assert name == "Authorization"
    assert f'response="{response}"' in value
    assert "nc=00000001" in value
    assert f"algorithm={algorithm}" in value
    _, again = mufasa.header("GET", "/dir/index.html") or ("", "")
    assert "nc=00000002" in again, "a nonce is used again with another count"


def test_without_qop_it_is_rfc_2069s(monkeypatch: pytest.MonkeyPatch) -> None:
    found = challenge(
        407,
        [
            (
                "Proxy-Authenticate",
                'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"',
            )
        ],
    )
    assert found is not None
    user = Credentials("Mufasa", "CircleOfLife")
    user.challenged(found)
    name, value = user.header("GET", "/dir/index.html") or ("", "")
    assert name == "Proxy-Authorization"
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in value  # RFC 2069's errata
    assert "cnonce" not in value
    assert "algorithm" not in value


def test_the_strongest_is_taken() -> None:
    offered = [
        ("WWW-Authenticate", f'Digest realm="a", nonce="n", algorithm={name}, qop="auth"')
        for name in ("MD5", "SHA-512-256", "SHA-256", "SHA3-999")
    ]
    found = challenge(401, offered)
    assert found is not None
    assert found.algorithm == "SHA-512-256"
    user = Credentials("u", "p")
    user.challenged(found)
    assert re.search(r'response="[0-9a-f]{64}"', (user.header("REGISTER", "sip:a") or ("", ""))[1])


def test_a_session_keeps_its_first_secret() -> None:
    found = challenge(
        401, [("www-authenticate", 'digest realm="a", nonce="n", algorithm=MD5-sess, qop=auth')]
    )
    assert found is not None
    user = Credentials("u", "p")
    user.challenged(found)
    user.header("REGISTER", "sip:a")
    first = user._session
    user.header("REGISTER", "sip:a")
    assert user._session == first is not None


@pytest.mark.parametrize(
    "value",
    [
        'Basic realm="a"',
        'Digest realm="a"',
        'Digest realm="a", nonce="n", algorithm=ROT13',
        'Digest realm="a", nonce="n", qop="auth-int"',
        "Digest",
        "",
        'Digest nonce="' + '\\"' * 10_000,
    ],
)
def test_what_cannot_be_answered(value: str) -> None:
    assert challenge(401, [("WWW-Authenticate", value)]) is None


def test_only_401_and_407_challenge() -> None:
    header = ("WWW-Authenticate", 'Digest realm="a", nonce="n"')
    assert challenge(403, [header]) is None
    assert challenge(407, [header]) is None
    assert Credentials("u", "p").header("REGISTER", "sip:a") is None


def test_quotes_cannot_be_broken_out_of() -> None:
    found = challenge(401, [("WWW-Authenticate", r'Digest realm="a\", uri=\"sip:x", nonce="n\\"')])
    assert found is not None
    assert found.realm == 'a", uri="sip:x'
    user = Credentials('u"', "p")
    user.challenged(found)
    _, value = user.header("REGISTER", "sip:b") or ("", "")
    assert r'realm="a\", uri=\"sip:x", nonce="n\\", uri="sip:b"' in value
    assert r'username="u\""' in value
