"""Nothing that a peer says, in whatever state, ends the process or is kept for ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

STEPS = 2500


@pytest.mark.parametrize("seed", range(3))
def test_a_peer_that_has_learnt_sip_badly(seed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.signalling.fuzz", str(seed), str(STEPS)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, f"it ended with {done.returncode}: {done.stderr[-2000:]}"
    assert done.stdout == "left 0 0 0 0\n", done.stderr[-2000:]
