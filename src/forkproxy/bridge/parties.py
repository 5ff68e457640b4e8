"""Whom a recorded call is between, as flows, streams and recorders further on are told. Pure.

The metadata of a recording session (RFC 7865) names participants by the streams that they speak on. The first
stream's is the caller here, and its audio the inbound track; the second one's is the callee.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from forkproxy.bridge.addresses import party
from forkproxy.model import Party
from forkproxy.numbers import Rule, rewrite
from forkproxy.signalling.metadata import Participant, Recording

_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True, slots=True)
class Parties:
    """The two sides of a recorded call; None where nothing is known."""

    caller: Participant | None = None
    callee: Participant | None = None

    @classmethod
    def of(cls, recording: Recording, labels: Sequence[str]) -> Parties:
        """Who speaks on the streams with these labels, the caller's first.

        On a stream with both voices everybody speaks, and where the metadata has no streams nobody does: then
        participants count in their order.
        """
        speakers = [recording.speaker(label) for label in labels[:2]]
        if len(speakers) == 2 and any(speakers):
            return cls(*speakers)
        caller, callee, *_ = (*recording.participants.values(), None, None)
        return cls(caller, callee)

    def after(self, before: Parties) -> Parties:
        """Whom it does not name, on hold say, is who was there before."""
        return Parties(self.caller or before.caller, self.callee or before.callee)


def address(participant: Participant, rules: Sequence[Rule] = ()) -> str:
    """A participant as `trigger.call.From` has it: a number, or a SIP URI.

    >>> address(Participant("p1", "alice@example.com", ""))
    'sip:alice@example.com'
    >>> address(Participant("p1", "tel:+15551230000", ""))
    '+15551230000'
    """
    aor = participant.aor
    if re.match(r"(?i)(?:sips?|tel):", aor):
        return rewrite(rules, party(aor))
    return rewrite(rules, party(f"sip:{aor}") if "@" in aor else aor)


def named(participant: Participant | None, before: Party, rules: Sequence[Rule] = ()) -> Party:
    """A side of the call for those who are told of it; what is not known stays as it was."""
    if participant is None:
        return before
    return replace(before, address=address(participant, rules) or before.address, name=participant.name)


def parameters(recording: Recording, parties: Parties) -> Mapping[str, str]:
    """What `trigger.call` has of the metadata: `docs/siprec.md` lists it."""
    found = {"SiprecSession": recording.session, "SiprecSessionIds": " ".join(recording.sip_sessions)}
    for side, who in (("Inbound", parties.caller), ("Outbound", parties.callee)):
        found[f"Siprec{side}Id"] = "" if who is None else who.id
        found[f"Siprec{side}Aor"] = "" if who is None else who.aor
        found[f"Siprec{side}Name"] = "" if who is None else who.name
    for name, value in recording.parameters.items():
        found[f"SiprecData_{_NOT_A_NAME.sub('_', name)}"] = value
    return found
