"""Where a caller's key goes: always to its flow, to its streams only while the call is not masked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from forkproxy.bridge import events as ev
from forkproxy.bridge.call import Call
from forkproxy.media import Digit


@pytest.mark.parametrize("masked", [False, True])
def test_a_masked_call_keeps_its_keys_from_the_streams(masked: bool) -> None:
    streams: list[tuple[str, float]] = []
    flow: list[Any] = []
    forks = SimpleNamespace(press=lambda key, ms: streams.append((key, ms)))
    call = SimpleNamespace(_keys=2, masked=masked, forks=forks, _handle=flow.append)
    Call._press(cast(Call, call), Digit("5", 80.0))
    assert call._keys == 3
    assert flow == [ev.KeyPressed("5")]
    assert "5" not in repr(flow)
    assert streams == ([] if masked else [("5", 80.0)])
