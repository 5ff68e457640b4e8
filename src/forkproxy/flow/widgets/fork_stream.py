"""Fork Stream: start or stop a copy of the call's audio.

Source: twilio.com/docs/studio/widget-library/fork-stream.
"""

from __future__ import annotations

from typing import ClassVar, Literal
from urllib.parse import urlsplit

from forkproxy.document import did_you_mean
from forkproxy.flow.actions import StartStream, StopStream
from forkproxy.flow.definition import Part, Properties
from forkproxy.flow.events import FlowEvent, StreamFailed, StreamStarted, StreamStopped
from forkproxy.flow.liquid import Template
from forkproxy.flow.widgets.base import EMPTY, Goto, Site, Step, Widget
from forkproxy.model import StreamSpec, StreamTransport, Tracks

PARAMETER_LIMIT = 500
"""A parameter's name and value together are shorter than this (twilio.com/docs/voice/twiml/stream)."""
IMPLICIT_CONNECTOR = "websocket"
"""The connector instance that there is without configuration."""


class StreamParameter(Part):
    """One custom parameter."""

    key: str
    value: Template = EMPTY


class ForkStreamProperties(Properties):
    """The properties of Fork Stream."""

    hints: ClassVar[dict[str, str]] = {
        "action": "stream_action",
        "name": "stream_name",
        "type": "stream_transport_type",
        "stream_type": "stream_transport_type",
        "url": "stream_url",
        "track": "stream_track",
        "tracks": "stream_track",
        "connector": "stream_connector",
        "connector_name": "stream_connector",
        "parameters": "stream_parameters",
    }

    stream_action: Literal["start", "stop"]
    stream_name: Template = EMPTY
    stream_transport_type: Literal["websocket", "siprec"] = "websocket"
    stream_url: Template = EMPTY
    stream_connector: Template = EMPTY
    stream_connector_name: Template = EMPTY  # Twilio writes of both; exports have stream_connector
    stream_track: Literal["inbound_track", "outbound_track", "both_tracks"] = "inbound_track"
    stream_parameters: tuple[StreamParameter, ...] = ()

    @property
    def connector(self) -> Template:
        """The connector's name under either spelling."""
        return self.stream_connector if self.stream_connector.source else self.stream_connector_name


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
        connector = (
            "stream_connector_name" if given.connector is given.stream_connector_name else "stream_connector"
        )
        if "stream_transport_type" not in given.model_fields_set:
            site.error(required, "properties", "stream_transport_type")
        elif given.stream_transport_type == "siprec":
            if not given.connector.source:
                site.error(required + " and the type is 'siprec'", "properties", "stream_connector")
            if "stream_track" not in given.model_fields_set:
                message = "is not given: only 'inbound_track', what the caller says, is streamed"
                site.warning(message, "properties", "stream_track")
        elif given.stream_url.source:
            self._check_url(site)
        elif not given.connector.source:
            site.error(required + " and the type is 'websocket'", "properties", "stream_url")
        both = given.stream_connector.source and given.stream_connector_name.source
        if both and given.stream_connector.source != given.stream_connector_name.source:
            site.error("contradicts 'stream_connector'", "properties", "stream_connector_name")
        name = given.connector
        if name.source and name.literal and site.connectors is not None:
            known = {*site.connectors, IMPLICIT_CONNECTOR}
            if name.source.strip() not in known:
                hint = did_you_mean(name.source, known)
                message = f"the configuration has no connector '{name.source}' (31940){hint}"
                site.error(message, "properties", connector)
        self._check_parameters(site)

    def _check_url(self, site: Site) -> None:
        url = self.properties.stream_url
        at = ("properties", "stream_url")
        scheme, colon, _ = url.prefix.strip().lower().partition("://")
        if url.literal or colon:
            if scheme == "ws" and colon:
                condition = "only with 'allow_ws' under 'streams' in the configuration; Twilio takes wss only"
                if site.allow_ws is False:
                    site.error(f"'ws://' is allowed {condition}", *at)
                elif site.allow_ws is None:
                    site.warning(f"'ws://' works {condition}", *at)
            elif scheme != "wss" or not colon:
                site.error("must begin with 'wss://' (31922)", *at)
                return
        if not url.literal:
            return
        try:
            parts = urlsplit(url.source.strip())
            parts.port  # noqa: B018 - reading it is the check
        except ValueError as error:
            site.error(f"is not a URL: {error} (31923)", *at)
            return
        if not parts.hostname or any(character.isspace() for character in url.source.strip()):
            site.error("is not a URL with a host (31923)", *at)
        elif parts.query:
            site.warning("has a query string, which Twilio drops: use 'stream_parameters'", *at)

    def _check_parameters(self, site: Site) -> None:
        seen: set[str] = set()
        for index, parameter in enumerate(self.properties.stream_parameters):
            at = ("properties", "stream_parameters", index)
            if not parameter.key:
                site.warning("is empty: the parameter is not sent", *at, "key")
            elif parameter.key in seen:
                site.warning(f"'{parameter.key}' is here a second time: the last one is sent", *at, "key")
            seen.add(parameter.key)
            size = len(parameter.key) + (len(parameter.value.source) if parameter.value.literal else 0)
            if size >= PARAMETER_LIMIT:
                message = (
                    f"key and value are {size} characters together, fewer than {PARAMETER_LIMIT} are allowed"
                )
                site.error(message, *at, "value")

    def run(self, step: Step) -> StartStream | StopStream:
        given = self.properties
        name = step.text(given.stream_name, "stream_name")
        if given.stream_action == "stop":
            return StopStream(self.name, name)
        transport = StreamTransport(given.stream_transport_type)
        spec = StreamSpec(
            transport=transport,
            tracks=Tracks(given.stream_track),
            name=name,
            url=step.text(given.stream_url, "stream_url") if transport is StreamTransport.WEBSOCKET else None,
            connector=step.text(given.connector, "stream_connector"),
            parameters=self._parameters(step),
        )
        return StartStream(self.name, spec)

    def _parameters(self, step: Step) -> tuple[tuple[str, str], ...]:
        """The parameters that can be sent: one too long is left out, the stream is worth more."""
        parameters: dict[str, str] = {}
        for parameter in self.properties.stream_parameters:
            value = step.render(parameter.value, f"the parameter '{parameter.key}'")
            size = len(parameter.key) + len(value)
            if size >= PARAMETER_LIMIT:
                message = (
                    f"the parameter '{parameter.key}' is not sent: its key and value are {size} characters"
                )
                step.warn(None, f"{message}, fewer than {PARAMETER_LIMIT} are allowed")
            elif parameter.key:
                parameters[parameter.key] = value
        return tuple(parameters.items())

    def resume(self, step: Step, event: FlowEvent) -> Goto | None:
        if self.properties.stream_action == "stop":
            return self.follow("next") if isinstance(event, StreamStopped) else None
        if isinstance(event, StreamFailed):
            step.warn(event.code, event.message)
        return self.follow("next") if isinstance(event, StreamStarted | StreamFailed) else None
