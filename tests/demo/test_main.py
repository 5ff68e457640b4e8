"""The whole demo, short: real processes, a real call, and the page."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from forkproxy.demo import main, scene
from forkproxy.demo.recording import Recording
from tests.demo.test_report import Page

FILES = {
    "index.html",
    "recording.json",
    "inbound.wav",
    "outbound.wav",
    "forkproxy.yaml",
    "flow.json",
    "certificate.pem",
    "forkproxy.log",
}


def test_the_demo_passes_its_checks(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "folder"
    status = main.run(out, 2.0)
    told = capfd.readouterr().out
    assert status == 0, told + (out / "forkproxy.log").read_text()
    assert {file.name for file in out.iterdir()} == FILES
    assert Page((out / "index.html").read_text()).text.count("All 15 checks passed")
    assert f"All 15 checks passed. Open the page: {out / 'index.html'}" in told
    recording = Recording.model_validate_json((out / "recording.json").read_text())
    assert recording.caller.said != recording.callee.said
    assert recording.proxy.exit_status == 0


def test_a_flow_that_does_not_stream_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The checks of a real run can fail: here the flow has the wrong port, and nobody listens there."""
    right = scene.flow_definition
    monkeypatch.setattr(
        scene, "flow_definition", lambda url, callee: right("wss://127.0.0.1:9/media", callee)
    )
    assert main.run(tmp_path, 2.0) == 1
    told = capfd.readouterr().out
    assert "FAIL  The WebSocket handshake is signed" in told
    assert "pass  The call was answered, and ended by hanging up" in told, "the call is untouched"
    assert "pass  The caller heard the callee, unmixed" in told
    assert "The last lines of its log" in told
    assert "31902" in told, "the proxy's log tells why, and the terminal shows it"


def test_a_proxy_that_cannot_start_is_shown_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scene, "CONFIG", scene.CONFIG.replace("ports: 20000-29999", "prots: 1"))
    assert main.run(tmp_path, 2.0) == 1
    told = capfd.readouterr().out
    assert "The demo could not run: forkproxy serve ended with exit status 1" in told
    assert "prots" in told
    assert not (tmp_path / "index.html").exists()


@pytest.mark.parametrize("seconds", [0.5, 601.0, float("nan")])
def test_a_length_without_sense_is_refused(
    seconds: float, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main.run(tmp_path, seconds) == 1
    assert "lasts 2 to 600 seconds" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (
            "plugin",
            "the demo streams by the package forkproxy-websocket, which is not installed: pip install",
        ),
        ("websockets", r"needs the package websockets: pip install 'forkproxy[demo]'"),
        ("folder", "the folder for the demo's page cannot be made"),
    ],
)
def test_what_is_missing_is_named(
    missing: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path
    if missing == "plugin":
        nothing: Sequence[object] = ()
        monkeypatch.setattr(main, "entry_points", lambda **_: nothing)
    elif missing == "websockets":
        monkeypatch.setitem(sys.modules, "websockets", None)
    else:
        out = tmp_path / "file"
        out.write_text("in the way")
    assert main.run(out, 2.0) == 1
    assert message in capfd.readouterr().out


def test_a_demo_that_is_ended_leaves_no_process_behind(tmp_path: Path) -> None:
    program = "import pathlib, sys; from forkproxy.demo.main import run; run(pathlib.Path(sys.argv[1]), 60)"
    demo = subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    with demo.stdout:
        for line in demo.stdout:
            if "they talk" in line:
                break
        children = _children(demo.pid)
        assert len(children) >= 3
        demo.terminate()
        told = demo.stdout.read()
        assert demo.wait(20) == 0
    assert "The demo could not run: it was interrupted" in told
    for _ in range(100):
        left = [pid for pid in children if Path(f"/proc/{pid}").exists()]
        if not left:
            break
        time.sleep(0.1)
    assert left == []


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
