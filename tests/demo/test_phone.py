"""Two of the demo's phones call each other, without a proxy between them."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from forkproxy.demo.checks import match
from forkproxy.demo.failure import DemoError
from forkproxy.demo.processes import PhoneProcess
from forkproxy.demo.voices import CALLEE, CALLER, level, speech
from forkproxy.demo.waves import wav
from forkproxy.media.audio import decode_ulaw

SECONDS = 2.0


@pytest.fixture
def said(tmp_path: Path) -> dict[str, Path]:
    """The caller's words as a WAV file, the callee's as mu-law."""
    files = {"caller": tmp_path / "caller.wav", "callee": tmp_path / "callee.ulaw"}
    files["caller"].write_bytes(wav(speech(CALLER, SECONDS)))
    files["callee"].write_bytes(speech(CALLEE, SECONDS))
    return files


def nothing(name: str, event: dict[str, Any]) -> None:
    """For reports whose events do not matter."""


async def test_two_phones_hear_each_other(said: dict[str, Path], tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    callee = await PhoneProcess.start(
        "callee", tmp_path / "callee.log", "answer", f"--say={said['callee']}", "--ring=0.2", "--hang-up"
    )
    try:
        uri = await callee.ready()
        caller = await PhoneProcess.start(
            "caller", tmp_path / "caller.log", "call", uri, f"--say={said['caller']}"
        )
        try:
            await caller.ready()

            def on_event(name: str, event: dict[str, Any]) -> None:
                told.append((name, event["event"]))

            one, two = await asyncio.gather(caller.report(on_event), callee.report(on_event))
        finally:
            await caller.kill()
    finally:
        await callee.kill()
    assert (one.status, one.ended_by) == (200, "remote")
    assert (two.status, two.ended_by) == (200, "local")
    assert two.uri == uri
    assert [event for name, event in told if name == "callee"][:2] == ["ringing", "answered"]
    for report, other_report, own, other in ((one, two, CALLER, CALLEE), (two, one, CALLEE, CALLER)):
        heard = decode_ulaw(report.heard)
        assert level(heard, other.mark) > -30
        assert level(heard, own.mark) < level(heard, other.mark) - 15
        # mu-law has two zeros, of which a WAV file keeps one.
        assert decode_ulaw(report.said) == decode_ulaw(speech(own, SECONDS))
        found = match(other_report.said, report.heard)
        assert found.identical >= 0.9 * found.sounding
    assert [m.title for m in one.trace if m.sent] == ["INVITE", "ACK", "200 OK (BYE)"]
    assert [m.title for m in two.trace if not m.sent] == ["INVITE", "ACK", "200 OK (BYE)"]
    sent = [message.text for message in one.trace if message.sent]
    assert sent[:2] == [message.text for message in two.trace if not message.sent][:2]


async def test_a_call_that_nobody_answers_is_reported(tmp_path: Path) -> None:
    callee = await PhoneProcess.start("callee", tmp_path / "callee.log", "answer", "--ring=60")
    try:
        uri = await callee.ready()
        caller = await PhoneProcess.start("caller", tmp_path / "caller.log", "call", uri, "--patience=1")
        try:
            report = await caller.report(nothing)
            assert report.answered_at is None
            assert report.status == 487
            assert (await callee.report(nothing)).status == 487
        finally:
            await caller.kill()
    finally:
        await callee.kill()


async def test_a_phone_ends_when_nobody_waits_for_it(tmp_path: Path) -> None:
    phone = await PhoneProcess.start("callee", tmp_path / "callee.log", "answer")
    try:
        await phone.ready()
        phone.release()
        report = await phone.report(nothing)
        assert (report.status, report.heard, report.trace) == (0, b"", ())
        with pytest.raises(DemoError, match="ended with exit status 0"):
            await phone.next_event()
    finally:
        await phone.kill()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["answer", "--say", "missing.wav"], 1, "missing.wav"),
        (["call", "not a uri"], 1, "not a uri"),
        (["dance"], 2, "usage"),
    ],
)
async def test_mistakes_are_named(arguments: list[str], status: int, message: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "forkproxy.demo.phone",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == status
    assert message in errors.decode()
    assert "Traceback" not in errors.decode()
    for line in out.splitlines():
        json.loads(line)
