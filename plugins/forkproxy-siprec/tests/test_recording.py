"""Recordings against a strict recorder: how they begin, what is told, and how they end."""

from __future__ import annotations

import asyncio
import re
from itertools import pairwise

import pytest

from forkproxy.bridge import events as ev
from forkproxy.model import Party, Tracks
from tests.support.recorded import RecordedCall, until
from tests.support.rtp import Packet, parse
from tests.support.srs import Receiver, Session, Srs, medias


def packets(receiver: Receiver) -> list[Packet]:
    """The RTP that came, without keep-alives."""
    return [parse(data, ("", 0)) for _, data in receiver.packets if data]


def whole(found: list[Packet]) -> bool:
    """Neither a hole in the numbers nor a jump in the time."""
    pairs = list(pairwise(found))
    return all(b.sequence - a.sequence in (1, -65535) for a, b in pairs) and all(
        (b.timestamp - a.timestamp) & 0xFFFFFFFF == 160 for a, b in pairs
    )


def spoken(found: list[Packet]) -> set[int]:
    return {packet.payload[0] for packet in found if len(set(packet.payload)) == 1} - {0xFF}


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_a_call_is_recorded(transport: str) -> None:
    async with Srs(transport) as srs, RecordedCall(srs) as call:
        call.talk()
        call.forks.change(caller=Party("+15550001111", 'Ann <&"> 🙂'))
        call.record(Role="inbound", Note='a<b & "c"')
        await call.event(ev.StreamCreated)
        session = await srs.session()
        await until(lambda: len(packets(session.rtp["2"][0])) >= 40, "audio")
        invite = srs.invites[0]
        assert invite.get("require") == "siprec"
        assert invite.get("accept") == "application/sdp, application/rs-metadata+xml"
        assert re.search(r">;\+sip\.src", invite.get("contact"))
        said, heard = packets(session.rtp["1"][0]), packets(session.rtp["2"][0])
        assert whole(said)
        assert whole(heard)
        assert spoken(said) <= set(range(1, 61))
        assert len(spoken(said)) > 8
        assert spoken(heard) <= set(range(64, 124))
        assert len(spoken(heard)) > 8
        assert {len(receiver.sources) for receiver, _ in session.rtp.values()} == {1}
        ports = [media.port for media in medias(session.offers[0])]
        assert [port for receiver, _ in session.rtp.values() for _, port in receiver.sources] == ports
        assert session.texts("r:participant/r:nameID/@aor") == ["tel:+15550001111", "sip:desk@example.com"]
        assert session.texts("r:participant/r:nameID/r:name") == ['Ann <&"> 🙂']
        assert session.texts("//*[local-name()='Parameter']/@value") == ["inbound", 'a<b & "c"']
        assert session.texts("r:stream/r:label") == ["1", "2"]
        await call.hang_up()
        assert session.over
        assert srs.faults == []
        ended = [each for each in call.told if isinstance(each, ev.StreamEnded)]
        assert [each.code for each in ended] == [None]
        goodbyes = [data for _, data in session.rtp["1"][1].packets if b"\x81\xcb\x00\x01" in data]
        assert len(goodbyes) == 1


async def test_changes_are_told_with_complete_snapshots() -> None:
    async with Srs() as srs, RecordedCall(srs, bye="complete") as call:
        call.talk()
        call.record()
        session = await srs.session()
        call.forks.change(caller=Party("+15550001111", sends=False))
        await session.snapshot(2)
        sends = session.texts("r:participantstreamassoc/r:send")
        receives = session.texts("r:participantstreamassoc/r:recv")
        stream = session.texts("r:stream/@stream_id")
        assert (sends, receives) == ([stream[1]], [stream[1]])
        call.forks.change(caller=Party("+15550001111"))
        await session.snapshot(3)
        assert len(session.texts("r:participantstreamassoc/r:send")) == 2
        call.forks.change(callee=Party("sip:desk@example.com", "Desk"), connected=True)
        await session.snapshot(4)
        assert session.texts("r:participant/r:nameID/r:name") == ["Desk"]
        call.forks.change(callee=Party("sip:expert@example.com", "Expert"))
        await session.snapshot(5)
        assert session.texts("r:participant/r:nameID/@aor")[1:] == [
            "sip:desk@example.com",
            "sip:expert@example.com",
        ]
        assert len(session.texts("r:participantsessionassoc/r:disassociate-time")) == 1
        people = session.texts("r:participant/@participant_id")
        assert session.texts("r:participantstreamassoc/@participant_id") == [people[0], people[2]]
        await until(lambda: sum(m.method == "ACK" for m in session.requests) == 5, "the last ACK")
        assert len(set(session.offers)) == 1  # the same version, too
        await call.hang_up()
        assert session.over
        assert session.texts("r:session/r:stop-time")
        assert session.texts("r:stream/r:label") == []
        assert whole(packets(session.rtp["1"][0]))
        assert srs.faults == []


@pytest.mark.parametrize("what", ["mask", "hold"])
async def test_a_pause_is_an_inactive_line_where_that_is_wanted(what: str) -> None:
    settings = {"on_mask": "inactive"} if what == "mask" else {"on_hold": "inactive"}
    async with Srs() as srs, RecordedCall(srs, **settings) as call:
        call.talk()
        call.record()
        session = await srs.session()
        await until(lambda: len(packets(session.rtp["1"][0])) > 5, "audio")
        change = {"masked": True} if what == "mask" else {"caller": Party("+15550001111", sends=False)}
        call.forks.change(**change)
        await session.snapshot(2)
        directions = [media.direction for media in medias(session.offers[-1])]
        assert directions == (["inactive"] * 2 if what == "mask" else ["inactive", "sendonly"])
        before = len(session.rtp["1"][0].packets)
        await asyncio.sleep(0.3)
        assert len(session.rtp["1"][0].packets) <= before + 4
        undo = {"masked": False} if what == "mask" else {"caller": Party("+15550001111")}
        call.forks.change(**undo)
        await session.snapshot(3)
        assert [media.direction for media in medias(session.offers[-1])] == ["sendonly"] * 2
        await until(lambda: len(session.rtp["1"][0].packets) > before + 10, "audio again")
        found = packets(session.rtp["1"][0])
        jumps = [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(found)]
        assert sum(jump != 160 for jump in jumps) == 1  # time went on in the pause
        assert all(jump % 160 == 0 for jump in jumps)
        assert all((b.sequence - a.sequence) & 0xFFFF == 1 for a, b in pairwise(found))
        await call.hang_up()
        assert srs.faults == []


