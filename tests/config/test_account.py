"""The account: configured, kept, or made up; and never a reason not to start."""

from __future__ import annotations

import json
import logging
import re
import threading
from pathlib import Path

import pytest

from forkproxy.config import Config, establish_account, state_file
from forkproxy.config import account as module
from forkproxy.model import Account

SID = "AC0123456789abcdef0123456789abcdef"


def configured(**account: str) -> Config:
    return Config.model_validate({"flows": {"default": "flow.json"}, "account": account})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "forkproxy" / "account.json"


def test_a_configured_account_needs_no_file(file: Path) -> None:
    assert establish_account(configured(sid=SID, auth_token="t"), file) == Account(SID, "t")
    assert not file.exists()


def test_the_first_start_makes_one_up_and_later_ones_keep_it(file: Path) -> None:
    first = establish_account(configured(), file)
    assert re.fullmatch(r"AC[0-9a-f]{32}", first.sid)
    assert re.fullmatch(r"[0-9a-f]{32}", first.auth_token)
    assert establish_account(configured(), file) == first
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert list(file.parent.iterdir()) == [file]


def test_what_is_configured_comes_before_what_was_kept(file: Path) -> None:
    kept = establish_account(configured(), file)
    assert establish_account(configured(sid=SID), file) == Account(SID, kept.auth_token)
    assert establish_account(configured(auth_token="t"), file) == Account(kept.sid, "t")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"sid": "AC1", "auth_token": "x"}',
        f'{{"sid": "{SID}", "auth_token": ""}}',
        "\xff",
    ],
)
def test_a_spoilt_file_is_left_alone_and_warned_of(
    file: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="latin-1")
    first = establish_account(configured(), file)
    second = establish_account(configured(), file)
    assert first != second
    assert file.read_text(encoding="latin-1") == text
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert "holds for this run only" in warnings[0].message


def test_an_unwritable_folder_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    account = establish_account(configured(), tmp_path / "file" / "account.json")
    assert account.auth_token
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.__dict__["reason"] == "Not a directory"


def test_two_first_starts_at_once_agree(file: Path) -> None:
    barrier = threading.Barrier(8)
    accounts: list[Account] = []

    def start() -> None:
        barrier.wait()
        accounts.append(establish_account(configured(), file))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(accounts)) == 1
    assert json.loads(file.read_text())["sid"] == accounts[0].sid


def test_the_token_is_never_logged(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        account = establish_account(configured(), file)
    assert "made up an account" in caplog.text
    assert all(account.auth_token not in str(record.__dict__) for record in caplog.records)
    assert account.auth_token not in repr(account)


def test_where_the_file_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert state_file() == tmp_path / ".local/state/forkproxy/account.json"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert state_file() == tmp_path / ".local/state/forkproxy/account.json"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert state_file() == tmp_path / "state/forkproxy/account.json"


def test_a_user_without_a_home_is_no_reason_not_to_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(module, "state_file", homeless)
    assert establish_account(configured()).sid.startswith("AC")
    assert "holds for this run only" in caplog.text
