"""A carrier's end of a trunk, as a test wants it: what it answers to each request is a function."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from typing import Any, cast

from tests.support.sip import Message, parse

Answer = tuple[int, Sequence[str]] | None
"""A status and further header lines; None: silence."""
REASONS = {200: "OK", 100: "Trying", 180: "Ringing", 401: "Unauthorized", 503: "Service Unavailable"}


class Carrier(asyncio.DatagramProtocol):
    """An async context manager that listens on UDP; `requests` has all that came, in order."""

    def __init__(self, answer: Callable[[Message], Answer]) -> None:
        self.answer = answer
        self.requests: list[Message] = []

    async def __aenter__(self) -> Carrier:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port: int = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()

    @property
    def uri(self) -> str:
        return f"sip:127.0.0.1:{self.port}"

    def of(self, method: str) -> list[Message]:
        """The requests of a method, each once."""
        found = {each.get("via"): each for each in self.requests if each.method == method}
        return list(found.values())

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if not data.strip():
            return
        request = parse(data)
        if request.status:
            return
        self.requests.append(request)
        self._peer = addr
        answer = self.answer(request) if request.method != "ACK" else None
        if answer is not None:
            self.respond(request, *answer)

    def respond(self, request: Message, status: int, more: Sequence[str] = (), sdp: bytes = b"") -> None:
        """Answer a request, also once more."""
        kept = [f"{name}: {request.get(name.lower())}" for name in ("Via", "From", "Call-ID", "CSeq")]
        to = request.get("to") if status == 100 else f"{request.get('to')};tag=c{self.port}"
        lines = [f"SIP/2.0 {status} {REASONS.get(status, 'Whatever')}", *kept, f"To: {to}", *more]
        if sdp:
            lines.append("Content-Type: application/sdp")
        text = "\r\n".join([*lines, f"Content-Length: {len(sdp)}"]) + "\r\n\r\n"
        self._transport.sendto(text.encode() + sdp, self._peer)


class Guarded:
    """Answers requests with a challenge until they carry the right digest."""

    def __init__(self, algorithm: str, password: str, then: Callable[[Message], Answer]) -> None:
        self._algorithm = algorithm
        self._password = password
        self._then = then
        self.nonce = secrets.token_hex(8)
        self.wrong = 0

    def __call__(self, request: Message) -> Answer:
        given = dict(re.findall(r'(\w+)="?([^",]+)"?', request.get("authorization")))
        if given.get("nonce") != self.nonce:
            stale = ", stale=true" if given else ""
            return 401, [
                f'WWW-Authenticate: Digest realm="carrier", nonce="{self.nonce}", '
                f'algorithm={self._algorithm}, qop="auth"{stale}'
            ]
        digest = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[self._algorithm]

        def hashed(text: str) -> str:
            return digest(text.encode()).hexdigest()

        secret = hashed(f"{given['username']}:carrier:{self._password}")
        middle = f"{self.nonce}:{given['nc']}:{given['cnonce']}:auth"
        right = hashed(f"{secret}:{middle}:{hashed(f'{request.method}:' + given['uri'])}")
        if given["response"] != right:
            self.wrong += 1
            return 401, [
                f'WWW-Authenticate: Digest realm="carrier", nonce="{self.nonce}", '
                f'algorithm={self._algorithm}, qop="auth"'
            ]
        return self._then(request)
