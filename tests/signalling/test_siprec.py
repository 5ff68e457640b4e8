"""Recording clients are told from phones; what they bring is found."""

from __future__ import annotations

import pytest

from forkproxy.errors import SignallingError
from forkproxy.signalling.multipart import Part
from forkproxy.signalling.siprec import is_recording, parts_of, recording

METADATA = b"--b\r\nContent-Type: application/rs-metadata\r\n\r\n<recording/>\r\n--b--"
LABELLED = b"v=0\r\nm=audio 4000 RTP/AVP 0\r\na=label:1\r\n"


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ("Require: siprec", b"", True),
        ("require :100rel , SIPREC", b"", True),
        ("Require: siprec-like", b"", False),
        ("Supported: siprec", b"", False),
        ("Subject: Require: siprec", b"", False),
        ("Contact: <sip:a@example.com>;src", METADATA, True),
        ("m: <sip:a@example.com>;+sip.src", LABELLED, True),
        ("Contact: <sip:a@example.com>;+sip.src", LABELLED.replace(b"label", b"rtcp"), False),
        ("Contact: <sip:a@example.com>", LABELLED, False),
        ("Accept: application/sdp, application/rs-metadata", b"", False),
    ],
)
def test_a_recording_client_is_known_by_what_it_sends(headers: str, body: bytes, expected: bool) -> None:
    message = f"INVITE sip:rec@example.com SIP/2.0\r\n{headers}\r\n\r\n".encode() + body
    assert is_recording(message) is expected


def test_the_parts_of_a_message(caplog: pytest.LogCaptureFixture) -> None:
    head = b"INVITE sip:r@h SIP/2.0\r\nc: multipart/mixed;boundary=b\r\n\r\n"
    assert parts_of(head + METADATA) == (Part("application/rs-metadata", b"<recording/>"),)
    assert parts_of(head.replace(b";boundary=b", b"") + METADATA) == ()
    assert "has no boundary" in caplog.text


def test_the_metadata_among_the_parts() -> None:
    found = recording([Part("application/sdp", b"v=0"), Part("application/rs-metadata", b"<recording/>")])
    assert found is not None
    assert found.complete
    assert recording([Part("application/sdp", b"v=0")]) is None
    with pytest.raises(SignallingError, match="no XML"):
        recording([Part("application/rs-metadata+xml", b"")])
