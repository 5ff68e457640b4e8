"""SIP in the log: every message in and out when the level is ``debug``, as it was on the wire but for keys.

Who has an encrypted stream's key and a recording of the network hears the call, and logs travel.
"""

from __future__ import annotations

import logging

from forkproxy.control.captures import Captures
from forkproxy.signalling import SipEndpoint, TraceMessage
from forkproxy.signalling.sdes import masked

log = logging.getLogger(__name__)

MOST = 8_000
"""Characters of a message that are shown; junk can be 64 kB of it."""


def trace_sip(endpoint: SipEndpoint, captures: Captures | None = None) -> None:
    """Show what `endpoint` sends and receives to the log, if its level is low enough, and to `captures`.

    While nobody wants it, it costs nothing.
    """
    capturing = captures.message if captures is not None and captures.active else None
    if capturing is None or not log.isEnabledFor(logging.DEBUG):
        endpoint.set_trace(_show if log.isEnabledFor(logging.DEBUG) else capturing)
        return

    def both(message: TraceMessage) -> None:
        _show(message)
        capturing(message)

    endpoint.set_trace(both)


def _show(message: TraceMessage) -> None:
    text = message.data.decode("utf-8", "backslashreplace").replace("\r\n", "\n").rstrip("\n")
    text = masked(text)
    if len(text) > MOST:
        text = f"{text[:MOST]}\n... and {len(text) - MOST} characters more"
    log.debug(
        "SIP sent" if message.sent else "SIP received",
        extra={
            "transport": message.transport,
            "local": message.local,
            "remote": message.remote,
            "block": text,
        },
    )
