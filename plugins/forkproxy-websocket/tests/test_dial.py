"""The way to a host with several addresses, and names that take their time."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Iterator

import pytest
from forkproxy_websocket import dial as module
from forkproxy_websocket.dial import connect_any
from forkproxy_websocket.resolver import Resolver

from forkproxy.connectors.api import StreamUnreachable
from tests.support.processes import until

V4 = socket.AF_INET


@contextlib.contextmanager
def listening() -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


@contextlib.contextmanager
def silent() -> Iterator[tuple[str, int]]:
    """A port whose queue of connections is full: the kernel drops what comes, as a black hole does."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()


@contextlib.contextmanager
def refusing() -> Iterator[tuple[str, int]]:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield closed.getsockname()


async def test_one_address() -> None:
    with listening() as address:
        sock = await connect_any([(V4, address)])
        assert sock.getpeername() == address
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        sock.close()


async def test_the_next_address_when_one_refuses() -> None:
    with refusing() as bad, listening() as good:
        sock = await connect_any([(V4, bad), (V4, bad), (V4, good)])
        assert sock.getpeername() == good
        sock.close()


async def test_the_next_address_when_one_stays_silent() -> None:
    with silent() as hole, listening() as good:
        sock = await connect_any([(V4, hole), (V4, good)])
        assert sock.getpeername() == good
        sock.close()


async def test_no_address_answers() -> None:
    with refusing() as first, refusing() as second, pytest.raises(ConnectionRefusedError):
        await connect_any([(V4, first), (V4, second)])


async def test_the_first_address_is_not_forgotten_when_it_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second refuses while the first is still on its way."""
    monkeypatch.setattr(module, "NEXT_ADDRESS_AFTER", 0.01)
    real = module._connect

    async def slowly(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
        if address == good:
            await asyncio.sleep(0.1)
        return await real(family, address)

    monkeypatch.setattr(module, "_connect", slowly)
    with listening() as good, refusing() as bad:
        sock = await connect_any([(V4, good), (V4, bad)])
        assert sock.getpeername() == good
        sock.close()


async def test_all_but_one_of_the_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two addresses answer at the same moment."""
    monkeypatch.setattr(module, "NEXT_ADDRESS_AFTER", 0)
    made: list[socket.socket] = []
    gate = asyncio.Event()

    async def together(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
        await gate.wait()
        made.append(socket.socket())
        return made[-1]

    monkeypatch.setattr(module, "_connect", together)
    asyncio.get_running_loop().call_later(0.05, gate.set)
    sock = await connect_any([(V4, ("127.0.0.1", 1)), (V4, ("127.0.0.1", 2))])
    assert len(made) == 2
    assert [each.fileno() for each in made if each is not sock] == [-1]
    sock.close()


async def test_giving_up_closes_what_was_on_the_way() -> None:
    with silent() as hole, pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await connect_any([(V4, hole), (V4, hole)])


async def test_an_address_without_a_route(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_route(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
        raise OSError(errno.ENETUNREACH, "x")

    monkeypatch.setattr(module, "_connect", no_route)
    with pytest.raises(OSError, match="x") as caught:
        await connect_any([(V4, ("192.0.2.1", 1))])
    assert caught.value.errno == errno.ENETUNREACH


# Names.


async def test_numbers_are_names_too() -> None:
    resolver = Resolver()
    assert await resolver.resolve("127.0.0.1", 80) == [(V4, ("127.0.0.1", 80))]
    assert await resolver.resolve("::1", 80) == [(socket.AF_INET6, ("::1", 80, 0, 0))]
    resolver.close()


async def test_many_wait_for_one_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answer = threading.Event()

    def slow(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        answer.wait(10)
        return [(V4, None, None, "", ("192.0.2.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    resolver = Resolver()
    waiting = [asyncio.ensure_future(resolver.resolve("a.example", 443)) for _ in range(50)]
    impatient = asyncio.ensure_future(resolver.resolve("a.example", 443))
    await asyncio.sleep(0.05)
    impatient.cancel()
    answer.set()
    assert await asyncio.gather(*waiting) == [[(V4, ("192.0.2.1", 443))]] * 50
    assert asked == ["a.example"]
    await resolver.resolve("a.example", 443)
    assert asked == ["a.example"] * 2, "nothing is remembered"
    resolver.close()


async def test_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    six, four = socket.AF_INET6, socket.AF_INET
    found = [(six, None, None, "", ("a",)), (six, None, None, "", ("b",)), (four, None, None, "", ("c",))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    resolver = Resolver()
    assert await resolver.resolve("a.example", 1) == [(six, ("a",)), (four, ("c",)), (six, ("b",))]
    resolver.close()


@pytest.mark.parametrize(
    "error", [socket.gaierror(socket.EAI_AGAIN, "try again"), UnicodeError("label too long"), OSError(5, "x")]
)
async def test_a_look_up_that_fails(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    resolver = Resolver()
    with pytest.raises(StreamUnreachable, match=r"looking up a\.example: "):
        await resolver.resolve("a.example", 1)
    resolver.close()


async def test_a_failure_that_nobody_waits_for_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    def fail(*_: object, **__: object) -> None:
        answer.wait(10)
        raise socket.gaierror(socket.EAI_NONAME, "none")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    resolver = Resolver()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await resolver.resolve("a.example", 1)
    answer.set()
    await until(lambda: not resolver._running, timeout=10, what="the end of the look-up", every=0.01)
    resolver.close()
