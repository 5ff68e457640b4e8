"""SIP in the log, at level debug and only there."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from forkproxy import trace
from forkproxy.model import Address
from forkproxy.signalling import SipEndpoint, TraceMessage
from forkproxy.signalling.access import by_address
from tests.support.sip import Phone


class Endpoint:
    """Remembers who wants to see messages."""

    callback: Any = None

    def set_trace(self, callback: Any) -> None:
        self.callback = callback


def message(data: bytes, *, sent: bool = False) -> TraceMessage:
    return TraceMessage(0.0, sent, Address("127.0.0.1", 5060), Address("192.0.2.1", 5070), "udp", data)


def shown(endpoint: Endpoint, caplog: pytest.LogCaptureFixture, what: TraceMessage) -> dict[str, Any]:
    caplog.clear()
    endpoint.callback(what)
    (record,) = caplog.records
    return record.__dict__


def test_messages_are_logged_as_they_were(caplog: pytest.LogCaptureFixture) -> None:
    endpoint = Endpoint()
    with caplog.at_level(logging.DEBUG, "forkproxy.trace"):
        trace.trace_sip(endpoint)  # type: ignore[arg-type]
        entry = shown(endpoint, caplog, message(b"BYE sip:a SIP/2.0\r\nVia: x\r\n\r\n", sent=True))
        assert entry["message"] == "SIP sent"
        assert entry["block"] == "BYE sip:a SIP/2.0\nVia: x"
        assert (str(entry["remote"]), entry["transport"]) == ("192.0.2.1:5070", "udp")
        entry = shown(endpoint, caplog, message(b"\xff" + b"x" * 60_000))
        assert entry["message"] == "SIP received"
        assert entry["block"].startswith("\\xffxxx")
        assert entry["block"].endswith("... and 52004 characters more")


def test_keys_of_srtp_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    endpoint = Endpoint()
    with caplog.at_level(logging.DEBUG, "forkproxy.trace"):
        trace.trace_sip(endpoint)  # type: ignore[arg-type]
        line = b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^31"
        entry = shown(endpoint, caplog, message(line + b"\r\na=sendrecv\r\n"))
        assert entry["block"] == "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:...\na=sendrecv"


async def test_a_real_endpoint_shows_both_directions(caplog: pytest.LogCaptureFixture) -> None:
    """Asked for before the start, as `serve` does it."""
    endpoint = SipEndpoint(
        listen=["udp://127.0.0.1:0"],
        user_agent="x",
        on_invite=lambda leg: None,
        admit=by_address(lambda address: True),
    )
    with caplog.at_level(logging.DEBUG, "forkproxy.trace"):
        trace.trace_sip(endpoint)
        await endpoint.start()
        try:
            async with Phone("alice") as alice:
                port = int(endpoint.listening[0].rpartition(":")[2])
                assert (await alice.options(f"sip:127.0.0.1:{port}", ("127.0.0.1", port))).status == 200
        finally:
            await endpoint.close()
    shown = [(record.message, record.__dict__["block"].split(" ")[0]) for record in caplog.records]
    assert ("SIP received", "OPTIONS") in shown
    assert ("SIP sent", "SIP/2.0") in shown


def test_at_other_levels_nobody_looks(caplog: pytest.LogCaptureFixture) -> None:
    endpoint = Endpoint()
    with caplog.at_level(logging.INFO, "forkproxy.trace"):
        trace.trace_sip(endpoint)  # type: ignore[arg-type]
    assert endpoint.callback is None
