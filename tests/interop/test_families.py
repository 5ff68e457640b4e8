"""Phones at IPv6 addresses, and calls between them and phones at IPv4 addresses."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support import audio
from tests.support.baresip import Baresip
from tests.support.flows import bridge
from tests.support.processes import needs
from tests.support.proxy import Proxy
from tests.support.sipp import Sipp

BOTH = {
    "sip": {
        "listen": [f"{scheme}://{host}:0" for scheme in ("udp", "tcp") for host in ("127.0.0.1", "[::1]")]
    },
    "media": {"listen": None},
}


def port(proxy: Proxy, scheme: str) -> int:
    """Where the proxy listens over IPv6."""
    return next(int(each.rpartition(":")[2]) for each in proxy.listening if each.startswith(f"{scheme}:["))


@needs("baresip")
async def test_a_phone_at_ipv6_talks_to_one_at_ipv4(tmp_path: Path) -> None:
    async with (
        Baresip(tmp_path / "bob", "bob", tone=1000, account=";answermode=auto") as bob,
        Baresip(tmp_path / "alice", "alice", tone=440, host="::1") as alice,
        Proxy(tmp_path / "proxy", bridge(bob.uri), config=BOTH) as proxy,
    ):
        await alice.dial(f"sip:bob@[::1]:{port(proxy, 'tcp')};transport=tcp")
        await alice.event("CALL_ESTABLISHED")
        await bob.event("CALL_ESTABLISHED")
        await asyncio.sleep(1.5)
        await alice.hang_up()
        await bob.event("CALL_CLOSED")
        await proxy.idle()
        assert "c=IN IP6 ::1" in proxy.log
        assert "c=IN IP4 127.0.0.1" in proxy.log
    for phone, wanted, other in ((alice, 1000, 440), (bob, 440, 1000)):
        heard = audio.listen(phone.heard(), wanted, other)
        assert heard.seconds > 1, f"{phone.user}: {heard}"
        assert heard.mixed == 0, f"{phone.user}: {heard}"


@needs("sipp")
async def test_calls_go_from_each_family_to_each(tmp_path: Path) -> None:
    async with (
        Sipp("uas_audio", tmp_path / "uas4", service="four", calls=2, hold_ms=300) as four,
        Sipp("uas_audio", tmp_path / "uas6", service="six", calls=2, hold_ms=300, host="::1") as six,
        Proxy(tmp_path / "proxy", bridge(four.uri), flows={"six": bridge(six.uri)}, config=BOTH) as proxy,
    ):
        before = await proxy.held()
        for host, remote in (
            ("127.0.0.1", f"127.0.0.1:{proxy.udp[1]}"),
            ("::1", f"[::1]:{port(proxy, 'udp')}"),
        ):
            for service in ("four", "six"):
                folder = tmp_path / f"uac-{'6' if ':' in host else '4'}-{service}"
                async with Sipp(
                    "uac_audio", folder, remote=remote, service=service, hold_ms=300, host=host
                ) as caller:
                    figures = await caller.finished()
                    assert (figures.successful, figures.failed) == (1, 0), caller.describe()
        for callee in (four, six):
            figures = await callee.finished()
            assert (figures.successful, figures.failed) == (2, 0), callee.describe()
        await proxy.idle()
        assert await proxy.held() == before, "something is left of the calls"
