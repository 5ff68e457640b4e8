"""RTP's header: what is let in (RFC 3550 section 5.1), against the twin."""

from __future__ import annotations

import dataclasses
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.media._seams import parse_rtp, rewrite_rtp
from forkproxy.media.twins import parse_rtp as parse_twin

header = st.builds(
    lambda first, second, rest: bytes([first, second]) + rest,
    st.integers(0, 255) | st.integers(128, 191),
    st.integers(0, 255) | st.sampled_from([0, 8, 101]),
    st.binary(max_size=100),
)


@given(header | st.binary(max_size=40))
def test_the_twin_agrees(packet: bytes) -> None:
    ours = parse_rtp(packet)
    try:
        theirs = dataclasses.asdict(parse_twin(packet))
    except ValueError:
        assert isinstance(ours, int)
    else:
        assert ours == theirs


@given(
    csrcs=st.integers(0, 15),
    extension=st.none() | st.integers(0, 10),
    padding=st.integers(0, 30),
    payload=st.binary(max_size=200),
    cut=st.integers(0, 300),
)
def test_the_payload_is_found_behind_everything(
    csrcs: int, extension: int | None, padding: int, payload: bytes, cut: int
) -> None:
    packet = struct.pack(">BBHII", 0x80 | csrcs, 0x80 | 8, 65535, 2**32 - 1, 0xFFFFFFFF) + bytes(4 * csrcs)
    if extension is not None:
        packet = (
            bytes([packet[0] | 0x10])
            + packet[1:]
            + struct.pack(">HH", 0xBEDE, extension)
            + bytes(4 * extension)
        )
    start = len(packet)
    packet += payload
    if padding:
        packet = bytes([packet[0] | 0x20]) + packet[1:] + bytes(padding - 1) + bytes([padding])
    found = parse_rtp(packet)
    assert isinstance(found, dict)
    assert (found["payload"], found["length"]) == (start, len(payload))
    assert (found["payload_type"], found["marker"], found["sequence"]) == (8, True, 65535)
    if cut < start:
        assert isinstance(parse_rtp(packet[:cut]), int)


@pytest.mark.parametrize(
    ("packet", "fault"),
    [
        ("", 1),
        ("80000001000000020000", 1),
        ("400000010000000200000003", 2),
        ("000100002112a442000000000000", 2),  # STUN
        ("810000010000000200000003", 1),  # a CSRC that is not there
        ("900000010000000200000003beef", 1),  # half an extension's header
        ("900000010000000200000003beef0001", 1),  # an extension that is not there
        ("a0000001000000020000000300", 3),  # padding of nothing
        ("a0000001000000020000000302", 3),  # more padding than payload
        ("a00000010000000200000003", 3),  # padding without an octet
        ("80c80001000000020000000300", 4),  # RTCP
    ],
)
def test_faults(packet: str, fault: int) -> None:
    assert parse_rtp(bytes.fromhex(packet)) == fault


@given(
    st.binary(min_size=12, max_size=60),
    st.integers(0, 127),
    st.booleans(),
    st.integers(0, 65535),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
)
def test_only_the_numbers_are_rewritten(
    packet: bytes, payload_type: int, marker: bool, sequence: int, timestamp: int, ssrc: int
) -> None:
    changed = rewrite_rtp(packet, payload_type, marker, sequence, timestamp, ssrc)
    numbers = struct.pack(">BHII", payload_type | marker << 7, sequence, timestamp, ssrc)
    assert changed == packet[:1] + numbers + packet[12:]
