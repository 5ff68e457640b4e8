"""One run of one relay under the generator's calls, and whether it counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers import Generator
from benchmarks.relays import Floor, Forkproxy, Relay, Rtpengine

BURSTS = 1000
"""Microseconds between two sendings of the generator: many packets at once,"""
SMOOTH = 200
"""or a few."""
TARDY = 0.02
"""The share of its sendings that the generator may begin over 2 ms late; more is another pattern."""
ATTEMPTS = 3

VARIANTS: dict[str, Callable[[Generator, Path], Relay]] = {
    "floor": Floor,
    "floor, copied": lambda generator, folder: Floor(generator, folder, copies=True),
    "forkproxy": Forkproxy,
    "forkproxy, calls tapped": lambda generator, folder: Forkproxy(generator, folder, taps="call"),
    "forkproxy, calls tapped and read": lambda generator, folder: Forkproxy(
        generator, folder, taps="call", read="read"
    ),
    "forkproxy, copied": lambda generator, folder: Forkproxy(generator, folder, copies=True),
    "forkproxy, both legs tapped": lambda generator, folder: Forkproxy(generator, folder, taps="legs"),
    "rtpengine": Rtpengine,
    "rtpengine, subscribed": lambda generator, folder: Rtpengine(generator, folder, subscribed=True),
}


@dataclass(frozen=True, slots=True)
class Trial:
    """What one run showed in its window."""

    variant: str
    calls: int
    tick_us: int
    round: int
    attempt: int
    seconds: float
    packets: int
    """Relayed, that is: they reached the other party."""
    cpu_us: float
    """CPU time of the process under test for each of them, in microseconds, all threads."""
    busy: float
    """The share of its core that it used."""
    delay_ms: dict[str, float]
    memory: float
    """Bytes of resident memory a call, above what the process had before the first."""
    lost: int
    tardy: float
    wakeups: float | None
    """Of the relay thread, a second; only forkproxy tells."""
    rejected: str | None
    """Why the run does not count. None: it does."""

    @property
    def key(self) -> tuple[str, int, int]:
        return self.variant, self.calls, self.tick_us

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


async def run(
    folder: Path, variant: str, calls: int, tick_us: int, seconds: float, *, round: int = 0, attempt: int = 1
) -> Trial:
    """Let the calls talk, measure `seconds` of them."""
    async with (
        Generator(folder, calls, tick_us) as generator,
        VARIANTS[variant](generator, folder) as relay,
    ):
        generator.begin(relay.ports)
        await asyncio.sleep(0.7)
        own_before = await relay.figures()
        before, cpu = await generator.mark(), relay.cpu()
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(seconds)
        after, cpu = await generator.mark(), relay.cpu() - cpu
        lasted = asyncio.get_running_loop().time() - began
        own_after = await relay.figures()
        memory = relay.rss() - relay.empty
        whole = await generator.finish()
        window = {name: after[name] - before[name] for name in after if name != "delay_ms"}
        tardy = window["tardy_slots"] / window["slots"]
        # What is wrong at any time is wrong; rtpengine alone may lose what comes before it knows a source.
        lost = window["lost"] if variant.startswith("rtpengine") else whole["lost"]
        return Trial(
            variant=variant,
            calls=calls,
            tick_us=tick_us,
            round=round,
            attempt=attempt,
            seconds=lasted,
            packets=window["received"],
            cpu_us=cpu / window["received"] * 1e6 if window["received"] else 0.0,
            busy=cpu / lasted,
            delay_ms=after["delay_ms"],
            memory=memory / calls,
            lost=lost,
            tardy=tardy,
            wakeups=(own_after["wakeups"] - own_before["wakeups"]) / lasted if own_after else None,
            rejected=_judge(whole, window, lost, tardy, own_after),
        )


def _judge(
    whole: dict[str, Any], window: dict[str, Any], lost: int, tardy: float, own: dict[str, Any]
) -> str | None:
    if window["late_slots"] or tardy > TARDY:
        return f"the generator was starved: {tardy:.1%} of its sendings were late"
    if whole["misrouted"] or whole["foreign"]:
        return f"{whole['misrouted']} packets misrouted, {whole['foreign']} damaged"
    if lost:
        return f"{lost} packets lost"
    # With reading taps, every frame is there, too. (Those that nobody reads are overwritten: the point.)
    if own.get("frames") and (own["frames_dropped"] or own.get("frames_concealed")):
        return f"{own['frames_dropped']} frames dropped, {own.get('frames_concealed', 0)} concealed"
    if own.get("copy_frames_dropped"):
        return f"{own['copy_frames_dropped']} frames of copies dropped"
    return None


async def attempts(
    folder: Path, variant: str, calls: int, tick_us: int, seconds: float, round: int = 0
) -> list[Trial]:
    """Run until a run counts, or `ATTEMPTS` times; all of them, the one that counts last."""
    made: list[Trial] = []
    for attempt in range(1, ATTEMPTS + 1):
        made.append(await run(folder, variant, calls, tick_us, seconds, round=round, attempt=attempt))
        if made[-1].rejected is None:
            break
    return made
