"""`forkproxy serve` as a process: the ready line, signals, and standard streams that are not as usual."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from forkproxy import bridge, serve
from forkproxy import config as configuration
from forkproxy.app import App
from forkproxy.control.metrics import FAMILIES, METRICS
from tests.config.conftest import FLOW
from tests.test_cli import FORKPROXY, source_path

READY = re.compile(
    r"forkproxy ready sip=udp:127\.0\.0\.1:(\d+),tcp:127\.0\.0\.1:(\d+) api=127\.0\.0\.1:(\d+)\n"
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "flow.json").write_text(json.dumps(FLOW))
    path = tmp_path / "forkproxy.yaml"
    path.write_text(
        "sip: {listen: [udp://127.0.0.1:0, tcp://127.0.0.1:0], drain: 5}\n"
        "media: {listen: 127.0.0.1}\n"
        "flows: {default: flow.json}\n"
        "api: {listen: 127.0.0.1:0}\n"
    )
    return path


def environment(config: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": source_path(), "XDG_STATE_HOME": str(config.parent / "state"), **more}


@contextmanager
def started(
    config: Path, environ: dict[str, str] | None = None, **how: Any
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*FORKPROXY, "serve", str(config)],
        **{
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "env": environ or environment(config),
            **how,
        },
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ready(process: subprocess.Popen[str]) -> re.Match[str]:
    assert process.stdout is not None
    line = process.stdout.readline()
    match = READY.fullmatch(line)
    assert match is not None, line or process.communicate()
    return match


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_ready_line_and_a_signal_ends_it(config: Path, number: signal.Signals) -> None:
    with started(config) as process:
        ready(process)
        process.send_signal(number)
        out, log = process.communicate(timeout=20)
    assert process.returncode == 0
    assert out == ""
    assert f"asked to stop signal={number.name}" in log
    assert log.rstrip().endswith("stopped")
    assert "Traceback" not in log


def test_it_listens_where_the_ready_line_says(config: Path) -> None:
    with started(config) as process:
        _, tcp, api = map(int, ready(process).groups())
        with socket.create_connection(("127.0.0.1", api), timeout=5) as connection:
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert connection.makefile("rb").read().endswith(b"ok\n")
        socket.create_connection(("127.0.0.1", tcp), timeout=5).close()
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.mark.parametrize("key", ["api", "udp", "tcp"])
def test_a_taken_port_is_one_clear_line(config: Path, key: str) -> None:
    with socket.socket(type=socket.SOCK_DGRAM if key == "udp" else socket.SOCK_STREAM) as holder:
        holder.bind(("127.0.0.1", 0))
        if key != "udp":
            holder.listen()
        port = holder.getsockname()[1]
        text = config.read_text()
        old = "127.0.0.1:0}" if key == "api" else f"{key}://127.0.0.1:0"
        config.write_text(text.replace(old, old.replace(":0", f":{port}")))
        with started(config) as process:
            out, log = process.communicate(timeout=20)
    assert process.returncode == 1
    assert out == ""
    said = [line for line in log.splitlines() if line.startswith("forkproxy: ")]
    assert len(said) == 1
    assert str(port) in said[0]
    assert "in use" in said[0]
    assert "Traceback" not in log


def test_a_bad_configuration_is_told_and_nothing_starts(config: Path) -> None:
    config.write_text(config.read_text() + "log: {level: loud}\n")
    with started(config) as process:
        out, log = process.communicate(timeout=20)
    assert process.returncode == 1
    assert out == ""
    assert f"{config}:5:14: #/log/level: does not have a value in the enumeration" in log
    assert log.splitlines()[-1].startswith(f"forkproxy: {config} cannot be used: 1 error")


def test_warnings_are_logged_and_json_is_json(config: Path) -> None:
    config.write_text(config.read_text() + "log: {format: json}\ntrunks: [{name: a}]\n")
    with started(config) as process:
        ready(process)
        process.terminate()
        _, log = process.communicate(timeout=20)
    entries = [json.loads(line) for line in log.splitlines()]
    assert any(entry["level"] == "warning" and entry.get("path") == "#/trunks/0" for entry in entries)
    assert entries[-1]["message"] == "stopped"


def test_a_made_up_account_is_kept(config: Path) -> None:
    for _ in range(2):
        with started(config) as process:
            ready(process)
            process.terminate()
            _, log = process.communicate(timeout=20)
        kept = json.loads((config.parent / "state/forkproxy/account.json").read_text())
        assert kept["auth_token"] not in log
    assert "made up an account" not in log


def test_nobody_has_to_read_the_ready_line(config: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with started(config, stdout=writer) as process:
        os.close(writer)
        assert process.stderr is not None
        for line in process.stderr:
            if " ready " in line:
                break
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_closed_standard_streams(config: Path) -> None:
    """Started with all three closed, no socket of ours must become what is printed to."""
    notify = config.parent / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(notify))
        told.settimeout(20)
        command = f"exec {' '.join(FORKPROXY)} serve {config} <&- >&- 2>&-"
        environ = environment(config, NOTIFY_SOCKET=str(notify))
        with subprocess.Popen(["/bin/sh", "-c", command], env=environ) as process:
            try:
                assert told.recv(100) == b"READY=1"
                opened = {name: os.readlink(f"/proc/{process.pid}/fd/{name}") for name in "012"}
                assert set(opened.values()) == {"/dev/null"}
                process.terminate()
                assert told.recv(100) == b"STOPPING=1"
                assert process.wait(20) == 0
            finally:
                process.kill()


def test_a_log_that_nobody_reads_holds_nothing_up(config: Path) -> None:
    """Standard error is a full pipe from the start: it gets ready, and it ends."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writer, True)
    with started(config, stderr=writer) as process:
        os.close(writer)
        ready(process)
        process.terminate()
        assert process.wait(20) == 0
    os.close(reader)


