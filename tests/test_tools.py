"""The scripts behind `make`: what they do on machines that lack something. apt-get and id are stand-ins."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


class Machine:
    """A PATH with nothing in it but what a test puts there and a few tools of the shell's."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.log = folder / "log"
        self.log.write_text("")
        for tool in ("bash", "tail", "rm", "mktemp", "dirname", "cat"):
            found = next(Path(each, tool) for each in os.get_exec_path() if Path(each, tool).exists())
            (self.bin / tool).symlink_to(found)

    def program(self, name: str, script: str = "exit 0") -> None:
        path = self.bin / name
        path.write_text(f'#!{self.bin}/bash\necho "{name} $*" >>{self.log}\n{script}\n')
        path.chmod(0o755)

    def user(self, number: int) -> None:
        self.program("id", f"echo {number}")

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.bin / "bash", "-c", command],
            cwd=ROOT,
            env={"PATH": str(self.bin), "TMPDIR": str(self.bin.parent)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if line.startswith("apt-get")]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


INSTALL = ". tools/apt.sh; apt_install sox tshark"


def test_a_user_is_told_the_command(machine: Machine) -> None:
    machine.user(1000)
    machine.program("apt-get")
    done = machine.run(INSTALL)
    assert done.returncode == 1
    assert "sudo apt-get install --no-install-recommends sox tshark" in done.stderr
    assert machine.calls == []


def test_root_installs(machine: Machine) -> None:
    machine.user(0)
    machine.program("apt-get", 'test "$DEBIAN_FRONTEND" = noninteractive')
    done = machine.run(INSTALL)
    assert done.returncode == 0
    (call,) = machine.calls
    assert call.endswith(" sox tshark")


def test_old_package_lists_are_renewed_once(machine: Machine) -> None:
    machine.user(0)
    machine.program(
        "apt-get", f"case $1 in update) touch {machine.bin}/fresh;; *) test -e {machine.bin}/fresh;; esac"
    )
    (machine.bin / "touch").symlink_to("/usr/bin/touch")
    done = machine.run(INSTALL)
    assert done.returncode == 0
    assert [call.split()[1] for call in machine.calls] == ["install", "update", "install"]


def test_what_cannot_be_had_is_said(machine: Machine) -> None:
    machine.user(0)
    machine.program("apt-get", "echo E: no such package; exit 100")
    done = machine.run(INSTALL)
    assert done.returncode == 1
    assert "E: no such package" in done.stderr
    assert "could not install sox tshark" in done.stderr
    assert len(machine.calls) == 3


def test_without_apt_the_packages_are_named(machine: Machine) -> None:
    machine.user(0)
    done = machine.run(INSTALL)
    assert done.returncode == 1
    assert "sox tshark" in done.stderr


@pytest.mark.parametrize("user", [0, 1000])
def test_missing_peers_never_fail_the_tests(machine: Machine, user: int) -> None:
    machine.user(user)
    machine.program("apt-get", "exit 100")
    for peer in ("sipp", "sox"):
        machine.program(peer)
    done = machine.run("exec bash tools/peers.sh")
    assert done.returncode == 0
    assert "without baresip (baresip-core) what needs it is skipped" in done.stderr
    assert "without tshark (tshark)" in done.stderr
    assert "sipp" not in done.stderr


def test_present_peers_want_nothing(machine: Machine) -> None:
    machine.user(0)
    machine.program("apt-get")
    for peer in ("sipp", "baresip", "sox", "tshark"):
        machine.program(peer)
    done = machine.run("exec bash tools/peers.sh")
    assert done.returncode == 0
    assert all("sipp" not in call and "sox" not in call for call in machine.calls)


def test_a_machine_without_python_or_compiler_is_told(machine: Machine) -> None:
    machine.user(1000)
    machine.program("apt-get")
    done = machine.run("exec bash tools/setup.sh demo")
    assert done.returncode == 1
    assert (
        "apt-get install --no-install-recommends python3 python3-venv python3-dev build-essential"
        in done.stderr
    )
    assert "there is no python3" in done.stderr


def test_a_python_that_pjsip_has_no_package_for_is_refused(machine: Machine) -> None:
    machine.user(1000)
    machine.program("apt-get")
    machine.program("cc")
    machine.program(
        "python3",
        'case "$2" in *version_info*) exit 1;; esac; [ "$1" = --version ] && echo Python 3.13.1; exit 0',
    )
    done = machine.run("exec bash tools/setup.sh demo")
    assert done.returncode == 1
    assert "Python 3.13.1 is not one that PJSIP's package exists for; 3.11 and 3.12 are" in done.stderr


@pytest.mark.parametrize("script", sorted((ROOT / "tools").glob("*.sh")), ids=lambda path: path.name)
def test_the_scripts_can_be_read(script: Path) -> None:
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


def test_ci_runs_the_tests() -> None:
    text = (ROOT / ".ci/run").read_text()
    assert "set -euo pipefail" in text
    assert "make test" in text
    assert os.access(ROOT / ".ci/run", os.X_OK)
