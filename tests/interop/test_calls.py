"""How calls begin and end, with SIPp at both ends: what is missing, wrong or late fails a scenario."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import product
from pathlib import Path

import pytest

from tests.support import audio
from tests.support.flows import bridge, connect, flow
from tests.support.processes import needs
from tests.support.proxy import Proxy
from tests.support.rtp import holes
from tests.support.sip import Call, Phone, audio_address, audio_sdp
from tests.support.sipp import Sipp

PAIRS = {
    "answered": ("uac_load", "uas_load"),
    "answered late": ("uac_load", "uas_late"),
    "the callee hangs up": ("uac_waits", "uas_hangs_up"),
    "an INVITE without an offer": ("uac_offerless", "uas_load"),
    "cancelled": ("uac_cancel", "uas_never"),
    "busy": ("uac_busy", "uas_busy"),
    "early media": ("uac_audio", "uas_early"),
    "the caller changes the session": ("uac_changes", "uas_changed"),
    "the callee changes the session": ("uac_changed", "uas_changes"),
    "PRACK, timers, requests of the caller": ("uac_features", "uas_features"),
    "PRACK, timers, requests of the callee": ("uac_driven", "uas_drives"),
    "cancelled with a reason": ("uac_withdraws", "uas_withdrawn"),
}


@needs("sipp")
@pytest.mark.parametrize("what", PAIRS)
async def test_both_sides_see_a_correct_call(tmp_path: Path, what: str) -> None:
    """The caller by UDP and by TCP, the callee by UDP and by TCP, all four at the same time."""
    caller, callee = PAIRS[what]
    async with AsyncExitStack() as stack:
        start = stack.enter_async_context
        callees = [
            await start(
                Sipp(callee, tmp_path / f"uas-{kind}", transport=kind, service=kind, calls=2, hold_ms=300)
            )
            for kind in ("udp", "tcp")
        ]
        flows = {each.transport: bridge(each.uri) for each in callees}
        proxy = await start(Proxy(tmp_path / "proxy", flows["udp"], flows=flows))
        before = await proxy.held()
        callers = [
            await start(
                Sipp(
                    caller,
                    tmp_path / f"uac-{in_}-{out}",
                    transport=in_,
                    service=out,
                    hold_ms=300,
                    remote=remote,
                )
            )
            for (in_, remote), out in product(
                (("udp", f"127.0.0.1:{proxy.udp[1]}"), ("tcp", f"127.0.0.1:{proxy.tcp[1]}")), ("udp", "tcp")
            )
        ]
        for each in callers:
            figures = await each.finished()
            assert (figures.successful, figures.failed) == (1, 0)
            assert figures.retransmissions == 0, each.describe()
        for each in callees:
            figures = await each.finished()
            assert (figures.successful, figures.failed) == (2, 0)
            assert figures.retransmissions == 0, each.describe()
        await proxy.idle()
        assert await proxy.held() == before, "something is left of the calls"


async def test_the_caller_hears_early_media_and_the_callee_after_it(tmp_path: Path) -> None:
    async with (
        Phone("alice") as alice,
        Phone("bob") as bob,
        Proxy(tmp_path / "proxy", bridge(bob.uri)) as proxy,
    ):
        call, taken = await _ring(proxy, alice, bob)
        rtp = await taken.prepare()
        taken.respond(183, "Session Progress", sdp=audio_sdp(rtp.host, rtp.port))
        progress = await call.response(183)
        assert call.rtp is not None
        call.rtp.remote = audio_address(progress.body)
        rtp.talk(audio.tone_ulaw(1000, 1))
        await asyncio.sleep(0.5)
        early = len(call.rtp.received)
        assert early > 10, "no early media"
        await taken.accept()
        final = await call.answered()
        assert audio_address(final.body) == audio_address(progress.body)
        call.rtp.talk(audio.tone_ulaw(440, 1))
        await asyncio.sleep(0.5)
        await call.rtp.hush()
        await rtp.hush()
        await asyncio.sleep(0.2)
        assert [packet.payload for packet in call.rtp.received] == [payload for _, _, payload in rtp.sent]
        assert holes(call.rtp.received) == []
        assert [packet.payload for packet in rtp.received] == [payload for _, _, payload in call.rtp.sent]
        await call.hang_up()
        await taken.request("BYE")


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, "Not Found"),
        (480, "Temporarily Unavailable"),
        (486, "Busy Here"),
        (503, "Unavailable"),
        (603, "Decline"),
    ],
)
async def test_a_failure_of_the_callee_reaches_the_caller(tmp_path: Path, status: int, reason: str) -> None:
    async with (
        Phone("alice") as alice,
        Phone("bob") as bob,
        Proxy(tmp_path / "proxy", bridge(bob.uri)) as proxy,
    ):
        call, taken = await _ring(proxy, alice, bob)
        taken.respond(status, reason)
        assert (await call.response(200)).status == status
        await taken.request("ACK")
        await proxy.idle()


async def test_nobody_answers(tmp_path: Path) -> None:
    """The widget's own time-out: the callee is cancelled, the caller told."""
    definition = bridge("{{trigger.call.SipHeader_X-Callee}}", timeout=1)
    async with Phone("alice") as alice, Phone("bob") as bob, Proxy(tmp_path / "proxy", definition) as proxy:
        call, taken = await _ring(proxy, alice, bob)
        taken.respond(180, "Ringing")
        assert (await call.response()).status == 180
        await taken.request("CANCEL", timeout=5)
        final = await call.response(200)
        assert final.status in (408, 480, 487), final.start
        await proxy.idle()


