"""SIP in the log: every message in and out when the level is ``debug``, as it was on the wire but for keys.

Who has an encrypted stream's key and a recording of the network hears the call, and logs travel.
"""

from __future__ import annotations

import logging

from forkproxy.signalling import SipEndpoint, TraceMessage
from forkproxy.signalling.sdes import masked

log = logging.getLogger(__name__)

MOST = 8_000
"""Characters of a message that are shown; junk can be 64 kB of it."""


def trace_sip(endpoint: SipEndpoint) -> None:
    """Log what `endpoint` sends and receives, if the level is low enough. Otherwise it costs nothing."""
    endpoint.set_trace(_show if log.isEnabledFor(logging.DEBUG) else None)


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
