"""A SIP phone in Python that does exactly what a test says: for what baresip and SIPp cannot be told to do.

It is not a stack: no retransmission of its own, no digest, one dialog a call. Loopback loses nothing.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.rtp import RtpParty

CRLF = b"\r\n"
_LENGTH = re.compile(rb"^(?:Content-Length|l)[ \t]*:[ \t]*(\d+)", re.IGNORECASE | re.MULTILINE)
_COMPACT = {
    "i": "call-id",
    "m": "contact",
    "f": "from",
    "t": "to",
    "v": "via",
    "c": "content-type",
    "l": "content-length",
}


@dataclass(frozen=True)
class Message:
    """A SIP request or response as it stood on the wire."""

    start: str
    headers: tuple[tuple[str, str], ...]
    """In order, names in lower case and in the long form."""
    body: bytes

    @property
    def status(self) -> int:
        """The status of a response; 0 for a request."""
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def reason(self) -> str:
        return self.start.split(" ", 2)[2] if self.status else ""

    @property
    def method(self) -> str:
        """The method of a request, or of the request that a response answers."""
        return self.get("cseq").split()[1] if self.status else self.start.split()[0]

    @property
    def request_uri(self) -> str:
        return self.start.split()[1]

    def get(self, name: str) -> str:
        """The first header of that name; empty where there is none."""
        return next((value for key, value in self.headers if key == name), "")

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


def parse(data: bytes) -> Message:
    """One whole message."""
    head, _, body = data.partition(CRLF + CRLF)
    start, *lines = re.sub(r"\r\n[ \t]+", " ", head.decode("utf-8", "replace")).split("\r\n")
    headers = []
    for line in lines:
        name, _, value = line.partition(":")
        key = name.strip().lower()
        headers.append((_COMPACT.get(key, key), value.strip()))
    return Message(start, tuple(headers), body)


def audio_sdp(host: str, port: int, payload_types: Sequence[int] = (0, 101), *, extra: str = "") -> bytes:
    """A session description with one audio line."""
    names = {0: "PCMU/8000", 8: "PCMA/8000", 101: "telephone-event/8000"}
    lines = [
        "v=0",
        f"o=test {secrets.randbits(31)} 1 IN IP4 {host}",
        "s=-",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=audio {port} RTP/AVP {' '.join(map(str, payload_types))}",
        *(f"a=rtpmap:{number} {names[number]}" for number in payload_types),
        "a=ptime:20",
        "a=sendrecv",
    ]
    return ("\r\n".join(lines) + "\r\n" + extra).encode()


def audio_address(sdp: bytes) -> tuple[str, int]:
    """Where the first audio line of `sdp` wants RTP."""
    text = sdp.decode()
    port = re.search(r"^m=audio (\d+)", text, re.MULTILINE)
    media = text[port.start() :] if port else ""
    host = re.search(r"^c=IN IP[46] (\S+)", media, re.MULTILINE) or re.search(
        r"^c=IN IP[46] (\S+)", text, re.MULTILINE
    )
    assert port, f"no audio in this session description:\n{text}"
    assert host, f"no address in this session description:\n{text}"
    return host[1], int(port[1])


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, phone: Phone) -> None:
        self.phone = phone

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data.strip():
            self.phone._on_message(parse(data), addr)


@dataclass
class _Connection:
    """A TCP connection and the address of its far end."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    address: tuple[str, int]


