"""The commands with each other, as processes: a call is recorded, played again, and answered."""

from __future__ import annotations

import re
import subprocess
import sys
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forkproxy.consumer import fixture

FORKPROXY = [sys.executable, "-m", "forkproxy"]


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A command that listens, and its URL."""
    with subprocess.Popen([*FORKPROXY, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"ready (\S+)", process.stdout.readline())
        assert found
        try:
            yield process, found[1]
        finally:
            process.terminate()


def replay(*arguments: str) -> str:
    done = subprocess.run([*FORKPROXY, "replay", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_consume_answers_what_replay_plays_and_record_keeps_it(tmp_path: Path) -> None:
    kept, out = tmp_path / "kept.jsonl", tmp_path / "out"
    token, listen = ["--auth-token", "secret"], ["--listen", "ws://127.0.0.1:0"]
    with running("record", str(kept), *listen, *token) as (process, url):
        replay(url, "--bidirectional", "--speed", "20", *token)
        assert process.wait(30) == 0
    assert len(fixture.load(kept).entries) == 204
    options = ["--answer", "echo", "--out", str(out), "--streams", "1"]
    with running("consume", *listen, *token, *options) as (process, url):
        told = replay(str(kept), url, "--bidirectional", "--linger", "8", "--speed", "8", *token)
        assert process.wait(30) == 0
        assert process.stdout is not None
        shown = process.stdout.read()
    assert "mark echo-4" in told
    assert int(re.search(r"(\d+) marks sent back", told)[1]) > 1  # type: ignore[index]
    assert shown.endswith("1 stream, none with findings\n")
    (folder,) = [path for path in out.iterdir() if path.is_dir()]
    with wave.open(str(folder / "inbound.wav")) as file:
        assert file.getnframes() == 12 * 8000
