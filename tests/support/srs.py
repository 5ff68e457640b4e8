"""A session recording server of the tests' own (RFC 7866): strict, scripted, on loopback.

It takes nothing on trust: each INVITE, update and BYE is checked against the rules of the RFCs, written down
here once more and not taken from the plugin; what breaks one is refused with its name, and kept in `faults`.
What it answers is the script's business: `srs.script.append(...)` for the next INVITEs,
`session.reinvite(...)` and so on for what a recorder does by itself.
"""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lxml import etree

from tests.support.sip import Message, parse

NAMESPACE = "urn:ietf:params:xml:ns:recording:1"
SCHEMA = Path(__file__).parents[2] / "plugins/forkproxy-siprec/src/forkproxy_siprec/schema/rfc7865.xsd"
_LENGTH = re.compile(rb"^(?:Content-Length|l)[ \t]*:[ \t]*(\d+)", re.IGNORECASE | re.MULTILINE)


def schema() -> etree.XMLSchema:
    """Of RFC 7865, section 9."""
    text = SCHEMA.read_bytes().replace(b"https://www.w3.org/2001/xml.xsd", b"xml.xsd")  # no network here
    return etree.XMLSchema(etree.fromstring(text, base_url=str(SCHEMA)))


def parts(content_type: str, body: bytes) -> list[tuple[str, str, bytes]]:
    """The parts of a body: content type, disposition, octets."""
    if not content_type.lower().startswith("multipart/"):
        return [(content_type, "", body)] if body else []
    match = re.search(r'boundary="?([^";]+)"?', content_type)
    assert match, f"no boundary in {content_type}"
    boundary = b"--" + match[1].encode()
    pieces = body.split(boundary)
    assert pieces[-1].startswith(b"--"), "the last boundary is missing"
    found = []
    for piece in pieces[1:-1]:
        head, blank, data = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        assert blank, "a part without a blank line"
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head.decode().split("\r\n"))
        }
        disposition = headers.get("content-disposition", "")
        found.append((headers.get("content-type", ""), disposition, data.removesuffix(b"\r\n")))
    return found


@dataclass
class Media:
    """One m-line of an offer."""

    port: int
    profile: str
    formats: list[int]
    host: str
    attributes: list[tuple[str, str]]

    def attribute(self, name: str) -> str | None:
        return next((value for key, value in self.attributes if key == name), None)

    @property
    def direction(self) -> str:
        for name, _ in self.attributes:
            if name in ("sendonly", "recvonly", "sendrecv", "inactive"):
                return name
        return "sendrecv"


def medias(sdp: bytes) -> list[Media]:
    """The m-lines of a session description."""
    found: list[Media] = []
    host = ""
    for line in sdp.decode().split("\r\n"):
        if line.startswith("m="):
            kind, port, profile, *formats = line[2:].split()
            assert kind == "audio"
            found.append(Media(int(port), profile, [int(each) for each in formats], host, []))
        elif line.startswith("c="):
            address = line.split()[-1]
            if found:
                found[-1].host = address
            else:
                host = address
        elif line.startswith("a=") and found:
            name, _, value = line[2:].partition(":")
            found[-1].attributes.append((name, value))
    return found


class Receiver(asyncio.DatagramProtocol):
    """A socket that keeps what comes, with its time."""

    def __init__(self) -> None:
        self.packets: list[tuple[float, bytes]] = []
        self.sources: set[tuple[str, int]] = set()
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.packets.append((time.monotonic(), data))
        self.sources.add(addr)

    @property
    def port(self) -> int:
        return int(self.transport.get_extra_info("sockname")[1])