def test_the_limit_of_open_files_is_raised(config: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    low = 512 if hard == resource.RLIM_INFINITY else min(hard, 512)
    with started(
        config, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
    ) as process:
        ready(process)
        assert (
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE)[0] >= min(serve.MOST_DESCRIPTORS, hard)
            or hard < 0
        )
        process.terminate()
        process.communicate(timeout=20)


def test_a_limit_that_cannot_be_raised_is_told(config: Path) -> None:
    with started(
        config, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))
    ) as process:
        ready(process)
        process.terminate()
        _, log = process.communicate(timeout=20)
    assert (
        "the limit of open files is reached before all of media.ports are used open_files=512 ports=10000"
        in log
    )


async def test_everything_that_is_counted_is_described(config: Path) -> None:
    """And what is described is counted: a name that no longer exists would stay 0 for ever."""
    app = App(configuration.load(config))
    await app.start()
    try:
        names = set(app.counters())
        async with aiohttp.ClientSession() as session:
            api = app.ready_line().rpartition("api=")[2]
            async with session.get(f"http://{api}/metrics") as answer:
                text = await answer.text()
    finally:
        await app.stop()
    assert "untyped" not in text
    from_the_start = {name for name in METRICS if name.startswith(("sip_", "rtp_", "log_", "connectors_"))}
    assert from_the_start <= names
    # The bridge counts from the first time that something happens.
    source = "".join(path.read_text() for path in Path(bridge.__file__).parent.glob("*.py"))
    later = {name for name in set(METRICS) - names if not name.startswith("http_")} | set(FAMILIES)
    assert not [name for name in later if not re.search(rf'counts\[f?"{name}[_"]', source)]


class FakeApp:
    """Calls that end when they are told to, or never."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.cancelled = False

    async def drain(self, grace: float) -> None:
        try:
            await asyncio.wait_for(self.ended.wait(), grace)
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            self.cancelled = True
            raise


@pytest.mark.parametrize("how", ["calls end", "time passes", "second signal"])
async def test_what_ends_a_drain(how: str, caplog: pytest.LogCaptureFixture) -> None:
    app, asked = FakeApp(), asyncio.Queue[str]()
    draining = asyncio.create_task(serve._drain(app, 0.05 if how == "time passes" else 60, asked))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    if how == "calls end":
        app.ended.set()
    elif how == "second signal":
        asked.put_nowait("SIGINT")
    await draining
    assert app.cancelled == (how == "second signal")
    assert ("stopping at once" in caplog.text) == (how == "second signal")


async def test_an_error_while_draining_is_not_swallowed() -> None:
    class Failing:
        async def drain(self, grace: float) -> None:
            raise RuntimeError("what")

    with pytest.raises(RuntimeError, match="what"):
        await serve._drain(Failing(), 1, asyncio.Queue())  # type: ignore[arg-type]


def test_notify_without_systemd_and_with_a_dead_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    serve.notify("READY=1")
    assert caplog.text == ""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    serve.notify("READY=1")
    assert "systemd could not be told" in caplog.text


def test_notify_by_an_abstract_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"forkproxy-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind("\0" + name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        serve.notify("READY=1")
        assert told.recv(100) == b"READY=1"
