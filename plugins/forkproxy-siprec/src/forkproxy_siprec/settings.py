"""What an instance in the configuration may say: one setting for each thing that recorders differ in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from forkproxy.connectors.api import Settings
from forkproxy_siprec.metadata import LEGACY_TYPE, MEDIA_TYPE
from forkproxy_siprec.presets import find
from forkproxy_siprec.sdp import Codec

SUITES = {
    "AEAD_AES_256_GCM": 44,
    "AEAD_AES_128_GCM": 28,
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
}
"""Crypto suites, and the octets of their key and salt."""
_TOKEN = re.compile(r"[A-Za-z0-9.!%*_+`'~-]{1,128}")
_LABEL = re.compile(r"[A-Za-z0-9.!#$%&'*+^_`{|}~-]{1,64}")
_NAME = re.compile(r"\{[a-z_.A-Z0-9-]+\}")


def _header_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name[:60]!r} is no header name")
    return name


HeaderName = Annotated[str, AfterValidator(_header_name)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


@dataclass(frozen=True, slots=True)
class Recorder:
    """A session recording server."""

    uri: str
    secure: bool
    """``;secure=true``, as Twilio's connectors say it: SRTP."""


def recorder(text: str) -> Recorder:
    """Take a recorder's URI apart, Twilio's form included.

    >>> recorder("sip:rec.example.com;secure=true&edge=ashburn")
    Recorder(uri='sip:rec.example.com', secure=True)
    >>> recorder("sip:rec.example.com:5061;transport=tls")
    Recorder(uri='sip:rec.example.com:5061;transport=tls', secure=False)

    Raises:
        ValueError: it is no SIP URI.
    """
    if not re.match(r"sips?:[^\s<>\"]+$", text, re.IGNORECASE):
        raise ValueError(f"{text[:100]!r} is not a SIP URI; write sip:recorder.example.com;transport=tcp")
    base, *parameters = re.split(r"[;&]", text)
    kept, secure = [], False
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.lower() == "secure":
            secure = value.lower() == "true"
        elif name.lower() != "edge":
            kept.append(parameter)
    return Recorder(";".join([base, *kept]), secure)


class Labels(Settings):
    """The labels of the m-lines (RFC 4574)."""

    inbound: str = "1"
    """What the caller says."""
    outbound: str = "2"
    """What the caller hears."""
    mixed: str = "1"
    """Both, with `mixed`."""

    @field_validator("inbound", "outbound", "mixed")
    @classmethod
    def _is_token(cls, value: str) -> str:
        if not _LABEL.fullmatch(value):
            raise ValueError(f"{value!r} is no label: letters, digits and signs without space")
        return value

    @model_validator(mode="after")
    def _differ(self) -> Labels:
        if self.inbound == self.outbound:
            raise ValueError("inbound and outbound need different labels")
        return self


