"""What strangers may send at all: bans and rates, decided before anybody reads a message.

A *stranger* is a source that no trunk accepts and that is not this machine. Responses pass: they are answers
to what we have sent, or cost next to nothing. Requests of strangers pass at a rate. A stranger that has been
refused too often in a minute is banned for a while, and then only its requests within dialogs are read: it
may be the callee of a call that is up, a sender can be forged, and that must not cut the call off.
"""

from __future__ import annotations

import logging
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from forkproxy.model import Limits

log = logging.getLogger(__name__)

REMEMBERED = 10_000
"""Strangers that are remembered; the one heard of longest ago is forgotten first."""
WINDOW = 60.0
"""Seconds in which refusals are added up."""
LISTED = 100
"""Strangers that `describe` shows, the worst ones."""

_WITHIN_A_DIALOG = re.compile(rb"\n(?:to|t)[ \t]*:[^\r\n]*;[ \t]*tag=", re.IGNORECASE)


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
        self, knows: Callable[[str], bool], limits: Limits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            knows: whether a host is a trunk's or this machine.
        """
        self._knows = knows
        self.limits = limits
        self._clock = clock
        self._known: dict[str, bool] = {}
        self._strangers: OrderedDict[str, Stranger] = OrderedDict()
        self._counts = Counter(dict.fromkeys(("dropped_banned", "dropped_flooding", "bans"), 0))

    def update(self, limits: Limits) -> None:
        """Go by these limits, and by trunks that may have changed. Who has become known is pardoned."""
        self.limits = limits
        self._known.clear()
        for host in [host for host in self._strangers if self._knows(host)]:
            del self._strangers[host]

    def hears(self, host: str, data: bytes) -> bool:
        """Whether a message from `host` is read."""
        if self._is_known(host) or data.startswith(b"SIP/2.0 "):
            return True
        now = self._clock()
        stranger = self._stranger(host, now)
        if stranger.banned_until > now and not _WITHIN_A_DIALOG.search(data):
            self._counts["dropped_banned"] += 1
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
        stranger = self._strangers.get(host)
        if stranger is None or stranger.banned_until <= self._clock():
            return False
        self._counts["dropped_banned"] += 1
        return True

    def strike(self, host: str, reason: str) -> None:
        """`host` has been refused for `reason`; often enough, and it is banned."""
        if self._is_known(host):
            return
        now = self._clock()
        stranger = self._stranger(host, now)
        stranger.reasons[reason] += 1
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
        return self._strangers.pop(host, None) is not None

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

    def _stranger(self, host: str, now: float) -> Stranger:
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


def _told(stranger: Stranger) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in stranger.reasons.most_common())
