"""The range of UDP ports: pairs of an even one for RTP and the odd one above for RTCP (RFC 3550, 11)."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress

from forkproxy.errors import MediaError, PortsExhausted

EXPEDITED_FORWARDING = 46 << 2
"""The DSCP that telephony expects on voice (RFC 4594), as the octet that IP carries it in."""


class PortRange:
    """Binds pairs of sockets at unpredictable places of a range: who guesses ports, guesses in all of it."""

    def __init__(self, host: str, first: int, last: int) -> None:
        """`host` is an address literal to listen on; `first` to `last` are all ports that may be used.

        Raises:
            MediaError: the address cannot be listened on, or the range holds no pair.
        """
        if not 1 <= first <= last <= 65535:
            raise MediaError(f"media ports {first}-{last}: not a range of ports")
        self.host = host
        self.family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._free = list(range(first + first % 2, last, 2))
        if not self._free:
            raise MediaError(f"media ports {first}-{last}: no even port with an odd one above it")
        self._where = f"{host} ports {first}-{last}"
        try:
            with self._socket() as probe:
                probe.bind((host, 0))
        except OSError as error:
            raise MediaError(f"media cannot listen on {host}: {error.strerror or error}") from error

    def bind(self) -> tuple[socket.socket, socket.socket]:
        """A free pair, bound and non-blocking: RTP, RTCP.

        Raises:
            PortsExhausted: every pair is in use, by us or by another program.
            MediaError: the system refuses another socket.
        """
        busy: list[int] = []
        try:
            while self._free:
                at = secrets.randbelow(len(self._free))
                self._free[at], self._free[-1] = self._free[-1], self._free[at]
                port = self._free.pop()
                pair = self._bind_pair(port)
                if pair:
                    return pair
                busy.append(port)
        finally:
            self._free += busy
        raise PortsExhausted(f"no RTP port is left: {self._where}, {len(busy)} pairs taken by other programs")

    def give_back(self, rtp_port: int) -> None:
        """The sockets of a pair have been closed."""
        self._free.append(rtp_port)

    def _socket(self) -> socket.socket:
        made = socket.socket(self.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        if self.host == "::":  # phones at IPv4 addresses, too, whatever the system's default is
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        return made

    def _bind_pair(self, port: int) -> tuple[socket.socket, socket.socket] | None:
        sockets: list[socket.socket] = []
        try:
            for number in (port, port + 1):
                sockets.append(self._socket())
                with suppress(OSError):  # a mark on packets that some systems forbid
                    if self.family == socket.AF_INET6:
                        sockets[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, EXPEDITED_FORWARDING)
                    if self.family == socket.AF_INET or self.host == "::":
                        sockets[-1].setsockopt(socket.IPPROTO_IP, socket.IP_TOS, EXPEDITED_FORWARDING)
                try:
                    sockets[-1].bind((self.host, number))
                except OSError:
                    for bound in sockets:
                        bound.close()
                    return None
        except OSError as error:
            for bound in sockets:
                bound.close()
            self._free.append(port)
            raise MediaError(f"no socket for RTP: {error.strerror or error}") from error
        return sockets[0], sockets[1]
