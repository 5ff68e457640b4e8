"""The audio of a recording session: each m= line of the recording client is a track, received and not sent.

A pair of RTP legs takes the first two. They are connected to each other and send nothing, so that a tap of
the first hears what the one line brings as inbound and what the other brings as outbound, on one clock: a
call as any other, for streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from forkproxy.bridge import choice
from forkproxy.bridge.choice import Abilities
from forkproxy.bridge.party import Keys, set_remote, srtp_keys
from forkproxy.errors import SdpError
from forkproxy.media import MediaLeg
from forkproxy.signalling import continuing, recorded, sdes
from forkproxy.signalling.codecs import Codec


@dataclass(slots=True)
class Place:
    """One RTP leg, and the track that it receives; None: none, for now."""

    leg: MediaLeg
    track: recorded.Track | None = None
    keys: Keys | None = None

    @property
    def open(self) -> bool:
        """Whether its party is heard: there is a track, and its client does not pause it."""
        return self.track is not None and not self.track.paused


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a place will receive, once the answer is written."""

    place: Place
    track: recorded.Track
    codecs: tuple[Codec, ...]
    keys: Keys | None


class Tracks:
    """The places of a recording session, the caller's first, and what has been agreed on for them."""

    def __init__(
        self,
        legs: Sequence[MediaLeg],
        host: str,
        security: sdes.Security,
        *,
        signalled_from: str | None,
        abilities: Abilities,
    ) -> None:
        """
        Args:
            legs: two RTP legs that nobody uses; connected and silenced here.
            host: our address as the client must see it.
            security: whether the streams are encrypted.
            signalled_from: the address that the client's SIP comes from.
            abilities: what can be done with audio.
        """
        self.places = [Place(leg) for leg in legs]
        self.answer = b""
        """What the client was told last."""
        self._host = host
        self._security = security
        self._signalled_from = signalled_from
        self._abilities = abilities
        first, second = legs
        first.connect(second)
        first.silence()
        second.silence()

    @property
    def labels(self) -> list[str]:
        """Of the tracks that there are, the caller's first."""
        return [place.track.label for place in self.places if place.track is not None]

    def take(self, offer: bytes) -> bytes:
        """The answer to an offer, which then holds; a line that had a place keeps it.

        Lines that cannot be recorded, and those beyond the second, are refused with port 0.

        Raises:
            SdpError: no line can be recorded. Nothing has changed.
            MediaError: the relay cannot use an address.
        """
        plans = self._plan(offer)
        taken = {
            plan.track.session.index: recorded.Taken(
                plan.place.leg.rtp_port,
                plan.place.leg.rtcp_port,
                [codec.key for codec in plan.codecs],
                None if plan.keys is None else plan.keys[0],
            )
            for plan in plans
        }
        answer = recorded.answer(offer, self._host, taken, self._security)
        self.answer = continuing.next_answer(self.answer, answer)
        for plan in plans:
            self._receive(plan.place, plan.track, plan.codecs, plan.keys)
        for place in self.places:
            if place.track is not None and place not in (plan.place for plan in plans):
                self._receive(place, None, (), None)
        return self.answer

    def _plan(self, offer: bytes) -> list[_Plan]:
        tracks = recorded.tracks(offer, self._security)
        seats = self._seats(tracks)
        plans: list[_Plan] = []
        problem: SdpError | None = None
        for track in tracks:
            place = seats.get(track.session.index)
            if place is None:
                continue
            try:
                carried = self._abilities.usable(track.session.codecs)
                choice.demand_audio(carried, track.session.codecs)
                told = choice.alone(carried, self._abilities)
            except SdpError as error:
                problem = error
                continue
            by_key = {codec.key: codec for codec in carried}
            codecs = tuple(by_key[key] for key in told)
            plans.append(_Plan(place, track, codecs, self._keys(place, track)))
        if not plans:
            raise problem or SdpError("no audio stream that can be recorded")
        return plans

    def _seats(self, tracks: Sequence[recorded.Track]) -> dict[int, Place]:
        """The place of each line, by its index: the one it has, otherwise the first that is free."""
        held = {place.track.session.index: place for place in self.places if place.track is not None}
        seats = {
            track.session.index: held[track.session.index] for track in tracks if track.session.index in held
        }
        free = [place for place in self.places if place not in seats.values()]
        for track in tracks:
            if track.session.index not in seats and free:
                seats[track.session.index] = free.pop(0)
        return seats

    def _keys(self, place: Place, track: recorded.Track) -> Keys | None:
        """Our key for the client's: as it was while the client's is, a fresh one when that changes."""
        theirs = sdes.choose(track.session.crypto, self._security.suites)
        if theirs is None:
            return None
        if place.keys is not None:
            ours, before = place.keys
            if (before.suite, before.key) == (theirs.suite, theirs.key):
                return replace(ours, tag=theirs.tag), theirs
        return sdes.fresh(theirs.tag, theirs.suite), theirs

    def _receive(
        self, place: Place, track: recorded.Track | None, codecs: tuple[Codec, ...], keys: Keys | None
    ) -> None:
        """Tell the relay; a line that is gone is one on hold."""
        if track is not None:
            session = replace(track.session, codecs=codecs)
        elif place.track is not None:
            session, keys = place.track.session, place.keys
        else:
            return
        # To its tap, what the other track brings is what this one hears.
        heard = track is not None and not track.paused
        session = replace(session, direction="sendrecv" if heard else "recvonly")
        set_remote(
            place.leg,
            session,
            None if keys is None else srtp_keys(*keys),
            self._security,
            signalled_from=self._signalled_from,
        )
        place.track, place.keys = track, None if track is None else keys
