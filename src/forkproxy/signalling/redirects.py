"""What a 3xx says: where the callee is to be found instead (RFC 3261, 8.1.3.4)."""

from __future__ import annotations

import re

from forkproxy.errors import SignallingError
from forkproxy.signalling.midcall import Content
from forkproxy.signalling.uris import parse_uri

MOST = 10
"""Contacts of one response that are looked at."""
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_CONTACT = re.compile(r"[^,<]*<([^<>]*)>([^,]*)|([^,<]+)")
_Q = re.compile(r";\s*q\s*=\s*([01](?:\.\d{0,3})?)", re.IGNORECASE)


def contacts(content: Content) -> list[str]:
    """The SIP URIs of its Contact headers that can be dialled, best first (q), without their headers part.

    >>> contacts(Content((("m", '<sip:b@x>;q=0.5, "C, D" <sip:c@y;transport=tcp>, <mailto:e@z>'),), b""))
    ['sip:c@y;transport=tcp', 'sip:b@x']
    """
    found: list[tuple[float, str]] = []
    for name, value in content.headers:
        if name.lower() not in ("contact", "m"):
            continue
        for match in _CONTACT.finditer(_QUOTED.sub("", value[:4096])):
            bare, _, parameters = (match[3] or "").partition(";")
            try:
                uri = parse_uri((match[1] or bare).strip().partition("?")[0]).text
            except SignallingError:
                continue
            q = _Q.search(";" + (match[2] or parameters))
            if len(found) < MOST and uri not in (each for _, each in found):
                found.append((float(q[1]) if q else 1.0, uri))
    return [uri for _, uri in sorted(found, key=lambda each: -each[0])]
