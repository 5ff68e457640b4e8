"""What no single value can show: things that must differ, fit one another, or exist on this machine.

Every check looks at the document itself and skips what the model has already complained about, so that one
mistake does not hide another.
"""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from forkproxy.config import values
from forkproxy.config.models import Config
from forkproxy.document import Document
from forkproxy.errors import Problem
from forkproxy.model import Address


def cross_check(document: Document, folder: Path) -> Iterator[Problem]:
    """All of this module's checks."""
    yield from _listeners(document)
    yield from _trunks(document)
    yield from _account(document)
    yield from _ca_file(document, folder, ("streams", "ca_file"))
    yield from _tls(document, folder)
    yield from _flow_keys(document)


def at(document: Document, *path: str | int, default: Any = None) -> Any:
    """The value at `path`, or `default`."""
    try:
        return document.at(path)
    except KeyError:
        return default


def _default(section: str, key: str) -> Any:
    return getattr(Config.model_fields[section].get_default(), key)


def _listeners(document: Document) -> Iterator[Problem]:
    """Two sockets cannot share a port, and SIP's must not lie among RTP's."""
    urls = at(document, "sip", "listen", default=list(_default("sip", "listen")))
    sockets: list[tuple[tuple[str | int, ...], str, Address]] = []
    for index, url in enumerate(urls if isinstance(urls, list) else ()):
        try:
            sockets.append((("sip", "listen", index), *values.split_listen_url(values.listen_url(url))))
        except ValueError:
            continue
    try:
        api = values.listen_address(at(document, "api", "listen", default=str(_default("api", "listen"))))
        sockets.append((("api", "listen"), "tcp", api))
    except ValueError:
        api = None
    for (_, scheme, address), (path, other_scheme, other) in itertools.combinations(sockets, 2):
        if scheme == other_scheme and values.overlap(address, other):
            yield document.problem(path, f"{other} is taken by {scheme}://{address}")
    try:
        ports = values.rtp_ports(at(document, "media", "ports", default=str(_default("media", "ports"))))
    except ValueError:
        return
    for path, scheme, address in sockets:
        if scheme == "udp" and ports.first <= address.port <= ports.last:
            message = f"port {address.port} lies in media.ports ({ports}); RTP cannot use it then"
            yield document.problem(path, message, warning=True)
    try:
        media = ip_address(values.ip(at(document, "media", "listen", default="::")))
    except ValueError:
        media = ip_address("::")
    for path, _, address in sockets:
        if path[0] == "sip" and media.version != ip_address(address.host).version and str(media) != "::":
            message = f"media.listen is {media}: no audio for phones that have IPv{10 - media.version} only"
            yield document.problem(path, message, warning=True)
    if api is not None and not ip_address(api.host).is_loopback:
        message = f"{api} can be reached from other machines, and it asks for no password"
        yield document.problem(("api", "listen"), message, warning=True)


def _trunks(document: Document) -> Iterator[Problem]:
    names: dict[str, int] = {}
    users: dict[str, int] = {}
    trunks = at(document, "trunks")
    for index, trunk in enumerate(trunks if isinstance(trunks, list) else ()):
        if not isinstance(trunk, dict):
            continue
        path = ("trunks", index)
        name = trunk.get("name")
        if isinstance(name, str) and names.setdefault(name, index) != index:
            yield document.problem((*path, "name"), f"{name!r} is also the name of #/trunks/{names[name]}")
        for one, other in (("username", "password"), ("password", "username")):
            if trunk.get(one) is not None and trunk.get(other) is None:
                yield document.problem((*path, one), f"needs {other} next to it", key=True)
        wanting = [key for key in ("numbers", "username", "health") if trunk.get(key)]
        wanting += ["register"] if trunk.get("register") is True else []
        if trunk.get("register") is True and not (trunk.get("user") or trunk.get("username")):
            yield document.problem((*path, "register"), "needs user or username next to it", key=True)
        for user in trunk["users"] if isinstance(trunk.get("users"), dict) else ():
            if users.setdefault(user, index) != index:
                message = f"{user!r} is also a user of #/trunks/{users[user]}"
                yield document.problem((*path, "users", user), message, key=True)
        if trunk.get("register") is True and not trunk.get("accept"):
            message = "registers for calls and accepts none: accept needs the carrier's addresses"
            yield document.problem((*path, "register"), message, key=True, warning=True)
        if trunk.get("address") is None and wanting:
            key = wanting[0]
            yield document.problem((*path, key), "needs address next to it: where the calls go out", key=True)
        callers = any(trunk.get(key) for key in ("accept", "users", "users_file"))
        if not callers and trunk.get("address") is None:
            message = "accepts no call and sends none: it has neither accept, users nor address"
            yield document.problem(path, message, warning=True)
        elif trunk.get("address") is not None and not trunk.get("numbers"):
            message = "sends no call: it has an address but no numbers"
            yield document.problem((*path, "address"), message, key=True, warning=True)
        yield from _networks(document, (*path, "accept"), trunk.get("accept"))
        yield from _shadowed(document, (*path, "numbers"), trunk.get("numbers"))


def _networks(document: Document, path: tuple[str | int, ...], networks: object) -> Iterator[Problem]:
    for index, written in enumerate(networks if isinstance(networks, list) else ()):
        try:
            network = values.network(written)
        except ValueError:
            continue
        if network.prefixlen == 0:
            message = f"{network}: everybody on the network may call in"
            yield document.problem((*path, index), message, warning=True)


