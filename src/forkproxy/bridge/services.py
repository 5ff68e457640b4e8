"""What all calls share, handed to each of them by the composition root."""

from __future__ import annotations

import ipaddress
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from forkproxy.bridge.addresses import is_literal
from forkproxy.bridge.choice import Abilities
from forkproxy.bridge.prompts import Prompts
from forkproxy.bridge.record import Sink
from forkproxy.connectors import Connector, Host
from forkproxy.media import MediaEngine
from forkproxy.model import Redirects, SrtpMode
from forkproxy.signalling import SipEndpoint
from forkproxy.signalling.own import usable
from forkproxy.signalling.trunks import Trunk, owner

COUNTED = (
    *("calls", "calls_ended", "calls_rejected", "streams", "streams_failed"),
    *("stream_frames_dropped", "tap_frames_dropped", "legs_inactive", "calls_inactive", "internal_errors"),
    *("calls_failed_over", "calls_limited"),
    *("calls_redirected", "redirects_refused"),
    *("recordings_required_lost", "calls_recorded", "recorded_metadata_refused"),
)
"""What is there from the start, at 0; refusals and failures by status or code appear as they happen."""


class Watch:
    """What is told of calls while they are up, for those who trace them; this one does not care."""

    def began(self, sid: str, call_id: str, numbers: tuple[str, ...], trunk: str | None) -> None:
        """A call has come in: its Call-ID, the calling and the called number, the trunk that it came by."""

    def goes_out(self, sid: str, number: str, trunk: str | None) -> None:
        """It is about to be connected: what is dialled, and by which trunk."""

    def stream(self, sid: str, event: Mapping[str, Any]) -> None:
        """Something of one of its streams."""

    def ended(self, sid: str) -> None:
        """Nothing is left of it."""


def _nothing() -> None:
    """A call on no trunk has ended."""


@dataclass(frozen=True, slots=True)
class Services:
    """The stack below the calls, and the settings that they follow."""

    endpoint: SipEndpoint
    media: MediaEngine
    connectors: Mapping[str, Connector[Any]]
    """By instance name; `websocket` is there always."""
    host: Host
    prompts: Prompts
    trunks: Sequence[Trunk] = ()
    media_addresses: Sequence[str] = ()
    """What session descriptions say to peers of the same IP family; otherwise our address on the way."""
    media_v6: bool | None = None
    """Which family the RTP sockets have; None: both."""
    start_wait: float = 1.0
    """Seconds that a fork-stream widget waits for its connection before `next` fires all the same."""
    buffer: float = 30.0
    max_tracks: int | None = None
    """Seconds of audio kept for a slow or late consumer."""
    srtp: SrtpMode = "optional"
    """Whether callers' audio is encrypted, and that of callees whose trunk says nothing."""
    abilities: Abilities = field(default_factory=Abilities)
    """What can be done with audio: codecs, SRTP."""
    pass_headers: tuple[str, ...] = ()
    """Headers of a caller's INVITE that callees get, too; ``*`` for any characters."""
    transfers: bool = False
    """Whether REFER and NOTIFY pass from one party to the other."""
    redirects: Redirects = "refuse"
    """What becomes of a callee's 3xx, where its trunk says nothing."""
    inactivity: float | None = None
    """Seconds without audio from a phone after which its call is hung up; None: never."""
    take: Callable[[str], Callable[[], None] | None] = lambda _trunk: _nothing
    """Counts a call on a trunk by name; what to call when it has ended, or None: the trunk has no room."""
    up: Callable[[str], bool] = lambda _trunk: True
    """Whether a trunk answers, as far as is known."""
    watch: Watch = field(default_factory=Watch)
    record: Sink = lambda _record: None
    """Takes a call's record when the call is over; never waits, never raises."""
    counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(COUNTED, 0)))
    """What the operator sees; only ever grows."""

    def srtp_from(self, host: str, name: str | None = None) -> SrtpMode:
        """Whether the leg of a caller at this address, or of the trunk `name`, is encrypted."""
        trunk = owner(self.trunks, host, name)
        return self.srtp if trunk is None or trunk.srtp is None else trunk.srtp

    def media_host(self, peer: str, fallback: str) -> str:
        """The address that `peer` (a host) is told to send its RTP to."""
        where = peer if is_literal(peer.strip("[]")) else fallback
        v6 = ":" in where if self.media_v6 is None else self.media_v6
        known = next((each for each in self.media_addresses if usable(each, v6)), None)
        if known is not None:
            return known
        return fallback if v6 is not (":" in where) else local_address(peer) or fallback


def local_address(peer: str) -> str | None:
    """Our address on the route to `peer`; None when `peer` is a name or there is no route. Sends nothing."""
    try:
        address = ipaddress.ip_address(peer.strip("[]"))
    except ValueError:
        return None
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(address), 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])
