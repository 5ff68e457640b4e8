"""Traces of single calls, on demand: their SIP and their streams' events, as a pcap file for each call.

What is asked for is a *wish*: for a call that is up, or for calls to come by number or trunk. A call that
fulfils it is *captured* from its INVITE to a moment after its end. Keys and passwords are masked with as many
asterisks, so that lengths stay true. Nothing waits for a file: a thread writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import queue
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from forkproxy.bridge.services import Watch
from forkproxy.control import pcap
from forkproxy.control.ladder import SYSLOG
from forkproxy.model import Address
from forkproxy.signalling import TraceMessage
from forkproxy.signalling.own import route_from

log = logging.getLogger(__name__)

MOST_WISHES = 20
MOST_CALLS = 100
"""Calls that are captured at a time, and that one wish may ask for."""
MOST_OCTETS = 5_000_000
"""Of one file; what comes after it is counted and not written."""
LONGEST = 86_400.0
"""Seconds that a wish waits for its calls at the most."""
AFTER = 2.0
"""Seconds that a call is captured beyond its end: the last answers."""
RECENT = 400
"""Messages of calls that are not known yet, which are kept for a moment."""
WAITING = 10_000
"""Packets that wait for a slow disk before further ones are lost."""

_CALL_ID = re.compile(rb"^(?:call-id|i)[ \t]*:[ \t]*([^\r\n]+?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_SECRETS = re.compile(
    rb"(\binline:|\bmikey[ \t]+|\bresponse[ \t]*=[ \t]*\"|\bAuthorization[ \t]*:[ \t]*Basic[ \t]+)"
    rb"([^\s|;\",]+)",
    re.IGNORECASE,
)


def masked(data: bytes) -> bytes:
    """A SIP message without SRTP keys, digests and passwords, of the same length.

    >>> masked(b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^31")
    b'a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:********|2^31'
    """
    return _SECRETS.sub(lambda found: found[1] + b"*" * len(found[2]), data)


@dataclass(slots=True)
class Wish:
    """What somebody wants to be captured."""

    id: int
    sid: str | None
    number: str | None
    trunk: str | None
    left: int
    """Calls that it still wants."""
    until: float
    """On the loop's clock."""
    files: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Capture:
    """A call that is being captured."""

    file: Path
    octets: int = 0
    cut: int = 0
    """Messages that did not fit."""


@dataclass(slots=True)
class Known:
    """A call that is up."""

    call_ids: list[bytes]
    capture: Capture | None = None


class Captures(Watch):
    """All wishes and captures. Made and used on the event loop's thread."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        """Where the files go; None: nothing is captured."""
        self.on_change: Callable[[], None] = lambda: None
        """Told when `active` may have changed."""
        self.written = 0
        self.lost = 0
        self._wishes: dict[int, Wish] = {}
        self._number = 0
        self._calls: dict[str, Known] = {}
        self._by_call_id: dict[bytes, Capture] = {}
        self._recent: deque[tuple[bytes, TraceMessage]] = deque(maxlen=RECENT)
        self._queue: queue.Queue[tuple[Path, bytes] | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None

    @property
    def active(self) -> bool:
        """Whether messages are wanted."""
        return bool(self._wishes or self._by_call_id)

    # What operators ask

    def start(
        self,
        *,
        sid: str | None = None,
        number: str | None = None,
        trunk: str | None = None,
        calls: int = 1,
        seconds: float = 600.0,
    ) -> dict[str, Any] | str:
        """Capture a call that is up, or the next `calls` calls of a number or trunk within `seconds`.

        What was begun, or why it cannot be.
        """
        now = asyncio.get_running_loop().time()
        self._forget_old(now)
        if self.folder is None:
            return "trace.folder is not set"
        if len([each for each in (sid, number, trunk) if each]) != 1:
            return "say one of number and trunk"
        if not 1 <= calls <= MOST_CALLS or not 0 < seconds <= LONGEST:
            return f"calls is 1 to {MOST_CALLS}, seconds up to {LONGEST:.0f}"
        if len(self._wishes) >= MOST_WISHES:
            return f"{MOST_WISHES} traces are waiting already"
        known = self._calls.get(sid) if sid is not None else None
        if sid is not None and known is None:
            return "no such call"
        self._number += 1
        wish = Wish(self._number, sid, number, trunk, calls, now + seconds)
        self._wishes[wish.id] = wish
        if sid is not None and known is not None:
            self._fulfil(wish, sid, known)
        log.info("tracing", extra={"trace": wish.id, "number": number, "trunk": trunk, "call_sid": sid})
        self.on_change()
        return self._describe(wish, now)

    def stop(self, number: int) -> bool:
        """Wait for a wish's calls no more; those that are captured go on. False: there is no such wish."""
        found = self._wishes.pop(number, None)
        self.on_change()
        return found is not None

    def describe(self) -> dict[str, Any]:
        """What is wished and captured."""
        now = asyncio.get_running_loop().time()
        self._forget_old(now)
        return {
            "waiting": [self._describe(wish, now) for wish in self._wishes.values()],
            "running": [
                {"sid": sid, "file": str(known.capture.file), "octets": known.capture.octets}
                for sid, known in self._calls.items()
                if known.capture is not None
            ],
        }

    def counters(self) -> dict[str, int]:
        """By the metrics' names."""
        return {"trace_packets_written": self.written, "trace_packets_lost": self.lost}

    def close(self) -> None:
        """Write what waits; two seconds at the most."""
        self._wishes.clear()
        thread, self._thread = self._thread, None
        if thread is not None:
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=1)
                thread.join(1)

    # What calls tell (forkproxy.bridge.services.Watch)

    def began(self, sid: str, call_id: str, numbers: tuple[str, ...], trunk: str | None) -> None:
        """A call has come in."""
        self._calls[sid] = Known([call_id.encode()])
        self._match(sid, numbers, trunk)

    def goes_out(self, sid: str, number: str, trunk: str | None) -> None:
        """A second leg is begun."""
        self._match(sid, (number,), trunk)

    def dialled(self, sid: str, call_id: str) -> None:
        """One of its second legs has sent an INVITE; with another Call-ID again when it goes on elsewhere."""
        known = self._calls.get(sid)
        if known is not None:
            known.call_ids.append(call_id.encode())
            if known.capture is not None:
                self._join(call_id.encode(), known.capture)

    def stream(self, sid: str, event: Mapping[str, Any]) -> None:
        """Something of one of its streams."""
        known = self._calls.get(sid)
        if known is not None and known.capture is not None:
            text = f"<134>forkproxy: {json.dumps(event, default=str)}"
            here = Address("127.0.0.1", SYSLOG)
            self._write(known.capture, pcap.Packet(time.time(), here, here, text.encode()))

    def ended(self, sid: str) -> None:
        """It is over."""
        known = self._calls.pop(sid, None)
        if known is None or known.capture is None:
            return
        capture = known.capture

        def leave() -> None:
            for call_id in known.call_ids:
                self._by_call_id.pop(call_id, None)
            log.info("traced", extra={"call_sid": sid, "file": str(capture.file), "cut": capture.cut})
            self.on_change()

        asyncio.get_running_loop().call_later(AFTER, leave)

    def message(self, message: TraceMessage) -> None:
        """One SIP message, in or out."""
        found = _CALL_ID.search(message.data)
        if found is None:
            return
        capture = self._by_call_id.get(found[1])
        if capture is not None:
            self._take(capture, message)
        elif self.active:  # a second leg's INVITE is seen before it is known whose it is
            self._recent.append((found[1], message))

    # Within

    def _describe(self, wish: Wish, now: float) -> dict[str, Any]:
        return {
            "trace": wish.id,
            "number": wish.number,
            "trunk": wish.trunk,
            "calls_left": wish.left,
            "seconds_left": round(max(wish.until - now, 0)),
            "files": wish.files,
        }

    def _forget_old(self, now: float) -> None:
        old = [wish.id for wish in self._wishes.values() if wish.until <= now]
        for number in old:
            del self._wishes[number]
        if old:
            self.on_change()

    def _match(self, sid: str, numbers: tuple[str, ...], trunk: str | None) -> None:
        """Capture a call if somebody wishes that; what has been seen of it is in `_recent`."""
        known = self._calls.get(sid)
        if not self._wishes or known is None or known.capture is not None:
            return
        self._forget_old(asyncio.get_running_loop().time())
        for wish in list(self._wishes.values()):
            if wish.sid is None and ((wish.number in numbers) if wish.number else wish.trunk == trunk):
                self._fulfil(wish, sid, known)
                break

    def _fulfil(self, wish: Wish, sid: str, known: Known) -> None:
        captured = sum(each.capture is not None for each in self._calls.values())
        if known.capture is None and captured < MOST_CALLS:
            assert self.folder is not None
            known.capture = Capture(self.folder / f"{sid}.pcap")
            self._put(known.capture.file, pcap.header())
            for call_id in known.call_ids:
                self._join(call_id, known.capture)
        if known.capture is not None:
            wish.files.append(str(known.capture.file))
            wish.left -= 1
        if wish.left <= 0:
            self._wishes.pop(wish.id, None)

    def _join(self, call_id: bytes, capture: Capture) -> None:
        """Capture a leg from now on, and what has been seen of it already."""
        self._by_call_id[call_id] = capture
        for known, message in self._recent:
            if known == call_id:
                self._take(capture, message)
        self.on_change()

    def _take(self, capture: Capture, message: TraceMessage) -> None:
        remote, local = message.remote, _own(message.local, message.remote.host)
        source, target = (local, remote) if message.sent else (remote, local)
        self._write(capture, pcap.Packet(message.time, source, target, masked(message.data)))

    def _write(self, capture: Capture, packet: pcap.Packet) -> None:
        try:
            data = pcap.record(packet)
        except ValueError:
            self.lost += 1
            return
        if capture.octets + len(data) > MOST_OCTETS:
            capture.cut += 1
            self.lost += 1
            return
        capture.octets += len(data)
        self._put(capture.file, data)

    def _put(self, file: Path, data: bytes) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait((file, data))
        except queue.Full:
            self.lost += 1

    def _run(self) -> None:
        failed: set[Path] = set()
        while (item := self._queue.get()) is not None:
            file, data = item
            try:
                _append(file, data)
                self.written += 1
            except OSError as error:
                self.lost += 1
                if file not in failed and len(failed) < 1000:
                    failed.add(file)
                    reason = error.strerror or str(error)
                    log.error("a trace cannot be written", extra={"file": str(file), "reason": reason})


def _append(file: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        descriptor = os.open(file, flags, 0o600)
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, flags, 0o600)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _own(local: Address, peer: str) -> Address:
    """Our address as a packet needs it: a socket may listen on all of them, or be known by a name."""
    try:
        if not ipaddress.ip_address(local.host).is_unspecified:
            return local
    except ValueError:
        pass
    return Address(_route(peer), local.port)


@lru_cache(maxsize=1024)
def _route(peer: str) -> str:
    return route_from(peer, ":" in peer)
