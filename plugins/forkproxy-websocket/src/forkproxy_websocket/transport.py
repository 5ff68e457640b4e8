"""A transport of asyncio on a native line, so that `Connection` is the same on either.

It does what asyncio's own do, TLS included, and one thing more: `line` may be written to by native code, from
another thread. What that could not send is sent by whoever comes next: that code, or this transport.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from forkproxy_websocket._native import Line, Tls

READS = 16
"""Pieces that are read before others have the event loop."""


class _Protocol(Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def connection_lost(self, error: Exception | None) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool | None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class LineTransport(asyncio.Transport):
    """One connection; made by `attach`."""

    def __init__(self, sock: socket.socket, line: Line, protocol: _Protocol, limit: int) -> None:
        super().__init__({"socket": sock})
        self.line = line
        self._sock = sock
        self._fd = sock.fileno()
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._high = limit
        self._low = limit // 4
        self._reading = True
        self._writing = False
        """The event loop watches for room in the socket."""
        self._full = False
        self._closing = False
        self._ended = False
        self._loop.add_reader(self._fd, self._readable)

    # What `Connection` asks for.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._ended:
            self._write(data)

    def get_write_buffer_size(self) -> int:
        return self.line.pending

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is not None:
            self._high = high
        self._low = self._high // 4 if low is None else low

    def pause_reading(self) -> None:
        if self._reading and not self._closing:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def resume_reading(self) -> None:
        if not self._reading and not self._closing:
            self._reading = True
            self._loop.add_reader(self._fd, self._readable)
            self._loop.call_soon(self._readable)  # TLS may have what the socket does not show any more

    def seal(self) -> None:
        """Native code may send no more media; what waits is sent."""
        self.line.seal()

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Send what waits, then end."""
        if self._closing:
            return
        self._closing = True
        self._stop_reading()
        if self.line.pending and not self._writing:
            self._writing = True
            self._loop.add_writer(self._fd, self._writable)
        elif not self.line.pending:
            self._end(None)

    def abort(self) -> None:
        """End; what waits is lost."""
        self._closing = True
        self._end(None)

    # From the event loop.

    def _readable(self) -> None:
        for _ in range(READS):
            if not self._reading or self._closing:
                return
            try:
                data = self.line.read()
            except OSError as error:
                self._fail(error)
                return
            if data is None:
                return
            if not data:
                self._stop_reading()
                if not self._protocol.eof_received():
                    self.close()
                return
            self._protocol.data_received(data)
        self._loop.call_soon(self._readable)

    def _writable(self) -> None:
        self._write(b"")

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        try:
            pending = self.line.write(data)
        except OSError as error:
            self._fail(error)
            return
        if (pending > 0) is not self._writing:
            self._writing = not self._writing
            if self._writing:
                self._loop.add_writer(self._fd, self._writable)
            else:
                self._loop.remove_writer(self._fd)
        if pending > self._high and not self._full:
            self._full = True
            self._protocol.pause_writing()
        elif self._full and pending <= self._low:
            self._full = False
            self._protocol.resume_writing()
        if self._closing and not pending:
            self._end(None)

    # The end.

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def _fail(self, error: Exception) -> None:
        self._closing = True
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        if self._ended:
            return
        self._ended = True
        self._stop_reading()
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._fd)
        self._loop.call_soon(self._lost, error)

    def _lost(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self.line.close()
            self._sock.close()


async def attach(
    sock: socket.socket, make: Callable[[], Any], tls: Tls | None, host: str, *, limit: int
) -> Any:
    """A protocol on a line on `sock`, which they own from here on.

    Args:
        tls: None: plain.
        host: whom TLS must find at the other end.
        limit: octets that may wait before media is not taken any more.

    Raises:
        OSError: TLS failed, `ssl.SSLError` included; `sock` is closed.
    """
    from forkproxy_websocket._native import Line  # there is none if it was not built

    try:
        line = Line(sock.fileno(), tls, host, not _is_address(host), limit)
        while (for_room := line.handshake()) is not None:
            await _ready(sock.fileno(), for_room)
        protocol = make()
        protocol.connection_made(LineTransport(sock, line, protocol, limit))
    except BaseException:
        sock.close()
        raise
    return protocol


async def _ready(fd: int, for_room: bool) -> None:
    """Wait until the socket can be read, or written."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def tell() -> None:
        if not ready.done():
            ready.set_result(None)

    watch, forget = (
        (loop.add_writer, loop.remove_writer) if for_room else (loop.add_reader, loop.remove_reader)
    )
    watch(fd, tell)
    try:
        await ready
    finally:
        forget(fd)


def _is_address(host: str) -> bool:
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return True
    return False
