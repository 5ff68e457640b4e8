"""Which recorders answer: OPTIONS to each from time to time, and what recordings have found out meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable

from forkproxy.connectors.api import Host, StreamError
from forkproxy_siprec.settings import Recorder


class Health:
    """What one instance knows of its recorders. A recorder is tried last while it is believed to be down."""

    def __init__(self, host: Host, log: logging.Logger, interval: float | None, timeout: float) -> None:
        self._host = host
        self._log = log
        self._interval = interval
        self._timeout = timeout
        self._down: dict[str, float] = {}
        """Until when (on the loop's clock) a recorder is avoided."""
        self._task: asyncio.Task[None] | None = None
        self.probes = 0

    def watch(self, recorders: Iterable[Recorder]) -> None:
        """Begin to ask, if that is wanted; later calls do nothing."""
        if self._interval is not None and self._task is None:
            uris = list(dict.fromkeys(each.uri for each in recorders))
            self._task = asyncio.get_running_loop().create_task(self._ask(uris, self._interval))

    async def close(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def failed(self, recorder: Recorder, seconds: float) -> None:
        """Avoid it for so long."""
        self._down[recorder.uri] = asyncio.get_running_loop().time() + seconds

    def works(self, recorder: Recorder) -> None:
        """It records."""
        self._down.pop(recorder.uri, None)

    def order(self, recorders: list[Recorder]) -> list[Recorder]:
        """Those that are up first, otherwise as they stand."""
        now = asyncio.get_running_loop().time()
        is_down: Callable[[Recorder], bool] = lambda each: self._down.get(each.uri, 0.0) > now  # noqa: E731
        return sorted(recorders, key=is_down)

    async def _ask(self, uris: list[str], interval: float) -> None:
        while True:
            for uri in uris:
                self.probes += 1
                alive = await self._answers(uri)
                was = uri in self._down
                if alive:
                    self._down.pop(uri, None)
                else:
                    self._down[uri] = asyncio.get_running_loop().time() + 3 * interval
                if was == alive:
                    self._log.warning(
                        "the recorder %s %s", uri, "answers again" if alive else "does not answer"
                    )
            await asyncio.sleep(interval)

    async def _answers(self, uri: str) -> bool:
        """Any final response tells that somebody is there; recorders exist that say 503 and record."""
        try:
            dialog = await self._host.dial(uri)
            try:
                return (await dialog.request("OPTIONS", timeout=self._timeout)).answered
            finally:
                dialog.close()
        except StreamError:
            return False
