"""SIP over TLS: both sides checked, certificates chosen by name and renewed, slow peers bounded."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from forkproxy.errors import SignallingError
from forkproxy.signalling import endpoint as endpoints
from forkproxy.signalling import listeners, sockets
from forkproxy.signalling.events import Answered, Confirmed, Ended
from forkproxy.signalling.tls import Certificates, Channel, TlsError, TlsSettings
from tests.signalling.support import Station, answer_to, conversation, until
from tests.signalling.test_wire import invite
from tests.support.certificates import Authority

Stations = Callable[..., Awaitable[Station]]
LISTEN = ("udp://127.0.0.1:0", "tls://127.0.0.1:0")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def settings(authority: Authority) -> TlsSettings:
    return TlsSettings(certificate=authority.issue("127.0.0.1", "localhost"), ca_file=authority.file)


def client(authority: Authority, certificate: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.file))
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


@asynccontextmanager
async def connected(
    bob: Station, context: ssl.SSLContext, name: str = "localhost"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*bob.address("tls"), ssl=context, server_hostname=name)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def options() -> bytes:
    return invite(method="OPTIONS", body=b"").replace(b"/UDP ", b"/TLS ")


async def head(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)


@pytest.mark.parametrize("scheme", ["sip", "sips"])
async def test_a_call_over_tls(stations: Stations, settings: TlsSettings, scheme: str) -> None:
    alice, bob = await stations(*LISTEN, tls=settings), await stations(*LISTEN, tls=settings)
    uri = bob.uri(transport="tls")
    if scheme == "sips":
        uri = uri.replace("sip:", "sips:").removesuffix(";transport=tls")
    _, heard = alice.dial(uri)
    leg, seen = await bob.call()
    assert leg.transport == "tls"
    contact = dict(leg.headers)["Contact"]
    port = alice.address("tls")[1]
    assert contact == (
        f"<sips:127.0.0.1:{port}>" if scheme == "sips" else f"<sip:127.0.0.1:{port};transport=tls>"
    )
    assert dict(leg.headers)["Via"].startswith(f"SIP/2.0/TLS 127.0.0.1:{port}")
    assert leg.offer is not None
    leg.answer(answer_to(leg.offer))
    await heard.first(Answered)
    await seen.first(Confirmed)
    leg.hang_up()
    await heard.first(Ended)
    assert (await seen.first(Ended)).by == "local"
    assert alice.endpoint.counters()["tls_connections"] == 1, "both directions use one connection"
    assert bob.endpoint.counters()["tls_connections"] == 1


async def test_a_call_over_tls_and_ipv6(stations: Stations, authority: Authority) -> None:
    tls = TlsSettings(certificate=authority.issue("::1"), ca_file=authority.file)
    alice, bob = await stations("tls://[::1]:0", tls=tls), await stations("tls://[::1]:0", tls=tls)
    _, heard, leg, _ = await conversation(alice, bob, "tls")
    assert dict(leg.headers)["Via"].startswith(f"SIP/2.0/TLS [::1]:{alice.address('tls')[1]}")
    leg.hang_up()
    await heard.first(Ended)


async def test_a_long_call_goes_on_when_its_connection_is_gone(
    stations: Stations, settings: TlsSettings
) -> None:
    alice, bob = await stations(*LISTEN, tls=settings), await stations(*LISTEN, tls=settings)
    _, heard, leg, seen = await conversation(alice, bob, "tls")
    for station in (alice, bob):
        for listener in station.endpoint._listeners:
            for connection in tuple(getattr(listener, "connections", ())):
                connection.close()
    await until(lambda: bob.endpoint.counters()["tls_connections"] == 0)
    leg.hang_up()  # over a new connection, whose certificate must be for 127.0.0.1
    await heard.first(Ended)
    assert (await seen.first(Ended)).by == "local"


@pytest.mark.parametrize("fault", ["stranger", "name", "no TLS"])
async def test_a_server_that_cannot_be_trusted_gets_nothing(
    stations: Stations,
    settings: TlsSettings,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    monkeypatch.setattr(sockets, "HANDSHAKE", 0.2)
    alice = await stations(*LISTEN, tls=settings)
    certificate = authority.issue("elsewhere.example")
    if fault == "stranger":
        certificate = Authority(tmp_path, "stranger").issue("127.0.0.1", file="stranger-cert.pem")
    bob = await stations(*LISTEN, "tcp://127.0.0.1:0", tls=TlsSettings(certificate=certificate))
    uri = bob.uri(transport="tls")
    if fault == "no TLS":
        uri = bob.uri(transport="tcp").replace("transport=tcp", "transport=tls")
    _, heard = alice.dial(uri)
    ended = await heard.first(Ended)
    assert (ended.status, ended.by) == (503, "transport")
    assert bob.calls.empty()
    assert alice.endpoint.counters()["connections_failed"] == 1


async def test_verification_can_be_switched_off(
    stations: Stations, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger").issue("elsewhere.example")
    bob = await stations(*LISTEN, tls=TlsSettings(certificate=stranger))
    alice = await stations(*LISTEN, tls=TlsSettings(certificate=stranger, verify=False))
    out, _, _, seen = await conversation(alice, bob, "tls")
    out.hang_up()
    await seen.first(Ended)


async def test_the_certificate_is_the_one_that_is_asked_for(
    stations: Stations, authority: Authority, settings: TlsSettings
) -> None:
    other = authority.issue("other.example")
    bob = await stations(
        *LISTEN,
        tls=TlsSettings(certificate=settings.certificate, hosts={"Other.Example": other}),
    )
    for name in ("localhost", "other.example"):
        async with connected(bob, client(authority), name) as (reader, writer):
            writer.write(options())
            assert (await head(reader)).startswith(b"SIP/2.0 200 ")
    with pytest.raises(ssl.SSLCertVerificationError):
        async with connected(bob, client(authority), "third.example"):
            pass


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_versions(
    stations: Stations, authority: Authority, settings: TlsSettings, version: ssl.TLSVersion
) -> None:
    bob = await stations(*LISTEN, tls=settings)
    context = client(authority)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    old = pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated")
    with old if version is ssl.TLSVersion.TLSv1_1 else contextlib.nullcontext():
        context.minimum_version = context.maximum_version = version
    if version is ssl.TLSVersion.TLSv1_1:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            async with connected(bob, context):
                pass
        await until(lambda: bob.endpoint.counters()["tls_failed"] == 1)
        return
    async with connected(bob, context) as (reader, writer):
        writer.write(b"\r\n\r\n" + options())
        assert await asyncio.wait_for(reader.readexactly(2), 5) == b"\r\n"
        assert (await head(reader)).startswith(b"SIP/2.0 200 ")


@pytest.mark.parametrize(("shown", "taken"), [(None, False), ("stranger", False), ("ours", True)])
async def test_clients_must_show_a_certificate_of_the_authority(
    stations: Stations,
    authority: Authority,
    settings: TlsSettings,
    tmp_path: Path,
    shown: str | None,
    taken: bool,
) -> None:
    required = TlsSettings(
        certificate=settings.certificate, ca_file=authority.file, client_certificates="required"
    )
    bob = await stations(*LISTEN, tls=required)
    issuer = Authority(tmp_path, "stranger") if shown == "stranger" else authority
    certificate = None if shown is None else issuer.issue("pbx.example", file="client.pem")
    answer = b""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        async with connected(bob, client(authority, certificate)) as (reader, writer):
            writer.write(options())
            answer = await head(reader)
            connection = next(iter(bob.endpoint._listeners[1].connections))  # type: ignore[union-attr]
            assert connection.identities == ("pbx.example",)
    assert answer.startswith(b"SIP/2.0 200 ") == taken
    if not taken:
        await until(lambda: bob.endpoint.counters()["tls_failed"] == 1)
    await until(lambda: bob.endpoint.counters()["tls_connections"] == 0)


async def test_forkproxy_shows_its_own_certificate_as_a_client(
    stations: Stations, settings: TlsSettings
) -> None:
    required = TlsSettings(
        certificate=settings.certificate, ca_file=settings.ca_file, client_certificates="required"
    )
    alice, bob = await stations(*LISTEN, tls=settings), await stations(*LISTEN, tls=required)
    out, _, _, seen = await conversation(alice, bob, "tls")
    out.hang_up()
    await seen.first(Ended)


async def test_a_renewed_certificate_is_shown_to_new_connections(
    stations: Stations, authority: Authority, settings: TlsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "WATCH", 0.02)
    bob = await stations(*LISTEN, tls=settings)
    async with connected(bob, client(authority)) as (reader, writer):
        authority.issue("renewed.example", file=settings.certificate.name)
        await until(lambda: bob.endpoint.counters()["tls_reloaded"] == 1)
        async with connected(bob, client(authority), "renewed.example") as (other, second):
            second.write(options())
            assert (await head(other)).startswith(b"SIP/2.0 200 ")
        settings.certificate.write_text("no certificate")
        await asyncio.sleep(0.1)
        async with connected(bob, client(authority), "renewed.example"):
            pass
        writer.write(options())
        assert (await head(reader)).startswith(b"SIP/2.0 200 "), "what is open stays open"
    with pytest.raises(SignallingError, match="no certificate"):
        bob.endpoint.reload_certificates()
    authority.issue("localhost", file=settings.certificate.name)
    bob.endpoint.reload_certificates()
    async with connected(bob, client(authority)):
        pass


async def test_a_handshake_that_does_not_end_is_ended(
    stations: Stations, settings: TlsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "HANDSHAKE", 0.1)
    monkeypatch.setattr(sockets, "LINGER", 0.1)
    bob = await stations(*LISTEN, tls=settings)
    for beginning in (b"", b"\x16\x03\x01\x02\x00\x01"):
        reader, writer = await asyncio.open_connection(*bob.address("tls"))
        writer.write(beginning)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
    assert bob.endpoint.counters()["tls_failed"] == 2
    await until(lambda: bob.endpoint.counters()["tls_connections"] == 0)


async def test_a_handshake_of_ours_that_does_not_end_fails_the_call(
    stations: Stations, settings: TlsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "HANDSHAKE", 0.1)
    alice = await stations(*LISTEN, tls=settings)
    writers = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, heard = alice.dial(f"sips:bob@127.0.0.1:{port}")
    ended = await heard.first(Ended)
    assert (ended.status, ended.by) == (503, "transport")
    for writer in writers:
        writer.close()
    server.close()
    await server.wait_closed()


async def test_connections_in_their_handshake_count_against_the_limit(
    stations: Stations, settings: TlsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "MAX_PER_HOST", 3)
    bob = await stations(*LISTEN, tls=settings)
    opened = [await asyncio.open_connection(*bob.address("tls")) for _ in range(5)]
    await until(lambda: bob.endpoint.counters()["connections_refused"] == 2)
    assert bob.endpoint.counters()["tls_connections"] == 3
    for _, writer in opened:
        writer.close()
    await until(lambda: bob.endpoint.counters()["tls_connections"] == 0)


async def test_plain_text_on_a_tls_port_is_refused(stations: Stations, settings: TlsSettings) -> None:
    bob = await stations(*LISTEN, tls=settings)
    reader, writer = await asyncio.open_connection(*bob.address("tls"))
    writer.write(options())
    await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert bob.endpoint.counters()["tls_failed"] == 1
    assert bob.calls.empty()


async def test_keep_alives_hold_a_connection_and_find_a_dead_one(
    stations: Stations, settings: TlsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = await stations(*LISTEN, tls=settings, keep_alive=0.2)
    bob = await stations(*LISTEN, tls=settings)
    _, heard, leg, _ = await conversation(alice, bob, "tls")
    await until(lambda: bob.endpoint.counters()["keepalives"] >= 2)
    monkeypatch.setattr(sockets, "PONG", 0.1)
    answer = sockets.Connection._answer

    def all_but_pongs(connection: sockets.Connection, data: bytes) -> None:
        if data != b"\r\n":
            answer(connection, data)

    monkeypatch.setattr(sockets.Connection, "_answer", all_but_pongs)
    await until(lambda: alice.endpoint.counters()["connections_dead"])
    await until(lambda: not bob.endpoint.counters()["tls_connections"])  # a goodbye is not sent into it
    leg.hang_up()
    await heard.first(Ended)


def test_a_channel_tells_whose_certificate_it_is(authority: Authority, settings: TlsSettings) -> None:
    server = Certificates(
        TlsSettings(settings.certificate, ca_file=authority.file, client_certificates="optional")
    ).server
    context = client(authority, authority.issue("192.0.2.1", "PBX.example", file="client.pem"))
    ours = Channel(server, server_side=True)
    theirs = Channel(context, server_side=False, name="localhost")
    theirs.begin()
    while not (ours.established and theirs.established):
        ours.receive(theirs.to_send())
        theirs.receive(ours.to_send())
    assert ours.identities == ("192.0.2.1", "pbx.example")
    assert ours.version == "TLSv1.3"
    theirs.send(b"hello")
    theirs.close()
    assert ours.receive(theirs.to_send()) == b"hello"
    assert ours.ended
    with pytest.raises(TlsError):
        Channel(server, server_side=True).receive(b"rubbish" * 10)


def test_files_that_cannot_be_used_are_named(
    authority: Authority, settings: TlsSettings, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    other = authority.issue("other.example")
    for wrong, named in (
        (TlsSettings(tmp_path / "absent.pem"), "absent.pem cannot be read"),
        (TlsSettings(settings.certificate, key=tmp_path / "absent.key"), "absent.key cannot be read"),
        (TlsSettings(empty), "empty.pem: no certificate"),
        (TlsSettings(settings.certificate, key=other), "no certificate and its key"),
        (TlsSettings(settings.certificate, ca_file=empty), "empty.pem holds no certificate"),
        (TlsSettings(settings.certificate, hosts={"x": empty}), "empty.pem: no certificate"),
    ):
        with pytest.raises(SignallingError, match=named):
            Certificates(wrong)
