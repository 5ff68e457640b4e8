"""Recording clients (SIPREC) send calls: the whole program is their recorder, and forks to WebSockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support import audio
from tests.support.consumer import Consumer, Recording
from tests.support.flows import connect, flow, fork, state, unfork
from tests.support.processes import until
from tests.support.proxy import Proxy
from tests.support.sip import Phone
from tests.support.src import SIPREC, Client, answered, line, offer, snapshot
from tests.support.talk import ALICE_HZ, BOB_HZ, conversation

SEEN = (
    "From", "To", "CallerName", "SiprecSession", "SiprecSessionIds", "SiprecInboundAor", "SiprecOutboundName",
    "SiprecData_agent", "SiprecData_ucid",
)  # fmt: skip
ANN, BOB = "Ann <sip:ann@example.com>", "Bob &lt;&amp;&gt; <tel:+15551230000>"


def recorder(url: str) -> dict[str, Any]:
    """Fork what comes to a WebSocket for as long as it comes."""
    parameters = [(name, f"{{{{trigger.call.{name}}}}}") for name in SEEN]
    return flow(
        "start_stream",
        fork(url, "connect", parameters=parameters),
        connect("sip:nobody@127.0.0.1", "stop_stream"),
        unfork(),
    )


def heard(recording: Recording, track: str, hertz: float, other: float) -> audio.Heard:
    found = audio.listen(recording.samples(track), hertz, other)
    assert found.mixed <= 1, (track, found)
    return found


async def started(consumer: Consumer, number: int = 0) -> dict[str, str]:
    """The parameters of a stream that has said start."""
    recording = await consumer.stream(number)
    await until(lambda: recording.start, timeout=5, what="start")
    return dict(recording.start["customParameters"])


@asynccontextmanager
async def recording_proxy(folder: Path, **config: Any) -> AsyncIterator[tuple[Proxy, Consumer, Phone]]:
    """A proxy that takes recorded calls, their consumer, and who sends them. Nothing is left in the end."""
    async with Consumer(folder / "consumer") as consumer:
        settings = {"streams": {"ca_file": str(consumer.ca_file)}, **config}
        nothing = flow("bye", state("bye", "set-variables", {"variables": []}, ("next", None)))
        proxy = Proxy(folder / "proxy", nothing, flows={"siprec": recorder(consumer.url)}, config=settings)
        async with proxy:
            before = await proxy.held()
            async with Phone("src", "tcp") as phone:
                yield proxy, consumer, phone
            await proxy.idle()
            assert await proxy.held() == before


async def test_a_call_recorded_by_one_forkproxy_is_a_stream_of_another(tmp_path: Path) -> None:
    async with (
        recording_proxy(tmp_path / "srs") as (srs, consumer, _),
        Phone("alice") as alice,
        Phone("desk") as desk,
    ):
        properties = {
            "stream_action": "start",
            "stream_name": "Recording",
            "stream_transport_type": "siprec",
            "stream_connector": "Gridspace_1",
            "stream_track": "both_tracks",
            "stream_parameters": [{"key": "agent", "value": "Zoë <7>"}],
        }
        start = state("start_recording", "fork-stream", properties, ("next", "connect"))
        uri = f"sip:rec@127.0.0.1:{srs.tcp[1]};transport=tcp"
        config = {"connectors": {"Gridspace_1": {"type": "siprec", "srs": [uri], "bye": "complete"}}}
        config["connectors"]["Gridspace_1"]["srtp"] = "required"
        calls = flow("start_recording", start, connect(desk.uri))
        async with Proxy(tmp_path / "proxy", calls, config=config) as proxy:
            async with conversation(proxy, alice, desk) as talking:
                recording = await consumer.stream()
                await until(lambda: len(recording.media("outbound")) > 60, timeout=8, what="audio")
                [told] = await srs.calls()
                assert [leg["packets_out"] for leg in told["legs"]] == [0, 0]
                await talking.alice.hang_up()
                await consumer.ended()
                await talking.hush()
            await proxy.idle()
        assert recording.mistakes() == []
        assert heard(recording, "inbound", ALICE_HZ, BOB_HZ).seconds > 0.5
        assert heard(recording, "outbound", BOB_HZ, ALICE_HZ).seconds > 0.5
        said = recording.start["customParameters"]
        assert said["From"] == f"sip:alice@{alice.host}"
        assert said["To"] == f"sip:bob@{alice.host}"
        assert said["SiprecData_agent"] == "Zoë <7>"
        assert said["SiprecSession"].endswith("==")


async def test_a_client_changes_what_it_sends(tmp_path: Path) -> None:
    """One stream at first, as Oracle's; then two, paused, resumed, and ended with a body."""
    async with recording_proxy(tmp_path) as (proxy, consumer, phone):
        client = Client(phone, proxy.tcp)
        one, two = await client.open()
        more = '<x:ext xmlns:x="urn:x"><x:Parameter name="agent" value="7 &amp; 8"/></x:ext><ucid>42</ucid>'
        xml = snapshot(ANN, BOB, more=more)
        final = await client.start(offer(line(one.port)), xml)
        assert "+sip.srs" in final.get("contact")
        assert [(each.label, each.direction) for each in answered(final.body)] == [("1", "recvonly")]
        client.talk(ALICE_HZ)
        assert await started(consumer) == {
            "From": "sip:ann@example.com",
            "To": "+15551230000",
            "CallerName": "Ann",
            "SiprecSession": "c1",
            "SiprecSessionIds": "ab30317f;remote=47755a9d",
            "SiprecInboundAor": "sip:ann@example.com",
            "SiprecOutboundName": "Bob <&>",
            "SiprecData_agent": "7 & 8",
            "SiprecData_ucid": "42",
        }
        recording = await consumer.stream()
        both = offer(line(one.port), line(two.port, "2"), version=2)
        final = await client.change("INVITE", both, xml)
        ports = [each.port for each in answered(final.body)]
        assert len(set(ports)) == 2
        assert [each.direction for each in answered(final.body)] == ["recvonly", "recvonly"]
        two.talk(audio.tone_ulaw(BOB_HZ, 1))
        await until(
            lambda: audio.listen(recording.samples("outbound"), BOB_HZ, ALICE_HZ).seconds > 0.5,
            timeout=8, what="the second stream",
        )  # fmt: skip
        paused = offer(line(one.port, "1", "inactive"), line(two.port, "2", "inactive"), version=3)
        final = await client.change("INVITE", paused)
        assert [each.direction for each in answered(final.body)] == ["inactive", "inactive"]
        assert [each.port for each in answered(final.body)] == ports
        final = await client.change("UPDATE", offer(line(one.port), line(two.port, "2"), version=4), xml)
        assert [each.direction for each in answered(final.body)] == ["recvonly", "recvonly"]
        part = snapshot("Cat <sip:cat@example.com>", BOB, mode="partial")
        assert (await client.change("UPDATE", xml=part)).status == 200
        assert (await client.change("INVITE", b"m=broken")).status in (400, 488)
        gone = offer(line(one.port), line(0, "2"), version=5)
        final = await client.change("INVITE", gone, "<recording>")
        assert [each.port for each in answered(final.body)] == [ports[0], 0]
        assert (await client.change("BYE", xml=xml)).status == 200
        await client.hush()
        await consumer.ended()
        assert recording.mistakes() == []
        assert heard(recording, "inbound", ALICE_HZ, BOB_HZ).seconds > 0.5
        counted = await proxy.metrics()
        assert counted["forkproxy_calls_recorded_total"] == 1
        assert counted["forkproxy_recorded_metadata_refused_total"] == 1


