"""The composition root: builds the stack from a configuration, starts it, and takes it down in order."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from forkproxy import __version__, logs
from forkproxy.bridge.choice import Abilities
from forkproxy.bridge.manager import CallManager
from forkproxy.bridge.prompts import Prompts
from forkproxy.bridge.services import Services
from forkproxy.config import Config, establish_account
from forkproxy.connectors import Connector, Host, abandoned
from forkproxy.control.http import ApiServer
from forkproxy.control.records import CallRecords
from forkproxy.media import MediaEngine
from forkproxy.model import Histogram
from forkproxy.signalling import SipEndpoint
from forkproxy.signalling.access import Access
from forkproxy.trace import trace_sip

log = logging.getLogger(__name__)

HANG_UP_SECONDS = 5.0
"""How long the calls that a drain did not see ended get for their BYEs and their streams' last frames."""
USER_AGENT = f"forkproxy/{__version__}"


class App:
    """One running forkproxy. Made, started and stopped on one event loop's thread."""

    def __init__(self, config: Config) -> None:
        """
        Raises:
            ForkproxyError: a connector refuses its settings, or PJSIP cannot be loaded.
        """
        self._config = config
        account = establish_account(config)
        host = Host(
            account=account,
            user_agent=USER_AGENT,
            ca_file=config.streams.ca_file,
            allow_ws=config.streams.allow_ws,
            log=logging.getLogger("forkproxy.connectors"),
        )
        self._connectors: dict[str, Connector[Any]] = config.make_connectors(host)
        self._trunks = config.routes()
        self._access = Access(self._trunks)
        self._media = MediaEngine(
            listen=config.media.listen,
            ports=(config.media.ports.first, config.media.ports.last),
            threads=config.media.threads,
            window_ms=config.media.window,
        )
        self._endpoint = SipEndpoint(
            listen=config.sip.listen,
            advertise=config.sip.advertise,
            user_agent=USER_AGENT,
            on_invite=self._on_invite,
            admit=self._access.admits,
        )
        trace_sip(self._endpoint)
        self._prompts = Prompts(USER_AGENT)
        self._records = CallRecords(config.cdr.file)
        self._services = Services(
            endpoint=self._endpoint,
            media=self._media,
            connectors=self._connectors,
            host=host,
            prompts=self._prompts,
            trunks=self._trunks,
            media_address=self._media_address(),
            start_wait=config.streams.start_wait,
            buffer=config.streams.buffer,
            srtp=config.media.srtp,
            abilities=Abilities(offered=config.media.codecs),
            inactivity=config.media.inactivity,
            record=self._records.write,
        )
        self._calls = CallManager(self._services, config.loaded_flows)
        self._api = ApiServer(
            config.api.listen,
            counters=self.counters,
            histograms=self.histograms,
            calls=self.calls,
            mask=self._calls.mask,
            accepting=lambda: self._endpoint.accepting,
        )

    async def start(self) -> None:
        """Listen. Calls are taken from here on.

        Raises:
            ForkproxyError: a port cannot be had; nothing is left running.
        """
        try:
            self._records.start()
            self._media.start()
            await self._api.start()
            await self._endpoint.start()
        except BaseException:
            await self.stop()
            raise

    def ready_line(self) -> str:
        """What `forkproxy serve` prints when it can take calls."""
        return f"forkproxy ready sip={','.join(self._endpoint.listening)} api={self._api.address}"

    async def drain(self, grace: float) -> None:
        """Take no new calls; let the running ones end, and end those that are left after `grace` seconds."""
        self._endpoint.accepting = False
        log.info("draining: %d calls have %g s to end", self._calls.active, grace)
        if not await self._calls.empty(grace):
            log.warning("%d calls are ended now", self._calls.active)

    async def stop(self) -> None:
        """End what is left, release everything. Safe after a failed start."""
        self._endpoint.accepting = False
        self._calls.shut_down("forkproxy is stopping")
        if not await self._calls.empty(HANG_UP_SECONDS):
            log.warning("%d calls did not end within %g s", self._calls.active, HANG_UP_SECONDS)
            self._calls.write_off("forkproxy stopped before the call had ended")
        await self._endpoint.close()
        self._media.close()
        await asyncio.gather(
            *(connector.close() for connector in self._connectors.values()), return_exceptions=True
        )
        await self._prompts.close()
        await self._api.close()
        self._records.close()

    def reopen(self) -> None:
        """Go on in a new file where one was renamed."""
        self._records.reopen(self._config.cdr.file)

    def counters(self) -> dict[str, int | float]:
        """Every figure of this process, by the name that its metric has without `forkproxy_`."""
        figures: dict[str, int | float] = {
            "calls_active": self._calls.active,
            "streams_active": self._calls.streams,
            "connectors_abandoned": abandoned(),
            "log_lines_dropped": logs.dropped(),
        }
        figures |= self._services.counts
        figures |= self._records.counters()
        figures |= {f"sip_{name}": value for name, value in self._endpoint.counters().items()}
        figures |= {f"sip_{name}": value for name, value in self._access.counters().items()}
        figures |= {f"rtp_{name}": value for name, value in self._media.counters().items()}
        return figures

    def histograms(self) -> dict[str, Histogram]:
        """Every histogram of this process, likewise."""
        return {f"rtp_{name}": value for name, value in self._media.histograms().items()}

    def calls(self) -> list[dict[str, Any]]:
        """The running calls and their streams."""
        return self._calls.describe()

    def _on_invite(self, leg: Any) -> None:
        self._calls.on_invite(leg)

    def _media_address(self) -> str | None:
        """The configured address for session descriptions; None: the one on the way to the peer."""
        media = self._config.media
        if media.advertise is not None:
            return media.advertise
        if self._config.sip.advertised_host is not None:
            return self._config.sip.advertised_host
        return None if media.listen in ("0.0.0.0", "::") else media.listen
