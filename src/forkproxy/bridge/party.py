"""One party's side of a call that is up, when it changes: offers, answers, and what the relay is told then.

An offer or answer is first turned into a `Change`, which alters nothing; `apply` makes it hold. So whatever
fails on the way leaves the old session as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from forkproxy.bridge import choice
from forkproxy.bridge.choice import Abilities
from forkproxy.errors import SdpError
from forkproxy.media import MediaLeg, SrtpKeys
from forkproxy.model import Address
from forkproxy.signalling import continuing, sdes, sdp
from forkproxy.signalling.codecs import numbered

Keys = tuple[sdes.Crypto, sdes.Crypto]
"""Ours and theirs."""


def srtp_keys(ours: sdes.Crypto, theirs: sdes.Crypto) -> SrtpKeys:
    """A pair of lines as the relay wants it."""
    return SrtpKeys(ours.suite, send=ours.key, receive=theirs.key)


def set_remote(
    media: MediaLeg,
    session: sdp.AudioSession,
    keys: SrtpKeys | None,
    security: sdes.Security,
    *,
    offered: Sequence[sdp.Codec] = (),
    signalled_from: str | None = None,
) -> None:
    """Tell the relay where a party is and what it speaks.

    `signalled_from` is the address that its SIP comes from: a phone behind NAT describes a private address,
    but its packets come from there.

    `offered` adds our offer's numbering: an answerer sends with the offer's payload types and receives with
    its own (RFC 3264, 6.1), so both are met.

    Raises:
        SdpError: encryption is required, and there are no keys. Every way to the relay leads through here.
    """
    if keys is None and security.mode == "required":
        raise SdpError("audio must be encrypted, and no key has been agreed on")
    codecs = {codec.payload_type: codec.key for codec in session.codecs}
    accepted = set(codecs.values())
    for codec in offered:
        if codec.key in accepted:
            codecs.setdefault(codec.payload_type, codec.key)
    media.set_remote(
        Address(session.host, session.port),
        Address(session.rtcp_host, session.rtcp_port),
        codecs,
        direction=session.direction,
        ptime=session.packet_ms,
        signalled_from=signalled_from,
        srtp=keys,
    )


class Way(NamedTuple):
    """A direction attribute, taken apart: what its writer does."""

    sends: bool
    receives: bool

    @classmethod
    def of(cls, direction: str) -> Way:
        """The two halves of ``sendrecv``, ``sendonly``, ``recvonly`` or ``inactive``."""
        return cls(direction in ("sendrecv", "sendonly"), direction in ("sendrecv", "recvonly"))

    @property
    def direction(self) -> str:
        """The attribute."""
        if self.sends:
            return "sendrecv" if self.receives else "sendonly"
        return "recvonly" if self.receives else "inactive"

    def within(self, peer: Way) -> Way:
        """As much of it as goes with what the other side of the wire does (RFC 3264, 6.1).

        >>> Way.of("sendrecv").within(Way.of("sendonly")).direction
        'recvonly'
        """
        return Way(self.sends and peer.receives, self.receives and peer.sends)


BOTH_WAYS = Way(True, True)


@dataclass(frozen=True, slots=True)
class Proposal:
    """An offer of ours that is open."""

    text: bytes
    codecs: tuple[sdp.Codec, ...]
    crypto: tuple[sdes.Crypto, ...]
    way: Way


@dataclass(frozen=True, slots=True)
class Change:
    """What a party's session will be."""

    local: bytes
    """Our new description."""
    described: bytes
    """The party's own."""
    remote: sdp.AudioSession
    will: Way
    """What the party would do if nobody kept it from that: its last offer, or its answers to ours."""
    crypto: Keys | None
    offered: tuple[sdp.Codec, ...]
    """The codecs with our numbers, where we have offered them."""


