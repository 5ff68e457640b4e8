"""Names to addresses, without keeping anybody waiting for somebody else's name server."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest

from forkproxy.connectors.api import StreamUnreachable, failure_of

Address = tuple[str, int] | tuple[str, int, int, int]
Addresses = list[tuple[socket.AddressFamily, Address]]

THREADS = 8


class Resolver:
    """The system's own resolver (``/etc/hosts`` and all) in threads of our own.

    It blocks a thread for as long as a name server stays silent. The event loop's threads have other work,
    so ours are separate; and many streams to one name wait for one look-up.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="websocket-names")
        self._running: dict[tuple[str, int], asyncio.Future[Addresses]] = {}

    async def resolve(self, host: str, port: int) -> Addresses:
        """The addresses of `host`, IPv6 and IPv4 in turn, in the system's order of preference.

        Raises:
            StreamUnreachable: the name does not exist, or cannot be looked up at the moment.
        """
        key = (host, port)
        look_up = self._running.get(key)
        if look_up is None:
            loop = asyncio.get_running_loop()
            look_up = loop.run_in_executor(self._threads, _look_up, host, port)
            self._running[key] = look_up
            look_up.add_done_callback(lambda done: self._forget(key, done))
        try:
            return await asyncio.shield(look_up)
        except (OSError, UnicodeError) as error:
            failure = failure_of(error, f"looking up {host}")
            raise StreamUnreachable(str(failure)) from error

    def _forget(self, key: tuple[str, int], look_up: asyncio.Future[Addresses]) -> None:
        del self._running[key]
        if not look_up.cancelled():
            look_up.exception()  # seen, even when everybody who waited has gone

    def close(self) -> None:
        """Forget what is still being looked up."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> Addresses:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    first = found[0][0]
    preferred = [(family, address) for family, _, _, _, address in found if family == first]
    others = [(family, address) for family, _, _, _, address in found if family != first]
    pairs = zip_longest(preferred, others)
    return [entry for pair in pairs for entry in pair if entry is not None]  # type: ignore[misc]
