"""The ``siprec`` connector of forkproxy: calls are recorded by a session recording server (RFC 7865, RFC
7866)."""

from __future__ import annotations

from forkproxy_siprec.connector import Siprec
from forkproxy_siprec.settings import SiprecSettings

__all__ = ["Siprec", "SiprecSettings"]
