"""The ``websocket`` connector of forkproxy: streams calls to servers written for Twilio Media Streams.

- `connector`   settings, and one stream from ``connected`` to ``stop``
- `delivery`    one stream over one connection, or over as many as it takes
- `history`     frames that a new connection may get again (no I/O)
- `session`     what a stream and its consumer say to each other on a connection
- `dialect`     what a language of streams must offer (no I/O)
- `messages`    Twilio's language (no I/O)
- `dialects`    those of its relatives (no I/O)
- `texts`       JSON, written and read (no I/O)
- `signature`   ``X-Twilio-Signature`` (no I/O)
- `target`      the URL, checked (no I/O)
- `headers`     an operator's own headers, checked (no I/O)
- `dial`        from a URL to an open WebSocket
- `resolver`    names to addresses
- `connection`  one open WebSocket
"""

from __future__ import annotations

from forkproxy_websocket.connector import WebSocket, WebSocketSettings

__all__ = ["WebSocket", "WebSocketSettings"]
