"""What a stream may ask of its connector by itself: parameters that begin with ``forkproxy.``.

They are for forkproxy and do not reach the consumer; all others are the consumer's (``customParameters``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from forkproxy.connectors.api import ConnectorConfigError
from forkproxy_websocket.headers import check_headers

PREFIX = "forkproxy."
HEADER = "forkproxy.header."
MOST_SECONDS = 600.0
_SWITCH = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """An instance's settings, as one stream has them."""

    parameters: Mapping[str, str]
    """The consumer's."""
    reconnect: float
    """Seconds without a connection after which the stream ends; 0: with its first one."""
    gaps: bool
    """Audio that was dropped is told by the event ``gap``."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """More headers for the upgrade request."""


def stream_options(parameters: Mapping[str, str], *, reconnect: float, gaps: bool) -> StreamOptions:
    """Take a stream's own options out of its `parameters`; the other arguments hold where it says nothing.

    Raises:
        ConnectorConfigError: an option is not known, or its value cannot be used; which one.
    """
    theirs: dict[str, str] = {}
    headers: dict[str, str] = {}
    for name, value in parameters.items():
        if not name.startswith(PREFIX):
            theirs[name] = value
        elif name.startswith(HEADER):
            headers[name.removeprefix(HEADER)] = value
        elif name == "forkproxy.reconnect":
            reconnect = _seconds(name, value)
        elif name == "forkproxy.gaps":
            if value not in _SWITCH:
                raise ConnectorConfigError(f"the parameter {name} is true or false, not {value!r}")
            gaps = _SWITCH[value]
        else:
            raise ConnectorConfigError(
                f"the parameter {name} is none of forkproxy's: forkproxy.header.<name>, .reconnect, .gaps"
            )
    try:
        check_headers(headers)
    except ValueError as error:
        raise ConnectorConfigError(f"the parameters {HEADER}...: {error}") from error
    return StreamOptions(theirs, reconnect, gaps, headers)


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MOST_SECONDS:
        raise ConnectorConfigError(
            f"the parameter {name} is a number of seconds from 0 to {MOST_SECONDS:g}, not {value!r}"
        )
    return seconds
