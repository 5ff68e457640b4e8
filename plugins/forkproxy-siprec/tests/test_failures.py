"""Recorders that refuse, say nothing, crash, or come back; and calls that never notice, unless they are
to."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from forkproxy.bridge import events as ev
from tests.support.recorded import RecordedCall, until
from tests.support.rtp import Packet, parse
from tests.support.srs import Receiver, Script, Srs


def packets(receiver: Receiver) -> list[Packet]:
    return [parse(data, ("", 0)) for _, data in receiver.packets if data]


@pytest.mark.parametrize(
    ("script", "code", "text"),
    [
        ((420, ["Unsupported: siprec"]), 31920, "not a session recording server"),
        ((488, ['Warning: 305 srs "no"']), 31920, '488 Because (305 srs "no")'),
        ((503, ["Retry-After: 30"]), 31904, "503"),
        (None, 31901, "408"),
    ],
    ids=["420", "488", "503", "silence"],
)
async def test_a_refusal_ends_the_stream_with_its_reason(script: Script, code: int, text: str) -> None:
    async with Srs() as srs, RecordedCall(srs, retry=20 if code != 31920 else 0.05) as call:
        srs.script.append(script)
        call.record()
        ended = await call.event(ev.StreamEnded)
        assert ended.code == code
        assert text in ended.message
        assert not any(isinstance(each, ev.RecordingLost) for each in call.told)
        assert call.counts["streams_failed"] == 1


async def test_the_next_recorder_stands_in_at_once() -> None:
    async with Srs() as silent, Srs() as full, Srs() as good:
        silent.script.append(None)
        full.script.append((503, ["Retry-After: 60"]))
        async with RecordedCall(silent, full, good) as call:
            call.talk()
            call.record()
            session = await good.session()
            await until(lambda: len(packets(session.rtp["1"][0])) > 30, "audio")
            found = packets(session.rtp["1"][0])
            assert {(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(found)} == {160}
            call.record(key=2)  # those that failed are not asked again so soon
            await good.session(2)
            assert (len(silent.invites), len(full.invites)) == (1, 1)
        assert good.faults == []


async def test_redirections_are_followed_and_challenges_answered() -> None:
    async with Srs() as first, Srs() as second:
        first.script.append((302, [f"Contact: <{second.uri}>;q=1"]))
        second.digest = ("src", "secret")
        async with RecordedCall(first, username="src", password="secret") as call:
            call.record()
            await second.session()
            await call.event(ev.StreamCreated)
        assert second.faults == []


async def test_a_circle_of_redirections_ends() -> None:
    async with Srs() as srs, RecordedCall(srs, retry=20) as call:
        srs.script.extend([(302, [f"Contact: <{srs.uri}>"])] * 20)
        call.record()
        assert (await call.event(ev.StreamEnded)).code == 31920
        assert len(srs.invites) < 10


async def test_one_mixed_line_where_two_are_refused() -> None:
    async with Srs() as srs, RecordedCall(srs, mixed_fallback=True) as call:
        srs.script.append((488, []))
        call.record()
        session = await srs.session()
        assert list(session.rtp) == ["1"]
        assert srs.faults == []


@pytest.mark.parametrize("how", ["crash", "bye", "deaf"])
async def test_a_recorder_that_is_lost_is_followed_by_the_next(how: str) -> None:
    async with Srs() as first, Srs() as second:
        async with RecordedCall(first, second, watch=0.2, catch_up=3.0) as call:
            call.talk()
            call.record()
            session = await first.session()
            await until(lambda: len(packets(session.rtp["1"][0])) > 10, "audio")
            if how == "crash":
                await first.crash()
            elif how == "bye":
                await session.ask("BYE")
            else:
                session.silent = True
            other = await second.session()
            await until(lambda: len(packets(other.rtp["1"][0])) > 30, "audio at the other")
            assert other.texts("r:datamode") == ["complete"]
            same = "r:session/@session_id"
            assert other.texts(same) == session.texts(same)
            last, found = packets(session.rtp["1"][0])[-1], packets(other.rtp["1"][0])
            assert (found[0].sequence - last.sequence) & 0xFFFF <= 40  # (a deaf one's RTP went on)
            assert all((b.sequence - a.sequence) & 0xFFFF == 1 for a, b in pairwise(found))
            assert {(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(found)} == {160}
            await until(lambda: call.engine.counters()["copy_frames_dropped"] == 0, "nothing is lost")
        assert second.faults == []


async def test_a_gap_may_be_declared_instead() -> None:
    async with Srs() as first, Srs() as second:
        second.script.append(None)
        async with RecordedCall(first, second, catch_up="gap") as call:
            call.talk()
            call.record()
            session = await first.session()
            await until(lambda: len(packets(session.rtp["1"][0])) > 10, "audio")
            await session.ask("BYE")
            other = await first.session(2)  # the second said nothing: round again
            await until(lambda: len(packets(other.rtp["1"][0])) > 10, "audio")
            last, found = packets(session.rtp["1"][0])[-1], packets(other.rtp["1"][0])
            assert found[0].marker
            assert (found[0].sequence - last.sequence) & 0xFFFF == 1
            assert (found[0].timestamp - last.timestamp) & 0xFFFFFFFF > 160 * 10
        assert first.faults == second.faults == []


async def test_a_recorder_that_restarts_is_found_again() -> None:
    async with Srs() as srs, RecordedCall(srs, watch=0.1) as call:
        call.talk()
        call.record()
        await srs.session()
        await srs.crash()
        await asyncio.sleep(0.4)
        async with Srs(port=srs.port) as again:
            session = await again.session()
            await until(lambda: len(packets(session.rtp["2"][0])) > 5, "audio")
            assert again.faults == []
            assert [each for each in call.told if isinstance(each, ev.StreamEnded)] == []


async def test_all_record_at_once_and_hear_the_same_names() -> None:
    async with Srs() as one, Srs() as stand_in, Srs() as two:
        one.script.append((500, []))
        srs = [[one.uri, stand_in.uri], two.uri]
        async with RecordedCall(mode="parallel", group=True, srs=srs) as call:
            call.talk()
            call.record()
            sessions = [await stand_in.session(), await two.session()]
            for session in sessions:
                await until(lambda: len(packets(session.rtp["1"][0])) > 5, "audio")  # noqa: B023
            for path in ("r:session/@session_id", "r:stream/@stream_id", "r:participant/@participant_id",
                         "r:group/@group_id"):  # fmt: skip
                assert sessions[0].texts(path) == sessions[1].texts(path) != []
            assert len({packets(session.rtp["1"][0])[0].ssrc for session in sessions}) == 2
        assert stand_in.faults == two.faults == []


async def test_each_call_begins_with_another_recorder() -> None:
    async with Srs() as one, Srs() as two, RecordedCall(one, two, mode="round_robin") as call:
        for key in (1, 2, 3):
            call.record(key=key)
        await one.session(2)
        await two.session()


async def test_a_required_recording_that_does_not_begin_refuses_the_call() -> None:
    async with Srs() as srs, RecordedCall(srs, required=True) as call:
        srs.script.append((486, []))
        call.record()
        lost = await call.event(ev.RecordingLost)
        assert "486" in lost.reason
        assert call.counts["recordings_required_lost"] == 1


async def test_a_required_recording_that_is_lost_ends_the_call() -> None:
    async with Srs() as srs, RecordedCall(srs, required=True) as call:
        call.record()
        session = await srs.session()
        srs.script.append((500, []))
        await session.ask("BYE")
        await call.event(ev.RecordingLost)


async def test_it_may_wait_for_the_answer() -> None:
    async with Srs() as srs, RecordedCall(srs, start="answer") as call:
        call.record()
        await call.event(ev.StreamCreated)
        assert srs.invites == []
        call.forks.change(connected=True)
        await srs.session()


async def test_recorders_are_asked_whether_they_are_there() -> None:
    async with Srs() as there:
        async with Srs() as gone:
            address = gone.uri
        async with RecordedCall(address, there, health=0.05) as call:
            call.record(key=1)
            await there.session()
            await until(lambda: there.options >= 2, "OPTIONS")
            assert call.connector._health.order(call.connector.settings.groups[0])[0].uri == there.uri


async def test_a_session_is_refreshed_where_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Srs() as srs, RecordedCall(srs, session_expires=90) as call:
        call.record()
        session = await srs.session()
        assert srs.invites[0].get("session-expires") == "90;refresher=uac"
        monkeypatch.setattr("forkproxy_siprec.recording.REFRESH", 0.001)
        call.forks.change(callee=call.forks.state.caller)  # the next refresh is counted from here
        await session.snapshot(4)
        assert srs.faults == []


async def test_the_call_ends_while_a_recorder_says_nothing() -> None:
    async with Srs() as srs, RecordedCall(srs, invite_timeout=5) as call:
        srs.deaf = True
        call.record()
        await asyncio.sleep(0.05)
        await call.hang_up()
        assert call.endpoint.counters()["legs"] == 0
