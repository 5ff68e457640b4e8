"""Every check can pass, and each fails when the recording has the defect that it is there for."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from forkproxy.demo.checks import match, run_checks
from forkproxy.demo.recording import Recording
from forkproxy.demo.voices import CALLER, speech
from forkproxy.media.audio import decode_ulaw, encode_ulaw
from tests.demo.synthetic import BEGAN, change_messages, recording

Bodies = list[dict[str, Any]]
GOOD = recording(4.0)
KEYS = {check.key for check in run_checks(GOOD)}


def failed(made: Recording) -> set[str]:
    return {check.key for check in run_checks(made) if not check.passed}


def test_a_faultless_run_passes_all() -> None:
    assert failed(GOOD) == set()
    assert all(check.evidence for check in run_checks(GOOD))


def test_a_recording_survives_json() -> None:
    assert Recording.model_validate_json(GOOD.model_dump_json()) == GOOD


def media(bodies: Bodies, track: str | None = None) -> Bodies:
    return [b for b in bodies if b["event"] == "media" and track in (None, b["media"]["track"])]


def swap_tracks(bodies: Bodies) -> Bodies:
    other = {"inbound": "outbound", "outbound": "inbound"}
    for body in media(bodies):
        body["media"]["track"] = other[body["media"]["track"]]
    return bodies


def lose_a_message(bodies: Bodies) -> Bodies:
    return bodies[:200] + bodies[201:]


def lose_a_frame(bodies: Bodies) -> Bodies:
    """As a sender would that numbers what it sends: no hole in the sequence numbers."""
    left = bodies[:200] + bodies[201:]
    for number, body in enumerate(left[1:], 1):
        body["sequenceNumber"] = str(number)
    return left


def mix_inbound(bodies: Bodies) -> Bodies:
    for one, two in zip(media(bodies, "inbound"), media(bodies, "outbound"), strict=True):
        a, b = (decode_ulaw(base64.b64decode(x["media"]["payload"])) for x in (one, two))
        sums = encode_ulaw([(x + y) // 2 for x, y in zip(a, b, strict=True)])
        one["media"]["payload"] = base64.b64encode(sums).decode()
    return bodies


def spoil_a_tenth(bodies: Bodies) -> Bodies:
    for body in media(bodies, "outbound")[::10]:
        body["media"]["payload"] = base64.b64encode(b"\xfe" * 160).decode()
    return bodies


def half_as_many(bodies: Bodies) -> Bodies:
    half = [b for b in bodies if b["event"] != "media" or int(b["media"]["timestamp"]) % 40 == 0]
    for body in media(half):
        body["media"]["timestamp"] = str(int(body["media"]["timestamp"]) // 2)
    for number, body in enumerate(half[1:], 1):
        body["sequenceNumber"] = str(number)
    return half


def edit_start(**changes: Any) -> Callable[[Bodies], Bodies]:
    def edit(bodies: Bodies) -> Bodies:
        bodies[1]["start"] |= changes
        return bodies

    return edit


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        (swap_tracks, {"inbound-voice", "outbound-voice", "inbound-exact", "outbound-exact"}),
        (lose_a_message, {"sequence", "frames"}),
        (lose_a_frame, {"frames"}),
        (mix_inbound, {"inbound-voice", "inbound-exact"}),
        (spoil_a_tenth, {"outbound-exact"}),
        (half_as_many, {"pace", "inbound-exact", "outbound-exact"}),
        (lambda bodies: bodies[1:], {"order", "sequence"}),
        (lambda bodies: [bodies[0], *bodies[2:]], {"order", "start", "sequence"}),
        (lambda bodies: bodies[:-1], {"order", "stop", "pace"}),
        (lambda bodies: [*bodies[:-1], bodies[-1], bodies[-1]], {"order", "sequence"}),
        (lambda bodies: [*bodies[:5], {"event": "surprise"}, *bodies[5:]], {"order", "start", "sequence"}),
        (lambda bodies: [*bodies[:5], {"no": "event"}, *bodies[5:]], {"order"}),
        (lambda bodies: [*bodies[:2], bodies[-1]], KEYS - {
            "call", "signature", "start", "stop", "caller-heard", "callee-heard", "shutdown"}),
        (edit_start(customParameters={}), {"start"}),
        (edit_start(tracks=["inbound"]), {"start"}),
        (edit_start(accountSid="AC0"), {"start"}),
        (edit_start(customParameters=None), {"start"}),
    ],
)  # fmt: skip
def test_a_defect_of_the_stream_fails_its_checks(change: Callable[[Bodies], Bodies], fails: set[str]) -> None:
    found = failed(change_messages(GOOD, change))
    assert fails - {"sequence"} <= found
    assert found <= fails


def alter(part: str, **update: Any) -> Recording:
    return GOOD.model_copy(update={part: getattr(GOOD, part).model_copy(update=update)})


@pytest.mark.parametrize(
    ("made", "fails"),
    [
        (alter("caller", answered_at=None, status=503, reason="Service Unavailable"), {"call"}),
        (alter("callee", answered_at=None), {"call"}),
        (alter("caller", ended_at=None), {"call"}),
        (alter("callee", status=480), {"call"}),
        (alter("caller", ended_by="local"), {"call"}),
        (alter("callee", answered_at=BEGAN), {"start"}),
        (alter("caller", heard=b""), {"caller-heard"}),
        (alter("caller", heard=GOOD.callee.heard), {"caller-heard"}),
        (alter("callee", heard=b"\xff" * 32000), {"callee-heard"}),
        (alter("consumer", connections=2), {"signature"}),
        (alter("consumer", headers=()), {"signature"}),
        (alter("consumer", headers=(("x-twilio-signature", "AAAA"),)), {"signature"}),
        (alter("consumer", close_code=1006), {"stop"}),
        (alter("consumer", closed_at=None), {"stop"}),
        (alter("callee", trace=()), {"stop"}),
        (alter("proxy", log=("info call ended: the caller hung up",)), {"stop"}),
        (alter("proxy", exit_status=None), {"shutdown"}),
        (alter("proxy", exit_status=1), {"shutdown"}),
    ],
)
def test_a_defect_of_the_call_fails_its_check(made: Recording, fails: set[str]) -> None:
    assert failed(made) == fails


def test_matching_finds_speech_at_any_offset_and_counts_what_differs() -> None:
    said = speech(CALLER, 3.0)
    whole = match(said, b"\xff" * 777 + said + b"\xff" * 100)
    assert whole.offset == 777
    assert whole.identical == whole.sounding > 40
    spoken = next(n for n in range(len(said)) if said[n] not in b"\xff\x7f")
    hurt = bytearray(said)
    hurt[spoken] ^= 0x55
    assert match(said, bytes(hurt)).identical == whole.sounding - 1
    assert match(said, said[160:]).offset == -160
    assert match(said, b"").identical == 0
    assert match(said, b"").offset is None
