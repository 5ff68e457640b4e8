"""Digest authentication of those who call in: challenges and their answers (RFC 7616, 8760; RFC 3261, 22).

Nothing is kept for a challenge: its nonce carries its time and our signature. What is kept is how far the
counter has come of a nonce that was answered rightly, so that no answer can be used twice.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

LIFETIME = 60.0
"""Seconds in which a challenge can be answered; after that a right answer gets a new one (``stale``)."""
ANSWERED = 20_000
"""Nonces whose counters are remembered; they live for a minute, and the oldest go first."""

_PARAMETER = re.compile(r'([A-Za-z0-9_-]+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^\s,"]+)')
_HASHES = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}
"""By the names of RFC 8760, the better one first, as challenges list them."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may call in by a trunk."""

    name: str
    trunk: str
    """The trunk's name."""
    password: str | None = field(default=None, repr=False)
    hashed: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Instead of the password: the hexadecimal hash of ``name:realm:password`` by algorithm."""

    def secret(self, algorithm: str, realm: str) -> str | None:
        """The hash of name, realm and password; None: it is not known by this algorithm."""
        if self.password is not None:
            return _hash(algorithm, f"{self.name}:{realm}:{self.password}")
        return self.hashed.get(algorithm)


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer that does not do."""

    reason: str
    """``wrong`` (name or password), ``replayed``, ``stale``, ``unusable`` or ``none`` (no answer at all)."""

    @property
    def stale(self) -> bool:
        """Whether only the nonce was too old."""
        return self.reason == "stale"


class Authenticator:
    """Challenges callers and checks their answers."""

    def __init__(
        self,
        users: Mapping[str, User],
        *,
        realm: str = "forkproxy",
        algorithms: Sequence[str] = tuple(_HASHES),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.users = users
        self.realm = realm
        self._algorithms = tuple(algorithms)
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._counters: OrderedDict[str, int] = OrderedDict()

    def challenge(self, *, stale: bool = False) -> list[tuple[str, str]]:
        """The headers of a 401: one for each algorithm that some user's secret is known by."""
        nonce = self._nonce()
        rest = f'nonce="{nonce}", qop="auth"' + (", stale=true" if stale else "")
        return [
            ("WWW-Authenticate", f'Digest realm="{self.realm}", {rest}, algorithm={algorithm}')
            for algorithm in self._algorithms
            if any(user.password is not None or algorithm in user.hashed for user in self.users.values())
        ]

    def check(self, method: str, values: list[str], uri: str) -> User | Failure:
        """Whose the request to `uri` is, by the values of its Authorization headers."""
        ours = [found for value in values if (found := _parse(value)).get("realm") == self.realm]
        if not ours:
            return Failure("none")
        outcomes = [self._check(method, each, uri) for each in ours]
        return next((each for each in outcomes if isinstance(each, User)), outcomes[0])

    def _check(self, method: str, answer: Mapping[str, str], uri: str) -> User | Failure:
        algorithm = answer.get("algorithm", "MD5").upper()
        nonce, count = answer.get("nonce", ""), answer.get("nc", "")
        if (
            algorithm not in self._algorithms
            or answer.get("qop") != "auth"
            or not re.fullmatch(r"[0-9A-Fa-f]{8}", count)
            or not answer.get("cnonce")
            or not _is_for(answer.get("uri", ""), uri)
        ):
            return Failure("unusable")
        made = self._made(nonce)
        if made is None:
            return Failure("unusable")
        user = self.users.get(answer.get("username", ""))
        # The same work for a name that is not known, so that its absence does not show in the time it takes.
        secret = None if user is None else user.secret(algorithm, self.realm)
        known = secret if secret is not None else _hash(algorithm, nonce)
        request = _hash(algorithm, f"{method}:{answer['uri']}")
        wanted = _hash(algorithm, f"{known}:{nonce}:{count}:{answer['cnonce']}:auth:{request}")
        response = answer.get("response", "").lower()
        right = hmac.compare_digest(wanted.encode(), response.encode("utf-8", "replace"))
        if not right or user is None or secret is None:
            return Failure("wrong")
        if not -1 <= self._clock() - made <= LIFETIME:
            return Failure("stale")
        number = int(count, 16)
        if number <= self._counters.get(nonce, 0):
            return Failure("replayed")
        self._counters[nonce] = number
        self._counters.move_to_end(nonce)
        if len(self._counters) > ANSWERED:
            self._counters.popitem(last=False)
        return user

    def _nonce(self) -> str:
        made = f"{int(self._clock() * 1000):012x}{secrets.token_hex(8)}"
        return made + self._signature(made)

    def _made(self, nonce: str) -> float | None:
        """When one of our nonces was made; None: it is none of ours."""
        if not re.fullmatch(r"[0-9a-f]{60}", nonce):
            return None
        if not hmac.compare_digest(self._signature(nonce[:28]), nonce[28:]):
            return None
        return int(nonce[:12], 16) / 1000

    def _signature(self, made: str) -> str:
        return hmac.new(self._key, made.encode(), hashlib.sha256).hexdigest()[:32]


def _hash(algorithm: str, text: str) -> str:
    return _HASHES[algorithm](text.encode("utf-8", "replace")).hexdigest()


def _is_for(signed: str, uri: str) -> bool:
    """Whether an answer for `signed` may go with a request to `uri` (RFC 7616, 3.4.6): same user and host.

    Parameters and ports differ where a proxy is on the way; some clients sign the host alone.
    """
    one, other = _user_and_host(signed), _user_and_host(uri)
    return one[1] == other[1] and (one[0] is None or one[0] == other[0])


def _user_and_host(uri: str) -> tuple[str | None, str]:
    rest = uri.partition(":")[2].partition(";")[0].partition("?")[0]
    user, at, host = rest.rpartition("@")
    host = host.partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return (user.partition(":")[0] if at else None), host.lower()


def _parse(value: str) -> dict[str, str]:
    """The parameters of a Digest answer; empty: it is something else."""
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest":
        return {}
    return {name.lower(): _unquoted(text) for name, text in _PARAMETER.findall(rest)}


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
