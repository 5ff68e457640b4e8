"""Where the benchmarks' figures are gathered, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks import report
from benchmarks.results import FILE, Results


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick", action="store_true", help="few short runs, to see that they work; nothing is kept of them"
    )


@pytest.fixture(scope="session")
def quick(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--quick"))


@pytest.fixture(scope="session")
def results(quick: bool) -> Iterator[Results]:
    """The relay's figures. A whole session's go to the results file, the chart and the page."""
    results = Results()
    yield results
    print(report.summary(results))
    if not quick and results.full:
        results.save(FILE)
        report.publish(FILE)
        print(
            f"\nkept in {FILE.relative_to(FILE.parents[2])}, "
            f"drawn in {report.PAGE.relative_to(FILE.parents[2])}"
        )
