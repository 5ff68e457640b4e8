"""The tutorial, followed to the letter: its files are written, its commands are run."""

from __future__ import annotations

import os
import re
import site
import subprocess
import textwrap
import venv
from importlib.metadata import EntryPoint, PackageNotFoundError, version
from pathlib import Path

import pytest

import forkproxy
from forkproxy import document as documents
from forkproxy import flow as flows
from forkproxy.connectors.registry import Registry

PLUGIN = Path(__file__).parents[1]
README = (PLUGIN / "README.md").read_text()
TUTORIAL = README.partition("## Writing a connector of your own")[2]
FILE = re.compile(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment in which forkproxy is installed, as the tutorial wants it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    sources = [str(Path(forkproxy.__file__).parents[1]), *site.getsitepackages()]
    (packages / "here.pth").write_text("".join(f"{path}\n" for path in sources))
    try:
        version("forkproxy")
    except PackageNotFoundError:  # tested from a checkout
        info = packages / f"forkproxy-{forkproxy.__version__}.dist-info"
        info.mkdir()
        text = f"Metadata-Version: 2.1\nName: forkproxy\nVersion: {forkproxy.__version__}\n"
        (info / "METADATA").write_text(text)
    command = folder / "bin" / "forkproxy"
    command.write_text(f'#!/bin/sh\nexec {folder}/bin/python -m forkproxy "$@"\n')
    command.chmod(0o755)
    return folder


def test_following_it_ends_with_an_installed_and_tested_connector(tmp_path: Path, environment: Path) -> None:
    work = tmp_path / "forkproxy-raw"
    files = FILE.findall(TUTORIAL)
    assert [name for name, _ in files] == [
        "pyproject.toml",
        "src/forkproxy_raw/__init__.py",
        "tests/test_raw.py",
        "forkproxy.yaml",
        "flow.yaml",
    ]
    for name, text in files:
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)
    commands = [
        line.removeprefix("$ ") for block in COMMANDS.findall(TUTORIAL) for line in block.splitlines()
    ]
    said: dict[str, str] = {}
    for command in commands:
        done = subprocess.run(
            command,
            shell=True,
            cwd=work,
            env={
                **os.environ,
                "PATH": f"{environment}/bin:{os.environ['PATH']}",
                "VIRTUAL_ENV": str(environment),
                "PYTHONPATH": "",
                "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say: with the setuptools that is here
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                "COLUMNS": "200",
            },
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        said[command] = done.stdout
    assert "3 passed" in said["python -m pytest"]
    assert re.search(r"^raw\s+forkproxy-raw\s+0\.1\.0", said["forkproxy connectors"], re.MULTILINE)


def test_the_settings_and_the_flow_of_the_first_part(tmp_path: Path) -> None:
    """What the operator reads works, too."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", README.partition("## Writing")[0], re.MULTILINE | re.DOTALL)
    configuration, widget = blocks
    read = documents.loads(configuration, str(tmp_path / "c.yaml"))
    point = EntryPoint("wav", "forkproxy_wav:Wav", "forkproxy.connectors")
    instances, problems = Registry([point]).read(read)
    assert problems == []
    assert instances["Archive_1"].settings.folder == tmp_path / "recordings"  # type: ignore[attr-defined]
    flow = tmp_path / "flow.yaml"
    flow.write_text(
        textwrap.dedent(
            """\
            description: d
            initial_state: Trigger
            states:
            - name: Trigger
              type: trigger
              transitions: [{event: incomingCall, next: record}]
              properties: {}
            """
        )
        + widget.rstrip()
        + "\n  transitions: [{event: next}]\n"
    )
    assert [p for p in flows.check(flow, connectors=["Archive_1"]) if not p.warning] == []
