"""baresip as a phone: a real stack that negotiates, plays a WAV file and records what it hears.

Everything is bound to loopback; the phone is driven through its `ctrl_tcp` module (JSON in netstrings).
"""

from __future__ import annotations

import asyncio
import json
from array import array
from pathlib import Path
from typing import Any

from tests.support import audio
from tests.support.processes import Process, free_ports, until

_MODULES = "/usr/lib/baresip/modules"


def _config(
    folder: Path,
    host: str,
    sip: int,
    control: int,
    rtp: int,
    wav: Path,
    certificates: tuple[Path, Path] | None,
) -> str:
    settings = {
        "poll_method": "epoll",
        "sip_listen": f"[{host}]:{sip}" if ":" in host else f"{host}:{sip}",
        "net_interface": host,  # otherwise the session description names the machine's own address
        "call_local_timeout": "120",
        "call_max_calls": "4",
        "audio_path": "/usr/share/baresip",
        "audio_source": f"aufile,{wav}",
        "audio_player": "aufile,/dev/null",
        "audio_alert": "aufile,/dev/null",
        "audio_level": "no",
        "ausrc_format": "s16",
        "auplay_format": "s16",
        "auenc_format": "s16",
        "audec_format": "s16",
        "audio_buffer": "20-160",
        "rtp_ports": f"{rtp}-{rtp + 19}",
        "rtcp_mux": "no",
        "jitter_buffer_delay": "5-10",
        "rtp_stats": "yes",
        "module_path": _MODULES,
        "ctrl_tcp_listen": f"127.0.0.1:{control}",
        "snd_path": str(folder),
    }
    if certificates is not None:
        settings |= {
            "sip_certificate": str(certificates[0]),
            "sip_cafile": str(certificates[1]),
            "sip_verify_server": "yes",
        }
    loaded = {
        "module": ["g711", "g722", "aufile", "sndfile", "srtp"],
        "module_tmp": ["uuid", "account"],
        "module_app": ["menu", "ctrl_tcp"],
    }
    lines = [f"{key}\t{value}" for key, value in settings.items()]
    lines += [f"{kind}\t{name}.so" for kind, names in loaded.items() for name in names]
    return "\n".join(lines) + "\n"


class Baresip:
    """A running baresip; an async context manager.

    `account` is appended to the account line, e.g. ``";answermode=auto"`` for a phone that answers by itself.
    `certificates`: its own with the key, and the authority's, for SIP over TLS. `host`: ``::1`` for IPv6.
    """

    def __init__(
        self,
        folder: Path,
        user: str,
        *,
        tone: float,
        seconds: float = 30,
        account: str = "",
        codec: str = "pcmu",
        certificates: tuple[Path, Path] | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.folder = folder
        self.user = user
        self.events: list[dict[str, Any]] = []
        """What the phone told, in order: CALL_INCOMING, CALL_RINGING, CALL_ESTABLISHED, CALL_CLOSED, ..."""
        ports = free_ports(24)
        self.sip_port, self.control_port = ports[0], ports[2]  # ports[1] is taken too: SIP over TLS
        self._rtp_port = ports[4]
        self._host = host
        self._name = f"[{host}]" if ":" in host else host
        self._account = f"<sip:{user}@{self._name}:{self.sip_port}>;regint=0;audio_codecs={codec}{account}\n"
        self._certificates = certificates
        self._tone = tone
        self._seconds = seconds
        self._process: Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.Task[None] | None = None
        self._replies: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    @property
    def uri(self) -> str:
        """What to dial to reach this phone."""
        return f"sip:{self.user}@{self._name}:{self.sip_port}"

    @property
    def tls_uri(self) -> str:
        """What to dial to reach it over TLS: the port behind the other one."""
        return f"sip:{self.user}@{self._name}:{self.sip_port + 1};transport=tls"

    async def __aenter__(self) -> Baresip:
        self.folder.mkdir(parents=True)
        rate = 16000 if "/16000" in self._account else 8000  # baresip plays a file at its codec's rate only
        tone = audio.tone(self._tone * 8000 / rate, self._seconds * rate / 8000)
        wav = audio.write_wav(self.folder / "says.wav", tone, rate)
        (self.folder / "config").write_text(
            _config(
                self.folder,
                self._host,
                self.sip_port,
                self.control_port,
                self._rtp_port,
                wav,
                self._certificates,
            )
        )
        (self.folder / "accounts").write_text(self._account)
        (self.folder / "contacts").write_text("")
        self._process = Process(
            "baresip", ["baresip", "-6" if ":" in self._host else "-4", "-f", self.folder], self.folder
        )
        try:
            await self._connect()
        except BaseException:
            self._process.kill()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        if self._reader is not None and self._writer is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
            self._writer.close()
        self._process.kill()

    def describe(self) -> str:
        """For a failed test: the events and the output."""
        assert self._process is not None
        return f"{[event.get('type') for event in self.events]}\n{self._process.describe()}"

    async def _connect(self) -> None:
        process = self._process
        assert process is not None
        for _ in range(100):
            assert process.returncode is None, process.describe()
            try:
                reader, self._writer = await asyncio.open_connection("127.0.0.1", self.control_port)
            except ConnectionError:
                await asyncio.sleep(0.05)
            else:
                self._reader = asyncio.create_task(self._read(reader))
                return
        raise AssertionError(f"no control connection to {process.describe()}")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                length = await reader.readuntil(b":")
                message = json.loads((await reader.readexactly(int(length[:-1]) + 1))[:-1])
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            if message.get("event"):
                self.events.append(message)
            else:
                self._replies.put_nowait(message)

    async def command(self, command: str, params: str = "") -> str:
        """Run one of baresip's commands; what it printed."""
        assert self._writer is not None
        text = json.dumps({"command": command, "params": params, "token": command}).encode()
        self._writer.write(b"%d:%s," % (len(text), text))
        reply = await asyncio.wait_for(self._replies.get(), 5)
        assert reply.get("ok"), f"{command} {params}: {reply}\n{self.describe()}"
        return str(reply.get("data", ""))

    async def event(self, kind: str, *, timeout: float = 10) -> dict[str, Any]:
        """The first event of that type, e.g. CALL_ESTABLISHED."""
        return await until(
            lambda: next((event for event in self.events if event.get("type") == kind), None),
            timeout=timeout,
            what=lambda: f"{kind} of {self.describe()}",
        )  # type: ignore[return-value]

    async def dial(self, uri: str) -> None:
        await self.command("dial", uri)

    async def hang_up(self) -> None:
        await self.command("hangup")

    async def hold(self) -> None:
        await self.command("hold")

    async def resume(self) -> None:
        await self.command("resume")

    def heard(self) -> array[int]:
        """The samples of the first recording of what came in, decoded."""
        recordings = sorted(self.folder.glob("dump-*-dec.wav"))
        assert recordings, f"no recording by {self.describe()}"
        return audio.read_wav(recordings[0])
