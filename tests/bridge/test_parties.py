"""Who talks in a recorded call."""

from __future__ import annotations

import pytest

from forkproxy.bridge.parties import Parties, address, named, parameters
from forkproxy.model import Party
from forkproxy.numbers import Rule
from forkproxy.signalling.metadata import Participant, Recording, read

ANN, BOB = Participant("a", "sip:ann@example.com", "Ann"), Participant("b", "tel:+15551230000", "")
PEOPLE = {"a": ANN, "b": BOB}
WHOLE = Recording(
    participants=PEOPLE, labels={"s1": "7", "s2": "8"}, senders={"s1": "b", "s2": "a"}, session="c1"
)


def test_the_streams_say_who_is_the_caller() -> None:
    assert Parties.of(WHOLE, ["7", "8"]) == Parties(BOB, ANN)
    assert Parties.of(WHOLE, ["8", "7", "9"]) == Parties(ANN, BOB)


def test_on_one_stream_and_without_streams_the_order_counts() -> None:
    assert Parties.of(WHOLE, ["7"]) == Parties(ANN, BOB)
    assert Parties.of(Recording(participants=PEOPLE), ["1", "2"]) == Parties(ANN, BOB)
    assert Parties.of(Recording(participants={"a": ANN}), []) == Parties(ANN, None)
    assert Parties.of(Recording(), ["1"]) == Parties()


def test_who_is_on_hold_is_still_there() -> None:
    held = Recording(participants=PEOPLE, labels=WHOLE.labels, senders={"s1": "b"})
    before = Parties.of(WHOLE, ["7", "8"])
    assert Parties.of(held, ["7", "8"]) == Parties(BOB, None)
    assert Parties.of(held, ["7", "8"]).after(before) == before


def test_who_has_left_sends_no_more() -> None:
    found = read(
        b"""<recording xmlns="urn:ietf:params:xml:ns:recording:1"><session session_id="c"><sipSessionID>x
        </sipSessionID></session><participant participant_id="a"><nameID aor="sip:a@h"/></participant>
        <participant participant_id="c"><nameID aor="sip:c@h"/></participant>
        <stream stream_id="s" session_id="c"><label>1</label></stream>
        <participantstreamassoc participant_id="c"><send>s</send></participantstreamassoc>
        <participantstreamassoc participant_id="a"><send>s</send><disassociate-time>2026-01-01T00:00:00Z
        </disassociate-time></participantstreamassoc></recording>"""
    )
    assert found.speaker("1") == Participant("c", "sip:c@h", "")
    assert found.sip_sessions == ("x",)


@pytest.mark.parametrize(
    ("aor", "expected"),
    [
        ("sip:ann@example.com;transport=tls", "sip:ann@example.com"),
        ("ann@example.com", "sip:ann@example.com"),
        ("+15551230000@example.com", "+15551230000"),
        ("tel:0049301;phone-context=x", "+49301"),
        ("0049301", "+49301"),
        ("", ""),
    ],
)
def test_addresses_are_written_as_a_calls(aor: str, expected: str) -> None:
    assert address(Participant("p", aor, ""), (Rule.parse("00* -> +*"),)) == expected


def test_what_is_not_known_stays() -> None:
    before = Party("sip:src@h", "SBC", sends=False)
    assert named(None, before) == before
    assert named(Participant("p", "", "Ann"), before) == Party("sip:src@h", "Ann", sends=False)


def test_flows_see_all_of_it() -> None:
    whole = Recording(session="c1", sip_sessions=("x", "y"), parameters={"agent id": "7", "b": "<"})
    assert parameters(whole, Parties(ANN)) == {
        "SiprecSession": "c1",
        "SiprecSessionIds": "x y",
        "SiprecInboundId": "a",
        "SiprecInboundAor": "sip:ann@example.com",
        "SiprecInboundName": "Ann",
        "SiprecOutboundId": "",
        "SiprecOutboundAor": "",
        "SiprecOutboundName": "",
        "SiprecData_agent_id": "7",
        "SiprecData_b": "<",
    }
