"""For the tests of a server that takes streams: a caller without a telephone.

In the tests' ``conftest.py``::

    pytest_plugins = ["forkproxy.pytest_plugin"]

and then::

    def test_greets_and_stops_when_interrupted(forkproxy_caller, server_url):
        result = forkproxy_caller.play(server_url, "fixtures/interrupts.jsonl", linger=1.0)
        assert result.cleared == 1
        assert result.marks[-1] == "end"

A server that breaks the contract fails the test, and the findings say how. docs/testing-your-server.md tells
more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from forkproxy.consumer import fixture as fixtures
from forkproxy.consumer.fixture import Fixture
from forkproxy.replay.client import Connection, play
from forkproxy.replay.player import Result
from forkproxy.replay.script import Faults, Script

MOST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Caller:
    """Plays streams to servers; what is set here counts for all its calls, unless one says otherwise."""

    folder: Path
    """Fixtures with relative paths are looked for here: where the test's own file is."""
    auth_token: str | None = None
    """Signs the handshakes (X-Twilio-Signature); None: with a chance token."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """More headers for the handshakes."""
    ca_file: Path | None = None
    """Certificates (PEM) to trust besides the system's."""
    speed: float = 1.0
    """Times real time; timestamps stay."""

    def play(self, url: str, fixture: str | Path | Fixture | None = None, **how: Any) -> Result:
        """Play a stream to the server at `url`, and wait for its end. In tests that are coroutines: `aplay`.

        Args:
            fixture: a recorded one (`forkproxy record`); None: two synthetic voices, or, bidirectional, one.
            how: as `aplay` has it.

        Raises:
            AssertionError: the server broke the contract, or could not be reached.
            FixtureError: the fixture cannot be read.
        """
        return asyncio.run(self.aplay(url, fixture, **how))

    async def aplay(
        self,
        url: str,
        fixture: str | Path | Fixture | None = None,
        *,
        bidirectional: bool | None = None,
        parameters: Mapping[str, str] | None = None,
        linger: float = 0.0,
        keep_sids: bool = False,
        faults: Faults | None = None,
        seed: int = 0,
        auth_token: str | None = None,
        headers: Mapping[str, str] | None = None,
        speed: float | None = None,
        check: bool = True,
    ) -> Result:
        """The same, in a test's running loop.

        Args:
            bidirectional: the server may answer; None: as it was recorded.
            parameters: added to start's customParameters.
            linger: seconds of silence before stop, for a server that still speaks.
            keep_sids: the fixture's stream and call sid instead of new ones.
            faults: what goes wrong: `Faults`.
            seed: of what goes wrong by chance.
            auth_token, headers, speed: instead of the caller's own; headers are added.
            check: fail the test when the server breaks the contract; otherwise see `Result.findings`.
        """
        if fixture is None or isinstance(fixture, Fixture):
            played = fixture or fixtures.sample(bidirectional=bool(bidirectional))
        else:
            played = fixtures.load(self.folder / fixture)
        both = played.bidirectional if bidirectional is None else bidirectional
        script = Script(both, linger * 1000, keep_sids, dict(parameters or {}), faults or Faults(), seed)
        token = auth_token if auth_token is not None else self.auth_token
        connection = Connection(
            **({} if token is None else {"auth_token": token}),
            headers={**self.headers, **(headers or {})},
            ca_file=self.ca_file,
            speed=self.speed if speed is None else speed,
        )
        result = await play(played, url, script=script, connection=connection)
        if check and not result.passed:
            pytest.fail(_told(result), pytrace=False)
        return result


def _told(result: Result) -> str:
    lines = [f"  {finding}" for finding in result.findings[:MOST_SHOWN]]
    more = sum(result.finding_counts.values()) - len(lines)
    if more > 0:
        lines.append(f"  and {more} more")
    return "\n".join([f"the server at {result.url} broke the contract:", *lines])


def pytest_addoption(parser: pytest.Parser) -> None:
    """The settings of pytest.ini."""
    parser.addini("forkproxy_auth_token", "The auth token that forkproxy_caller signs with.", default="")
    parser.addini("forkproxy_speed", "How much faster than real time forkproxy_caller plays.", default="1")


@pytest.fixture
def forkproxy_caller(request: pytest.FixtureRequest) -> Caller:
    """A `Caller`, as pytest.ini has it."""
    config = request.config
    return Caller(
        request.path.parent,
        auth_token=config.getini("forkproxy_auth_token") or None,
        speed=float(config.getini("forkproxy_speed")),
    )


__all__ = ["Caller", "Faults", "Fixture", "Result", "forkproxy_caller"]
