"""Keys in INFO, as phones write them."""

from __future__ import annotations

import pytest

from forkproxy.bridge.passing import Keypad, cause_of, key_of
from forkproxy.signalling.events import Ended
from forkproxy.signalling.midcall import Content


@pytest.mark.parametrize(
    ("kind", "body", "key"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", ("5", 160)),
        ("application/dtmf-relay", b"Signal= #\nDuration= 250\n", ("#", 250)),
        ("Application/DTMF-Relay; charset=x", b"signal=a", ("A", 160)),
        ("application/dtmf-relay", b"Signal=10\r\nDuration=100", ("*", 100)),
        ("application/dtmf-relay", b"Signal=16\r\n", ("!", 160)),
        ("application/dtmf", b"7", ("7", 160)),
        ("application/dtmf", b"11\r\n", ("#", 160)),
        ("application/dtmf", b"17", None),
        ("application/dtmf", b"", None),
        ("application/dtmf-relay", b"Signal=5x", None),
        ("text/plain", b"5", None),
    ],
)
def test_keys(kind: str, body: bytes, key: tuple[str, float] | None) -> None:
    assert key_of(Content((("Content-Type", kind),), body)) == key


def test_a_key_that_comes_by_rtp_and_by_info_is_one_press() -> None:
    keypad = Keypad(span=0.6)
    presses = [
        ("5", "rtp", 1.0, True),
        ("5", "info", 1.1, False),
        ("5", "rtp", 1.4, True),  # pressed again
        ("5", "info", 1.5, False),
        ("5", "info", 3.0, True),
        ("5", "info", 3.2, True),  # this phone has but one way
        ("6", "rtp", 3.3, True),
        ("6", "info", 4.0, True),  # too late to be the same
    ]
    for key, way, now, new in presses:
        assert keypad.pressed(key, way, now) is new, (key, way, now)


def test_why_a_leg_ended() -> None:
    assert cause_of(None, Ended(408, "No session refresh received.", "timeout")) == "SIP;cause=408"
    assert cause_of(None, Ended(487, "Request Terminated", "local")) == ""
