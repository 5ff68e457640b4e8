"""What is wrong with metadata, a SIP message or a capture of a recording session, line by line. Pure.

The schema of RFC 7865 finds what is malformed; the rules here find what is well-formed and still wrong:
identifiers that are no UUIDs, references that lead nowhere, times without a zone, labels without an offer.
"""

from __future__ import annotations

import base64
import binascii
import functools
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

from forkproxy_siprec import capture, parts, sdp
from forkproxy_siprec.metadata import LEGACY_TYPE, MEDIA_TYPE, NAMESPACE

DRAFTS = {
    "urn:ietf:params:xml:ns:recording": "of a draft: RFC 7865's ends in :1",
    "urn:ietf:params:xml:ns:siprec": "of an early draft (BroadWorks)",
}
IDS = {"group": "group_id", "session": "session_id", "participant": "participant_id", "stream": "stream_id"}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_START = re.compile(rb"(?:[A-Z]{3,12} \S+ SIP/2\.0|SIP/2\.0 \d{3} [^\r\n]*)\r?\n")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    line: int
    """1-based, in the file; in a capture, within the message that `where` names."""
    message: str
    rule: str
    """The section that says so."""
    warning: bool = False
    """Legal, or common, and still worth a look."""
    where: str = ""

    def __str__(self) -> str:
        kind = "warning" if self.warning else "error"
        where = f"{self.where}:" if self.where else ""
        return f"{where}{self.line}: {kind}: {self.message} ({self.rule})"


def lint(data: bytes) -> list[Finding]:
    """Everything that is wrong with a file: XML, one SIP message, or a capture (pcap, pcapng).

    Raises:
        ValueError: it is none of these.
        ImportError: lxml, which knows the schema, is not installed.
    """
    if capture.is_capture(data):
        return list(_of_capture(data))
    if _START.match(data.lstrip(b"\r\n")):
        return list(_of_message(data))
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return list(_of_metadata(data, None, 0))
    raise ValueError("neither XML nor a SIP message nor a capture")


def _of_capture(data: bytes) -> Iterator[Finding]:
    count = 0
    for message in capture.sip_messages(data):
        about = message.data.partition(b"\r\n")[0].decode("utf-8", "replace")
        if b"siprec" in message.data or b"rs-metadata" in message.data or b"sip.src" in message.data:
            count += 1
            for finding in _of_message(message.data):
                yield replace(finding, where=f"packet {message.packet} ({about[:60]})")
    if count == 0:
        yield Finding(1, "no message of a recording session in it", "RFC 7866", warning=True)


# A SIP message


def _of_message(data: bytes) -> Iterator[Finding]:
    head, _, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not _:
        head, _, body = data.lstrip(b"\r\n").partition(b"\n\n")
    lines = head.decode("utf-8", "replace").splitlines()
    start = lines[0]
    headers = [
        (number, name.strip().lower(), value.strip())
        for number, (name, colon, value) in enumerate((line.partition(":") for line in lines[1:]), 2)
        if colon
    ]
    body_line = len(lines) + 2

    def first(*names: str) -> tuple[int, str]:
        return next(((number, value) for number, name, value in headers if name in names), (1, ""))

    is_invite = start.startswith("INVITE ")
    if is_invite:
        yield from _of_invite(first)
    kind = first("content-type", "c")[1]
    try:
        found = parts.split(kind, body, first("content-disposition")[1])
    except ValueError as error:
        yield Finding(first("content-type", "c")[0], str(error), "RFC 2046 5.1")
        return
    yield from _of_parts(found, body, body_line, is_invite)


def _of_invite(first: Any) -> Iterator[Finding]:
    line, contact = first("contact", "m")
    if not re.search(r">[^,]*;\s*\+sip\.src", contact):
        legacy = re.search(r">[^,]*;\s*src\b", contact) is not None
        hint = " (src is of the drafts)" if legacy else ""
        yield Finding(line, f"no +sip.src behind the address in Contact{hint}", "RFC 7866 6.1.1")
    line, require = first("require")
    if "siprec" not in [each.strip() for each in require.split(",")]:
        yield Finding(line, "no Require: siprec", "RFC 7866 6.1.1")
    line, accept = first("accept")
    if accept and MEDIA_TYPE not in accept and LEGACY_TYPE not in accept:
        yield Finding(line, f"Accept does not name {MEDIA_TYPE}", "RFC 7866 9", warning=True)


