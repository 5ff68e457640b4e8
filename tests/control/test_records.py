"""The file of call-detail records: nothing waits for it, and what it lacks is counted."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from forkproxy.control import records
from forkproxy.control.records import CallRecords, RecordsError


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_line_a_record_and_all_are_there_after_the_end(tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    file.write_text('{"sid": "before"}\n')
    writer = CallRecords(file)
    writer.start()
    for number in range(500):
        writer.write({"sid": number, "reason": "a\nb Straße \udcff"})
    writer.close()
    writer.close()
    found = lines(file)
    assert [each["sid"] for each in found] == ["before", *range(500)]
    assert writer.counters() == {"cdr_written": 500, "cdr_lost": 0, "cdr_waiting": 0}


def test_a_new_file_is_not_for_everybody(tmp_path: Path) -> None:
    writer = CallRecords(tmp_path / "calls.jsonl")
    writer.start()
    writer.close()
    assert not stat.S_IMODE((tmp_path / "calls.jsonl").stat().st_mode) & 0o007


def test_without_a_file_nothing_is_counted() -> None:
    writer = CallRecords()
    writer.start()
    writer.write({"sid": 1})
    writer.close()
    assert set(writer.counters().values()) == {0}


def test_a_file_that_cannot_be_had_keeps_the_process_from_starting(tmp_path: Path) -> None:
    writer = CallRecords(tmp_path / "no" / "calls.jsonl")
    with pytest.raises(RecordsError, match=r"cdr.file: .*no/calls.jsonl cannot be opened: No such file"):
        writer.start()
    writer.close()


def test_rotation_loses_nothing(tmp_path: Path) -> None:
    file, old = tmp_path / "calls.jsonl", tmp_path / "calls.1"
    writer = CallRecords(file)
    writer.start()
    writer.write({"sid": 1})
    until(lambda: writer.written == 1)
    file.rename(old)
    writer.write({"sid": 2})
    writer.reopen(file)
    writer.write({"sid": 3})
    writer.close()
    assert [each["sid"] for each in lines(old)] == [1, 2]
    assert [each["sid"] for each in lines(file)] == [3]


def test_another_file_and_none(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    writer = CallRecords(first)
    writer.start()
    writer.write({"sid": 1})
    writer.reopen(second)
    writer.write({"sid": 2})
    writer.reopen(None)
    writer.write({"sid": 3})
    writer.close()
    assert [len(lines(file)) for file in (first, second)] == [1, 1]


def test_a_full_disk_is_counted_told_once_and_got_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "calls.jsonl"
    file.symlink_to("/dev/full")
    writer = CallRecords(file)
    writer.start()
    for number in range(3):
        writer.write({"sid": number})
    until(lambda: writer.lost == 3)
    file.unlink()
    writer.write({"sid": 3})
    writer.close()
    assert [each["sid"] for each in lines(file)] == [3]
    assert writer.counters()["cdr_lost"] == 3
    told = [record.getMessage() for record in caplog.records]
    assert told == ["call records cannot be written", "call records are written again"]


def test_half_a_line_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk becomes full within a record: the file ends with the last whole one."""
    file = tmp_path / "calls.jsonl"
    writer = CallRecords(file)
    writer.start()
    writer.write({"sid": 1})
    until(lambda: writer.written == 1)
    real = os.write

    def half(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(records.os, "write", fails)
        return real(descriptor, data[: len(data) // 2])

    def fails(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(records.os, "write", real)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(records.os, "write", half)
    writer.write({"sid": 2})
    writer.write({"sid": 3})
    writer.close()
    assert [each["sid"] for each in lines(file)] == [1, 3]
    assert writer.lost == 1


def test_a_disk_that_stands_still_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, going = threading.Event(), threading.Event()

    def stuck(descriptor: int, line: bytes) -> None:
        begun.set()
        going.wait()

    monkeypatch.setattr(records, "CLOSING", 0.1)
    monkeypatch.setattr(records, "WAITING", 10)
    monkeypatch.setattr(records, "_append", stuck)
    writer = CallRecords(tmp_path / "calls.jsonl")
    writer.start()
    thread = writer._thread
    assert thread is not None
    try:
        writer.write({"sid": 0})
        assert begun.wait(5)
        for number in range(20):
            writer.write({"sid": number})
        assert writer.counters() == {"cdr_written": 0, "cdr_lost": 10, "cdr_waiting": 10}
        writer.close()
        assert writer.lost == 20, "what waits is given up"
    finally:
        going.set()
        until(lambda: writer.waiting == 0)
        writer._queue.put(None)
        thread.join(5)
