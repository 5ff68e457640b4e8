"""Fork Stream: start or stop a copy of the call's audio.

Source: twilio.com/docs/studio/widget-library/fork-stream.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from forkproxy.flow.actions import StartStream, StopStream
from forkproxy.flow.definition import Properties
from forkproxy.flow.events import FlowEvent, StreamFailed, StreamStarted, StreamStopped
from forkproxy.flow.widgets.base import Goto, Site, Step, Widget
from forkproxy.flow.widgets.streams import (
    StreamProperties,
    check_connector,
    check_parameters,
    check_url,
    rendered,
)
from forkproxy.model import StreamSpec, StreamTransport, Tracks


class ForkStreamProperties(StreamProperties):
    """The properties of Fork Stream."""

    hints: ClassVar[dict[str, str]] = {"action": "stream_action", **StreamProperties.hints}

    stream_action: Literal["start", "stop"]
    stream_transport_type: Literal["websocket", "siprec"] = "websocket"
    stream_track: Literal["inbound_track", "outbound_track", "both_tracks"] = "inbound_track"


class ForkStream(Widget[ForkStreamProperties]):
    """Asks for a stream and goes on when it is there (or cannot be), or ends one."""

    type_name: ClassVar[str] = "fork-stream"
    events: ClassVar[tuple[str, ...]] = ("next",)
    properties_model: ClassVar[type[Properties]] = ForkStreamProperties

    def check(self, site: Site) -> None:
        if self.properties.stream_action == "start":
            self._check_start(site)

    def _check_start(self, site: Site) -> None:
        given = self.properties
        required = "is missing but it is required when 'stream_action' is 'start'"
        if "stream_transport_type" not in given.model_fields_set:
            site.error(required, "properties", "stream_transport_type")
        elif given.stream_transport_type == "siprec":
            if not given.connector.source:
                site.error(required + " and the type is 'siprec'", "properties", "stream_connector")
            if "stream_track" not in given.model_fields_set:
                message = "is not given: only 'inbound_track', what the caller says, is streamed"
                site.warning(message, "properties", "stream_track")
        elif given.stream_url.source:
            check_url(site, given.stream_url)
        elif not given.connector.source:
            site.error(required + " and the type is 'websocket'", "properties", "stream_url")
        check_connector(site, given)
        check_parameters(site, given.stream_parameters)

    def run(self, step: Step) -> StartStream | StopStream:
        given = self.properties
        if given.stream_action == "stop":
            return StopStream(self.name, step.text(given.stream_name, "stream_name"))
        transport = StreamTransport(given.stream_transport_type)
        spec = StreamSpec(
            transport=transport,
            tracks=Tracks(given.stream_track),
            url=step.text(given.stream_url, "stream_url") if transport is StreamTransport.WEBSOCKET else None,
            **rendered(step, given),
        )
        return StartStream(self.name, spec)

    def resume(self, step: Step, event: FlowEvent) -> Goto | None:
        if self.properties.stream_action == "stop":
            return self.follow("next") if isinstance(event, StreamStopped) else None
        if isinstance(event, StreamFailed):
            step.warn(event.code, event.message)
        return self.follow("next") if isinstance(event, StreamStarted | StreamFailed) else None