def _of_parts(found: list[parts.Part], body: bytes, body_line: int, is_invite: bool) -> Iterator[Finding]:
    offer = parts.find(found, "application/sdp")
    metadata = parts.find(found, MEDIA_TYPE, LEGACY_TYPE)
    labels: dict[str, int] | None = None
    if offer is not None:
        line = body_line + body[: max(body.find(offer.data), 0)].count(b"\n")
        labels = {}
        yield from _of_offer(offer.data, line, labels)
    elif is_invite:
        yield Finding(body_line, "no session description", "RFC 7866 6.1.1", warning=True)
    if metadata is None:
        if is_invite:
            yield Finding(body_line, "no recording metadata", "RFC 7866 6.1.1", warning=True)
        return
    line = body_line + body[: max(body.find(metadata.data), 0)].count(b"\n")
    if metadata.kind == LEGACY_TYPE:
        yield Finding(line, f"{LEGACY_TYPE} has become {MEDIA_TYPE}", "RFC 9806", warning=True)
    if metadata.disposition.partition(";")[0].strip() != "recording-session":
        yield Finding(line, "the metadata's part has no Content-Disposition: recording-session", "RFC 7866 9")
    yield from _of_metadata(metadata.data, {} if labels is None else labels, line - 1)


def _of_offer(data: bytes, line: int, labels: dict[str, int]) -> Iterator[Finding]:
    try:
        medias = sdp.parse(data)
    except ValueError as error:
        yield Finding(line, str(error), "RFC 8866")
        return
    rows = data.decode("utf-8", "replace").splitlines()
    at = [line + number for number, row in enumerate(rows) if row.startswith("m=")]
    for media, place in zip(medias, at, strict=False):
        if media.label is None:
            yield Finding(place, "an m-line without a=label", "RFC 7866 7.1.1")
        elif media.label in labels:
            yield Finding(place, f"the label {media.label} stands for two m-lines", "RFC 4574 4")
        else:
            labels[media.label] = place
        if media.direction == "sendrecv":
            yield Finding(
                place, "the m-line is sendrecv; a client sends only", "RFC 7866 7.1.1", warning=True
            )
        elif media.direction == "recvonly":
            yield Finding(
                place, "the m-line is recvonly, which only a recorder's is", "RFC 7866 7.1.1", warning=True
            )
        if media.profile.upper().startswith("RTP/SAVP") and not media.cryptos:
            yield Finding(place, f"{media.profile} without a=crypto", "RFC 7866 12.2", warning=True)
        if not media.host:
            yield Finding(place, "no c= line holds for this m-line", "RFC 8866 5.7")


# Metadata


def _etree() -> Any:
    return importlib.import_module("lxml.etree")  # an extra: only lint needs it


@functools.cache
def _schema() -> Any:
    etree = _etree()

    folder = files("forkproxy_siprec") / "schema"
    local = (folder / "xml.xsd").read_bytes()
    parser = etree.XMLParser(no_network=True, resolve_entities=False)

    class Local(etree.Resolver):  # type: ignore[name-defined,misc]
        def resolve(self, url: str, public_id: str, context: Any) -> Any:
            return self.resolve_string(local, context)  # its only import is xml:lang

    parser.resolvers.add(Local())
    return etree.XMLSchema(etree.fromstring((folder / "rfc7865.xsd").read_bytes(), parser))


def _of_metadata(data: bytes, labels: dict[str, int] | None, above: int) -> Iterator[Finding]:
    """`labels`: of the offer that came along; None: there is no telling."""
    etree = _etree()

    if b"<!DOCTYPE" in data:
        yield Finding(
            above + 1, "a document type; nothing in RFC 7865 needs one, and it is not read", "RFC 7865 5.1"
        )
        return
    body = data.lstrip(b"\xef\xbb\xbf")
    above += len(body) - len(body.lstrip()) and body[: len(body) - len(body.lstrip())].count(b"\n")
    body = body.lstrip()
    try:
        root = etree.fromstring(
            body, etree.XMLParser(no_network=True, resolve_entities=False, huge_tree=False)
        )
    except etree.XMLSyntaxError as error:
        yield Finding(above + (error.lineno or 1), f"not well-formed: {error.msg}", "RFC 7865 5.1")
        return
    if not body.startswith(b"<?xml"):
        yield Finding(above + 1, "no XML declaration", "RFC 7865 5.1", warning=True)
    name = etree.QName(root)
    if name.namespace != NAMESPACE:
        why = DRAFTS.get(name.namespace or "", f"{name.namespace or 'none'}")
        yield Finding(above + root.sourceline, f"the namespace is {why}", "RFC 7865 9")
        return
    schema = _schema()
    if not schema.validate(root):
        for entry in schema.error_log:
            text = re.sub(r"\{urn:ietf:params:xml:ns:recording:1\}", "", entry.message)
            yield Finding(above + entry.line, text, "RFC 7865 9")
    if name.localname == "recording":
        for finding in _Rules(root, labels).check():
            yield replace(finding, line=finding.line + above)


