"""Recording metadata (RFC 7865): what is known of a call, and the document that says it. Pure.

A snapshot is valid by the schema of RFC 7865, section 9, whatever names and addresses are in it: what XML
cannot carry is left out, the rest escaped. Identifiers are UUIDs (version 5) of the call's sid, so that every
recorder of a call, at the same time or after another, hears the same ones (RFC 7865 6.10, RFC 7866 9.2).
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

NAMESPACE = "urn:ietf:params:xml:ns:recording:1"
MEDIA_TYPE = "application/rs-metadata+xml"
"""RFC 9806; before it was `LEGACY_TYPE`."""
LEGACY_TYPE = "application/rs-metadata"
SNAPSHOT_REQUEST = "requestsnapshot"

_SPACE = uuid.UUID("6e0f0d1c-6a6b-5f64-9d5c-3a5f2a1f7c55")
_ILLEGAL = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
_NUMBER = re.compile(r"\+?[0-9*#]{1,32}")
_SCHEME = re.compile(r"(?:sips?|tel):", re.IGNORECASE)


def identifier(*what: str) -> str:
    """The UUID that stands for this, as RFC 7865 6.10 writes it: 16 octets in base64.

    >>> identifier("CA1", "session") == identifier("CA1", "session") != identifier("CA1", "caller")
    True
    """
    return base64.b64encode(uuid.uuid5(_SPACE, "\x00".join(what)).bytes).decode()


def moment(at: datetime) -> str:
    """RFC 3339 as RFC 7865 6.9 wants it: capital T and Z.

    >>> moment(datetime(2026, 11, 26, 7, 0, 0, 125000, tzinfo=UTC))
    '2026-11-26T07:00:00.125000Z'
    """
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def aor(address: str, domain: str | None = None) -> str:
    """An address of record for a number or a URI; `domain` makes SIP URIs of numbers.

    >>> aor("+15550100"), aor("+15550100", "example.com"), aor("sip:bob@biloxi.com"), aor("bob smith")
    ('tel:+15550100', 'sip:+15550100@example.com', 'sip:bob@biloxi.com', 'sip:bob%20smith@anonymous.invalid')
    """
    if _SCHEME.match(address):
        return quote(address, safe="!#$&'()*+,/:;=?@[]~%-._")
    user = quote(address, safe="!$&'()*+,;=~-._") or "anonymous"
    if _NUMBER.fullmatch(address) and domain is None:
        return f"tel:{address}"
    return f"sip:{user}@{domain or 'anonymous.invalid'}"


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody who is, or was, in the call."""

    id: str
    aor: str
    name: str
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class MediaStream:
    """One stream that is recorded: what one participant says, or all of them together."""

    id: str
    label: str
    senders: tuple[str, ...]
    """Participants who may be heard in it."""
    receivers: tuple[str, ...]
    """Participants who hear it."""


@dataclass(frozen=True, slots=True)
class Picture:
    """All that is known of a call at one moment."""

    session_id: str
    began: datetime
    participants: tuple[Participant, ...]
    streams: tuple[MediaStream, ...]
    ended: datetime | None = None
    group_id: str | None = None
    session_ids: tuple[str, ...] = ()
    """Of RFC 7989."""
    parameters: tuple[tuple[str, str], ...] = ()
    """The flow's, for ExtensionParameters."""
    silent: frozenset[str] = field(default_factory=frozenset)
    """Participants on hold: nothing of theirs is sent, or heard."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a recorder wants it to be said."""

    parameters_namespace: str = "urn:forkproxy:recording"
    extensions: tuple[tuple[str, str], ...] = ()
    """Element of RFC 7865 (``session``, ``participant``, ...), and the XML that is put at its end."""
    partial: bool = False


def document(picture: Picture, form: Form = Form(), *, labels: bool = True) -> bytes:
    """The snapshot.

    Args:
        labels: the message has an offer that defines them; without one they must not be mentioned (7866 9.1).
    """
    partial = form.partial
    parts = [element("datamode", text="partial" if partial else "complete")]
    if picture.group_id is not None:
        times = [element("associate-time", text=moment(picture.began))]
        parts.append(element("group", {"group_id": picture.group_id}, times + _extra(form, "group")))
    parts.append(_session(picture, form))
    parts += [_participant(each, form) for each in picture.participants]
    if not partial or labels:
        parts += [_stream(each, picture.session_id, form, labels) for each in picture.streams]
    times = [element("associate-time", text=moment(picture.began))]
    if picture.ended is not None:
        times.append(element("disassociate-time", text=moment(picture.ended)))
    parts.append(
        element(
            "sessionrecordingassoc",
            {"session_id": picture.session_id},
            times + _extra(form, "sessionrecordingassoc"),
        )
    )
    for each in picture.participants:
        names = {"participant_id": each.id, "session_id": picture.session_id}
        parts.append(
            element("participantsessionassoc", names, _times(each.since, each.until or picture.ended))
        )
    for each in picture.participants:
        if each.until is None:
            parts.append(
                element("participantstreamassoc", {"participant_id": each.id}, _flows(each, picture))
            )
    body = "".join(parts)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\r\n<recording xmlns="{NAMESPACE}">{body}</recording>\r\n'
    ).encode()


