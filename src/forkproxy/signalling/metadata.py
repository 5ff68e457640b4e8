"""The metadata of a recording session as somebody else's recorder-client sends it (RFC 7865), read leniently.

SBCs write drafts of many years: other namespaces, other names of attributes, elements out of order, AORs
without a scheme. So names count and namespaces do not, what cannot be understood is left out, and only what
is no XML at all is refused. Written strictly, metadata is the SIPREC connector's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from forkproxy.errors import SignallingError

TYPES = frozenset(("application/rs-metadata+xml", "application/rs-metadata"))
"""RFC 9806's media type, and RFC 7866's."""
LIMIT = 65_536
"""Octets of a document at most, as of a message."""
MOST_PARTICIPANTS = 64
MOST_PARAMETERS = 200


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody who takes part in the recorded call."""

    id: str
    aor: str
    """Its address, as written: ``sip:alice@example.com``, ``tel:+1555``, or without a scheme."""
    name: str
    """Its name for people; "" if it has none."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What is known of a recorded call. Mappings are by the ids of the document."""

    complete: bool = True
    session: str = ""
    """The session's id; of several, the first's."""
    participants: Mapping[str, Participant] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    """A stream's id -> the label of its m= line."""
    senders: Mapping[str, str] = field(default_factory=dict)
    """A stream's id -> the participant that speaks on it."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """``Parameter`` elements with ``name`` and ``value``, and extensions that have text, by their name."""
    sip_sessions: tuple[str, ...] = ()
    """The Session-IDs (RFC 7989) of the call's legs."""

    def speaker(self, label: str) -> Participant | None:
        """Who speaks on the m= line with this label."""
        for stream, its_label in self.labels.items():
            if its_label == label:
                return self.participants.get(self.senders.get(stream, ""))
        return None

    def updated(self, by: Recording) -> Recording:
        """This with another document laid over it: a complete one replaces all, a partial one what it has."""
        if by.complete:
            return by
        return replace(
            self,
            session=by.session or self.session,
            participants={**self.participants, **by.participants},
            labels={**self.labels, **by.labels},
            senders={**self.senders, **by.senders},
            parameters={**self.parameters, **by.parameters},
            sip_sessions=by.sip_sessions or self.sip_sessions,
        )


def read(document: bytes) -> Recording:
    """Read a document.

    Raises:
        SignallingError: it is too long, no XML (line and column are named), or declares entities.
    """
    if len(document) > LIMIT:
        raise SignallingError(f"the metadata has {len(document)} octets, more than {LIMIT}")
    if b"<!DOCTYPE" in document or b"<!ENTITY" in document:
        raise SignallingError("the metadata declares a document type, which none of its versions has")
    try:
        root = ElementTree.fromstring(document.strip())
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the last two: an unknown encoding
        raise SignallingError(f"the metadata is no XML: {error}") from error
    participants: dict[str, Participant] = {}
    labels: dict[str, str] = {}
    senders: dict[str, str] = {}
    parameters: dict[str, str] = {}
    session = ""
    sip_sessions: list[str] = []
    for element in root.iter():
        match _name(element):
            case "participant" if len(participants) < MOST_PARTICIPANTS:
                participant = _participant(element)
                participants[participant.id] = participant
                _sent(element, participant.id, senders)
            case "participantstreamassoc":
                _sent(element, _attribute(element, "participant_id", "id", "participant"), senders)
            case "stream":
                for label in _children(element, "label"):
                    labels[_attribute(element, "stream_id", "id")] = _text(label)
            case "session":
                session = session or _attribute(element, "session_id", "id")
                sip_sessions += [text for each in _children(element, "sipSessionID") if (text := _text(each))]
            case _:
                pass
    for name, value in _parameters(root):
        if len(parameters) < MOST_PARAMETERS:
            parameters.setdefault(name, value)
    mode = next((_text(element).lower() for element in _children(root, "datamode", "dataMode")), "complete")
    return Recording(
        mode != "partial", session, participants, labels, senders, parameters, tuple(sip_sessions[:16])
    )


def _participant(element: Element) -> Participant:
    aor = name = ""
    for identity in _children(element, "nameID"):
        aor = aor or _attribute(identity, "aor")
        name = name or next((_text(each) for each in _children(identity, "name")), "")
    for each in _children(element, "aor"):  # drafts had it as an element
        aor = aor or _text(each)
    return Participant(_attribute(element, "participant_id", "id"), aor, name)


def _sent(element: Element, participant: str, senders: dict[str, str]) -> None:
    if next(_children(element, "disassociate-time"), None) is not None:
        return  # it was so, and is no more
    for send in _children(element, "send"):
        stream = _text(send) or next((_text(each) for each in _children(send, "id")), "")
        if stream:
            senders[stream] = participant


_OWN = frozenset((
    *("recording", "recording_metadata", "datamode", "dataMode", "group", "session", "participant"),
    *("sessionrecordingassoc", "participantsessionassoc", "participantstreamassoc", "nameID", "name"),
    *("stream", "label"),
    *("send", "recv", "associate-time", "disassociate-time", "start-time", "stop-time", "sipSessionID"),
    *("group-ref", "reason", "param", "id", "aor", "mode", "requestsnapshot", "requestreason", "callData"),
))  # fmt: skip


def _parameters(root: Element) -> Iterator[tuple[str, str]]:
    for element in root.iter():
        name = _name(element)
        if name.lower() in ("parameter", "param"):
            key = _attribute(element, "name", "pname")
            if key:
                yield key, _attribute(element, "value", "pval") or _text(element)
        elif name not in _OWN and len(element) == 0 and _text(element):
            yield name, _text(element)


def _name(element: Element) -> str:
    """The name without its namespace; "" for comments and the like."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _children(element: Element, *names: str) -> Iterator[Element]:
    return (child for child in element if _name(child) in names)


def _attribute(element: Element, *names: str) -> str:
    for key, value in element.attrib.items():
        if key.rpartition("}")[2] in names:
            return value.strip()
    return ""


def _text(element: Element) -> str:
    return (element.text or "").strip()
