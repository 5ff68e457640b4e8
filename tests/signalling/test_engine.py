"""Loading PJSIP: what is wrong is said in a sentence that names the remedy."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from forkproxy.errors import EngineError
from forkproxy.signalling import _pjsip
from forkproxy.signalling.driver import driver
from tests.signalling.support import Station, until

SCRIPT = """
import sys
from forkproxy.signalling import _pjsip
_pjsip.library = lambda: sys.argv[1]
try:
    _pjsip.engine()
except Exception as error:
    print(type(error).__name__, error)
"""


def loaded(library: Path | str) -> str:
    """What a process says that tries to use another library."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, library], capture_output=True, text=True, check=True)
    return done.stdout


def test_there_is_one_engine() -> None:
    assert _pjsip.engine() is _pjsip.engine() is driver().engine
    assert _pjsip.VERSION == "2.15.1"


def test_a_library_that_cannot_be_opened(tmp_path: Path) -> None:
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"nonsense")
    said = loaded(broken)
    assert said.startswith(f"EngineError PJSIP's library {broken} cannot be opened: ")
    assert "install pjsua2-python==2.15.1.post1" in said


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "has no symbol pj_get_version; install pjsua2-python==2.15.1.post1"),
        ('const char *pj_get_version(void){return "2.15.1";}', "has no symbol pj_init; install"),
        (
            'const char *pj_get_version(void){return "2.16";}',
            "PJSIP 2.16 is installed, forkproxy is built for 2.15.1: install pjsua2-python==2.15.1.post1",
        ),
    ],
)
def test_a_library_of_another_kind(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "other.c").write_text(source + "\nint other;\n")
    library = tmp_path / "other.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "other.c"], check=True)
    said = loaded(library)
    assert said.startswith("EngineError ")
    assert message in said


def test_a_wheel_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pjsua2", None)
    with pytest.raises(EngineError, match=r"PJSIP cannot be loaded .*; install pjsua2"):
        _pjsip.library()


async def test_endpoints_live_in_one_thread() -> None:
    errors: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(Station("udp://127.0.0.1:0").endpoint.start())
        except EngineError as error:
            errors.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await until(lambda: not thread.is_alive())
    assert "another thread" in str(errors[0])
