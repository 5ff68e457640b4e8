"""A connector with settings of many kinds, for the tests of the configuration."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, SecretStr

from forkproxy.connectors.api import Connector, Settings, Stream


class ArchiveSettings(Settings):
    """All that an archive wants to know."""

    folder: str = "."
    port: Annotated[int, Field(ge=1)] = 1
    strict: bool = False
    token: SecretStr | None = None


class Archive(Connector[ArchiveSettings]):
    """Takes every stream and drops it."""

    Settings: ClassVar[type[ArchiveSettings]] = ArchiveSettings

    async def stream(self, stream: Stream) -> None:
        """Read to the end."""
        stream.created()
        async for _ in stream:
            pass


class Refusing(Archive):
    """Cannot start."""

    def __init__(self, *arguments: object) -> None:
        raise OSError("the disk is full")
