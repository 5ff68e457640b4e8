"""The composition root: builds the stack from a configuration, starts it, and takes it down in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from forkproxy import __version__, logs
from forkproxy.bridge.choice import Abilities
from forkproxy.bridge.manager import CallManager
from forkproxy.bridge.prompts import Prompts
from forkproxy.bridge.recording import Dialling
from forkproxy.bridge.services import Services
from forkproxy.config import Config, establish_account
from forkproxy.connectors import Connector, Host, abandoned
from forkproxy.control.captures import Captures
from forkproxy.control.http import ApiServer
from forkproxy.control.records import CallRecords
from forkproxy.media import MediaEngine
from forkproxy.model import Histogram
from forkproxy.reload import ignored
from forkproxy.signalling import SipEndpoint
from forkproxy.signalling.access import Access
from forkproxy.signalling.carriers import Carriers
from forkproxy.signalling.gate import Gate
from forkproxy.signalling.overload import Overload
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
        self._started = self.config = config
        host = Host(
            account=establish_account(config),
            user_agent=USER_AGENT,
            ca_file=config.streams.ca_file,
            allow_ws=config.streams.allow_ws,
            log=logging.getLogger("forkproxy.connectors"),
            dialler=(dialling := Dialling()),
        )
        self._connectors: dict[str, Connector[Any]] = config.make_connectors(host)
        self._gate = Gate(
            lambda host: self._access.knows(host),
            config.sip.limits,
            open_to_all=lambda: self._access.open_to_all,
        )
        self._access = Access(
            config.routes(),
            silent=config.sip.limits.silent,
            realm=config.sip.realm,
            algorithms=config.sip.digest,
            on_refused=self._gate.strike,
            on_admitted=self._pardon,
        )
        self._overload = Overload(config.sip.limits, lambda: self._calls.active)
        self._media = MediaEngine(
            listen=config.media_listen,
            ports=(config.media.ports.first, config.media.ports.last),
            threads=config.media.threads,
            window_ms=config.media.window,
            dtmf_inband=config.media.dtmf_inband,
        )
        self._endpoint = SipEndpoint(
            listen=config.sip.listen,
            advertise=config.sip.advertise,
            user_agent=USER_AGENT,
            on_invite=self._on_invite,
            admit=self._access.admits,
            nameservers=config.sip.nameservers,
            gate=self._gate,
            takes_call=self._overload.takes,
            terms=config.sip.terms,
            tls=config.sip.tls_settings(),
            keep_alive=config.sip.keep_alive,
        )
        self._carriers = Carriers(self._endpoint, config.routes())
        self._captures = Captures(config.trace.folder)
        self._captures.on_change = self._trace
        self._endpoint.on_dialled = self._captures.dialled
        self._trace()
        self._prompts = Prompts(USER_AGENT)
        self._records = CallRecords(config.cdr.file)
        self._services = Services(
            endpoint=self._endpoint,
            media=self._media,
            connectors=self._connectors,
            host=host,
            prompts=self._prompts,
            media_addresses=config.media_addresses,
            media_v6=config.media_v6,
            record=self._records.write,
            watch=self._captures,
            take=self._carriers.take,
            up=self._carriers.up,
            **self._settings(config),
        )
        dialling.serve(self._services)
        self._calls = CallManager(self._services, config.loaded_flows)
        self._api = ApiServer(
            config.api.listen,
            counters=self.counters,
            histograms=self.histograms,
            calls=self.calls,
            mask=self._calls.mask,
            accepting=lambda: self._endpoint.accepting,
            drain=self._asked_to_drain,
            trunks=self._carriers.describe,
            captures=self._captures,
            trunk_figures=self._carriers.figures,
            refusals=self._gate.describe,
            pardon=self._gate.pardon,
        )
        self.on_drain: Callable[[], None] = lambda: None
        """Called when the HTTP server was asked to drain; new calls are refused already."""
        self._retiring: dict[asyncio.Task[None], list[Connector[Any]]] = {}

    async def start(self) -> None:
        """Listen. Calls are taken from here on.

        Raises:
            ForkproxyError: a port cannot be had; nothing is left running.
        """
        try:
            self._records.start()
            self._media.start()
            await self._api.start()
            self._overload.start()
            await self._endpoint.start()
            self._carriers.start()
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
        self._overload.close()
        await self._carriers.close()
        await self._endpoint.close()
        self._media.close()
        left = list(self._connectors.values())
        for task, connectors in list(self._retiring.items()):
            task.cancel()
            left += connectors
        await _close(left)
        await self._prompts.close()
        await self._api.close()
        self._records.close()
        self._captures.close()

    def reload(self, config: Config) -> list[str]:
        """Apply a configuration to the calls that come from now on; running ones keep what they have.

        Returns the keys that differ from the start's and need a restart: they are not applied.

        Raises:
            ForkproxyError: a connector cannot start; then nothing has changed.
        """
        host = self._services.host
        account = host.account if config.account == self.config.account else establish_account(config)
        changed = replace(
            host, account=account, ca_file=config.streams.ca_file, allow_ws=config.streams.allow_ws
        )
        host = host if changed == host else changed
        kept = self._unchanged(config, host)
        fresh = config.make_connectors(host, except_for=kept)
        # Nothing below fails: it is all of it or, with an exception above, nothing.
        before = self._connectors
        self._connectors = {name: kept.get(name) or fresh[name] for name in config.instances}
        self._services = replace(
            self._services, connectors=self._connectors, host=host, **self._settings(config)
        )
        self._endpoint.terms = config.sip.terms
        self._access.silent = config.sip.limits.silent
        self._access.update(self._services.trunks)
        self._gate.update(config.sip.limits)
        self._overload.limits = config.sip.limits
        self._carriers.update(self._services.trunks)
        gone = self._calls.reload(self._services, config.loaded_flows)
        self._retire([each for name, each in before.items() if name not in kept], gone)
        logs.hide(*config.secrets())
        logs.change(config.log.level, config.log.format)
        self._captures.folder = config.trace.folder
        self._trace()
        self._records.reopen(config.cdr.file)
        self.config = config
        return ignored(self._started, config)

    @staticmethod
    def _settings(config: Config) -> dict[str, Any]:
        """What calls take from the configuration, and a reload may change."""
        return {
            "trunks": config.routes(),
            "start_wait": config.streams.start_wait,
            "buffer": config.streams.buffer,
            "max_tracks": config.streams.max_tracks,
            "srtp": config.media.srtp,
            "abilities": Abilities(offered=config.media.codecs),
            "inactivity": config.media.inactivity,
            "pass_headers": config.sip.pass_headers,
            "transfers": config.sip.refer == "pass",
            "redirects": config.sip.redirects,
        }

    def _unchanged(self, config: Config, host: Host) -> dict[str, Connector[Any]]:
        """The connectors that can go on: theirs is the same type with the same settings."""
        if host is not self._services.host:
            return {}
        old = self.config.instances
        return {
            name: self._connectors[name]
            for name, instance in config.instances.items()
            if name in old
            and old[name].connector is instance.connector
            and old[name].settings.model_dump() == instance.settings.model_dump()
        }

    def _retire(self, connectors: list[Connector[Any]], gone: asyncio.Event) -> None:
        """Close connectors when the calls that may use them have ended."""

        async def close() -> None:
            await gone.wait()
            await _close(connectors)

        if connectors:
            task = asyncio.get_running_loop().create_task(close())
            self._retiring[task] = connectors
            task.add_done_callback(lambda task: self._retiring.pop(task, None))

    def _trace(self) -> None:
        trace_sip(self._endpoint, self._captures)

    def _asked_to_drain(self) -> None:
        if self._endpoint.accepting:
            self._endpoint.accepting = False
            self.on_drain()

    def counters(self) -> dict[str, int | float]:
        """Every figure of this process, by the name that its metric has without `forkproxy_`."""
        figures: dict[str, int | float] = {
            "calls_active": self._calls.active,
            "streams_active": self._calls.streams,
            "stream_unsent_octets": self._calls.backlog[0],
            "stream_oldest_seconds": self._calls.backlog[1],
            "connectors_abandoned": abandoned(),
            "log_lines_dropped": logs.dropped(),
        }
        figures |= self._services.counts
        figures |= self._records.counters()
        figures |= self._captures.counters()
        figures |= {f"sip_{name}": value for name, value in self._endpoint.counters().items()}
        for part in (self._access, self._gate, self._overload):
            figures |= {f"sip_{name}": value for name, value in part.counters().items()}
        figures |= {f"rtp_{name}": value for name, value in self._media.counters().items()}
        return figures

    def histograms(self) -> dict[str, Histogram]:
        """Every histogram of this process, likewise."""
        return {f"rtp_{name}": value for name, value in self._media.histograms().items()}

    def calls(self) -> list[dict[str, Any]]:
        """The running calls and their streams."""
        return self._calls.describe()

    def _pardon(self, host: str) -> None:
        self._gate.pardon(host)

    def _on_invite(self, leg: Any) -> None:
        self._calls.on_invite(leg)


async def _close(connectors: Iterable[Connector[Any]]) -> None:
    """Close connectors, each for itself: one that fails or hangs keeps no other from it."""
    await asyncio.gather(*(connector.close() for connector in connectors), return_exceptions=True)
