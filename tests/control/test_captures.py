"""Which calls are traced, and what of them: wishes, bounds, masks. The clock is the loop's, and short."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from forkproxy.control import captures as module
from forkproxy.control import ladder, pcap
from forkproxy.control.captures import Captures, masked
from forkproxy.model import Address
from forkproxy.signalling import TraceMessage
from tests.support.processes import until

ALICE, US, BOB = Address("192.0.2.1", 5060), Address("192.0.2.9", 5060), Address("192.0.2.2", 5060)


@pytest.fixture
async def captures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Captures]:
    monkeypatch.setattr(module, "AFTER", 0.05)
    made = Captures(tmp_path / "traces")
    yield made
    made.close()


def message(
    call_id: str, method: str = "INVITE", remote: Address = ALICE, *, sent: bool = False
) -> TraceMessage:
    text = f"{method} sip:b@{US} SIP/2.0\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n\r\n"
    return TraceMessage(1.0, sent, US, remote, "tcp", text.encode())


async def titles(file: Path, count: int) -> list[str]:
    await until(
        lambda: file.exists() and len(_rungs(file)) >= count, timeout=5, what=lambda: str(_rungs(file))
    )
    return [f"{rung.source.partition(':')[0]} {rung.label}" for rung in _rungs(file)]


def _rungs(file: Path) -> list[ladder.Rung]:
    return ladder.rungs(pcap.read(file.read_bytes()))


def begun(answer: dict[str, Any] | str) -> dict[str, Any]:
    assert isinstance(answer, dict), answer
    return answer


async def test_a_call_by_its_number_from_its_invite_to_its_end(captures: Captures, tmp_path: Path) -> None:
    changes: list[bool] = []
    captures.on_change = lambda: changes.append(captures.active)
    begun(captures.start(number="+49"))
    assert changes == [True]
    for other in ("c0", "c1"):
        captures.message(message(other))
    captures.began("CA0", "c0", ("+1", "+2"), "carrier")
    captures.began("CA1", "c1", ("+1", "+49"), "carrier")
    captures.message(message("c2", remote=BOB, sent=True))
    captures.dialled("CA1", "c2")
    captures.message(message("c2", "ACK", BOB, sent=True))
    captures.stream("CA1", {"event": "stream created", "name": "x"})
    captures.ended("CA1")
    captures.message(message("c1", "BYE"))
    await asyncio.sleep(0.1)
    captures.message(message("c1", "OPTIONS"))
    assert not captures.active
    assert changes[-1] is False
    file = tmp_path / "traces" / "CA1.pcap"
    assert sorted(await titles(file, 5)) == sorted(
        [
            "192.0.2.1 INVITE",
            "192.0.2.9 INVITE",
            "192.0.2.9 ACK",
            "127.0.0.1 stream created x",
            "192.0.2.1 BYE",
        ]
    )
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["CA1.pcap"]


async def test_a_call_by_where_it_goes_has_its_beginning_too(captures: Captures, tmp_path: Path) -> None:
    begun(captures.start(trunk="carrier"))
    begun(captures.start(number="+33"))
    for name, number, trunk in (("1", "+49", "carrier"), ("2", "+33", None), ("3", "+33", "carrier")):
        captures.message(message(f"c{name}"))
        captures.began(f"CA{name}", f"c{name}", ("+1", "+2"), None)
        captures.goes_out(f"CA{name}", number, trunk)
        captures.message(message(f"o{name}", remote=BOB, sent=True))
        captures.dialled(f"CA{name}", f"o{name}")
    assert [each["sid"] for each in captures.describe()["running"]] == ["CA1", "CA2"]
    for name in ("1", "2"):
        found = await titles(tmp_path / "traces" / f"CA{name}.pcap", 2)
        assert found == ["192.0.2.1 INVITE", "192.0.2.9 INVITE"]


async def test_a_call_that_is_up_from_here_on(captures: Captures, tmp_path: Path) -> None:
    captures.began("CA1", "c1", ("+1", "+2"), None)
    captures.dialled("CA1", "c2")
    captures.message(message("c1"))
    assert captures.start(sid="CA9") == "no such call"
    answer = begun(captures.start(sid="CA1"))
    assert answer["files"] == [str(tmp_path / "traces" / "CA1.pcap")]
    assert [each["sid"] for each in captures.describe()["running"]] == ["CA1"]
    captures.message(message("c2", "BYE", BOB))
    captures.ended("CA1")
    assert await titles(tmp_path / "traces" / "CA1.pcap", 1) == ["192.0.2.2 BYE"]


async def test_so_many_calls_of_a_trunk_and_no_more(captures: Captures) -> None:
    begun(captures.start(trunk="carrier", calls=2))
    for number in range(4):
        captures.began(f"CA{number}", f"c{number}", ("+1", "+2"), "other" if number == 0 else "carrier")
    assert [each["sid"] for each in captures.describe()["running"]] == ["CA1", "CA2"]
    assert captures.describe()["waiting"] == []


async def test_a_wish_ends_by_itself_or_when_it_is_told(captures: Captures) -> None:
    begun(captures.start(trunk="carrier", seconds=0.01))
    await asyncio.sleep(0.02)
    captures.began("CA1", "c1", ("+1", "+2"), "carrier")
    assert captures.describe() == {"waiting": [], "running": []}
    wish = begun(captures.start(trunk="carrier"))
    assert captures.stop(wish["trace"])
    assert not captures.stop(wish["trace"])
    assert not captures.active


async def test_what_cannot_be(captures: Captures) -> None:
    assert captures.start() == "say one of number and trunk"
    assert captures.start(number="1", trunk="a") == "say one of number and trunk"
    assert "calls is 1 to" in captures.start(number="1", calls=1000)
    assert "calls is 1 to" in captures.start(number="1", seconds=float("nan"))
    for _ in range(module.MOST_WISHES):
        begun(captures.start(number="1"))
    assert captures.start(number="1") == "20 traces are waiting already"
    captures.folder = None
    assert captures.start(number="1") == "trace.folder is not set"


async def test_a_file_has_its_bounds_and_what_is_missing_is_counted(
    captures: Captures, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "MOST_OCTETS", 300)
    captures.began("CA1", "c1", ("+1", "+2"), None)
    begun(captures.start(sid="CA1"))
    for _ in range(10):
        captures.message(message("c1"))
    assert len(await titles(tmp_path / "traces" / "CA1.pcap", 2)) == 2
    assert captures.counters()["trace_packets_lost"] == 8


async def test_a_folder_that_cannot_be_written_is_told_once(
    captures: Captures, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    captures.folder = Path("/proc/nowhere")
    captures.began("CA1", "c1", ("+1", "+2"), None)
    begun(captures.start(sid="CA1"))
    captures.message(message("c1"))
    await until(lambda: captures.lost == 2, timeout=5, what=str(captures.counters()))
    assert [each.getMessage() for each in caplog.records].count("a trace cannot be written") == 1


async def test_our_address_where_a_socket_has_none(captures: Captures, tmp_path: Path) -> None:
    captures.began("CA1", "c1", ("+1", "+2"), None)
    begun(captures.start(sid="CA1"))
    for host in ("0.0.0.0", "sip.example.com"):
        local, remote = Address(host, 5060), Address("127.0.0.1", 5099)
        captures.message(TraceMessage(1.0, True, local, remote, "udp", message("c1").data))
    assert await titles(tmp_path / "traces" / "CA1.pcap", 2) == ["127.0.0.1 INVITE"] * 2


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        (b"c2VjcmV0", b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^31|1:4"),
        (b"AQAFgM0X", b"a=key-mgmt:mikey AQAFgM0X"),
        (b"6629fae4", b'Authorization: Digest username="a", response="6629fae4", realm="x"'),
        (b"6629fae4", b'Proxy-Authorization: Digest Response = "6629fae4"'),
        (b"dTpw", b"Authorization: Basic dTpw"),
    ],
)
def test_secrets_are_masked_and_lengths_stay(secret: bytes, text: bytes) -> None:
    assert secret not in masked(text)
    assert len(masked(text)) == len(text)
    assert masked(text).replace(b"*" * len(secret), secret) == text
