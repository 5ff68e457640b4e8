"""Logs: one line an event, on standard error, as text for people or as JSON for machines.

Whoever logs uses Python's own `logging` and passes what the line is about as *fields*::

    log = logs.bind(logging.getLogger(__name__), call_sid=call.sid, leg="A")
    log.info("answered", extra={"status": 200})

    2026-11-22T10:20:30.456Z info    answered call_sid=CA00... leg=A status=200

Writing never holds up the caller. Lines go through a queue to a thread of their own, because standard error
can be a pipe whose reader has stopped, and the event loop carries calls. When the queue is full, lines are
dropped and counted (`dropped`); a line says so when there is room again.

Control characters in what the network sent are escaped, so a line stays a line. The secrets given to `setup`
are replaced by asterisks wherever they turn up.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import re
import select
import sys
import threading
import time
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Literal, TextIO

Format = Literal["text", "json"]
LEVELS = ("debug", "info", "warning", "error")
QUEUE_LINES = 10_000
"""Lines that wait for a slow standard error before further ones are dropped."""

BLOCK = "block"
"""The field for text of several lines; the text format shows it below the line, indented."""
FIRST = ("call_sid", "stream_sid", "leg")
"""Fields that stand before all others."""

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_NOISY = ("aiohttp", "asyncio", "concurrent", "websockets")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_QUOTE = re.compile(r'[\s"=]')


class Bound(logging.LoggerAdapter[logging.Logger]):
    """A logger with fields; fields given with ``extra=`` are added to its own."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Merge the fields (Python 3.11's own adapter would replace the call's)."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


def bind(
    logger: logging.Logger | logging.LoggerAdapter[logging.Logger], /, **fields: object
) -> logging.LoggerAdapter[logging.Logger]:
    """`logger` with `fields` on every line; fields that are None are left out."""
    base: Mapping[str, object] = {}
    if isinstance(logger, logging.LoggerAdapter):
        base = logger.extra or {}
        logger = logger.logger
    return Bound(logger, {**base, **{name: value for name, value in fields.items() if value is not None}})


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """What was passed with ``extra=``, the context first."""
    given = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
    first = {name: given.pop(name) for name in FIRST if name in given}
    return {name: value for name, value in {**first, **given}.items() if value is not None}


def escape(text: str) -> str:
    r"""`text` on one line: control characters as ``\n`` or ``\x1b``."""
    return _CONTROL.sub(lambda match: repr(match.group())[1:-1], text)