@dataclass(slots=True)
class Party:
    """A party and what has been agreed on with it."""

    media: MediaLeg
    host: str
    """Our address as the party must see it."""
    security: sdes.Security
    signalled_from: str | None
    abilities: Abilities
    now: Change

    @property
    def told(self) -> Way:
        """What we have said last that we do."""
        return Way.of(sdp.parse(self.now.local).direction)

    @property
    def encrypted(self) -> bool:
        """Whether there are keys."""
        return self.now.crypto is not None

    def hears_of(self, will: Way) -> bool:
        """Whether what the party was told says what the other party wants, as far as it matters."""
        return will.within(self.now.will) == self.told.within(self.now.will)

    # The party offers

    def read(self, offer: bytes) -> sdp.AudioSession:
        """The audio stream of an offer, with the codecs that we carry.

        Raises:
            SdpError: it cannot be used.
        """
        session = sdp.parse(offer, self.security)
        if self.security.mode == "required" and not session.crypto:
            raise SdpError("audio must be encrypted, and no key can be agreed on")
        return self._carried(session)

    def seen(self, offer: bytes) -> Change:
        """Its session as an offer of its describes it, to be passed on before it is answered.

        Raises:
            SdpError: the offer cannot be used.
        """
        return replace(self.now, described=offer, remote=self.read(offer))

    def answer(self, offer: bytes, other: Sequence[sdp.Codec] | None, will: Way) -> Change:
        """Our answer to its offer.

        Args:
            other: the codecs of the other party; None: there is none.
            will: what the other party wants to do.

        Raises:
            SdpError: the offer cannot be used, or what one sends cannot reach the other.
        """
        session = self.read(offer)
        if other is None:
            told = choice.alone(session.codecs, self.abilities)
        else:
            told = choice.for_caller(session.codecs, other, self.abilities)
        crypto = self._keys(sdes.choose(session.crypto, self.security.suites))
        parameters = {codec.key: codec.fmtp for codec in other or ()}
        text = sdp.make_answer(
            offer,
            self.host,
            self.media.rtp_port,
            self.media.rtcp_port,
            told,
            direction=will.within(Way.of(session.direction)).direction,
            fmtp=parameters,
            crypto=None if crypto is None else crypto[0],
            security=self.security,
        )
        by_key = {codec.key: codec for codec in session.codecs}
        session = replace(session, codecs=tuple(by_key[key] for key in told))
        local = continuing.next_answer(self.now.local, text)
        return Change(local, offer, session, Way.of(session.direction), crypto, ())

    def _keys(self, theirs: sdes.Crypto | None) -> Keys | None:
        """Our key for their line: the same as before while theirs is, a fresh one when it changes."""
        if theirs is None:
            return None
        if self.now.crypto is not None:
            ours, before = self.now.crypto
            if (before.suite, before.key) == (theirs.suite, theirs.key):
                return replace(ours, tag=theirs.tag), theirs
        return sdes.fresh(theirs.tag, theirs.suite), theirs

    # We offer

    def offer(self, other: Change | None, will: Way, security: sdes.Security = sdes.ANY) -> Proposal:
        """An offer of ours for it.

        Args:
            other: the other party's session, which is passed on; None: there is none.
            will: what the other party wants to do.
            security: by which the other party's stream is chosen.

        Raises:
            SdpError: nothing that it knows can be made of what the other sends.
        """
        codecs = self._offered(other)
        crypto = () if self.now.crypto is None else self.now.crypto[:1]
        secure = b" RTP/SAVP " in self.now.local
        where = (self.host, self.media.rtp_port, self.media.rtcp_port, codecs)
        if other is None:
            text = sdp.offer(*where, direction=will.direction, crypto=crypto, secure=secure)
        else:
            text = sdp.forward_offer(
                other.described,
                *where,
                direction=will.direction,
                security=security,
                crypto=crypto,
                secure=secure,
            )
        return Proposal(continuing.next_offer(self.now.local, text), tuple(codecs), crypto, will)

    def _offered(self, other: Change | None) -> list[sdp.Codec]:
        """What it has stands first and keeps its numbers (RFC 3264, 8.3.2); then what the other has, too."""
        standing = {codec.key: codec for codec in self.now.remote.codecs}
        numbers = {codec.payload_type for codec in standing.values()}
        for codec in self.now.offered:
            if codec.key not in standing and codec.payload_type not in numbers:
                standing[codec.key] = codec
                numbers.add(codec.payload_type)
        if other is None:
            codecs = list(standing.values())
            more = choice.first_offer(self.abilities)
        else:
            there = [codec.key for codec in other.remote.codecs]
            codecs = [codec for codec in standing.values() if self.abilities.reaches(codec.key, there)]
            more = choice.for_callee(other.remote.codecs, None, self.abilities, numbers)
        for codec in more:
            if codec.key in standing:
                continue
            if codec.payload_type in numbers:
                codecs += (new := numbered([codec.key], numbers))
                numbers.update(each.payload_type for each in new)
            else:
                codecs.append(codec)
                numbers.add(codec.payload_type)
        choice.demand_audio(codecs, standing.values())
        return sorted(codecs, key=lambda codec: not codec.is_audio)

    def standing(self) -> Proposal:
        """What we have said last, as an offer: for the answer to a refresh."""
        crypto = () if self.now.crypto is None else self.now.crypto[:1]
        codecs = self.now.offered or self.now.remote.codecs
        return Proposal(self.now.local, codecs, crypto, self.told)

    def answered(self, proposal: Proposal, answer: bytes) -> Change:
        """Its answer to our offer.

        Raises:
            SdpError: the answer cannot be used.
        """
        session = self._carried(sdp.parse(answer, self.security))
        accepted = {codec.key for codec in proposal.codecs}
        session = replace(session, codecs=tuple(codec for codec in session.codecs if codec.key in accepted))
        choice.demand_audio(session.codecs, session.codecs)
        if session.crypto_refused and not session.crypto:
            raise SdpError(f"the answer cannot be used: {session.crypto_refused[0]}")
        crypto = sdes.accepted(proposal.crypto, session.crypto)
        said, before = Way.of(session.direction), self.now.will
        will = Way(
            said.sends if proposal.way.receives else before.sends,
            said.receives if proposal.way.sends else before.receives,
        )
        session = replace(session, direction=said.within(proposal.way).direction)
        return Change(proposal.text, answer, session, will, crypto, proposal.codecs)

    # Both

    def apply(self, change: Change) -> None:
        """Make it hold: the relay is told.

        Raises:
            SdpError: the party must encrypt, and does not.
            MediaError: the relay cannot use an address.
        """
        keys = None if change.crypto is None else srtp_keys(*change.crypto)
        set_remote(
            self.media,
            change.remote,
            keys,
            self.security,
            offered=change.offered,
            signalled_from=self.signalled_from,
        )
        self.now = change

    def _carried(self, session: sdp.AudioSession) -> sdp.AudioSession:
        codecs = self.abilities.usable(session.codecs)
        choice.demand_audio(codecs, session.codecs)
        return replace(session, codecs=tuple(codecs))
