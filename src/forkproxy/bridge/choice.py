"""Which codecs are offered and accepted, so that whatever one party sends can reach the other. Pure.

A packet reaches the other leg as it is where that leg has the codec, too, and otherwise if the relay can turn
it into one that it has. The first is better: nothing is lost, and nothing is computed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from forkproxy.errors import SdpError
from forkproxy.media import CARRIED, SRTP_SUITES, TRANSCODABLE
from forkproxy.signalling.codecs import Codec, event_key, numbered, rate_of
from forkproxy.signalling.sdes import SUITES

OFFERED = ("PCMU", "PCMA", "G722")
"""`media.codecs`, where nobody has said otherwise."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What this forkproxy can do with audio."""

    offered: tuple[str, ...] = OFFERED
    """Codecs by key that are offered beside those of the other party, best first."""
    carried: frozenset[str] = CARRIED
    """What the relay can forward."""
    transcodable: frozenset[str] = TRANSCODABLE
    """What it can turn into one another."""
    suites: tuple[str, ...] | None = None
    """SRTP's suites, best first; None: what the library has, which is looked up when somebody needs it."""

    @property
    def srtp_suites(self) -> tuple[str, ...]:
        """`suites`, as far as we know the length of their keys."""
        return tuple(
            suite for suite in (SRTP_SUITES if self.suites is None else self.suites) if suite in SUITES
        )

    def usable(self, codecs: Iterable[Codec]) -> list[Codec]:
        """Those that the relay can forward; one codec counts once, by its first payload type."""
        first: dict[str, Codec] = {}
        for codec in codecs:
            if codec.key in self.carried:
                first.setdefault(codec.key, codec)
        return list(first.values())

    def reaches(self, key: str, others: Collection[str]) -> bool:
        """Whether what is sent in codec `key` can be had in one of `others`."""
        if key in others:
            return True
        kind = _kind(key)
        return key in self.transcodable and any(
            other in self.transcodable and _kind(other) == kind for other in others
        )


def _kind(key: str) -> str:
    name = key.partition("/")[0]
    return name if name in ("TELEPHONE-EVENT", "CN") else "audio"


def demand_audio(codecs: Sequence[Codec], offered: Iterable[Codec]) -> None:
    """Raises SdpError if there is no audio among `codecs`; the message names what was `offered`."""
    if not any(codec.is_audio for codec in codecs):
        names = ", ".join(codec.key for codec in offered) or "nothing"
        raise SdpError(f"no audio codec that forkproxy carries (offered: {names})")


def for_callee(
    caller: Sequence[Codec],
    standing: Sequence[str] | None,
    abilities: Abilities,
    taken: Collection[int] = (),
) -> list[Codec]:
    """What a callee is offered: the caller's codecs in its order, then those that we make of them.

    Args:
        caller: what the caller can do, with its payload types.
        standing: the keys that the caller has been told, best first; None: nothing yet. They come first then,
            the caller's others only if they can be made of them.
        taken: payload types that new codecs must not get, beside the caller's.
    """
    own = abilities.usable(caller)
    active = [codec.key for codec in own] if standing is None else standing
    own = [codec for codec in own if abilities.reaches(codec.key, active)]
    if standing is not None:
        own.sort(key=lambda codec: standing.index(codec.key) if codec.key in standing else len(standing))
    have = {codec.key for codec in own}
    made = [key for key in abilities.offered if key not in have and abilities.reaches(key, active)]
    # Events have the clock rate of the audio that they go with (RFC 4733, 2.1).
    events = [key for key in _events(made) if key not in have and abilities.reaches(key, active)]
    new = numbered([*made, *events], {*taken, *(codec.payload_type for codec in caller)})
    codecs = [*own, *new]
    return [codec for codec in codecs if codec.is_audio] + [codec for codec in codecs if not codec.is_audio]


def for_caller(caller: Sequence[Codec], callee: Sequence[Codec], abilities: Abilities) -> list[str]:
    """What the caller is told when the callee has answered with its codecs, best first.

    What both have stands first, in the callee's order. If the callee may send something else, the caller's
    best codec that this can be turned into stands behind.

    Raises:
        SdpError: nothing that one sends can reach the other.
    """
    ours, theirs = abilities.usable(caller), abilities.usable(callee)
    have, there = [codec.key for codec in ours], [codec.key for codec in theirs]
    told = [codec.key for codec in theirs if codec.is_audio and codec.key in have]
    if any(codec.is_audio and not abilities.reaches(codec.key, told) for codec in theirs):
        others = (codec.key for codec in ours if codec.is_audio and codec.key not in told)
        told += [key for key in others if abilities.reaches(key, there)][:1]
    if not told:
        raise SdpError(
            f"no audio codec in common (one leg: {', '.join(have)}; the other: {', '.join(there)})"
        )
    return told + [codec.key for codec in ours if not codec.is_audio and abilities.reaches(codec.key, there)]


def alone(caller: Sequence[Codec], abilities: Abilities) -> list[str]:
    """What the caller is told before a callee is known: one audio codec, and the events that go with it.

    It is the caller's first that any callee can be connected to. One only: a phone that is told several may
    ask in a re-INVITE for the decision.
    """
    ours = abilities.usable(caller)
    audio = [codec for codec in ours if codec.is_audio]
    best = next((codec for codec in audio if codec.key in abilities.transcodable), audio[0])
    events = [codec for codec in ours if codec.name == "TELEPHONE-EVENT"]
    events.sort(key=lambda codec: codec.rate != best.rate)
    return [best.key, *(codec.key for codec in events[:1])]


def first_offer(abilities: Abilities) -> list[Codec]:
    """What we offer to a party when we know of no other."""
    keys = [key for key in abilities.offered if key in abilities.carried] or [OFFERED[0]]
    return numbered([*keys, *(key for key in _events(keys) if key in abilities.carried)])


def _events(keys: Iterable[str]) -> list[str]:
    events = (event_key(rate_of(key)) for key in keys)
    return list(dict.fromkeys(key for key in events if key is not None))
