"""Offer and answer across the two legs (RFC 3264): the caller's offer goes to the callee with our address in
it, the callee's answer comes back the same way, and both legs' codecs and addresses go to the relay.

Each leg has an offer/answer of its own. The answer that the caller got stands for the whole call (in a 183
or, when the flow played something first, in a 200 of ours); a callee dialled after that is offered just what
the caller has agreed to.
"""

from __future__ import annotations

from forkproxy.errors import SdpError
from forkproxy.media import MediaLeg
from forkproxy.model import Address
from forkproxy.signalling import sdp

DTMF = "TELEPHONE-EVENT"


def codec_map(session: sdp.AudioSession) -> dict[int, str]:
    """Payload type -> codec name, of the codecs that we carry."""
    return {codec.payload_type: codec.name for codec in session.codecs if codec.name in sdp.CARRIED}


def set_remote(
    media: MediaLeg,
    session: sdp.AudioSession,
    offered: sdp.AudioSession | None = None,
    *,
    signalled_from: str | None = None,
) -> None:
    """Tell the relay where a party is and what it speaks.

    `signalled_from` is the address that its SIP comes from: a phone behind NAT describes a private address,
    but its packets come from there.

    `offered` adds our offer's numbering: an answerer sends with the offer's payload types and receives with
    its own (RFC 3264, 6.1), so both are met.
    """
    codecs = codec_map(session)
    if offered is not None:
        accepted = set(codecs.values())
        codecs = {number: name for number, name in codec_map(offered).items() if name in accepted} | codecs
    media.set_remote(
        Address(session.host, session.port),
        Address(session.rtcp_host, session.rtcp_port),
        codecs,
        direction=session.direction,
        ptime=session.ptime or 20,
        signalled_from=signalled_from,
    )


def payload_types(source: sdp.AudioSession, target: sdp.AudioSession) -> dict[int, int]:
    """How `source` numbers its packets -> how `target` wants them numbered, where the two differ."""
    wanted = {codec.name: codec.payload_type for codec in reversed(target.codecs)}
    return {
        codec.payload_type: wanted[codec.name]
        for codec in source.codecs
        if codec.name in wanted and wanted[codec.name] != codec.payload_type
    }


class Negotiation:
    """The caller's side of a call, and what it means for each callee."""

    def __init__(
        self, offer: bytes | None, media: MediaLeg, host: str, *, signalled_from: str | None = None
    ) -> None:
        """
        Args:
            offer: the INVITE's session description; None when the caller wants ours (delayed offer).
            media: the caller's RTP leg.
            host: our address as the caller must see it.
            signalled_from: the address that the caller's SIP came from.

        Raises:
            SdpError: the offer is malformed or has nothing that we carry.
        """
        self.offer = offer
        self.answer: bytes | None = None
        """What the caller was told, or our own offer in a 200; fixed once it is sent."""
        self.remote: sdp.AudioSession | None = None
        self._media = media
        self._host = host
        self._signalled_from = signalled_from
        if offer is not None:
            self.remote = sdp.parse(offer)
            self._check_audio(self.remote)
            set_remote(media, self.remote, signalled_from=signalled_from)

    @staticmethod
    def _check_audio(session: sdp.AudioSession) -> None:
        if not any(codec.name in sdp.CARRIED and codec.name != DTMF for codec in session.codecs):
            offered = ", ".join(codec.name for codec in session.codecs) or "nothing"
            raise SdpError(f"no audio codec that forkproxy carries (offered: {offered})")

    def offer_for_callee(self, media: MediaLeg, host: str) -> bytes:
        """The offer of a second leg whose RTP leg is `media`.

        Raises:
            SdpError: nothing to offer.
        """
        if self.offer is None:
            return sdp.offer(host, media.rtp_port, media.rtcp_port)
        only = None
        if self.answer is not None:
            only = [codec.name for codec in sdp.parse(self.answer).codecs]
        return sdp.forward_offer(self.offer, host, media.rtp_port, media.rtcp_port, only=only)

    def callee_answered(
        self, answer: bytes, media: MediaLeg, *, signalled_from: str | None = None
    ) -> sdp.AudioSession:
        """Take a callee's answer in: its leg gets it, and the caller's answer follows if none stands yet.

        Raises:
            SdpError: the answer is malformed or has no codec that was offered.
        """
        session = sdp.parse(answer)
        self._check_audio(session)
        if self.answer is None:
            self.answer = self._for_caller(session)
        set_remote(media, session, self.remote, signalled_from=signalled_from)
        return session

    def answer_alone(self) -> bytes:
        """The answer when no callee has given one: the first audio codec that the caller prefers."""
        if self.answer is None:
            if self.remote is None:
                self.answer = sdp.offer(self._host, self._media.rtp_port, self._media.rtcp_port)
            else:
                audio = [c.name for c in self.remote.codecs if c.name in sdp.CARRIED and c.name != DTMF]
                self.answer = self._accept([audio[0], DTMF])
        return self.answer

    def caller_confirmed(self, answer: bytes) -> None:
        """The ACK carried the caller's answer to our offer (delayed offer).

        Raises:
            SdpError: the answer is malformed or accepts nothing.
        """
        self.remote = sdp.parse(answer)
        self._check_audio(self.remote)
        set_remote(self._media, self.remote, signalled_from=self._signalled_from)

    def _for_caller(self, callee: sdp.AudioSession) -> bytes:
        names = [codec.name for codec in callee.codecs if codec.name in sdp.CARRIED]
        if self.offer is None:
            codecs = [codec for codec in callee.codecs if codec.name in sdp.CARRIED]
            return sdp.offer(self._host, self._media.rtp_port, self._media.rtcp_port, codecs)
        return self._accept(names)

    def _accept(self, names: list[str]) -> bytes:
        assert self.offer is not None
        return sdp.make_answer(self.offer, self._host, self._media.rtp_port, self._media.rtcp_port, names)
