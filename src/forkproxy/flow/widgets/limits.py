"""The property `time_limit`: seconds, as text."""

from __future__ import annotations

from forkproxy.flow.liquid import Template
from forkproxy.flow.widgets.base import Site, Step

LONGEST_CALL = 24 * 60 * 60
"""Seconds: Twilio's longest time limit."""


def check_time_limit(site: Site, given: Template) -> None:
    """It is a number of seconds, as far as its text tells."""
    text = given.source.strip()
    if given.literal and text and _seconds(text) is None:
        message = f"must be a number of seconds from 1 to {LONGEST_CALL}, as a string"
        site.error(message, "properties", "time_limit")


def time_limit(step: Step, given: Template, what: str) -> int | None:
    """The seconds that `what` may last; None: no limit."""
    text = step.text(given, "time_limit")
    if text is None:
        return None
    seconds = _seconds(text)
    if seconds is None:
        step.warn(None, f"time_limit came out as '{text[:40]}', not as seconds: {what} has no limit")
    return seconds


def _seconds(text: str) -> int | None:
    if text.isdecimal() and text.isascii() and 1 <= int(text[:9]) <= LONGEST_CALL:
        return int(text[:9])
    return None
