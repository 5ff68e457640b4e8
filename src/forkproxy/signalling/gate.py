"""What strangers may send at all: bans and rates, decided before anybody reads a message.

A *stranger* is a source that no trunk accepts and that is not this machine; with IPv6, a whole /64. Responses
pass: they are answers to what we have sent, or cost next to nothing. So do requests within a call that is up:
a stranger may be the callee, a sender can be forged, and that must not cut the call off. All others pass at a
rate. A stranger that is refused too often in a minute is banned for a while; nothing else of it is read.
"""

from __future__ import annotations

import logging
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from forkproxy.model import Limits
from forkproxy.signalling.trunks import literal

log = logging.getLogger(__name__)

REMEMBERED = 10_000
"""Strangers that are remembered; the one heard of longest ago is forgotten first."""
WINDOW = 60.0
"""Seconds in which refusals are added up."""
COUNTED = ("dropped_banned", "dropped_flooding", "dropped_unanswered", "bans")
LISTED = 100
"""Strangers that `describe` shows, the worst ones."""

UNPROVEN = frozenset({"challenged"})
"""Refusals that ban nobody: whoever has not answered a challenge has not shown to be where it seems to be."""

_TO_TAG = re.compile(rb"\n(?:to|t)[ \t]*:[^\r\n]*;[ \t]*tag=", re.IGNORECASE)
_CALL_ID = re.compile(rb"\n(?:call-id|i)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)
_CALLING = (b"INVITE ", b"ACK ", b"CANCEL ")


class Stranger:
    """What is known of one source."""

    __slots__ = ("at", "banned_until", "reasons", "since", "strikes", "tokens")

    def __init__(self, now: float, tokens: float) -> None:
        self.tokens, self.at = tokens, now
        self.strikes, self.since = 0, now
        self.banned_until = 0.0
        self.reasons: Counter[str] = Counter()


class Gate:
    """Lets messages in, or not. Never raises, and costs a known source one look into a table."""

    def __init__(
        self,
        knows: Callable[[str], bool],
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        *,
        open_to_all: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            knows: whether a host is a trunk's or this machine.
            open_to_all: whether anybody may call who knows a password.
        """
        self._knows = knows
        self._open_to_all = open_to_all
        self.talks: Callable[[str], bool] = lambda _call_id: False
        """Whether a dialog with this Call-ID is up."""
        self.limits = limits
        self._clock = clock
        self._known: dict[str, bool] = {}
        self._strangers: OrderedDict[str, Stranger] = OrderedDict()
        self._counts = Counter(
            dict.fromkeys(("dropped_banned", "dropped_flooding", "dropped_unanswered", "bans"), 0)
        )

    def update(self, limits: Limits) -> None:
        """Go by these limits, and by trunks that may have changed. Who has become known is pardoned."""
        self.limits = limits
        self._known.clear()
        for host in [host for host in self._strangers if self._knows(host.partition("/")[0])]:
            del self._strangers[host]

    def hears(self, host: str, data: bytes) -> bool:
        """Whether a message from `host` is read."""
        if self._is_known(host) or data.startswith(b"SIP/2.0 "):
            return True
        now = self._clock()
        stranger = self._stranger(host, now)
        banned = stranger.banned_until > now
        hidden = self.limits.silent and not (data.startswith(_CALLING) and self._open_to_all())
        if _TO_TAG.search(data) and self._is_within(data):
            return True
        if banned:
            self._counts["dropped_banned"] += 1
            return False
        if hidden:  # not even what is wrong with a message is told
            self._counts["dropped_unanswered"] += 1
            self.strike(host, "unknown")
            return False
        rate = self.limits.source_rate
        if rate is None:
            return True
        stranger.tokens = min(stranger.tokens + (now - stranger.at) * rate, 2 * rate)
        stranger.at = now
        if stranger.tokens < 1:
            self._counts["dropped_flooding"] += 1
            stranger.reasons["flooding"] += 1
            return False
        stranger.tokens -= 1
        return True

    def shuts_out(self, host: str) -> bool:
        """Whether a new connection from `host` is closed at once."""
        stranger = self._strangers.get(_source(host))
        if stranger is None or stranger.banned_until <= self._clock():
            return False
        self._counts["dropped_banned"] += 1
        return True

    def is_stranger(self, host: str) -> bool:
        """Whether `host` is neither a trunk's nor this machine."""
        return not self._is_known(host)

    def strike(self, host: str, reason: str) -> None:
        """`host` has been refused for `reason`; often enough, and it is banned."""
        if self._is_known(host):
            return
        now = self._clock()
        stranger = self._stranger(host, now)
        stranger.reasons[reason] += 1
        if reason in UNPROVEN:
            return
        if now - stranger.since > WINDOW:
            stranger.since, stranger.strikes = now, 0
        stranger.strikes += 1
        most = self.limits.ban_after
        if most is not None and stranger.strikes >= most and stranger.banned_until <= now:
            stranger.banned_until = now + self.limits.ban_seconds
            stranger.strikes = 0
            self._counts["bans"] += 1
            if self._counts["bans"] <= LISTED:
                log.warning("%s is banned for %g s: %s", host, self.limits.ban_seconds, _told(stranger))

    def pardon(self, host: str) -> bool:
        """Forget what `host` has done, as after a good password; whether anything was known of it."""
        return self._strangers.pop(_source(host), None) is not None

    def counters(self) -> dict[str, int]:
        """What was kept out since the start, and how many sources are banned now."""
        now = self._clock()
        banned = sum(stranger.banned_until > now for stranger in self._strangers.values())
        return {**self._counts, "banned": banned}

    def describe(self) -> list[dict[str, Any]]:
        """The strangers that have been refused most, for the operator."""
        now = self._clock()
        worst = sorted(
            ((host, each) for host, each in self._strangers.items() if each.reasons),
            key=lambda pair: (pair[1].banned_until <= now, -pair[1].reasons.total()),
        )
        return [
            {
                "source": host,
                "refused": dict(each.reasons),
                "banned_seconds": round(max(each.banned_until - now, 0.0), 1),
            }
            for host, each in worst[:LISTED]
        ]

    def _is_known(self, host: str) -> bool:
        known = self._known.get(host)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[host] = self._knows(host)
        return known

    def _is_within(self, data: bytes) -> bool:
        found = _CALL_ID.search(data.partition(b"\r\n\r\n")[0])
        return found is not None and self.talks(found[1].strip().decode("utf-8", "replace"))

    def _stranger(self, host: str, now: float) -> Stranger:
        host = _source(host)
        stranger = self._strangers.get(host)
        if stranger is None:
            stranger = self._strangers[host] = Stranger(now, 2 * (self.limits.source_rate or 0.0))
            if len(self._strangers) > REMEMBERED:
                self._forget_one(now)
        else:
            self._strangers.move_to_end(host)
        return stranger

    def _forget_one(self, now: float) -> None:
        """A flood of forged sources must not make us forget who is banned, where that can be helped."""
        for host, stranger in list(self._strangers.items())[:10]:
            if stranger.banned_until <= now:
                del self._strangers[host]
                return
        self._strangers.popitem(last=False)


def _source(host: str) -> str:
    """Who is counted: the address, or the /64 of an IPv6 one, which its owner may vary as he likes."""
    if ":" not in host:
        return host
    address = literal(host)
    return f"{IPv6Network((address, 64), strict=False)}" if isinstance(address, IPv6Address) else str(address)


def _told(stranger: Stranger) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in stranger.reasons.most_common())
