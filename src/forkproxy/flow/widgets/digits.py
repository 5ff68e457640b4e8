"""Keys that a flow presses (twilio.com/docs/voice/twiml/number, `sendDigits`)."""

from __future__ import annotations

import re

from forkproxy.flow.liquid import Template
from forkproxy.flow.widgets.base import Site, Step

MOST = 200
_DIGITS = re.compile(r"[0-9A-Da-d*#wW]+")
_WRONG = "must be 1 to 200 keys: 0 to 9, *, #, A to D, w for half a second's pause, W for a second's"


def check_digits(site: Site, name: str, given: Template) -> None:
    """Report what is wrong with the property `name`, as far as it is literal."""
    text = given.source.strip()
    if text and given.literal and not (_DIGITS.fullmatch(text) and len(text) <= MOST):
        site.error(_WRONG, "properties", name)


def digits(step: Step, name: str, given: Template, times: int = 1) -> str:
    """The keys, so many times as long as they fit; empty: there are none. A warning says what is wrong."""
    if not given.source.strip():
        return ""
    text = (step.text(given, name) or "").strip()
    if _DIGITS.fullmatch(text) and len(text) <= MOST:
        return text * min(times, MOST // len(text))
    step.warn(None, f"no keys are sent: '{name}' {_WRONG}")
    return ""