@dataclass
class Session:
    """One recording session."""

    srs: Srs
    call_id: str
    local: str
    remote: str
    target: str
    send: Callable[[bytes], None]
    tag: str = field(default_factory=lambda: secrets.token_hex(6))
    cseq: int = 100
    direction: str = "recvonly"
    profile: str | None = None
    """What the answer says in place of the offer's."""
    rejected: frozenset[int] = frozenset()
    """Indices of the m-lines that are answered with port 0."""
    extra_lines: int = 0
    """More m-lines in the answer than were offered."""
    multipart: bool = False
    """The answer comes as one part of several."""
    rtp: dict[str, tuple[Receiver, Receiver]] = field(default_factory=dict)
    """By label: RTP and RTCP."""
    offers: list[bytes] = field(default_factory=list)
    snapshots: list[bytes] = field(default_factory=list)
    latest: bytes = b""
    """What they described last, in an offer or an answer."""
    requests: list[Message] = field(default_factory=list)
    responses: list[Message] = field(default_factory=list)
    over: bool = False
    silent: bool = False
    """From now on nothing is answered."""
    refuse_next: list[tuple[int, Sequence[str]]] = field(default_factory=list)
    """Status and headers for the next re-INVITEs or UPDATEs."""

    @property
    def metadata(self) -> Any:
        """The newest snapshot, as an lxml element."""
        return etree.fromstring(self.snapshots[-1])

    def texts(self, path: str) -> list[str]:
        """What an XPath finds in the newest snapshot (prefix r)."""
        found = self.metadata.xpath(path, namespaces={"r": NAMESPACE})
        return [each if isinstance(each, str) else each.text or "" for each in found]

    async def until(self, condition: Callable[[], object], what: str, timeout: float = 8) -> None:
        await self.srs.until(condition, what, timeout)

    async def snapshot(self, count: int) -> None:
        """Wait until so many snapshots have come."""
        await self.until(lambda: len(self.snapshots) >= count, f"snapshot {count}")

    def request(self, method: str, *, headers: Sequence[str] = (), body: bytes = b"", kind: str = "") -> None:
        """Send a request of our own; the response lands in `responses`."""
        self.cseq += 1
        branch = "z9hG4bK" + secrets.token_hex(8)
        lines = [
            f"{method} {self.target} SIP/2.0",
            f"Via: SIP/2.0/{self.srs.transport.upper()} 127.0.0.1:{self.srs.port};branch={branch}",
            "Max-Forwards: 70",
            f"From: {self.local}",
            f"To: {self.remote}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {self.cseq} {method}",
            *([f"Contact: <{self.srs.uri}>;+sip.srs"] if method in ("INVITE", "UPDATE") else []),
            *headers,
            *([f"Content-Type: {kind}"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def ask(self, method: str, **more: Any) -> Message:
        """`request`, and its final response; an INVITE is acknowledged."""
        self.request(method, **more)
        cseq = f"{self.cseq} {method}"

        def final() -> Message | None:
            return next((m for m in self.responses if m.get("cseq") == cseq and m.status >= 200), None)

        await self.until(final, f"an answer to {method}")
        response = final()
        assert response is not None
        if method == "INVITE":
            self.cseq -= 1
            self.request("ACK")
        return response

    async def reinvite(self, direction: str) -> Message:
        """Change the direction by ourselves (RFC 7866, figure 7)."""
        self.direction = direction
        return await self.ask("INVITE", body=self.answer(self.offers[-1]), kind="application/sdp")

    async def request_snapshot(self, method: str = "UPDATE") -> Message:
        """RFC 7866, figure 13."""
        xml = f'<?xml version="1.0" encoding="UTF-8"?>\r\n<requestsnapshot xmlns="{NAMESPACE}"/>\r\n'
        return await self.ask(
            method,
            headers=["Require: siprec", "Content-Disposition: recording-session"],
            body=xml.encode(),
            kind="application/rs-metadata+xml",
        )

    def answer(self, offer: bytes) -> bytes:
        """Our description, as the script wants it."""
        lines = ["v=0", "o=srs 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0"]
        for index, media in enumerate(medias(offer)):
            label = media.attribute("label") or str(index)
            port = 0 if index in self.rejected or media.port == 0 else self.rtp[label][0].port
            lines += [
                f"m=audio {port} {self.profile or media.profile} {media.formats[0]}",
                f"a=rtcp:{self.rtp[label][1].port}",
                f"a=label:{label}",
                f"a={'inactive' if media.direction == 'inactive' else self.direction}",
            ]
            crypto = media.attribute("crypto")
            if crypto and not self.profile:
                suite = crypto.split()[1]
                key = base64.b64encode(self.srs.key[:30]).decode()
                lines.append(f"a=crypto:{crypto.split()[0]} {suite} inline:{key}")
        for _ in range(self.extra_lines):
            lines += ["m=audio 40000 RTP/AVP 0", "a=sendonly"]
        return ("\r\n".join(lines) + "\r\n").encode()


Script = Callable[[Session], None] | tuple[int, Sequence[str]] | None
"""What is done with an INVITE: adjust the session before it is accepted, or refuse it; None: no answer at
all."""


class Srs:
    """The recorder; an async context manager."""

    def __init__(self, transport: str = "tcp", port: int = 0) -> None:
        self.transport = transport
        self.port = port
        self.script: deque[Script] = deque()
        """For the next INVITEs; where it is empty they are accepted."""
        self.digest: tuple[str, str] | None = None
        """User and password that INVITEs must prove."""
        self.faults: list[str] = []
        self.sessions: list[Session] = []
        self.invites: list[Message] = []
        self.options = 0
        self.deaf = False
        self.lenient = False
        """What breaks a rule is taken all the same, and only noted."""
        self.key = secrets.token_bytes(46)
        self._schema = schema()
        self._by_id: dict[str, Session] = {}
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._udp: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._sockets: list[asyncio.DatagramTransport] = []

    @property
    def uri(self) -> str:
        """What to dial."""
        tail = ";transport=tcp" if self.transport == "tcp" else ""
        return f"sip:srs@127.0.0.1:{self.port}{tail}"

    async def __aenter__(self) -> Srs:
        if self.transport == "tcp":
            self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]
        else:
            outer = self

            class Datagrams(asyncio.DatagramProtocol):
                def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                    if data.strip():
                        socket = outer._udp
                        assert socket is not None
                        outer._on(parse(data), lambda answer: socket.sendto(answer, addr))

            loop = asyncio.get_running_loop()
            self._udp, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", self.port))
            self.port = self._udp.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.crash()
        for socket in self._sockets:
            socket.close()
        await asyncio.sleep(0)

    async def crash(self) -> None:
        """Gone, without a word."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None
        if self._udp is not None:
            self._udp.close()
            self._udp = None

    async def until(self, condition: Callable[[], object], what: str, timeout: float = 8) -> None:
        """Wait for something to come."""
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    self._changed.clear()
                    try:
                        async with asyncio.timeout(0.05):
                            await self._changed.wait()
                    except TimeoutError:
                        pass
        except TimeoutError:
            seen = [message.start for session in self.sessions for message in session.requests]
            raise AssertionError(f"{what} did not come; so far {seen}, faults {self.faults}") from None

    async def session(self, number: int = 1) -> Session:
        """The n-th that was accepted and acknowledged."""
        await self.until(
            lambda: len(self.sessions) >= number and self._acknowledged(self.sessions[number - 1]),
            f"session {number}",
        )
        return self.sessions[number - 1]

    @staticmethod
    def _acknowledged(session: Session) -> bool:
        return any(message.method == "ACK" for message in session.requests)

    # The wire

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if not head.strip():
                    continue
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                self._on(parse(head.lstrip() + body), writer.write)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    def _on(self, message: Message, send: Callable[[bytes], None]) -> None:
        self._changed.set()
        if self.deaf:
            return
        session = self._by_id.get(message.get("call-id"))
        if message.status:
            if session is not None:
                session.responses.append(message)
                if message.body:
                    session.latest = message.body
            return
        if session is None:
            self._outside(message, send)
            return
        session.send = send
        if session.silent:
            return
        if message.method == "INVITE" and message.get("cseq") == session.requests[0].get("cseq"):
            return  # repeated
        session.requests.append(message)
        if message.method == "ACK":
            return
        if message.method == "BYE":
            session.over = True
            self._check_closing(session, message)
        if message.method in ("INVITE", "UPDATE"):
            if session.refuse_next:
                status, headers = session.refuse_next.pop(0)
                self._respond(session, message, status, headers=headers)
                return
            reason = self._take(session, message, first=False)
            if reason and not self.lenient:
                self._respond(session, message, 400, headers=[f'Warning: 399 srs "{reason}"'])
                return
            offer = self._offer(message)
            self._respond(session, message, 200, sdp=session.answer(offer) if offer else b"")
            return
        self._respond(session, message, 200)

    def _outside(self, message: Message, send: Callable[[bytes], None]) -> None:
        if message.method == "OPTIONS":
            self.options += 1
            self._plain(message, 503, send)  # as drachtio's does: any answer says that somebody is there
            return
        if message.method in ("ACK", "CANCEL"):
            if message.method == "CANCEL":
                self._plain(message, 200, send)
            return
        if message.method != "INVITE":
            self._plain(message, 481, send)
            return
        self.invites.append(message)
        if self.digest is not None and not message.get("authorization"):
            challenge = 'WWW-Authenticate: Digest realm="srs", nonce="abc", algorithm=MD5, qop="auth"'
            self._plain(message, 401, send, [challenge])
            return
        if self.digest is not None and f'username="{self.digest[0]}"' not in message.get("authorization"):
            self._plain(message, 403, send)
            return
        script: Script = self.script.popleft() if self.script else (lambda session: None)
        if script is None:
            self._plain(message, 100, send)
            return
        if isinstance(script, tuple):
            self._plain(message, script[0], send, script[1])
            return
        session = Session(self, message.get("call-id"), "", message.get("from"), "", send)
        session.local = f"{message.get('to')};tag={session.tag}"
        contact = re.search(r"<([^>]+)>", message.get("contact"))
        session.target = contact[1] if contact else ""
        session.requests.append(message)
        reason = self._take(session, message, first=True)
        if reason and not self.lenient:
            self._plain(message, 400, send, [f'Warning: 399 srs "{reason}"'])
            return
        script(session)
        self._by_id[session.call_id] = session
        task = asyncio.get_running_loop().create_task(self._accept(session, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, session: Session, message: Message) -> None:
        offer = self._offer(message)
        loop = asyncio.get_running_loop()
        for index, media in enumerate(medias(offer)):
            pair = []
            for _ in range(2):
                transport, receiver = await loop.create_datagram_endpoint(
                    Receiver, local_addr=("127.0.0.1", 0)
                )
                self._sockets.append(transport)
                pair.append(receiver)
            session.rtp[media.attribute("label") or str(index)] = (pair[0], pair[1])
        self.sessions.append(session)
        self._respond(session, message, 200, sdp=session.answer(offer))
        self._changed.set()

    def _respond(
        self,
        session: Session,
        request: Message,
        status: int,
        *,
        sdp: bytes = b"",
        headers: Sequence[str] = (),
    ) -> None:
        kind = "application/sdp"
        if sdp and session.multipart:
            kind = "multipart/mixed;boundary=answer"
            sdp = b"--answer\r\nContent-Type: application/sdp\r\n\r\n" + sdp + b"\r\n--answer--\r\n"
        self._plain(request, status, session.send, headers, session.tag, sdp, kind)

    def _plain(
        self,
        request: Message,
        status: int,
        send: Callable[[bytes], None],
        headers: Sequence[str] = (),
        tag: str = "refused",
        sdp: bytes = b"",
        kind: str = "application/sdp",
    ) -> None:
        to = request.get("to")
        if status > 100 and ";tag=" not in to:
            to += f";tag={tag}"
        lines = [
            f"SIP/2.0 {status} Because",
            *(f"Via: {via}" for via in request.all("via")),
            f"From: {request.get('from')}",
            f"To: {to}",
            f"Call-ID: {request.get('call-id')}",
            f"CSeq: {request.get('cseq')}",
            *(
                [f"Contact: <{self.uri}>;+sip.srs"]
                if request.method in ("INVITE", "UPDATE") and status < 300
                else []
            ),
            *headers,
            *([f"Content-Type: {kind}"] if sdp else []),
            f"Content-Length: {len(sdp)}",
        ]
        send("\r\n".join(lines).encode() + b"\r\n\r\n" + sdp)

    # The rules

    @staticmethod
    def _offer(message: Message) -> bytes:
        for kind, _, data in parts(message.get("content-type"), message.body):
            if kind == "application/sdp":
                return data
        return b""

    def _take(self, session: Session, message: Message, *, first: bool) -> str | None:
        """Check a request with metadata, and keep what it brought; what rule it breaks, if it does."""
        try:
            self._check(session, message, first)
        except AssertionError as error:
            self.faults.append(f"{message.method}: {error}")
            return str(error)
        return None

    def _check(self, session: Session, message: Message, first: bool) -> None:
        contact = message.get("contact")
        assert re.search(r">;.*\+sip\.src", contact), f"7866 6.1.1: no +sip.src in Contact {contact}"
        if first:
            assert "siprec" in message.get("require"), "7866 6.1.1: no Require: siprec"
        offer, metadata = b"", b""
        for kind, disposition, data in parts(message.get("content-type"), message.body):
            if kind == "application/sdp":
                offer = data
            elif kind in ("application/rs-metadata+xml", "application/rs-metadata"):
                assert disposition.startswith("recording-session"), "7866 9: no Content-Disposition"
                metadata = data
        if first:
            assert offer, "7866 6.1.1: no offer"
            assert metadata, "7866 6.1.1: no metadata"
        if offer:
            self._check_offer(session, offer, first)
            session.offers.append(offer)
            session.latest = offer
        if metadata:
            check_metadata(metadata, offer, self._schema)
            session.snapshots.append(metadata)

    def _check_offer(self, session: Session, offer: bytes, first: bool) -> None:
        lines = medias(offer)
        labels = [line.attribute("label") for line in lines]
        assert all(labels), "7866 7.1.1: an m-line without label"
        assert len(set(labels)) == len(labels), "7866 7.1.1: a label twice"
        for line in lines:
            assert line.direction in ("sendonly", "inactive"), f"7866 7.1.1: {line.direction}"
            assert "SAVP" not in line.profile or line.attribute("crypto"), "RFC 4568: SAVP without crypto"
        version = re.search(rb"^o=\S+ (\d+) (\d+)", offer, re.MULTILINE)
        assert version, "no o= line"
        if not first:
            assert len(lines) >= len(medias(session.offers[-1])), "RFC 3264 8: an m-line is gone"
            before = re.search(rb"^o=\S+ (\d+) (\d+)", session.latest, re.MULTILINE)
            assert before is not None
            assert before[1] == version[1], "RFC 3264 8: another session id"
            changed = offer != session.latest
            grown = int(version[2]) - int(before[2])
            assert grown == int(changed), f"RFC 3264 8: the version grew by {grown}"

    def _check_closing(self, session: Session, message: Message) -> None:
        for kind, disposition, data in parts(message.get("content-type"), message.body):
            if kind == "application/rs-metadata+xml":
                try:
                    assert disposition.startswith("recording-session") or message.get(
                        "content-disposition"
                    ).startswith("recording-session"), "7866 9: no Content-Disposition"
                    check_metadata(data, b"", self._schema)
                except AssertionError as error:
                    self.faults.append(f"BYE: {error}")
                session.snapshots.append(data)


def check_metadata(xml: bytes, offer: bytes, rules: etree.XMLSchema) -> None:
    """RFC 7865 as far as a schema goes, and beyond; an AssertionError names what is broken."""
    assert xml.startswith(b"<?xml"), "7865 5.1: no XML declaration"
    root = etree.fromstring(xml)
    rules.validate(root)
    assert rules.validate(root), f"schema: {rules.error_log.last_error}"
    spaces = {"r": NAMESPACE}
    ids: dict[str, str] = {}
    for kind, name in (("session", "session_id"), ("participant", "participant_id"), ("stream", "stream_id"),
                       ("group", "group_id")):  # fmt: skip
        for element in root.findall(f"r:{kind}", spaces):
            value = element.get(name)
            assert len(base64.b64decode(value, validate=True)) == 16, f"7865 6.10: {value} is no UUID"
            assert value not in ids, f"7865 6.10: {value} stands for two elements"
            ids[value] = kind
    complete = (root.findtext("r:datamode", "complete", spaces)) == "complete"
    for element in root.iter():
        if not isinstance(element.tag, str) or not element.tag.startswith("{" + NAMESPACE):
            continue
        tag = etree.QName(element).localname
        if complete and tag in ("send", "recv"):
            assert ids.get((element.text or "").strip()) == "stream", f"7865 6.8: {tag} of no stream"
        if complete and tag.endswith("assoc"):
            for name in ("session_id", "participant_id"):
                assert element.get(name) is None or element.get(name) in ids, f"{tag}: unknown {name}"
        if tag.endswith("-time"):
            assert re.fullmatch(
                r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", (element.text or "").strip()
            ), f"7865 6.9: {element.text}"
    labels = [element.text for element in root.findall("r:stream/r:label", spaces)]
    assert len(set(labels)) == len(labels), "a label stands for two streams"
    if labels:
        offered = [media.attribute("label") for media in medias(offer)] if offer else []
        assert set(labels) <= set(offered), f"7866 9.1: labels {labels} without an offer that has them"
