"""Speaking to a phone through real sockets: every octet, its pace, its marks."""

from __future__ import annotations

import asyncio
import itertools
import random
import struct
from collections.abc import Callable

import pytest

from forkproxy.errors import MediaError
from forkproxy.media import MediaEngine, MediaLeg, Speaker
from forkproxy.media.g711 import (
    decode_alaw_sample,
    decode_ulaw_sample,
    encode_alaw_sample,
    encode_ulaw_sample,
)
from forkproxy.model import Frame, FrameFlag, Track
from tests.media.phones import Phone, frame, pair, rtp

Make = Callable[..., Phone]


def speech(count: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(count)


class Marks(list[tuple[str, bool]]):
    """Receives marks."""

    def __call__(self, name: str, cleared: bool) -> None:
        self.append((name, cleared))

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self) < count:
                await asyncio.sleep(0.005)


def one(engine: MediaEngine, phone: Make, **kwargs: object) -> tuple[MediaLeg, Phone]:
    leg, alice = engine.open_leg("a"), phone()
    alice.attach(leg, **kwargs)
    return leg, alice


def payloads(packets: list[bytes]) -> bytes:
    return b"".join(packet[12:] for packet in packets)


def check_stream(packets: list[bytes], samples: int = 160) -> None:
    """One SSRC, no gap in the sequence numbers, and time that goes on by at least each packet."""
    for before, after in itertools.pairwise(packets):
        old, new = (struct.unpack_from(">HII", each, 2) for each in (before, after))
        assert (new[0] - old[0]) % 2**16 == 1
        assert samples <= (new[1] - old[1]) % 2**32 < 2**31
        assert new[2] == old[2]


async def test_every_octet_arrives_in_packets_without_padding(engine: MediaEngine, phone: Make) -> None:
    leg, alice = one(engine, phone)
    speaker, audio = leg.speak(), speech(8000)
    for at in range(0, 8000, 333):
        assert speaker.write(audio[at : at + 333]) == min(333, 8000 - at)
    loop = asyncio.get_running_loop()
    start = loop.time()
    packets = [await alice.receive() for _ in range(50)]
    assert loop.time() - start > 0.9  # paced, not in a burst
    assert payloads(packets) == audio
    assert {len(packet) for packet in packets} == {172}
    assert [packet[1] for packet in packets] == [0x80, *[0] * 49]  # the marker begins the speech
    check_stream(packets)
    assert speaker.figures().padded == 0
    leg.close()


async def test_silence_fills_up_the_end_only(engine: MediaEngine, phone: Make) -> None:
    leg, alice = one(engine, phone)
    speaker = leg.speak()
    speaker.write(b"\x01" * 1000)
    packets = [await alice.receive() for _ in range(7)]
    assert payloads(packets) == b"\x01" * 1000 + b"\xff" * 120
    assert speaker.figures().padded == 1
    await alice.silence()
    leg.close()