BROADWORKS = """<?xml version="1.0"?><recording_metadata xmlns='urn:ietf:params:xml:ns:siprec'>
<dataMode>complete</dataMode><participant id="urn:uuid:1"><aor>ann@example.com</aor><send><id>urn:uuid:9</id>
</send></participant><participant id="urn:uuid:2"><aor>+15551230000</aor><send><id>urn:uuid:9</id></send>
</participant><stream id="urn:uuid:9"><mode>mixed</mode><label>1</label></stream></recording_metadata>"""


CISCO = ("Require: 100rel,siprec", "Supported: 100rel")
BOTH, RFC = ["sendonly", "sendonly"], snapshot(ANN, BOB)
Ways = Sequence[str | None]
DIALECTS: dict[str, tuple[Sequence[str], Ways, Ways, str, dict[str, str]]] = {
    "rfc": (SIPREC, BOTH, ["1", "2"], RFC, {}),
    "cisco": (CISCO, BOTH, ["1", "2"], RFC, {}),
    "the type of RFC 7866": (SIPREC, BOTH, ["1", "2"], RFC, {"kind": "application/rs-metadata"}),
    "broadworks": ((), [None], ["1"], BROADWORKS, {"first": "xml"}),
    "no metadata, no labels": (SIPREC, BOTH, [None, None], "", {}),
    "metadata that is no XML, inactive": (SIPREC, ["inactive"] * 2, ["16777227", "16777228"], "<no XML", {}),
    "three streams": (SIPREC, ["sendonly"] * 3, ["1", "2", "3"], RFC, {}),
}
"""Headers, the streams' directions and labels, metadata, and how the body is written."""


async def test_every_dialect_is_taken(tmp_path: Path) -> None:
    async with recording_proxy(tmp_path) as (proxy, consumer, phone):
        for number, (name, (headers, directions, labels, xml, how)) in enumerate(DIALECTS.items()):
            client = Client(phone, proxy.tcp)
            parties = await client.open(len(labels))
            lines = [line(a.port, b, c) for a, b, c in zip(parties, labels, directions, strict=True)]
            final = await client.start(offer(*lines), xml, headers=headers, **how)
            assert final.status == 200, name
            told = answered(final.body)
            assert [each.label for each in told if each.port] == list(labels[:2]), name
            assert [bool(each.port) for each in told] == [n < 2 for n in range(len(labels))], name
            way = "inactive" if directions[0] == "inactive" else "recvonly"
            assert {each.direction for each in told if each.port} == {way}, name
            start = await started(consumer, number)
            known = "participant" in xml
            assert start["From"] == ("sip:ann@example.com" if known else f"sip:src@{phone.host}"), name
            assert not known or start["To"] == "+15551230000", name
            await client.call.hang_up()
            await consumer.ended(number)


async def test_who_takes_no_recorded_calls_says_so(tmp_path: Path) -> None:
    nothing = flow("bye", state("bye", "set-variables", {"variables": []}, ("next", None)))
    async with Proxy(tmp_path, nothing) as proxy, Phone("src") as phone:
        client = Client(phone, proxy.udp)
        one, two = await client.open()
        final = await client.start(offer(line(one.port), line(two.port, "2")), snapshot(ANN, BOB))
        assert (final.status, final.get("unsupported")) == (420, "siprec")
        assert (await client.start(offer(line(one.port, None)), headers=())).status != 420
        await asyncio.sleep(0)
