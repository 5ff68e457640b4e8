"""Who is meant: from SIP URIs to the numbers and addresses that flows speak of, and back."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from forkproxy.errors import SignallingError
from forkproxy.flow.actions import Connect
from forkproxy.model import SrtpMode
from forkproxy.numbers import rewrite
from forkproxy.signalling.trunks import Trunk, origin, routes

NUMBER = re.compile(r"\+?[0-9*#]{2,}")
_URI = re.compile(
    r"(?P<scheme>sips?):(?:(?P<user>[^@\s<>\"]*)@)?(?P<host>\[[0-9a-f:.%]+\]|[\w.-]+)(?P<rest>[:;?][^\s<>\"]*)?",
    re.IGNORECASE | re.ASCII,
)


class NoRoute(SignallingError):
    """No trunk takes this number, or the address is not one that can be called."""

    sip_status = 404


@dataclass(frozen=True, slots=True)
class Target:
    """Where a second leg goes, and how it identifies itself."""

    uri: str
    username: str | None = None
    password: str | None = None
    via: Trunk | None = None
    """The trunk; None: the flow named the address."""

    @property
    def srtp(self) -> SrtpMode | None:
        """What the trunk says about encryption; None: nothing."""
        return None if self.via is None else self.via.srtp

    @property
    def trunk(self) -> str | None:
        """The trunk's name."""
        return None if self.via is None else self.via.name

    def caller(self, caller_id: str | None, caller: str, local_host: str) -> str:
        """The From URI: as the trunk shows callers, otherwise as the flow does, otherwise the caller's."""
        if self.via is None:
            return caller_uri(caller_id, caller, local_host)
        wanted = (self.via.caller_id or caller_id or caller).strip()
        number = re.sub(r"[\s().-]", "", wanted)
        if NUMBER.fullmatch(number):
            wanted = rewrite(self.via.caller, number)
        return caller_uri(wanted, caller, self.via.domain or local_host)


def party(uri: str) -> str:
    """A party as `trigger.call.From` and `To` give it: the number of a URI that is one, else `sip:user@host`.

    >>> party("sip:+15551230000@carrier.example;user=phone")
    '+15551230000'
    >>> party("sip:alice@10.0.0.7:5060;transport=tcp")
    'sip:alice@10.0.0.7'
    """
    if uri.lower().startswith("tel:"):
        return uri[4:].partition(";")[0]
    match = _URI.match(uri)
    if match is None:
        return uri
    user = (match["user"] or "").partition(";")[0].partition(":")[0]
    if NUMBER.fullmatch(user):
        return user
    return f"sip:{user}@{match['host']}" if user else f"sip:{match['host']}"


def caller_uri(caller_id: str | None, caller: str, local_host: str) -> str:
    """The From URI of a second leg: the flow's caller_id, otherwise the caller, at our address."""
    wanted = (caller_id or caller).strip()
    local_host = f"[{local_host}]" if ":" in local_host else local_host
    if wanted.lower().startswith(("sip:", "sips:")):
        match = _URI.match(wanted)
        if match is None:
            return f"sip:anonymous@{local_host}"
        user = f"{match['user']}@" if match["user"] else ""
        return f"sip:{user}{match['host']}"
    if wanted.startswith("client:"):
        wanted = wanted[len("client:") :]
    user = re.sub(r"[^A-Za-z0-9_.!~*'()&=+$,-]", "", wanted) or "anonymous"
    return f"sip:{user}@{local_host}"


def target(connect: Connect, trunks: Sequence[Trunk]) -> Target:
    """Where a connect-call-to widget leads: the first of `targets`."""
    return targets(connect, trunks)[0]


