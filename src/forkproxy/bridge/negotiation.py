"""Offer and answer across the two legs (RFC 3264): the caller's offer goes to the callee with our address in
it, the callee's answer comes back the same way, and both legs' codecs, addresses and keys go to the relay.

Each leg has an offer/answer of its own. The answer that the caller got stands for the whole call (in a 183
or, when the flow played something first, in a 200 of ours); a callee dialled after that is offered first what
the caller has been told. The keys of SRTP are each leg's own, and so is whether it is encrypted at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from forkproxy.bridge import choice
from forkproxy.bridge.choice import Abilities
from forkproxy.bridge.party import Change, Keys, Party, Way, set_remote, srtp_keys
from forkproxy.errors import SdpError
from forkproxy.media import MediaLeg, SrtpKeys
from forkproxy.model import SrtpMode
from forkproxy.signalling import sdes, sdp


@dataclass(frozen=True, slots=True)
class Offer:
    """What we have offered to a party."""

    codecs: tuple[sdp.Codec, ...]
    crypto: tuple[sdes.Crypto, ...]
    security: sdes.Security
    host: str = ""
    """Our address in it."""
    text: bytes = b""

    def keys(self, answer: sdp.AudioSession) -> SrtpKeys | None:
        """The keys that the answer makes valid; None: the leg is plain.

        Raises:
            SdpError: the answer takes a key that was not offered, or means one that cannot be used.
        """
        if answer.crypto_refused and not answer.crypto:
            raise SdpError(f"the answer cannot be used: {answer.crypto_refused[0]}")
        pair = sdes.accepted(self.crypto, answer.crypto)
        return None if pair is None else srtp_keys(*pair)


def payload_types(source: sdp.AudioSession, target: sdp.AudioSession) -> dict[int, int]:
    """How `source` numbers its packets -> how `target` wants them numbered, where the two differ."""
    wanted = {codec.key: codec.payload_type for codec in reversed(target.codecs)}
    return {
        codec.payload_type: wanted[codec.key]
        for codec in source.codecs
        if codec.key in wanted and wanted[codec.key] != codec.payload_type
    }


class Negotiation:
    """The caller's side of a call, and what it means for each callee."""

    def __init__(
        self,
        offer: bytes | None,
        media: MediaLeg,
        host: str,
        *,
        signalled_from: str | None = None,
        srtp: SrtpMode = "optional",
        abilities: Abilities | None = None,
    ) -> None:
        """
        Args:
            offer: the INVITE's session description; None when the caller wants ours (delayed offer).
            media: the caller's RTP leg.
            host: our address as the caller must see it.
            signalled_from: the address that the caller's SIP came from.
            srtp: whether the caller's leg is encrypted.
            abilities: what can be done with audio; None: what the relay can.

        Raises:
            SdpError: the offer is malformed, has nothing that we carry, or is not encrypted as it must.
        """
        self.offer = offer
        self.answer: bytes | None = None
        """What the caller was told, or our own offer in a 200; fixed once it is sent."""
        self.remote: sdp.AudioSession | None = None
        """Where the caller is, with the codecs that it may send: all of its offer's until it was told."""
        self._media = media
        self._host = host
        self._signalled_from = signalled_from
        self._abilities = abilities or Abilities()
        self._security = self._secured(srtp)
        self._told: list[str] = []
        self._offers: WeakKeyDictionary[MediaLeg, Offer] = WeakKeyDictionary()
        self._crypto: sdes.Crypto | None = None
        self._keys: SrtpKeys | None = None
        self._pair: Keys | None = None
        self._described = offer
        if offer is not None:
            remote = self._carried(sdp.parse(offer, self._security))
            theirs = sdes.choose(remote.crypto, self._security.suites)
            if theirs is not None:
                self._crypto = sdes.fresh(theirs.tag, theirs.suite)
                self._keys = srtp_keys(self._crypto, theirs)
                self._pair = self._crypto, theirs
            self._caller_is(remote)

    @property
    def encrypted(self) -> bool:
        """Whether the caller's leg has keys."""
        return self._keys is not None

    def _secured(self, srtp: SrtpMode) -> sdes.Security:
        return sdes.PLAIN if srtp == "off" else sdes.Security(srtp, self._abilities.srtp_suites)

    def _carried(self, session: sdp.AudioSession) -> sdp.AudioSession:
        codecs = self._abilities.usable(session.codecs)
        choice.demand_audio(codecs, session.codecs)
        return replace(session, codecs=tuple(codecs))

    def _caller_is(self, remote: sdp.AudioSession, offered: Sequence[sdp.Codec] = ()) -> None:
        set_remote(
            self._media,
            remote,
            self._keys,
            self._security,
            offered=offered,
            signalled_from=self._signalled_from,
        )
        self.remote = remote

    def offer_for_callee(self, media: MediaLeg, host: str, srtp: SrtpMode = "optional") -> bytes:
        """The offer of a second leg whose RTP leg is `media`.

        Raises:
            SdpError: nothing to offer, or `srtp` is required and this installation has none.
        """
        security = self._secured(srtp)
        crypto = sdes.fresh_offer(security.suites)
        secure = srtp == "required"
        if self.remote is None:
            codecs = choice.first_offer(self._abilities)
        else:
            standing = None if self.answer is None else self._told
            # What the caller offered stays in view after it was told less: it can be made of that.
            caller = self.remote if self.offer is None else sdp.parse(self.offer, self._security)
            codecs = choice.for_callee(caller.codecs, standing, self._abilities)
        where = (host, media.rtp_port, media.rtcp_port, codecs)
        if self.offer is None:
            text = sdp.offer(*where, crypto=crypto, secure=secure)
        else:
            text = sdp.forward_offer(
                self.offer, *where, security=self._security, crypto=crypto, secure=secure
            )
        self._offers[media] = Offer(tuple(codecs), crypto, security, host, text)
        return text

    def offer_at(self, media: MediaLeg, host: str, srtp: SrtpMode = "optional") -> bytes:
        """The offer that a second leg has, with our address for where it really goes.

        Raises:
            SdpError: as `offer_for_callee` has it.
        """
        offer = self._offers[media]
        return offer.text if offer.host == host else self.offer_for_callee(media, host, srtp)

    def callee_answered(
        self, answer: bytes, media: MediaLeg, *, signalled_from: str | None = None
    ) -> sdp.AudioSession:
        """Take a callee's answer in: its leg gets it, and the caller's answer follows if none stands yet.

        Raises:
            SdpError: the answer is malformed, has no codec that was offered or that the caller can be reached
                with, or is not encrypted as it must be.
        """
        offer = self._offers[media]
        session = self._carried(sdp.parse(answer, offer.security))
        accepted = {codec.key for codec in offer.codecs}
        session = replace(session, codecs=tuple(codec for codec in session.codecs if codec.key in accepted))
        choice.demand_audio(session.codecs, session.codecs)
        keys = offer.keys(session)
        if self.answer is None:
            self._tell(session)
        elif self.remote is not None:
            choice.for_caller(self.remote.codecs, session.codecs, self._abilities)
        set_remote(media, session, keys, offer.security, offered=offer.codecs, signalled_from=signalled_from)
        return session

    def answer_alone(self) -> bytes:
        """The answer when no callee has given one: the first audio codec that the caller prefers."""
        if self.answer is None:
            if self.remote is None:
                self._offer_to_caller(choice.first_offer(self._abilities))
            else:
                self._accept(choice.alone(self.remote.codecs, self._abilities))
        assert self.answer is not None
        return self.answer

    def caller_confirmed(self, answer: bytes) -> None:
        """The ACK carried the caller's answer to our offer (delayed offer).

        Raises:
            SdpError: the answer is malformed, accepts nothing, or is not encrypted as it must be.
        """
        offer = self._offers[self._media]
        remote = self._carried(sdp.parse(answer, self._security))
        self._keys = offer.keys(remote)
        self._caller_is(remote, offer.codecs)
        self._pair = sdes.accepted(offer.crypto, remote.crypto)
        self._described = answer
        self._told = [codec.key for codec in remote.codecs]

    # The call goes on to change: see `party` and `reoffers`

    def caller(self) -> Party | None:
        """The caller as a party; None: nothing has been agreed on with it yet."""
        if self.remote is None or self.answer is None or self._described is None:
            return None
        asked = self._offers.get(self._media)
        now = Change(
            self.answer,
            self._described,
            self.remote,
            Way.of(self.remote.direction),
            self._pair,
            () if asked is None else asked.codecs,
        )
        return Party(self._media, self._host, self._security, self._signalled_from, self._abilities, now)

    def callee(
        self, media: MediaLeg, answer: bytes, session: sdp.AudioSession, signalled_from: str | None
    ) -> Party:
        """A callee that has given this answer, as a party.

        Raises:
            SdpError: the answer does not go with what was offered.
        """
        offer = self._offers[media]
        offered, said = Way.of(sdp.parse(offer.text).direction), Way.of(session.direction)
        will = Way(said.sends or not offered.receives, said.receives or not offered.sends)
        pair = sdes.accepted(offer.crypto, session.crypto)
        now = Change(offer.text, answer, session, will, pair, offer.codecs)
        return Party(media, offer.host, offer.security, signalled_from, self._abilities, now)

    def caller_changed(self, now: Change) -> None:
        """What a callee that is dialled from now on is offered follows from this."""
        self.remote, self.offer, self.answer = now.remote, now.described, now.local
        self._described, self._pair = now.described, now.crypto
        self._keys = None if now.crypto is None else srtp_keys(*now.crypto)
        self._told = [codec.key for codec in now.remote.codecs]

    def payload_types(self, callee: sdp.AudioSession | None) -> tuple[dict[int, int], dict[int, int]]:
        """How packets are renumbered from the caller to the callee, and back."""
        if self.remote is None or callee is None:
            return {}, {}
        return payload_types(self.remote, callee), payload_types(callee, self.remote)

    def _tell(self, callee: sdp.AudioSession) -> None:
        """Make the caller's answer of a callee's; what passes through keeps the callee's parameters."""
        if self.remote is None:
            self._offer_to_caller(choice.for_callee(callee.codecs, None, self._abilities))
            return
        told = choice.for_caller(self.remote.codecs, callee.codecs, self._abilities)
        self._accept(told, {codec.key: codec.fmtp for codec in callee.codecs}, callee.maxptime)

    def _accept(
        self, told: list[str], fmtp: dict[str, str | None] | None = None, maxptime: int | None = None
    ) -> None:
        """Answer the caller's offer; from here on it gets what it was told, and nothing else it offered."""
        assert self.offer is not None
        assert self.remote is not None
        answer = sdp.make_answer(
            self.offer,
            self._host,
            self._media.rtp_port,
            self._media.rtcp_port,
            told,
            fmtp=fmtp,
            maxptime=maxptime,
            crypto=self._crypto,
            security=self._security,
        )
        by_key = {codec.key: codec for codec in self.remote.codecs}
        self._caller_is(replace(self.remote, codecs=tuple(by_key[key] for key in told)))
        self.answer, self._told = answer, told

    def _offer_to_caller(self, codecs: list[sdp.Codec]) -> None:
        crypto = sdes.fresh_offer(self._security.suites)
        self.answer = sdp.offer(
            self._host,
            self._media.rtp_port,
            self._media.rtcp_port,
            codecs,
            crypto=crypto,
            secure=self._security.mode == "required",
        )
        self._offers[self._media] = Offer(tuple(codecs), crypto, self._security, self._host, self.answer)
        self._told = [codec.key for codec in codecs]
