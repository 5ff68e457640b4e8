"""RTCP: what is let in (RFC 3550 A.2), and how reports are moved from one stream's numbers to another's."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.media._seams import check_rtcp, translate_rtcp

MAP = {
    "sender": 0xAAAA0001,
    "timestamp_shift": 1000,
    "reported": 0xBBBB0002,
    "original": 0xCCCC0003,
    "sequence_shift": 500,
    "highest": 3 << 16 | 100,
}


def packet(kind: int, count: int, body: bytes, *, padding: bool = False) -> bytes:
    return struct.pack(">BBH", 0x80 | padding << 5 | count, kind, len(body) // 4) + body


def block(ssrc: int, highest: int) -> bytes:
    return struct.pack(">IIIIII", ssrc, 0x01000002, highest, 30, 40, 50)


def sender_report(*blocks: bytes) -> bytes:
    return packet(200, len(blocks), struct.pack(">IQIII", 7, 99, 5000, 10, 1600) + b"".join(blocks))


SDES = packet(202, 1, struct.pack(">I", 7) + b"\x01\x02me\x00\x00\x00\x00")
BYE = packet(203, 1, struct.pack(">I", 7))


def test_a_report_speaks_of_the_streams_of_the_other_leg() -> None:
    compound = sender_report(block(0xBBBB0002, 590), block(12345, 590)) + SDES
    assert check_rtcp(compound)
    moved = translate_rtcp(compound, **MAP)
    assert len(moved) == len(compound)
    assert struct.unpack_from(">IQIII", moved, 4) == (0xAAAA0001, 99, 6000, 10, 1600)
    assert struct.unpack_from(">IIIIII", moved, 28) == (0xCCCC0003, 0x01000002, 3 << 16 | 90, 30, 40, 50)
    assert struct.unpack_from(">IIIIII", moved, 52) == (12345, 0x01000002, 590, 30, 40, 50)
    assert struct.unpack_from(">I", moved, 80) == (0xAAAA0001,)


def test_cycles_are_those_of_the_streams_sender() -> None:
    """The highest number that was sent has just wrapped; the one reported has not."""
    numbers = {**MAP, "highest": 4 << 16 | 2, "sequence_shift": 0}
    moved = translate_rtcp(packet(201, 1, struct.pack(">I", 7) + block(0xBBBB0002, 65534)), **numbers)
    assert struct.unpack_from(">I", moved, 16) == (3 << 16 | 65534,)


def test_a_bye_is_taken_out_since_our_stream_goes_on() -> None:
    assert translate_rtcp(sender_report() + SDES + BYE, **MAP)[-len(SDES) + 8 :] == SDES[8:]
    assert translate_rtcp(BYE, **MAP) == b""
    # What is left must be RTCP, too: four octets are not.
    assert translate_rtcp(packet(202, 0, b"") + BYE, **MAP) == b""


def test_feedback_names_both_streams() -> None:
    moved = translate_rtcp(packet(205, 1, struct.pack(">III", 7, 0xBBBB0002, 0x00640000)), **MAP)
    assert struct.unpack_from(">III", moved, 4) == (0xAAAA0001, 0xCCCC0003, 0x00640000)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\x80\xc9\x00\x00",
        b"\x00" + sender_report()[1:],
        sender_report()[:-1],
        sender_report() + b"\x80",
        b"\x80\x64" + sender_report()[2:],
        packet(201, 0, struct.pack(">I", 7), padding=True) + BYE,
    ],
)
def test_what_is_no_rtcp(bad: bytes) -> None:
    assert not check_rtcp(bad)


kinds = st.sampled_from([200, 201, 202, 203, 204, 205, 206, 207, 210])
parts = st.builds(
    lambda kind, count, words, padding: packet(kind, count, words * 4, padding=padding),
    kinds,
    st.integers(0, 31),
    st.binary(max_size=40),
    st.booleans(),
)


@given(st.lists(parts, max_size=6).map(b"".join) | st.binary(max_size=60))
def test_no_octets_do_harm(compound: bytes) -> None:
    """Counts that promise more than there is are the interesting ones (see the sanitizers)."""
    if check_rtcp(compound):
        moved = translate_rtcp(compound, **MAP)
        assert len(moved) <= len(compound)
        assert not moved or check_rtcp(moved)
