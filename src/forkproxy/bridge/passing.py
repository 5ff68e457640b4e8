"""What goes from one leg to the other beside the call: requests within it, and headers of its INVITE.

A request is answered with the other party's own answer. Keys that come as INFO are told to the flow and to
the streams on the way.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from forkproxy.errors import SignallingError
from forkproxy.media.dialling import DIGITS
from forkproxy.signalling import Leg, uris
from forkproxy.signalling.events import Ended
from forkproxy.signalling.midcall import Content, PeerRequest, PeerResponse, media_type

PASSED = (
    *("info-package", "content-disposition", "content-encoding", "content-language", "event"),
    *("subscription-state", "refer-to", "referred-by", "refer-sub", "subject", "reply-to", "alert-info"),
    *("user-to-user", "x-*"),
)
"""Headers of requests within a call, and of their answers, that are passed on, in lower case."""
TRANSFERS = ("REFER", "NOTIFY")
_SIGNAL = re.compile(rb"^\s*(?:Signal\s*=\s*)?([0-9*#A-D!])\s*$", re.MULTILINE | re.IGNORECASE)
_DURATION = re.compile(rb"^\s*Duration\s*=\s*(\d{1,5})\s*$", re.MULTILINE | re.IGNORECASE)


def key_of(content: Content) -> tuple[str, float] | None:
    """The key that an INFO tells of, and for how many milliseconds it was held; None: of none.

    ``application/dtmf-relay`` has ``Signal=5`` and ``Duration=160``, ``application/dtmf`` the bare key.
    Some write 10 and 11 for * and #, as RFC 4733 numbers them, and 12 to 16 for A to D and the flash.
    """
    kind = content.content_type.partition(";")[0].strip().lower()
    if kind not in ("application/dtmf-relay", "application/dtmf"):
        return None
    body = re.sub(
        rb"^(\s*(?:Signal\s*=\s*)?)(1[0-6])(\s*)$",
        lambda match: match[1] + f"{DIGITS}!"[int(match[2])].encode() + match[3],
        content.body[:512],
        count=1,
        flags=re.MULTILINE | re.IGNORECASE,
    )
    signal, duration = _SIGNAL.search(body), _DURATION.search(body)
    if signal is None:
        return None
    return signal[1].decode().upper(), float(duration[1]) if duration else 160.0


@dataclass(slots=True)
class Keypad:
    """Tells keys apart from their echoes: some phones send each key both in RTP and by INFO."""

    span: float = 0.6
    """Seconds within which the same key by the other way is the same press."""
    _last: tuple[str, str, float] = ("", "", 0.0)

    def pressed(self, key: str, way: str, now: float) -> bool:
        """Whether a key that has come this way ("rtp", "info") is a new press."""
        last, by, when = self._last
        if key == last and way != by and now - when < self.span:
            self._last = ("", "", now)
            return False
        self._last = (key, way, now)
        return True


def cause_of(leg: Leg | None, end: Ended) -> str:
    """The Reason header (RFC 3326) that tells the other party why this one's leg ended; "": nothing does."""
    if end.by == "timeout":
        return f"SIP;cause={end.status}"
    return "" if leg is None else leg.cause


def chosen(headers: Iterable[tuple[str, str]], patterns: Sequence[str]) -> list[tuple[str, str]]:
    """The headers whose names match, ``*`` standing for anything, as far as they can be sent.

    >>> chosen([("X-Order", "12"), ("Via", "x"), ("Privacy", "id")], ["x-*", "via"])
    [('X-Order', '12')]
    """
    found = []
    for name, value in headers:
        if any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns):
            try:
                uris.header(name, value)
            except SignallingError:
                continue  # the stack's own, or nothing that may stand in a message
            found.append((name, value))
    return found


def pass_on(
    request: PeerRequest,
    other: Leg | None,
    on_key: Callable[[str, float], None] | None,
    *,
    transfers: bool,
    log: logging.LoggerAdapter[logging.Logger],
) -> None:
    """Deal with a request within a call.

    Args:
        request: the request; it is answered, now or when the other party has.
        other: the other party's leg; None: there is none.
        on_key: told of a key of this party; None: its keys are the other party's business.
        transfers: whether REFER, and the NOTIFY that tells of it, may pass.
        log: the call's.
    """
    if request.method in TRANSFERS and not transfers:
        log.info("%s is refused: sip.refer says so", request.method)
        request.respond(405)
        return
    key = key_of(request.content) if request.method == "INFO" and on_key is not None else None
    if key is not None and on_key is not None:
        on_key(*key)

    def answered(response: PeerResponse) -> None:
        kind = media_type(response.content.content_type)
        status = 480 if response.status in (401, 407) else response.status
        request.respond(
            200 if key is not None else status,  # the key has been heard, whatever the other makes of it
            "" if key is not None else response.reason,
            headers=chosen(response.content.headers, PASSED),
            content_type=kind,
            body=response.content.body if kind else b"",
        )

    kind = media_type(request.content.content_type)
    begun = other is not None and other.request(
        request.method,
        headers=chosen(request.content.headers, PASSED),
        content_type=kind,
        body=request.content.body if kind else b"",
        on_answer=answered,
    )
    if not begun:
        request.respond(200 if key is not None else 480)
