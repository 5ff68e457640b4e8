"""Health, metrics and running calls over HTTP, for the operator's tools.

============================  ================================================================================
``GET /healthz``              200 ``ok``, or 503 ``draining``: a load balancer then sends calls elsewhere
``GET /metrics``              Prometheus's text format 0.0.4
``GET /calls``                ``{"calls": [...]}``, the running calls, their legs and their streams
``POST /calls/SID/mask``      give the call's streams silence from now on; 404 where there is no such call
``POST /calls/SID/unmask``    and no more
``GET /trunks``               ``{"trunks": [...]}``, their registrations, addresses and calls
``GET /traces``               the traces that are waiting for calls, and those that are running
``POST /traces``              trace the next call of ``?number=`` or ``?trunk=``
``POST /traces/N/stop``       wait for its calls no more
``POST /calls/SID/trace``     trace a call that is up
``POST /drain``               take no new calls, and end when the running ones have, as after SIGTERM
============================  ================================================================================

The server runs in the loop that carries the calls. So every answer is made from what is in memory, a
request's body is never read, and the number of connections is bounded.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from forkproxy.control.captures import Captures
from forkproxy.control.metrics import (
    CONTENT_TYPE,
    METRICS,
    exposition,
    histogram_exposition,
    trunk_exposition,
)
from forkproxy.errors import ForkproxyError
from forkproxy.model import Address, Histogram

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
"""Further connections are closed at once: a monitor that leaks them must not eat the calls' descriptors."""
IDLE = 15.0
"""Seconds after which a connection that sends no request is closed."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ApiError(ForkproxyError):
    """The HTTP server cannot listen."""


class ApiServer:
    """The server at `api.listen`. It knows calls only by the functions that it is given."""

    def __init__(
        self,
        listen: Address,
        *,
        accepting: Callable[[], bool],
        counters: Callable[[], Mapping[str, int | float]],
        calls: Callable[[], Sequence[Mapping[str, Any]]],
        histograms: Callable[[], Mapping[str, Histogram]] = dict,
        mask: Callable[[str, bool], Mapping[str, Any] | None] = lambda _sid, _on: None,
        drain: Callable[[], None] = lambda: None,
        captures: Captures | None = None,
        trunks: Callable[[], Sequence[Mapping[str, Any]]] = tuple,
        trunk_figures: Callable[[], Mapping[str, Mapping[str, float]]] = dict,
        refusals: Callable[[], Sequence[Mapping[str, Any]]] = tuple,
        pardon: Callable[[str], bool] = lambda _host: False,
    ) -> None:
        """
        Args:
            listen: an address of this machine; port 0 picks a free one.
            accepting: False while draining.
            counters: everything that is counted, by the names of `forkproxy.control.metrics`.
            calls: the running calls, ready for JSON.
            histograms: likewise, as `counters`.
            mask: masks the call with a sid, or unmasks it; what became of it, or None: there is no such call.
            drain: begins to drain, if that has not begun.
            captures: traces calls; None: none are traced.
            trunks: the trunks, ready for JSON.
            trunk_figures: what is counted for each trunk, by the names of `forkproxy.control.metrics.TRUNKS`.
            refusals: the sources that were refused, ready for JSON.
            pardon: ends a source's ban; False: nothing is known of it.
        """
        self.address = listen
        """Where it listens; after `start` with the real port."""
        self._accepting = accepting
        self._counters = counters
        self._calls = calls
        self._histograms = histograms
        self._mask = mask
        self._drain = drain
        self._captures = captures or Captures(None)
        self._trunks = trunks
        self._trunk_figures = trunk_figures
        self._refusals = refusals
        self._pardon = pardon
        self._requests = {"http_requests": 0, "http_bad_requests": 0, "http_connections_refused": 0}
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """
        Raises:
            ApiError: the address or the port cannot be had.
        """
        application = web.Application(middlewares=[self._guard])
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/calls", self._running)
        application.router.add_post("/calls/{sid}/{action:mask|unmask}", self._masking)
        application.router.add_get("/trunks", self._lines)
        application.router.add_get("/refusals", self._refused)
        application.router.add_post("/refusals/pardon", self._pardoning)
        application.router.add_get("/traces", self._traces)
        application.router.add_post("/traces", self._tracing)
        application.router.add_post("/traces/{number:[0-9]{1,9}}/stop", self._tracing_no_more)
        application.router.add_post("/calls/{sid}/trace", self._tracing)
        application.router.add_post("/drain", self._draining)
        # aiohttp logs a traceback for every request that it cannot parse; here these are counted.
        logger = logging.Logger("forkproxy.control.http.parser")
        logger.addFilter(self._count_bad)
        self._runner = web.AppRunner(
            application, access_log=None, logger=logger, keepalive_timeout=IDLE, shutdown_timeout=1.0
        )
        await self._runner.setup()
        listen = self.address
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._protocol, listen.host, listen.port
            )
        except OSError as error:
            await self.close()
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise ApiError(f"api.listen: cannot listen at {listen}: {reason}") from error
        self.address = Address(listen.host, self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and close all connections. May be called twice."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def counters(self) -> Mapping[str, int]:
        """What this server counts by itself."""
        return self._requests

    def _protocol(self) -> asyncio.BaseProtocol:
        assert self._runner is not None
        assert self._runner.server is not None
        if len(self._runner.server.connections) >= MAX_CONNECTIONS:
            self._requests["http_connections_refused"] += 1
            return _Refused()
        return self._runner.server()

    def _count_bad(self, record: logging.LogRecord) -> bool:
        self._requests["http_bad_requests"] += 1
        return False

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """No request may do more than fail."""
        self._requests["http_requests"] += 1
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _text(error.status, error.reason.lower())
        except Exception:
            log.exception("a request failed", extra={"path": request.path})
            return _text(500, "internal error; the log says more")

    async def _healthz(self, request: web.Request) -> web.Response:
        return _text(200, "ok") if self._accepting() else _text(503, "draining")

    async def _metrics(self, request: web.Request) -> web.Response:
        # What has not happened yet is there, too, as 0: a rate needs a beginning.
        text = exposition({**dict.fromkeys(METRICS, 0), **self._counters(), **self.counters()})
        text += histogram_exposition(self._histograms()) + trunk_exposition(self._trunk_figures())
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _running(self, request: web.Request) -> web.Response:
        text = json.dumps({"calls": list(self._calls())}, default=str)
        return web.Response(text=text + "\n", content_type="application/json")

    async def _lines(self, request: web.Request) -> web.Response:
        text = json.dumps({"trunks": list(self._trunks())}, default=str)
        return web.Response(text=text + "\n", content_type="application/json")

    async def _refused(self, request: web.Request) -> web.Response:
        text = json.dumps({"sources": list(self._refusals())}, default=str)
        return web.Response(text=text + "\n", content_type="application/json")

    async def _pardoning(self, request: web.Request) -> web.Response:
        source = request.query.get("source", "")
        if not self._pardon(source):
            return _text(404, "no such source has been refused")
        return _text(200, "pardoned")

    async def _traces(self, request: web.Request) -> web.Response:
        return web.Response(
            text=json.dumps(self._captures.describe()) + "\n", content_type="application/json"
        )

    async def _tracing(self, request: web.Request) -> web.Response:
        query = request.query
        try:
            begun = self._captures.start(
                sid=request.match_info.get("sid"),
                number=query.get("number"),
                trunk=query.get("trunk"),
                calls=int(query.get("calls", 1)),
                seconds=float(query.get("seconds", 600)),
            )
        except ValueError:
            return _text(400, "calls and seconds are numbers")
        if isinstance(begun, str):
            return _text(404 if begun == "no such call" else 409, begun)
        return web.Response(text=json.dumps(begun) + "\n", content_type="application/json")

    async def _tracing_no_more(self, request: web.Request) -> web.Response:
        if not self._captures.stop(int(request.match_info["number"])):
            return _text(404, "no such trace")
        return _text(200, "stopped")

    async def _draining(self, request: web.Request) -> web.Response:
        self._drain()
        return _text(202, "draining")

    async def _masking(self, request: web.Request) -> web.Response:
        outcome = self._mask(request.match_info["sid"], request.match_info["action"] == "mask")
        if outcome is None:
            return _text(404, "no such call")
        return web.Response(text=json.dumps(outcome) + "\n", content_type="application/json")


class _Refused(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text + "\n")
