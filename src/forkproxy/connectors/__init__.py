"""Step 5, hand the copies over: the connector API, the types that packages offer, and the running streams.

- `forkproxy.connectors.api`       all that a connector imports
- `forkproxy.connectors.registry`  entry points, and the instances that the configuration makes
- `forkproxy.connectors.streams`   one running stream: queue, task, timeouts, events
- `forkproxy.connectors.voice`     what a bidirectional stream says into its call
- `forkproxy.connectors.testing`   for the tests of connectors

The names below are what the rest of forkproxy uses.
"""

from __future__ import annotations

from forkproxy.connectors.api import Connector, Host, Settings, Stream
from forkproxy.connectors.events import (
    StreamCreated,
    StreamEnded,
    StreamEvent,
    StreamFigures,
    StreamWarning,
)
from forkproxy.connectors.registry import InstalledConnector, Instance, Registry, build, installed
from forkproxy.connectors.streams import StreamRunner, abandoned
from forkproxy.connectors.voice import OnMark

__all__ = [
    "Connector",
    "Host",
    "InstalledConnector",
    "Instance",
    "OnMark",
    "Registry",
    "Settings",
    "Stream",
    "StreamCreated",
    "StreamEnded",
    "StreamEvent",
    "StreamFigures",
    "StreamRunner",
    "StreamWarning",
    "abandoned",
    "build",
    "installed",
]
