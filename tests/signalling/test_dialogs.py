"""Dialogs without a call: against the recorder of the tests' own, and against its rules."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forkproxy.errors import SignallingError
from forkproxy.message import SipBody, SipReply, SipRequest, SipResponse
from forkproxy.signalling.dialogs import ClientDialog, open_dialog
from forkproxy.signalling.events import Confirmed, Ended
from forkproxy.signalling.tls import TlsSettings
from tests.signalling.support import OFFER, Station, answer_to
from tests.support.certificates import Authority
from tests.support.srs import Srs

Stations = Callable[..., Awaitable[Station]]
BOTH = pytest.mark.parametrize("transport", ["udp", "tcp"])
ID = "AAAAAAAAAAAAAAAAAAAAAA=="


def two_parts(version: int = 1, direction: str = "sendonly", padding: int = 0) -> SipBody:
    """An offer of one m-line and a snapshot, of any length."""
    sdp = (
        f"v=0\r\no=- 7 {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m=audio 41000 RTP/AVP 0\r\na={direction}\r\na=label:1\r\n"
    )
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>\r\n<recording xmlns="urn:ietf:params:xml:ns:recording:1">'
        f'<session session_id="{ID}"><x xmlns="urn:pad">{"y" * padding}</x></session></recording>'
    )
    text = (
        f"--b\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--b\r\n"
        "Content-Type: application/rs-metadata+xml\r\nContent-Disposition: recording-session\r\n\r\n"
        f"{xml}\r\n--b--\r\n"
    )
    return SipBody("multipart/mixed;boundary=b", text.encode())


async def dial(station: Station, srs: Srs, **more: Any) -> ClientDialog:
    return await open_dialog(station.endpoint, srs.uri, contact_parameters="+sip.src", **more)


SIPREC = [("Require", "siprec"), ("X-Test", "one, two")]


@BOTH
async def test_a_body_of_many_parts_goes_there_and_the_dialog_lives(
    stations: Stations, transport: str
) -> None:
    station = await stations()
    seen: list[SipRequest] = []

    def on_request(request: SipRequest) -> SipReply | None:
        seen.append(request)
        if request.method != "INVITE":
            return None
        return SipReply(200, headers=(("Require", "siprec"),), body=SipBody("application/sdp", b"v=0\r\n"))

    async with Srs(transport) as srs:
        srs.script.append(lambda session: setattr(session, "multipart", True))
        dialog = await dial(station, srs, on_request=on_request, user="src")
        provisional: list[SipResponse] = []
        response = await dialog.request(
            "INVITE", headers=SIPREC, body=two_parts(padding=20000), on_provisional=provisional.append
        )
        assert (response.status, response.content_type) == (200, "multipart/mixed;boundary=answer")
        assert b"a=recvonly" in response.body
        session = await srs.session()
        assert dialog.established
        assert session.call_id == dialog.call_id
        assert b"y" * 20000 in session.snapshots[0]
        invite = srs.invites[0]
        assert invite.get("x-test") == "one, two"
        assert invite.get("user-agent") == "test/1"
        response = await dialog.request("INVITE", headers=SIPREC, body=two_parts(2, "inactive"))
        assert response.ok
        await session.until(lambda: sum(m.method == "ACK" for m in session.requests) == 2, "the second ACK")
        response = await dialog.request("UPDATE", body=two_parts(3))
        assert response.ok
        answer = await session.reinvite("inactive")
        assert (answer.status, answer.body, answer.get("require")) == (200, b"v=0\r\n", "siprec")
        assert "+sip.src" in answer.get("contact")
        assert (await session.ask("INFO")).status == 405
        assert (await session.ask("OPTIONS")).status == 200
        assert [request.method for request in seen] == ["INVITE", "INFO", "OPTIONS"]
        ended = await dialog.end(body=SipBody("text/plain", b"bye"))
        assert ended is not None
        assert ended.status == 200
        assert session.over
        assert session.requests[-1].body == b"bye"
        assert dialog.over
        assert (await dialog.request("INFO")).status == 481
        assert srs.faults == []


@BOTH
async def test_the_peer_hangs_up(stations: Stations, transport: str) -> None:
    station = await stations()
    seen: list[str] = []
    async with Srs(transport) as srs:
        dialog = await dial(station, srs, on_request=lambda request: seen.append(request.method))
        await dialog.request("INVITE", headers=SIPREC, body=two_parts())
        session = await srs.session()
        assert (await session.ask("BYE")).status == 200
        assert seen == ["BYE"]
        assert not dialog.established
        assert await dialog.end() is None


async def test_a_refusal_is_told_with_its_headers(stations: Stations) -> None:
    station = await stations()
    async with Srs() as srs:
        srs.script.append((503, ["Retry-After: 7"]))
        dialog = await dial(station, srs)
        response = await dialog.request("INVITE", headers=SIPREC, body=two_parts())
        assert (response.status, response.header("retry-after"), response.answered) == (503, "7", True)
        dialog.close()


async def test_a_challenge_is_answered_once(stations: Stations) -> None:
    station = await stations()
    async with Srs() as srs:
        srs.digest = ("src", "secret")
        dialog = await dial(station, srs, username="src", password="secret")
        assert (await dialog.request("INVITE", headers=SIPREC, body=two_parts())).ok
        await srs.session()
        assert 'uri="sip:srs@127.0.0.1' in srs.invites[-1].get("authorization")
        await dialog.end()
        stranger = await dial(station, srs, username="else", password="x")
        assert (await stranger.request("INVITE", headers=SIPREC, body=two_parts())).status == 403
        stranger.close()
        nobody = await dial(station, srs)
        assert (await nobody.request("INVITE", headers=SIPREC, body=two_parts())).status == 401
        nobody.close()


@BOTH
async def test_who_says_nothing_is_given_up_in_our_own_time(stations: Stations, transport: str) -> None:
    station = await stations()
    async with Srs(transport) as srs:
        srs.script.append(None)  # 100, then nothing
        dialog = await dial(station, srs)
        response = await dialog.request("INVITE", headers=SIPREC, body=two_parts(), timeout=0.1)
        assert (response.status, response.answered) == (408, False)
        dialog.close()
        assert dialog.over
        srs.deaf = True  # not even 100
        dialog = await dial(station, srs)
        response = await dialog.request("INVITE", headers=SIPREC, body=two_parts(), timeout=0.1)
        assert response.status == 408
        await dialog.end()


async def test_a_late_200_is_ended(stations: Stations) -> None:
    station = await stations()
    async with Srs() as srs:
        held: list[asyncio.Event] = [asyncio.Event()]
        accept = srs._accept

        async def late(session: object, message: object) -> None:
            await held[0].wait()
            await accept(session, message)  # type: ignore[arg-type]

        srs._accept = late  # type: ignore[method-assign,assignment]
        dialog = await dial(station, srs)
        response = await dialog.request("INVITE", headers=SIPREC, body=two_parts(), timeout=0.05)
        assert response.status == 408
        dialog.close()
        held[0].set()
        session = await srs.session()
        await session.until(lambda: session.over, "BYE")


async def test_nobody_there_is_told_at_once(stations: Stations) -> None:
    station = await stations()
    async with Srs() as srs:
        gone = srs.uri
    dialog = await open_dialog(station.endpoint, gone)
    response = await dialog.request("INVITE", body=two_parts())
    assert (response.status, response.answered) == (503, False)
    dialog.close()


async def test_what_cannot_be_sent_is_refused_by_name(stations: Stations) -> None:
    station = await stations("udp://127.0.0.1:0")
    with pytest.raises(SignallingError, match="tcp"):
        await open_dialog(station.endpoint, "sip:srs@127.0.0.1;transport=tcp")
    with pytest.raises(SignallingError, match="is not a SIP URI"):
        await open_dialog(station.endpoint, "http://x")
    dialog = await open_dialog(station.endpoint, "sip:srs@127.0.0.1")
    with pytest.raises(SignallingError, match="Via"):
        await dialog.request("OPTIONS", headers=[("Via", "x")])
    with pytest.raises(SignallingError, match="content type"):
        await dialog.request("OPTIONS", body=SipBody("nonsense", b""))
    dialog.close()


async def test_the_endpoint_may_close_before_its_dialogs(stations: Stations) -> None:
    station = await stations()
    async with Srs() as srs:
        srs.script.append(None)
        dialog = await dial(station, srs)
        asked = asyncio.ensure_future(dialog.request("INVITE", headers=SIPREC, body=two_parts()))
        await srs.until(lambda: srs.invites, "the INVITE")
        await station.endpoint.close()
        assert (await asked).status == 503
        assert dialog.over


async def test_a_dialog_over_tls(stations: Stations, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = TlsSettings(certificate=authority.issue("127.0.0.1"), ca_file=authority.file)
    station, peer = await stations("tls://127.0.0.1:0", tls=tls), await stations("tls://127.0.0.1:0", tls=tls)
    host, port = peer.address("tls")
    for uri in (peer.uri(transport="tls"), f"sips:bob@{host}:{port}"):
        dialog = await open_dialog(station.endpoint, uri)
        inviting = asyncio.create_task(dialog.request("INVITE", body=SipBody("application/sdp", OFFER)))
        leg, seen = await peer.call()
        contact = dict(leg.headers)["Contact"]
        assert contact.startswith("<sips:") if uri.startswith("sips:") else "transport=tls" in contact
        assert leg.offer is not None
        leg.answer(answer_to(leg.offer))
        assert (await inviting).status == 200
        await seen.first(Confirmed)
        await dialog.end()
        assert (await seen.first(Ended)).by == "remote"
    assert station.endpoint.counters()["tls_connections"] == 1
    unknown = await stations("tls://127.0.0.1:0", tls=replace(tls, ca_file=None))
    dialog = await open_dialog(unknown.endpoint, peer.uri(transport="tls"))
    assert (await dialog.request("OPTIONS")).status == 503, "the peer's authority is not known"
    dialog.close()
