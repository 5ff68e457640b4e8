"""A certificate authority, and connectors that trust it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from websocket_consumers import Certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


class Connectors:
    """Makes WebSocket connectors that trust the tests' authority, and closes them.

    Unless a test says which, they send by native code on uvloop, as in production, and by Python on asyncio:
    consumers must not find a difference.
    """

    def __init__(self, certificates: Certificates) -> None:
        self.certificates = certificates

    @asynccontextmanager
    async def made(self, **settings: Any) -> AsyncIterator[Any]:
        from forkproxy_websocket import WebSocket

        from forkproxy.connectors.testing import HOST, make

        host = settings.pop("host", HOST)
        settings.setdefault("sender", "native" if "uvloop" in repr(asyncio.get_running_loop()) else "python")
        connector = make(WebSocket, host=host, **{"ca_file": self.certificates.ca_file, **settings})
        try:
            yield connector
        finally:
            await connector.close()

    @asynccontextmanager
    async def running(
        self, url: str, *, settings: dict[str, Any] | None = None, **options: Any
    ) -> AsyncIterator[Any]:
        """A stream to `url` on a connector of its own; see `forkproxy.connectors.testing.running`."""
        from forkproxy.connectors.testing import running

        async with (
            self.made(**(settings or {})) as connector,
            running(connector, url=url, **options) as run,
        ):
            yield run


@pytest.fixture
def connectors(certificates: Certificates) -> Connectors:
    return Connectors(certificates)
