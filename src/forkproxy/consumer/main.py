"""The commands ``consume`` and ``record``."""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import TextIO

from forkproxy.consumer.answers import Echo, MakeAnswer, Recording, Silence
from forkproxy.consumer.screen import Screen
from forkproxy.consumer.server import ConsumerError, Listen, Server
from forkproxy.consumer.session import Settings, Summary
from forkproxy.demo import certificate
from forkproxy.errors import ForkproxyError, MediaError
from forkproxy.media.audio import load_wav

REFRESH = 0.1
"""Seconds between two pictures of the meters."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    listen: Sequence[Listen]
    settings: Settings
    answer: str = ""
    """``echo``, a WAV file, or nothing."""
    barge_in: bool = False
    chain: Path | None = None
    """Certificate and key (PEM); without them, they are made."""
    key: Path | None = None
    streams: int = 0
    """End after so many streams; 0: when told to."""


def run(options: Options, target: TextIO | None = None) -> int:
    """Serve until the end; the exit status: 0, or 1 when a stream was not as it should be."""
    return asyncio.run(serve(options, target or sys.stdout))


async def serve(options: Options, target: TextIO) -> int:
    """The same, in a running loop.

    Raises:
        ForkproxyError: it cannot run; the message says why.
    """
    screen = Screen(target)
    tls, authority = _tls(options)
    ended: list[Summary] = []
    enough = asyncio.Event()

    def closed(summary: Summary) -> None:
        ended.append(summary)
        screen.closed(summary)
        if options.streams and len(ended) >= options.streams:
            enough.set()

    server = Server(
        options.listen,
        settings=options.settings,
        tls=tls,
        make_answer=_answer(options),
        on_opened=screen.opened,
        on_closed=closed,
    )
    loop = asyncio.get_running_loop()
    for number in (SIGINT, SIGTERM):
        loop.add_signal_handler(number, enough.set)
    try:
        async with server:
            screen.line(f"forkproxy consumer ready {' '.join(server.urls)}")
            if authority is not None:
                screen.line(f"its certificate, for forkproxy's streams.ca_file: {authority}")
            if any(not each.secure for each in options.listen):
                screen.line("for ws://, forkproxy's configuration needs streams.allow_ws: true")
            while not enough.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(enough.wait(), REFRESH if screen.live else None)
                screen.meters(list(server.sessions.values()), time.monotonic())
    finally:
        for number in (SIGINT, SIGTERM):
            loop.remove_signal_handler(number)
    wrong = sum(not summary.passed for summary in ended)
    screen.line(f"{len(ended)} {'stream' if len(ended) == 1 else 'streams'}, {wrong or 'none'} with findings")
    return 1 if wrong else 0


def _tls(options: Options) -> tuple[ssl.SSLContext | None, Path | None]:
    """The context, and the certificate to trust where it was made here."""
    if not any(each.secure for each in options.listen):
        return None, None
    if options.chain is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(options.chain, options.key)
        except (OSError, ssl.SSLError) as error:
            files = " and ".join(str(file) for file in (options.chain, options.key) if file)
            raise ConsumerError(
                f"{files} cannot be used as certificate and key: {error.strerror or error}"
            ) from error
        return context, None
    names = dict.fromkeys(name for each in options.listen if each.secure for name in each.names)
    recorded = options.settings.fixture
    folder = options.settings.out or (recorded.parent if recorded else Path.cwd())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = certificate.make(folder, [*names])
        context = made.server_context()
        made.key.unlink()
    except OSError as error:
        raise ConsumerError(f"{folder}: {error.strerror or error}") from error
    return context, made.authority


def _answer(options: Options) -> MakeAnswer:
    if not options.answer:
        return Silence
    if options.answer == "echo":
        return Echo
    try:
        audio = load_wav(Path(options.answer).read_bytes())
    except OSError as error:
        raise ConsumerError(f"{options.answer}: {error.strerror or error}") from error
    except MediaError as error:
        raise ConsumerError(f"{options.answer}: {error}") from error
    return lambda: Recording(audio, barge_in=options.barge_in)


def record(path: Path, options: Options, target: TextIO | None = None) -> int:
    """Record one stream to `path`.

    Raises:
        ForkproxyError: it cannot run; the message says why.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        open(path, "w", encoding="utf-8").close()
    except OSError as error:
        raise ConsumerError(f"{path}: {error.strerror or error}") from error
    settings = replace(options.settings, fixture=path)
    return run(replace(options, settings=settings, streams=1), target)


__all__ = ["ForkproxyError", "Options", "record", "run", "serve"]
