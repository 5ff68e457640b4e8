"""What strangers may send: rates, bans, and what a ban must not cut off."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import pytest

from forkproxy.model import Limits
from forkproxy.signalling import gate as module
from forkproxy.signalling.access import Refused
from forkproxy.signalling.events import Ended
from forkproxy.signalling.gate import WINDOW, Gate
from tests.signalling.support import Station, until

INVITE = b"INVITE sip:x@y SIP/2.0\r\nTo: <sip:x@y>\r\n\r\n"
BYE = b"BYE sip:x@y SIP/2.0\r\nt : <sip:x@y>;tag=abc\r\ni: 7@y\r\n\r\n"
Stations = Callable[..., Awaitable[Station]]
FOE, FRIEND = "203.0.113.7", "192.0.2.1"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def gate(clock: Clock, **limits: object) -> Gate:
    return Gate(lambda host: host == FRIEND, Limits(**limits), clock)  # type: ignore[arg-type]


def test_a_rate_for_strangers_and_none_for_friends() -> None:
    clock = Clock()
    made = gate(clock, source_rate=10)
    assert sum(made.hears(FOE, INVITE) for _ in range(100)) == 20
    assert all(made.hears(FRIEND, INVITE) for _ in range(100))
    assert all(made.hears("203.0.113.8", INVITE) for _ in range(20))  # each for itself
    clock.now += 0.5
    assert sum(made.hears(FOE, INVITE) for _ in range(100)) == 5
    assert made.counters()["dropped_flooding"] == 80 + 95
    assert made.hears(FOE, b"SIP/2.0 200 OK\r\n\r\n")


def test_no_rate() -> None:
    made = gate(Clock(), source_rate=None)
    assert all(made.hears(FOE, INVITE) for _ in range(1000))


def test_a_ban_after_refusals_and_its_end(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    made = gate(clock, ban_after=3, ban_seconds=60)
    for _ in range(2):
        made.strike(FOE, "unknown")
    assert made.hears(FOE, INVITE)
    with caplog.at_level(logging.WARNING):
        made.strike(FOE, "password")
    assert "203.0.113.7 is banned for 60 s: 2 unknown, 1 password" in caplog.text
    assert not made.hears(FOE, INVITE)
    assert made.shuts_out(FOE)
    assert not made.hears(FOE, BYE)
    made.talks = lambda call_id: call_id == "7@y"
    assert made.hears(FOE, BYE)  # it is the callee of a call
    assert not made.hears(FOE, INVITE + b"\nTo: x;tag=1\nCall-ID: 7@y")  # that is but a body
    assert made.hears(FOE, b"SIP/2.0 200 OK\r\n\r\n")
    assert made.counters() == {
        "dropped_banned": 4,
        "dropped_flooding": 0,
        "dropped_unanswered": 0,
        "bans": 1,
        "banned": 1,
    }
    clock.now += 61
    assert made.hears(FOE, INVITE)
    assert not made.shuts_out(FOE)
    assert made.counters()["banned"] == 0


def test_refusals_that_are_far_apart_ban_nobody() -> None:
    clock = Clock()
    made = gate(clock, ban_after=3)
    for _ in range(10):
        made.strike(FOE, "unknown")
        clock.now += WINDOW / 2 + 1
    assert made.counters()["bans"] == 0


def test_friends_are_never_banned_and_pardon_forgets() -> None:
    made = gate(Clock(), ban_after=1)
    made.strike(FRIEND, "malformed")
    assert made.hears(FRIEND, INVITE)
    made.strike(FOE, "unknown")
    assert not made.hears(FOE, INVITE)
    assert made.pardon(FOE)
    assert not made.pardon(FOE)
    assert made.hears(FOE, INVITE)


def test_nobody_is_banned_where_that_is_off() -> None:
    made = gate(Clock(), ban_after=None)
    for _ in range(100):
        made.strike(FOE, "unknown")
    assert made.hears(FOE, INVITE)


def test_who_becomes_known_is_pardoned() -> None:
    known: set[str] = set()
    made = Gate(known.__contains__, Limits(ban_after=1), Clock())
    made.strike(FOE, "unknown")
    known.add(FOE)
    made.update(Limits(ban_after=1))
    assert made.hears(FOE, INVITE)
    assert made.describe() == []


def test_forged_sources_do_not_fill_the_memory_nor_end_a_ban(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 50)
    made = gate(Clock(), ban_after=1)
    made.strike(FOE, "unknown")
    for number in range(1000):
        made.hears(f"10.0.{number // 256}.{number % 256}", INVITE)
    assert len(made._strangers) == 50
    assert not made.hears(FOE, INVITE)


def test_the_operator_sees_the_worst_first() -> None:
    made = gate(Clock(), ban_after=3)
    for host, count in (("203.0.113.1", 1), ("203.0.113.2", 2), ("203.0.113.3", 3)):
        for _ in range(count):
            made.strike(host, "unknown")
    assert made.describe()[0] == {"source": "203.0.113.3", "refused": {"unknown": 3}, "banned_seconds": 600.0}
    assert [each["source"] for each in made.describe()] == ["203.0.113.3", "203.0.113.2", "203.0.113.1"]


@pytest.mark.parametrize("data", [INVITE, BYE, b"OPTIONS x", b"rubbish", b"CANCEL sip:x SIP/2.0"])
def test_silence_is_silence_whatever_comes(data: bytes) -> None:
    made = gate(Clock(), silent=True, ban_after=None)
    assert not made.hears(FOE, data)
    assert made.counters()["dropped_unanswered"] == 1
    assert made.describe()[0]["refused"] == {"unknown": 1}


def test_silence_lets_those_call_who_know_a_password() -> None:
    made = Gate(lambda host: False, Limits(silent=True), Clock(), open_to_all=lambda: True)
    assert made.hears(FOE, INVITE)
    assert not made.hears(FOE, b"OPTIONS x")


def test_a_challenge_that_is_not_answered_bans_nobody() -> None:
    """The sender may be forged, and be a user's address."""
    made = gate(Clock(), ban_after=1)
    made.strike(FOE, "challenged")
    assert made.hears(FOE, INVITE)
    made.strike(FOE, "password")
    assert not made.hears(FOE, INVITE)


