"""What the configuration's texts mean: listen URLs, port ranges, networks, trunk addresses, number patterns.

Each function takes a value as the file has it and returns what it means. Each raises `ValueError` with a
sentence that is printed behind the value's place. A value of the wrong type raises likewise.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from forkproxy.document import did_you_mean
from forkproxy.model import Address
from forkproxy.numbers import Rule

Network = IPv4Network | IPv6Network

TRANSPORTS = ("udp", "tcp", "tls")
LATER = ("ws", "wss")
"""Transports that SIP has and this version does not."""

CODECS = ("PCMU", "PCMA", "G722", "L16/8000", "L16/16000", "L16/24000", "L16/48000")
"""What can be offered to a phone that is called, whatever the calling one speaks."""

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.IGNORECASE)
_HOST_PORT = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::([^:]*))?")
_HOST_NAME = re.compile(r"(?=.{1,253}$)(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)
_PORTS = re.compile(r"\s*(\d{1,5})\s*-\s*(\d{1,5})\s*", re.ASCII)
_TRUNK = re.compile(r"(sips?):([^;?]*)((?:;[^;?]*)*)(\?.*)?", re.IGNORECASE)
_PATTERN = re.compile(r"[+0-9A-Za-z*#._-]{1,64}")
_ACCOUNT = re.compile(r"AC[0-9a-fA-F]{32}")
_USER = re.compile(r"[A-Za-z0-9_.!~*'()&=+$,;?/%-]+")
_NUMBER = re.compile(r"\+[1-9][0-9]{1,14}")


class Ports(NamedTuple):
    """A range of ports, both ends included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


