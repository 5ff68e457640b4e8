"""A scripted phone on forkproxy's own SIP and RTP: calls or answers, plays a recording, notes what it hears.

    python -m forkproxy.demo.phone call sip:+15551230000@127.0.0.1:5060 --say hello.wav
    python -m forkproxy.demo.phone answer --say bye.ulaw --ring 0.6 --hang-up

It writes one JSON object a line to standard output: ``{"event": "ready", "uri": ...}``, then ``ringing``,
``answered``, ``ended``, and last ``{"event": "report", "report": {...}}`` with everything that it did, said
and heard (`forkproxy.demo.recording.PhoneReport`). It ends with its call, and when the pipe that
is its standard input is closed: nobody waits for it any more.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import stat
import sys
import time
from pathlib import Path

from forkproxy.demo.recording import PhoneReport, SipMessage
from forkproxy.errors import ForkproxyError
from forkproxy.media import MediaEngine, MediaLeg
from forkproxy.media.audio import load_wav
from forkproxy.model import Address, Frame, Track
from forkproxy.signalling import IncomingLeg, Leg, OutgoingLeg, SipEndpoint, TraceMessage, sdes, sdp
from forkproxy.signalling.access import by_address
from forkproxy.signalling.events import Answered, Confirmed, Ended, LegEvent, Progress

HOST = "127.0.0.1"
PORTS = (30000, 32766)
"""RTP ports: away from forkproxy's default range and from the system's ephemeral ports."""
CODECS = ("PCMU", "TELEPHONE-EVENT")


class Phone:
    """One phone for one call."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._name: str = arguments.name
        self._said = load_audio(arguments.say) if arguments.say else b""
        self._media = MediaEngine(listen=HOST, ports=PORTS)
        self._endpoint = SipEndpoint(
            listen=[f"udp://{HOST}:0"],
            user_agent=f"forkproxy-demo ({self._name})",
            on_invite=self._on_invite,
            admit=by_address(lambda address: address.host == HOST),
        )
        self._trace: list[SipMessage] = []
        self._heard: list[bytes] = []
        self._audio: MediaLeg | None = None
        self._leg: Leg | None = None
        self._over = asyncio.Event()
        self._uri = ""
        self._answered_at: float | None = None
        self._ended_at: float | None = None
        self._said_at: float | None = None
        self._heard_at: float | None = None
        self._ended = Ended(0, "no call", "local")

    async def run(self) -> None:
        """The call, from the first message to the report."""
        self._media.start()
        try:
            await self._endpoint.start()
            self._endpoint.set_trace(self._on_trace)
            self._uri = f"sip:{self._name}@{self._endpoint.listening[0].partition(':')[2]}"
            tell("ready", uri=self._uri)
            if self._arguments.role == "call":
                self._call(self._arguments.uri)
            patience = asyncio.get_running_loop().call_later(self._arguments.patience, self._give_up)
            gone = asyncio.create_task(self._parent_gone())
            await self._over.wait()
            patience.cancel()
            gone.cancel()
            figures = self._hang_up_media()
            await self._endpoint.close()
        finally:
            self._media.close()
        report = PhoneReport(
            name="caller" if self._arguments.role == "call" else "callee",
            uri=self._uri,
            answered_at=self._answered_at,
            ended_at=self._ended_at,
            status=self._ended.status,
            reason=self._ended.reason,
            ended_by=self._ended.by,
            said=self._said,
            said_at=self._said_at,
            heard=b"".join(self._heard),
            heard_at=self._heard_at,
            trace=tuple(self._trace),
            figures=figures,
        )
        tell("report", report=report.model_dump(mode="json"))

    def _call(self, uri: str) -> None:
        audio = self._open_media()
        offer = sdp.offer(HOST, audio.rtp_port, audio.rtcp_port)
        self._leg = self._endpoint.dial(
            uri, sdp=offer, from_uri=self._uri, from_display="Demo caller", on_event=self._on_event
        )

    def _on_invite(self, leg: IncomingLeg) -> None:
        if self._leg is not None or self._arguments.role != "answer" or leg.offer is None:
            leg.reject(486)
            return
        self._leg = leg
        leg.on_event = self._on_event
        leg.ring()
        tell("ringing")
        asyncio.get_running_loop().call_later(self._arguments.ring, self._answer, leg, leg.offer)

    def _answer(self, leg: IncomingLeg, offer: bytes) -> None:
        if leg.ended:
            return
        audio = self._open_media()
        self._connect_media(offer)
        leg.answer(sdp.make_answer(offer, HOST, audio.rtp_port, audio.rtcp_port, CODECS))

    def _on_event(self, leg: Leg, event: LegEvent) -> None:
        match event:
            case Progress(status=status) if isinstance(leg, OutgoingLeg):
                tell("ringing", status=status)
            case Answered(sdp=answer) if answer is not None:
                self._connect_media(answer)
                self._talk()
            case Confirmed():
                self._talk()
            case Ended():
                self._ended_at = time.time()
                self._ended = event
                tell("ended", status=event.status, reason=event.reason, by=event.by)
                self._over.set()

    def _open_media(self) -> MediaLeg:
        self._audio = audio = self._media.open_leg(self._name)
        self._heard_at = time.time()
        self._tap = audio.tap(self._on_frames, (Track.INBOUND,))
        return audio

    def _connect_media(self, description: bytes) -> None:
        assert self._audio is not None  # opened before anything was offered or answered
        session = sdp.parse(description)
        self._audio.set_remote(
            Address(session.host, session.port),
            Address(session.rtcp_host, session.rtcp_port),
            {codec.payload_type: codec.name for codec in session.codecs},
        )

    def _talk(self) -> None:
        self._answered_at = self._said_at = time.time()
        tell("answered")
        if self._said and self._audio is not None:
            self._audio.play(self._said, on_done=self._on_said)

    def _on_said(self) -> None:
        tell("said")
        if self._arguments.hang_up and self._leg is not None:
            # What the other end said is still on its way, and it may have begun a little later.
            asyncio.get_running_loop().call_later(self._arguments.linger, self._leg.hang_up)

    def _on_frames(self, frames: list[Frame]) -> None:
        self._heard.extend(frame.payload for frame in frames)

    def _on_trace(self, message: TraceMessage) -> None:
        text = sdes.masked(message.data.decode("utf-8", "backslashreplace"))
        self._trace.append(
            SipMessage(at=message.time, sent=message.sent, text=text, transport=message.transport)
        )

    def _hang_up_media(self) -> dict[str, float]:
        if self._audio is None:
            return {}
        self._tap.close()
        figures = self._audio.close()
        values = {field.name: getattr(figures, field.name) for field in dataclasses.fields(figures)}
        return {name: value for name, value in values.items() if isinstance(value, int | float)}

    def _give_up(self) -> None:
        tell("gave-up", after=self._arguments.patience)
        self._end()

    def _end(self) -> None:
        if self._leg is None:
            self._over.set()
        else:
            self._leg.hang_up()
            asyncio.get_running_loop().call_later(2.0, self._over.set)

    async def _parent_gone(self) -> None:
        kind = os.fstat(sys.stdin.fileno()).st_mode
        if not stat.S_ISFIFO(kind) and not stat.S_ISSOCK(kind):
            return  # a terminal, or nothing: there is no parent that waits
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        await reader.read()
        self._end()


