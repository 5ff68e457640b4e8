"""The media engine: the relay threads, their ports, and the way of frames and events to the event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets

from forkproxy.errors import MediaError
from forkproxy.media._relay import HISTOGRAM_BOUNDS, Relay, RelayLeg
from forkproxy.media.leg import MediaLeg
from forkproxy.media.ports import PortRange
from forkproxy.model import Histogram, InbandMode

log = logging.getLogger(__name__)

WINDOW_MS = 60
"""How long a frame is held back for packets that were overtaken on their way."""

MOST_THREADS = 64

MOS_BOUNDS = (1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.2, 4.4)
"""What the histogram of ended legs' scores counts up to."""

_COUNTERS = {
    "packets_in": "packets_received",
    "octets_in": "octets_received",
    "packets_out": "packets_sent",
    "octets_out": "octets_sent",
    "rtcp_in": "rtcp_received",
    "rtcp_out": "rtcp_sent",
    "malformed": "dropped_malformed",
    "malformed_rtcp": "dropped_malformed_rtcp",
    "unknown_source": "dropped_unknown_source",
    "unknown_payload": "dropped_unknown_payload",
    "not_negotiated": "dropped_not_negotiated",
    "not_connected": "dropped_no_bridge",
    "not_sendable": "dropped_not_sendable",
    "held": "dropped_held",
    "replaced": "dropped_replaced",
    "straggler": "dropped_straggler",
    "send_error": "dropped_send_error",
    "srtp_auth_failed": "dropped_srtp_auth_failed",
    "srtp_replayed": "dropped_srtp_replayed",
    "srtp_unsent": "dropped_srtp_unsent",
    "locks": "sources_learned",
    "flooded": "dropped_flooded",
    "malformed_event": "malformed_events",
    "untold_digit": "digits_untold",
    "sockets": "ports",
    "frames_lost": "frames_dropped",
    "callbacks_failed": "callback_errors",
    "speech_refused": "speech_octets_refused",
    "marks_refused": "speech_marks_refused",
}


class MediaEngine:
    """Opens legs. Everything is called on the thread of the event loop that `start` is called in."""

    def __init__(
        self,
        *,
        listen: str = "127.0.0.1",
        ports: tuple[int, int] = (20000, 29999),
        threads: int | None = None,
        window_ms: int = WINDOW_MS,
        dtmf_inband: InbandMode = "off",
    ) -> None:
        """Listen on the address literal `listen`, in the range `ports` (both ends included).

        `threads` relay threads share the legs; None: as many as `usable_cpus` tells. `window_ms` is what the
        taps' frames are held back by, so that overtaken packets still find their place: a multiple of 5 up to
        500. `dtmf_inband` says on which legs keys are looked for in the audio: ``off``, ``fallback`` (those
        without telephone-event) or ``always``.

        Raises:
            MediaError: an argument is out of its range, or the address cannot be listened on.
        """
        threads = usable_cpus() if threads is None else threads
        if not 1 <= threads <= MOST_THREADS:
            raise MediaError(f"media threads: {threads} is not between 1 and {MOST_THREADS}")
        if not 0 <= window_ms <= 500 or window_ms % 5:
            raise MediaError(f"media window: {window_ms} ms is not a multiple of 5 up to 500")
        self.ports = PortRange(listen, *ports)
        self.threads = threads
        """Relay threads."""
        self.window_ms = window_ms
        self.dtmf_inband = dtmf_inband
        try:
            self._relay = Relay(threads, window_ms, _callback_failed)
        except OSError as error:
            raise MediaError(f"media cannot start: {error.strerror or error}") from error
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._legs: set[MediaLeg] = set()
        self._mos = Histogram.empty(MOS_BOUNDS)

    def start(self) -> None:
        """Start the relay threads, and serve taps, prompts and speakers in the running event loop.

        Raises:
            MediaError: the system refuses a thread or a file descriptor.
        """
        if self._closed or self._loop is not None:
            raise MediaError("a media engine is started once")
        try:
            self._relay.start()
        except OSError as error:
            raise MediaError(f"media cannot start: {error.strerror or error}") from error
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._relay.fileno(), self._relay.dispatch)

    def close(self) -> None:
        """Close all legs (their taps get what is there) and end the threads. Later calls do nothing."""
        if self._closed:
            return
        self._closed = True
        for leg in list(self._legs):
            leg.close()
        if self._loop is not None:
            self._loop.remove_reader(self._relay.fileno())
            self._loop = None
        self._relay.close()

    def open_leg(self, label: str = "") -> MediaLeg:
        """Bind a pair of ports; `label` is for logs.

        Raises:
            PortsExhausted: no pair of ports is left.
            MediaError: the engine does not run, or the system refuses a socket.
        """
        if self._loop is None:
            raise MediaError("the media engine does not run")
        rtp, rtcp = self.ports.bind()
        port = int(rtp.getsockname()[1])
        try:
            # Where the stream begins must not be guessed either (RFC 3550 section 5.1).
            # Far from the sequence number's first wrap, which SRTP receivers must not miss (RFC 3711 3.3.1).
            numbers = secrets.randbits(32), secrets.randbits(15), secrets.randbits(32)
            core = RelayLeg(self._relay, rtp.fileno(), rtcp.fileno(), *numbers)
        except OSError as error:
            rtp.close()
            rtcp.close()
            self.ports.give_back(port)
            raise MediaError(f"media cannot open a leg: {error.strerror or error}") from error
        rtp.detach()  # the relay closes them
        rtcp.detach()
        leg = MediaLeg(self, core, self.ports.host, port, label)
        self._legs.add(leg)
        return leg

    def forget(self, leg: MediaLeg) -> None:
        """For `MediaLeg.close`."""
        self._legs.discard(leg)
        self.ports.give_back(leg.rtp_port)
        score = leg.figures().mos
        if score is not None:
            self._mos = self._mos.with_(score)

    def histograms(self) -> dict[str, Histogram]:
        """Delays in seconds, and the scores of the legs that are closed; docs/operations.md explains each."""
        bounds = tuple(bound / 1e9 for bound in HISTOGRAM_BOUNDS)
        delays = {
            f"{name}_seconds": Histogram(bounds, tuple(counts), total / 1e9)
            for name, (counts, total) in self._relay.histograms().items()
        }
        return delays | {"mos": self._mos}

    def counters(self) -> dict[str, int]:
        """What stands open (legs, ports, taps, rings, playbacks, speakers, srtp_sessions), and totals.

        All names are explained in docs/media.md.
        """
        return {_COUNTERS.get(name, name): value for name, value in self._relay.counters().items()}


def usable_cpus() -> int:
    """The CPUs that this process may run on, at most MOST_THREADS.

    `taskset`, systemd's ``AllowedCPUs`` and a container's cpuset limit them; a quota of CPU time does not.
    """
    return min(len(os.sched_getaffinity(0)), MOST_THREADS)


def _callback_failed(error: Exception) -> None:
    log.error("a callback of a tap, prompt or speaker failed; the others go on", exc_info=error)
