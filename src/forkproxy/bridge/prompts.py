"""Prompts: WAV files from disk or http(s), converted once and kept while they are in use often."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiohttp

from forkproxy.errors import MediaError
from forkproxy.media.audio import load_wav

FETCH_SECONDS = 10.0
"""Twilio's limit for what a flow fetches (twilio.com/docs/studio: 10 s)."""
LARGEST = 64 * 1024 * 1024
"""The largest prompt in octets: about 100 minutes of 8 kHz mu-law, 6 of CD quality."""
KEPT = 32
"""How many converted prompts are kept."""


class Prompts:
    """Loads prompts; one object a process."""

    def __init__(self, user_agent: str) -> None:
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None
        self._file = lru_cache(KEPT)(self._read_version)

    async def load(self, url: str, folder: Path) -> bytes:
        """The audio at `url` as mu-law, 8 kHz.

        Args:
            url: `http:`, `https:`, `file:`, or a path relative to `folder`.
            folder: the folder of the flow's file.

        Raises:
            MediaError: it cannot be read, fetched within 10 seconds, or understood.
        """
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise MediaError(f"cannot play {url}: {error}") from error
        if parts.scheme in ("http", "https"):
            return await asyncio.to_thread(self._convert, await self._fetch(url), url)
        if parts.scheme == "file":
            return await asyncio.to_thread(self._read, Path(unquote(parts.path)))
        if parts.scheme and "://" in url:
            raise MediaError(f"cannot play {url}: http, https and file are the schemes that can be played")
        return await asyncio.to_thread(self._read, folder / url)

    async def close(self) -> None:
        """Close the connections that are kept for the next prompt."""
        if self._session is not None:
            await self._session.close()

    def _read(self, path: Path) -> bytes:
        try:
            stat = path.stat()
            if stat.st_size > LARGEST:
                raise MediaError(f"cannot play {path}: {stat.st_size} octets, {LARGEST} are allowed")
            return self._file(str(path), stat.st_mtime_ns, stat.st_size)
        except OSError as error:
            raise MediaError(f"cannot play {path}: {error.strerror}") from error

    def _read_version(self, path: str, modified: int, size: int) -> bytes:
        """One version of a file; the cache's key tells versions apart."""
        return self._convert(Path(path).read_bytes(), path)

    @staticmethod
    def _convert(data: bytes, name: str) -> bytes:
        try:
            return load_wav(data)
        except MediaError as error:
            raise MediaError(f"cannot play {name}: {error}") from error

    async def _fetch(self, url: str) -> bytes:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
            self._session = aiohttp.ClientSession(timeout=timeout, headers={"User-Agent": self._user_agent})
        try:
            async with self._session.get(url) as response:
                if response.status != 200:
                    raise MediaError(f"cannot play {url}: the server answered {response.status}")
                data = await response.content.read(LARGEST + 1)
                while len(data) <= LARGEST and (more := await response.content.read(LARGEST + 1)):
                    data += more
        except TimeoutError as error:
            raise MediaError(f"cannot play {url}: not fetched within {FETCH_SECONDS:g} s") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise MediaError(f"cannot play {url}: {error}") from error
        if len(data) > LARGEST:
            raise MediaError(f"cannot play {url}: more than {LARGEST} octets")
        return data