async def test_the_flow_goes_on_to_a_second_callee(tmp_path: Path) -> None:
    async with Phone("alice") as alice, Phone("bob") as bob, Phone("carol") as carol:
        definition = flow("connect", connect(bob.uri, "second", timeout=1), connect(carol.uri, name="second"))
        async with Proxy(tmp_path / "proxy", definition) as proxy:
            call, taken = await _ring(proxy, alice, bob)
            taken.respond(180, "Ringing")
            await taken.request("CANCEL", timeout=5)
            second = await asyncio.wait_for(carol.incoming.get(), 5)
            async with asyncio.TaskGroup() as group:
                group.create_task(second.accept())
                group.create_task(call.answered())
            await call.hang_up()
            await second.request("BYE")
            await proxy.idle()


async def test_a_callee_that_is_not_there(tmp_path: Path) -> None:
    """A TCP connection that is refused ends the call at once, not after SIP's 32 seconds."""
    definition = bridge("sip:bob@127.0.0.1:9;transport=tcp")
    async with Phone("alice") as alice, Proxy(tmp_path / "proxy", definition) as proxy:
        call = await alice.call(f"sip:bob@127.0.0.1:{proxy.udp[1]}", proxy.udp)
        assert (await call.response(200, timeout=5)).status in (480, 502, 503)
        await proxy.idle()


async def _ring(proxy: Proxy, alice: Phone, bob: Phone) -> tuple[Call, Call]:
    """Alice calls; Bob's phone has the INVITE and has not answered yet."""
    headers = [f"X-Callee: {bob.uri}"]
    call = await alice.call(f"sip:bob@127.0.0.1:{proxy.udp[1]}", proxy.udp, headers=headers)
    return call, await asyncio.wait_for(bob.incoming.get(), 10)


async def test_a_trunk_that_must_encrypt_is_not_taken_without_keys(tmp_path: Path) -> None:
    """Its word holds for the calls that it sends us, whatever `media.srtp` allows to others."""
    trunks = [{"name": "pbx", "accept": ["127.0.0.1"], "srtp": "required"}]
    async with (
        Phone("alice") as alice,
        Phone("bob") as bob,
        Proxy(tmp_path / "proxy", bridge(bob.uri), config={"trunks": trunks}) as proxy,
    ):
        call = await alice.call(f"sip:bob@127.0.0.1:{proxy.udp[1]}", proxy.udp)
        assert (await call.response(300)).status == 488
        await proxy.logged("audio must be encrypted")
        await proxy.idle()
