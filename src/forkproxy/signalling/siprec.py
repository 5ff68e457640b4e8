"""How the messages of recording clients (RFC 7866) are told from phones', and what they carry."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

from forkproxy.errors import SignallingError
from forkproxy.message import take_apart
from forkproxy.signalling import metadata
from forkproxy.signalling.multipart import Part, parts

log = logging.getLogger(__name__)

_REQUIRED = re.compile(rb"^require[ \t]*:(?:[^\r\n]*[ \t,:])?siprec(?![\w-])", re.IGNORECASE | re.MULTILINE)
_SOURCE = re.compile(rb"^(?:contact|m)[ \t]*:[^\r\n]*;[ \t]*\+sip\.src\b", re.IGNORECASE | re.MULTILINE)
_LABEL = re.compile(rb"^a=label:", re.MULTILINE)


def is_recording(message: bytes) -> bool:
    """Whether an INVITE opens a recording session, rather than a call.

    RFC 7866 (6.2) has both ``Require: siprec`` and the feature tag ``+sip.src``. Clients leave out either, so
    one sign is enough: the header, or metadata in the body. The tag alone is none, since the phones of a call
    that is recorded may see it, too (6.1.2); with labelled streams it is.
    """
    head, _, body = message.partition(b"\r\n\r\n")
    if _REQUIRED.search(head) or b"application/rs-metadata" in body.lower():
        return True
    return bool(_SOURCE.search(head)) and bool(_LABEL.search(body))


def parts_of(message: bytes) -> tuple[Part, ...]:
    """The parts of a message's body; none where they cannot be told apart, which the log says."""
    _, headers, body = take_apart(message)
    kind = next((value for name, value in headers if name.lower() in ("content-type", "c")), "")
    try:
        return parts(kind, body)
    except SignallingError as error:
        log.warning("a recording client's body cannot be read: %s", error)
        return ()


def recording(found: Iterable[Part]) -> metadata.Recording | None:
    """The metadata among the parts; None: there is none.

    Raises:
        SignallingError: it cannot be read.
    """
    for part in found:
        if part.type in metadata.TYPES:
            return metadata.read(part.content)
    return None
