"""The plugin as users have it: pytest runs their tests with it."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
import asyncio, json, threading
import pytest
from websockets.sync.server import serve
from forkproxy.consumer import fixture

pytest_plugins = ["forkproxy.pytest_plugin"]

def bot(connection):
    for text in connection:
        message = json.loads(text)
        if message["event"] == "start":
            sid = message["streamSid"]
            parameters = message["start"]["customParameters"]
            token = connection.request.headers["X-Twilio-Signature"]
            audio = {"event": "media", "streamSid": sid, "media": {"payload": "kJCQ"}}
            connection.send(json.dumps(audio))
            connection.send(json.dumps({"event": "mark", "streamSid": sid, "mark": {"name": "end"}}))
            if "break" in parameters:
                connection.send("nonsense")

@pytest.fixture
def url(tmp_path):
    with serve(bot, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        server.shutdown()
        thread.join()
"""

TESTS = """
import pytest
from forkproxy.consumer import fixture
from forkproxy.pytest_plugin import Faults

def test_from_a_file_beside_the_test(forkproxy_caller, url, request):
    with open(request.path.parent / "talk.jsonl", "w") as file:
        fixture.save(fixture.sample(2.0, bidirectional=True), file)
    result = forkproxy_caller.play(url, "talk.jsonl", bidirectional=True, faults=Faults(jitter_ms=5))
    assert result.marks == ("end",)
    assert result.heard.endswith(b"\\x90\\x90\\x90")

def test_fails(forkproxy_caller, url):
    forkproxy_caller.play(url, bidirectional=True, parameters={"break": "1"})

def test_findings_on_demand(forkproxy_caller, url):
    result = forkproxy_caller.play(url, bidirectional=True, parameters={"break": "1"}, check=False)
    assert dict(result.finding_counts) == {"31951": 1}

async def test_in_a_running_loop(forkproxy_caller, url):
    assert forkproxy_caller.auth_token == "12345"
    assert (await forkproxy_caller.aplay(url, bidirectional=True)).passed
"""


def test_users_tests_run_with_it(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    pytester.makeini(
        "[pytest]\nasyncio_mode = auto\nforkproxy_auth_token = 12345\nforkproxy_speed = 50\n"
        "asyncio_default_fixture_loop_scope = function\n"
    )
    outcome = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    outcome.assert_outcomes(passed=3, failed=1)
    outcome.stdout.fnmatch_lines(
        ["the server at ws://127.0.0.1:*/ broke the contract:", "  31951: message 3: is not JSON: *"]
    )