def load_audio(path: Path) -> bytes:
    """mu-law from a WAV file, or a file's octets as they are when it is called ``.ulaw``.

    Raises:
        MediaError: the WAV file cannot be read.
        OSError: there is no such file.
    """
    content = path.read_bytes()
    return content if path.suffix == ".ulaw" else load_wav(content)


def tell(event: str, **fields: object) -> None:
    """One line of JSON on standard output."""
    print(json.dumps({"event": event, "at": time.time(), **fields}), flush=True)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m forkproxy.demo.phone", description=__doc__.partition("\n")[0]
    )
    roles = parser.add_subparsers(dest="role", required=True)
    call, answer = roles.add_parser("call"), roles.add_parser("answer")
    call.add_argument("uri", help="whom to call: a SIP URI")
    answer.add_argument("--ring", type=float, default=0.6, help="seconds to ring before answering")
    for role, name in ((call, "caller"), (answer, "callee")):
        role.add_argument("--name", default=name, help="the user part of its SIP URI")
        role.add_argument(
            "--say", type=Path, help="what to say: a WAV file, or mu-law in a file called .ulaw"
        )
        role.add_argument("--hang-up", action="store_true", help="hang up after the last word")
        role.add_argument(
            "--linger", type=float, default=0.3, help="seconds between the last word and the end"
        )
        role.add_argument("--patience", type=float, default=60, help="seconds after which it gives up")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run one phone; the exit status is 0 when it could report, whatever became of the call."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(Phone(options).run())
    except (ForkproxyError, OSError) as error:
        print(f"{options.name}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