class Call:
    """One dialog of a `Phone`: as caller made by `Phone.call`, as callee taken from `Phone.incoming`."""

    def __init__(self, phone: Phone, *, caller: bool, call_id: str, peer: tuple[str, int]) -> None:
        self.phone = phone
        self.caller = caller
        self.call_id = call_id
        self.peer = peer
        self.tag = secrets.token_hex(6)
        self.local = ""
        self.remote = ""
        self.target = ""
        self.invite: Message | None = None
        """The INVITE that came (callee)."""
        self.cseq = 1
        self.branch = ""
        self.responses: list[Message] = []
        """Responses to the INVITE, in order."""
        self.requests: list[Message] = []
        """What the peer sent within the dialog: ACK, BYE, CANCEL, ..."""
        self.changed = asyncio.Event()
        self.rtp: RtpParty | None = None

    # What has happened.

    async def _until(self, what: str, timeout: float, found: object = None) -> None:
        self.changed.clear()
        try:
            await asyncio.wait_for(self.changed.wait(), timeout)
        except TimeoutError:
            seen = [m.start for m in (*self.responses, *self.requests)]
            raise AssertionError(f"{what} did not come in {timeout:g} s; so far: {seen}") from None

    async def response(self, at_least: int = 101, *, timeout: float = 10) -> Message:
        """The first response to the INVITE with a status of `at_least`."""
        while not (found := next((m for m in self.responses if m.status >= at_least), None)):
            await self._until(f"a response >= {at_least}", timeout)
        return found

    async def request(self, method: str, *, timeout: float = 10) -> Message:
        """The first request of that method from the peer, within this dialog."""
        while not (found := next((m for m in self.requests if m.method == method), None)):
            await self._until(method, timeout)
        return found

    @property
    def over(self) -> bool:
        """The peer hung up or cancelled."""
        return any(m.method in ("BYE", "CANCEL") for m in self.requests)

    # What to do, as the caller.

    async def answered(self, *, timeout: float = 10) -> Message:
        """Wait for the 200, acknowledge it and send RTP to where it says."""
        final = await self.response(200, timeout=timeout)
        assert final.status == 200, f"the call was not answered: {final.start}"
        if self.rtp is not None and final.body:
            self.rtp.remote = audio_address(final.body)
        self.acknowledge(final)
        return final

    def acknowledge(self, final: Message, sdp: bytes = b"") -> None:
        """The ACK of a 2xx (a transaction of its own; `sdp` when the 200 carried the offer)."""
        self.remote = final.get("to")
        contact = re.search(r"<([^>]+)>", final.get("contact"))
        self.target = contact[1] if contact else self.target
        self._request("ACK", sdp=sdp, cseq=1)

    def cancel(self) -> None:
        """CANCEL the INVITE: same branch, same sequence number."""
        self._request("CANCEL", cseq=1, branch=self.branch)

    # What to do, as the callee.

    def respond(self, status: int, reason: str, *, sdp: bytes = b"", headers: Sequence[str] = ()) -> None:
        """Answer the INVITE; a status over 100 opens the dialog."""
        assert self.invite is not None
        self.phone._respond(self.invite, status, reason, self.peer, tag=self.tag, sdp=sdp, headers=headers)

    async def accept(self, *, timeout: float = 10) -> None:
        """200 with our audio, then wait for the ACK; RTP goes to where the offer said."""
        await self.prepare()
        assert self.rtp is not None
        self.respond(200, "OK", sdp=audio_sdp(self.rtp.host, self.rtp.port))
        await self.request("ACK", timeout=timeout)

    async def prepare(self) -> RtpParty:
        """Open our RTP and read the offer, without answering yet."""
        assert self.invite is not None
        if self.rtp is None:
            self.rtp = await self.phone._party()
            if self.invite.body:
                self.rtp.remote = audio_address(self.invite.body)
        return self.rtp

    # What both do.

    async def reinvite(self, sdp: bytes = b"", *, timeout: float = 10, acknowledge: bool = True) -> Message:
        """Re-INVITE with `sdp`; its final response, acknowledged."""
        return await self.change("INVITE", sdp, timeout=timeout, acknowledge=acknowledge)

    async def change(
        self, method: str, sdp: bytes = b"", *, timeout: float = 10, acknowledge: bool = True,
        headers: Sequence[str] = (),
    ) -> Message:  # fmt: skip
        """A request within the dialog; its final response."""
        cseq = self.send_in_dialog(method, sdp, headers=headers)
        final = await self.response_to(cseq, method, timeout=timeout)
        if method == "INVITE" and acknowledge and final.status < 300:
            self._request("ACK", cseq=cseq)
        return final

    def send_in_dialog(
        self, method: str, sdp: bytes = b"", *, headers: Sequence[str] = (),
        content_type: str = "application/sdp",
    ) -> int:  # fmt: skip
        """Send a request within the dialog; its sequence number."""
        self.cseq += 1
        self._request(method, cseq=self.cseq, sdp=sdp, headers=headers, content_type=content_type)
        return self.cseq

    async def response_to(self, cseq: int, method: str, *, timeout: float = 10) -> Message:
        """The final response to one of our requests."""
        wanted = f"{cseq} {method}"
        while not (
            found := next((m for m in self.responses if m.status >= 200 and m.get("cseq") == wanted), None)
        ):
            await self._until(f"a final response to {wanted}", timeout)
        return found

    async def nth(self, method: str, number: int, *, timeout: float = 10) -> Message:
        """The nth different request of that method from the peer, not counting the call's own INVITE."""
        while True:
            different = {m.get("cseq"): m for m in reversed(self.requests) if m.method == method}
            if len(different) >= number:
                return list(reversed(different.values()))[number - 1]
            await self._until(f"{method} number {number}", timeout)

    def reply(
        self, request: Message, status: int, reason: str, *, sdp: bytes = b"", headers: Sequence[str] = ()
    ) -> None:
        """Answer a request that came within the dialog."""
        self.phone._respond(request, status, reason, self.peer, sdp=sdp, headers=headers)

    async def hang_up(self, *, timeout: float = 10) -> None:
        """BYE and wait for its 200."""
        self.cseq += 1
        self._request("BYE", cseq=self.cseq)
        while not any(m.method == "BYE" and m.status == 200 for m in self.responses):
            await self._until("200 to BYE", timeout)

    def _request(
        self, method: str, *, cseq: int, sdp: bytes = b"", branch: str = "", headers: Sequence[str] = (),
        content_type: str = "application/sdp",
    ) -> None:  # fmt: skip
        branch = branch or "z9hG4bK" + secrets.token_hex(8)
        self.phone._send_request(
            method, self.target, self.peer, branch=branch, from_=self.local, to=self.remote,
            call_id=self.call_id, cseq=cseq, sdp=sdp, headers=headers, content_type=content_type,
        )  # fmt: skip