def _session(picture: Picture, form: Form) -> str:
    parts = [element("sipSessionID", text=value) for value in picture.session_ids]
    if picture.group_id is not None:
        parts.append(element("group-ref", text=picture.group_id))
    parts.append(element("start-time", text=moment(picture.began)))
    if picture.ended is not None:
        parts.append(element("stop-time", text=moment(picture.ended)))
    if picture.parameters:
        pairs = [element("Parameter", {"name": name, "value": value}) for name, value in picture.parameters]
        parts.append(element("ExtensionParameters", {"xmlns": form.parameters_namespace}, pairs))
    return element("session", {"session_id": picture.session_id}, parts + _extra(form, "session"))


def _participant(each: Participant, form: Form) -> str:
    names = [element("name", text=each.name)] if each.name else []
    parts = [element("nameID", {"aor": each.aor}, names)]
    return element("participant", {"participant_id": each.id}, parts + _extra(form, "participant"))


def _stream(each: MediaStream, session: str, form: Form, labels: bool) -> str:
    parts = [element("label", text=each.label)] if labels else []
    return element("stream", {"stream_id": each.id, "session_id": session}, parts + _extra(form, "stream"))


def _flows(each: Participant, picture: Picture) -> list[str]:
    """What a participant sends and hears; on hold, nothing of it is (RFC 7865 6.8.1, RFC 8068 3.2.2)."""
    sends = [] if each.id in picture.silent else [s.id for s in picture.streams if each.id in s.senders]
    hears = [
        stream.id
        for stream in picture.streams
        if each.id in stream.receivers and any(who not in picture.silent for who in stream.senders)
    ]
    return [element("send", text=id_) for id_ in sends] + [element("recv", text=id_) for id_ in hears]


def _times(since: datetime, until: datetime | None) -> list[str]:
    times = [element("associate-time", text=moment(since))]
    return times if until is None else [*times, element("disassociate-time", text=moment(until))]


def _extra(form: Form, name: str) -> list[str]:
    return [xml for where, xml in form.extensions if where == name]


def element(
    name: str, attributes: Mapping[str, str] | None = None, children: Iterable[str] = (), *, text: str = ""
) -> str:
    """One element; `children` are XML, all else is escaped, and what XML cannot carry is left out.

    >>> element("name", {"a": 'x"<'}, text="R&D \\x00")
    '<name a=\\'x"&lt;\\'>R&amp;D </name>'
    """
    head = "".join(f" {key}={quoteattr(clean(value))}" for key, value in (attributes or {}).items())
    inner = escape(clean(text)) + "".join(children)
    return f"<{name}{head}>{inner}</{name}>" if inner else f"<{name}{head}/>"


def clean(text: str) -> str:
    """Without the characters that no XML document may have (XML 1.0, 2.2), lone surrogates among them."""
    return _ILLEGAL.sub("", text)


@dataclass(slots=True)
class Story:
    """What happens to the people of a call, kept so that each snapshot is complete."""

    sid: str
    began: datetime
    domain: str | None = None
    people: list[Participant] = field(default_factory=list)

    def joined(self, role: str, address: str, name: str, at: datetime, *, instead: bool = False) -> None:
        """Whoever plays `role` (``caller``, ``callee``) is this one; another one before has left.

        `instead`: nobody was there before; it was only thought who it would be.
        """
        wanted = aor(address, self.domain)
        current = self.playing(role)
        if current is not None and instead:
            self.people[self.people.index(current)] = replace(current, aor=wanted, name=name)
            return
        if current is not None and current.aor == wanted:
            if name and current.name != name:
                self.people[self.people.index(current)] = replace(current, name=name)
            return
        if current is not None:
            self.people[self.people.index(current)] = replace(current, until=at)
        number = sum(each.id in self._ids(role) for each in self.people)
        self.people.append(Participant(identifier(self.sid, role, str(number)), wanted, name, at))

    def playing(self, role: str) -> Participant | None:
        """Who plays a role now."""
        ids = self._ids(role)
        return next((each for each in reversed(self.people) if each.id in ids and each.until is None), None)

    def _ids(self, role: str) -> list[str]:
        return [identifier(self.sid, role, str(number)) for number in range(len(self.people) + 1)]


def tracks(
    sid: str, caller: str, callee: str, labels: Mapping[str, str], wanted: Sequence[str], *, mixed: bool
) -> tuple[MediaStream, ...]:
    """The streams of a call between two participants: one for each of the `wanted` tracks, or one of both."""
    if mixed:
        both = (caller, callee)
        return (MediaStream(identifier(sid, "stream", "mixed"), labels["mixed"], both, both),)
    who = {"inbound": (caller, callee), "outbound": (callee, caller)}
    return tuple(
        MediaStream(identifier(sid, "stream", track), labels[track], (who[track][0],), (who[track][1],))
        for track in wanted
    )


def is_snapshot_request(data: bytes) -> bool:
    """Whether a body asks for a complete snapshot (RFC 7866 9.2)."""
    return re.search(rb"<(?:\w+:)?requestsnapshot[\s/>]", data) is not None
