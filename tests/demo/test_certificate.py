"""The throw-away certificate: made by either tool, accepted by a client that checks it, refused by others."""

from __future__ import annotations

import shutil
import ssl
import sys
from pathlib import Path

import pytest

from forkproxy.demo import certificate
from forkproxy.demo.failure import DemoError

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="the openssl command is not installed")


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """A TLS handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = server.wrap_bio(to_server, to_client, server_side=True)
    two = client.wrap_bio(to_client, to_server, server_hostname=name)
    waiting = [two, one]
    for _ in range(20):
        for side in tuple(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
        if not waiting:
            return
    raise AssertionError("the handshake does not end")


@pytest.fixture(params=[pytest.param("openssl", marks=needs_openssl), "trustme"])
def made(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> certificate.Certificate:
    if request.param == "trustme":
        monkeypatch.setattr(shutil, "which", lambda name: None)
    return certificate.make(tmp_path)


def test_a_client_that_trusts_it_accepts_it(made: certificate.Certificate) -> None:
    shake_hands(made.server_context(), ssl.create_default_context(cafile=str(made.authority)), "127.0.0.1")


def test_it_holds_for_this_machine_only(made: certificate.Certificate) -> None:
    client = ssl.create_default_context(cafile=str(made.authority))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(made.server_context(), client, "127.0.0.2")


def test_a_client_that_does_not_trust_it_refuses_it(made: certificate.Certificate) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(made.server_context(), ssl.create_default_context(), "127.0.0.1")


def test_the_key_is_for_its_owner_only(made: certificate.Certificate) -> None:
    assert made.key.stat().st_mode & 0o077 == 0


def test_without_either_tool_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(DemoError, match=r"install the openssl command .*pip install 'forkproxy\[demo\]'"):
        certificate.make(tmp_path)


def test_an_openssl_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "openssl"
    broken.write_text("#!/bin/sh\necho no entropy >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(broken))
    with pytest.raises(DemoError, match="no entropy"):
        certificate.make(tmp_path)
