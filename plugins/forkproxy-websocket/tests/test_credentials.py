"""Consumers that want to know who calls: passwords, tokens, certificates, signatures with a time."""

from __future__ import annotations

import doctest
import hmac
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
from forkproxy_websocket import WebSocketSettings, credentials
from forkproxy_websocket.credentials import basic, timestamped
from forkproxy_websocket.options import stream_options
from websocket_consumers import Certificates, consumer

from forkproxy.connectors.api import ConnectorConfigError, StreamHandshakeError
from forkproxy.connectors.testing import frames


async def heard_by(certificates: Certificates, connectors, settings: dict[str, Any], **options: Any) -> Any:
    async with (
        consumer(certificates.good) as server,
        connectors.running(server.url, settings=settings, **options) as run,
    ):
        assert await run.created(), run.error
    return server


async def test_a_user_and_a_token(certificates: Certificates, connectors) -> None:
    server = await heard_by(certificates, connectors, {"username": "Jörg", "password": "a:b"})
    assert server.headers["Authorization"] == basic("Jörg", "a:b")
    server = await heard_by(certificates, connectors, {"token": "abc.def"})
    assert server.headers["Authorization"] == "Bearer abc.def"


async def test_a_signature_with_a_time(certificates: Certificates, connectors) -> None:
    server = await heard_by(certificates, connectors, {"hmac_secret": "s"})
    # As docs/streams.md shows it.
    parts = dict(part.split("=", 1) for part in server.headers["X-Forkproxy-Signature"].split(","))
    expected = hmac.new(b"s", f"{parts['t']}.{server.url}".encode(), "sha256").hexdigest()
    assert hmac.compare_digest(expected, parts["v1"])
    assert abs(time.time() - int(parts["t"])) < 300
    assert timestamped("s", server.url, int(parts["t"])) == server.headers["X-Forkproxy-Signature"]


@pytest.mark.parametrize("kind", ["one file", "two files", "encrypted"])
async def test_a_client_certificate(
    certificates: Certificates, connectors, tmp_path: Path, kind: str
) -> None:
    leaf = certificates.authority.issue_cert("forkproxy.example")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    settings: dict[str, Any] = {"client_cert": cert}
    if kind == "one file":
        leaf.private_key_and_cert_chain_pem.write_to_path(str(cert))
    else:
        for blob in leaf.cert_chain_pems:
            blob.write_to_path(str(cert), append=True)
        key.write_bytes(leaf.private_key_pem.bytes() if kind == "two files" else encrypted(leaf, b"secret"))
        settings["client_key"] = key
    if kind == "encrypted":
        settings["client_key_password"] = "secret"
    async with (
        consumer(certificates.wants_one_too) as server,
        connectors.running(server.url, settings=settings) as run,
    ):
        run.feed(frames(1))
        assert await run.created(), run.error
        await server.heard(4)
    assert run.error is None


def encrypted(leaf: trustme.LeafCert, password: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    )


async def test_a_certificate_that_the_consumer_does_not_know(
    certificates: Certificates, connectors, tmp_path: Path
) -> None:
    cert = tmp_path / "cert.pem"
    trustme.CA().issue_cert("x.example").private_key_and_cert_chain_pem.write_to_path(str(cert))
    async with (
        consumer(certificates.wants_one_too) as server,
        connectors.running(server.url, settings={"client_cert": cert}) as run,
    ):
        await run.created()
        await run.closed()
    # The server's library cuts the connection without an alert; with one it would be 31910.
    assert type(run.error) is StreamHandshakeError


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"username": "u"}, "username and password go together"),
        ({"username": "u:v", "password": "p"}, "a username with a colon"),
        ({"username": "u", "password": "p", "token": "t"}, "Authorization: username, token"),
        ({"token": "t", "headers": {"authorization": "x"}}, "Authorization: token, headers"),
        ({"token": "a\nb"}, "the value of Authorization"),
        ({"client_key": "x.pem"}, "need client_cert"),
        ({"client_cert": "/no/such.pem"}, "cannot be read: /no/such.pem"),
        ({"client_cert": __file__}, "not a certificate in PEM's form and its key"),
        ({"hmac_secret": ""}, "hmac_secret"),
    ],
)
async def test_settings_that_make_no_sense(connectors, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(Exception, match=words):
        async with connectors.made(**settings):
            pass


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    shown = repr(WebSocketSettings(username="u", password="secret", hmac_secret="secret"))
    shown += repr(WebSocketSettings(token="secret"))
    assert "secret'" not in shown


# A stream's own settings.


def test_options_and_the_consumers_parameters() -> None:
    options = stream_options(
        {
            "name": "Jane",
            "forkproxy.header.X-Tenant": "7",
            "forkproxy.reconnect": "12.5",
            "forkproxy.gaps": "true",
        },
        reconnect=0,
        gaps=False,
    )
    assert options.parameters == {"name": "Jane"}
    assert (options.headers, options.reconnect, options.gaps) == ({"X-Tenant": "7"}, 12.5, True)
    assert "7" not in repr(options)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("forkproxy.reconect", "1", "forkproxy.reconect is none of forkproxy's"),
        ("forkproxy.", "1", "is none of forkproxy's"),
        ("forkproxy.reconnect", "soon", "from 0 to 600, not 'soon'"),
        ("forkproxy.reconnect", "nan", "from 0 to 600"),
        ("forkproxy.reconnect", "601", "from 0 to 600"),
        ("forkproxy.gaps", "yes", "true or false"),
        ("forkproxy.header.Host", "x", "Host is set by forkproxy"),
        ("forkproxy.header.X-A", "a\r\nB: c", "the value of X-A"),
        ("forkproxy.header.", "x", "not a header's name"),
    ],
)
def test_options_that_are_wrong(name: str, value: str, words: str) -> None:
    with pytest.raises(ConnectorConfigError, match=words):
        stream_options({name: value}, reconnect=0, gaps=False)


async def test_a_streams_own_header_comes_first(certificates: Certificates, connectors) -> None:
    parameters = {"forkproxy.header.authorization": "Bearer mine", "forkproxy.header.X-A": "1", "who": "Jane"}
    server = await heard_by(certificates, connectors, {"token": "shared"}, parameters=parameters)
    assert server.headers.get_all("Authorization") == ["Bearer mine"]
    assert server.headers["X-A"] == "1"
    assert server.messages[1]["start"]["customParameters"] == {"who": "Jane"}


async def test_a_wrong_option_ends_the_stream_before_it_connects(
    certificates: Certificates, connectors
) -> None:
    async with (
        consumer(certificates.good) as server,
        connectors.running(server.url, parameters={"forkproxy.gaps": "1"}) as run,
    ):
        assert not await run.created()
    assert isinstance(run.error, ConnectorConfigError)
    assert not server.requests


def test_the_examples() -> None:
    assert doctest.testmod(credentials) == (0, 2)
