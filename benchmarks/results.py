"""The figures of a benchmark: kept whole, condensed to medians and ratios, held against the targets."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.relays import rtpengine_version
from benchmarks.trial import BURSTS, SMOOTH, Trial

FILE = Path(__file__).parent / "results" / "relay.json"


@dataclass(frozen=True, slots=True)
class Target:
    """What forkproxy must reach: a figure, never above `limit`."""

    name: str
    measure: str
    limit: float
    figure: Callable[[Results], float | None]
    unit: str = ""


@dataclass(slots=True)
class Results:
    """All runs of a session."""

    trials: list[Trial] = field(default_factory=list)
    full: dict[str, Any] = field(default_factory=dict)
    """What one core carries: see `test_one_core_full`."""

    def counting(self, variant: str, calls: int, tick_us: int = BURSTS) -> list[Trial]:
        return [t for t in self.trials if t.key == (variant, calls, tick_us) and t.rejected is None]

    def median(
        self, what: Callable[[Trial], float], variant: str, calls: int, tick_us: int = BURSTS
    ) -> float | None:
        """None: no run counted."""
        values = [what(trial) for trial in self.counting(variant, calls, tick_us)]
        return statistics.median(values) if values else None

    def cpu(self, variant: str, calls: int, tick_us: int = BURSTS) -> float | None:
        return self.median(lambda trial: trial.cpu_us, variant, calls, tick_us)

    def ratio(self, variant: str, to: str, calls: int, tick_us: int = BURSTS) -> float | None:
        """The CPU a packet of one over that of another: the median over the rounds, whose runs lie close.

        A machine that is slower in one round than in the next then shows in no ratio.
        """
        of = {trial.round: trial.cpu_us for trial in self.counting(to, calls, tick_us)}
        ratios = [
            trial.cpu_us / of[trial.round]
            for trial in self.counting(variant, calls, tick_us)
            if trial.round in of
        ]
        return statistics.median(ratios) if ratios else None

    def as_dict(self) -> dict[str, Any]:
        return {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": _commit(),
            "machine": machine(),
            "targets": [
                {
                    "name": target.name,
                    "measure": target.measure,
                    "limit": target.limit,
                    "figure": target.figure(self),
                    "unit": target.unit,
                }
                for target in TARGETS
            ],
            "full": self.full,
            "trials": [trial.as_dict() for trial in self.trials],
        }

    def save(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self.as_dict(), indent=1) + "\n")


def _memory(results: Results) -> float | None:
    memory = results.median(lambda trial: trial.memory, "forkproxy, calls tapped and read", 500)
    return memory and memory / 1e3


TARGETS = (
    Target("P1", "500 calls: forkproxy / rtpengine", 0.60, lambda r: r.ratio("forkproxy", "rtpengine", 500)),
    Target("P2", "500 calls: forkproxy / floor", 1.25, lambda r: r.ratio("forkproxy", "floor", 500)),
    Target(
        "P3",
        "500 calls, both legs tapped: forkproxy / floor",
        1.45,
        lambda r: r.ratio("forkproxy, both legs tapped", "floor", 500),
    ),
    Target(
        "P4",
        "300 calls, both tracks sent on as RTP: forkproxy / rtpengine with subscriptions",
        0.45,
        lambda r: r.ratio("forkproxy, copied", "rtpengine, subscribed", 300),
    ),
    Target("P9", "500 calls, tapped and read: memory a call", 150, _memory, "kB"),
    Target(
        "P12",
        "500 calls, smooth arrivals: forkproxy / floor",
        0.90,
        lambda r: r.ratio("forkproxy", "floor", 500, SMOOTH),
    ),
)


def machine() -> dict[str, Any]:
    """What it was measured on."""
    models = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "rtpengine": rtpengine_version(),
        "load": os.getloadavg()[0],
    }


def _commit() -> str | None:
    """What was measured, with a `+` behind it if the tree had changes beside; None: no repository."""
    try:
        ask = ("git", "-C", str(FILE.parent.parent))
        commit = subprocess.run([*ask, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
        changed = subprocess.run(
            [*ask, "status", "--porcelain", "--", "src", "ext", "benchmarks/*.c", "benchmarks/*.py"],
            capture_output=True,
            text=True,
        )
    except OSError:
        return None
    return commit.stdout.strip() + ("+" if changed.stdout.strip() else "") or None


def load(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text())  # type: ignore[no-any-return]


def restored(saved: dict[str, Any]) -> Results:
    """The results that a file holds."""
    return Results([Trial(**trial) for trial in saved["trials"]], saved["full"])


def variants(results: Results) -> Iterable[str]:
    """Those that were run, in the order of their first run."""
    return dict.fromkeys(trial.variant for trial in results.trials)
