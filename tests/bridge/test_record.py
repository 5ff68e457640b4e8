"""What a record says of a call, for each way in which calls end."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from forkproxy.bridge.record import MOST_PARTS, MOST_WARNINGS, CallRecord, refused
from forkproxy.media import LegFigures
from forkproxy.model import Address, CallInfo
from forkproxy.signalling import events as sip
from forkproxy.signalling import sdp

INFO = CallInfo("CA1", "AC1", "+15551230000", "+15559990000")
LEG = Mock(from_uri="sip:+15551230000@192.0.2.7", call_id="abc", remote=Address("192.0.2.7", 5060))
BOB = Mock(call_id="def", remote=Address("192.0.2.9", 5060))
FIGURES = Mock(
    mos=4.2, jitter_ms=1.0, round_trip_ms=None, lost=1, packets_in=99, duplicate=0, spec=LegFigures
)
SPEECH = sdp.parse(sdp.offer("127.0.0.1", 40000, 40001))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def record(clock: Clock) -> CallRecord:
    return CallRecord(INFO, LEG, "carrier", clock, 1_000_000_000 - 100.0)


def test_a_conversation(record: CallRecord, clock: Clock) -> None:
    record.at("flow.json", "connect")
    record.dialled(1, "sip:bob@192.0.2.9", None)
    clock.now += 1
    record.callee(1, sip.Progress(180, "Ringing", None), BOB)
    record.callee(1, sip.Progress(183, "Session Progress", None), BOB)
    clock.now += 2
    record.agreed(1, SPEECH, True)
    record.callee(1, sip.Answered(200, None), BOB)
    record.answered()
    record.answered()
    clock.now += 10
    record.callee(1, sip.Ended(200, "", "remote"), BOB)
    record.caller(sip.Ended(200, "", "local"))
    record.at("flow.json", None)
    found = record.finish("the flow ended")
    assert (found["began"], found["answered"], found["ended"]) == (
        "2001-09-09T01:46:40.000Z",
        "2001-09-09T01:46:43.000Z",
        "2001-09-09T01:46:53.000Z",
    )
    assert (found["seconds"], found["talk_seconds"], found["status"]) == (13, 10, 200)
    assert (found["ended_by"], found["reason"], found["widget"]) == ("callee", "the flow ended", "connect")
    caller, callee = found["legs"]
    assert (caller["leg"], caller["trunk"], caller["sip_call_id"]) == ("caller", "carrier", "abc")
    assert (callee["leg"], callee["remote"], callee["rang"]) == (
        "callee_1",
        "192.0.2.9:5060",
        "2001-09-09T01:46:41.000Z",
    )
    assert (callee["codec"], callee["srtp"], callee["by"]) == ("PCMU", True, "remote")


@pytest.mark.parametrize(
    ("event", "status", "by"),
    [
        (sip.Ended(487, "Request Terminated", "remote"), 487, "caller"),
        (sip.Ended(486, "Busy Here", "local"), 486, "forkproxy"),
        (sip.Ended(408, "Request Timeout", "timeout"), 408, "timeout"),
        (sip.Ended(503, "Service Unavailable", "transport"), 503, "transport"),
    ],
)
def test_a_call_that_was_not_answered(record: CallRecord, event: sip.Ended, status: int, by: str) -> None:
    record.caller(event)
    found = record.finish("why")
    assert (found["status"], found["ended_by"], found["answered"]) == (status, by, None)
    assert found["talk_seconds"] == 0


def test_a_leg_that_could_not_be_begun(record: CallRecord) -> None:
    record.dialled(1, "sip:+49@carrier", "carrier")
    record.not_dialled(1, 503, "no port is left")
    record.callee(1, sip.Ended(200, "", "remote"), None)
    (_, callee) = record.finish("")["legs"]
    assert (callee["status"], callee["reason"], callee["by"]) == (503, "no port is left", "local")


def test_a_flow_in_a_circle_does_not_fill_the_memory(record: CallRecord) -> None:
    for number in range(1000):
        record.dialled(number, "sip:bob@192.0.2.9", None)
        record.callee(number, sip.Ended(486, "Busy Here", "remote"), BOB)
        record.heard(number, FIGURES)
        record.stream(sid=str(number))
        record.warned(None, "again", "widget")
    found: dict[str, Any] = dict(record.finish(""))
    assert len(found["legs"]) == len(found["streams"]) == MOST_PARTS
    assert len(found["warnings"]) == MOST_WARNINGS
    assert not record._callees


def test_a_call_that_was_refused() -> None:
    found = refused(INFO, LEG, None, 404, "no flow", 1_000_000_000.0)
    assert (found["status"], found["ended_by"], found["flow"], found["seconds"]) == (
        404,
        "forkproxy",
        None,
        0,
    )
    assert found["began"] == found["ended"] == "2001-09-09T01:46:40.000Z"
