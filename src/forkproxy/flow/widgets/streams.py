"""What Fork Stream and Connect Stream have in common: where a stream goes, and what it takes along."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlsplit

from forkproxy.document import did_you_mean
from forkproxy.flow.definition import Part, Properties
from forkproxy.flow.liquid import Template
from forkproxy.flow.widgets.base import EMPTY, Site, Step

PARAMETER_LIMIT = 500
"""A parameter's name and value together are shorter than this (twilio.com/docs/voice/twiml/stream)."""
IMPLICIT_CONNECTOR = "websocket"
"""The connector instance that there is without configuration."""


class StreamParameter(Part):
    """One custom parameter."""

    key: str
    value: Template = EMPTY


class StreamProperties(Properties):
    """Where a stream goes, under Studio's names."""

    hints: ClassVar[dict[str, str]] = {
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

    stream_name: Template = EMPTY
    stream_url: Template = EMPTY
    stream_connector: Template = EMPTY
    stream_connector_name: Template = EMPTY  # Twilio writes of both; exports have stream_connector
    stream_parameters: tuple[StreamParameter, ...] = ()

    @property
    def connector(self) -> Template:
        """The connector's name under either spelling."""
        return self.stream_connector if self.stream_connector.source else self.stream_connector_name


def check_connector(site: Site, given: StreamProperties) -> None:
    """There is a connector of that name, and only one name."""
    both = given.stream_connector.source and given.stream_connector_name.source
    if both and given.stream_connector.source != given.stream_connector_name.source:
        site.error("contradicts 'stream_connector'", "properties", "stream_connector_name")
    name = given.connector
    if not name.source or not name.literal or site.connectors is None:
        return
    known = {*site.connectors, IMPLICIT_CONNECTOR}
    if name.source.strip() not in known:
        spelling = "stream_connector_name" if name is given.stream_connector_name else "stream_connector"
        hint = did_you_mean(name.source, known)
        message = f"the configuration has no connector '{name.source}' (31940){hint}"
        site.error(message, "properties", spelling)


def check_url(site: Site, url: Template) -> None:
    """The URL can be connected to, as far as its text tells."""
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


def check_parameters(site: Site, parameters: tuple[StreamParameter, ...]) -> None:
    """Each has a name of its own and is short enough."""
    seen: set[str] = set()
    for index, parameter in enumerate(parameters):
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


def rendered(step: Step, given: StreamProperties) -> dict[str, Any]:
    """The common part of a `StreamSpec`, except for the URL."""
    return {
        "name": step.text(given.stream_name, "stream_name"),
        "connector": step.text(given.connector, "stream_connector"),
        "parameters": _parameters(step, given.stream_parameters),
    }


def _parameters(step: Step, given: tuple[StreamParameter, ...]) -> tuple[tuple[str, str], ...]:
    """The parameters that can be sent: one too long is left out, the stream is worth more."""
    parameters: dict[str, str] = {}
    for parameter in given:
        value = step.render(parameter.value, f"the parameter '{parameter.key}'")
        size = len(parameter.key) + len(value)
        if size >= PARAMETER_LIMIT:
            message = f"the parameter '{parameter.key}' is not sent: its key and value are {size} characters"
            step.warn(None, f"{message}, fewer than {PARAMETER_LIMIT} are allowed")
        elif parameter.key:
            parameters[parameter.key] = value
    return tuple(parameters.items())