def targets(
    connect: Connect, trunks: Sequence[Trunk], up: Callable[[str], bool] = lambda _name: True
) -> list[Target]:
    """Where a connect-call-to widget leads, and where next if that fails.

    That is by each trunk that takes the number, those that are `up` first.

    Raises:
        NoRoute: no trunk takes the number, or `to` is not an address.
    """
    to = connect.to.strip()
    if connect.noun == "sip":
        uri = to if to.lower().startswith(("sip:", "sips:")) else f"sip:{to}"
        if _URI.fullmatch(uri) is None:
            raise NoRoute(f"{to!r} is not a SIP address")
        return [Target(uri, connect.username, connect.password)]
    number = re.sub(r"[\s().-]", "", to)
    if NUMBER.fullmatch(number) is None:
        raise NoRoute(f"{to!r} is not a telephone number")
    found = [_by(trunk, number) for trunk in routes(trunks, number)]
    if not found:
        raise NoRoute(f"no trunk takes calls to {number}")
    return sorted(found, key=lambda each: not up(each.trunk or ""))


def elsewhere(
    uri: str, trunks: Sequence[Trunk], up: Callable[[str], bool] = lambda _name: True
) -> list[Target]:
    """Where a call goes that a peer (a 3xx, a REFER) sends to `uri`: only where the trunks let calls go.

    A number is dialled as one, by the trunks that take it, whatever host it was given with: so nobody can
    make us call where the flows could not. A name is called at the host, if that is a trunk's.

    Raises:
        NoRoute: no trunk allows it.
    """
    match = _URI.fullmatch(uri)
    if match is None and not uri.lower().startswith("tel:"):
        raise NoRoute(f"{uri[:100]!r} is not a SIP address")
    user = uri[4:] if match is None else match["user"] or ""
    user = unquote(user.partition(";")[0].partition(":")[0])
    number = re.sub(r"[\s().-]", "", user)
    if match is None or not user[:1].isalpha():
        if NUMBER.fullmatch(number) is None:
            raise NoRoute(f"{uri[:100]!r} names neither a number nor a user")
        found = [_by(trunk, number) for trunk in routes(trunks, number)]
        if not found:
            raise NoRoute(f"no trunk takes calls to {number}")
        return sorted(found, key=lambda each: not up(each.trunk or ""))
    host = match["host"].strip("[]").lower()
    address = uri.partition("?")[0]
    for trunk in trunks:
        if trunk.address is not None and host_of(trunk.address).lower() == host:
            return [Target(address, trunk.username, trunk.password, trunk)]
    via = origin(trunks, host)
    if via is None:
        raise NoRoute(f"no trunk is at {host}")
    return [Target(address, via=via)]


def _by(trunk: Trunk, number: str) -> Target:
    match = _URI.fullmatch(trunk.address or "")
    if match is None:
        raise NoRoute(f"trunk {trunk.name!r} has no usable address: {trunk.address!r}")
    dialled = quote(rewrite(trunk.outgoing, number), safe="+*")
    uri = f"{match['scheme']}:{dialled}@{match['host']}{match['rest'] or ''}"
    return Target(uri, trunk.username, trunk.password, trunk)


def host_of(uri: str) -> str:
    """The host of a SIP URI, IPv6 without brackets; empty when there is none.

    >>> host_of("sip:bob@[::1]:5080;transport=tcp")
    '::1'
    """
    match = _URI.match(uri)
    return match["host"].strip("[]") if match else ""


def audio_peer(offer: bytes | None, signalled: str) -> str:
    """Whose way to us the audio takes: where the SIP comes from, unless the audio is of the other IP family.

    >>> audio_peer(b"v=0\\r\\nc=IN IP4 192.0.2.7\\r\\n", "2001:db8::7")
    '192.0.2.7'
    """
    for line in (offer or b"").splitlines():
        if line.startswith(b"c=IN IP"):
            host = line[6:].split()[-1].decode("ascii", "replace").partition("/")[0]
            if is_literal(host) and not ipaddress.ip_address(host).is_unspecified:
                return signalled if (":" in host) is (":" in signalled) else host
    return signalled


def is_literal(host: str) -> bool:
    """Whether a host is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
