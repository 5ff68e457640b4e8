"""The fixture format: what is written is read again, and what is wrong is named by its line."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from forkproxy.consumer import fixture
from forkproxy.consumer.checker import Checker
from forkproxy.consumer.fixture import FORKPROXY, SERVER, FixtureError, Writer

HEAD = '{"fixture": 1}\n'


def test_what_is_written_is_read_again() -> None:
    target = io.StringIO()
    headers = {
        "Host": "a",
        "User-Agent": "f/1",
        "X-Twilio-Signature": "s",
        "Sec-WebSocket-Key": "k",
        "Cookie": "c",
    }
    writer = Writer(target, "/media", headers)
    writer.message(0, FORKPROXY, '{"event":"connected","a":"\\ud800"}')
    writer.message(20.04, SERVER, b"\0\1\2")
    writer.message(30, FORKPROXY, "{not JSON")
    writer.message(30, FORKPROXY, "[1]")
    writer.close(40, SERVER, None, "why")
    read = fixture.parse(target.getvalue().splitlines(), "x")
    assert (read.header.path, read.header.headers) == ("/media", {"User-Agent": "f/1"})
    assert [(entry.ms, entry.by, entry.content) for entry in read.entries] == [
        (0, FORKPROXY, '{"event":"connected","a":"\\ud800"}'),
        (20, SERVER, b"\0\1\2"),
        (30, FORKPROXY, "{not JSON"),
        (30, FORKPROXY, "[1]"),
        (40, SERVER, None),
    ]
    assert (read.entries[-1].close, read.entries[-1].reason) == (1006, "why")
    assert read.bidirectional


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "x: #: is empty"),
        ("nothing\n", r'x:1:0: #: .*; the first line of a fixture is like \{"fixture": 1\}'),
        ('{"fixture": 2}\n', "x:1:0: #/fixture: "),
        (HEAD + "{\n", "x:2:0: #: Invalid JSON"),
        (HEAD + '\n{"ms": -1, "from": "server", "text": ""}\n', "x:3:0: #/ms: "),
        (HEAD + '{"ms": 1, "from": "me", "text": ""}\n', "x:2:0: #/from: "),
        (
            HEAD + '{"ms": 1, "from": "server"}\n',
            "x:2:0: #: needs exactly one of message, text, binary and close",
        ),
        (HEAD + '{"ms": 1, "from": "server", "text": "", "close": 1000}\n', "x:2:0: #: needs exactly one"),
        (HEAD + '{"ms": 1, "from": "server", "txt": ""}\n', "x:2:0: #/txt: "),
        (
            HEAD + '{"ms": 9, "from": "server", "text": ""}\n{"ms": 5, "from": "server", "text": ""}\n',
            "x:3:0: #/ms: is 5 after 9",
        ),
    ],
)
def test_what_is_wrong_is_named(text: str, problem: str) -> None:
    with pytest.raises(FixtureError) as caught:
        fixture.parse(text.splitlines(), "x")
    assert re.match(problem, str(caught.value)), str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FixtureError, match="cannot be read: No such file"):
        fixture.load(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FixtureError, match="cannot be read: "):
        fixture.load(tmp_path / "binary")


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_sample_is_a_good_stream(tmp_path: Path, bidirectional: bool) -> None:
    with open(tmp_path / "sample.jsonl", "w") as file:
        fixture.save(fixture.sample(2.0, bidirectional=bidirectional), file)
    read = fixture.load(tmp_path / "sample.jsonl")
    checker = Checker()
    for entry in read.entries:
        if entry.content is not None:
            checker.message(entry.content)
    checker.closed(read.entries[-1].close)
    assert not checker.findings
    assert list(checker.tracks) == ["inbound"] if bidirectional else ["inbound", "outbound"]
    assert checker.counts["media"] == (100 if bidirectional else 200)
