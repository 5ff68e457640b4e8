"""From a target to an open WebSocket: name, TCP, TLS, upgrade; each failure with its own code.

Twilio's codes tell how far we came: 31904 no such host, or no way to it; 31902 TCP refused; 31910 TLS; 31920
anything but 101 as the answer to the upgrade request; 31901 no answer in time, wherever we were.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable

from websockets.uri import WebSocketURI

from forkproxy.connectors.api import StreamConnectTimeout, StreamTlsError, describe, failure_of
from forkproxy_websocket.connection import Connection
from forkproxy_websocket.resolver import Address, Addresses, Resolver

Attach = Callable[[socket.socket, Callable[[], Connection], str], Awaitable[Connection]]

NEXT_ADDRESS_AFTER = 0.25
"""Seconds until the next address of a host is tried beside the first (RFC 8305, section 5)."""
UNSENT_IN_KERNEL = 32 * 1024
"""Octets that the kernel takes beyond what it has sent. What waits, waits where we can still drop it."""


async def dial(
    target: WebSocketURI,
    make: Callable[[], Connection],
    *,
    resolver: Resolver,
    tls: ssl.SSLContext | None,
    timeout: float,
    attach: Attach | None = None,
) -> Connection:
    """Connect to `target` and wait for the end of the handshake.

    Args:
        make: makes the protocol for the new connection.
        tls: None for ``ws``.
        timeout: seconds for all of it.
        attach: puts the protocol on the TCP connection (of that name, with TLS if any); None: asyncio does.

    Raises:
        StreamError: one of the classes for the codes above.
    """
    where = f"[{target.host}]:{target.port}" if ":" in target.host else f"{target.host}:{target.port}"
    doing = f"looking up {target.host}"
    try:
        async with asyncio.timeout(timeout):
            addresses = await resolver.resolve(target.host, target.port)
            doing = f"connecting to {where}"
            sock = await connect_any(addresses)
            if tls is not None:
                doing = f"the TLS handshake with {where}"
            if attach is not None:
                connection = await attach(sock, make, target.host)
            else:
                connection = await _attach(sock, make, tls, target.host)
            doing = f"the WebSocket handshake with {where}"
            try:
                await connection.opened()
            except BaseException:
                await connection.abort()
                raise
            return connection
    except TimeoutError as error:
        raise StreamConnectTimeout(f"{doing}: no answer within {timeout:g} seconds") from error
    except OSError as error:
        if doing.startswith("the TLS"):  # a cut connection too: what is there does not speak our TLS
            raise StreamTlsError(f"{doing}: {describe(error)}") from error
        raise failure_of(error, doing) from error


async def connect_any(addresses: Addresses) -> socket.socket:
    """A TCP connection to whichever address answers first; they are tried in turn, the next ones in parallel.

    Raises:
        OSError: none answers; the first one's error.
    """
    failure: BaseException | None = None
    attempts: set[asyncio.Task[socket.socket]] = set()
    waiting = list(reversed(addresses))
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(asyncio.create_task(_connect(*waiting.pop())))
            patience = NEXT_ADDRESS_AFTER if waiting else None
            await asyncio.wait(attempts, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for attempt in [attempt for attempt in attempts if attempt.done()]:
                attempts.discard(attempt)
                error = attempt.exception()
                if error is None:
                    return attempt.result()
                failure = failure or error
        assert failure is not None, "there is no address"
        raise failure
    finally:
        await _give_up(attempts)


async def _give_up(attempts: Iterable[asyncio.Task[socket.socket]]) -> None:
    for attempt in attempts:
        attempt.cancel()
    for result in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(result, socket.socket):  # it stood before it could be cancelled
            result.close()


async def _connect(family: socket.AddressFamily, address: Address) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_IN_KERNEL)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _attach(
    sock: socket.socket, make: Callable[[], Connection], tls: ssl.SSLContext | None, host: str
) -> Connection:
    """A transport and its protocol on `sock`, which they own from here on."""
    _, connection = await asyncio.get_running_loop().create_connection(
        make, sock=sock, ssl=tls, server_hostname=host if tls else None
    )
    return connection