class Phone:
    """A phone on loopback that takes and places calls over UDP or TCP; an async context manager."""

    def __init__(self, user: str = "test", transport: str = "udp") -> None:
        self.user = user
        self.transport = transport
        self.host = "127.0.0.1"
        self.port = 0
        self.incoming: asyncio.Queue[Call] = asyncio.Queue()
        self.other: list[Message] = []
        """Responses and requests outside any call."""
        self.sent: list[Message] = []
        """The requests that it sent."""
        self.max_forwards = 70
        """What they say."""
        self.obeys_cancels = True
        """Whether a CANCEL ends its call with 487; else a test answers the INVITE."""
        self.arrived = asyncio.Event()
        self._calls: dict[str, Call] = {}
        self._udp: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self._connections: list[_Connection] = []
        self._readers: set[asyncio.Task[None]] = set()
        self._parties: list[RtpParty] = []

    @property
    def uri(self) -> str:
        """What to dial to reach this phone."""
        tail = ";transport=tcp" if self.transport == "tcp" else ""
        return f"sip:{self.user}@{self.host}:{self.port}{tail}"

    async def __aenter__(self) -> Phone:
        loop = asyncio.get_running_loop()
        if self.transport == "udp":
            self._udp, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self), local_addr=(self.host, 0)
            )
            self.port = self._udp.get_extra_info("sockname")[1]
        else:
            self._server = await asyncio.start_server(self._accepted, self.host, 0)
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for party in self._parties:
            await party.close()
        for connection in self._connections:
            connection.writer.close()
        for reader in self._readers:
            reader.cancel()
        if self._readers:
            await asyncio.wait(self._readers)
        if self._udp is not None:
            self._udp.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        await asyncio.sleep(0)

    # Calls.

    async def call(
        self,
        uri: str,
        proxy: tuple[str, int],
        *,
        sdp: bytes | None = None,
        headers: Sequence[str] = (),
        content_type: str = "application/sdp",
    ) -> Call:
        """Send an INVITE for `uri` to `proxy`. `sdp` None: an offer with our own RTP; empty: no offer."""
        if self.transport == "tcp":
            await self._connection(proxy)
        call = Call(self, caller=True, call_id=secrets.token_hex(8), peer=proxy)
        call.local = f"<sip:{self.user}@{self.host}:{self.port}>;tag={call.tag}"
        call.remote = f"<{uri}>"
        call.target = uri
        call.branch = "z9hG4bK" + secrets.token_hex(8)
        if sdp is None:
            call.rtp = await self._party()
            sdp = audio_sdp(call.rtp.host, call.rtp.port)
        self._calls[call.call_id] = call
        self._send_request(
            "INVITE", uri, proxy, branch=call.branch, from_=call.local, to=call.remote, call_id=call.call_id,
            cseq=1, sdp=sdp, headers=headers, content_type=content_type,
        )  # fmt: skip
        return call

    async def options(self, uri: str, proxy: tuple[str, int], *, timeout: float = 5) -> Message:
        """Send OPTIONS and wait for the answer: is anybody there?"""
        if self.transport == "tcp":
            await self._connection(proxy)
        call_id = secrets.token_hex(8)
        self._send_request(
            "OPTIONS", uri, proxy, branch="z9hG4bK" + secrets.token_hex(8), cseq=1, call_id=call_id,
            from_=f"<sip:{self.user}@{self.host}:{self.port}>;tag={secrets.token_hex(4)}", to=f"<{uri}>",
        )  # fmt: skip
        while True:
            for message in self.other:
                if message.get("call-id") == call_id and message.status >= 200:
                    return message
            self.arrived.clear()
            await asyncio.wait_for(self.arrived.wait(), timeout)

    async def _party(self) -> RtpParty:
        party = await RtpParty.open()
        self._parties.append(party)
        return party

    # The wire.

    def _contact(self) -> str:
        return f"<{self.uri}>"

    def _send_request(
        self,
        method: str,
        uri: str,
        peer: tuple[str, int],
        *,
        branch: str,
        from_: str,
        to: str,
        call_id: str,
        cseq: int,
        sdp: bytes = b"",
        headers: Sequence[str] = (),
        content_type: str = "application/sdp",
    ) -> None:
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/{self.transport.upper()} {self.host}:{self.port};branch={branch};rport",
            f"Max-Forwards: {self.max_forwards}",
            f"From: {from_}",
            f"To: {to}",
            f"Call-ID: {call_id}",
            f"CSeq: {cseq} {method}",
            f"Contact: {self._contact()}",
            *headers,
            *([f"Content-Type: {content_type}"] if sdp else []),
            f"Content-Length: {len(sdp)}",
        ]
        data = "\r\n".join(lines).encode() + CRLF + CRLF + sdp
        self.sent.append(parse(data))
        self.send(data, peer)

    def _respond(
        self,
        request: Message,
        status: int,
        reason: str,
        peer: tuple[str, int],
        *,
        tag: str = "",
        sdp: bytes = b"",
        headers: Sequence[str] = (),
    ) -> None:
        to = request.get("to")
        if tag and ";tag=" not in to:
            to += f";tag={tag}"
        lines = [
            f"SIP/2.0 {status} {reason}",
            *(f"Via: {via}" for via in request.all("via")),
            *(f"Record-Route: {route}" for route in request.all("record-route")),
            f"From: {request.get('from')}",
            f"To: {to}",
            f"Call-ID: {request.get('call-id')}",
            f"CSeq: {request.get('cseq')}",
            *([f"Contact: {self._contact()}"] if request.method == "INVITE" else []),
            *headers,
            *(["Content-Type: application/sdp"] if sdp else []),
            f"Content-Length: {len(sdp)}",
        ]
        self.send("\r\n".join(lines).encode() + CRLF + CRLF + sdp, peer)

    def send(self, data: bytes, peer: tuple[str, int]) -> None:
        """Put these bytes on the wire, whatever they are."""
        if self._udp is not None:
            self._udp.sendto(data, peer)
            return
        connection = next(
            (c for c in self._connections if c.address == peer and not c.writer.is_closing()), None
        )
        if connection is not None:  # a peer that hung up gets nothing: what is missing, the test says itself
            connection.writer.write(data)

    async def _connection(self, peer: tuple[str, int]) -> None:
        if any(c.address == peer and not c.writer.is_closing() for c in self._connections):
            return
        reader, writer = await asyncio.open_connection(*peer)
        self._read(_Connection(reader, writer, peer))

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._read(_Connection(reader, writer, writer.get_extra_info("peername")[:2]))

    def _read(self, connection: _Connection) -> None:
        self._connections.append(connection)
        self._readers.add(asyncio.create_task(self._read_messages(connection)))

    async def _read_messages(self, connection: _Connection) -> None:
        while True:
            try:
                head = await connection.reader.readuntil(CRLF + CRLF)
                if not head.strip():
                    continue  # a keep-alive (RFC 5626)
                length = _LENGTH.search(head)
                body = await connection.reader.readexactly(int(length[1]) if length else 0)
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            self._on_message(parse(head.lstrip() + body), connection.address)

    def _on_message(self, message: Message, peer: tuple[str, int]) -> None:
        call = self._calls.get(message.get("call-id"))
        if call is None and message.start.startswith("INVITE "):
            call = Call(self, caller=False, call_id=message.get("call-id"), peer=peer)
            call.invite = message
            call.local = f"{message.get('to')};tag={call.tag}"
            call.remote = message.get("from")
            contact = re.search(r"<([^>]+)>", message.get("contact"))
            call.target = contact[1] if contact else ""
            self._calls[call.call_id] = call
            self.incoming.put_nowait(call)
            return
        if call is None:
            self.other.append(message)
            self.arrived.set()
            return
        if message.status:
            call.responses.append(message)
            if message.status >= 300 and message.method == "INVITE":
                # the ACK of a failure belongs to the INVITE's transaction: same branch
                call.remote = message.get("to")
                branch = re.search(r"branch=([^;]+)", message.get("via"))
                cseq = int(message.get("cseq").split()[0])
                call._request("ACK", cseq=cseq, branch=branch[1] if branch else "")
        elif not (
            message.method == "INVITE"
            and call.invite is not None
            and message.get("cseq") == call.invite.get("cseq")
        ):  # a retransmission says nothing new
            call.requests.append(message)
            if message.method in ("BYE", "CANCEL"):
                self._respond(message, 200, "OK", peer, tag=call.tag)
            first = "" if call.invite is None else call.invite.get("cseq").split()[0]
            if self.obeys_cancels and message.method == "CANCEL" and message.get("cseq").split()[0] == first:
                call.respond(487, "Request Terminated")
        call.changed.set()
