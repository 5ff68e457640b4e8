"""Names become addresses without blocking, and literals at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from forkproxy.signalling import resolver
from forkproxy.signalling.resolver import Resolver


def test_literals_need_no_look_up() -> None:
    assert Resolver().known("192.0.2.1") == ("192.0.2.1",)
    assert Resolver().known("[2001:db8::1]") == ("2001:db8::1",)
    assert Resolver().known("localhost") is None


async def test_names_are_looked_up_once() -> None:
    names = Resolver()
    found = await names.resolve("localhost")
    assert "127.0.0.1" in found or "::1" in found
    assert names.known("LocalHost") == found
    assert await names.resolve("localhost") is found


async def test_names_that_there_are_not() -> None:
    for name in ("nobody.invalid", "a" * 300, "\udcff"):
        assert await Resolver().resolve(name) == ()


async def test_answers_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert await Resolver().resolve("slow.example") == ()
