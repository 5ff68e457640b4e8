"""Who may call in."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from forkproxy.model import Address
from forkproxy.signalling.access import LOGGED, Access, Admitted, Refused
from forkproxy.signalling.authentication import User
from forkproxy.signalling.credentials import Credentials, challenge
from forkproxy.signalling.trunks import Trunk, origin

CARRIER = Trunk("carrier", accept=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
OTHER = Trunk("other", accept=(ip_network("192.0.2.128/25"),))


@pytest.mark.parametrize(
    ("host", "admitted"),
    [
        ("127.0.0.1", True),
        ("127.99.1.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.200", True),
        ("::ffff:192.0.2.1", True),
        ("2001:db8::7", True),
        ("fe80::1%eth0", False),
        ("192.0.3.1", False),
        ("2001:db9::7", False),
        ("sip.example", False),
        ("", False),
    ],
)
def test_trunks_and_loopback_and_nobody_else(host: str, admitted: bool) -> None:
    assert isinstance(Access([CARRIER, OTHER]).admits(Address(host, 5060)), Admitted) is admitted


def test_the_trunk_of_a_caller_is_the_first_that_accepts_it() -> None:
    access = Access([CARRIER, OTHER])
    assert access.trunk_of(Address("192.0.2.200", 1)) is CARRIER
    assert Access([OTHER]).trunk_of(Address("192.0.2.1", 1)) is None
    assert access.trunk_of(Address("127.0.0.1", 1)) is None


def test_refusals_are_counted_and_told() -> None:
    told: list[tuple[str, str]] = []
    access = Access([CARRIER], on_refused=lambda host, why: told.append((host, why)))
    for host in ("192.0.3.1", "192.0.3.1", "nonsense"):
        assert access.admits(Address(host, 1)) == Refused(403)
    assert access.counters() == {
        "refused_unknown": 2,
        "refused_unreadable": 1,
        "refused_challenged": 0,
        "refused_password": 0,
    }
    assert told == [("192.0.3.1", "unknown"), ("192.0.3.1", "unknown"), ("nonsense", "unreadable")]


def test_strangers_may_get_no_answer_at_all() -> None:
    assert Access([CARRIER], silent=True).admits(Address("192.0.3.1", 1)) == Refused(0)


def test_each_refused_source_is_logged_once_and_a_scan_is_not(caplog: pytest.LogCaptureFixture) -> None:
    access = Access([CARRIER])
    for number in range(500):
        access.admits(Address(f"10.0.{number // 256}.{number % 256}", 1))
        access.admits(Address("10.0.0.0", 1))
    assert len(caplog.records) == LOGGED
    assert caplog.messages[0] == "requests from 10.0.0.0 are refused: no trunk accepts this address"


# With passwords.

INSIDE = Trunk("office", accept=(ip_network("192.0.2.0/24"),), users=(User("alice", "office", "wonder"),))
ANYWHERE = Trunk("homes", users=(User("bob", "homes", "builder"),))


def invite(access: Access, host: str, user: str = "", password: str = "") -> Admitted | Refused:
    """What an INVITE gets; with a user, one that answers a challenge."""
    message = b"INVITE sip:x@192.0.2.1 SIP/2.0\r\n"
    if user:
        asked = access.admits(Address(host, 1), "INVITE", message + b"\r\n")
        assert isinstance(asked, Refused)
        credentials = Credentials(user, password)
        found = challenge(401, [asked.headers[-1]])
        assert found is not None
        credentials.challenged(found)
        answer = credentials.header("INVITE", "sip:x@192.0.2.1")
        assert answer is not None
        message += f"{answer[0]}: {answer[1]}\r\n".encode()
    return access.admits(Address(host, 1), "INVITE", message + b"\r\n")


def test_a_trunk_with_users_asks_its_own_addresses() -> None:
    access = Access([INSIDE])
    asked = invite(access, "192.0.2.7")
    assert isinstance(asked, Refused)
    assert asked.status == 401
    assert [name for name, _ in asked.headers] == ["WWW-Authenticate"] * 2
    assert invite(access, "192.0.2.7", "alice", "wonder") == Admitted("office")
    wrong = invite(access, "192.0.2.7", "alice", "land")
    assert isinstance(wrong, Refused)
    assert access.counters()["refused_password"] == 1
    assert access.admits(Address("192.0.2.7", 1), "OPTIONS") == Admitted()


def test_a_stranger_cannot_call_with_a_password_that_holds_inside() -> None:
    assert invite(Access([INSIDE]), "192.0.3.7") == Refused(403)
    access = Access([INSIDE, ANYWHERE])
    inside = invite(access, "192.0.3.7", "alice", "wonder")
    assert isinstance(inside, Refused)
    assert inside.status == 401
    assert invite(access, "192.0.3.7", "bob", "builder") == Admitted("homes")
    other = invite(access, "192.0.2.7", "bob", "builder")  # who is inside must be of the office
    assert isinstance(other, Refused)


def test_from_anywhere_is_for_calls_only() -> None:
    access = Access([ANYWHERE])
    assert access.admits(Address("192.0.3.7", 1), "OPTIONS") == Refused(403)
    assert invite(access, "127.0.0.1") == Admitted()


def test_a_right_password_is_told() -> None:
    good: list[str] = []
    access = Access([ANYWHERE], on_admitted=good.append)
    invite(access, "192.0.3.7")
    assert good == []
    invite(access, "192.0.3.7", "bob", "builder")
    assert good == ["192.0.3.7"]


def test_the_trunk_of_a_caller_is_found_however_its_address_is_written() -> None:
    """Its `srtp` depends on it: an IPv6 socket sees IPv4 callers as ::ffff:192.0.2.130."""
    for host in ("192.0.2.130", "::ffff:192.0.2.130", "[::ffff:c000:282]"):
        assert origin([OTHER, CARRIER], host) is OTHER
    assert origin([CARRIER], "2001:db8::7%eth0") is CARRIER
    assert origin([CARRIER, OTHER], "198.51.100.1") is None
    assert origin([CARRIER, OTHER], "carrier.example") is None
