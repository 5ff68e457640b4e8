"""`forkproxy serve` as a process: what an operator starts, and what he can see of it from outside."""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.processes import Process, until

_READY = re.compile(r"^forkproxy ready sip=(?P<sip>\S+) api=(?P<api>\S+)$", re.MULTILINE)
_LINGERING = re.compile(r"forkproxy_sip_(transactions|dialogs|transports|pools|pool_bytes|lag_seconds)$")
_METRIC = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*(?:\{[^}]*\})?) (?P<value>\S+)$", re.MULTILINE)
_TYPE = re.compile(r"^# TYPE (\S+) (\S+)$", re.MULTILINE)

ACCOUNT = {"sid": "AC" + "0123456789abcdef" * 2, "auth_token": "a-token-for-tests"}


def _host_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class Proxy:
    """A running forkproxy; an async context manager that stops it with SIGTERM and wants exit status 0.

    Args:
        folder: Where config, flows, state and logs go; made.
        flow: The flow of every call.
        flows: Further flows by dialled number.
        config: Sections to replace in the test's config; the keys of a section are merged.
        legs: How many call legs must find RTP ports.
        expect: The exit status when it stops; None when the test stops it by itself.
    """

    def __init__(
        self,
        folder: Path,
        flow: Mapping[str, Any],
        *,
        flows: Mapping[str, Mapping[str, Any]] | None = None,
        config: Mapping[str, Any] | None = None,
        legs: int = 20,
        expect: int | None = 0,
    ) -> None:
        self.folder = folder
        self.expect = expect
        self._flows = {"default": flow, **(flows or {})}
        self._overrides = config or {}
        self._legs = legs
        self._process: Process | None = None
        self.udp: tuple[str, int] = ("", 0)
        self.tcp: tuple[str, int] = ("", 0)
        self.tls: tuple[str, int] = ("", 0)
        self.listening: list[str] = []
        """Every SIP address of the ready line: ``udp:[::1]:5060``."""
        self.api = ""

    @property
    def process(self) -> Process:
        assert self._process is not None
        return self._process

    @property
    def log(self) -> str:
        return self.process.err

    def write(self) -> Path:
        """Write config and flows; the config's path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        names = {}
        for number, (key, flow) in enumerate(self._flows.items()):
            file = self.folder / f"flow-{number}.json"
            file.write_text(json.dumps(flow, indent=2))
            names[key] = file.name
        count = (
            self._legs * 3 // 2 * 2 + 100
        )  # some may be taken by others: the range needs room, not to be free
        first = random.randrange(20000, 32700 - count, 2)
        config: dict[str, Any] = {
            # A machine that is busy with other tests is no reason to refuse calls.
            "sip": {"listen": ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"], "max_lag": None},
            "media": {"listen": "127.0.0.1", "ports": f"{first}-{first + count - 1}"},
            "flows": names,
            "account": ACCOUNT,
            "api": {"listen": "127.0.0.1:0"},
            "log": {"level": "debug"},
        }
        for section, value in self._overrides.items():
            merged = isinstance(value, Mapping) and isinstance(config.get(section), dict)
            config[section] = {**config[section], **value} if merged else value
        path = self.folder / "forkproxy.yaml"
        path.write_text(json.dumps(config, indent=2))  # JSON is YAML too
        return path

    async def __aenter__(self) -> Proxy:
        self.start()
        try:
            await self.ready()
        except BaseException:
            self.process.kill()
            raise
        return self

    def start(self) -> None:
        """Start it, without waiting."""
        path = self.write()
        command = [sys.executable, "-m", "forkproxy", "serve", path]
        self._process = Process(
            "forkproxy",
            command,
            self.folder,
            env={"XDG_STATE_HOME": str(self.folder / "state"), "PYTHONUNBUFFERED": "1"},
        )

    async def ready(self, timeout: float = 20) -> None:
        """Wait for the ready line and learn the ports from it."""
        process = self.process

        def said() -> re.Match[str] | None:
            assert process.returncode is None, f"it did not start\n{process.describe()}"
            return _READY.search(process.out)

        match = await until(
            said, timeout=timeout, what=lambda: f"ready line of {process.describe()}", every=0.02
        )
        assert match is not None
        self.listening = match["sip"].split(",")
        listening = dict(part.split(":", 1) for part in reversed(self.listening))  # the first of each counts
        self.udp = _host_port(listening["udp"]) if "udp" in listening else ("", 0)
        self.tcp = _host_port(listening["tcp"]) if "tcp" in listening else ("", 0)
        self.tls = _host_port(listening["tls"]) if "tls" in listening else ("", 0)
        self.api = match["api"]

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self.expect is not None:
                await self.stop()
        finally:
            self.process.kill()
            if kind is not None:
                print(self.process.describe(8000))  # pytest shows it with the failure

    async def stop(self, timeout: float = 20) -> None:
        """SIGTERM, and the end as it should be."""
        self.process.signal(signal.SIGTERM)
        status = await self.process.exited(timeout)
        assert status == self.expect, self.process.describe(8000)
        assert "Traceback (most recent call last)" not in self.log, self.process.describe(20000)

    # What can be seen from outside.

    async def get(self, path: str) -> tuple[int, str]:
        """GET from the api listener: status and body."""
        return await self._ask("GET", path)

    async def post(self, path: str) -> tuple[int, str]:
        """POST to the api listener, without a body: status and body."""
        return await self._ask("POST", path)

    async def _ask(self, method: str, path: str) -> tuple[int, str]:
        request = urllib.request.Request(f"http://{self.api}{path}", method=method)

        def fetch() -> tuple[int, str]:
            try:
                with urllib.request.urlopen(request, timeout=10) as response:
                    return response.status, response.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()

        return await asyncio.to_thread(fetch)

    async def metrics(self) -> dict[str, float]:
        """Every metric of /metrics by its name, labels included as they are written."""
        status, text = await self.get("/metrics")
        assert status == 200, text
        return {match["name"]: float(match["value"]) for match in _METRIC.finditer(text)}

    async def gauges(self) -> dict[str, float]:
        """The metrics that go up and down: what must be back where it was when all calls are over."""
        found = await self._of("gauge")
        assert found, "no metric is a gauge"
        return found

    async def counted(self) -> dict[str, float]:
        """The metrics that only grow."""
        return await self._of("counter")

    async def _of(self, kind: str) -> dict[str, float]:
        status, text = await self.get("/metrics")
        assert status == 200, text
        kinds = dict(_TYPE.findall(text))
        return {
            match["name"]: float(match["value"])
            for match in _METRIC.finditer(text)
            if kinds.get(match["name"].split("{", 1)[0]) == kind
        }

    async def held(self) -> dict[str, float]:
        """The gauges without those that SIP's own timers give back only 32 seconds after a call."""
        return {name: value for name, value in (await self.gauges()).items() if not _LINGERING.match(name)}

    async def calls(self) -> list[dict[str, Any]]:
        """The running calls, as /calls lists them."""
        status, text = await self.get("/calls")
        assert status == 200, text
        body = json.loads(text)
        return body["calls"] if isinstance(body, dict) else body  # type: ignore[no-any-return]

    async def logged(self, pattern: str, *, timeout: float = 10) -> str:
        """Wait for a log line that matches; the line."""
        line = re.compile(f"^.*(?:{pattern}).*$", re.MULTILINE)
        found = await until(
            lambda: line.search(self.log),
            timeout=timeout,
            what=lambda: f"{pattern!r} in {self.process.describe(8000)}",
        )
        assert found is not None
        return found[0]

    async def idle(self, *, timeout: float = 10) -> None:
        """Wait until no call is left."""
        for _ in range(round(timeout / 0.1)):
            if not await self.calls():
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"calls are left: {await self.calls()}\n{self.process.describe(8000)}")
