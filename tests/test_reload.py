"""A configuration read again: all of it or nothing, for the calls that come, and not for those that run."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from forkproxy import config as configuration
from forkproxy import logs, serve
from forkproxy.app import App
from forkproxy.config import Config
from forkproxy.errors import ConfigError
from forkproxy.reload import APPLIED, ignored
from tests.config.conftest import FLOW, _types  # noqa: F401 (connector types that are not installed)
from tests.config.sample_connector import Archive
from tests.support.flows import bridge
from tests.support.proxy import Proxy
from tests.support.sip import Phone
from tests.support.talk import conversation
from tests.test_docs import KEYS


def write(folder: Path, **sections: Any) -> Path:
    whole = {
        "sip": {"listen": ["udp://127.0.0.1:0"]},
        "media": {"listen": "127.0.0.1"},
        "api": {"listen": "127.0.0.1:0"},
        "flows": {"default": "flow.json"},
        "account": {"sid": "AC" + "0" * 32, "auth_token": "t"},
    }
    (folder / "flow.json").write_text(json.dumps(FLOW))
    path = folder / "forkproxy.yaml"
    path.write_text(json.dumps(whole | sections))
    return path


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    connectors = {"a": {"type": "archive", "folder": "x"}, "b": {"type": "archive", "folder": "y"}}
    app = App(configuration.load(write(tmp_path, connectors=connectors)))
    await app.start()
    yield app
    await app.stop()


def test_the_list_of_what_is_applied_has_only_keys_that_there_are() -> None:
    leaves = {key.partition(".")[0] if key.startswith("trunks.") else key for key in KEYS}
    assert leaves >= APPLIED


def test_what_needs_a_restart() -> None:
    def config(**sections: Any) -> Config:
        return Config.model_validate({"flows": {"default": "f"}, **sections})

    now = config(
        sip={"listen": ["udp://127.0.0.1:7000"], "drain": 5},
        media={"ports": "30000-30099", "srtp": "off"},
        log={"level": "debug"},
        trunks=[{"name": "a"}],
    )
    assert ignored(config(), now) == ["sip.listen", "media.ports"]
    assert ignored(now, now) == []


async def test_only_connectors_that_changed_are_made_anew(app: App, tmp_path: Path) -> None:
    before = dict(app._connectors)
    connectors = {
        "a": {"type": "archive", "folder": "x"},
        "b": {"type": "archive", "folder": "z"},
        "c": {"type": "archive", "folder": "z"},
    }
    assert app.reload(configuration.load(write(tmp_path, connectors=connectors))) == []
    assert app._connectors["a"] is before["a"]
    assert app._connectors["b"] is not before["b"]
    assert set(app._connectors) == {"a", "b", "c", "websocket"}
    await asyncio.sleep(0.01)
    assert not app._retiring, "no call was up: what is not used any more is closed"
    account = {"sid": "AC" + "1" * 32, "auth_token": "t"}
    app.reload(configuration.load(write(tmp_path, connectors=connectors, account=account)))
    assert app._connectors["a"] is not before["a"], "it signs with another account now"


async def test_a_connector_that_cannot_start_changes_nothing(app: App, tmp_path: Path) -> None:
    before = (app.config, app._services, dict(app._connectors))
    connectors = {"a": {"type": "archive", "folder": "x"}, "no": {"type": "refusing"}}
    config = configuration.load(write(tmp_path, connectors=connectors, log={"level": "error"}))
    with pytest.raises(ConfigError):
        app.reload(config)
    assert (app.config, app._services, app._connectors) == before
    assert isinstance(app._connectors["a"], Archive)


async def test_a_mistake_is_told_with_its_line_and_changes_nothing(
    app: App, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = app.config
    path = tmp_path / "forkproxy.yaml"
    path.write_text("flows: {default: flow.json}\nlog: {level: loud}\n")
    await serve.reload(app, path)
    path.unlink()
    await serve.reload(app, path)
    assert app.config is config
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert told[0].__dict__["file"] == f"{path}:2"
    assert told[1].getMessage() == "the configuration has mistakes; nothing was changed"
    assert "cannot be read" in told[2].getMessage() or "No such file" in told[2].getMessage()


async def test_what_is_ignored_is_named(app: App, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "forkproxy")
    path = write(tmp_path, media={"listen": "127.0.0.1", "threads": 3}, streams={"buffer": 5})
    await serve.reload(app, path)
    ignored = [record for record in caplog.records if "ignored" in record.getMessage()]
    assert [record.__dict__["path"] for record in ignored] == ["media.threads"]
    assert app._services.buffer == 5
    assert caplog.records[-1].getMessage() == "the configuration was read again"


def test_level_and_format_of_the_log_change(capfd: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("forkproxy.test")
    logs.change("debug", "json")  # before setup: nothing
    logs.setup("warning", "text")
    try:
        log.info("not shown")
        logs.change("info", "json")
        log.info("shown")
    finally:
        logs.shutdown()
    (line,) = capfd.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "shown"


async def test_a_running_call_keeps_its_flow_and_the_next_takes_the_new_one(tmp_path: Path) -> None:
    async with (
        Phone("alice") as alice,
        Phone("bob") as bob,
        Phone("carol") as carol,
        Proxy(tmp_path / "proxy", bridge(bob.uri), config={"log": {"level": "info"}}) as proxy,
    ):
        path = proxy.folder / "forkproxy.yaml"
        async with conversation(proxy, alice, bob) as talking:
            whole = path.read_text()
            path.write_text("flows: [\n")
            proxy.process.signal(signal.SIGHUP)
            await proxy.logged("nothing was changed")
            path.write_text(whole)
            (proxy.folder / "flow-0.json").write_text(json.dumps(bridge(carol.uri)))
            proxy.process.signal(signal.SIGHUP)
            await proxy.logged("the configuration was read again")
            async with conversation(proxy, alice, carol) as other:
                await asyncio.sleep(0.3)
                await other.hush()
                assert other.interruptions() == []
                await other.alice.hang_up()
                await other.bob.request("BYE")
            await talking.hush()
            assert talking.interruptions() == []
            assert (await proxy.post("/drain"))[0] == 202
            assert (await proxy.post("/drain"))[0] == 202, "the second does not cut calls short"
            refused = await carol.call(f"sip:bob@127.0.0.1:{proxy.udp[1]}", proxy.udp)
            assert (await refused.response(200)).status == 503
            await talking.alice.hang_up()
            await talking.bob.request("BYE")
        assert await proxy.process.exited(10) == 0
