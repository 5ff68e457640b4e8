"""JSON for messages: written in ASCII, and read from somebody who may send anything."""

from __future__ import annotations

import json
from binascii import a2b_base64
from collections.abc import Mapping
from typing import Any

from forkproxy_websocket.dialect import UNEXPECTED, InvalidMessage

MAX_MARK = 1024
"""Characters of a mark's name: thousands of marks may wait at a time."""


def encode(message: Mapping[str, object]) -> bytes:
    """`message` as UTF-8 JSON, without spaces."""
    # ASCII: what a SIP header brought (half a surrogate pair, say) can still be written.
    return json.dumps(message, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def decode(message: bytes) -> dict[str, Any]:
    """The JSON object that `message` is.

    Raises:
        InvalidMessage: it is none.
    """
    try:
        value = json.loads(message.decode())
    except (ValueError, RecursionError) as error:  # UTF-8, JSON, numbers of thousands of digits, depth
        raise InvalidMessage(UNEXPECTED, f"it is not JSON ({type(error).__name__})") from error
    if not isinstance(value, dict):
        raise InvalidMessage(UNEXPECTED, "it is no JSON object")
    return value


def audio_of(payload: str, field: str = "media.payload") -> bytes:
    """The octets of Base64.

    Raises:
        InvalidMessage: it is none; by the field's name.
    """
    try:
        return a2b_base64(payload, strict_mode=True)
    except ValueError as error:
        raise InvalidMessage(UNEXPECTED, f"{field} is not Base64: {error}") from error


def text_in(message: Mapping[str, Any], path: str) -> str:
    """The string at ``media.payload``, say, in objects within objects.

    Raises:
        InvalidMessage: it is missing, or is no string; by its path.
    """
    *outer, last = path.split(".")
    place: Any = message
    for name in outer:
        place = place.get(name) if isinstance(place, dict) else None
    value = place.get(last) if isinstance(place, dict) else None
    if not isinstance(value, str):
        there = isinstance(place, dict) and last in place
        raise InvalidMessage(UNEXPECTED, f"{path} {'is no string' if there else 'is missing'}")
    return value


def mark_in(message: Mapping[str, Any], path: str) -> str:
    """The name of a mark, likewise, not too long.

    Raises:
        InvalidMessage: there is none, or it is too long.
    """
    name = text_in(message, path)
    if len(name) > MAX_MARK:
        raise InvalidMessage(UNEXPECTED, f"{path} has {len(name)} characters; {MAX_MARK} are the most")
    return name


def is_ours(message: Mapping[str, Any], field: str, ours: str, *, required: bool = True) -> None:
    """Check that a message names this stream.

    Raises:
        InvalidMessage: it names another, or none although it must.
    """
    value = message.get(field)
    if value is None and not required:
        return
    if value != ours:
        problem = "is missing" if value is None else "is not this stream's"
        raise InvalidMessage(UNEXPECTED, f"{field} {problem}")