async def test_the_recorder_pauses_resumes_asks_and_refreshes() -> None:
    async with Srs() as srs, RecordedCall(srs) as call:
        call.talk()
        call.record()
        session = await srs.session()
        assert (await session.reinvite("inactive")).status == 200
        answer = session.responses[-1]
        assert [media.direction for media in medias(answer.body)] == ["inactive", "inactive"]
        before = len(session.rtp["1"][0].packets)
        await asyncio.sleep(0.2)
        assert len(session.rtp["1"][0].packets) <= before + 4
        assert (await session.reinvite("recvonly")).status == 200
        assert [media.direction for media in medias(session.responses[-1].body)] == ["sendonly", "sendonly"]
        await until(lambda: len(session.rtp["1"][0].packets) > before + 10, "audio again")
        assert (await session.request_snapshot()).status == 200
        await session.snapshot(2)
        assert session.texts("r:datamode") == ["complete"]
        assert (await session.ask("UPDATE", headers=["Session-Expires: 90;refresher=uac"])).status == 200
        assert session.responses[-1].get("session-expires") == "90;refresher=uac"
        assert (await session.ask("INVITE")).status == 200  # without an offer: ours is in the 200
        assert len(medias(session.responses[-1].body)) == 2
        await call.hang_up()
        assert srs.faults == []


async def test_glare_is_settled_by_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forkproxy_siprec.recording.random.uniform", lambda low, high: (high - low) / 100)
    async with Srs() as srs, RecordedCall(srs) as call:
        call.record()
        session = await srs.session()
        session.refuse_next += [(491, []), (491, [])]
        call.forks.change(callee=Party("sip:other@example.com"))
        await session.snapshot(2)
        assert len([m for m in session.requests if m.method == "INVITE"]) == 4
        session.silent = True  # ours is open: theirs must be refused
        call.forks.change(callee=Party("sip:third@example.com"))
        await until(lambda: session.requests, "anything")
        await asyncio.sleep(0.1)
        session.silent = False
        assert (await session.reinvite("recvonly")).status == 491
        assert srs.faults == []


def tweak(**what: object) -> object:
    def script(session: Session) -> None:
        for name, value in what.items():
            setattr(session, name, value)

    return script


async def test_answers_of_every_kind_are_borne() -> None:
    async with Srs() as srs, RecordedCall(srs) as call:
        call.talk()
        scripts = [
            tweak(multipart=True), tweak(rejected=frozenset({1})),
            tweak(extra_lines=2), tweak(direction="sendrecv"),
        ]  # fmt: skip
        srs.script.extend(scripts)  # type: ignore[arg-type]
        for number in range(1, 5):
            call.record(key=number)
            session = await srs.session(number)
            await until(lambda: len(packets(session.rtp["1"][0])) > 5, "audio")  # noqa: B023
        assert not srs.sessions[1].rtp["2"][0].packets
        assert srs.faults == []
        assert [each.code for each in call.told if isinstance(each, ev.StreamEnded)] == []


async def test_one_track_and_both_in_one() -> None:
    async with Srs() as srs:
        async with RecordedCall(srs) as call:
            call.talk()
            call.record(Tracks.OUTBOUND)
            session = await srs.session()
            await until(lambda: len(packets(session.rtp["2"][0])) > 25, "audio")
            assert list(session.rtp) == ["2"]
            assert spoken(packets(session.rtp["2"][0])) <= set(range(64, 124))
        async with RecordedCall(srs, mixed=True) as call:
            call.talk()
            call.record()
            session = await srs.session(2)
            await until(lambda: len(packets(session.rtp["1"][0])) > 5, "audio")
            assert session.texts("r:stream/r:label") == ["1"]
            assert len(session.texts("r:participantstreamassoc/r:send")) == 2
        assert srs.faults == []


async def test_srtp_with_keys_of_its_own_and_never_in_the_clear() -> None:
    async with Srs() as srs:
        async with RecordedCall(srs, srtp="required") as call:
            call.talk()
            call.record()
            session = await srs.session()
            await until(lambda: len(session.rtp["1"][0].packets) > 5, "audio")
            keys = [media.attribute("crypto") for media in medias(session.offers[0])]
            assert len(set(keys)) == 2
            assert {len(data) for _, data in session.rtp["1"][0].packets} == {12 + 160 + 10}
        srs.script.append(tweak(profile="RTP/AVP"))  # type: ignore[arg-type]
        async with RecordedCall(srs, srtp="required", retry=20) as call:
            call.record()
            ended = await call.event(ev.StreamEnded)
            assert "RTP/AVP in answer to RTP/SAVP" in ended.message
            await until(lambda: srs.sessions[1].over, "BYE")
            assert not srs.sessions[1].rtp["1"][0].packets
        async with RecordedCall(srs) as call:
            call.forks.change(secure_media=True)
            call.record()
            ended = await call.event(ev.StreamEnded)
            assert (ended.code, "srtp: required" in ended.message) == (31910, True)
        assert srs.faults == []
