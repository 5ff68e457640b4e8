"""The widgets of Studio, and one of our own: those that run, and those that are known.

To make another one run: a module here with its class (see `base`), and its name in `RUNNING`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forkproxy.flow.widgets.base import Widget
from forkproxy.flow.widgets.connect_call_to import ConnectCallTo
from forkproxy.flow.widgets.connect_stream import ConnectStream
from forkproxy.flow.widgets.fork_stream import ForkStream
from forkproxy.flow.widgets.gather_input import GatherInput
from forkproxy.flow.widgets.known import INVENTED, KNOWN
from forkproxy.flow.widgets.say_play import SayPlay
from forkproxy.flow.widgets.set_variables import SetVariables
from forkproxy.flow.widgets.split_based_on import SplitBasedOn
from forkproxy.flow.widgets.trigger import Trigger

RUNNING: Mapping[str, type[Widget[Any]]] = {
    widget.type_name: widget
    for widget in (
        Trigger,
        ForkStream,
        ConnectCallTo,
        ConnectStream,
        SplitBasedOn,
        SetVariables,
        SayPlay,
        GatherInput,
    )
}
"""The widgets that run, by type."""

__all__ = ["INVENTED", "KNOWN", "RUNNING", "Widget"]