def text(value: object) -> str:
    """`value` if it is a text with no control character in it."""
    if not isinstance(value, str):
        names = {bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
        if value is None:
            raise ValueError("must not be null")
        raise ValueError(f"{names.get(type(value), 'something else')} found, string expected")
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("has a control character in it")
    return value


def listen_url(value: object) -> str:
    """Where SIP is listened for, ``udp://ADDRESS:PORT``, ``tcp://`` or ``tls://``; port 0 picks a free one.

    >>> listen_url("UDP://[::1]:05060")
    'udp://[::1]:5060'
    """
    url = text(value)
    match = _URL.fullmatch(url)
    scheme = match[1].lower() if match else ""
    if match is None or scheme not in TRANSPORTS:
        if scheme in LATER:
            raise ValueError(
                f"{scheme}:// is not in this version of forkproxy; udp://, tcp:// and tls:// are"
            )
        hint = did_you_mean(scheme, TRANSPORTS) if scheme else ""
        raise ValueError(f"{url!r} is not a listen URL (udp://ADDRESS:PORT, tcp:// or tls://){hint}")
    rest = match[2]
    if rest.rstrip("/") != rest or "/" in rest or "?" in rest:
        raise ValueError(f"{url!r} has a path; a listen URL ends with the port")
    try:
        return f"{scheme}://{listen_address(rest)}"
    except ValueError as error:
        raise ValueError(f"{url!r}: {error}") from None


def split_listen_url(url: str) -> tuple[str, Address]:
    """The transport and the address of a `listen_url`."""
    scheme, rest = url.split("://")
    return scheme, listen_address(rest)


def listen_address(value: object) -> Address:
    """An address of this machine and a port, ``127.0.0.1:8080`` or ``[::1]:8080``."""
    host, port = _split(text(value))
    if not host:
        raise ValueError("has no address; 0.0.0.0 listens on all")
    if port is None:
        raise ValueError(f"has no port; {value}:PORT expected, 0 picks a free one")
    return Address(ip(host), port)


def ip(value: object) -> str:
    """An IP address, without brackets."""
    host = text(value)
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return str(ip_address(bare))
    except ValueError:
        hint = "; 127.0.0.1 is" if host == "localhost" else ""
        raise ValueError(f"{host!r} is not an IP address{hint}") from None


def public_ip(value: object) -> str:
    """An IP address that others can send to."""
    address = ip(value)
    if ip_address(address).is_unspecified:
        raise ValueError(f"{address} is no address that a peer can send to")
    return address


def advertised(value: object) -> str:
    """The public ``host`` or ``host:port``."""
    host, port = _split(text(value))
    if host.startswith("[") or re.fullmatch(r"[0-9.]+", host):
        host = public_ip(host)
    elif not _HOST_NAME.fullmatch(host):
        raise ValueError(f"{value!r} is not a host or host:port")
    if port == 0:
        raise ValueError("port 0 is none that a peer can send to")
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


def rtp_ports(value: object) -> Ports:
    """``FIRST-LAST``: RTP takes an even port and RTCP the next, so the range begins even and ends odd."""
    written = text(value)
    match = _PORTS.fullmatch(written)
    if match is None:
        raise ValueError(f"{written!r} is not a port range (FIRST-LAST, as in 20000-29999)")
    ports = Ports(int(match[1]), int(match[2]))
    if not 1 <= ports.first <= 65535 or not 1 <= ports.last <= 65535:
        raise ValueError(f"{ports} is beyond 1-65535")
    if ports.first > ports.last:
        raise ValueError(f"{ports} ends before it begins; did you mean '{ports.last}-{ports.first}'?")
    if ports.first % 2 or not ports.last % 2:
        first, last = ports.first + ports.first % 2, ports.last - (1 - ports.last % 2)
        hint = f"; did you mean '{first}-{last}'?" if first < last else ""
        raise ValueError(
            f"{ports}: RTP takes an even port and RTCP the next, so it must begin even and end odd{hint}"
        )
    return ports


def network(value: object) -> Network:
    """An address or a network, ``192.0.2.7`` or ``192.0.2.0/24``."""
    written = text(value)
    try:
        return ip_network(written)
    except ValueError:
        try:
            wider = ip_network(written, strict=False)
        except ValueError:
            raise ValueError(f"{written!r} is not an address or network (as in 192.0.2.0/24)") from None
        single = written.partition("/")[0]
        raise ValueError(
            f"{written!r} has bits set behind its prefix; did you mean '{wider}' or '{single}'?"
        ) from None


def trunk_address(value: object) -> str:
    """Where a trunk's calls go out: ``sip:host``, with a port and ``;transport=tcp`` or ``tls`` if wanted."""
    uri = text(value)
    match = _TRUNK.fullmatch(uri)
    if match is None:
        hint = f"; did you mean 'sip:{uri}'?" if _host_port(uri) else ""
        raise ValueError(f"{uri!r} is not a SIP URI (sip:HOST:PORT){hint}")
    scheme, target, parameters, headers = match.groups()
    if "@" in target:
        raise ValueError(f"{uri!r} names a user; the dialled number goes there")
    if headers:
        raise ValueError(f"{uri!r} has headers behind '?', which a trunk's address cannot have")
    if not _host_port(target):
        raise ValueError(f"{uri!r} has no usable host and port")
    for parameter in filter(None, parameters.lower().split(";")):
        name, _, setting = parameter.partition("=")
        if name == "transport" and setting == "udp" and scheme.lower() == "sips":
            raise ValueError("sips: goes over TLS, not over UDP")
        if name != "transport" or setting in TRANSPORTS:
            continue
        if setting in LATER:
            raise ValueError(f"transport={setting} is not in this version of forkproxy; udp, tcp and tls are")
        raise ValueError(
            f"{setting!r} is not a transport{did_you_mean(setting, TRANSPORTS)}; udp, tcp and tls are"
        )
    return uri


def nameserver(value: object) -> Address:
    """A DNS server: an address, with a port if it is not 53."""
    written = text(value)
    try:
        return Address(ip(written), 53)
    except ValueError:
        address = listen_address(written)
    if address.port == 0:
        raise ValueError("port 0 is none that can be asked")
    return address


def rewrite_rule(value: object) -> Rule:
    """``PATTERN -> NUMBER``, with one ``*`` on each side at the most."""
    return Rule.parse(text(value))


def header_pattern(value: object) -> str:
    """The name of a header, ``*`` in it standing for any characters."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9.!%*_+`'~-]{2,128}", value, re.ASCII):
        raise ValueError("must be the name of a header, such as P-Asserted-Identity or X-*")
    return value


def number_pattern(value: object) -> str:
    """Dialled numbers: as dialled, ``*`` stands for any characters."""
    pattern = text(value)
    if not _PATTERN.fullmatch(pattern):
        raise ValueError(
            f"{pattern!r} is not a number pattern (digits, + and letters; * for any, as in +49*)"
        )
    return pattern


def codec(value: object) -> str:
    """An audio codec by its name in SDP, with the clock rate where it has several.

    >>> codec("g722"), codec("L16/8000")
    ('G722', 'L16/8000')
    """
    written = text(value)
    name = written.upper()
    if name in CODECS:
        return name
    if name == "OPUS":
        raise ValueError("Opus is not transcoded; it cannot be offered beside what the caller speaks")
    if name in ("CN", "TELEPHONE-EVENT"):
        raise ValueError(f"{written!r} is no audio codec; it is offered where the caller has it")
    hint = "; it needs a rate, as in L16/8000" if name == "L16" else did_you_mean(name, CODECS)
    raise ValueError(f"{written!r} is not a codec that can be offered ({', '.join(CODECS)}){hint}")


def account_sid(value: object) -> str:
    """``AC`` and 32 hexadecimal digits."""
    sid = text(value)
    if not _ACCOUNT.fullmatch(sid):
        raise ValueError("is not an account sid ('AC' and 32 hexadecimal digits)")
    return sid


def flow_key(value: object) -> str:
    """``default``, ``siprec``, or what is called: a number, an extension or a name (RFC 3261's `user`)."""
    key = text(value)
    if key != "default" and (key.lower() == "default" or not _USER.fullmatch(key)):
        hint = did_you_mean(key, ["default"]) or ", a number as in +15551230000 or a user's name"
        raise ValueError(f"is not 'default'{hint}")
    return key


def host_of(target: str) -> str:
    """The host of ``host``, ``host:port`` or ``[host]:port``, without brackets.

    >>> host_of("[2001:db8::1]:5060"), host_of("sip.example.com")
    ('2001:db8::1', 'sip.example.com')
    """
    return _split(target)[0].strip("[]")


def family(advertised: str) -> int:
    """4 or 6, the version of an address that is advertised; 0 for a name.

    >>> family("[2001:db8::1]:5060")
    6
    """
    for host in (advertised, advertised.rpartition(":")[0].strip("[]"), advertised.strip("[]")):
        try:
            return ip_address(host).version
        except ValueError:
            continue
    return 0


def overlap(one: Address, other: Address) -> bool:
    """True: two sockets of one transport cannot be bound to both."""
    if one.port != other.port or one.port == 0:
        return False
    first, second = ip_address(one.host), ip_address(other.host)
    if first.version != second.version:
        return False
    return first == second or first.is_unspecified or second.is_unspecified


def _host_port(target: str) -> bool:
    try:
        host, port = _split(target)
        if host.startswith("["):
            IPv6Address(host[1:-1])
        elif re.fullmatch(r"[0-9.]+", host):
            IPv4Address(host)
    except ValueError:
        return False
    return port != 0 and (host.startswith("[") or _HOST_NAME.fullmatch(host) is not None)


def _split(target: str) -> tuple[str, int | None]:
    """The host (IPv6 in brackets) and the port."""
    if target.count(":") > 1 and not target.startswith("["):
        raise ValueError(f"{target!r}: an IPv6 address stands in brackets, as in [::1]:5060")
    match = _HOST_PORT.fullmatch(target)
    if match is None:
        raise ValueError(f"{target!r} is not HOST:PORT")
    host, port = match.groups()
    if port is None:
        return host, None
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError(f"{port!r} is not a port (0 to 65535)")
    return host, int(port)


def realm(value: object) -> str:
    """A realm of digest authentication: text that needs no escape in quotes."""
    if not isinstance(value, str) or not re.fullmatch(r"[ !#-\[\]-~]{1,100}", value):
        raise ValueError("must be 1 to 100 ASCII characters without quotes and backslashes")
    return value
