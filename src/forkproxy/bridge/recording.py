"""What connectors that record get of the stack: dialogs over the SIP endpoint, copies over the relay."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from forkproxy.connectors.sip import CopyFigures, CopyKeys, OnRequest, OpenCopy, RtpCopy, SipDialog
from forkproxy.errors import SignallingError, StreamUrlError
from forkproxy.media import MediaCopy, MediaLeg, SrtpKeys
from forkproxy.model import Address, CallInfo, CallState, Party, Track
from forkproxy.signalling import IncomingLeg
from forkproxy.signalling.dialogs import open_dialog

if TYPE_CHECKING:
    from forkproxy.bridge.reoffers import Reoffers
    from forkproxy.bridge.services import Services


class Dialling:
    """Connectors are made before the stack that they dial by; this is what they are given meanwhile."""

    def __init__(self) -> None:
        self._services: Services | None = None

    def serve(self, services: Services) -> None:
        """The stack is there."""
        self._services = services

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
        if self._services is None:
            raise StreamUrlError("forkproxy has not started yet")
        try:
            dialog = await open_dialog(
                self._services.endpoint,
                uri,
                user=user,
                display=display,
                contact_parameters=contact_parameters,
                username=username,
                password=password,
                on_request=on_request,
            )
        except SignallingError as error:
            raise StreamUrlError(str(error)) from error
        dialog.media_host = self._services.media_host(dialog.peer_host, dialog.local_host)
        return dialog


class LegCopy:
    """A `MediaCopy` as connectors see it."""

    def __init__(self, copy: MediaCopy) -> None:
        self._copy = copy
        self.rtp_port = copy.rtp_port
        self.rtcp_port = copy.rtcp_port
        self.ssrc = copy.ssrc
        self.cname = copy.cname
        self.lose = copy.lose
        self.pause = copy.pause

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
        """See `RtpCopy.send_to`."""
        srtp = None if keys is None else SrtpKeys(keys.suite, keys.send, keys.receive)
        self._copy.send_to(rtp, rtcp, codec, payload_type=payload_type, srtp=srtp, hurry=hurry, skip=skip)

    def figures(self) -> CopyFigures:
        """See `RtpCopy.figures`."""
        return self._copy.figures()

    def close(self) -> CopyFigures:
        """See `RtpCopy.close`."""
        return self._copy.close()


def open_copy(media: MediaLeg) -> OpenCopy:
    """How a stream's connector gets copies of this leg's tracks."""

    def open_(track: Track | None, buffer_seconds: float) -> RtpCopy:
        return LegCopy(media.copy(track, buffer_seconds=buffer_seconds))

    return open_


def call_state(info: CallInfo, leg: IncomingLeg, *, secure_media: bool) -> CallState:
    """How a call stands that has just come in."""
    return CallState(
        Party(info.from_, leg.from_display),
        Party(info.to),
        secure_media=secure_media,
        secure_signalling=leg.transport in ("tls", "wss"),
        call_id=leg.call_id,
        session_ids=tuple(value for name, value in leg.headers if name.lower() == "session-id"),
    )


def on_hold(state: CallState, reoffers: Reoffers) -> dict[str, Any]:
    """What has changed in who is passed on to whom, for `Forks.change`.

    Nothing of what a party says is passed on when it does not send, or the other does not want to hear (RFC
    8068 3.2.2).
    """
    caller = "sendrecv" if reoffers.caller is None else reoffers.caller.party.now.remote.direction
    callee = "sendrecv" if reoffers.callee is None else reoffers.callee.party.now.remote.direction
    sends, hears = ("sendrecv", "sendonly"), ("sendrecv", "recvonly")
    return {
        "caller": replace(state.caller, sends=caller in sends and callee in hears),
        "callee": replace(state.callee, sends=callee in sends and caller in hears),
    }
