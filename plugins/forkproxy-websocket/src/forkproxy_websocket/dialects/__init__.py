"""The languages that a consumer may have been written for; ``dialect`` in a connector's settings.

- `subject`     whose messages they are
- `pieces`      frames that are put together before they are sent
- `signalwire`, `telnyx`, `plivo`, `exotel`, `jambonz`, `vonage`: one language each

Ids are forkproxy's own everywhere (``CA...``, ``MZ...``), whatever form a vendor's have, and the handshake is
Twilio's. What a page of a vendor's does not say is said in the dialect's own text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from forkproxy.connectors.api import AudioFormat
from forkproxy_websocket.dialect import Dialect
from forkproxy_websocket.dialects.exotel import Exotel
from forkproxy_websocket.dialects.jambonz import SUBPROTOCOL, Jambonz
from forkproxy_websocket.dialects.plivo import Plivo
from forkproxy_websocket.dialects.signalwire import SignalWire
from forkproxy_websocket.dialects.subject import Subject
from forkproxy_websocket.dialects.telnyx import Telnyx
from forkproxy_websocket.dialects.vonage import Vonage
from forkproxy_websocket.messages import Messages

DialectName = Literal["twilio", "signalwire", "telnyx", "plivo", "exotel", "jambonz", "vonage"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A dialect, before there is a connection."""

    make: Callable[[Subject], Dialect]
    formats: tuple[AudioFormat, ...] = (AudioFormat.MULAW,)
    """What its audio may be made of, the usual first."""
    subprotocols: tuple[str, ...] = ()
    """Offered in the handshake."""


def _twilio(subject: Subject) -> Messages:
    call = subject.call
    return Messages(account_sid=call.account_sid, call_sid=call.sid, stream_sid=subject.stream_sid)


_MULAW, _L16_8, _L16_16, _L16_24 = AudioFormat
DIALECTS: dict[DialectName, Kind] = {
    "twilio": Kind(_twilio),
    "signalwire": Kind(SignalWire, (_MULAW, _L16_16, _L16_24)),
    "telnyx": Kind(Telnyx),
    "plivo": Kind(Plivo, (_MULAW, _L16_8, _L16_16)),
    "exotel": Kind(Exotel, (_L16_8, _L16_16, _L16_24)),
    "jambonz": Kind(Jambonz, (_L16_8, _L16_16, _L16_24), (SUBPROTOCOL,)),
    "vonage": Kind(Vonage, (_L16_16, _L16_8, _L16_24)),
}

__all__ = ["DIALECTS", "DialectName", "Kind", "Subject"]