class _Rules:
    """What a schema cannot say."""

    def __init__(self, root: Any, labels: dict[str, int] | None) -> None:
        self._root = root
        self._labels = labels
        self._ids: dict[str, str] = {}

    def check(self) -> Iterator[Finding]:
        """All rules."""
        yield from self._identifiers()
        partial = (self._root.findtext(f"{{{NAMESPACE}}}datamode") or "complete").strip() == "partial"
        for element in self._root.iter():
            if isinstance(element.tag, str) and element.tag.startswith("{" + NAMESPACE):
                yield from self._element(element, element.tag.partition("}")[2], partial)
        yield from self._label_rules()
        if not partial and "session" not in self._ids.values():
            yield Finding(
                self._root.sourceline, "no session: some recorders never answer that", "RFC 7865 6.1.2", True
            )

    def _identifiers(self) -> Iterator[Finding]:
        for tag, attribute in IDS.items():
            for element in self._root.findall(f"{{{NAMESPACE}}}{tag}"):
                value = element.get(attribute)
                if value is None:
                    continue
                if value in self._ids:
                    what = f"{value} identifies a {self._ids[value]} already"
                    yield Finding(element.sourceline, what, "RFC 7865 6.10")
                self._ids[value] = tag
                octets = _octets(value)
                if octets != 16:
                    what = "no base64" if octets is None else f"base64 of {octets} octets"
                    text = f"{attribute} {value[:40]!r} is {what}; a UUID has 16"
                    yield Finding(element.sourceline, text, "RFC 7865 6.10")

    def _element(self, element: Any, tag: str, partial: bool) -> Iterator[Finding]:
        line, text = element.sourceline, (element.text or "").strip()
        if tag.endswith("-time") and not _TIME.fullmatch(text):
            yield Finding(line, f"{tag} {text!r} is not a time of RFC 3339 with its zone", "RFC 7865 6.9")
        if partial:
            return
        if tag in ("send", "recv") and self._ids.get(text) != "stream":
            hint = " (it is a label; stream_id is meant)" if text in (self._labels or {}) else ""
            yield Finding(line, f"{tag} names no stream: {text!r}{hint}", "RFC 7865 6.8.1")
        if tag == "group-ref" and self._ids.get(text) != "group":
            yield Finding(line, f"group-ref names no group: {text!r}", "RFC 7865 6.3")
        if tag.endswith("assoc") or tag == "stream":
            for attribute, kind in (("session_id", "session"), ("participant_id", "participant")):
                value = element.get(attribute)
                if value is not None and self._ids.get(value) != kind:
                    yield Finding(line, f"{tag}: {attribute} names no {kind}: {value!r}", "RFC 7865 6")
        if tag == "nameID" and not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", element.get("aor") or "sip:"):
            text = f"aor {element.get('aor')!r} is no URI: a scheme is missing"
            yield Finding(line, text, "RFC 7865 6.5.1", warning=True)

    def _label_rules(self) -> Iterator[Finding]:
        seen: set[str] = set()
        for element in self._root.findall(f"{{{NAMESPACE}}}stream/{{{NAMESPACE}}}label"):
            label = (element.text or "").strip()
            if label in seen:
                yield Finding(
                    element.sourceline, f"the label {label} stands for two streams", "RFC 7866 7.1.1"
                )
            seen.add(label)
            if self._labels is not None and label not in self._labels:
                what = "there is no offer" if not self._labels else "no m-line of the offer has it"
                yield Finding(element.sourceline, f"the label {label}: {what}", "RFC 7866 9.1")


def _octets(value: str) -> int | None:
    try:
        return len(base64.b64decode(value, validate=True))
    except binascii.Error:
        return None
