"""Challenges and their answers; the client's side is our own, and SIPp's in tests/interop."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.signalling.authentication import LIFETIME, Authenticator, Failure, User
from forkproxy.signalling.credentials import Credentials, challenge

BOB = "sip:bob@example.com"
ALICE = User("alice", "phones", "wonder")


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def made(*users: User, clock: Clock | None = None) -> Authenticator:
    return Authenticator({user.name: user for user in users}, clock=clock or Clock())


def client(name: str, password: str, headers: list[tuple[str, str]]) -> Credentials:
    credentials = Credentials(name, password)
    found = challenge(401, headers)
    assert found is not None
    credentials.challenged(found)
    return credentials


def answer(credentials: Credentials, method: str = "INVITE") -> list[str]:
    header = credentials.header(method, "sip:bob@example.com")
    assert header is not None
    return [header[1]]


@pytest.mark.parametrize("which", [0, 1])
def test_both_algorithms(which: int) -> None:
    authenticator = made(ALICE)
    headers = authenticator.challenge()
    assert [re.findall(r"algorithm=(\S+)", value) for _, value in headers] == [["SHA-256"], ["MD5"]]
    assert authenticator.check("INVITE", answer(client("alice", "wonder", [headers[which]])), BOB) == ALICE


def test_an_answer_is_good_once_and_the_next_count_again() -> None:
    authenticator = made(ALICE)
    phone = client("alice", "wonder", authenticator.challenge())
    first = answer(phone)
    assert authenticator.check("INVITE", first, BOB) == ALICE
    assert authenticator.check("INVITE", first, BOB) == Failure("replayed")
    assert authenticator.check("INVITE", answer(phone), BOB) == ALICE


@pytest.mark.parametrize(
    ("name", "password", "method"),
    [("alice", "x", "INVITE"), ("eve", "wonder", "INVITE"), ("alice", "wonder", "BYE")],
)
def test_wrong_ones(name: str, password: str, method: str) -> None:
    authenticator = made(ALICE)
    phone = client(name, password, authenticator.challenge())
    assert authenticator.check("INVITE", answer(phone, method), BOB) == Failure("wrong")


def test_a_late_answer_is_stale_and_a_wrong_late_one_is_wrong() -> None:
    clock = Clock()
    authenticator = made(ALICE, clock=clock)
    good, bad = (client("alice", word, authenticator.challenge()) for word in ("wonder", "x"))
    clock.now += LIFETIME + 1
    assert authenticator.check("INVITE", answer(good), BOB) == Failure("stale")
    assert authenticator.check("INVITE", answer(bad), BOB) == Failure("wrong")
    assert "stale=true" in authenticator.challenge(stale=True)[0][1]


def test_a_challenge_of_somebody_elses() -> None:
    phone = client("alice", "wonder", made(ALICE).challenge())
    assert made(ALICE).check("INVITE", answer(phone), BOB) == Failure("unusable")


def test_no_answer_at_all() -> None:
    authenticator = made(ALICE)
    assert authenticator.check("INVITE", [], BOB) == Failure("none")
    assert authenticator.check("INVITE", ["Bearer x", 'Digest realm="other"'], BOB) == Failure("none")


@pytest.mark.parametrize(
    "change",
    [
        ("qop=auth", 'qop="auth-int"'),
        ("nc=00000001", "nc=1"),
        ("algorithm=SHA-256", "algorithm=SHA-512"),
        ('uri="sip:bob@example.com"', 'uri=""'),
    ],
)
def test_answers_that_cannot_be_used(change: tuple[str, str]) -> None:
    authenticator = made(ALICE)
    (value,) = answer(client("alice", "wonder", authenticator.challenge()))
    assert change[0] in value
    assert authenticator.check("INVITE", [value.replace(*change)], BOB) == Failure("unusable")


def test_a_hash_instead_of_a_password_and_only_what_it_is_good_for() -> None:
    secret = hashlib.md5(b"alice:forkproxy:wonder").hexdigest()
    user = User("alice", "phones", hashed={"MD5": secret})
    authenticator = made(user)
    headers = authenticator.challenge()
    assert len(headers) == 1
    assert "algorithm=MD5" in headers[0][1]
    assert authenticator.check("INVITE", answer(client("alice", "wonder", headers)), BOB) == user
    both = made(user, User("bob", "phones", "b"))
    phone = client("alice", "wonder", both.challenge())  # by SHA-256
    assert both.check("INVITE", answer(phone), BOB) == Failure("wrong")


@given(st.text(max_size=200))
def test_nothing_that_is_sent_raises(text: str) -> None:
    authenticator = made(ALICE)
    found = authenticator.check("INVITE", [f'Digest realm="forkproxy", {text}', text], BOB)
    assert isinstance(found, Failure)


def test_secrets_are_not_shown() -> None:
    assert "wonder" not in repr(ALICE)
    assert "abc" not in repr(User("alice", "phones", hashed={"MD5": "abc"}))


@pytest.mark.parametrize(
    ("uri", "accepted"),
    [
        ("sip:bob@EXAMPLE.com:5080;transport=tcp", True),
        ("sip:+19005551234@example.com", False),
        ("sip:bob@elsewhere.example", False),
        ("", False),
    ],
)
def test_an_answer_for_one_number_does_not_dial_another(uri: str, accepted: bool) -> None:
    authenticator = made(ALICE)
    phone = client("alice", "wonder", authenticator.challenge())
    found = authenticator.check("INVITE", answer(phone), uri)
    assert found == (ALICE if accepted else Failure("unusable"))