class TextFormatter(logging.Formatter):
    """``time level message key=value ...``; a traceback or a block follows on indented lines."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its end."""
        parts = [stamp(record.created), f"{record.levelname.lower():<7}", escape(record.getMessage())]
        fields = fields_of(record)
        block = fields.pop(BLOCK, None)
        parts += [f"{name}={_value(value)}" for name, value in fields.items()]
        if not record.name.startswith("forkproxy"):
            parts.append(f"logger={_value(record.name)}")
        below = _trace(self, record).split("\n") if record.exc_info or record.stack_info else []
        if block is not None:
            below += str(block).split("\n")
        return "".join([" ".join(parts), *(f"\n    {escape(part)}".rstrip(" ") for part in below)])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message``, the fields, ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its end."""
        line: dict[str, object] = {
            "time": stamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in fields_of(record).items():
            line[name if name not in line else f"{name}_"] = value
        trace = _trace(self, record)
        if trace:
            line["exception"] = trace
        return json.dumps(line, ensure_ascii=False, default=str)


def stamp(seconds: float) -> str:
    """Epoch seconds as ISO 8601 in UTC, to the millisecond."""
    whole, thousandths = divmod(int(seconds * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{thousandths:03d}Z"


class Writer(logging.Handler):
    """Hands formatted lines to a thread that writes them."""

    def __init__(self, stream: TextIO, *, secrets: Iterable[str] = (), lines: int = QUEUE_LINES) -> None:
        super().__init__()
        self.dropped = 0
        self._stream = stream
        try:
            self._descriptor = stream.fileno()
        except OSError:  # io.StringIO and its like
            self._descriptor = -1
        self._secrets: tuple[str, ...] = ()
        self.hide(secrets)
        self._queue: queue.Queue[str | None] = queue.Queue(lines)
        self._told = 0
        self._thread = threading.Thread(target=self._write, name="forkproxy-log", daemon=True)
        self._thread.start()

    def hide(self, secrets: Iterable[str]) -> None:
        """Replace these, too, by asterisks; as they are and as JSON writes them."""
        forms = {form for secret in secrets if secret for form in (secret, json.dumps(secret)[1:-1])}
        self._secrets = tuple(sorted(forms | set(self._secrets), key=len, reverse=True))

    def emit(self, record: logging.LogRecord) -> None:
        """Format now (the arguments may change later), write later."""
        try:
            line = self.format(record)
        except Exception as error:  # a bad format string must not end what logged it
            where = f"{record.pathname}:{record.lineno}"
            line = f"{stamp(record.created)} error   a log line could not be made: {error!r} in {where}"
        for secret in self._secrets:
            line = line.replace(secret, "***")
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what waits (two seconds at most: the reader may have stopped), then stop."""
        if self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=1)
                self._thread.join(1)
        super().close()

    def _write(self) -> None:
        while (line := self._queue.get()) is not None:
            missing = self.dropped - self._told
            if missing:
                self._told += missing
                line += f"\n{stamp(time.time())} warning log lines were dropped lines={missing}"
            try:
                self._put(line + "\n")
            except (
                OSError,
                ValueError,
            ):  # the reader has gone, or the stream is closed: calls go on, unlogged
                self.dropped += 1

    def _put(self, text: str) -> None:
        if self._descriptor < 0:
            self._stream.write(text)
            return
        # Past Python's own buffer: a thread that is stuck in it would make the interpreter abort at its exit.
        data = text.encode("utf-8", "backslashreplace")
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # somebody made the terminal non-blocking
                select.select([], [self._descriptor], [])


_writer: Writer | None = None


def setup(
    level: str = "info",
    format: Format = "text",
    *,
    stream: TextIO | None = None,
    secrets: Iterable[str] = (),
) -> None:
    """Send the log of the whole process to `stream` (default: standard error). Call `shutdown` at the end.

    `level` is one of `LEVELS` and holds for forkproxy and its connectors. Libraries are heard from ``info``
    on, the chatty ones from ``warning`` on.
    """
    global _writer
    shutdown()
    _writer = Writer(stream or sys.stderr or open(os.devnull, "w"), secrets=secrets)  # noqa: SIM115
    _writer.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    root = logging.getLogger()
    root.addHandler(_writer)
    _set_level(level)
    logging.captureWarnings(True)


def _set_level(level: str) -> None:
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger().setLevel(max(number, logging.INFO))
    logging.getLogger("forkproxy").setLevel(number)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def change(level: str, format: Format) -> None:
    """Another level or format from now on, without losing a line; nothing before `setup`."""
    if _writer is None:
        return
    _writer.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    _set_level(level)


def hide(*secrets: str) -> None:
    """Hide further secrets, those of an account that was made up, say."""
    if _writer is not None:
        _writer.hide(secrets)


def shutdown() -> None:
    """Write what waits and take the handler away."""
    global _writer
    if _writer is not None:
        logging.getLogger().removeHandler(_writer)
        _writer.close()
        _writer = None
        logging.captureWarnings(False)


def dropped() -> int:
    """Lines lost so far because nobody read standard error fast enough."""
    return _writer.dropped if _writer is not None else 0


def _value(value: object) -> str:
    text = escape(str(value))
    if not text or _QUOTE.search(text):
        text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info and record.exc_info[0] is not None:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)
