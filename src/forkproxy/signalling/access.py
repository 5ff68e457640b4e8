"""Admission: by the address that a request comes from, and by digest where a trunk has users; nobody else."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from forkproxy.model import Address
from forkproxy.signalling.authentication import Authenticator, Failure, User
from forkproxy.signalling.midcall import content
from forkproxy.signalling.trunks import Trunk, literal, origin

log = logging.getLogger(__name__)

LOGGED = 100
"""How many refused sources are named in the log: a forgotten carrier is seen, a scan fills no disk."""
REQUEST_LINE = 4200
"""Octets in which the request's URI stands."""
REASONS = ("unknown", "unreadable", "challenged", "password")


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that is heard."""

    trunk: str | None = None
    """The trunk that the caller has shown to be of; None: its address says it all."""


@dataclass(frozen=True, slots=True)
class Refused:
    """One that is not."""

    status: int
    """0: not even answered."""
    headers: tuple[tuple[str, str], ...] = ()


Admit = Callable[[Address, str, bytes], Admitted | Refused]
"""Decides on a request outside dialogs: where it comes from, its method, and the whole message."""


def by_address(test: Callable[[Address], bool]) -> Admit:
    """Admit by nothing but the address; the others get 403."""
    return lambda address, _method, _message: Admitted() if test(address) else Refused(403)


class Access:
    """Who may call in."""

    def __init__(
        self,
        trunks: Sequence[Trunk],
        *,
        silent: bool = False,
        realm: str = "forkproxy",
        algorithms: Sequence[str] = ("SHA-256", "MD5"),
        on_refused: Callable[[str, str], None] = lambda _host, _reason: None,
        on_admitted: Callable[[str], None] = lambda _host: None,
    ) -> None:
        """
        Args:
            realm, algorithms: what passwords are asked for with.
            silent: strangers get no answer, instead of 403.
            on_refused: told of each refusal: the source, and one of `REASONS`.
            on_admitted: told of each source that has shown a right password.
        """
        self.silent = silent
        self._counts = Counter({f"refused_{reason}": 0 for reason in REASONS})
        self._logged: set[str] = set()
        self._on_refused, self._on_admitted = on_refused, on_admitted
        self._authenticator = Authenticator({}, realm=realm, algorithms=algorithms)
        self.update(trunks)

    def update(self, trunks: Sequence[Trunk]) -> None:
        """Admit by these from now on."""
        self._trunks = tuple(trunks)
        self._authenticator.users = {user.name: user for trunk in trunks for user in trunk.users}
        self.open_to_all: bool = any(trunk.users and not trunk.accept for trunk in trunks)

    def knows(self, host: str) -> bool:
        """Whether `host` is this machine or some trunk's."""
        source = literal(host)
        return source is not None and (source.is_loopback or origin(self._trunks, host) is not None)

    def admits(self, address: Address, method: str = "INVITE", message: bytes = b"") -> Admitted | Refused:
        """Whether a request from `address` is heard; a refusal is counted with its source."""
        source = literal(address.host)
        if source is None:
            return self._refuse(address.host, "unreadable", Refused(403))
        trunk = self.trunk_of(address)
        if trunk is not None and trunk.users:
            return self._authenticated(address, method, message, trunk)
        if trunk is not None or source.is_loopback:
            return Admitted()
        if self.open_to_all and method == "INVITE":
            return self._authenticated(address, method, message, None)
        return self._refuse(address.host, "unknown", Refused(0 if self.silent else 403))

    def trunk_of(self, address: Address) -> Trunk | None:
        """The first trunk whose networks contain `address`; None for loopback and strangers."""
        return origin(self._trunks, address.host)

    def counters(self) -> Mapping[str, int]:
        """Refusals by reason since the start."""
        return self._counts

    def _authenticated(
        self, address: Address, method: str, message: bytes, trunk: Trunk | None
    ) -> Admitted | Refused:
        """By digest: as a user of `trunk`, whose address it is, or of one that takes calls from anywhere."""
        if method != "INVITE":
            return Admitted() if trunk is not None else self._refuse(address.host, "unknown", Refused(403))
        answers = [value for name, value in content(message).headers if name.lower() == "authorization"]
        target = message[:REQUEST_LINE].split(b" ", 2)[1:2]
        uri = target[0].decode("utf-8", "replace") if target else ""
        outcome = self._authenticator.check(method, answers, uri)
        if isinstance(outcome, User) and self._may_come_from(outcome, trunk):
            self._on_admitted(address.host)
            return Admitted(outcome.trunk)
        stale = isinstance(outcome, Failure) and outcome.stale
        challenge = Refused(401, tuple(self._authenticator.challenge(stale=stale)))
        if stale:
            return challenge
        asked = isinstance(outcome, Failure) and outcome.reason in ("none", "unusable")
        return self._refuse(address.host, "challenged" if asked else "password", challenge)

    def _may_come_from(self, user: User, trunk: Trunk | None) -> bool:
        if trunk is not None:
            return user.trunk == trunk.name
        own = next((each for each in self._trunks if each.name == user.trunk), None)
        return own is not None and not own.accept

    def _refuse(self, host: str, why: str, refusal: Refused) -> Refused:
        self._counts[f"refused_{why}"] += 1
        self._on_refused(host, why)
        if why != "challenged" and host not in self._logged and len(self._logged) < LOGGED:
            self._logged.add(host)
            known = "a password or name is wrong" if why == "password" else "no trunk accepts this address"
            log.warning("requests from %s are refused: %s", host, known)
        return refusal
