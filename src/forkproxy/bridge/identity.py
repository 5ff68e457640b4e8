"""Who is calling, and what else an INVITE says: which of its headers a callee gets, and which a flow sees.

RFC 3325: P-Asserted-Identity is worth what its sender is. It is taken from trusted peers only, and goes to
those; others get it where a setting says so, and never against the caller's wish (Privacy, RFC 3323).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from forkproxy.bridge.passing import chosen
from forkproxy.signalling.trunks import Trunk, literal, owner

Headers = Iterable[tuple[str, str]]

ASSERTED = frozenset({"p-asserted-identity", "remote-party-id"})
"""Headers that say who the caller is for certain."""
HISTORY = frozenset({"history-info", "diversion"})
WITHIN_TRUST = ("p-asserted-identity", "privacy")
"""What goes from one trusted peer to another without being asked for."""
SHOWN = (
    "x-*",
    "user-to-user",
    "p-asserted-identity",
    "privacy",
    "diversion",
    "history-info",
    "remote-party-id",
)
"""Headers that flows see as `trigger.call.SipHeader_NAME`."""
NEVER = frozenset((
    *("replaces", "join", "target-dialog", "refer-to", "referred-by", "refer-sub", "event", "path"),
    *("subscription-state", "user-agent", "server", "allow", "allow-events", "accept", "accept-encoding"),
    *("service-route", "proxy-require", "unsupported", "min-expires", "expires", "content-disposition"),
    *("p-preferred-identity", "p-access-network-info", "p-charging-vector", "reason", "date"),
))  # fmt: skip
"""Headers that belong to one leg or one hop, whatever a pattern says."""


def is_trusted(trunks: Sequence[Trunk], host: str, name: str | None = None) -> bool:
    """Whether a caller at this address (or of the trunk `name`) is of our trust domain: as its trunk says, or
    because it is here."""
    trunk = owner(trunks, host, name)
    if trunk is not None:
        return trunk.trusted
    address = literal(host)
    return address is not None and address.is_loopback


def wishes(headers: Headers) -> frozenset[str]:
    """What the caller wants to be kept private: the values of Privacy (RFC 3323, 4.2), in lower case."""
    found = (value for name, value in headers if name.lower() == "privacy")
    return frozenset(
        part.strip().lower() for value in found for each in value.split(";") for part in each.split(",")
    )


def passed(
    headers: Sequence[tuple[str, str]], patterns: Sequence[str], *, trusted_from: bool, trusted_to: bool
) -> list[tuple[str, str]]:
    """The headers of a caller's INVITE that a callee gets, too.

    Args:
        headers: all that it has.
        patterns: the names that the settings pass, with ``*`` for any characters.
        trusted_from: whether the caller's side is in our trust domain.
        trusted_to: whether the callee's is.

    >>> passed([("P-Asserted-Identity", "<sip:a@x>"), ("Privacy", "id"), ("X-Order", "7")], ["*"],
    ...        trusted_from=True, trusted_to=False)
    [('Privacy', 'id'), ('X-Order', '7')]
    """
    wanted = wishes(headers)
    hidden = set(NEVER)
    if not trusted_from or (not trusted_to and wanted & {"id", "user", "header"}):
        hidden |= ASSERTED
    if not trusted_to and wanted & {"history", "header"}:
        hidden |= HISTORY
    names = [*patterns, *(WITHIN_TRUST if trusted_from and trusted_to else ())]
    return chosen([each for each in headers if each[0].lower() not in hidden], names)


def shown(headers: Sequence[tuple[str, str]], *, trusted: bool) -> dict[str, str]:
    """What a flow sees of a caller's INVITE, by the names that Twilio gives them: `SipHeader_X-...`."""
    seen = [each for each in headers if trusted or each[0].lower() not in ASSERTED]
    found: dict[str, str] = {}
    for name, value in chosen(seen, SHOWN):
        found.setdefault(f"SipHeader_{name}", value)
    return found