def test_all_of_an_ipv6_network_is_one_stranger() -> None:
    made = gate(Clock(), ban_after=2)
    made.strike("2001:db8:1:2::7", "unknown")
    made.strike("2001:db8:1:2:3:4:5:6", "unknown")
    assert not made.hears("2001:db8:1:2::9", INVITE)
    assert made.hears("2001:db8:1:3::9", INVITE)
    assert made.describe()[0]["source"] == "2001:db8:1:2::/64"
    assert made.pardon("2001:db8:1:2::1")


async def test_a_banned_caller_gets_nothing_on_the_wire(stations: Stations) -> None:
    """On real sockets: three calls are refused, the next one is not even read, by no transport."""
    made = Gate(lambda host: False, Limits(ban_after=3))

    def refuse(address: object) -> bool:
        made.strike("127.0.0.1", "unknown")
        return False

    alice, bob = await stations(), await stations(admit=refuse, gate=made)
    for _ in range(3):
        _, heard = alice.dial(bob.uri())
        assert (await heard.first(Ended)).status == 403
    _, heard = alice.dial(bob.uri())
    await until(lambda: made.counters()["dropped_banned"])
    assert heard.names == []
    await heard.first(Ended)  # its own timer
    dropped = made.counters()["dropped_banned"]
    _, heard = alice.dial(bob.uri(transport="tcp"))
    await heard.first(Ended)
    assert made.counters()["dropped_banned"] > dropped
    assert bob.endpoint.counters()["refused"] == 3


async def test_strangers_may_get_no_answer(stations: Stations) -> None:
    alice = await stations()
    bob = await stations(judge=lambda address, method, message: Refused(0))
    _, heard = alice.dial(bob.uri())
    assert (await heard.first(Ended)).status == 408
    assert heard.names == ["Ended"]
    assert bob.endpoint.counters()["refused"] >= 1
