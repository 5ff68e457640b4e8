"""Figures for people: a summary for the terminal, a chart and the tables of docs/performance.md.

    python -m benchmarks.report [RESULTS]

draws the chart and writes the tables again from a results file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import chart
from benchmarks.results import FILE, TARGETS, Results, load, restored
from benchmarks.trial import BURSTS, SMOOTH

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
CHART = PAGE.with_suffix(".svg")
BEGIN = "<!-- What follows, up to the next such line, is written by `make bench`. -->"
END = "<!-- Here ends what is written by `make bench`. -->"


def summary(results: Results) -> str:
    """What a terminal shows at the end."""
    lines = ["", "Relay: CPU microseconds a relayed packet, added delay", "-" * 53]
    lines += [" | ".join(row) for row in _costs(results)]
    lines += ["", "Targets", "-------"]
    lines += [" | ".join(row) for row in _targets(results)]
    lines += ["", *_rejections(results)]
    return "\n".join(lines)


def publish(file: Path) -> None:
    """Draw the chart and write the page's tables."""
    saved = load(file)
    results = restored(saved)
    CHART.write_text(chart.draw(results))
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    PAGE.write_text(before + BEGIN + "\n\n" + _tables(saved, results) + "\n" + END + rest.split(END)[1])


def _tables(saved: dict[str, Any], results: Results) -> str:
    machine = saved["machine"]
    parts = [
        f"Measured on {saved['date'][:10]} at commit `{saved['commit']}`: {machine['processor']}, "
        f"{machine['cores']} cores, Linux {machine['kernel']}, Python {machine['python']}, "
        f"{'rtpengine ' + machine['rtpengine'] if machine['rtpengine'] else 'without rtpengine'}.",
        "### Targets",
        _markdown(("", "measure", "reached", "target", ""), _targets(results)),
        "### All of it",
        _markdown(
            (
                "calls",
                "arrivals",
                "relay",
                "CPU us a packet",
                "over the floor",
                "delay p50 / p99 / p99.9 ms",
                "runs",
            ),
            _costs(results),
        ),
        "### One core",
        _full(results),
    ]
    if rejections := _rejections(results):
        parts += ["### Runs that do not count", "\n".join(f"- {line}" for line in rejections)]
    return "\n\n".join(parts) + "\n"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def _targets(results: Results) -> list[tuple[str, ...]]:
    rows = []
    for target in TARGETS:
        figure = target.figure(results)
        verdict = "not measured" if figure is None else "reached" if figure <= target.limit else "**missed**"
        digits = 0 if target.unit else 2
        shown = "-" if figure is None else f"{figure:.{digits}f} {target.unit}".strip()
        limit = f"at most {target.limit:.{digits}f} {target.unit}".strip()
        rows.append((target.name, target.measure, shown, limit, verdict))
    return rows


def _costs(results: Results) -> list[tuple[str, ...]]:
    rows = []
    for tick, name in ((BURSTS, "bursts"), (SMOOTH, "smooth")):
        seen = {(trial.calls, trial.variant): None for trial in results.trials if trial.tick_us == tick}
        for calls, variant in sorted(seen, key=lambda case: case[0]):
            cost = results.cpu(variant, calls, tick)
            if cost is None:
                rows.append((str(calls), name, variant, "no run counted", "", "", "0"))
                continue
            ratio = results.ratio(variant, "floor", calls, tick)
            delays = [
                results.median(lambda trial, at=at: trial.delay_ms[at], variant, calls, tick)  # type: ignore[misc]
                for at in ("p50", "p99", "p999")
            ]
            rows.append(
                (
                    str(calls),
                    name,
                    variant,
                    f"{cost:.2f}",
                    "" if ratio is None or variant == "floor" else f"{ratio:.2f}",
                    " / ".join(f"{delay:.2f}" for delay in delays if delay is not None),
                    str(len(results.counting(variant, calls, tick))),
                )
            )
    return rows


def _full(results: Results) -> str:
    full = results.full
    if not full:
        return "Not measured."
    text = (
        f"By what a packet costs with {full['from_cost_at']} calls, a core is full with about "
        f"{full['calls']:,} "
        "bridged calls, untapped. "
    )
    if full["shown_calls"] is None:
        return text + "No run near that counted: the generator, which has one core, could not keep up."
    return text + (
        f"{full['shown_calls']:,} calls were run: nothing was lost, "
        f"and the core was {full['shown_busy']:.0%} busy."
    )


def _rejections(results: Results) -> list[str]:
    return [
        f"{trial.variant}, {trial.calls} calls, "
        f"{'bursts' if trial.tick_us == BURSTS else 'smooth'}: {trial.rejected}"
        for trial in results.trials
        if trial.rejected
    ]


if __name__ == "__main__":
    publish(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
