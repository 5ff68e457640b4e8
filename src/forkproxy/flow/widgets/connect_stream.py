"""Connect Stream: a WebSocket server talks with the caller, as with Twilio's ``<Connect><Stream>``.

Studio has no such widget: it is forkproxy's own. Source of what it does: twilio.com/docs/voice/twiml/stream.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from forkproxy.flow.actions import ConnectStream as Connect
from forkproxy.flow.definition import Properties
from forkproxy.flow.events import CallerHungUp, FlowEvent, StreamEnded
from forkproxy.flow.liquid import Template
from forkproxy.flow.widgets.base import EMPTY, Goto, Site, Step, Widget
from forkproxy.flow.widgets.limits import check_time_limit, time_limit
from forkproxy.flow.widgets.streams import (
    StreamProperties,
    check_connector,
    check_parameters,
    check_url,
    rendered,
)
from forkproxy.model import StreamSpec, StreamTransport, Tracks


class ConnectStreamProperties(StreamProperties):
    """The properties of Connect Stream: those of Fork Stream that a WebSocket has, and a time limit."""

    hints: ClassVar[dict[str, str]] = {**StreamProperties.hints, "timeLimit": "time_limit"}

    stream_transport_type: Literal["websocket"] = "websocket"
    stream_track: Literal["inbound_track", "outbound_track", "both_tracks"] = "inbound_track"
    time_limit: Template = EMPTY


class ConnectStream(Widget[ConnectStreamProperties]):
    """Hands the caller to a WebSocket server and goes on when the stream has ended."""

    type_name: ClassVar[str] = "connect-stream"
    events: ClassVar[tuple[str, ...]] = ("streamEnded", "hangup")
    properties_model: ClassVar[type[Properties]] = ConnectStreamProperties

    def check(self, site: Site) -> None:
        given = self.properties
        if given.stream_track != "inbound_track":
            message = "must be 'inbound_track': a stream that talks to the caller hears nothing else (31941)"
            site.error(message, "properties", "stream_track")
        if given.stream_url.source:
            check_url(site, given.stream_url)
        elif not given.connector.source:
            message = "is missing but it is required without 'stream_connector'"
            site.error(message, "properties", "stream_url")
        check_connector(site, given)
        check_parameters(site, given.stream_parameters)
        check_time_limit(site, given.time_limit)

    def run(self, step: Step) -> Connect:
        given = self.properties
        spec = StreamSpec(
            transport=StreamTransport.WEBSOCKET,
            tracks=Tracks.INBOUND,
            url=step.text(given.stream_url, "stream_url"),
            bidirectional=True,
            **rendered(step, given),
        )
        return Connect(self.name, spec, time_limit(step, given.time_limit, "the stream"))

    def resume(self, step: Step, event: FlowEvent) -> Goto | None:
        return self._ended(step, event, "streamEnded") if isinstance(event, StreamEnded) else None

    def caller_gone(self, step: Step, event: CallerHungUp) -> Goto | None:
        return self._ended(step, event.stream, "hangup") if self.has("hangup") else None

    def _ended(self, step: Step, stream: StreamEnded | None, event: str) -> Goto:
        values: dict[str, Any] = {}
        if stream is not None:
            values = {"StreamSid": stream.stream_sid, "StreamDuration": str(stream.duration)}
            if stream.code is not None:
                values |= {"StreamErrorCode": str(stream.code), "StreamError": stream.message}
        step.context.output(self.name, {**step.context.call, **values})
        return self.follow(event)
