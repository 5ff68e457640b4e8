"""A configuration that is read again while calls are up: what can be applied, and what needs a restart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from forkproxy.config import Config

APPLIED = frozenset(
    {
        *("trunks", "connectors", "flows", "account.sid", "account.auth_token", "cdr.file", "trace.folder"),
        *("sip.drain", "media.codecs", "media.srtp", "media.inactivity", "log.level", "log.format"),
        *("streams.ca_file", "streams.allow_ws", "streams.start_wait", "streams.buffer"),
        "streams.max_tracks",
        *("sip.strangers", "sip.source_rate", "sip.ban_after", "sip.ban_seconds"),
        *("sip.max_calls", "sip.max_rate", "sip.max_lag"),
        *("sip.pass_headers", "sip.refer", "sip.session_timers", "sip.session_expires", "sip.session_min"),
        *("sip.session_refresher", "sip.reliable_responses"),
        "sip.redirects",
    }
)
"""The keys whose new values hold for the calls that come after the reload. The others need a restart."""


def ignored(started: Config, now: Config) -> list[str]:
    """The keys that differ between what the process was started with and `now`, and cannot be applied."""
    return [key for key in _changed(started, now) if key not in APPLIED]


def _changed(one: BaseModel, other: BaseModel, prefix: str = "") -> Iterator[str]:
    for name, field in type(one).model_fields.items():
        key = f"{prefix}{field.alias or name}"
        before: Any = getattr(one, name)
        after: Any = getattr(other, name)
        if isinstance(before, BaseModel) and isinstance(after, BaseModel):
            yield from _changed(before, after, f"{key}.")
        elif before != after:
            yield key
