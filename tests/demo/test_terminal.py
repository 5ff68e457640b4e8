"""The terminal: readable as plain text, and complete when something failed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from forkproxy.demo.checks import run_checks
from forkproxy.demo.terminal import Terminal
from tests.demo.synthetic import recording


class Screen(io.TextIOWrapper):
    """A target with an encoding, on a terminal or not."""

    def __init__(self, encoding: str = "utf-8", *, colours: bool = False) -> None:
        self.kept = io.BytesIO()
        super().__init__(self.kept, encoding=encoding, newline="\n")
        self._colours = colours

    def isatty(self) -> bool:
        return self._colours

    @property
    def text(self) -> str:
        self.flush()
        return self.kept.getvalue().decode(self.encoding)


GOOD = recording(3.0)
BAD = GOOD.model_copy(update={"caller": GOOD.caller.model_copy(update={"heard": b""})})


def test_a_run_that_passed() -> None:
    screen = Screen()
    terminal = Terminal(screen)
    terminal.title(3)
    terminal.step("caller", "calls")
    terminal.result(GOOD, run_checks(GOOD), Path("/tmp/page.html"))
    lines = screen.text.splitlines()
    assert lines[0].startswith("Two phones talk")
    assert lines[2].endswith("caller     calls")
    assert lines[-1] == "All 15 checks passed. Open the page: /tmp/page.html"
    assert sum(line.startswith("  pass  ") for line in lines) == 15
    media = len(GOOD.consumer.messages) - 3
    assert f"  messages  1 connected, 1 start, {media} media, 1 stop" in lines
    assert "FAIL" not in screen.text
    assert "\x1b" not in screen.text
    assert max(map(len, lines)) <= 110


def test_a_run_that_failed_shows_what_and_the_log() -> None:
    screen = Screen()
    Terminal(screen).result(BAD, run_checks(BAD), Path("/tmp/page.html"))
    assert "FAIL  The caller heard the callee, unmixed\n        1,000 Hz (callee) at -120 dB" in screen.text
    assert "1 of 15 checks failed. Open the page: /tmp/page.html" in screen.text
    assert "info call ended" in screen.text


def test_the_tracks_are_drawn_in_what_the_terminal_can_show() -> None:
    drawn = {}
    for encoding in ("utf-8", "latin-1", "ascii"):
        screen = Screen(encoding)
        Terminal(screen).result(GOOD, run_checks(GOOD), Path("/tmp/page.html"))
        drawn[encoding] = next(line for line in screen.text.splitlines() if line.startswith("  inbound"))
    assert "▅" in drawn["utf-8"]
    assert "*" in drawn["latin-1"]
    assert drawn["ascii"] == drawn["latin-1"]


def test_colours_only_on_a_terminal_that_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen = Screen(colours=True)
    Terminal(screen).failure("no way", ("last words",))
    assert "\x1b[1;31mThe demo could not run:\x1b[0m no way" in screen.text
    assert "last words" in screen.text
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Screen(colours=True)
    Terminal(plain).failure("no way", ())
    assert "\x1b" not in plain.text
