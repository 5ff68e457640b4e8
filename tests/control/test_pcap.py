"""Captures: what is written is what is read, by us and by tshark; ladders of it; hostile files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.control import ladder, pcap
from forkproxy.control.pcap import Packet, PcapError
from forkproxy.model import Address
from tests.support.processes import needs

A, B = Address("192.0.2.1", 5060), Address("192.0.2.2", 5070)
INVITE = (
    b"INVITE sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
    b"From: <sip:a@192.0.2.1>;tag=1\r\nTo: <sip:bob@192.0.2.2>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n"
    b"Max-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"
)
BUSY = (
    b"SIP/2.0 486 Busy Here\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
    b"From: <sip:a@192.0.2.1>;tag=1\r\nTo: <sip:bob@192.0.2.2>;tag=2\r\nCall-ID: x\r\n"
    b"CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
)
hosts = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
addresses = st.builds(Address, hosts, st.integers(0, 65535))


def file(*packets: Packet) -> bytes:
    return pcap.header() + b"".join(map(pcap.record, packets))


@given(
    st.lists(
        st.builds(Packet, st.integers(0, 2**31).map(float), addresses, addresses, st.binary(max_size=99))
    )
)
def test_what_is_written_is_read(packets: list[Packet]) -> None:
    found = list(pcap.read(file(*packets)))
    assert [(each.time, each.data, each.source.port) for each in found] == [
        (each.time, each.data, each.source.port) for each in packets
    ]


@given(st.binary(max_size=300), st.integers(0, 200), st.binary(max_size=8))
def test_no_file_breaks_it(junk: bytes, at: int, change: bytes) -> None:
    whole = file(Packet(1.5, A, B, INVITE))
    for data in (junk, pcap.header() + junk, whole[:at] + change + whole[at + len(change) :], whole[:at]):
        try:
            found = list(pcap.read(data))
        except PcapError:
            continue
        ladder.draw(ladder.rungs(found), whole=True)


def test_a_host_that_is_no_address_and_a_message_that_is_too_long() -> None:
    with pytest.raises(ValueError, match="does not appear"):
        pcap.record(Packet(0.0, Address("a.example", 1), B, b""))
    (found,) = pcap.read(file(Packet(0.0, A, B, b"x" * 70_000)))
    assert len(found.data) == pcap.MOST


@pytest.mark.parametrize("link", [1, 113])
def test_captures_of_others_are_read(link: int) -> None:
    ours = file(Packet(1.0, A, B, INVITE))
    frame = b"\0" * {1: 14, 113: 16}[link] + ours[40:]
    length = len(frame).to_bytes(4, "little")
    theirs = ours[:20] + link.to_bytes(4, "little") + ours[24:32] + length + length + frame
    assert [each.data for each in pcap.read(theirs)] == [INVITE]
    with pytest.raises(PcapError, match="link layer 9"):
        list(pcap.read(ours[:20] + (9).to_bytes(4, "little") + ours[24:]))


@needs("tshark")
def test_tshark_decodes_both_versions_of_ip_with_right_checksums(tmp_path: Path) -> None:
    six, seven = Address("2001:db8::1", 5060), Address("2001:db8::2", 5061)
    event = b'<134>forkproxy: {"event": "stream created", "name": "x"}'
    path = tmp_path / "a.pcap"
    path.write_bytes(
        file(
            Packet(1.0, A, B, INVITE),
            Packet(1.25, B, A, BUSY),
            Packet(2.0, six, Address("2001:db8::2", 5060), INVITE),
            Packet(2.5, A, seven, b"odd"),
            Packet(3.0, Address("127.0.0.1", 514), Address("127.0.0.1", 514), event),
        )
    )
    fields = ("frame.protocols", "sip.Method", "sip.Status-Code", "ip.checksum.status", "udp.checksum.status")
    command = ["tshark", "-r", str(path), "-T", "fields", "-E", "separator=|"]
    for checked in ("udp", "ip"):
        command += ["-o", f"{checked}.check_checksum:TRUE"]
    for name in fields:
        command += ["-e", name]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line.split("|") for line in shown]
    assert rows[0][0].startswith("raw:ip:udp:sip")
    assert [row[1] for row in rows[:3]] == ["INVITE", "", "INVITE"]
    assert rows[1][2] == "486"
    assert rows[2][0].startswith("raw:ipv6:udp:sip")
    assert rows[4][0] == "raw:ip:udp:syslog"
    assert {row[3] for row in rows} <= {"1", ""}, "1 is good"
    assert {row[4] for row in rows if row[4]} <= {"1", "3"}, "3 is not there, as IPv4 allows"


def test_a_ladder() -> None:
    proxy, event = Address("192.0.2.9", 5060), b'<134>forkproxy: {"event": "stream created", "name": "x"}'
    drawn = ladder.draw(
        ladder.rungs(
            [
                Packet(10.0, A, proxy, INVITE),
                Packet(10.005, proxy, B, INVITE),
                Packet(10.5, proxy, Address("127.0.0.1", 514), event),
                Packet(11.0, B, proxy, BUSY),
                Packet(11.002, B, A, BUSY),
                Packet(12.0, A, A, b"no SIP"),
            ]
        )
    )
    head, rails, *arrows = drawn.splitlines()
    assert head.split() == ["192.0.2.1:5060", "192.0.2.9:5060", "192.0.2.2:5070", "streams"]
    columns = [at for at, character in enumerate(rails) if character == "|"]
    assert len(columns) == 4
    assert [arrow[:10].strip() for arrow in arrows] == ["0.000", "0.005", "0.500", "1.000", "1.002"]
    assert arrows[0][columns[0] : columns[1] + 1] == "|------ INVITE (SDP) ---->|"
    assert arrows[2][columns[1] : columns[3] + 1].startswith("|-")
    assert "stream created x" in arrows[2]
    assert arrows[2][: columns[3]].endswith(">")
    assert arrows[3][columns[1] : columns[2] + 1].startswith("|<")
    assert "486 Busy Here [INVITE]" in arrows[4]
    assert all(arrow[columns[3]] == "|" for arrow in arrows)
    assert ladder.draw([]) == "no SIP in it\n"


def test_whole_messages_and_control_characters() -> None:
    nasty = INVITE.replace(b"Call-ID: x", b"Call-ID: \x1b[31mx")
    drawn = ladder.draw(ladder.rungs([Packet(0.0, A, B, nasty)]), whole=True)
    assert "    Max-Forwards: 70" in drawn
    assert "\x1b" not in drawn
    assert ladder.title(b"SIP/2.0 200 \x1b[2J\r\n\r\n") == "200 [2J"
