"""What is counted, and how Prometheus reads it.

`METRICS` describes every counter by the name that the code uses. The exposed name is ``forkproxy_`` and that
name, with ``_total`` behind it when it only ever grows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One number that an operator can watch."""

    kind: Kind
    """``counter`` only ever grows while the process runs; ``gauge`` is how it is now."""
    help: str


def _gauge(text: str) -> Metric:
    return Metric("gauge", text)


def _counter(text: str) -> Metric:
    return Metric("counter", text)


METRICS: dict[str, Metric] = {
    "http_requests": _counter("Requests to the HTTP server."),
    "http_bad_requests": _counter("Requests to the HTTP server that were malformed."),
    "http_connections_refused": _counter("Connections to the HTTP server beyond its limit, closed at once."),
}


def exposed_name(name: str) -> str:
    """The name that Prometheus sees.

    >>> exposed_name("http_requests")
    'forkproxy_http_requests_total'
    """
    safe = re.sub(r"[^a-zA-Z0-9_]", "_", name)
    metric = METRICS.get(name)
    suffix = (
        "_total" if metric is not None and metric.kind == "counter" and not safe.endswith("_total") else ""
    )
    return f"forkproxy_{safe}{suffix}"


def exposition(counters: Mapping[str, int | float]) -> str:
    """The counters in Prometheus's text format 0.0.4. Those that nobody has described are there, untyped."""
    lines: list[str] = []
    for name, value in sorted(counters.items()):
        metric = METRICS.get(name)
        exposed = exposed_name(name)
        text = metric.help if metric else f"The counter {name}, which has no description yet."
        lines.append(f"# HELP {exposed} " + text.replace("\\", r"\\").replace("\n", r"\n"))
        lines.append(f"# TYPE {exposed} {metric.kind if metric else 'untyped'}")
        lines.append(f"{exposed} {_number(value)}")
    return "".join(line + "\n" for line in lines)


def _number(value: int | float) -> str:
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "+Inf" if value > 0 else "-Inf"
        return repr(value)
    return str(int(value))
