"""Registrations, limits and health as values: times are arguments, chance is fixed."""

from __future__ import annotations

import random

import pytest

from forkproxy.signalling.health import HOLD, Health
from forkproxy.signalling.limits import Limit
from forkproxy.signalling.locate import Destination
from forkproxy.signalling.registration import LONGEST_PAUSE, Registration
from forkproxy.signalling.requests import Reply

OURS = "192.0.2.9:5060"


@pytest.fixture
def registration() -> Registration:
    return Registration(3600, 30.0, random.Random(1))


def ok(*headers: tuple[str, str]) -> Reply:
    return Reply(200, "OK", headers)


@pytest.mark.parametrize(
    ("headers", "granted"),
    [
        ((("Contact", f"<sip:u@{OURS}>;expires=600"),), 600),
        ((("Contact", f'<sip:u@192.0.2.1:5060>;expires=60, <sip:u@{OURS}>;q=1;expires="120"'),), 120),
        ((("m", f"<sip:u@{OURS}>;expires=90"), ("Expires", "700")), 90),
        ((("Contact", f"<sip:u@{OURS}>"), ("Expires", "700")), 700),
        ((("Contact", "<sip:u@192.0.2.1>;expires=5"),), 3600),
        ((("Expires", "x"),), 3600),
        ((("Contact", f"<sip:u@{OURS}>;expires=0"),), 1),
    ],
)
def test_it_is_refreshed_before_it_ends(
    registration: Registration, headers: tuple[tuple[str, str], ...], granted: int
) -> None:
    pause = registration.take(ok(*headers), OURS, now=100.0)
    assert registration.state == "registered"
    assert registration.expires_at == 100.0 + granted
    assert min(granted * 0.75, 1.0) <= pause <= max(granted * 0.9, 1.0)


def test_what_fails_is_tried_later_each_time(registration: Registration) -> None:
    pauses = [registration.take(Reply(403, "Forbidden"), OURS, 0.0) for _ in range(12)]
    for number, pause in enumerate(pauses):
        most = min(30.0 * 2**number, LONGEST_PAUSE)
        assert most / 2 <= pause <= most
    assert (registration.state, registration.failures, registration.status) == ("failed", 12, 403)
    registration.take(ok(), OURS, 0.0)
    assert (registration.state, registration.failures) == ("registered", 0)
    assert registration.take(Reply(408, ""), OURS, 0.0) <= 30, "it begins from the beginning"
    registration.given_back()
    assert (registration.state, registration.expires_at) == ("unregistered", None)


def test_the_carriers_wishes(registration: Registration) -> None:
    assert 60 <= registration.take(Reply(503, "", (("Retry-After", "120 (later)"),)), OURS, 0.0) <= 120
    assert registration.take(Reply(503, "", (("Retry-After", "999999"),)), OURS, 0.0) <= LONGEST_PAUSE
    assert registration.take(Reply(423, "", (("Min-Expires", "7200"),)), OURS, 0.0) == 0
    assert registration.expires == 7200
    assert registration.take(Reply(423, "", (("Min-Expires", "7200"),)), OURS, 0.0) > 0, "it asks for ever"
    assert registration.take(Reply(423, "", (("Min-Expires", "99999999"),)), OURS, 0.0) > 0


def test_so_many_calls_at_a_time() -> None:
    limit = Limit(2, None)
    assert [limit.take(0.0) for _ in range(3)] == [True, True, False]
    limit.release()
    assert limit.take(0.0)
    assert (limit.active, limit.refused) == (2, 1)


def test_so_many_calls_a_second() -> None:
    limit = Limit(None, 2.0)
    assert [limit.take(10.0) for _ in range(3)] == [True, True, False]
    assert [limit.take(10.5) for _ in range(2)] == [True, False]
    assert [limit.take(100.0) for _ in range(3)] == [True, True, False], "what was not used does not add up"


def test_less_than_one_call_a_second() -> None:
    limit = Limit(None, 0.1)
    assert [limit.take(now) for now in (0.0, 5.0, 10.0, 15.0, 20.0)] == [True, False, True, False, True]


def test_no_limit() -> None:
    limit = Limit(None, None)
    assert all(limit.take(0.0) for _ in range(1000))
    for _ in range(1001):
        limit.release()
    assert limit.active == 0


def test_what_failed_is_tried_last_for_a_while() -> None:
    a, b, c = (Destination("udp", f"192.0.2.{n}", 5060) for n in (1, 2, 3))
    health = Health()
    assert health.bad(a, 100.0)
    assert not health.bad(a, 101.0), "no news"
    assert health.order([a, b, c], 102.0) == [b, c, a]
    health.bad(b, 102.0)
    health.bad(c, 102.0, 1.0)
    assert health.order([a, b, c], 102.0) == [a, b, c], "all are down: the order is the carrier's"
    assert health.order([a, b, c], 104.0) == [c, a, b]
    assert health.good(a)
    assert not health.good(a)
    assert not health.is_down(b, 102.0 + HOLD)


def test_destinations_are_forgotten_when_there_are_very_many() -> None:
    health = Health()
    for number in range(10_000):
        health.bad(Destination("udp", f"host{number}", 5060), float(number), 1.0)
    assert len(health._down) <= 4_097
