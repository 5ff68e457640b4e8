"""The demo's own error: it could not run, which is another thing than a check that failed."""

from __future__ import annotations

from forkproxy.errors import ForkproxyError


class DemoError(ForkproxyError):
    """The demo cannot go on; the message says why and what to do, the log has the proxy's last lines."""

    def __init__(self, message: str, log: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.log = log
