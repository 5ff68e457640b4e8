"""What stands around a proxy under load: phones whose RTP is made in C, and the consumer of their streams."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import trustme

from tests.support.proxy import Proxy
from tests.support.sip import Call, Phone, audio_address, audio_sdp

HERE = Path(__file__).parent


def pin(pid: int, cores: Sequence[int]) -> None:
    """Keep all threads of a process on these cores, where the machine has them."""
    if set(cores) <= os.sched_getaffinity(0) and len(os.sched_getaffinity(0)) > len(cores):
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)


def compiled(name: str, folder: Path) -> Path:
    """The program that `name`.c is the source of; made once in `folder`."""
    program = folder / name
    if not program.exists():
        subprocess.run(["cc", "-O2", "-o", program, HERE / f"{name}.c"], check=True)
    return program


class Helper:
    """A program that is spoken to in lines."""

    def __init__(self, *command: str | Path, env: Mapping[str, str] | None = None) -> None:
        self._command = [str(part) for part in command]
        self._env = {**os.environ, **(env or {})}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self._env
        )

    def write(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())

    async def line(self) -> str:
        assert self.process.stdout is not None
        text = (await asyncio.wait_for(self.process.stdout.readline(), 30)).decode()
        assert text, f"{self._command[0]} ended"
        return text.strip()

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


class Generator(Helper):
    """`rtpload.c`: the RTP of `calls` calls, both parties of each, sent in bursts `tick_us` apart."""

    def __init__(self, folder: Path, calls: int, tick_us: int = 1000) -> None:
        self.calls = calls
        self.ports: list[int] = []
        """Where the parties want their RTP: caller and callee of each call in turn."""
        self.copies = 0
        """A port where anything may be sent."""
        super().__init__(compiled("rtpload", folder), str(calls), str(tick_us))

    def port(self, call: int, *, callee: bool) -> int:
        """Where this party wants its RTP."""
        return self.ports[2 * call + callee]

    async def __aenter__(self) -> Generator:
        await self.start()
        *self.ports, self.copies = (int(port) for port in (await self.line()).split())
        pin(self.process.pid, [0])
        return self

    def begin(self, ports: Sequence[int]) -> None:
        """Start sending; `ports` are where the parties send to, caller and callee of each call in turn."""
        assert len(ports) == 2 * self.calls
        self.write("".join(f"{port}\n" for port in ports) + "start\n")

    async def mark(self) -> dict[str, Any]:
        """The figures so far; the delays begin afresh."""
        self.write("mark\n")
        return json.loads(await self.line())  # type: ignore[no-any-return]

    async def finish(self) -> dict[str, Any]:
        """Stop sending; the figures."""
        self.write("stop\n")
        return json.loads(await self.line())  # type: ignore[no-any-return]


class Sink(Helper):
    """`sink.py`: takes the streams in, checks every frame."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "sink.pem"))
        self.ca_file = folder / "sink-ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        self.port = 0
        super().__init__(sys.executable, HERE / "sink.py", folder / "sink.pem")

    @property
    def url(self) -> str:
        return f"wss://localhost:{self.port}/media"

    async def __aenter__(self) -> Sink:
        await self.start()
        self.port = int(await self.line())
        pin(self.process.pid, [0])
        return self

    async def figures(self) -> dict[str, Any]:
        self.write("figures\n")
        return json.loads(await self.line())  # type: ignore[no-any-return]


async def place(
    proxy: Proxy, generator: Generator, alice: Phone, bob: Phone, *, rate: int = 50
) -> list[Call]:
    """Set all the generator's calls up, `rate` a second; their RTP ports go to the generator."""
    uri = f"sip:bob@{proxy.udp[0]}:{proxy.udp[1]}"
    callers: list[Call] = []
    ports: list[int] = []

    async def one(number: int) -> tuple[Call, tuple[int, int]]:
        await asyncio.sleep(number / rate)
        sdp = audio_sdp("127.0.0.1", generator.port(number, callee=False))
        call = await alice.call(uri, proxy.udp, sdp=sdp, headers=[f"X-Call: {number}"])
        final = await call.response(200, timeout=20)
        assert final.status == 200, final.start
        call.acknowledge(final)
        taken = bobs[number] if number in bobs else await found[number]
        assert taken.invite is not None
        return call, (audio_address(final.body)[1], audio_address(taken.invite.body)[1])

    bobs: dict[int, Call] = {}
    found = {number: asyncio.get_running_loop().create_future() for number in range(generator.calls)}

    async def answer() -> None:
        # the callee learns which call it is from the user part that the flow dials
        for _ in range(generator.calls):
            taken = await bob.incoming.get()
            assert taken.invite is not None
            number = int(taken.invite.request_uri.removeprefix("sip:").split("@")[0])
            bobs[number] = taken
            found[number].set_result(taken)
            taken.respond(200, "OK", sdp=audio_sdp("127.0.0.1", generator.port(number, callee=True)))

    async with asyncio.TaskGroup() as group:
        group.create_task(answer())
        placed = [group.create_task(one(number)) for number in range(generator.calls)]
    for task in placed:
        call, both = task.result()
        callers.append(call)
        ports += both
    generator.begin(ports)
    return callers


def table(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """The rows in two columns, to be printed."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(["", title, "-" * len(title), *(f"{name:<{width}}  {value}" for name, value in rows)])
