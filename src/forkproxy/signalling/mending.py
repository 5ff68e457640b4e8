"""What PJSIP's parser refuses: requests get an answer made from the lines that are there, responses a second
chance without the lines that nobody needs. Pure."""

from __future__ import annotations

import re

REASONS = {400: "Bad Request", 513: "Message Too Large"}
_COPIED = {
    b"via": b"Via", b"v": b"Via", b"from": b"From", b"f": b"From", b"to": b"To", b"t": b"To",
    b"call-id": b"Call-ID", b"i": b"Call-ID", b"cseq": b"CSeq",
}  # fmt: skip
_REQUEST_LINE = re.compile(rb"[A-Za-z0-9.!%*_+`'~-]{1,32} [^ \r\n]{1,4096} SIP/2\.0")
_RPORT = re.compile(rb";[ \t]*rport(?=;|,|$)", re.IGNORECASE)
_ESSENTIAL = frozenset((
    *(b"via", b"v", b"from", b"f", b"to", b"t", b"call-id", b"i", b"cseq", b"contact", b"m", b"record-route"),
    *(b"content-type", b"c", b"content-length", b"l", b"require", b"rseq", b"allow", b"supported", b"k"),
    *(b"session-expires", b"x", b"min-se", b"retry-after"),
))  # fmt: skip
_CHALLENGES = frozenset((b"www-authenticate", b"proxy-authenticate"))
LONGEST_LINE = 2048


def refusal(request: bytes, status: int, host: str, port: int) -> bytes | None:
    """The response to a malformed `request` that came from `host`:`port`.

    None when there is nobody to answer: it is no request at all, it is an ACK, or it has no Via. A response
    is never much longer than its request, and goes to where that came from.
    """
    lines = _unfold(request.lstrip(b"\r\n").partition(b"\r\n\r\n")[0])
    if not lines or not _REQUEST_LINE.fullmatch(lines[0]) or lines[0].startswith(b"ACK "):
        return None
    response = [b"SIP/2.0 %d %b" % (status, REASONS[status].encode())]
    found: set[bytes] = set()
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        header = _COPIED.get(name.strip().lower())
        if not colon or header is None or len(line) > LONGEST_LINE or (header in found and header != b"Via"):
            continue
        value = value.strip()
        if header == b"Via" and header not in found:
            value += b";received=" + host.encode()
            value = _RPORT.sub(b";rport=%d" % port, value, count=1)
        elif header == b"To" and b";tag=" not in value.lower():
            value += b";tag=refused"
        found.add(header)
        response.append(header + b": " + value)
    if b"Via" not in found:
        return None
    return b"\r\n".join([*response, b"Content-Length: 0", b"", b""])


def _unfold(head: bytes) -> list[bytes]:
    """The header lines, continuation lines joined (RFC 3261 7.3.1), none with control characters."""
    lines: list[bytes] = []
    for line in head.split(b"\r\n"):
        if line[:1] in (b" ", b"\t") and len(lines) > 1:
            lines[-1] += b" " + line.strip()
        else:
            lines.append(line)
    return [line for line in lines if not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", line)]


def bare(response: bytes) -> bytes | None:
    """The response with only the headers that a call depends on; None when it is none, or has no others.

    One header that PJSIP cannot read (a challenge of a scheme that it does not know, say) must not make a
    caller wait for a time-out: what is malformed and not needed is ignored (RFC 3261 7.3.1).
    """
    head, end, body = response.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not head.startswith(b"SIP/2.0 ") or not end:
        return None
    lines = _unfold(head)
    kept = [line for line in lines if line is lines[0] or _needed(line)]
    if len(kept) == len(lines):
        return None
    return b"\r\n".join(kept) + end + body


def _needed(line: bytes) -> bool:
    name, _, value = line.partition(b":")
    name = name.strip().lower()
    if name in _CHALLENGES:
        return value.strip().lower().startswith(b"digest ")
    return name in _ESSENTIAL
