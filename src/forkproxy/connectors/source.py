"""Where a stream's frames come from, for connectors that take them by native code."""

from __future__ import annotations

from typing import Protocol


class Source(Protocol):
    """A tap that a connector's sink can be attached to; `forkproxy.media.Tap` in a real call."""

    def attach(self, sink: object) -> bool:
        """Give what has not been handed over yet to `sink` (sink.h); False: not now.

        Raises:
            ValueError: it is not a sink, or one of another version.
        """

    def detach(self) -> None:
        """Hand over again, beginning with the first moment that the sink has not taken."""

    @property
    def sent(self) -> int:
        """Frames that sinks have taken."""
