"""A relay leg that keeps in mind what it was told, in front of a real one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from forkproxy.media import MediaLeg

Told = Callable[[MediaLeg], dict[str, Any]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """What the relay was told of a leg last: `codecs`, `srtp`, `ptime`; empty if nothing.

    Every codec is taken: what the relay does with it is not these tests' business.
    """
    heard: dict[MediaLeg, dict[str, Any]] = {}

    def set_remote(leg: MediaLeg, rtp: Any, rtcp: Any, codecs: Any, **options: Any) -> None:
        heard[leg] = {"rtp": rtp, "codecs": codecs, **options}

    monkeypatch.setattr(MediaLeg, "set_remote", set_remote)
    return lambda leg: heard.get(leg, {})
