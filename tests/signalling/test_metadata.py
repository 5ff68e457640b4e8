"""Metadata of recording clients: what the RFC shows, and the dialects that SBCs speak."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.errors import SignallingError
from forkproxy.signalling.metadata import LIMIT, MOST_PARAMETERS, Participant, Recording, read

RFC = b"""<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns='urn:ietf:params:xml:ns:recording:1'>
  <datamode>complete</datamode>
  <session session_id="c2Vzc2lvbnNlc3Npb24xMg==">
    <sipSessionID>ab30317f1a784dc48ff824d0d3715d86;remote=47755a9de7794ba387653f2099600ef2</sipSessionID>
    <ExtensionParameters xmlns="https://provider.example/siprec">
      <Parameter name="Role" value="inbound"/><Parameter name="Note" value="a &lt; b &amp; c"/>
    </ExtensionParameters>
  </session>
  <participant participant_id="YWxpY2VhbGljZWFsaWNlMQ==">
    <nameID aor="sip:alice@example.com"><name xml:lang="en">Alice "A" \xe2\x98\x83</name></nameID>
  </participant>
  <participant participant_id="Ym9iYm9iYm9iYm9iYm9iMQ=="><nameID aor="tel:+15551230000"/></participant>
  <stream stream_id="czFzMXMxczFzMXMxczFzMQ==" session_id="c2Vzc2lvbnNlc3Npb24xMg=="><label>1</label></stream>
  <stream stream_id="czJzMnMyczJzMnMyczJzMg==" session_id="c2Vzc2lvbnNlc3Npb24xMg=="><label>2</label></stream>
  <participantstreamassoc participant_id="YWxpY2VhbGljZWFsaWNlMQ==">
    <send>czFzMXMxczFzMXMxczFzMQ==</send><recv>czJzMnMyczJzMnMyczJzMg==</recv>
  </participantstreamassoc>
  <participantstreamassoc participant_id="Ym9iYm9iYm9iYm9iYm9iMQ==">
    <send>czJzMnMyczJzMnMyczJzMg==</send><recv>czFzMXMxczFzMXMxczFzMQ==</recv>
  </participantstreamassoc>
</recording>
"""
ALICE = Participant("YWxpY2VhbGljZWFsaWNlMQ==", "sip:alice@example.com", 'Alice "A" ☃')
BOB = Participant("Ym9iYm9iYm9iYm9iYm9iMQ==", "tel:+15551230000", "")


def test_the_rfcs_way() -> None:
    found = read(RFC)
    assert found.complete
    assert found.session == "c2Vzc2lvbnNlc3Npb24xMg=="
    assert found.speaker("1") == ALICE
    assert found.speaker("2") == BOB
    assert found.speaker("3") is None
    assert found.parameters == {"Role": "inbound", "Note": "a < b & c"}


def test_a_draft_with_other_names() -> None:
    """No number in the namespace, ``id`` for the ids, ``<send>`` inside the participant, an extension."""
    found = read(
        b"""<recording xmlns='urn:ietf:params:xml:ns:recording' xmlns:apkt='http://vendor.example/ext'>
        <dataMode>complete</dataMode>
        <session id="s1"/>
        <participant id="p1"><nameID aor="sip:alice@example.com"/><send>16777227</send></participant>
        <stream id="16777227" session="s1"><label>16777227</label></stream>
        <extensiondata parent="s1"><apkt:callerOrig>true</apkt:callerOrig></extensiondata>
        </recording>"""
    )
    assert found.speaker("16777227") == Participant("p1", "sip:alice@example.com", "")
    assert found.parameters == {"callerOrig": "true"}


def test_another_root_and_ids_in_elements() -> None:
    found = read(
        b"""<recording_metadata xmlns='urn:ietf:params:xml:ns:siprec'><dataMode>complete</dataMode>
        <participant id="urn:uuid:1"><aor>alice</aor><send><id>urn:uuid:9</id></send></participant>
        <stream id="urn:uuid:9"><mode>mixed</mode><label>1</label></stream></recording_metadata>"""
    )
    assert found.speaker("1") == Participant("urn:uuid:1", "alice", "")


def test_a_partial_document_changes_what_it_names() -> None:
    whole = read(RFC)
    changed = whole.updated(
        read(
            b"""<recording xmlns='urn:ietf:params:xml:ns:recording:1'><datamode>partial</datamode>
            <participant participant_id="carol"><nameID aor="sip:carol@example.com"/></participant>
            <participantstreamassoc participant_id="carol"><send>czJzMnMyczJzMnMyczJzMg==</send>
            </participantstreamassoc></recording>"""
        )
    )
    assert changed.speaker("1") == ALICE
    assert changed.speaker("2") == Participant("carol", "sip:carol@example.com", "")
    assert changed.parameters == whole.parameters
    assert changed.updated(whole) == whole
    assert whole.updated(Recording()) == Recording()


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"", "no XML"),
        (b"<recording>", "no XML: .*line 1"),
        (b"<?xml version='1.0' encoding='klingon'?><recording/>", "no XML"),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]><recording>&a;</recording>", "declares"),
        (b"<recording>" + b" " * LIMIT + b"</recording>", "octets"),
    ],
)
def test_what_is_no_metadata_is_refused(document: bytes, said: str) -> None:
    with pytest.raises(SignallingError, match=said):
        read(document)


def test_a_long_list_is_cut() -> None:
    many = b"".join(b'<Parameter name="p%d" value="v"/>' % n for n in range(MOST_PARAMETERS + 50))
    assert len(read(b"<recording>" + many + b"</recording>").parameters) == MOST_PARAMETERS


@given(st.binary(max_size=200), st.integers(0, len(RFC) - 1), st.integers(0, 40))
def test_nothing_that_comes_in_breaks_it(noise: bytes, at: int, cut: int) -> None:
    with contextlib.suppress(SignallingError):
        read(RFC[:at] + noise + RFC[at + cut :])
