"""The description that follows another."""

from __future__ import annotations

from forkproxy.signalling import sdp
from forkproxy.signalling.continuing import next_answer, next_offer

FIRST = sdp.offer("192.0.2.1", 4000, 4001)


def origin(text: bytes) -> list[bytes]:
    return text.splitlines()[1].split()


def test_the_origin_stays_and_its_version_grows_with_each_change() -> None:
    held = sdp.offer("192.0.2.1", 4000, 4001, direction="sendonly")
    second = next_offer(FIRST, held)
    assert origin(second)[:2] == origin(FIRST)[:2]
    assert int(origin(second)[2]) == int(origin(FIRST)[2]) + 1
    assert sdp.parse(second) == sdp.parse(held)
    assert next_answer(second, sdp.offer("192.0.2.1", 4000, 4001, direction="sendonly")) is second


def test_a_media_line_keeps_its_place() -> None:
    before = (
        FIRST.replace(b"m=audio", b"m=video 0 RTP/AVP 96 97\r\nm=audio")
        + b"m=text 5000 RTP/AVP 98\r\na=x\r\n"
    )
    after = next_offer(before, sdp.offer("192.0.2.1", 4000, 4001, direction="inactive"))
    lines = [line for line in after.splitlines() if line.startswith(b"m=")]
    assert lines[0] == b"m=video 0 RTP/AVP 96 97"
    assert lines[1].startswith(b"m=audio 4000 ")
    assert lines[2] == b"m=text 0 RTP/AVP 98"
    assert sdp.parse(after).direction == "inactive"
