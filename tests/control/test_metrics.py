"""Prometheus's text format: names, kinds, and numbers that a scraper can read."""

from __future__ import annotations

import re

import pytest

from forkproxy.control.metrics import (
    FAMILIES,
    HISTOGRAMS,
    METRICS,
    exposed_name,
    exposition,
    histogram_exposition,
)
from forkproxy.model import Histogram

LINE = re.compile(
    r"(# HELP [a-zA-Z_][a-zA-Z0-9_]* .+"
    r"|# TYPE [a-zA-Z_][a-zA-Z0-9_]* (counter|gauge|histogram|untyped)"
    r"|\S+ \S+)"
)


def test_a_known_counter_has_its_help_and_kind() -> None:
    assert exposition({"http_requests": 3}) == (
        "# HELP forkproxy_http_requests_total Requests to the HTTP server.\n"
        "# TYPE forkproxy_http_requests_total counter\n"
        "forkproxy_http_requests_total 3\n"
    )


def test_an_unknown_counter_is_still_exported() -> None:
    text = exposition({"a-new.thing": 7})
    assert "# TYPE forkproxy_a_new_thing untyped\nforkproxy_a_new_thing 7\n" in text
    assert "# HELP forkproxy_a_new_thing The counter a-new.thing" in text


def test_numbered_counters_become_labels_of_one_family() -> None:
    text = exposition({"calls_rejected_486": 2, "calls_rejected_403": 1, "calls_rejected": 3})
    assert text.endswith(
        "# HELP forkproxy_calls_rejected_by_status_total Refused calls by the SIP status they got.\n"
        "# TYPE forkproxy_calls_rejected_by_status_total counter\n"
        'forkproxy_calls_rejected_by_status_total{status="403"} 1\n'
        'forkproxy_calls_rejected_by_status_total{status="486"} 2\n'
    )
    assert "forkproxy_calls_rejected_total 3\n" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (True, "1"),
        (1.5, "1.5"),
        (float("inf"), "+Inf"),
        (-float("inf"), "-Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert exposition({"x": value}).splitlines()[-1] == f"forkproxy_x {text}"


def test_every_metric_makes_a_well_formed_exposition() -> None:
    lines = exposition(dict.fromkeys(METRICS, 1)).splitlines()
    assert len(lines) == 3 * len(METRICS)
    assert all(LINE.fullmatch(line) for line in lines)
    exposed = {exposed_name(name) for name in METRICS}
    assert len(exposed) == len(METRICS)
    assert not exposed & {f"forkproxy_{family.name}_total" for family in FAMILIES.values()}


@pytest.mark.parametrize("name", METRICS)
def test_the_table_is_fit_to_print(name: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    assert METRICS[name].help.endswith(".")
    assert exposed_name(name).endswith("_total") == (METRICS[name].kind == "counter")


def test_a_histogram_accumulates_its_buckets() -> None:
    histogram = Histogram.empty((0.001, 0.5))
    for value in (0.0005, 0.001, 0.002, 3.0):
        histogram = histogram.with_(value)
    assert histogram == Histogram((0.001, 0.5), (2, 1, 1), pytest.approx(3.0035))
    assert histogram_exposition({"rtp_tap_lateness_seconds": histogram}) == (
        "# HELP forkproxy_rtp_tap_lateness_seconds By how much frames come to the taps later than the window"
        " wants.\n"
        "# TYPE forkproxy_rtp_tap_lateness_seconds histogram\n"
        'forkproxy_rtp_tap_lateness_seconds_bucket{le="0.001"} 2\n'
        'forkproxy_rtp_tap_lateness_seconds_bucket{le="0.5"} 3\n'
        'forkproxy_rtp_tap_lateness_seconds_bucket{le="+Inf"} 4\n'
        f"forkproxy_rtp_tap_lateness_seconds_sum {histogram.total!r}\n"
        "forkproxy_rtp_tap_lateness_seconds_count 4\n"
    )


def test_every_histogram_makes_a_well_formed_exposition() -> None:
    lines = histogram_exposition(dict.fromkeys(HISTOGRAMS, Histogram.empty((1.0,)))).splitlines()
    assert len(lines) == 6 * len(HISTOGRAMS)
    assert all(LINE.fullmatch(line) for line in lines)
    assert not {f"forkproxy_{name}" for name in HISTOGRAMS} & {exposed_name(name) for name in METRICS}