class SiprecSettings(Settings):
    """All settings of type ``siprec``; docs/siprec.md explains each."""

    srs: Annotated[list[str | list[str]], Field(min_length=1)]
    """The recorders' SIP URIs, in the order of preference; with `mode: parallel` an entry may be such a
    list."""
    preset: str | None = None
    """The name of a set of settings for a recorder; what is written beside it counts more."""
    mode: Literal["failover", "parallel", "round_robin"] = "failover"
    required: bool = False
    """No call without its recording: it is refused when none begins, and ended when it is lost for good."""
    start: Literal["stream", "answer"] = "stream"
    """When to begin: with the stream, or as soon as caller and callee hear each other."""

    # Who we are
    user: str = "forkproxy"
    display: str = ""
    username: str | None = None
    password: SecretStr | None = None
    credentials_header: HeaderName | None = None
    credentials: SecretStr | None = None

    # SIP
    require: list[str] = ["siprec"]
    supported: list[str] = []
    contact_tag: Literal["+sip.src", "src"] = "+sip.src"
    headers: dict[HeaderName, str] = {}
    """More headers of the INVITE; ``{call.sid}`` and so on are filled in."""
    parameters: Literal["metadata", "headers", "both", "none"] = "metadata"
    """Where the flow's parameters go."""
    parameter_prefix: str = "X-"
    session_expires: Annotated[int, Field(ge=90, le=86400)] | None = None

    # Metadata
    media_type: Literal["application/rs-metadata+xml", "application/rs-metadata"] = (
        "application/rs-metadata+xml"
    )
    disposition: Annotated[str, Field(pattern=r"^recording-session(\s*;\s*[\w-]+=[\w-]+)*$")] = (
        "recording-session"
    )
    metadata: Literal["complete", "partial"] = "complete"
    """What updates say; the first one is complete always."""
    updates: bool = True
    """Tell of holds, transfers and masks at all."""
    bye: Literal["none", "complete", "partial"] = "none"
    parameters_namespace: Annotated[str, Field(pattern=r"^[^\s\"<>]+$")] = "urn:forkproxy:recording"
    extensions: dict[Literal["group", "session", "participant", "stream", "sessionrecordingassoc"], str] = {}
    """XML of another namespace for the end of an element; ``{...}`` are filled in."""
    group: bool = False
    """Put the session into a communication session group of its own."""
    aor_domain: str | None = None

    # Media
    labels: Labels = Labels()
    order: Literal["inbound_first", "outbound_first"] = "inbound_first"
    mixed: bool = False
    """One m-line with both tracks."""
    mixed_fallback: bool = False
    """Offer one mixed m-line where two were refused (RFC 7866 8.3.1)."""
    codecs: Annotated[list[Codec], Field(min_length=1)] = ["PCMU", "PCMA"]
    session_name: Annotated[str, Field(pattern=r"^[^\r\n]*$")] = "-"
    srtp: Literal["off", "required"] | None = None
    """None: as the recorder's URI says (``;secure=true``)."""
    srtp_suites: Annotated[
        list[
            Literal[
                "AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"
            ]
        ],
        Field(min_length=1),
    ] = ["AES_CM_128_HMAC_SHA1_80"]
    insecure: bool = False
    """A call that is encrypted may be recorded in the clear (RFC 7866, 12, forbids it)."""
    on_hold: Literal["metadata", "inactive", "ignore"] = "metadata"
    on_mask: Literal["silence", "inactive"] = "silence"

    # Failures
    invite_timeout: Seconds = 4.0
    request_timeout: Seconds = 4.0
    retry: Seconds = 1.0
    """Seconds before the recorders are tried again; doubled each time, up to `retry_most`."""
    retry_most: Seconds = 30.0
    buffer: Annotated[float, Field(ge=0, le=120)] = 10.0
    """Seconds of audio kept while there is no recorder."""
    catch_up: Literal["gap"] | Annotated[float, Field(ge=0.05, le=7)] = 0.5
    """How much faster than it was said the audio kept is sent; or it is left out."""
    watch: Seconds | None = 20.0
    """Seconds between two OPTIONS within a recording: a recorder that is gone is missed."""
    health: Seconds | None = None
    """Seconds between two OPTIONS to each recorder outside recordings; None: none are sent."""

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("preset"), str):
            return data
        preset = find(data["preset"])
        return {**preset.settings, **data}

    @field_validator("srs")
    @classmethod
    def _are_uris(cls, value: list[str | list[str]]) -> list[str | list[str]]:
        for entry in value:
            for text in [entry] if isinstance(entry, str) else entry:
                recorder(text)
            if not entry:
                raise ValueError("an empty list of recorders")
        return value

    @field_validator("extensions")
    @classmethod
    def _are_xml(cls, value: dict[str, str]) -> dict[str, str]:
        from xml.etree import ElementTree

        for where, xml in value.items():
            try:
                root = ElementTree.fromstring(f"<x>{_NAME.sub('x', xml)}</x>")
            except ElementTree.ParseError as error:
                raise ValueError(f"{where}: not well-formed XML: {error}") from None
            if any(not child.tag.startswith("{") for child in root):
                raise ValueError(f"{where}: the elements need a namespace of their own (xmlns=...)")
        return value

    @model_validator(mode="after")
    def _fits(self) -> SiprecSettings:
        if self.mode != "parallel" and any(isinstance(entry, list) for entry in self.srs):
            raise ValueError("lists within `srs` are for `mode: parallel`")
        if (self.credentials is None) != (self.credentials_header is None):
            raise ValueError("credentials and credentials_header belong together")
        if self.password is not None and self.username is None:
            raise ValueError("a password needs a username")
        return self

    @property
    def groups(self) -> list[list[Recorder]]:
        """The recorders that record at the same time, each with those that stand in for it."""
        if self.mode == "parallel":
            return [[recorder(e)] if isinstance(e, str) else [recorder(x) for x in e] for e in self.srs]
        return [[recorder(entry) for entry in self.srs if isinstance(entry, str)]]

    @property
    def accepts(self) -> str:
        """The Accept header."""
        legacy = f", {LEGACY_TYPE}" if self.media_type == LEGACY_TYPE else ""
        return f"application/sdp, {MEDIA_TYPE}{legacy}"


def fill_in(template: str, values: dict[str, str]) -> str:
    """`template` with each ``{name}`` that is known replaced.

    >>> fill_in("CID-{call.sid} {other}", {"call.sid": "CA1"})
    'CID-CA1 {other}'
    """
    return _NAME.sub(lambda match: values.get(match[0][1:-1], match[0]), template)
