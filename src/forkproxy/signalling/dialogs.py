"""Dialogs that somebody other than a call begins: with a recorder, say, which is sent bodies of several
parts.

A `ClientDialog` sends any request and has the peer's own answered. Offer and answer, session timers and what
the bodies mean are its user's; transactions, retransmissions, routes, digest and ACK are PJSIP's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forkproxy.errors import EngineError, SignallingError
from forkproxy.message import SipBody, SipReply, SipRequest, SipResponse, take_apart
from forkproxy.signalling import _dialogs, uris

if TYPE_CHECKING:
    from forkproxy.signalling.endpoint import SipEndpoint

log = logging.getLogger(__name__)

OnRequest = Callable[[SipRequest], SipReply | None]
OnProvisional = Callable[[SipResponse], None]
OURS = frozenset({"require", "accept", "allow", "supported", "session-expires", "min-se"})
"""Headers that a call's INVITE gets from the stack, and such a dialog's requests from its user."""


@dataclass(slots=True)
class Pending:
    """A request of ours that waits for its final response."""

    method: str
    response: asyncio.Future[SipResponse]
    on_provisional: OnProvisional | None


class ClientDialog:
    """One dialog. Its methods may be called at any time; once it is over, requests get 481."""

    def __init__(self, endpoint: SipEndpoint, uri: str, on_request: OnRequest | None) -> None:
        self.uri = uri
        self.call_id = ""
        self.local_host = ""
        """Our address as the peer must see it."""
        self.peer_host = ""
        """The peer's address."""
        self.media_host = ""
        """What the peer is told for RTP; whoever knows sets it."""
        self._endpoint = endpoint
        self._on_request = on_request
        self._core: _dialogs.Dialog | None = None
        self._pending: dict[int, Pending] = {}
        self._given_up: set[int] = set()
        self._closing = False
        self._established = False

    def opened(self, core: _dialogs.Dialog) -> None:
        """PJSIP's side of it is there; not for others."""
        self._core = core
        self.call_id = core.call_id
        self.local_host = core.local_host.decode()

    @property
    def over(self) -> bool:
        """Whether nothing more is sent or heard."""
        return self._core is None or self._core.over or self._closing

    @property
    def established(self) -> bool:
        """Whether an INVITE has been accepted, and nobody has said BYE."""
        return self._established and not self.over

    async def request(
        self,
        method: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: SipBody | None = None,
        timeout: float | None = None,
        on_provisional: OnProvisional | None = None,
    ) -> SipResponse:
        """Send a request and wait for its final response; an accepted INVITE has been acknowledged then.

        Args:
            timeout: seconds after which it counts as failed (408) and an INVITE is cancelled; None: only
            SIP's
                own timers, 32 seconds.

        Raises:
            SignallingError: a header or the body's type cannot be sent, or PJSIP refused.
        """
        if self._core is None or self.over:
            return SipResponse((), b"", 481, "the dialog is over", answered=False)
        more, kind, subkind = _headers(headers), *_type(body)
        data = None if body is None else body.data
        number = self._core.request(method.encode("ascii"), more, kind, subkind, data)
        waiting = Pending(method, asyncio.get_running_loop().create_future(), on_provisional)
        self._pending[number] = waiting
        self._endpoint.soon()
        try:
            async with asyncio.timeout(timeout):
                return await waiting.response
        except TimeoutError:
            text = f"no final response within {timeout:g} s"
            return SipResponse((), b"", 408, text, answered=False)
        finally:
            if self._pending.pop(number, None) is not None and method == "INVITE":
                self._give_up(number)

    async def end(
        self, *, headers: Sequence[tuple[str, str]] = (), body: SipBody | None = None, timeout: float = 4.0
    ) -> SipResponse | None:
        """Say BYE if there is something to end, and let go; None: there was not."""
        try:
            if self.established:
                self._established = False
                return await self.request("BYE", headers=headers, body=body, timeout=timeout)
            return None
        finally:
            self.close()

    def close(self) -> None:
        """Let go without a message. An INVITE that is still being cancelled is seen to its end."""
        self._closing = True
        self._on_request = None
        if self._core is not None and not self._given_up:
            self._core.close()

    def _give_up(self, number: int) -> None:
        assert self._core is not None
        self._given_up.add(number)
        self._core.cancel(number)
        self._endpoint.soon()

    # -- what the endpoint reports --------------------------------------------------------------------------

    def happened(self, kind: int, status: int, reason: str, detail: tuple[int, bytes]) -> None:
        """Not for others."""
        number, message = detail
        if kind == _dialogs.EVENT_REQUEST:
            self._asked(number, reason, message)
            return
        if status >= 200 and number in self._given_up:
            self._given_up.discard(number)
            self._late(status)
            return
        pending = self._pending.get(number)
        if pending is None:
            return
        _, headers, body = take_apart(message)
        response = SipResponse(headers, body, status, reason, answered=bool(message))
        if status < 200:
            if pending.on_provisional is not None:
                pending.on_provisional(response)
            return
        del self._pending[number]
        if pending.method == "INVITE" and response.ok:
            self._established = True
        if pending.method == "BYE" or (response.answered and status in (408, 481) and self._established):
            self._established = False
        if not pending.response.done():
            pending.response.set_result(response)

    def _late(self, status: int) -> None:
        """An INVITE that was given up has its final response: what was accepted all the same is ended."""
        assert self._core is not None
        if 200 <= status < 300 and not self._core.over:
            self._core.request(b"BYE", [], None, None, None)
        if self._closing and not self._given_up:
            self._core.close()
        self._endpoint.soon()

    def _asked(self, number: int, method: str, message: bytes) -> None:
        assert self._core is not None
        _, headers, body = take_apart(message)
        request = SipRequest(headers, body, method)
        if method == "BYE":
            self._established = False
        reply: SipReply | None = None
        try:
            if self._on_request is not None:
                reply = self._on_request(request)
            reply = reply or _usual(method)
            more, kind, subkind = _headers(reply.headers), *_type(reply.body)
        except Exception:
            log.exception("%s of %s cannot be answered", method, self.uri)
            reply, more, kind, subkind = SipReply(500), [], None, None
        phrase = uris.reason_phrase(reply.reason)
        data = None if reply.body is None else reply.body.data
        self._core.respond(number, reply.status, phrase, more, kind, subkind, data)
        self._endpoint.soon()


