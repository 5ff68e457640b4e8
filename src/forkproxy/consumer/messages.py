"""The messages of Twilio Media Streams, in both directions, each field checked.

https://www.twilio.com/docs/voice/media-streams/websocket-messages. Numbers that count are JSON strings
there. A field too many is a mistake as well: forkproxy sends none, and Twilio refuses messages that have one
(31951).
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from forkproxy.errors import ForkproxyError


class MessageError(ForkproxyError):
    """A message is not one of the protocol's; the text says what is wrong, by the field's name."""


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=to_camel, populate_by_name=True
    )


def _count(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError(f"is {_kind(value)}, not a string that holds an integer")
    if not (value.isascii() and value.isdigit() and len(value) < 19 and (value == "0" or value[0] != "0")):
        raise ValueError(f"is {value[:40]!r}, not a string that holds an integer")
    return int(value)


def _payload(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"is {_kind(value)}, not a string")
    try:
        decoded = b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"is not Base64: {error}") from error
    if not decoded:
        raise ValueError("is empty")
    return decoded


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null" if value is None else "a string")


def _unique(tracks: list[str]) -> list[str]:
    if len(set(tracks)) != len(tracks):
        raise ValueError("names a track twice")
    return tracks


Count = Annotated[int, PlainValidator(_count)]
"""An integer from 0, as a string."""
Payload = Annotated[bytes, PlainValidator(_payload)]
"""Base64 of mu-law, 8,000 Hz, without a header."""
TrackName = Literal["inbound", "outbound"]
AccountSid = Annotated[str, StringConstraints(pattern=r"^AC[0-9a-fA-F]{32}$")]
CallSid = Annotated[str, StringConstraints(pattern=r"^CA[0-9a-fA-F]{32}$")]
StreamSid = Annotated[str, StringConstraints(pattern=r"^MZ[0-9a-fA-F]{32}$")]


# From forkproxy to the server.


class Connected(_Part):
    """The first message; the only one without a number."""

    event: Literal["connected"]
    protocol: Literal["Call"]
    version: Literal["1.0.0"]


class MediaFormat(_Part):
    """The only one there is."""

    encoding: Literal["audio/x-mulaw"]
    sample_rate: Literal[8000]
    channels: Literal[1]


class StartBody(_Part):
    """What the stream is."""

    account_sid: AccountSid
    stream_sid: StreamSid
    call_sid: CallSid
    tracks: Annotated[list[TrackName], Field(min_length=1), AfterValidator(_unique)]
    media_format: MediaFormat
    custom_parameters: dict[str, str]


class Start(_Part):
    """The second message."""

    event: Literal["start"]
    sequence_number: Count
    start: StartBody
    stream_sid: StreamSid


class MediaBody(_Part):
    """A piece of one track's audio."""

    track: TrackName
    chunk: Count
    timestamp: Count
    """Milliseconds since the stream was started."""
    payload: Payload


class Media(_Part):
    """Audio."""

    event: Literal["media"]
    sequence_number: Count
    media: MediaBody
    stream_sid: StreamSid


class DtmfBody(_Part):
    """A key."""

    track: Literal["inbound_track"]
    digit: Annotated[str, StringConstraints(pattern=r"^[0-9*#A-D]$")]


class Dtmf(_Part):
    """The caller has pressed a key; on bidirectional streams."""

    event: Literal["dtmf"]
    sequence_number: Count
    dtmf: DtmfBody
    stream_sid: StreamSid


class MarkBody(_Part):
    """A place in the audio."""

    name: str


class Mark(_Part):
    """What the server sent before its mark has been played, or was cleared; on bidirectional streams."""

    event: Literal["mark"]
    sequence_number: Count
    mark: MarkBody
    stream_sid: StreamSid


class GapBody(_Part):
    """Where, and how long, in milliseconds on the stream's clock."""

    timestamp: Count
    duration: Count


class Gap(_Part):
    """forkproxy's own, where a connector says ``gaps``: audio of all tracks that was dropped."""

    event: Literal["gap"]
    sequence_number: Count
    gap: GapBody
    stream_sid: StreamSid


class StopBody(_Part):
    """Whose stream ends."""

    account_sid: AccountSid
    call_sid: CallSid


class Stop(_Part):
    """The last message."""

    event: Literal["stop"]
    sequence_number: Count
    stop: StopBody
    stream_sid: StreamSid


Numbered = Start | Media | Dtmf | Mark | Gap | Stop
FromForkproxy = Connected | Numbered


# From the server to forkproxy, on bidirectional streams.


class AnswerMediaBody(_Part):
    """Audio of any length."""

    payload: Payload


class AnswerMedia(_Part):
    """Audio to be played to the caller, behind what waits already."""

    event: Literal["media"]
    stream_sid: str
    media: AnswerMediaBody


class AnswerMark(_Part):
    """To be sent back when the audio before it has been played."""

    event: Literal["mark"]
    stream_sid: str
    mark: MarkBody


class AnswerClear(_Part):
    """Forget what waits, and send its marks back."""

    event: Literal["clear"]
    stream_sid: str


FromServer = AnswerMedia | AnswerMark | AnswerClear


@cache
def _adapter(union: Any) -> TypeAdapter[Any]:
    return TypeAdapter(Annotated[union, Field(discriminator="event")])


def parse_from_forkproxy(text: str) -> FromForkproxy:
    """One of the messages that a server receives.

    Raises:
        MessageError: it is none, and why.
    """
    message: FromForkproxy = _parse(FromForkproxy, text)
    return message


def parse_from_server(text: str) -> FromServer:
    """One of the messages that a server may send.

    Raises:
        MessageError: it is none, and why.
    """
    message: FromServer = _parse(FromServer, text)
    return message


def _parse(union: Any, text: str) -> Any:
    try:
        return _adapter(union).validate_json(text)
    except ValidationError as error:
        raise MessageError("; ".join(_worded(each) for each in error.errors()[:4])) from None


def _worded(error: Any) -> str:
    kind, where = error["type"], ".".join(str(part) for part in error["loc"][1:])
    match kind:
        case "json_invalid":
            return f"is not JSON: {error['ctx']['error']}"
        case "model_attributes_type" | "model_type" | "dict_type" if not where:
            return "is not a JSON object"
        case "union_tag_not_found":
            return "has no event"
        case "union_tag_invalid":
            return f"the event {error['ctx']['tag'][:40]!r} is not one of {error['ctx']['expected_tags']}"
        case "missing":
            return f"{where} is missing"
        case "extra_forbidden":
            return f"{where} does not belong here"
        case "value_error":
            return f"{where} {error['ctx']['error']}"
    return f"{where}: {error['msg'][0].lower()}{error['msg'][1:]}, not {str(error['input'])[:40]!r}"
