"""SRTP with keys from SDP (RFC 4568): the suites, a leg's keys, and sessions for the relay made of them.

The cryptography is libsrtp with OpenSSL as the package pylibsrtp brings it. The relay calls libsrtp's
functions by their addresses, which cffi gives; the sessions are made here, by that package's own code, so
that none of libsrtp's structures is known to ours. The library is loaded when SRTP is first asked for.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from forkproxy.errors import MediaError
from forkproxy.media._relay import RelayLeg, RelaySrtp

_LENGTHS = {
    "AEAD_AES_256_GCM": 32 + 12,
    "AEAD_AES_128_GCM": 16 + 12,
    "AES_CM_128_HMAC_SHA1_80": 16 + 14,
    "AES_CM_128_HMAC_SHA1_32": 16 + 14,
}
_PROFILES = {
    "AEAD_AES_256_GCM": "SRTP_PROFILE_AEAD_AES_256_GCM",
    "AEAD_AES_128_GCM": "SRTP_PROFILE_AEAD_AES_128_GCM",
    "AES_CM_128_HMAC_SHA1_80": "SRTP_PROFILE_AES128_CM_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32": "SRTP_PROFILE_AES128_CM_SHA1_32",
}
_TRANSFORM = "srtp_err_status_t(*)(struct srtp_ctx_t_ *, void *, int *)"


class _Suites(Mapping[str, int]):
    """The suites that this library offers; which, is found out when somebody looks."""

    @functools.cached_property
    def _offered(self) -> dict[str, int]:
        return {suite: length for suite, length in _LENGTHS.items() if _works(suite)}

    def __getitem__(self, suite: str) -> int:
        return self._offered[suite]

    def __iter__(self) -> Iterator[str]:
        return iter(self._offered)

    def __len__(self) -> int:
        return len(self._offered)

    def __repr__(self) -> str:
        return f"SRTP_SUITES({self._offered})"


SRTP_SUITES: Mapping[str, int] = _Suites()
"""Crypto suites by their names in SDP (RFC 4568, RFC 7714), best first: the octets of a key and its salt.

Only what the library really offers: empty where it is missing.
"""


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """What the two sides of a leg encrypt with.

    Raises:
        MediaError: the suite is unknown, or a key has another length than it asks for.
    """

    suite: str
    """Its name in SDP, such as ``AES_CM_128_HMAC_SHA1_80``."""
    send: bytes = field(repr=False)
    """Master key and salt, one after the other, of what we send."""
    receive: bytes = field(repr=False)
    """The same of what the phone sends."""

    def __post_init__(self) -> None:
        length = _LENGTHS.get(self.suite)
        if length is None:
            raise MediaError(f"SRTP suite {self.suite!r}: not one of {', '.join(_LENGTHS)}")
        for name, key in (("send", self.send), ("receive", self.receive)):
            if len(key) != length:
                raise MediaError(
                    f"SRTP key to {name} with: {len(key)} octets, but {self.suite} takes {length}"
                )


@dataclass(frozen=True, slots=True)
class SrtpSessions:
    """A leg's keys at work."""

    keys: SrtpKeys
    opens: RelaySrtp
    seals: RelaySrtp


def srtp_sessions(
    leg: RelayLeg, keys: SrtpKeys, before: SrtpSessions | None, *, ssrc: int | None = None
) -> SrtpSessions:
    """Sessions for a leg, or (by its `ssrc`) for a copy of one of its tracks; it is not given them yet.

    Where the keys of a direction are what they were `before`, its session goes on: its rollover counter, and
    its memory of what has come and gone, belong to the key.

    Raises:
        MediaError: the library is missing, too old or too new, or does not offer the suite.
    """
    opens = seals = None
    if before is not None and before.keys.suite == keys.suite:
        opens = before.opens if before.keys.receive == keys.receive else None
        seals = before.seals if before.keys.send == keys.send else None
    library = _library()
    return SrtpSessions(
        keys,
        opens or library.session(leg, "unprotect", keys.suite, keys.receive, None),
        seals or library.session(leg, "protect", keys.suite, keys.send, leg.ssrc if ssrc is None else ssrc),
    )


class _Library:
    """pylibsrtp, with the addresses of libsrtp's functions."""

    def __init__(self) -> None:
        """Raises ImportError or AttributeError: it is not there, or not what it was."""
        self._srtp: Any = importlib.import_module("pylibsrtp")
        binding: Any = importlib.import_module("pylibsrtp._binding")
        self._ffi = binding.ffi
        self._addresses = {
            name: self._address(self._ffi.addressof(binding.lib, f"srtp_{name}"))
            for name in ("protect", "protect_rtcp", "unprotect", "unprotect_rtcp")
        }

    def _address(self, function: Any) -> int:
        kind = self._ffi.typeof(function).cname
        if kind != _TRANSFORM:
            raise AttributeError(f"a function is {kind} instead of {_TRANSFORM}")
        return int(self._ffi.cast("uintptr_t", function))

    def session(self, leg: RelayLeg, function: str, suite: str, key: bytes, ssrc: int | None) -> RelaySrtp:
        """A session that protects what is sent as `ssrc`, or (None) unprotects all that comes."""
        session = self.make(suite, key, ssrc)
        pointer = int(self._ffi.cast("uintptr_t", session._srtp[0]))
        addresses = self._addresses[function], self._addresses[f"{function}_rtcp"]
        return RelaySrtp(leg, session, pointer, *addresses)

    def make(self, suite: str, key: bytes, ssrc: int | None) -> Any:
        """A `pylibsrtp.Session`.

        Sending is for our one SSRC. "Any" would let RTCP in the clear from the other leg, whose first packet
        may be of a kind that has no SSRC, make libsrtp remember numbers without end.
        """
        policy_class = self._srtp.Policy
        try:
            policy = policy_class(
                key=key,
                ssrc_type=policy_class.SSRC_ANY_INBOUND if ssrc is None else policy_class.SSRC_SPECIFIC,
                ssrc_value=ssrc or 0,
                srtp_profile=getattr(policy_class, _PROFILES[suite]),
            )
            return self._srtp.Session(policy)
        except self._srtp.Error as error:
            raise MediaError(f"SRTP suite {suite}: libsrtp does not offer it ({error})") from error


@functools.cache
def _library() -> _Library:
    try:
        return _Library()
    except (ImportError, AttributeError) as error:
        raise MediaError(f"SRTP needs the package pylibsrtp, 1.0 or a later 1.x: {error}") from error


def _works(suite: str) -> bool:
    try:
        _library().make(suite, bytes(_LENGTHS[suite]), 1)
    except MediaError:
        return False
    return True
