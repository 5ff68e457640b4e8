"""Our own addresses: what peers are told in Contact, in Via, and (by `Leg.local_host`) in descriptions."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from ipaddress import ip_address

from forkproxy.errors import SignallingError
from forkproxy.model import Address
from forkproxy.signalling.listeners import ListenUrl

REMEMBERED = 4096
_ADVERTISED = re.compile(
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f.]*(?::[0-9A-Fa-f.]*){2,})"
    r"(?::(?P<port>\d{1,5}))?"
)


class OwnAddresses:
    """Which of our addresses a peer must see."""

    def __init__(self, advertise: str | Sequence[str] | None) -> None:
        """
        Args:
            advertise: ``host[:port]`` that all peers are told that can use it: an address is for those of its
                family, a name for all. Where there is none, it is the address that we listen on, or, where
                that is a wildcard, the one on the way to the peer.

        Raises:
            SignallingError: `advertise` is no such thing.
        """
        self._advertised = [
            _parse(each) for each in ((advertise,) if isinstance(advertise, str) else advertise or ())
        ]
        self._routes: dict[str, str] = {}

    def host(self, url: ListenUrl, peer: str | None = None) -> str:
        """Our host for `peer`; without one, the best guess (nothing that leaves us depends on it)."""
        advertised = self._for(url)
        if advertised is not None:
            return advertised.host
        if not url.wildcard or peer is None:
            return url.host
        found = self._routes.get(peer)
        if found is None:
            if len(self._routes) >= REMEMBERED:
                self._routes.clear()
            found = self._routes[peer] = route_from(peer, url.v6)
        return found

    def port(self, url: ListenUrl) -> int:
        """The port that peers are told for a listener, whose own is known. An advertised port is for UDP and
        TCP; TLS has always another one, and tells the one that it is bound to."""
        advertised = self._for(url)
        if advertised is None or not advertised.port or url.scheme == "tls":
            return url.port
        return advertised.port

    def _for(self, url: ListenUrl) -> Address | None:
        return next((each for each in self._advertised if usable(each.host, url.v6)), None)


def usable(host: str, v6: bool) -> bool:
    """Whether peers that speak to us over IPv6, or IPv4, can be told `host`: a name, or such an address."""
    try:
        return (ip_address(host).version == 6) is v6
    except ValueError:
        return True


def route_from(peer: str, v6: bool) -> str:
    """Our address on the way to `peer`; sends nothing."""
    with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((peer, 9))
        except OSError:
            return "::1" if v6 else "127.0.0.1"
        return str(probe.getsockname()[0]).partition("%")[0]


def _parse(text: str) -> Address:
    match = _ADVERTISED.fullmatch(text)
    port = int(match["port"] or 0) if match is not None else 0
    if match is None or port > 65535:
        raise SignallingError(f"{text!r} is no address to advertise; write host or host:port")
    host = match["host"].strip("[]")
    if ":" in host:
        try:
            ip_address(host)
        except ValueError:
            raise SignallingError(
                f"{text!r} is no address to advertise: {host!r} is no IPv6 address"
            ) from None
    return Address(host, port)
