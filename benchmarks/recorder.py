"""A session recording server that takes everything and looks at nothing: what many recorded calls need.

It answers each INVITE for all its m= lines, which are to be sent to one port, and everything else with 200.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets

from tests.support.sip import Message, parse

_LENGTH = re.compile(rb"^Content-Length[ \t]*:[ \t]*(\d+)", re.IGNORECASE | re.MULTILINE)


class Recorder:
    """Over TCP; an async context manager. `media` is the port that RTP and RTCP are sent to."""

    def __init__(self, media: int) -> None:
        self.media = media
        self.sessions: set[str] = set()
        """The Call-IDs of those that are being recorded."""
        self._readers: set[asyncio.Task[None]] = set()

    @property
    def uri(self) -> str:
        return f"sip:rec@127.0.0.1:{self._port};transport=tcp"

    async def __aenter__(self) -> Recorder:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for reader in tuple(self._readers):
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lstrip(b"\r\n")
                if not head:
                    continue
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1])) if length else b""
                if head.startswith(b"SIP/2.0"):
                    continue
                message = parse(head + body)
                if message.method != "ACK":
                    writer.write(self._answer(message))
        writer.close()

    def _answer(self, request: Message) -> bytes:
        call_id = request.get("call-id")
        body = b""
        if request.method == "INVITE":
            self.sessions.add(call_id)
            body = self._described(request.body)
        elif request.method == "BYE":
            self.sessions.discard(call_id)
        to = request.get("to")
        lines = [
            "SIP/2.0 200 OK",
            *(f"Via: {via}" for via in request.all("via")),
            f"From: {request.get('from')}",
            f"To: {to if ';tag=' in to else f'{to};tag={secrets.token_hex(4)}'}",
            f"Call-ID: {call_id}",
            f"CSeq: {request.get('cseq')}",
            f"Contact: <{self.uri}>;+sip.srs",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def _described(self, offer: bytes) -> bytes:
        text = "v=0\r\no=rec 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        count = len(re.findall(rb"^m=audio", offer, re.MULTILINE))
        return (text + f"m=audio {self.media} RTP/AVP 0\r\na=recvonly\r\n" * count).encode()
