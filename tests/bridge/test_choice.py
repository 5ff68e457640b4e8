"""Codecs offered and accepted: no call fails for want of a common one, and what can pass as it is does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forkproxy.bridge import choice
from forkproxy.bridge.choice import Abilities
from forkproxy.bridge.negotiation import Negotiation
from forkproxy.errors import SdpError
from forkproxy.media import MediaEngine
from forkproxy.signalling import sdp
from forkproxy.signalling.codecs import CARRIED, Codec, numbered
from tests.bridge.conftest import Told

LINEAR = frozenset({"L16/8000", "L16/16000", "L16/24000", "L16/48000"})
ALL = Abilities(carried=frozenset(CARRIED), transcodable=LINEAR | {"PCMU", "PCMA", "G722"})
"""A relay that carries everything there is a name for, and has no Opus library."""
EVENTS = frozenset(key for key in CARRIED if key.startswith("TELEPHONE"))
CONVERTS_EVENTS = Abilities(carried=ALL.carried, transcodable=ALL.transcodable | EVENTS)


def offered(caller: list[str], standing: list[str] | None = None, abilities: Abilities = ALL) -> list[str]:
    return [codec.key for codec in choice.for_callee(numbered(caller), standing, abilities)]


def told(caller: list[str], callee: list[str]) -> list[str]:
    return choice.for_caller(numbered(caller), numbered(callee), ALL)


@pytest.mark.parametrize(
    ("caller", "standing", "expected"),
    [
        (["G722", "PCMU", "TELEPHONE-EVENT"], None, ["G722", "PCMU", "PCMA", "TELEPHONE-EVENT"]),
        (["OPUS", "L16/16000", "CN"], None, ["OPUS", "L16/16000", "PCMU", "PCMA", "G722", "CN"]),
        # Opus cannot be made of anything, nor anything of it
        (["OPUS", "TELEPHONE-EVENT/48000"], None, ["OPUS", "TELEPHONE-EVENT/48000"]),
        # an answer stands: it comes first, then what can be made of it
        (["OPUS", "G722", "PCMA"], ["PCMA"], ["PCMA", "G722", "PCMU"]),
        (["OPUS", "PCMU"], ["OPUS"], ["OPUS"]),
        (["PCMU", "TELEPHONE-EVENT"], ["PCMU"], ["PCMU", "PCMA", "G722"]),
    ],
)
def test_what_a_callee_is_offered(caller: list[str], standing: list[str] | None, expected: list[str]) -> None:
    assert offered(caller, standing) == expected


def test_events_go_with_the_clock_of_what_is_added() -> None:
    caller = ["L16/16000", "TELEPHONE-EVENT/16000"]
    assert offered(caller)[-1:] == ["TELEPHONE-EVENT/16000"]
    both = ["TELEPHONE-EVENT/16000", "TELEPHONE-EVENT"]
    assert offered(caller, abilities=CONVERTS_EVENTS)[-2:] == both
    assert not EVENTS & set(offered(["L16/16000"], abilities=CONVERTS_EVENTS))


@pytest.mark.parametrize(
    ("caller", "callee", "expected"),
    [
        (["G722", "PCMU"], ["PCMU", "G722"], ["PCMU", "G722"]),  # the callee sends its first
        (["PCMU", "G722"], ["PCMA", "PCMU"], ["PCMU"]),
        (["G722", "L16/16000"], ["PCMA"], ["G722"]),
        (["OPUS", "G722"], ["PCMA"], ["G722"]),
        (["OPUS", "PCMU"], ["OPUS"], ["OPUS"]),
        (["OPUS", "G722"], ["OPUS", "PCMU"], ["OPUS", "G722"]),  # the callee may go over to PCMU
        (["PCMU", "TELEPHONE-EVENT", "CN"], ["PCMU"], ["PCMU"]),
        (["PCMU", "TELEPHONE-EVENT", "CN"], ["PCMU", "CN"], ["PCMU", "CN"]),
        (["PCMU", "TELEPHONE-EVENT"], ["TELEPHONE-EVENT", "PCMU"], ["PCMU", "TELEPHONE-EVENT"]),
        (["PCMU"], ["PCMU", "TELEPHONE-EVENT"], ["PCMU"]),
        (["OPUS", "TELEPHONE-EVENT/48000"], ["OPUS", "TELEPHONE-EVENT"], ["OPUS"]),
    ],
)  # fmt: skip
def test_what_a_caller_is_told(caller: list[str], callee: list[str], expected: list[str]) -> None:
    assert told(caller, callee) == expected


def test_only_opus_against_only_something_else_cannot_be_helped() -> None:
    with pytest.raises(SdpError, match="in common"):
        told(["OPUS"], ["PCMU"])
    opus = Abilities(carried=ALL.carried, transcodable=ALL.transcodable | {"OPUS"})
    assert choice.for_caller(numbered(["OPUS"]), numbered(["PCMU"]), opus) == ["OPUS"]
    assert offered(["OPUS"], abilities=opus) == ["OPUS", "PCMU", "PCMA", "G722"]


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (["G722", "PCMU", "TELEPHONE-EVENT"], ["G722", "TELEPHONE-EVENT"]),
        (["OPUS", "PCMU", "TELEPHONE-EVENT/48000", "TELEPHONE-EVENT"], ["PCMU", "TELEPHONE-EVENT"]),
        (["OPUS", "TELEPHONE-EVENT"], ["OPUS", "TELEPHONE-EVENT"]),
        (["L16/24000", "CN"], ["L16/24000"]),
    ],
)
def test_alone_a_caller_is_told_one_codec(caller: list[str], expected: list[str]) -> None:
    assert choice.alone(numbered(caller), ALL) == expected


def test_new_payload_types_collide_with_nothing() -> None:
    odd = [Codec(0, "L16", 16000), Codec(101, "OPUS", 48000), Codec(96, "G729", 8000)]
    wide = Abilities(("PCMU", "L16/24000", "PCMA"), ALL.carried, ALL.transcodable)
    codecs = choice.for_callee(odd, None, wide)
    assert [(codec.payload_type, codec.key) for codec in codecs] == [
        (0, "L16/16000"),
        (101, "OPUS"),
        (97, "PCMU"),
        (98, "L16/24000"),
        (8, "PCMA"),
    ]
    full = [Codec(number, f"X{number}") for number in range(97, 128)] + [Codec(96, "PCMU")]
    assert [codec.key for codec in choice.for_callee(full, None, wide)] == ["PCMU", "PCMA"]


sets = st.lists(st.sampled_from(CARRIED), unique=True, min_size=1).filter(
    lambda keys: any(codec.is_audio for codec in numbered(keys))
)


@settings(deadline=None)  # the machine may be busy
@given(sets, st.lists(st.sampled_from([*LINEAR, "PCMU", "PCMA", "G722"]), unique=True), st.data())
def test_whatever_a_callee_takes_each_hears_the_other(
    caller: list[str], config: list[str], data: st.DataObject
) -> None:
    able = Abilities(tuple(config), ALL.carried, ALL.transcodable)
    standing = choice.alone(numbered(caller), able) if data.draw(st.booleans()) else None
    text = [codec.key for codec in choice.for_callee(numbered(caller), standing, able)]
    assert len(set(text)) == len(text)
    audio = [key for key in text if numbered([key])[0].is_audio]
    callee = data.draw(st.lists(st.sampled_from(text), unique=True))
    callee += [key for key in audio[-1:] if not set(callee) & set(audio)]
    answer = choice.for_caller(numbered(caller if standing is None else standing), numbered(callee), able)
    assert set(answer) <= set(caller)
    for sends, hears in ((answer, callee), (callee, answer)):
        for codec in numbered(sends):
            assert not codec.is_audio or able.reaches(codec.key, hears)
    both = [key for key in callee if key in answer and key in audio]
    assert not both or answer[0] == both[0]


async def test_the_relay_learns_both_numberings_and_only_what_was_told(told: Told) -> None:
    """A caller with G.722, Opus and events at 96; a callee that takes A-law and has events at 101."""
    engine = MediaEngine(ports=(44400, 44419))
    engine.start()
    try:
        a, b = engine.open_leg(), engine.open_leg()
        caller = [Codec(9, "G722"), Codec(97, "OPUS", 48000), Codec(96, "TELEPHONE-EVENT", 8000, "0-15")]
        offer = sdp.offer("192.0.2.5", 4000, 4001, caller)
        negotiation = Negotiation(offer, a, "192.0.2.1", srtp="off", abilities=ALL)
        ours = sdp.parse(negotiation.offer_for_callee(b, "192.0.2.1", "off"))
        assert [(codec.payload_type, codec.key) for codec in ours.codecs] == [
            (9, "G722"),
            (97, "OPUS"),
            (0, "PCMU"),
            (8, "PCMA"),
            (96, "TELEPHONE-EVENT"),
        ]
        callee = [Codec(8, "PCMA"), Codec(101, "TELEPHONE-EVENT", 8000, "0-11")]
        session = negotiation.callee_answered(sdp.offer("192.0.2.6", 6000, 6001, callee), b)
        assert list(told(b)["codecs"].items()) == [
            (8, "PCMA"),
            (101, "TELEPHONE-EVENT"),
            (96, "TELEPHONE-EVENT"),
        ]
        assert told(a)["codecs"] == {9: "G722", 96: "TELEPHONE-EVENT"}
        assert negotiation.payload_types(session) == ({96: 101}, {101: 96})
        assert negotiation.answer is not None
        answered = sdp.parse(negotiation.answer)
        assert answered.codecs == (Codec(9, "G722"), Codec(96, "TELEPHONE-EVENT", 8000, "0-11"))
    finally:
        engine.close()


async def test_opus_passes_with_the_callees_parameters_and_packets_keep_to_both_limits(told: Told) -> None:
    engine = MediaEngine(ports=(44400, 44419))
    engine.start()
    try:
        a, b = engine.open_leg(), engine.open_leg()
        opus = Codec(111, "OPUS", 48000, "useinbandfec=1")
        offer = sdp.offer("192.0.2.5", 4000, 4001, [opus]) + b"a=maxptime:15\r\n"
        negotiation = Negotiation(offer, a, "192.0.2.1", srtp="off", abilities=ALL)
        forwarded = negotiation.offer_for_callee(b, "192.0.2.1", "off")
        for line in (b"opus/48000/2", b"a=fmtp:111 useinbandfec=1", b"a=maxptime:15", b"a=ptime:15"):
            assert line + b"\r\n" in forwarded
        answer = sdp.offer("192.0.2.6", 6000, 6001, [Codec(111, "OPUS", 48000, "maxplaybackrate=16000")])
        negotiation.callee_answered(answer + b"a=maxptime:40\r\n", b)
        assert negotiation.answer is not None
        assert b"a=fmtp:111 maxplaybackrate=16000\r\n" in negotiation.answer
        assert b"a=maxptime:40\r\n" in negotiation.answer
        assert (told(a)["ptime"], told(b)["ptime"]) == (10, 20)
    finally:
        engine.close()


async def test_a_caller_who_wanted_our_offer_is_offered_the_callees_codecs_first(told: Told) -> None:
    engine = MediaEngine(ports=(44400, 44419))
    engine.start()
    try:
        a, b, c = engine.open_leg(), engine.open_leg(), engine.open_leg()
        negotiation = Negotiation(None, a, "192.0.2.1", srtp="off", abilities=ALL)
        first = sdp.parse(negotiation.offer_for_callee(b, "192.0.2.1", "off"))
        assert [codec.key for codec in first.codecs] == ["PCMU", "PCMA", "G722", "TELEPHONE-EVENT"]
        answer = sdp.offer("192.0.2.6", 6000, 6001, [Codec(9, "G722"), Codec(101, "TELEPHONE-EVENT")])
        negotiation.callee_answered(answer, b)
        ours = sdp.parse(negotiation.answer_alone())
        assert [codec.key for codec in ours.codecs] == ["G722", "PCMU", "PCMA", "TELEPHONE-EVENT"]
        negotiation.caller_confirmed(sdp.offer("192.0.2.5", 4000, 4001, [Codec(8, "PCMA")]))
        assert told(a)["codecs"] == {8: "PCMA"}
        later = sdp.parse(negotiation.offer_for_callee(c, "192.0.2.1", "off"))
        assert [codec.key for codec in later.codecs] == ["PCMA", "PCMU", "G722"]
    finally:
        engine.close()
