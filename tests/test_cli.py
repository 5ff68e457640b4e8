"""The command line as its users have it: a process, its output, its exit status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from forkproxy import __version__
from forkproxy.cli import main
from tests.config.conftest import FLOW

FORKPROXY = [sys.executable, "-m", "forkproxy"]


def forkproxy(
    *arguments: object, cwd: Path | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FORKPROXY, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": source_path(), **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def source_path() -> str:
    """PYTHONPATH with absolute entries: the commands run in folders of their own."""
    return os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry and Path(entry).is_dir())


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(FLOW))
    return path


@pytest.fixture
def config(tmp_path: Path, flow: Path) -> Path:
    path = tmp_path / "forkproxy.yaml"
    path.write_text("flows: {default: flow.json}\n")
    return path


def test_version_names_all_that_a_report_of_a_fault_needs() -> None:
    done = forkproxy("--version")
    assert done.returncode == 0
    ours, pjsip, python = done.stdout.splitlines()
    assert ours == f"forkproxy {__version__}"
    assert re.fullmatch(r"PJSIP 2\.15\.1 \(pjsua2-python 2\.15\.1\.post1\)", pjsip)
    assert python == "Python " + ".".join(map(str, sys.version_info[:3]))


def test_help_names_every_command() -> None:
    done = forkproxy("-h")
    assert done.returncode == 0
    assert all(f"\n  {name} " in done.stdout for name in ("check", "connectors", "demo", "serve"))


@pytest.mark.parametrize("arguments", [["frobnicate"], ["serve"], ["check"], ["check", "--quick", "x"]])
def test_wrong_usage_is_exit_status_2(arguments: list[str]) -> None:
    assert forkproxy(*arguments).returncode == 2


# check


def test_check_of_good_files(config: Path, flow: Path) -> None:
    done = forkproxy("check", "forkproxy.yaml", "flow.json", cwd=config.parent)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^2 files checked: (no problems|1 warning)$", done.stdout, re.MULTILINE)
    assert done.stderr == ""


def test_check_says_file_line_column_and_path(tmp_path: Path, config: Path) -> None:
    config.write_text("sip:\n  lisen: []\nflows:\n  default: flow.json\nmedia: {ports: 1-1}\n")
    done = forkproxy("check", config.name, cwd=tmp_path)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == "forkproxy.yaml:2:3: #/sip/lisen: is not a known property; did you mean 'listen'?"
    assert any(line.startswith("forkproxy.yaml:5:16: #/media/ports: ") for line in lines)
    assert re.match(r"1 file checked: 2 errors", lines[-1])


def test_check_finds_the_flows_mistakes_by_the_configuration(
    tmp_path: Path, config: Path, flow: Path
) -> None:
    flow.write_text(flow.read_text().replace('"next": "note"', '"next": "not"'))
    for arguments in (["forkproxy.yaml"], ["flow.json"], ["forkproxy.yaml", "flow.json"]):
        done = forkproxy("check", *arguments, cwd=tmp_path)
        assert done.returncode == 1
        found = [
            line for line in done.stdout.splitlines() if line.startswith("flow.json:1:") and "'not'" in line
        ]
        assert len(found) == 1, done.stdout


def test_check_strict_counts_warnings(tmp_path: Path, config: Path) -> None:
    config.write_text(config.read_text() + "trunks: [{name: a}]\n")
    done = forkproxy("check", config)
    assert done.returncode == 0
    assert "warning: accepts no call and sends none" in done.stdout
    assert forkproxy("check", "--strict", config).returncode == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour: blue\n", "1:1: #: is neither a configuration (flows, sip, ...) nor a flow (states, ...)"),
        ("just text\n", "is neither a configuration"),
        ("", "#: is empty"),
        ("a: [\n", "is not YAML"),
        ("states: []\nflows: {}\n", "#/states: is not a known property"),
        ("states: []\n", "#/states: "),
    ],
)
def test_check_of_something_else(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    done = forkproxy("check", "x.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stdout
    assert "Traceback" not in done.stderr


def test_check_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = forkproxy("check", "none.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        1,
        "none.yaml: #: cannot be read: No such file or directory",
    )


def test_check_into_a_closed_pipe(config: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*FORKPROXY, "check", str(config)],
        env={**os.environ, "PYTHONPATH": source_path()},
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert "Traceback" not in done.stderr


# connectors


def test_connectors_lists_what_is_installed_and_what_is_configured(tmp_path: Path, config: Path) -> None:
    dist = tmp_path / "site" / "acme_archive-1.2.dist-info"
    dist.mkdir(parents=True)
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-archive\nVersion: 1.2\n")
    (dist / "entry_points.txt").write_text(
        "[forkproxy.connectors]\n"
        "archive = tests.config.sample_connector:Archive\n"
        "broken = acme.nowhere:Thing\n"
    )
    config.write_text(
        config.read_text()
        + "connectors:\n  Box: {type: archive, token: tell-nobody}\n  Bad: {type: archive, port: x}\n"
    )
    path = os.pathsep.join([str(dist.parent), str(Path(__file__).parents[1])])
    done = forkproxy("connectors", config, PYTHONPATH=os.pathsep.join([path, source_path()]))
    assert done.returncode == 1
    assert re.search(r"^TYPE +PACKAGE +VERSION", done.stdout)
    assert re.search(r"^archive +acme-archive +1\.2$", done.stdout, re.MULTILINE)
    assert re.search(
        r"^broken +acme-archive +1\.2 +unusable: cannot be imported: No module", done.stdout, re.MULTILINE
    )
    assert re.search(r"^Box +archive$", done.stdout, re.MULTILINE)
    assert "forkproxy.yaml:4:30: #/connectors/Bad/port: string found, integer expected" in done.stdout
    assert "tell-nobody" not in done.stdout + done.stderr


def test_connectors_without_any(monkeypatch: pytest.MonkeyPatch) -> None:
    from forkproxy import connectors

    monkeypatch.setattr(connectors, "installed", list)
    done = CliRunner().invoke(main, ["connectors"])
    assert done.exit_code == 0
    assert "no connector is installed" in done.stdout


def test_connectors_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = forkproxy("connectors", tmp_path / "none.yaml")
    assert done.returncode == 1
    assert "none.yaml cannot be used: 1 error" in done.stderr


# demo


@pytest.mark.parametrize(
    ("arguments", "given"),
    [([], (Path("demo-out"), 6.0)), (["--out", "x", "--seconds", "2.5"], (Path("x"), 2.5))],
)
def test_demo_runs_the_demo(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], given: tuple[Any, ...]
) -> None:
    from forkproxy.demo import main as demo

    seen: list[tuple[Any, ...]] = []

    def run(*arguments: object) -> int:
        seen.append(arguments)
        return 3

    monkeypatch.setattr(demo, "run", run)
    assert CliRunner().invoke(main, ["demo", *arguments]).exit_code == 3
    assert seen == [given]
