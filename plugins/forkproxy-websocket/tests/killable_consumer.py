"""A consumer in a process of its own, to be killed: writes every message to a file, one a line.

python killable_consumer.py PORT FILE
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


async def main(port: int, path: str) -> None:
    with open(path, "a", buffering=1) as file:  # noqa: ASYNC230 - a test's process of its own

        async def listen(connection: ServerConnection) -> None:
            assert connection.request is not None
            again = connection.request.headers.get("X-Forkproxy-Reconnect")
            file.write(json.dumps({"event": "connection", "again": again}) + "\n")
            with suppress(ConnectionClosed):
                async for message in connection:
                    file.write(str(message) + "\n")

        async with serve(listen, "127.0.0.1", port):
            await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
