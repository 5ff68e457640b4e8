"""One trunk's registration with its carrier: what it is, and when the next REGISTER is due. Pure.

| state          |                                                                          |
|----------------|--------------------------------------------------------------------------|
| `unregistered` | not tried yet, or given back                                             |
| `registered`   | the carrier knows where we are, until `expires_at`                       |
| `failed`       | the last attempt failed; the next one is due later each time             |
"""

from __future__ import annotations

import random
import re
from typing import Literal

from forkproxy.signalling.requests import Reply

State = Literal["unregistered", "registered", "failed"]

LONGEST_PAUSE = 1_800.0
"""Seconds between two attempts at the most (RFC 5626, 4.5)."""
_EXPIRES = re.compile(r";\s*expires\s*=\s*\"?(\d{1,9})", re.IGNORECASE)


class Registration:
    """What is known of one registration."""

    def __init__(self, expires: int, retry: float, dice: random.Random) -> None:
        """
        Args:
            expires: seconds to ask for.
            retry: seconds from the first failure to the next attempt; doubled each time.
            dice: spreads the attempts of many trunks.
        """
        self.state: State = "unregistered"
        self.expires = expires
        """What is asked for; more than configured where the carrier wants that."""
        self.expires_at: float | None = None
        """When the binding ends unless it is refreshed."""
        self.status = 0
        """The last reply's; 0: there was none yet."""
        self.reason = ""
        self.failures = 0
        """Attempts that failed since the last that did not."""
        self._retry = retry
        self._dice = dice

    def take(self, reply: Reply, contact: str, now: float) -> float:
        """What became of a REGISTER; seconds until the next one.

        Args:
            contact: the host and port of our Contact, as it stands in the reply's.
        """
        self.status, self.reason = reply.status, reply.reason
        if 200 <= reply.status < 300:
            granted = _granted(reply, contact, self.expires)
            self.state, self.failures = "registered", 0
            self.expires_at = now + granted
            return max(granted * self._dice.uniform(0.75, 0.9), 1.0)
        wanted = reply.get("Min-Expires") if reply.status == 423 else None
        if wanted is not None and wanted.isdecimal() and self.expires < int(wanted) <= 86_400:
            self.expires = int(wanted)
            return 0.0
        self.state = "failed"
        self.failures += 1
        pause: float = min(self._retry * 2 ** min(self.failures - 1, 16), LONGEST_PAUSE)
        after = reply.get("Retry-After") if reply.status in (500, 503) else None
        if after is not None and (match := re.match(r"\d{1,6}", after.strip())):
            pause = min(max(pause, float(match[0])), LONGEST_PAUSE)
        return pause * self._dice.uniform(0.5, 1.0)

    def given_back(self) -> None:
        """The carrier was told to forget us."""
        self.state, self.expires_at = "unregistered", None


def _granted(reply: Reply, contact: str, asked: int) -> int:
    """How long the binding holds: our Contact's word, otherwise the header's, otherwise what was asked."""
    for name, value in reply.headers:
        if name.lower() not in ("contact", "m"):
            continue
        for each in value.split(","):
            match = _EXPIRES.search(each)
            if contact in each and match is not None:
                return max(int(match[1]), 1)
    header = reply.get("Expires") or ""
    return max(int(header), 1) if header.isdecimal() and len(header) < 10 else asked
