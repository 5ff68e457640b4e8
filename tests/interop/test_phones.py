"""Two real phones talk through forkproxy while a consumer listens: the product, as its user has it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from pathlib import Path

from tests.support import audio
from tests.support.baresip import Baresip
from tests.support.certificates import Authority
from tests.support.consumer import Consumer
from tests.support.flows import bridge, fork_and_bridge
from tests.support.processes import needs
from tests.support.proxy import ACCOUNT, Proxy


@needs("baresip")
async def test_two_phones_talk_and_the_consumer_hears_each_on_its_track(tmp_path: Path) -> None:
    async with (
        Consumer(tmp_path) as consumer,
        Baresip(tmp_path / "bob", "bob", tone=1000, account=";answermode=auto") as bob,
        Baresip(tmp_path / "alice", "alice", tone=440) as alice,
    ):
        flow = fork_and_bridge(consumer.url, bob.uri, parameters=[("caller", "{{contact.channel.address}}")])
        config = {"streams": {"ca_file": str(consumer.ca_file)}}
        async with Proxy(tmp_path / "proxy", flow, config=config) as proxy:
            before = await proxy.held()
            await alice.dial(f"sip:bob@127.0.0.1:{proxy.udp[1]}")
            await alice.event("CALL_ESTABLISHED")
            await bob.event("CALL_ESTABLISHED")
            await asyncio.sleep(4)
            assert len(await proxy.calls()) == 1
            await alice.hang_up()
            await bob.event("CALL_CLOSED")
            stream = await consumer.ended()
            await proxy.idle()
            after = await proxy.held()

        # each phone heard the other, whole and alone
        for phone, wanted, other in ((alice, 1000, 440), (bob, 440, 1000)):
            heard = audio.listen(phone.heard(), wanted, other)
            assert heard.seconds > 3.5, f"{phone.user}: {heard}"
            assert (heard.breaks, heard.mixed) == (0, 0), f"{phone.user}: {heard}"

        # the consumer heard each on its own track
        assert stream.mistakes() == []
        for track, wanted, other in (("inbound", 440, 1000), ("outbound", 1000, 440)):
            heard = audio.listen(stream.samples(track), wanted, other)
            assert heard.seconds > 3.5, f"{track}: {heard}"
            assert (heard.breaks, heard.mixed) == (0, 0), f"{track}: {heard}"

        # fifty messages a second on each track, from start to stop
        inbound, outbound = stream.media("inbound"), stream.media("outbound")
        assert len(inbound) == len(outbound)
        lasted = stream.times[-1] - stream.times[1]
        assert abs(len(inbound) / 50 - lasted) < 0.5

        # what start says, and that the handshake was signed as Twilio signs it
        assert "alice" in stream.start["customParameters"]["caller"]
        assert stream.start["accountSid"] == ACCOUNT["sid"]
        assert stream.start["tracks"] == ["inbound", "outbound"]
        assert stream.start["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        digest = hmac.new(ACCOUNT["auth_token"].encode(), consumer.url.encode(), hashlib.sha1).digest()
        assert stream.headers["x-twilio-signature"] == base64.b64encode(digest).decode()
        assert stream.close_code == 1000

        assert after == before, "something is left of the call"


@needs("baresip")
async def test_phones_call_by_tls_and_check_certificates(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    ours, theirs = authority.issue("127.0.0.1", file="ours.pem"), authority.issue("127.0.0.1")
    tls = {"certificate": str(ours), "ca_file": str(authority.file), "client_certificates": "optional"}
    listen = ["udp://127.0.0.1:0", "tls://127.0.0.1:0"]
    pair = (theirs, authority.file)
    async with (
        Baresip(tmp_path / "bob", "bob", tone=1000, account=";answermode=auto", certificates=pair) as bob,
        Baresip(tmp_path / "alice", "alice", tone=440, certificates=pair) as alice,
        Proxy(
            tmp_path / "proxy", bridge(bob.tls_uri), config={"sip": {"listen": listen, "tls": tls}}
        ) as proxy,
    ):
        await alice.dial(f"sip:bob@127.0.0.1:{proxy.tls[1]};transport=tls")
        await alice.event("CALL_ESTABLISHED")
        await bob.event("CALL_ESTABLISHED")
        assert (await proxy.metrics())["forkproxy_sip_tls_connections"] == 2
        await asyncio.sleep(1)
        await bob.hang_up()
        await alice.event("CALL_CLOSED")
        await proxy.idle()
    for phone, wanted, other in ((alice, 1000, 440), (bob, 440, 1000)):
        heard = audio.listen(phone.heard(), wanted, other)
        assert heard.seconds > 0.7, f"{phone.user}: {heard}"
        assert heard.mixed == 0, f"{phone.user}: {heard}"


@needs("baresip")
async def test_a_phone_calls_by_tcp_one_that_answers_by_udp(tmp_path: Path) -> None:
    async with (
        Consumer(tmp_path) as consumer,
        Baresip(tmp_path / "bob", "bob", tone=1000, account=";answermode=auto") as bob,
        Baresip(tmp_path / "alice", "alice", tone=440) as alice,
    ):
        config = {"streams": {"ca_file": str(consumer.ca_file)}}
        async with Proxy(tmp_path / "proxy", fork_and_bridge(consumer.url, bob.uri), config=config) as proxy:
            await alice.dial(f"sip:bob@127.0.0.1:{proxy.tcp[1]};transport=tcp")
            await alice.event("CALL_ESTABLISHED")
            await asyncio.sleep(2)
            await bob.hang_up()  # this time the one who was called
            await alice.event("CALL_CLOSED")
            stream = await consumer.ended()
        for phone, wanted, other in ((alice, 1000, 440), (bob, 440, 1000)):
            heard = audio.listen(phone.heard(), wanted, other)
            assert heard.seconds > 1.5, f"{phone.user}: {heard}"
            assert (heard.breaks, heard.mixed) == (0, 0), f"{phone.user}: {heard}"
        assert stream.mistakes() == []


@needs("baresip")
async def test_an_encrypted_phone_talks_to_one_that_speaks_g722(tmp_path: Path) -> None:
    """SRTP on one leg, another codec on the other: both hear each other, the consumer hears both."""
    async with (
        Consumer(tmp_path) as consumer,
        Baresip(tmp_path / "bob", "bob", tone=1000, account=";answermode=auto", codec="g722/16000/1") as bob,
        Baresip(tmp_path / "alice", "alice", tone=440, account=";mediaenc=srtp-mand") as alice,
    ):
        config = {"streams": {"ca_file": str(consumer.ca_file)}}
        async with Proxy(tmp_path / "proxy", fork_and_bridge(consumer.url, bob.uri), config=config) as proxy:
            await alice.dial(f"sip:bob@127.0.0.1:{proxy.udp[1]}")
            await alice.event("CALL_ESTABLISHED")
            await bob.event("CALL_ESTABLISHED")
            await asyncio.sleep(4)
            await alice.hang_up()
            await bob.event("CALL_CLOSED")
            stream = await consumer.ended()
            await proxy.idle()
            log = proxy.log
        for phone, wanted, other in ((alice, 1000, 440), (bob, 440, 1000)):
            heard = audio.listen(phone.heard(), wanted, other)
            assert heard.seconds > 3.5, f"{phone.user}: {heard}"
            assert (heard.breaks, heard.mixed) == (0, 0), f"{phone.user}: {heard}"
        assert stream.mistakes() == []
        for track, wanted, other in (("inbound", 440, 1000), ("outbound", 1000, 440)):
            heard = audio.listen(stream.samples(track), wanted, other)
            assert heard.seconds > 3.5, f"{track}: {heard}"
            assert (heard.breaks, heard.mixed) == (0, 0), f"{track}: {heard}"
        assert "inline:..." in log  # the keys of the descriptions are not shown
        assert "inline:" not in log.replace("inline:...", "")
        assert " RTP/AVP 9 101" in log  # bob's answer
        assert " RTP/SAVP 0 101" in log  # and what alice was told