def _shadowed(document: Document, path: tuple[str | int, ...], numbers: object) -> Iterator[Problem]:
    """A pattern behind one of its trunk that takes all of its numbers says nothing.

    (The same numbers on two trunks are no mistake: the second takes over when the first fails.)
    """
    patterns: list[str] = []
    for index, pattern in enumerate(numbers if isinstance(numbers, list) else ()):
        if not isinstance(pattern, str):
            continue
        for earlier in patterns:
            if earlier == pattern or (earlier.endswith("*") and pattern.startswith(earlier[:-1])):
                message = f"{pattern!r} says nothing: {earlier!r} before it takes its numbers, too"
                yield document.problem((*path, index), message, warning=True)
                break
        patterns.append(pattern)


def _account(document: Document) -> Iterator[Problem]:
    account = at(document, "account")
    if isinstance(account, dict) and account.get("auth_token") and not account.get("sid"):
        message = "stands without a sid; the one that was made up at the first start goes with it"
        yield document.problem(("account", "auth_token"), message, key=True, warning=True)


def _ca_file(document: Document, folder: Path, path: tuple[str, ...]) -> Iterator[Problem]:
    written = at(document, *path)
    if not isinstance(written, str):
        return
    try:
        text = (folder / Path(written).expanduser()).read_text("ascii", "replace")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except ssl.SSLError:
        yield document.problem(path, f"{written!r} holds no certificate in PEM's form")
    except (OSError, RuntimeError, ValueError) as error:
        yield document.problem(path, f"{written!r} cannot be read: {reason(error)}")


def _tls(document: Document, folder: Path) -> Iterator[Problem]:
    """Certificates that can be used, and something that needs them has them."""
    tls = at(document, "sip", "tls")
    tls = tls if isinstance(tls, dict) else {}
    urls = at(document, "sip", "listen")
    listening = [
        index
        for index, url in enumerate(urls if isinstance(urls, list) else ())
        if isinstance(url, str) and url.lower().startswith("tls://")
    ]
    if listening and tls.get("certificate") is None:
        yield document.problem(("sip", "listen", listening[0]), "needs a certificate: sip.tls.certificate")
    if tls.get("key") is not None and tls.get("certificate") is None:
        yield document.problem(("sip", "tls", "key"), "needs certificate next to it", key=True)
    trunks = at(document, "trunks")
    for index, trunk in enumerate(trunks if isinstance(trunks, list) else ()):
        address = trunk.get("address") if isinstance(trunk, dict) else None
        secure = isinstance(address, str) and (
            address.lower().startswith("sips:") or ";transport=tls" in address.lower()
        )
        if secure and not listening:
            message = "needs a tls:// address in sip.listen, whose certificate it shows"
            yield document.problem(("trunks", index, "address"), message)
    yield from _ca_file(document, folder, ("sip", "tls", "ca_file"))
    files: list[tuple[tuple[str | int, ...], str, object]] = [
        (("sip", "tls", "certificate"), str(tls.get("certificate")), tls.get("key"))
    ]
    hosts = tls.get("hosts")
    if isinstance(hosts, dict):
        files += [(("sip", "tls", "hosts", name), file, None) for name, file in hosts.items()]
    for path, file, key in files:
        if not isinstance(at(document, *path), str):
            continue
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                folder / Path(file).expanduser(),
                folder / Path(key).expanduser() if isinstance(key, str) else None,
                password=_no_passphrase,
            )
        except ssl.SSLError as error:
            what = f"{file!r}" if key is None else f"{file!r} and {key!r}"
            why = error.reason or str(error)
            yield document.problem(path, f"{what}: no certificate (PEM) and its key: {why}")
        except (OSError, RuntimeError, ValueError) as error:
            what = f"{file!r}" if key is None else f"{file!r} or {key!r}"
            yield document.problem(path, f"{what} cannot be read: {reason(error)}")


def _no_passphrase() -> str:
    """OpenSSL would otherwise ask on the terminal."""
    raise ValueError("its key has a passphrase; store it without one")


def _flow_keys(document: Document) -> Iterator[Problem]:
    flows = at(document, "flows")
    for key in flows if isinstance(flows, dict) else ():
        try:
            values.flow_key(key)
        except ValueError as error:
            yield document.problem(("flows", key), str(error), key=True)


def reason(error: Exception) -> str:
    """Why a file cannot be read, without the file's name, which stands there already."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def missing_flows(
    document: Document, folder: Path, flows: Mapping[str, object]
) -> Iterator[tuple[str, Problem]]:
    """The keys whose flow file cannot be read, each with the problem at the configuration's line."""
    for key, written in flows.items():
        if not isinstance(written, str):
            continue
        try:
            with open(folder / Path(written).expanduser(), "rb") as stream:
                stream.read(1)
        except (OSError, RuntimeError, ValueError) as error:
            yield key, document.problem(("flows", key), f"{written!r} cannot be read: {reason(error)}")


def names(document: Document) -> Sequence[str]:
    """The instances that flows may name; one with a mistake in its settings is still known by its name."""
    connectors = at(document, "connectors")
    return tuple(connectors) if isinstance(connectors, dict) else ()


def allows_ws(document: Document) -> bool:
    """Whether flows may stream to ``ws://``."""
    return at(document, "streams", "allow_ws") is True
