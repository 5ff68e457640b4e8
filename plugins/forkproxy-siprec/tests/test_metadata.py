"""Metadata is valid by the schema whatever is in it, and says who speaks and who hears."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from forkproxy_siprec.lint import lint
from forkproxy_siprec.metadata import (
    NAMESPACE,
    Form,
    Picture,
    Story,
    aor,
    document,
    identifier,
    is_snapshot_request,
    tracks,
)
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tests.support.srs import check_metadata, schema

BEGAN = datetime(2026, 11, 26, 7, 0, tzinfo=UTC)
RULES = schema()
LABELS = {"inbound": "1", "outbound": "2", "mixed": "m"}
OFFER = b"".join(b"m=audio 1 RTP/AVP 0\r\na=label:" + label + b"\r\n" for label in (b"1", b"2", b"m"))


def picture(
    caller: str = "+15550100", callee: str = "sip:b@b.example", name: str = "", **more: object
) -> Picture:
    story = Story("CA1", BEGAN)
    story.joined("caller", caller, name, BEGAN)
    story.joined("callee", callee, name, BEGAN)
    ids = [each.id for each in story.people]
    streams = tracks("CA1", ids[0], ids[1], LABELS, ["inbound", "outbound"], mixed=False)
    return Picture(identifier("CA1", "session"), BEGAN, tuple(story.people), streams, **more)  # type: ignore[arg-type]


def texts(xml: bytes, path: str) -> list[str]:
    found = etree.fromstring(xml).xpath(path, namespaces={"r": NAMESPACE})
    return [each if isinstance(each, str) else each.text or "" for each in found]


@given(
    st.text(max_size=60), st.text(max_size=60), st.text(max_size=1000), st.dictionaries(st.text(), st.text())
)
def test_nothing_that_a_caller_says_breaks_it(
    caller: str, callee: str, name: str, extra: dict[str, str]
) -> None:
    xml = document(picture(caller, callee, name, parameters=tuple(extra.items()), session_ids=(name[:80],)))
    check_metadata(xml, OFFER, RULES)
    assert [finding for finding in lint(xml) if not finding.warning] == []


@pytest.mark.parametrize("name", ["<&\"'>", "🙂 Ünïcödé", "n" * 1000, "]]>", "a\tb"])
def test_names_survive(name: str) -> None:
    xml = document(picture(name=name, parameters=(("Name", name),)))
    assert texts(xml, "r:participant/r:nameID/r:name") == [name, name]
    value = texts(xml, "//*[local-name()='Parameter']/@value")
    assert value == [name]


@given(
    st.booleans(), st.booleans(), st.booleans(), st.booleans(),
    st.sampled_from([(), ("group",), ("session", "participant", "stream", "sessionrecordingassoc")]),
)  # fmt: skip
def test_every_form_is_valid(
    group: bool, ended: bool, partial: bool, labels: bool, extensions: tuple[str, ...]
) -> None:
    more = {"ended": BEGAN + timedelta(minutes=5)} if ended else {}
    if group:
        more["group_id"] = identifier("CA1", "group")  # type: ignore[assignment]
    form = Form("urn:x", tuple((name, '<x xmlns="urn:y">1</x>') for name in extensions), partial)
    xml = document(picture(**more), form, labels=labels)
    check_metadata(xml, OFFER if labels else b"", RULES)
    assert (texts(xml, "r:stream/r:label") == []) is not labels


def test_who_sends_and_who_hears() -> None:
    whole = picture()
    caller, callee = whole.participants
    xml = document(whole)
    one, two = [stream.id for stream in whole.streams]
    who = f"r:participantstreamassoc[@participant_id='{caller.id}']"
    assert (texts(xml, f"{who}/r:send"), texts(xml, f"{who}/r:recv")) == ([one], [two])
    held = document(picture(silent=frozenset({caller.id})))
    assert (texts(held, f"{who}/r:send"), texts(held, f"{who}/r:recv")) == ([], [two])
    other = f"r:participantstreamassoc[@participant_id='{callee.id}']"
    assert (texts(held, f"{other}/r:send"), texts(held, f"{other}/r:recv")) == ([two], [])
    mixed = tracks("CA1", caller.id, callee.id, LABELS, [], mixed=True)
    both = document(Picture(whole.session_id, BEGAN, whole.participants, mixed))
    assert texts(both, "r:stream/r:label") == ["m"]
    assert len(texts(both, "r:participantstreamassoc/r:send")) == 2


def test_a_story_keeps_those_who_left() -> None:
    story = Story("CA1", BEGAN, "example.com")
    story.joined("caller", "+15550100", "", BEGAN)
    story.joined("callee", "100", "", BEGAN)
    story.joined("callee", "100", "Desk", BEGAN)
    story.joined("callee", "200", "Expert", BEGAN + timedelta(seconds=5))
    story.joined("callee", "100", "Desk", BEGAN + timedelta(seconds=9))
    story.joined("caller", "+15550199", "Ann", BEGAN, instead=True)
    assert (story.people[0].aor, story.people[0].name) == ("sip:+15550199@example.com", "Ann")
    people = [(each.aor, each.name, each.until is None) for each in story.people]
    assert people == [
        ("sip:+15550199@example.com", "Ann", True),
        ("sip:100@example.com", "Desk", False),
        ("sip:200@example.com", "Expert", False),
        ("sip:100@example.com", "Desk", True),
    ]
    assert len({each.id for each in story.people}) == 4
    current = story.playing("callee")
    assert current is not None
    assert current.id == story.people[3].id


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("sip:a b<c>@x", "sip:a%20b%3Cc%3E@x"),
        ("", "sip:anonymous@anonymous.invalid"),
        ("TEL:+1", "TEL:+1"),
        ("*100#", "tel:*100#"),
    ],
)
def test_addresses(address: str, wanted: str) -> None:
    assert aor(address) == wanted


def test_a_request_for_a_snapshot_is_known() -> None:
    assert is_snapshot_request(b"<requestsnapshot xmlns='x'/>")
    assert is_snapshot_request(b"<a:requestsnapshot xmlns:a='x'><a:requestreason/></a:requestsnapshot>")
    assert not is_snapshot_request(b"<recording/>")
