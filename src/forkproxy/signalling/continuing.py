"""The next description of a session that has one (RFC 3264, 8): what must stay the same, stays. Pure.

The o= line stays but for its version, which grows by one if anything else has changed; and a media line, once
there, keeps its place, refused or not.
"""

from __future__ import annotations

import re

_ORIGIN = re.compile(rb"^o=(\S+) (\d+) (\d+) ([^\r\n]*)", re.MULTILINE)
_VERSION_LIMIT = 2**62  # JSEP's limit, and small enough for every parser


def next_answer(before: bytes, now: bytes) -> bytes:
    """`now`, written afresh by `sdp.make_answer`, as what follows `before`; `before` if nothing changes.

    >>> next_answer(b"v=0\\r\\no=- 7 3 IN IP4 h\\r\\ns=-\\r\\n", b"v=0\\r\\no=- 9 9 IN IP4 h\\r\\ns=x\\r\\n")
    b'v=0\\r\\no=- 7 4 IN IP4 h\\r\\ns=x\\r\\n'
    """
    last = _ORIGIN.search(before)
    if last is None:
        return now
    if _ORIGIN.sub(b"", before, count=1) == _ORIGIN.sub(b"", now, count=1):
        return before
    version = (int(last[3]) + 1) % _VERSION_LIMIT
    origin = b"o=%b %b %d %b" % (last[1], last[2], version, last[4])
    return _ORIGIN.sub(lambda _: origin, now, count=1)


def next_offer(before: bytes, now: bytes) -> bytes:
    """The same for an offer of ours, which has one media line: it takes the place of the one in use."""
    head, *sections = _sections(now)
    _, *places = _sections(before)
    used = next((place for place, section in enumerate(places) if not _refused(section)), 0)
    stream = sections[0]
    lines = [stream if place == used else _refuse(section) for place, section in enumerate(places)]
    return next_answer(before, b"".join([head, *(lines or [stream])]))


def _sections(sdp: bytes) -> list[bytes]:
    """What stands before the first m= line, and then each with what belongs to it."""
    return re.split(rb"^(?=m=)", sdp, flags=re.MULTILINE)


def _refused(section: bytes) -> bool:
    return section.split(maxsplit=2)[1].partition(b"/")[0] == b"0"


def _refuse(section: bytes) -> bytes:
    kind, _, rest = section.splitlines()[0].split(maxsplit=2)
    return b"%b 0 %b\r\n" % (kind, rest)
