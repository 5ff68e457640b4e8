"""Logs: the two forms, the fields, and a reader that has stopped."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import threading
from collections.abc import Iterator

import pytest

from forkproxy import logs

log = logging.getLogger("forkproxy.test")


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    yield stream
    logs.shutdown()


def written(stream: io.StringIO) -> str:
    logs.shutdown()
    return stream.getvalue()


def test_text_is_time_level_message_and_fields(lines: io.StringIO) -> None:
    logs.setup("info", "text", stream=lines)
    log.info("answered", extra={"status": 200, "leg": "A", "call_sid": "CA1"})
    (line,) = written(lines).splitlines()
    time, rest = line.split(" ", 1)
    assert rest == "info    answered call_sid=CA1 leg=A status=200"
    assert time.endswith("Z")
    assert time[10] == "T"


def test_stamp_is_utc_with_milliseconds() -> None:
    assert logs.stamp(0.0019) == "1970-01-01T00:00:00.001Z"


def test_values_with_spaces_are_quoted_and_control_characters_escaped(lines: io.StringIO) -> None:
    logs.setup(stream=lines)
    log.warning("from %s", "x\r\n2026 info forged", extra={"display": 'A "b"\x1b[2J', "empty": ""})
    (line,) = written(lines).splitlines()
    assert r"from x\r\n2026 info forged" in line
    assert r'display="A \"b\"\\x1b[2J" empty=""' in line


def test_json_has_one_object_a_line(lines: io.StringIO) -> None:
    logs.setup("info", "json", stream=lines)
    log.error("stream ended", extra={"stream_sid": "MZ1", "code": 31921, "message_": "x", "level": "mine"})
    (line,) = written(lines).splitlines()
    entry = json.loads(line)
    assert entry["level"] == "error"
    assert entry["level_"] == "mine"
    assert entry["logger"] == "forkproxy.test"
    assert entry["message"] == "stream ended"
    assert (entry["stream_sid"], entry["code"]) == ("MZ1", 31921)


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_stays_with_its_line(lines: io.StringIO, form: logs.Format) -> None:
    logs.setup(format=form, stream=lines)
    try:
        raise RuntimeError("what\nnow")
    except RuntimeError:
        log.exception("it broke")
    text = written(lines)
    assert "RuntimeError: what" in text
    if form == "json":
        assert json.loads(text)["exception"].startswith("Traceback")
    else:
        assert all(line.startswith("    ") for line in text.splitlines()[1:])


def test_a_block_follows_its_line(lines: io.StringIO) -> None:
    logs.setup(stream=lines)
    log.info("SIP sent", extra={"leg": "A", "block": "BYE sip:a\n\nx\x1b"})
    first, *rest = written(lines).split("\n")
    assert first.endswith("SIP sent leg=A")
    assert rest == ["    BYE sip:a", "", r"    x\x1b", ""]


def test_bound_fields_add_up_and_none_is_left_out(lines: io.StringIO) -> None:
    logs.setup(stream=lines)
    call = logs.bind(log, call_sid="CA1", leg=None)
    stream = logs.bind(call, stream_sid="MZ1")
    stream.info("fed", extra={"frames": 3})
    call.info("ended")
    first, second = written(lines).splitlines()
    assert first.endswith("fed call_sid=CA1 stream_sid=MZ1 frames=3")
    assert second.endswith("ended call_sid=CA1")


def test_level_holds_for_forkproxy_and_libraries_stay_quiet(lines: io.StringIO) -> None:
    logs.setup("debug", stream=lines)
    log.debug("ours")
    logging.getLogger("acme_connector").info("a connector's own")
    logging.getLogger("acme_connector").debug("library detail")
    logging.getLogger("websockets.client").info("chatter")
    text = written(lines)
    assert "ours" in text
    assert "a connector's own logger=acme_connector" in text
    assert "library detail" not in text
    assert "chatter" not in text


def test_secrets_never_appear(lines: io.StringIO) -> None:
    logs.setup(stream=lines, secrets=["s3cret", "", "s3cret-longer"])
    log.info("token s3cret-longer", extra={"password": "s3cret"})
    assert written(lines).rstrip().endswith("token *** password=***")


def test_a_bad_format_string_is_reported_not_raised(lines: io.StringIO) -> None:
    logs.setup(stream=lines)
    assert logs._writer is not None  # pytest's own handler on the logger would raise
    record = log.makeRecord(log.name, logging.INFO, "call.py", 12, "%d", ("x",), None)
    logs._writer.handle(record)
    assert "a log line could not be made" in written(lines)


def test_a_stopped_reader_costs_lines_not_time() -> None:
    """A pipe that nobody reads: logging goes on, what is lost is counted, and told once there is room."""
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w")
    handler = logs.Writer(stream, lines=100)
    handler.setFormatter(logs.TextFormatter())
    for number in range(5_000):  # far more than the pipe's 64 kB and the queue hold
        handler.emit(logging.makeLogRecord({"name": "forkproxy", "msg": f"{number} {'x' * 200}"}))
    lost = handler.dropped
    assert lost > 0
    text: list[str] = []

    def read() -> None:
        with os.fdopen(reader) as pipe:
            text.append(pipe.read())

    drain = threading.Thread(target=read)
    drain.start()
    while handler._queue.qsize():
        drain.join(0.01)
    handler.emit(logging.makeLogRecord({"name": "forkproxy", "msg": "the last"}))
    handler.close()
    stream.close()
    drain.join()
    told = [int(count) for count in re.findall(r"log lines were dropped lines=(\d+)", text[0])]
    assert sum(told) == lost
    assert "the last" in text[0]
    assert text[0].count("\n") == 5_001 - lost + len(told)


def test_a_closed_stream_is_harmless() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    logs.setup(stream=stream)
    log.info("into the void")
    assert logs._writer is not None
    while not logs.dropped():
        logs._writer._thread.join(0.01)
    log.info("again")
    logs.shutdown()
    stream.close()


def test_setup_twice_writes_once_and_shutdown_is_idempotent(lines: io.StringIO) -> None:
    logs.setup(stream=lines)
    logs.setup(stream=lines)
    log.info("once")
    text = written(lines)
    logs.shutdown()
    assert text.count("once") == 1
    assert logs.dropped() == 0
