"""The signature by which a consumer knows that a request is from its own account."""

from __future__ import annotations

import base64
import hashlib
import hmac


def sign(auth_token: str, url: str) -> str:
    """The value of ``X-Twilio-Signature`` for a WebSocket handshake.

    Base64 of HMAC-SHA1 with the account's auth token over the URL exactly as the flow has it, ``wss://``
    included (https://www.twilio.com/docs/usage/security#validating-requests; a handshake has no POST fields).

    >>> sign("12345", "wss://example.com/media")
    '7PR3qMkpDyEJtMrVOY/LDyNq8J8='
    """
    digest = hmac.new(auth_token.encode(), url.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode("ascii")
