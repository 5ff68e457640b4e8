"""Requests outside calls: REGISTER and OPTIONS, with digest where it is asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forkproxy.model import new_sid
from forkproxy.signalling.credentials import Credentials, challenge
from forkproxy.signalling.locate import Destination

if TYPE_CHECKING:
    from forkproxy.signalling.endpoint import SipEndpoint

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a request."""

    status: int
    """The final response's; 408 and 503 also where there was none."""
    reason: str
    headers: Headers = ()
    answered: bool = True
    """Whether a response came at all."""

    def get(self, name: str) -> str | None:
        """The first header of that name; None: there is none."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def headers_of(message: bytes) -> Headers:
    """Every header of a message, in order, unfolded; octets that are not UTF-8 as U+FFFD."""
    head = message.partition(b"\r\n\r\n")[0]
    text = re.sub(r"\r\n[ \t]+", " ", head.decode("utf-8", "replace").lstrip("\r\n"))
    pairs = (line.partition(":") for line in text.split("\r\n")[1:])
    return tuple((name.strip(), value.strip()) for name, colon, value in pairs if colon)


class Conversation:
    """Requests with one Call-ID and a rising CSeq, as the refreshes of a registration have them."""

    def __init__(
        self, endpoint: SipEndpoint, uri: str, local: str, remote: str, credentials: Credentials | None = None
    ) -> None:
        """
        Args:
            uri: the Request-URI.
            local, remote: the URIs of From and To.
            credentials: answer 401 and 407 with these.
        """
        self._endpoint = endpoint
        self._uri = uri
        self._local = local
        self._remote = remote
        self._credentials = credentials
        self._call_id = new_sid("RG")
        self._cseq = 0

    async def ask(
        self,
        method: str,
        destination: Destination,
        headers: Sequence[tuple[str, str]] = (),
        *,
        contact_user: str | None = None,
    ) -> Reply:
        """Send a request, and again with what its challenge wants; the last reply.

        Raises:
            SignallingError: a URI or a header cannot be sent.
        """
        reply = await self._once(method, destination, headers, contact_user)
        for attempt in range(2):
            found = challenge(reply.status, reply.headers)
            if found is None or self._credentials is None:
                break
            if attempt and not found.stale:
                # It is no old nonce: the password is wrong. The next attempt begins without one, so that a
                # carrier which locks accounts counts one failure for each attempt, not two.
                self._credentials.forget()
                break
            self._credentials.challenged(found)
            reply = await self._once(method, destination, headers, contact_user)
        return reply

    async def _once(
        self,
        method: str,
        destination: Destination,
        headers: Sequence[tuple[str, str]],
        contact_user: str | None,
    ) -> Reply:
        self._cseq += 1
        answer = None if self._credentials is None else self._credentials.header(method, self._uri)
        return await self._endpoint.request(
            method,
            self._uri,
            destination,
            from_uri=self._local,
            to_uri=self._remote,
            call_id=self._call_id,
            cseq=self._cseq,
            headers=headers,
            answer=answer,
            contact_user=contact_user,
        )
