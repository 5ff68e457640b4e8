"""One stream against a well-made server: what is asked, what is said, and in which order."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import ssl

import pytest
from forkproxy_websocket.signature import sign
from websocket_consumers import Certificates, Peer, by_hand, consumer
from websockets.frames import Opcode

from forkproxy.connectors.api import StreamSchemeError, StreamUrlError
from forkproxy.connectors.testing import ACCOUNT, CALL, HOST, frames, payload_of, run_connector
from forkproxy.errors import InputError
from forkproxy.model import Track, Tracks


async def test_a_whole_stream(certificates: Certificates, connectors) -> None:
    async with consumer(certificates.good) as server:
        async with connectors.running(server.url, parameters={"language": "de"}, name="mine") as run:
            run.feed(frames(2))
            assert await run.created()
            run.feed(frames(48, start=2))
            await server.heard(102)
        assert run.error is None
    sid = run.runner.sid
    connected, start, *media, stop = server.messages
    assert connected == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert start == {
        "event": "start",
        "sequenceNumber": "1",
        "start": {
            "accountSid": CALL.account_sid,
            "streamSid": sid,
            "callSid": CALL.sid,
            "tracks": ["inbound", "outbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"language": "de"},
        },
        "streamSid": sid,
    }
    assert [message["sequenceNumber"] for message in media] == [str(n) for n in range(2, 102)]
    assert {message["streamSid"] for message in media} == {sid}
    for track in Track:
        mine = [message["media"] for message in media if message["media"]["track"] == track]
        assert [each["chunk"] for each in mine] == [str(n) for n in range(1, 51)]
        assert [each["timestamp"] for each in mine] == [str(20 * n) for n in range(50)]
        assert [base64.b64decode(each["payload"]) for each in mine] == [
            payload_of(track, n) for n in range(50)
        ]
    assert stop == {
        "event": "stop",
        "sequenceNumber": "102",
        "stop": {"accountSid": CALL.account_sid, "callSid": CALL.sid},
        "streamSid": sid,
    }
    assert server.close_codes == [1000]


async def test_the_handshake(certificates: Certificates, connectors) -> None:
    async with consumer(certificates.good) as server, connectors.running(server.url) as run:
        await run.created()
    assert {name.lower() for name in server.headers} == {
        "host",
        "user-agent",
        "connection",
        "upgrade",
        "sec-websocket-key",
        "sec-websocket-version",
        "x-twilio-signature",
    }
    assert server.headers["Host"] == f"localhost:{server.port}"
    assert server.headers["User-Agent"] == HOST.user_agent
    assert server.headers["X-Twilio-Signature"] == sign(ACCOUNT.auth_token, server.url)
    assert server.requests[0].path == "/media"


async def test_a_query_string_arrives_and_is_signed(certificates: Certificates, connectors) -> None:
    async with consumer(certificates.good) as server:
        url = server.url + "?token=a%2Fb&x"
        async with connectors.running(url) as run:
            await run.created()
    assert server.requests[0].path == "/media?token=a%2Fb&x"
    assert server.headers["X-Twilio-Signature"] == sign(ACCOUNT.auth_token, url)


async def test_headers_of_the_operators_own(certificates: Certificates, connectors) -> None:
    settings = {"headers": {"Authorization": "Bearer t", "X-Tenant": "7"}}
    async with (
        consumer(certificates.good) as server,
        connectors.running(server.url, settings=settings) as run,
    ):
        await run.created()
    assert (server.headers["Authorization"], server.headers["X-Tenant"]) == ("Bearer t", "7")


@pytest.mark.parametrize("tracks", [Tracks.INBOUND, Tracks.OUTBOUND])
async def test_one_track(certificates: Certificates, connectors, tracks: Tracks) -> None:
    async with (
        consumer(certificates.good) as server,
        connectors.running(server.url, tracks=tracks) as run,
    ):
        run.feed(frames(5))
        await run.created()
    names = [str(track) for track in tracks.members]
    assert server.messages[1]["start"]["tracks"] == names
    assert [message["media"]["track"] for message in server.messages[2:-1]] == names * 5


async def test_a_stream_without_a_frame(certificates: Certificates, connectors) -> None:
    async with consumer(certificates.good) as server, connectors.running(server.url) as run:
        await run.created()
    assert [message["event"] for message in server.messages] == ["connected", "start", "stop"]


async def test_what_a_slow_consumer_lost_is_a_hole_in_chunk_and_timestamp(certificates, connectors) -> None:
    async with (
        consumer(certificates.good) as server,
        connectors.running(server.url, tracks=Tracks.INBOUND, queue_seconds=0.1) as run,
    ):
        run.feed(frames(20))  # more than the queue holds before the connection stands
        await run.created()
    media = [message for message in server.messages if message["event"] == "media"]
    assert [message["media"]["chunk"] for message in media] == ["16", "17", "18", "19", "20"]
    assert media[0]["media"]["timestamp"] == "300"
    assert [message["sequenceNumber"] for message in server.messages[1:]] == [str(n) for n in range(1, 8)]
    assert run.warnings == [31930]


async def test_a_long_backlog_arrives_whole(certificates: Certificates, connectors) -> None:
    async with consumer(certificates.good) as server, connectors.running(server.url) as run:
        run.feed(frames(1500))  # 30 seconds: more than the transport's buffer takes at once
        await run.created()
        await server.heard(2 + 3000)
    assert [int(message["sequenceNumber"]) for message in server.messages[1:]] == list(range(1, 3003))
    assert run.figures.dropped == 0


async def test_many_streams_at_once(certificates: Certificates, connectors) -> None:
    async with consumer(certificates.good) as server, connectors.made() as connector:
        runs = await asyncio.gather(
            *(run_connector(connector, frames(10), url=server.url, name=str(n)) for n in range(20))
        )
    assert [run.error for run in runs] == [None] * 20
    assert len(server.texts) == 20 * 23
    assert server.close_codes == [1000] * 20


async def test_plain_ws_on_a_developers_machine(connectors) -> None:
    host = dataclasses.replace(HOST, allow_ws=True)
    async with consumer(None) as server:
        async with connectors.running(server.url, settings={"host": host}) as run:
            run.feed(frames(1))
            await run.created()
        assert run.error is None
    assert len(server.texts) == 5


async def test_plain_ws_elsewhere(connectors) -> None:
    async with connectors.running("ws://localhost:1/") as run:
        assert not await run.created()
    assert isinstance(run.error, StreamSchemeError)


async def test_the_authority_of_the_configuration(certificates: Certificates, connectors) -> None:
    host = dataclasses.replace(HOST, ca_file=certificates.ca_file)
    async with (
        consumer(certificates.good) as server,
        connectors.running(server.url, settings={"host": host, "ca_file": None}) as run,
    ):
        assert await run.created()


async def test_the_instances_own_url(certificates: Certificates, connectors) -> None:
    async with consumer(certificates.good) as server, connectors.made(url=server.url) as connector:
        assert not connector.needs_url
        run = await run_connector(connector, [])
        assert run.error is None
        run = await run_connector(connector, [], url=server.url + "/other")
        assert run.error is None
    assert [request.path for request in server.requests] == ["/media", "/media/other"]


async def test_no_url_at_all(connectors) -> None:
    async with connectors.made() as connector:
        run = await run_connector(connector, [])
    assert isinstance(run.error, StreamUrlError)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": "media"}, "#/url: the URL 'media' is not absolute"),
        ({"ca_file": "/no/such/file"}, "#/ca_file: cannot be read: /no/such/file: no such file or directory"),
        ({"ca_file": __file__}, "holds no certificates in PEM's form"),
        ({"headers": {"Host": "x"}}, "#/headers: Host is set by forkproxy"),
        ({"open_timeout": 0}, "#/open_timeout: must be greater than 0"),
        ({"ping_interval": -1}, "#/ping_interval: must be 0 or more"),
        ({"uri": "wss://a/"}, "#/uri: is not a known property; did you mean 'url'?"),
    ],
)
async def test_mistakes_in_settings(connectors, settings: dict[str, object], words: str) -> None:
    with pytest.raises(InputError) as caught:
        async with connectors.made(**settings):
            pass
    assert words in str(caught.value)


async def test_a_connector_for_ws_does_not_start_where_only_wss_is_allowed(connectors) -> None:
    with pytest.raises(StreamSchemeError):
        async with connectors.made(url="ws://localhost/"):
            pass


async def test_a_file_of_certificates_that_has_gone(tmp_path, connectors) -> None:
    host = dataclasses.replace(HOST, ca_file=tmp_path / "gone.pem")
    with pytest.raises(FileNotFoundError):
        async with connectors.made(host=host, ca_file=None):
            pass


def test_secrets_in_settings_are_not_shown() -> None:
    from forkproxy_websocket import WebSocketSettings

    assert "secret" not in repr(WebSocketSettings(headers={"Authorization": "secret"}))


async def test_the_tls_context_is_strict(connectors) -> None:
    async with connectors.made() as connector:
        assert connector._tls.verify_mode is ssl.CERT_REQUIRED
        assert connector._tls.check_hostname
        assert connector._tls.minimum_version >= ssl.TLSVersion.TLSv1_2


async def test_pings_reach_the_consumer_and_a_missing_pong_harms_nobody(certificates, connectors) -> None:
    """On a real connection; TCP is asked for signs of life each time."""
    pings = 0
    enough = asyncio.Event()

    async def never_pong(peer: Peer) -> None:
        nonlocal pings
        await peer.accept()
        while data := await peer.reader.read(65536):
            peer.core.receive_data(data)
            pings += sum(event.opcode is Opcode.PING for event in peer.core.events_received())
            if pings >= 3:
                enough.set()

    async with (
        by_hand(certificates.good, never_pong) as server,
        connectors.running(server.url, settings={"ping_interval": 0.02}, drain_timeout=0) as run,
    ):
        await run.created()
        await enough.wait()
        assert not run.ended
    assert run.error is None


async def test_a_one_way_stream_tells_no_keys(certificates: Certificates, connectors) -> None:
    """Twilio sends `dtmf` on bidirectional streams only."""
    async with consumer(certificates.good) as server, connectors.running(server.url) as run:
        assert await run.created()
        run.press("42")
        run.feed(frames(2))
        await server.heard(6)
    assert [message["event"] for message in server.messages] == ["connected", "start", *["media"] * 4, "stop"]
