"""The relay against the floor and rtpengine: what a packet costs, how late it is, how that grows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.relays import rtpengine_version
from benchmarks.results import Results
from benchmarks.trial import BURSTS, SMOOTH, Trial, attempts
from tests.support.processes import needs

SECONDS = 2.0
ROUNDS = 3
MOST_SHARE = 0.8
"""How full a core is when it is shown to carry what the cost of a packet says."""

Case = tuple[str, int, int]

pytestmark = [needs("cc"), pytest.mark.timeout(420)]


def _compare(
    cases: Iterable[Case],
    rounds: int,
    results: Results,
    folder: Path,
    benchmark: BenchmarkFixture,
    quick: bool,
) -> None:
    """Run all cases once, then all of them again; forkproxy loses nothing."""
    wanted = [case for case in cases if rtpengine_version() or not case[0].startswith("rtpengine")]
    if not rtpengine_version():
        print("\nrtpengine is not installed (rtpengine-daemon): forkproxy is compared with the floor alone")
    seconds = 0.7 if quick else SECONDS

    async def every() -> list[Trial]:
        made: list[Trial] = []
        for number in range(1 if quick else rounds):
            for case in wanted:
                made += await attempts(folder, *case, seconds, number)
        return made

    made = benchmark.pedantic(lambda: asyncio.run(every()), rounds=1, iterations=1)
    results.trials += made
    _lost_nothing(made)


def _lost_nothing(made: Iterable[Trial]) -> None:
    """A starved generator says nothing about the relay; what else spoils a run of forkproxy's is a fault."""
    spoiled = [
        t for t in made if t.variant.startswith("forkproxy") and t.rejected and "starved" not in t.rejected
    ]
    assert not spoiled, [(t.variant, t.calls, t.rejected) for t in spoiled]


def test_bursts(results: Results, tmp_path: Path, benchmark: BenchmarkFixture, quick: bool) -> None:
    main = ("floor", "forkproxy", "forkproxy, both legs tapped", "rtpengine")
    cases = [(variant, calls, BURSTS) for calls in (100, 300, 500) for variant in main]
    cases += [(variant, 300, BURSTS) for variant in ("floor, copied", "forkproxy, calls tapped")]
    cases += [(variant, 300, BURSTS) for variant in ("forkproxy, copied", "rtpengine, subscribed")]
    cases += [("forkproxy, calls tapped and read", calls, BURSTS) for calls in (300, 500)]
    _compare(cases, ROUNDS, results, tmp_path, benchmark, quick)


def test_smooth_arrivals(results: Results, tmp_path: Path, benchmark: BenchmarkFixture, quick: bool) -> None:
    variants = ("floor", "forkproxy", "rtpengine")
    cases = [(variant, calls, SMOOTH) for calls in (100, 300, 500) for variant in variants]
    _compare(cases, ROUNDS, results, tmp_path, benchmark, quick)


def test_growth(results: Results, tmp_path: Path, benchmark: BenchmarkFixture, quick: bool) -> None:
    variants = ("floor", "forkproxy", "forkproxy, both legs tapped")
    cases = [(variant, calls, BURSTS) for calls in (50, 700, 1000) for variant in variants]
    _compare(cases, ROUNDS - 1, results, tmp_path, benchmark, quick)


def test_one_core_full(results: Results, tmp_path: Path, benchmark: BenchmarkFixture, quick: bool) -> None:
    """How many calls a core carries, by the cost of a packet; and a run that is near that.

    The generator has one core, too, and does as much for a packet as a relay: where it cannot keep up, the
    largest number of calls that it could keep up with is what has been shown.
    """
    costs = {
        calls: cost
        for calls in sorted({trial.calls for trial in results.trials})
        if (cost := results.cpu("forkproxy", calls)) is not None
    }
    if not costs:
        pytest.skip("no run of forkproxy counted: what a packet costs is not known")
    calls, cost = max(costs.items())
    full = int(1e6 / cost / 100)

    async def near() -> list[Trial]:
        made: list[Trial] = []
        for share in (MOST_SHARE, 0.7, 0.6, 0.5, 0.4):
            made += await attempts(
                tmp_path, "forkproxy", int(full * share), BURSTS, 0.7 if quick else SECONDS
            )
            if made[-1].rejected is None:
                break
        return made

    made = benchmark.pedantic(lambda: asyncio.run(near()), rounds=1, iterations=1)
    results.trials += made
    results.full = {
        "calls": full,
        "from_cost_at": calls,
        "shown_calls": made[-1].calls if made[-1].rejected is None else None,
        "shown_busy": made[-1].busy if made[-1].rejected is None else None,
        "rejected": [{"calls": trial.calls, "why": trial.rejected} for trial in made if trial.rejected],
    }
    _lost_nothing(made)
