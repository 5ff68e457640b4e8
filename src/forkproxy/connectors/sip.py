"""What a connector that speaks SIP and RTP itself gets of forkproxy: a dialog, and copies of a stream's
tracks.

`forkproxy.bridge` implements it over the SIP stack and the relay; `forkproxy.connectors.testing` has fakes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from forkproxy.message import SipBody, SipReply, SipRequest, SipResponse
from forkproxy.model import Address, Track

OnRequest = Callable[[SipRequest], SipReply | None]
OnProvisional = Callable[[SipResponse], None]


class SipDialog(Protocol):
    """A SIP dialog that the connector began. One user; it is not for several tasks at once.

    Transactions, retransmissions, routes, digest and the ACK of an accepted INVITE are seen to. Offer and
    answer, session timers and the bodies are the connector's.
    """

    @property
    def call_id(self) -> str: ...
    @property
    def local_host(self) -> str:
        """Our address as the peer must see it."""

    @property
    def media_host(self) -> str:
        """The address that the peer must be told for RTP: what goes into ``c=``."""

    @property
    def established(self) -> bool:
        """Whether an INVITE has been accepted, and nobody has said BYE."""

    async def request(
        self,
        method: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: SipBody | None = None,
        timeout: float | None = None,
        on_provisional: OnProvisional | None = None,
    ) -> SipResponse:
        """Send a request and wait for its final response.

        After `timeout` seconds (None: after SIP's own 32) it is 408, not `answered`, and an INVITE is
        cancelled; should it be accepted all the same, that is ended. Connections that fail are 503.

        Raises:
            SignallingError: a header or the body's type cannot be sent.
        """

    async def end(
        self, *, headers: Sequence[tuple[str, str]] = (), body: SipBody | None = None, timeout: float = 4.0
    ) -> SipResponse | None:
        """Say BYE if there is something to end, and let go of the dialog; None: there was not."""

    def close(self) -> None:
        """Let go of the dialog without a message; an INVITE that is being cancelled is seen to its end."""


class Dialler(Protocol):
    """Begins dialogs."""

    async def dial(
        self,
        uri: str,
        *,
        user: str = "",
        display: str = "",
        contact_parameters: str = "",
        username: str | None = None,
        password: str | None = None,
        on_request: OnRequest | None = None,
    ) -> SipDialog:
        """See `Host.dial`."""


@dataclass(frozen=True, slots=True)
class CopyKeys:
    """SDES keys of a copy (RFC 4568)."""

    suite: str
    """Its name in SDP: ``AES_CM_128_HMAC_SHA1_80``."""
    send: bytes = field(repr=False)
    """Master key and salt of what we send."""
    receive: bytes = field(repr=False)
    """The same of what the recorder sends, which is RTCP."""


class CopyFigures(Protocol):
    """What has become of a copy so far."""

    @property
    def packets(self) -> int: ...
    @property
    def octets(self) -> int: ...
    @property
    def dropped(self) -> int:
        """Frames that could neither be sent nor kept: the recording has a gap."""

    @property
    def skipped(self) -> int:
        """Frames that were left out on purpose."""

    @property
    def waiting(self) -> int:
        """Frames that are kept until they can be sent."""

    @property
    def send_errors(self) -> int: ...
    @property
    def reports(self) -> int:
        """RTCP reports of the recorder's on this stream; not every recorder sends them."""

    @property
    def lost(self) -> int:
        """Packets that are missing at the recorder, by its newest report."""

    @property
    def heard(self) -> float | None:
        """Seconds since its newest report; None: there was none."""


class RtpCopy(Protocol):
    """A track, or both mixed, as an RTP stream of our own: own SSRC, CNAME and RTCP (RFC 7866 8.2.3).

    The relay sends it by the call's own timeline, 20 ms of G.711 a packet: losses, holds, codec changes and
    SRTP of the call are no business of the recorder's.
    """

    @property
    def rtp_port(self) -> int:
        """Where it is sent from, and where the recorder's RTP would come to (symmetric, 7866 8.1.8)."""

    @property
    def rtcp_port(self) -> int: ...
    @property
    def ssrc(self) -> int: ...
    @property
    def cname(self) -> str: ...
    def send_to(
        self,
        rtp: Address,
        rtcp: Address,
        codec: Literal["PCMU", "PCMA"] = "PCMU",
        *,
        payload_type: int | None = None,
        keys: CopyKeys | None = None,
        hurry: float = 0.5,
        skip: bool = False,
    ) -> None:
        """Send there from now on, beginning with what has been kept; sequence numbers and timestamps go on.

        Args:
            rtp, rtcp: address literals.
            hurry: how much faster than it was said that which has been kept is sent.
            skip: leave it out instead: a gap in the timestamps.

        Raises:
            MediaError: an address or the keys cannot be used.
        """

    def lose(self) -> None:
        """Nobody is to get it at the moment: keep what there is room for, the oldest goes first."""

    def pause(self, paused: bool) -> None:
        """Leave out what is said from now on (time goes on), or no more."""

    def figures(self) -> CopyFigures:
        """What has been counted so far."""

    def close(self) -> CopyFigures:
        """Send what is left and RTCP's BYE. Later calls return the same."""


OpenCopy = Callable[[Track | None, float], RtpCopy]
"""What `Stream.copy` asks for a copy: the track (None: both mixed), and the seconds to keep."""
