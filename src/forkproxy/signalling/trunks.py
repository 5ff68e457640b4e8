"""Trunks: carriers that may call in, and through which numbers are dialled. Pure values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from forkproxy.model import Redirects, SrtpMode
from forkproxy.numbers import Rule
from forkproxy.signalling.authentication import User


@dataclass(frozen=True, slots=True)
class Trunk:
    """One entry of the configuration's `trunks`."""

    name: str
    accept: tuple[IPv4Network | IPv6Network, ...] = ()
    """The networks that its calls come from."""
    address: str | None = None
    """The SIP URI that calls to numbers go out to; None: it only takes calls in."""
    numbers: tuple[str, ...] = ()
    """Which dialled numbers take this trunk: literal, or with ``*`` for any digits."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    srtp: SrtpMode | None = None
    """Whether its calls are encrypted, in and out; None: as all others."""
    register: bool = False
    """Whether we register with it, as `identity`."""
    expires: int = 3600
    """Seconds that a registration is asked for."""
    user: str | None = None
    """The user part of `identity` and of the Contact that is registered."""
    domain: str | None = None
    """The host of `identity`, and of From in its calls."""
    health: float | None = None
    """Seconds between two OPTIONS to each of its destinations; None: none are sent."""
    patience: float = 5.0
    """Seconds that a destination has for its first response to a call."""
    max_calls: int | None = None
    max_rate: float | None = None
    """Calls a second."""
    incoming: tuple[Rule, ...] = ()
    """What becomes of the numbers of its calls that come in, the caller's and the called one."""
    outgoing: tuple[Rule, ...] = ()
    """What becomes of the dialled number of a call that goes out."""
    caller: tuple[Rule, ...] = ()
    """And of the caller's."""
    caller_id: str | None = None
    """The caller of every call that goes out, whoever calls."""

    trusted: bool = False
    """Whether it is in our trust domain (RFC 3325): its P-Asserted-Identity is believed, and it gets ours."""
    pass_headers: tuple[str, ...] | None = None
    """Headers of a caller's INVITE that its callees get; None: those that all get."""
    redirects: Redirects | None = None
    """What becomes of its 3xx; None: as of all others."""
    users: tuple[User, ...] = ()
    """Who calls in by it must be one of them, by digest; without `accept`, from anywhere."""

    @property
    def identity(self) -> str:
        """Its address of record: whom we are to the carrier."""
        host = self.domain
        if host is None:
            rest = (self.address or "sip:localhost").partition(":")[2].partition(";")[0]
            host = rest.partition("]")[0] + "]" if rest.startswith("[") else rest.partition(":")[0]
        return f"sip:{self.user}@{host}" if self.user else f"sip:{host}"


def route(trunks: Sequence[Trunk], number: str) -> Trunk | None:
    """The first trunk with an address and a pattern that `number` matches, or None.

    >>> carrier = Trunk("carrier", address="sip:carrier.example", numbers=("+1*", "911"))
    >>> [trunk.name for n in ("+15551230000", "911") if (trunk := route([carrier], n))]
    ['carrier', 'carrier']
    >>> route([carrier], "+4930123456") is None
    True
    """
    return next(iter(routes(trunks, number)), None)


def routes(trunks: Sequence[Trunk], number: str) -> list[Trunk]:
    """Every trunk with an address and a pattern that `number` matches, in their order."""
    return [
        trunk
        for trunk in trunks
        if trunk.address is not None and any(_matches(number, pattern) for pattern in trunk.numbers)
    ]


def literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is, without scope and as IPv4 where it is that in IPv6; None: it is a name."""
    try:
        address = ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return address if isinstance(address, IPv4Address) else address.ipv4_mapped or address


def origin(trunks: Sequence[Trunk], host: str) -> Trunk | None:
    """The first trunk that accepts calls from `host`, an IP address; None when there is none.

    >>> from ipaddress import ip_network
    >>> origin([Trunk("carrier", accept=(ip_network("192.0.2.0/24"),))], "::ffff:192.0.2.7").name
    'carrier'
    """
    address = literal(host)
    if address is None:
        return None
    return next((trunk for trunk in trunks if any(address in network for network in trunk.accept)), None)


def owner(trunks: Sequence[Trunk], host: str, name: str | None) -> Trunk | None:
    """Whose a call is: that of the trunk that its caller has shown to be of, otherwise by its address."""
    if name is None:
        return origin(trunks, host)
    return next((trunk for trunk in trunks if trunk.name == name), None)


def _matches(number: str, pattern: str) -> bool:
    # fnmatch's "[...]" and "?" mean nothing in a dial plan; only "*" is special.
    literal = pattern.replace("[", "[[]").replace("?", "[?]")
    return fnmatchcase(number, literal)
