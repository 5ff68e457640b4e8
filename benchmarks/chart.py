"""The chart of docs/performance.md, as SVG: what a packet costs, beside each other and as calls are added."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from benchmarks.results import Results
from benchmarks.trial import BURSTS, SMOOTH

WIDTH, HEIGHT = 960, 430
TOP, BOTTOM = 84, 350
"""Of the panels; every panel has the same scale, so that they can be compared."""
COLOURS = {
    "floor": "#9aa5b1",
    "forkproxy": "#1f6feb",
    "forkproxy, both legs tapped": "#7cc4fa",
    "rtpengine": "#e07b39",
}
GROWTH = (50, 100, 300, 500, 700, 1000)


def draw(results: Results) -> str:
    """The whole picture."""
    costs = [
        cost
        for variant in COLOURS
        for tick in (BURSTS, SMOOTH)
        for calls in GROWTH
        if (cost := results.cpu(variant, calls, tick)) is not None
    ]
    most = max(costs, default=1.0)
    step = next(step for step in (1, 2, 5, 10, 20, 50) if most / step <= 8 or step == 50)
    top = (int(most / step) + 1) * step
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#24292f">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(20, 26, "CPU microseconds a relayed packet (lower is better)", size=17, weight="bold"),
        *_legend(),
        *_bars(results, BURSTS, 50, 330, "In bursts, 1 ms apart: calls", top, step),
        *_bars(results, SMOOTH, 375, 620, "Smooth, 0.2 ms apart: calls", top, step),
        *_lines(results, 675, 930, "In bursts, as calls are added", top, step),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _text(
    x: float, y: float, text: str, *, size: int = 13, weight: str = "normal", anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def _legend() -> list[str]:
    parts, x = [], 20.0
    for name, colour in COLOURS.items():
        parts.append(f'<rect x="{x:.1f}" y="42" width="14" height="14" fill="{colour}"/>')
        label = "floor (plain C, looks at no packet)" if name == "floor" else name
        parts.append(_text(x + 20, 54, label))
        x += 52 + 6.6 * len(label)
    return parts


def _height(cost: float, top: float) -> float:
    return (BOTTOM - TOP) * cost / top


def _grid(left: float, right: float, title: str, top: int, step: int) -> list[str]:
    parts = []
    for value in range(0, top + 1, step):
        y = BOTTOM - _height(value, top)
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#d0d7de"/>')
        parts.append(_text(left - 6, y + 4, str(value), size=11, anchor="end"))
    parts.append(_text((left + right) / 2, BOTTOM + 48, title, anchor="middle"))
    return parts


def _bars(
    results: Results, tick: int, left: float, right: float, title: str, top: int, step: int
) -> list[str]:
    parts = _grid(left, right, title, top, step)
    shown = [name for name in COLOURS if any(results.cpu(name, calls, tick) for calls in (100, 300, 500))]
    group = (right - left) / 3
    width = group * 0.8 / max(len(shown), 1)
    for number, calls in enumerate((100, 300, 500)):
        begin = left + group * (number + 0.1)
        for place, name in enumerate(shown):
            cost = results.cpu(name, calls, tick)
            if cost is None:
                continue
            x, height = begin + place * width, _height(cost, top)
            parts.append(
                f'<rect x="{x:.1f}" y="{BOTTOM - height:.1f}" '
                f'width="{width - 1.5:.1f}" height="{height:.1f}" '
                f'fill="{COLOURS[name]}"/>'
            )
            parts.append(
                _text(x + width / 2 - 1, BOTTOM - height - 4, f"{cost:.1f}", size=9, anchor="middle")
            )
        parts.append(_text(begin + group * 0.4, BOTTOM + 18, str(calls), anchor="middle"))
    return parts


def _lines(results: Results, left: float, right: float, title: str, top: int, step: int) -> list[str]:
    parts = _grid(left, right, title, top, step)
    scale = (right - left) / max(GROWTH)
    for calls in GROWTH[1:]:
        parts.append(_text(left + calls * scale, BOTTOM + 18, str(calls), size=11, anchor="middle"))
    for name, colour in COLOURS.items():
        points: Sequence[tuple[float, float]] = [
            (left + calls * scale, BOTTOM - _height(cost, top))
            for calls in GROWTH
            if (cost := results.cpu(name, calls)) is not None
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
    return parts
