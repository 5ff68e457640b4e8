"""The ``wav`` connector of forkproxy: each track of a stream becomes a WAV file.

It is also the sample for authors of connectors; README.md is the tutorial.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

from pydantic import Field

from forkproxy.connectors.api import (
    FRAME_MS,
    ConfigPath,
    Connector,
    Frame,
    Host,
    Settings,
    Stream,
    StreamError,
    Track,
    describe,
)
from forkproxy_wav.wavefile import WavFile

__all__ = ["Wav", "WavSettings"]

THREADS = 4
"""Writers of one instance; a disk that hangs holds up these and nothing else."""


class WavSettings(Settings):
    """What an instance in the configuration may say."""

    folder: ConfigPath
    """Where the files go; made if it is not there."""
    write_every: Annotated[float, Field(ge=0.02, le=60)] = 0.5
    """Seconds of audio between writes: what is lost if the machine fails."""


class Wav(Connector[WavSettings]):
    """Records streams to ``<folder>/<call>-<name>-<stream>-<track>.wav``."""

    def __init__(self, name: str, settings: WavSettings, host: Host) -> None:
        """
        Raises:
            OSError: the folder cannot be made, or not be written to.
        """
        super().__init__(name, settings, host)
        settings.folder.mkdir(parents=True, exist_ok=True)
        if not os.access(settings.folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "no permission to write", str(settings.folder))
        # Threads of our own: those of the event loop have other work.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"wav-{name}")

    async def stream(self, stream: Stream) -> None:
        recording = Recording(paths_of(self.settings.folder, stream))
        batch = round(self.settings.write_every * 1000 / FRAME_MS) * len(stream.tracks)
        waiting: list[Frame] = []
        try:
            await self._in_thread(recording.open)
            stream.created()
            async for frames in stream:
                waiting += frames
                if len(waiting) >= batch:
                    await self._in_thread(recording.write, waiting)
                    waiting = []
            await self._in_thread(recording.write, waiting)
            await self._in_thread(recording.finish)
        except (OSError, ValueError) as error:
            raise StreamError(f"recording failed: {describe(error)}") from error
        finally:
            # Not awaited: after a cancellation nobody waits for us. After `finish` it does nothing.
            with contextlib.suppress(RuntimeError):  # the threads have been shut down
                self._threads.submit(recording.close)

    async def close(self) -> None:
        self._threads.shutdown(wait=False)

    async def _in_thread(self, work: Callable[..., None], *arguments: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


class Recording:
    """The files of one stream. Its methods block and may come from any thread."""

    def __init__(self, paths: dict[Track, Path]) -> None:
        self._paths = paths
        self._files: dict[Track, WavFile] = {}
        self._lock = threading.Lock()  # a write may still run when the stream has been cancelled
        self._closed = False

    def open(self) -> None:
        with self._lock:
            for track, path in self._paths.items():
                if not self._closed:
                    self._files[track] = WavFile(path)

    def write(self, frames: Sequence[Frame]) -> None:
        with self._lock:
            if self._closed:
                return
            for frame in frames:
                self._files[frame.track].write(frame.number, frame.payload)
            for file in self._files.values():
                file.flush()

    def finish(self) -> None:
        """Give the files their names."""
        with self._lock:
            self._closed = True
            while self._files:
                _, file = self._files.popitem()
                try:
                    file.finish()
                finally:
                    file.close()

    def close(self) -> None:
        """Let go of what is not finished; it stays as ``*.part``, and can be played."""
        with self._lock:
            self._closed = True
            for file in self._files.values():
                file.close()


def paths_of(folder: Path, stream: Stream) -> dict[Track, Path]:
    """The file of each track. The sids keep two streams of one name apart."""
    name = "" if stream.name == stream.sid else safe(stream.name) + "-"
    return {
        track: folder / f"{safe(stream.call.sid)}-{name}{stream.sid}-{track}.wav" for track in stream.tracks
    }


def safe(text: str) -> str:
    """`text` as part of a file's name: a stream's name comes from a template, and so from whoever calls."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:64].strip(".") or "_"