def _usual(method: str) -> SipReply:
    """The answer where the user has none."""
    if method in ("BYE", "OPTIONS", "CANCEL"):
        return SipReply(200)
    return SipReply(488 if method in ("INVITE", "UPDATE") else 405, headers=(("Allow", "BYE, OPTIONS"),))


def _headers(pairs: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [uris.header(name, value, also=OURS) for name, value in pairs]


def _type(body: SipBody | None) -> tuple[bytes | None, bytes | None]:
    if body is None:
        return None, None
    kind, slash, subkind = body.content_type.partition("/")
    if not slash or not kind.isascii() or not body.content_type.isprintable():
        raise SignallingError(f"{body.content_type!r} is no content type")
    return kind.strip().encode(), subkind.strip().encode()


async def open_dialog(
    endpoint: SipEndpoint,
    uri: str,
    *,
    user: str = "",
    display: str = "",
    contact_parameters: str = "",
    username: str | None = None,
    password: str | None = None,
    on_request: OnRequest | None = None,
) -> ClientDialog:
    """A dialog towards `uri`; nothing is sent yet.

    Args:
        uri: whom; ``;transport=tcp`` chooses the transport (else UDP).
        user, display: what From says before and beside our address.
        contact_parameters: behind the address in Contact, such as ``+sip.src``.
        username, password: answer 401 and 407 with these.
        on_request: answers the peer's requests in the dialog; None, or its None: BYE and OPTIONS get 200,
        offers
            488, others 405.

    Raises:
        SignallingError: the URI cannot be dialled from here, or its host has no address.
    """
    target = uris.parse_uri(uri)
    found = await endpoint.locate(target)
    destination = next((each for each in found if endpoint.listener_for(each) is not None), None)
    home = None if destination is None else endpoint.listener_for(destination)
    if destination is None or home is None:
        why = f"no listener reaches {found[0]}" if found else f"{target.host} has no address"
        raise SignallingError(f"{uri!r}: {why}")
    host, port = endpoint.own.host(home.url, destination.host), endpoint.own.port(home.url)
    at = f"{user + '@' if user else ''}{f'[{host}]' if ':' in host else host}"
    if target.text.lower().startswith("sips:"):  # then so is Contact (RFC 3261 8.1.1.8)
        contact = f"<sips:{at}:{port}>"
    else:
        transport = "" if destination.transport == "udp" else f";transport={destination.transport}"
        contact = f"<sip:{at}:{port}{transport}>"
    if contact_parameters:
        contact += f";{contact_parameters}"
    local = uris.name_addr(display, f"sip:{at}")
    remote = uris.name_addr("", uris.without_parameters(target))
    dialog = ClientDialog(endpoint, target.text, on_request)
    try:
        core = _dialogs.open_dialog(
            endpoint.agent, home.home, target.text.encode(), local, remote, contact.encode(), host.encode(),
            port,
            None if username is None else username.encode(),
            None if password is None else password.encode(),
            dialog, destination.host, destination.port, target.host.encode(),
        )  # fmt: skip
    except EngineError as error:
        raise SignallingError(str(error)) from error
    dialog.opened(core)
    dialog.peer_host = destination.host
    return dialog
