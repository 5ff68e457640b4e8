"""Relays to be measured: forkproxy's, the floor that any relay in user space stands on, and rtpengine."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers import Generator, Helper, compiled, pin
from tests.support.processes import Process, free_ports, until

RTPENGINE = "rtpengine"


class Relay(Helper):
    """A relay of the generator's calls, in a process of its own, on the second core."""

    def __init__(self, generator: Generator, *command: str | Path) -> None:
        super().__init__(*command)
        self.parties = generator.ports
        self.ports: list[int] = []
        """Where the parties send to: caller and callee of each call in turn."""
        self.empty = 0
        """Bytes of resident memory before the first call."""

    @property
    def pid(self) -> int:
        return self.process.pid

    def cpu(self) -> float:
        """Seconds of CPU that all its threads have used, by the scheduler's sum."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def rss(self) -> int:
        """Resident memory in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    async def figures(self) -> dict[str, Any]:
        """What the relay itself has counted."""
        return {}


class Floor(Relay):
    """`floor.c`; with `copies`, every packet is sent a second time."""

    def __init__(self, generator: Generator, folder: Path, *, copies: bool = False) -> None:
        more = [str(generator.copies)] if copies else []
        super().__init__(generator, compiled("floor", folder), str(generator.calls), *more)

    async def __aenter__(self) -> Floor:
        await self.start()
        self.write("".join(f"{port}\n" for port in self.parties))
        self.ports = [int(port) for port in (await self.line()).split()]
        pin(self.pid, [1])
        return self


class Forkproxy(Relay):
    """The relay of forkproxy, by itself; `taps` and `read` as `relayed.py` has them.

    With `copies`, both tracks of each call are sent on as RTP, as to a recorder.
    """

    def __init__(
        self,
        generator: Generator,
        folder: Path,
        *,
        taps: str = "none",
        read: str = "idle",
        copies: bool = False,
    ) -> None:
        super().__init__(generator)
        self._generator = generator
        self._command = [sys.executable, "-m", "benchmarks.relayed", taps, read]
        self._copies = copies

    async def __aenter__(self) -> Forkproxy:
        self._command.append(str(self._generator.copies if self._copies else 0))
        await self.start()
        assert await self.line() == "up"
        self.empty = self.rss()
        pin(self.pid, [1])
        self.write(" ".join(map(str, self.parties)) + "\n")
        self.ports = [int(port) for port in (await self.line()).split()]
        return self

    async def figures(self) -> dict[str, Any]:
        self.write("figures\n")
        return json.loads(await self.line())  # type: ignore[no-any-return]


class Rtpengine(Relay):
    """rtpengine without its kernel module, with one thread for packets: it has one core; more cost more."""

    def __init__(self, generator: Generator, folder: Path, *, subscribed: bool = False) -> None:
        """With `subscribed`, somebody subscribes to what each party says, and gets it as RTP."""
        super().__init__(generator)
        self._folder = folder / "rtpengine"
        self._generator = generator
        self._subscribed = subscribed

    @property
    def pid(self) -> int:
        return self._daemon.pid

    async def __aenter__(self) -> Rtpengine:
        (port,) = free_ports(1)
        self._daemon = Process(
            "rtpengine",
            [
                *(RTPENGINE, "--foreground", "--table=-1", "--interface=127.0.0.1"),
                *(f"--listen-ng=127.0.0.1:{port}", "--num-threads=1", "--log-stderr", "--log-level=3"),
                *("--port-min=10000", "--port-max=31999", f"--pidfile={self._folder / 'pid'}"),
            ],
            self._folder,
        )
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                control.connect(("127.0.0.1", port))
                control.settimeout(2)
                await until(lambda: _answers(control), timeout=10, what=self._daemon.describe)
                pin(self.pid, [1])
                self.empty = self.rss()
                for call in range(0, len(self.parties), 2):
                    self.ports += _place(control, call, self.parties[call], self.parties[call + 1])
                    if self._subscribed:
                        _subscribe(control, call, self._generator.copies)
        except BaseException:
            self._daemon.kill()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._daemon.kill()


def rtpengine_version() -> str | None:
    """None: it is not installed."""
    if shutil.which(RTPENGINE) is None:
        return None
    said = subprocess.run([RTPENGINE, "--version"], capture_output=True, text=True, check=False)
    return (said.stdout + said.stderr).strip().removeprefix("Version: ")


# rtpengine's control protocol "ng": a cookie, a space, and a bencoded dictionary, over UDP.


def _answers(control: socket.socket) -> bool:
    try:
        return _ask(control, {"command": "ping"})["result"] == "pong"
    except OSError:
        return False


def _place(control: socket.socket, call: int, caller: int, callee: int) -> tuple[int, int]:
    """Set a call up; where its caller and its callee are to send to."""
    tags = {"call-id": f"call-{call}", "from-tag": "caller", "ICE": "remove"}
    to_callee = _ask(control, {**tags, "command": "offer", "sdp": _sdp(caller)})
    answer = {**tags, "command": "answer", "to-tag": "callee", "sdp": _sdp(callee)}
    to_caller = _ask(control, answer)
    return _port(to_caller["sdp"]), _port(to_callee["sdp"])


def _subscribe(control: socket.socket, call: int, port: int) -> None:
    """Have what each party of a call says sent to a port as well."""
    for tag in ("caller", "callee"):
        call_id = {"call-id": f"call-{call}"}
        offered = _ask(control, {**call_id, "command": "subscribe request", "from-tag": tag})
        answer = {**call_id, "command": "subscribe answer", "to-tag": offered["to-tag"]}
        _ask(control, {**answer, "sdp": _sdp(port).replace("a=ptime", "a=recvonly\r\na=ptime")})


def _sdp(port: int) -> str:
    return (
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n"
    )


def _port(sdp: str) -> int:
    return int(sdp.split("m=audio ")[1].split()[0])


def _ask(control: socket.socket, request: dict[str, str]) -> dict[str, Any]:
    cookie = secrets.token_hex(8).encode()  # a repeated one gets the same reply again
    control.send(cookie + b" " + _bencoded(request))
    answered = b""
    while answered != cookie:  # a late reply is of a ping before
        answered, reply_octets = control.recv(65536).split(b" ", 1)
    reply = _bdecoded(reply_octets)
    assert reply["result"] != "error", reply
    return reply


def _bencoded(words: dict[str, str]) -> bytes:
    texts = [text for pair in sorted(words.items()) for text in pair]
    return b"d" + b"".join(b"%d:%s" % (len(text.encode()), text.encode()) for text in texts) + b"e"


def _bdecoded(octets: bytes) -> dict[str, Any]:
    value, _ = _bdecode(octets, 0)
    assert isinstance(value, dict), octets
    return value


def _bdecode(octets: bytes, at: int) -> tuple[Any, int]:
    """The value that begins at `at`, and where it ends."""
    match octets[at : at + 1]:
        case b"d" | b"l" as kind:
            values = []
            at += 1
            while octets[at : at + 1] != b"e":
                value, at = _bdecode(octets, at)
                values.append(value)
            whole = dict(zip(values[::2], values[1::2], strict=True)) if kind == b"d" else values
            return whole, at + 1
        case b"i":
            end = octets.index(b"e", at)
            return int(octets[at + 1 : end]), end + 1
        case _:
            colon = octets.index(b":", at)
            end = colon + 1 + int(octets[at:colon])
            return octets[colon + 1 : end].decode(), end