@pytest.mark.parametrize("ptime", [10, 20, 30, 60])
async def test_packets_have_the_length_that_the_phone_asked_for(
    engine: MediaEngine, phone: Make, ptime: int
) -> None:
    leg, alice = one(engine, phone, ptime=ptime)
    heard: list[Frame] = []
    tap = leg.tap(heard.extend, (Track.OUTBOUND,))
    audio = bytes(1 + n % 120 for n in range(480 * 6))
    leg.speak().write(audio)
    packets = [await alice.receive() for _ in range(360 // ptime)]
    assert {len(packet) for packet in packets} == {12 + ptime * 8}
    assert payloads(packets) == audio
    check_stream(packets, ptime * 8)
    await asyncio.sleep(0.15)
    tap.close()
    assert audio in b"".join(each.payload for each in heard)
    leg.close()


async def test_an_a_law_phone_and_its_tap_hear_the_same(engine: MediaEngine, phone: Make) -> None:
    leg, alice = one(engine, phone)
    leg.set_remote(alice.address, alice.address, {8: "PCMA"})
    heard: list[Frame] = []
    tap = leg.tap(heard.extend, (Track.OUTBOUND,))
    audio = bytes(range(256)) * 5
    leg.speak().write(audio)
    packets = [await alice.receive() for _ in range(8)]
    assert {packet[1] & 127 for packet in packets} == {8}
    alaw = bytes(encode_alaw_sample(decode_ulaw_sample(code)) for code in audio)
    assert payloads(packets) == alaw
    await asyncio.sleep(0.15)
    tap.close()
    said = b"".join(each.payload for each in heard if each.flags == FrameFlag.RECEIVED)
    assert said == bytes(encode_ulaw_sample(decode_alaw_sample(code)) for code in alaw)
    leg.close()


async def test_speech_replaces_the_other_leg_and_gives_it_back(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await pair(engine, phone)
    heard: list[Frame] = []
    tap = a.tap(heard.extend, (Track.OUTBOUND,))
    speaker = a.speak()
    packets = []
    for n in range(40):
        if n == 5:
            speaker.write(b"\x01" * 800)
        bob.send(rtp(n, b"\x22" * 160, ssrc=9))
        await asyncio.sleep(0.02)
        if n == 30:
            assert b.figures().replaced >= 5
            speaker.write(b"\x02" * 800)
            speaker.close(drain=True)
    while b.figures().replaced + a.figures().packets_out < 40 + 10:
        await asyncio.sleep(0.005)
    packets = [await alice.receive() for _ in range(a.figures().packets_out)]
    said = [packet[12] for packet in packets]
    runs = [(octet, len(list(same))) for octet, same in itertools.groupby(said)]
    assert [octet for octet, _ in runs] == [0x22, 1, 0x22, 2, 0x22]
    assert runs[1][1] == runs[3][1] == 5
    check_stream(packets)
    begins = [packet[1] >> 7 for packet in packets]
    assert [n for n, marker in enumerate(begins) if marker] == list(
        itertools.accumulate((length for _, length in runs[:-1]), initial=0)
    )
    await asyncio.sleep(0.15)
    tap.close()
    spoken = [each.payload[0] for each in heard if each.flags == FrameFlag.RECEIVED]
    assert [octet for octet, _ in itertools.groupby(spoken)] == [0x22, 1, 0x22, 2, 0x22]
    assert speaker.closed
    a.close(), b.close()


async def test_a_short_underrun_neither_hurries_nor_lets_the_other_leg_in(
    engine: MediaEngine, phone: Make
) -> None:
    a, alice, b, bob = await pair(engine, phone)
    speaker = a.speak()
    for _ in range(4):
        speaker.write(b"\x01" * 320)
        bob.send(rtp(1, b"\x22" * 160, ssrc=9))
        await asyncio.sleep(0.1)
    packets = [await alice.receive() for _ in range(8)]
    assert payloads(packets) == b"\x01" * 1280
    check_stream(packets)
    assert [packet[1] >> 7 for packet in packets] == [1, *[0] * 7]
    stamps = [struct.unpack_from(">I", packet, 4)[0] for packet in packets]
    # The timestamps know of the gaps: the phone's buffer keeps its depth.
    assert (stamps[-1] - stamps[0]) % 2**32 >= 1120 + 2 * 320
    assert speaker.figures().underruns == 3
    assert b.figures().replaced >= 3
    a.close(), b.close()


async def test_marks_come_in_order_each_when_its_audio_is_over(engine: MediaEngine, phone: Make) -> None:
    leg, alice = one(engine, phone)
    marks = Marks()
    played: list[int] = []
    speaker = leg.speak(
        on_mark=lambda name, cleared: (marks(name, cleared), played.append(speaker.played_ms))
    )
    speaker.mark("at once")
    assert marks == []  # never from within
    await marks.until(1)
    for n in range(5):
        speaker.write(frame(n))
        speaker.mark(f"after {n}")
        speaker.mark(f"after {n} too")
    await marks.until(11)
    expected = ["at once", *(f"after {n}{too}" for n in range(5) for too in ("", " too"))]
    assert marks == [(name, False) for name in expected]
    for after, name in zip(played, expected, strict=True):
        if name != "at once":
            assert after >= 20 * (int(name.split()[1]) + 1)
    assert payloads([await alice.receive() for _ in range(5)]) == b"".join(frame(n) for n in range(5))
    leg.close()


async def test_thousands_of_marks_in_one_batch_keep_their_order(engine: MediaEngine, phone: Make) -> None:
    leg, _ = one(engine, phone)
    marks = Marks()
    speaker = leg.speak(on_mark=marks)
    taken = 0
    for n in range(10_500):
        if n % 1000 == 0:
            speaker.write(b"\x01" * 40)
        taken += speaker.mark(str(n))
    assert taken == 10_000
    await marks.until(10_000)
    assert [name for name, _ in marks] == [str(n) for n in range(10_000)]
    assert speaker.figures().marks_refused == 500
    assert engine.counters()["speech_marks_refused"] == 500
    leg.close()


async def test_clear_drops_what_waits_and_reports_its_marks(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await pair(engine, phone)
    marks = Marks()
    speaker = a.speak(on_mark=marks)
    speaker.write(b"\x01" * 160)
    speaker.mark("heard")
    speaker.write(b"\x02" * 80_000)
    speaker.mark("cut off")
    speaker.mark("cut off as well")
    assert speaker.buffered_ms == 10_020
    first = [await alice.receive() for _ in range(3)]
    speaker.clear()
    assert speaker.buffered_ms == 0
    speaker.mark("later")
    await marks.until(4)
    assert marks == [("heard", False), ("cut off", True), ("cut off as well", True), ("later", False)]
    bob.send(rtp(1, b"\x22" * 160, ssrc=9))
    speaker.write(b"\x03" * 320)
    rest = [await alice.receive()]
    while rest[-1][12] != 3:
        rest.append(await alice.receive())
    assert {packet[12] for packet in rest} <= {2, 3, 0x22}
    assert sum(packet[12] == 2 for packet in first + rest) <= 4
    figures = speaker.figures()
    assert figures.cleared_ms + 20 * sum(packet[12] == 2 for packet in first + rest) == 10_000
    a.close(), b.close()


async def test_what_does_not_fit_is_refused_and_counted(engine: MediaEngine, phone: Make) -> None:
    leg, alice = one(engine, phone)
    with pytest.raises(MediaError, match="buffer"):
        leg.speak(limit_seconds=601)
    with pytest.raises(MediaError, match="loud"):
        leg.speak(mode="loud")  # type: ignore[arg-type]
    speaker = leg.speak(limit_seconds=1)
    with pytest.raises(MediaError, match="already"):
        leg.speak()
    assert speaker.write(bytes(9000)) == 8000
    assert speaker.write(b"") == 0
    await alice.receive()
    assert 160 <= speaker.write(bytes(9000)) < 1600
    refused = engine.counters()["speech_octets_refused"]
    assert 1000 + 9000 - 1600 < refused <= 1000 + 9000 - 160
    assert speaker.figures().refused_ms == refused // 8
    speaker.close()
    assert speaker.write(bytes(10)) == 0
    assert not speaker.mark("x")
    assert speaker.closed
    leg.speak().close()  # the place is free again
    leg.close()


async def test_closing_may_wait_until_all_is_played(engine: MediaEngine, phone: Make) -> None:
    leg, alice = one(engine, phone)
    marks = Marks()
    speaker = leg.speak(on_mark=marks)
    speaker.write(b"\x01" * 900)
    speaker.mark("end")
    speaker.close(drain=True)
    assert speaker.write(b"\x02") == 0
    assert payloads([await alice.receive() for _ in range(6)]) == b"\x01" * 900 + b"\xff" * 60
    await marks.until(1)
    while not speaker.closed:
        await asyncio.sleep(0.005)
    assert marks == [("end", False)]
    assert engine.counters()["speakers"] == 0
    leg.close()


async def test_a_leg_that_is_closed_ends_the_speech(engine: MediaEngine, phone: Make) -> None:
    leg, alice = one(engine, phone)
    marks = Marks()
    speaker = leg.speak(on_mark=marks)
    speaker.write(b"\x01" * 80_000)
    speaker.mark("never")
    await alice.receive()
    leg.close()
    assert speaker.closed
    assert speaker.write(b"\x01") == 0
    assert not speaker.mark("x")
    speaker.clear()
    speaker.close()
    await asyncio.sleep(0.05)
    assert marks == []
    figures = speaker.figures()
    assert figures.written_ms == 10_000 == figures.played_ms + figures.cleared_ms


async def test_a_callback_may_do_what_it_likes(engine: MediaEngine, phone: Make) -> None:
    leg, alice = one(engine, phone)
    seen = []

    def on_mark(name: str, cleared: bool) -> None:
        seen.append(name)
        if name == "first":
            raise ValueError("the bot's own fault")
        if name == "second":
            speaker.write(frame(2))
            speaker.mark("third")
        if name == "third":
            leg.close()

    speaker = leg.speak(on_mark=on_mark)
    speaker.write(frame(1))
    for name in ("first", "second"):
        speaker.mark(name)
    assert payloads([await alice.receive() for _ in range(2)]) == frame(1) + frame(2)
    while len(seen) < 3:
        await asyncio.sleep(0.005)
    assert engine.counters()["callback_errors"] == 1
    assert speaker.closed


async def test_on_hold_time_goes_on_unheard(engine: MediaEngine, phone: Make) -> None:
    leg, alice = one(engine, phone)
    marks = Marks()
    speaker = leg.speak(on_mark=marks)
    speaker.write(b"\x01" * 320)
    first = [await alice.receive() for _ in range(2)]
    alice.attach(leg, direction="sendonly")
    speaker.write(b"\x02" * 800)
    speaker.mark("held")
    await marks.until(1)
    await alice.silence(0.05)
    alice.attach(leg)
    speaker.write(b"\x03" * 320)
    packets = first + [await alice.receive() for _ in range(2)]
    assert payloads(packets) == b"\x01" * 320 + b"\x03" * 320
    check_stream(packets)
    assert packets[2][1] == 0x80
    leg.close()


async def test_speech_waits_for_the_session(engine: MediaEngine, phone: Make) -> None:
    leg, alice = engine.open_leg(), phone()
    speaker = leg.speak()
    speaker.write(b"\x01" * 320)
    await asyncio.sleep(0.1)
    assert speaker.buffered_ms == 40
    alice.attach(leg)
    assert payloads([await alice.receive() for _ in range(2)]) == b"\x01" * 320
    leg.close()


async def test_a_prompt_goes_first(engine: MediaEngine, phone: Make) -> None:
    leg, alice = one(engine, phone)
    marks = Marks()
    speaker = leg.speak(on_mark=marks)
    speaker.write(b"\x01" * 480)
    speaker.mark("end")
    packets = [await alice.receive()]
    leg.play(b"\x05" * 800)
    packets += [await alice.receive() for _ in range(7)]
    said = [(octet, len(list(same))) for octet, same in itertools.groupby(packet[12] for packet in packets)]
    assert [octet for octet, _ in said] == [1, 5, 1]
    assert said[1][1] == 5
    check_stream(packets)
    await marks.until(1)
    leg.close()


async def test_mixed_speech_is_heard_with_the_other_leg(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await pair(engine, phone)
    heard: list[Frame] = []
    tap = a.tap(heard.extend, (Track.OUTBOUND,))
    marks = Marks()
    speaker = a.speak(mode="mix", on_mark=marks)
    ours, theirs = encode_ulaw_sample(4000), encode_ulaw_sample(-1500)
    both = encode_ulaw_sample(decode_ulaw_sample(ours) + decode_ulaw_sample(theirs))
    loop = asyncio.get_running_loop()
    start = loop.time()
    for n in range(30):
        if n == 5:
            speaker.write(bytes([ours]) * 1600)
            speaker.mark("end")
        bob.send(rtp(n, bytes([theirs]) * 160, ssrc=9))
        await asyncio.sleep(max(0.0, start + (n + 1) * 0.02 - loop.time()))
    packets = [await alice.receive() for _ in range(30)]
    levels = [(octet, len(list(same))) for octet, same in itertools.groupby(payloads(packets))]
    assert [octet for octet, _ in levels] == [theirs, both, theirs]
    assert levels[1][1] == 1600
    check_stream(packets)
    assert b.figures().replaced == 0
    await marks.until(1)
    await asyncio.sleep(0.15)
    tap.close()
    assert b"".join(each.payload for each in heard if each.flags == FrameFlag.RECEIVED).count(both) == 1600
    a.close(), b.close()


async def test_mixing_goes_on_when_the_other_leg_falls_silent_and_returns(
    engine: MediaEngine, phone: Make
) -> None:
    a, alice, b, bob = await pair(engine, phone)
    a.set_remote(alice.address, alice.address, {0: "PCMU"})
    b.set_remote(bob.address, bob.address, {8: "PCMA"})
    speaker = a.speak(mode="mix")
    ours = encode_ulaw_sample(4000)
    theirs = encode_alaw_sample(-1500)
    speaker.write(bytes([ours]) * 160 * 40)
    for n in range(60):
        if n < 10 or n >= 35:
            bob.send(rtp(n, bytes([theirs]) * 160, ssrc=9, pt=8))
        await asyncio.sleep(0.02)
    packets = [await alice.receive() for _ in range(a.figures().packets_out)]
    check_stream(packets)
    passed = encode_ulaw_sample(decode_alaw_sample(theirs))
    both = encode_ulaw_sample(decode_ulaw_sample(ours) + decode_ulaw_sample(passed))
    alone = [(octet, len(list(same))) for octet, same in itertools.groupby(packet[12] for packet in packets)]
    octets = [octet for octet, _ in alone]
    assert octets[-4:] == [both, ours, both, passed]
    assert sum(count for octet, count in alone if octet in (ours, both)) == 40
    assert speaker.buffered_ms == 0
    a.close(), b.close()


async def test_events_pass_a_mixing_speaker_unharmed(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await pair(engine, phone)
    a.speak(mode="mix").write(b"\x01" * 8000)
    bob.send(rtp(1, b"\x05\x0a\x00\xa0", pt=101, marker=True))
    assert (await alice.receive())[12:] == b"\x05\x0a\x00\xa0"
    a.close(), b.close()


async def test_reports_about_speech_are_not_passed_to_the_other_leg(engine: MediaEngine, phone: Make) -> None:
    a, alice, b, bob = await pair(engine, phone)
    report = struct.pack(">BBHI24x", 0x81, 201, 7, 7)
    alice.send(rtp(1, frame(1)))
    bob.send(rtp(1, frame(1), ssrc=9))
    await bob.receive()
    await alice.receive()
    before = a.figures().replaced
    alice.send_to(report, a.rtp_port)
    a.speak().write(frame(2))
    await alice.receive()
    alice.send_to(report, a.rtp_port)
    while a.figures().rtcp_in < 2:
        await asyncio.sleep(0.005)
    assert a.figures().replaced == before + 1
    assert b.figures().rtcp_out == 1
    a.close(), b.close()


async def test_speech_moves_to_another_thread_with_its_leg(phone: Make) -> None:
    engine = MediaEngine(threads=2)
    engine.start()
    legs = [engine.open_leg(), engine.open_leg()]
    phones = [phone(), phone()]
    speakers: list[Speaker] = []
    for leg, each in zip(legs, phones, strict=True):
        each.attach(leg)
        speakers.append(leg.speak())
        speakers[-1].write(speech(160 * 20, len(speakers)))
    heard: list[list[bytes]] = [[await each.receive() for _ in range(3)] for each in phones]
    legs[0].connect(legs[1])
    for n, each in enumerate(phones):
        heard[n] += [await each.receive() for _ in range(17)]
        assert payloads(heard[n]) == speech(160 * 20, n + 1)
        check_stream(heard[n])
    for leg in legs:
        leg.close()
    assert engine.counters()["speakers"] == 0
    engine.close()


async def test_ten_minutes_fit_and_are_freed(engine: MediaEngine, phone: Make) -> None:
    leg, alice = one(engine, phone)
    speaker = leg.speak()
    assert speaker.write(bytes(4_800_001)) == 4_800_000
    assert 599_000 < speaker.buffered_ms <= 600_000
    await alice.receive()
    speaker.clear()
    assert speaker.buffered_ms == 0
    leg.close()
