"""What `forkproxy siprec lint` finds, and that it finds nothing where nothing is wrong."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from click.testing import CliRunner
from forkproxy_siprec.lint import lint

from forkproxy.cli import main

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.xml"))
COMPLETE = (Path(__file__).parent / "corpus/rfc7865-8.1-complete.xml").read_text()
SESSION = "hVpd7YQgRW2nD22h7q60JQ=="
LABELS = ("96", "97", "98", "99")


def message(sdp: str | None = None, xml: str = COMPLETE, **changes: str) -> bytes:
    """An INVITE with all that it needs, except for `changes`."""
    if sdp is None:
        lines = "".join(f"m=audio 9 RTP/AVP 0\r\na=sendonly\r\na=label:{label}\r\n" for label in LABELS)
        sdp = "v=0\r\nc=IN IP4 192.0.2.1\r\n" + lines
    head = {
        "start": "INVITE sip:srs@example.com SIP/2.0",
        "contact": "Contact: <sip:src@192.0.2.1>;+sip.src",
        "require": "Require: siprec",
        "disposition": "Content-Disposition: recording-session",
        "type": "application/rs-metadata+xml",
    } | changes
    body = (
        f"--b\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--b\r\nContent-Type: {head['type']}\r\n"
        f"{head['disposition']}\r\n\r\n{xml}\r\n--b--\r\n"
    )
    lines = [head["start"], head["contact"], head["require"], "Content-Type: multipart/mixed;boundary=b"]
    return ("\r\n".join([*lines, f"Content-Length: {len(body.encode())}"]) + "\r\n\r\n" + body).encode()


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.stem)
def test_the_rfcs_own_examples_are_right(file: Path) -> None:
    assert lint(file.read_bytes()) == []


def test_a_whole_message_is_right() -> None:
    assert lint(message()) == []


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("<datamode>complete</datamode>", "<dataMode>complete</dataMode>", "dataMode"),
        ("2010-12-16T23:41:07Z", "2010-12-16T23:41:07+0000", "not a valid value"),
        ("2010-12-16T23:41:07Z", "2010-12-16T23:41:07", "with its zone"),
        (f'<session session_id="{SESSION}"', '<session session_id="aGVsbG8="', "base64 of 5 octets"),
        (f'<session session_id="{SESSION}"', '<session session_id="urn:uuid:1"', "no base64"),
        ("<send>i1Pz3to5hGk8fuXl+PbwCw==</send>", "<send>96</send>", "it is a label"),
        ("<group-ref>7+OTCyoxTmqmqyA/1weDAg==", "<group-ref>i1Pz3to5hGk8fuXl+PbwCw==", "names no group"),
        ('participant_id="zSfPoSvdSDCmU3A3TRDxAw=="', 'participant_id="srfBElmCRp2QB23b7Mpk0w=="', "already"),
        ("<label>97</label>", "<label>96</label>", "stands for two streams"),
        ("<label>97</label>", "<label>1</label>", "no m-line of the offer has it"),
        ("ns:recording:1", "ns:recording", "of a draft"),
        ("</recording>", "", "not well-formed"),
        ("<recording", "<!DOCTYPE x><recording", "document type"),
        ("sip:bob@biloxi.com", "bob@biloxi.com", "a scheme is missing"),
    ],
)
def test_what_is_wrong_with_metadata_has_its_line(old: str, new: str, text: str) -> None:
    broken = COMPLETE.replace(old, new, 1)
    assert broken != COMPLETE
    alone = message(xml=broken)
    found = [finding for finding in lint(alone) if text in finding.message]
    assert found, [str(finding) for finding in lint(alone)]
    lines = alone.decode().split("\n")
    if "well-formed" not in text:
        near = "\n".join(lines[max(found[0].line - 3, 0) : found[0].line + 1])
        assert (
            any(word in near for word in new.split('"')[:2] if word.strip())
            or "two" in text
            or "already" in text
        )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"contact": "Contact: <sip:a@b;+sip.src>"}, "no +sip.src"),
        ({"contact": "Contact: <sip:a@b>;src"}, "src is of the drafts"),
        ({"require": "Require: 100rel"}, "no Require: siprec"),
        ({"disposition": "X: y"}, "no Content-Disposition"),
        ({"type": "application/rs-metadata"}, "has become"),
        ({"sdp": "v=0\r\nm=audio 9 RTP/AVP 0\r\n"}, "without a=label"),
        ({"sdp": "v=0\r\nm=audio 9 RTP/SAVP 0\r\na=label:96\r\n"}, "without a=crypto"),
        (
            {"sdp": "v=0\r\nm=audio 9 RTP/AVP 0\r\na=label:96\r\nm=audio 9 RTP/AVP 0\r\na=label:96\r\n"},
            "two m-lines",
        ),
        ({"sdp": "x"}, "not a session description"),
        ({"xml": "<recording xmlns='urn:ietf:params:xml:ns:recording:1'/>"}, "never answer that"),
    ],
)
def test_what_is_wrong_with_a_message(changes: dict[str, str], text: str) -> None:
    assert any(text in finding.message for finding in lint(message(**changes)))


def pcap(*packets: bytes) -> bytes:
    return struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + b"".join(
        struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet for packet in packets
    )


def ethernet(protocol: int, payload: bytes) -> bytes:
    ip = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0, b"\x7f\0\0\1", b"\x7f\0\0\1"
    )
    return bytes(12) + b"\x08\x00" + ip + payload


def tcp(sequence: int, payload: bytes, flags: int = 16) -> bytes:
    return ethernet(6, struct.pack(">HHIIBBHHH", 5060, 5060, sequence, 0, 5 << 4, flags, 0, 0, 0) + payload)


def test_captures_over_udp_and_tcp(tmp_path: Path) -> None:
    wrong = message(require="Require: 100rel")
    udp = pcap(ethernet(17, struct.pack(">HHHH", 5060, 5060, 8 + len(wrong), 0) + wrong))
    (found,) = lint(udp)
    assert str(found) == (
        "packet 1 (INVITE sip:srs@example.com SIP/2.0):3: error: no Require: siprec (RFC 7866 6.1.1)"
    )
    pieces = [
        tcp(0xFFFFFFF0, b"", 2),
        tcp(0xFFFFFFF1 + 1000 & 0xFFFFFFFF, wrong[1000:]),
        tcp(0xFFFFFFF1, wrong[:1000]),
    ]
    pieces.append(tcp((0xFFFFFFF1 + len(wrong)) & 0xFFFFFFFF, message()))
    (finding,) = lint(pcap(*pieces))
    assert finding.where.startswith("packet 3 ")
    assert "siprec" in finding.message
    assert "no message of a recording session" in lint(pcap(ethernet(17, b"x" * 20)))[0].message
    file = tmp_path / "a.pcap"
    file.write_bytes(pcap(*pieces))
    result = CliRunner().invoke(main, ["siprec", "lint", str(file)])
    assert result.exit_code == 1
    assert f"{file}:packet 3 (INVITE" in result.output


def test_the_command(tmp_path: Path) -> None:
    good, odd = tmp_path / "good.xml", tmp_path / "odd.txt"
    good.write_text(COMPLETE)
    odd.write_text("hello")
    result = CliRunner().invoke(main, ["siprec", "lint", str(good)])
    assert (result.exit_code, "no problems" in result.output) == (0, True)
    result = CliRunner().invoke(main, ["siprec", "lint", str(odd), str(tmp_path / "none")])
    assert result.exit_code == 1
    assert "neither XML nor a SIP message" in result.output
    assert "siprec" in CliRunner().invoke(main, ["--help"]).output
