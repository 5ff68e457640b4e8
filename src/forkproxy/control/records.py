"""The file of call-detail records: one JSON object a line, written by a thread of its own.

A call only puts its record in a queue. What cannot be written, because the disk is full or slower than the
calls, is counted and told, and costs no call anything.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import stat
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forkproxy.errors import ForkproxyError

log = logging.getLogger(__name__)

WAITING = 10_000
"""Records that wait for a slow disk before further ones are lost."""
CLOSING = 5.0
"""Seconds that the end waits for what is in the queue."""
MODE = 0o640
"""Of a file that is made: records say who called whom."""


class RecordsError(ForkproxyError):
    """The file cannot be opened."""


class CallRecords:
    """Appends records to a file; with None for a file it takes them and does nothing."""

    def __init__(self, file: Path | None = None) -> None:
        self.written = 0
        """Records that are in the file."""
        self.lost = 0
        """Records that are not: the queue was full, or the file could not be written."""
        self._file = file
        self._descriptor = -1
        self._failing = False
        self._queue: queue.Queue[Path | bytes | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """Records that have not been written yet."""
        return self._queue.qsize()

    def start(self) -> None:
        """
        Raises:
            RecordsError: the file cannot be opened; it is named.
        """
        if self._file is not None:
            try:
                self._descriptor = _open(self._file)
            except OSError as error:
                raise RecordsError(
                    f"cdr.file: {self._file} cannot be opened: {error.strerror or error}"
                ) from error
        self._thread = threading.Thread(target=self._run, name="call records", daemon=True)
        self._thread.start()

    def write(self, record: Mapping[str, Any]) -> None:
        """Queue a record. Never waits, never raises."""
        if self._file is None:
            return
        line = json.dumps(record, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace")
        try:
            self._queue.put_nowait(line + b"\n")
        except queue.Full:
            self.lost += 1

    def reopen(self, file: Path | None) -> None:
        """Go on in `file`, which may be the old one, renamed since. Records that wait go to the old."""
        self._file = file
        with contextlib.suppress(queue.Full):  # so many are waiting that the next reopen is soon enough
            self._queue.put_nowait(file or Path())

    def close(self) -> None:
        """Write what waits, five seconds at the most; then stop. May be called twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=CLOSING / 2)
            thread.join(CLOSING / 2)
        if thread.is_alive():
            lost = self.waiting
            self.lost += lost
            log.error("the file of call records is not written to; records are lost", extra={"lost": lost})

    def counters(self) -> dict[str, int]:
        """What the operator sees, by the metrics' names."""
        return {"cdr_written": self.written, "cdr_lost": self.lost, "cdr_waiting": self.waiting}

    # In the thread

    def _run(self) -> None:
        file = self._file
        while (item := self._queue.get()) is not None:
            if isinstance(item, Path):
                self._shut()
                file = item if item != Path() else None
                self._reopen(file)
            elif file is not None:
                self._put(file, item)
        self._shut()

    def _put(self, file: Path, line: bytes) -> None:
        try:
            if self._descriptor < 0:
                self._descriptor = _open(file)
            _append(self._descriptor, line)
        except OSError as error:
            self.lost += 1
            self._tell(file, error)
            self._shut()  # the next one tries anew, by the file's name
            return
        self.written += 1
        if self._failing:
            self._failing = False
            log.warning("call records are written again", extra={"file": str(file), "lost": self.lost})

    def _reopen(self, file: Path | None) -> None:
        if file is None:
            return
        try:
            self._descriptor = _open(file)
        except OSError as error:
            self._tell(file, error)

    def _tell(self, file: Path, error: OSError) -> None:
        if not self._failing:
            self._failing = True
            reason = error.strerror or str(error)
            log.error("call records cannot be written", extra={"file": str(file), "reason": reason})

    def _shut(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _open(file: Path) -> int:
    return os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)


def _append(descriptor: int, line: bytes) -> None:
    """All of the line or, in a file, nothing: a half one would spoil the next.

    Raises:
        OSError: it could not be written.
    """
    about = os.fstat(descriptor)
    rest = line
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        if stat.S_ISREG(about.st_mode):
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, about.st_size)
        raise
