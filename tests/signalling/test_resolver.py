"""Names become addresses without blocking, and literals at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from forkproxy.signalling import resolver
from forkproxy.signalling.resolver import Resolver
from tests.support.nameserver import Nameserver


def test_literals_need_no_look_up() -> None:
    assert Resolver().known("192.0.2.1") == ("192.0.2.1",)
    assert Resolver().known("[2001:db8::1]") == ("2001:db8::1",)
    assert Resolver().known("localhost") is None


async def test_the_systems_answers_are_used_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(resolver, "HOSTS", tmp_path / "none")
    names = Resolver()
    found = await names.resolve("localhost")
    assert "127.0.0.1" in found or "::1" in found
    assert names.known("LocalHost") == found
    assert await names.resolve("localhost") is found


async def test_names_that_there_are_not() -> None:
    async with Nameserver({}) as server:
        names = Resolver([server.address])
        for name in ("nobody.invalid", "a" * 300, "\udcff"):
            assert await names.resolve(name) == ()


async def test_answers_are_forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(resolver, "HOSTS", tmp_path / "none")
    monkeypatch.setattr(resolver, "LIFETIME", -1.0)
    names = Resolver()
    await names.resolve("localhost")
    assert names.known("localhost") is None


async def test_a_resolver_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*arguments: Any, **more: Any) -> list[Any]:
        await asyncio.sleep(60)
        return []

    monkeypatch.setattr(resolver, "TIMEOUT", 0.05)
    monkeypatch.setattr(
        resolver.asyncio, "get_running_loop", lambda: type("Loop", (), {"getaddrinfo": never})()
    )
    assert await Resolver().resolve("slow") == ()
