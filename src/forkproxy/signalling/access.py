"""Admission by address: trunks' networks and loopback, nobody else."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Sequence

from forkproxy.model import Address
from forkproxy.signalling.trunks import Trunk, literal, origin

log = logging.getLogger(__name__)

REMEMBERED = 1000
"""How many refused sources are remembered; the one refused longest ago goes first."""
LOGGED = 100
"""How many of them are named in the log: a forgotten carrier is seen, a scan does not fill the disk."""


class Access:
    """Who may call in."""

    def __init__(self, trunks: Sequence[Trunk]) -> None:
        self._trunks = tuple(trunks)
        self._counts: Counter[str] = Counter()
        self._refused: OrderedDict[str, int] = OrderedDict()

    def update(self, trunks: Sequence[Trunk]) -> None:
        """Admit by these from now on."""
        self._trunks = tuple(trunks)

    def admits(self, address: Address) -> bool:
        """Whether a request from `address` is heard; a refusal is counted with its source."""
        source = literal(address.host)
        if source is None:
            return self._refuse(address.host, "refused_unreadable")
        if source.is_loopback or self.trunk_of(address) is not None:
            return True
        return self._refuse(address.host, "refused_unknown")

    def trunk_of(self, address: Address) -> Trunk | None:
        """The first trunk whose networks contain `address`; None for loopback and strangers."""
        return origin(self._trunks, address.host)

    def counters(self) -> dict[str, int]:
        """Refusals by reason since the start, and how many sources of them are remembered."""
        return {
            "refused_unknown": self._counts["refused_unknown"],
            "refused_unreadable": self._counts["refused_unreadable"],
            "refused_sources": len(self._refused),
        }

    def refused(self) -> dict[str, int]:
        """Refusals by source, the latest last; the operator looks here for a trunk that is missing."""
        return dict(self._refused)

    def _refuse(self, host: str, why: str) -> bool:
        self._counts[why] += 1
        if host not in self._refused and len(self._refused) < LOGGED:
            log.warning("requests from %s are refused: no trunk accepts this address", host)
        self._refused[host] = self._refused.pop(host, 0) + 1
        if len(self._refused) > REMEMBERED:
            self._refused.popitem(last=False)
        return False
