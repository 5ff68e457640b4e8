"""What is counted, and how Prometheus reads it.

`METRICS` describes every counter by the name that the code uses. The exposed name is ``forkproxy_`` and that
name, with ``_total`` behind it when it only ever grows. A counter that is kept for every status or code has
the number at its end (``calls_rejected_486``); `FAMILIES` makes that a label.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from forkproxy.model import Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One number that an operator can watch."""

    kind: Kind
    """``counter`` only ever grows while the process runs; ``gauge`` is how it is now."""
    help: str


@dataclass(frozen=True, slots=True)
class Family:
    """Counters that differ by a number only."""

    name: str
    label: str
    help: str


def _gauge(text: str) -> Metric:
    return Metric("gauge", text)


def _counter(text: str) -> Metric:
    return Metric("counter", text)


METRICS: dict[str, Metric] = {
    # Calls and streams
    "calls": _counter("Incoming calls, refused ones included."),
    "calls_active": _gauge("Calls of which anything is left: a leg, or a stream that is being handed over."),
    "calls_ended": _counter("Calls that were taken and have ended."),
    "calls_rejected": _counter("Incoming calls that were refused or failed before they were answered."),
    "calls_failed_over": _counter("Times that an outgoing call went on to the next trunk."),
    "calls_redirected": _counter("Times that an outgoing call went where a 3xx said."),
    "redirects_refused": _counter("3xx that led nowhere where a call may go, or were not to be followed."),
    "calls_recorded": _counter("Recorded calls that recording clients (SIPREC) sent."),
    "recorded_metadata_refused": _counter("Metadata of recording clients that could not be read."),
    "calls_limited": _counter("Calls that found no room on a trunk, in either direction."),
    "streams": _counter("Streams that flows asked for."),
    "streams_active": _gauge("Streams that have not ended."),
    "stream_unsent_octets": _gauge("Octets that were given to streams' connections and not sent yet."),
    "stream_oldest_seconds": _gauge("Age of the oldest audio that waits for a stream's consumer."),
    "streams_failed": _counter("Streams that could not be created or ended early."),
    "stream_frames_dropped": _counter("Frames of 20 ms lost because a stream's consumer was too slow."),
    "connectors_abandoned": _counter(
        "Connectors that did not end when they were cancelled, and were left behind."
    ),
    "recordings_required_lost": _counter(
        "Calls that were refused or ended because a recorder that is required failed."
    ),
    "legs_inactive": _counter(
        "Times that a phone, which should, had sent no audio for media.inactivity (30 s if that is null)."
    ),
    "calls_inactive": _counter("Calls that were hung up for that."),
    "internal_errors": _counter("Faults of forkproxy's own that calls survived; the log has each."),
    "tap_frames_dropped": _counter("Frames of 20 ms lost because this process fetched them too late."),
    # SIP: what is held
    "sip_legs": _gauge("SIP call legs."),
    "sip_dialogs": _gauge("SIP dialogs."),
    "sip_transactions": _gauge("SIP transactions; those of an ended call live for 32 seconds more."),
    "sip_transports": _gauge("SIP transports."),
    "sip_tcp_connections": _gauge("TCP connections for SIP."),
    "sip_tls_connections": _gauge("TLS connections for SIP, those in their handshake included."),
    "sip_pools": _gauge("PJSIP's memory pools."),
    "sip_pool_bytes": _gauge("Octets in PJSIP's memory pools."),
    # SIP: messages
    "sip_received": _counter("SIP messages received."),
    "sip_sent": _counter("SIP messages sent, retransmissions included."),
    "sip_calls_in": _counter("Incoming calls that were admitted."),
    "sip_calls_out": _counter("Outgoing calls that were begun."),
    "sip_failed_over": _counter("Times that an outgoing call went on to the trunk's next address."),
    "sip_registrations_failed": _counter("Attempts to register with a carrier that failed."),
    "sip_options": _counter("OPTIONS requests that were answered."),
    "sip_refreshed": _counter(
        "Re-INVITE and UPDATE requests that left the session as it was, and were accepted."
    ),
    "sip_sessions_expired": _counter("Legs that ended because nobody refreshed their session (RFC 4028)."),
    "sip_requests_passed": _counter("INFO, MESSAGE, REFER and NOTIFY requests within calls."),
    "sip_reoffers": _counter("Re-INVITE requests that wanted another session: hold, codecs, addresses."),
    "sip_updated": _counter("UPDATE requests that changed the session."),
    "sip_reoffers_refused": _counter(
        "Re-INVITE and UPDATE requests that wanted another session, and did not get it."
    ),
    "sip_refused": _counter("Requests outside calls that were refused: 403, 401, or without an answer."),
    "sip_refused_unknown": _counter("Requests from addresses that no trunk accepts."),
    "sip_refused_unreadable": _counter("Requests from something that is no address."),
    "sip_refused_challenged": _counter("INVITEs that were asked for a password."),
    "sip_refused_password": _counter("INVITEs with a wrong name or password, or an answer used before."),
    "sip_refused_full": _counter("Calls refused with 503: sip.max_calls."),
    "sip_refused_rate": _counter("Calls refused with 503: sip.max_rate."),
    "sip_refused_lag": _counter("Calls refused with 503: sip.max_lag."),
    "sip_lag_seconds": _gauge("Seconds that work was late by, at most, within the last second."),
    "sip_dropped_banned": _counter("Requests and connections of banned addresses, which nobody looked at."),
    "sip_dropped_flooding": _counter("Requests over sip.source_rate, which nobody looked at."),
    "sip_dropped_unanswered": _counter("Requests of strangers that got no answer: sip.strangers."),
    "sip_bans": _counter("Bans of addresses."),
    "sip_banned": _gauge("Addresses that are banned."),
    "sip_refused_draining": _counter("Calls refused with 503 while draining."),
    "sip_methods_refused": _counter("Requests of a method that is not supported, refused with 405 or 501."),
    "sip_unacceptable": _counter("Calls that asked for what is not supported (400, 415, 420, 422)."),
    "sip_merged": _counter("Requests that came a second time by another way, refused with 482."),
    "sip_too_many_hops": _counter("Requests whose Max-Forwards was used up, refused with 483."),
    "sip_unmatched": _counter("Requests within dialogs that do not exist, refused with 481."),
    "sip_stray_requests": _counter("Requests that belong to nothing and want no answer, an ACK say."),
    "sip_stray_responses": _counter("Responses to nothing that was sent."),
    "sip_keepalives": _counter("Empty keep-alive packets."),
    "sip_mended": _counter("Messages with a slip that was mended before they were read."),
    "sip_malformed": _counter("Messages that could not be used; the next ones say why."),
    "sip_malformed_syntax": _counter("Messages that are no SIP."),
    "sip_malformed_header": _counter("Messages without a mandatory header, or with one that cannot be read."),
    "sip_malformed_length": _counter("Messages whose Content-Length is wrong."),
    "sip_malformed_oversize": _counter("Messages larger than 64 kB."),
    "sip_malformed_empty": _counter("Datagrams with nothing in them."),
    "sip_malformed_sdp": _counter("Session descriptions that cannot be read."),
    "sip_send_errors": _counter("Messages that could not be sent."),
    "sip_connections_refused": _counter("TCP and TLS connections refused because there were too many."),
    "sip_connections_failed": _counter("TCP and TLS connections that could not be made."),
    "sip_connections_idle": _counter("TCP and TLS connections closed because nothing came."),
    "sip_connections_stalled": _counter("TCP and TLS connections closed because the peer did not read."),
    "sip_connections_dead": _counter("Connections of ours closed because a keep-alive was not answered."),
    "sip_tls_failed": _counter(
        "TLS handshakes that failed or took too long, and TLS connections that broke."
    ),
    "sip_tls_reloaded": _counter("Times that the certificates were read again."),
    # RTP: what is held
    "rtp_legs": _gauge("RTP legs."),
    "rtp_ports": _gauge("UDP sockets that are bound for RTP and RTCP."),
    "rtp_taps": _gauge("Taps: streams that copy a leg's audio."),
    "rtp_rings": _gauge("Frame rings: legs whose audio is copied."),
    "rtp_playbacks": _gauge("Prompts that are being played."),
    "rtp_srtp_sessions": _gauge("SRTP sessions: one for each direction of an encrypted leg."),
    "rtp_speakers": _gauge("Streams that may send audio into a call."),
    # RTP: packets
    "rtp_packets_received": _counter("Valid RTP packets received."),
    "rtp_octets_received": _counter("Octets of valid RTP packets received."),
    "rtp_packets_sent": _counter("RTP packets sent."),
    "rtp_octets_sent": _counter("Octets of RTP packets sent."),
    "rtp_rtcp_received": _counter("Valid RTCP packets received."),
    "rtp_rtcp_sent": _counter("RTCP packets sent."),
    "rtp_sources_learned": _counter("Times that the address a phone sends from was learned and locked."),
    "rtp_dropped_malformed": _counter("Packets at RTP ports that are no RTP."),
    "rtp_dropped_malformed_rtcp": _counter("Packets at RTCP ports that are no RTCP."),
    "rtp_dropped_unknown_source": _counter("Packets from an address that is not the phone's."),
    "rtp_dropped_unknown_payload": _counter("Packets of a payload type that was not negotiated."),
    "rtp_dropped_not_negotiated": _counter("Packets that came before the session was negotiated."),
    "rtp_dropped_no_bridge": _counter("Packets not forwarded: there was no other leg."),
    "rtp_dropped_not_sendable": _counter(
        "Packets not forwarded: the other leg had no address or codec for them."
    ),
    "rtp_dropped_held": _counter("Packets not forwarded: the negotiated direction forbids it."),
    "rtp_dropped_replaced": _counter("Packets not forwarded: a prompt or speech was sent instead."),
    "rtp_dropped_flooded": _counter("Packets beyond 128 in 20 ms on one port."),
    "rtp_dropped_straggler": _counter("Packets not forwarded: another source had already taken over."),
    "rtp_dropped_send_error": _counter("Packets that the kernel refused to send."),
    "rtp_dropped_srtp_auth_failed": _counter("Packets not sealed with the SRTP keys that the phone gave."),
    "rtp_dropped_srtp_replayed": _counter("SRTP packets that had come before."),
    "rtp_dropped_srtp_unsent": _counter(
        "Packets not sent: their sequence number had been used with the SRTP key."
    ),
    "rtp_frames_dropped": _counter("Frames of 20 ms that taps lost because they were fetched too late."),
    "rtp_speech_octets_refused": _counter(
        "Octets of mu-law from streams that were refused: too much audio waited to be played."
    ),
    "rtp_speech_marks_refused": _counter("Marks from streams that were refused: too many waited."),
    "rtp_copies": _gauge("Tracks of calls that are being sent to recorders."),
    "rtp_copy_packets": _counter("RTP packets sent to recorders."),
    "rtp_copy_octets": _counter("Octets of audio in them."),
    "rtp_copy_frames_dropped": _counter(
        "Frames of 20 ms that no recorder got: there was none, and no room to keep them."
    ),
    "rtp_copy_send_errors": _counter("Packets to recorders that could not be sent."),
    "rtp_copy_reports": _counter("RTCP reports of recorders on what they receive."),
    "rtp_callback_errors": _counter("Failures in what takes the taps' frames; the log has each."),
    "rtp_malformed_events": _counter("Telephone-event packets too short to be one; forwarded all the same."),
    "rtp_digits_untold": _counter(
        "Key presses not told to flow and streams: beyond 25 a second of one phone."
    ),
    "rtp_events_lost": _counter("Events (digits, ...) that the event loop was too slow to take."),
    "rtp_wakeups": _counter("Times that a relay thread woke up."),
    # Call-detail records
    "cdr_written": _counter("Call-detail records written."),
    "cdr_lost": _counter("Call-detail records that could not be written; the log says why."),
    "cdr_waiting": _gauge("Call-detail records that wait to be written."),
    # Traces of single calls
    "trace_packets_written": _counter("Packets written to traces of single calls."),
    "trace_packets_lost": _counter("Packets missing in their trace: it was full, or could not be written."),
    "rtp_taps_attached": _gauge("Taps whose frames native code sends, without Python."),
    "rtp_sender_wakeups": _counter("Times that a sender thread woke up."),
    # The HTTP server and the log
    "http_requests": _counter("Requests to the HTTP server."),
    "http_bad_requests": _counter("Requests to the HTTP server that were malformed."),
    "http_connections_refused": _counter("Connections to the HTTP server beyond its limit, closed at once."),
    "log_lines_dropped": _counter("Log lines lost because standard error was not read fast enough."),
}

FAMILIES: dict[str, Family] = {
    "calls_rejected": Family(
        "calls_rejected_by_status", "status", "Refused calls by the SIP status they got."
    ),
    "streams_failed": Family("streams_failed_by_code", "code", "Failed streams by Twilio's error code."),
    "stream_warnings": Family("stream_warnings_by_code", "code", "Warnings about streams by Twilio's code."),
    "warnings": Family("warnings_by_code", "code", "Warnings about flows by Twilio's code."),
}

HISTOGRAMS: dict[str, str] = {
    "rtp_relay_delay_seconds": (
        "From a packet's arrival at the kernel to when it has been sent on; one packet in 61 is measured."
    ),
    "rtp_tap_delay_seconds": (
        "From the arrival of a frame's newest packet to when taps can read it, the window included; sampled."
    ),
    "rtp_tap_lateness_seconds": "By how much frames come to the taps later than the window wants.",
    "rtp_send_delay_seconds": (
        "From the arrival of a frame's newest packet to when native code has written its message to the "
        "consumer's socket, the window included; sampled."
    ),
    "rtp_send_lateness_seconds": "By how much native code writes frames later than the window wants.",
    "rtp_mos": "How good phones' audio arrived, 1 to 4.41 (E-model); one value for each leg that has ended.",
}
"""What is kept as histograms, by the name that the code uses."""

TRUNKS: dict[str, Metric] = {
    "trunk_up": _gauge("1 while one of the trunk's addresses answers, as far as is known; 0 otherwise."),
    "trunk_registered": _gauge("1 while the trunk is registered; only trunks that register are there."),
    "trunk_calls": _gauge("Calls on the trunk, in both directions."),
    "trunk_refused": _counter("Calls that found no room on the trunk."),
}
"""What is told of each trunk, with its name as the label `trunk`."""

_NUMBERED = re.compile(r"(.+)_(\d+)")


def exposed_name(name: str) -> str:
    """The name that Prometheus sees.

    >>> exposed_name("http_requests")
    'forkproxy_http_requests_total'
    >>> exposed_name("sip_legs")
    'forkproxy_sip_legs'
    """
    metric = METRICS.get(name)
    return _exposed(name, metric is not None and metric.kind == "counter")


def exposition(counters: Mapping[str, int | float]) -> str:
    """The counters in Prometheus's text format 0.0.4. Those that nobody has described are there, untyped."""
    single: dict[str, int | float] = {}
    labelled: dict[str, dict[int, int | float]] = {}
    for name, value in counters.items():
        numbered = _NUMBERED.fullmatch(name)
        if numbered and numbered[1] in FAMILIES:
            labelled.setdefault(numbered[1], {})[int(numbered[2])] = value
        else:
            single[name] = value
    lines: list[str] = []
    for name, value in sorted(single.items()):
        metric = METRICS.get(name)
        text = metric.help if metric else f"The counter {name}, which has no description yet."
        lines += _head(exposed_name(name), text, metric.kind if metric else "untyped")
        lines.append(f"{exposed_name(name)} {_number(value)}")
    for prefix, values in sorted(labelled.items()):
        family = FAMILIES[prefix]
        exposed = _exposed(family.name, True)
        lines += _head(exposed, family.help, "counter")
        lines += [f'{exposed}{{{family.label}="{key}"}} {_number(values[key])}' for key in sorted(values)]
    return "".join(line + "\n" for line in lines)


def histogram_exposition(histograms: Mapping[str, Histogram]) -> str:
    """Histograms in the same format: counts up to each bound, their number and their sum."""
    lines: list[str] = []
    for name, histogram in sorted(histograms.items()):
        exposed = _exposed(name, False)
        lines += _head(exposed, HISTOGRAMS[name], "histogram")
        counts = list(itertools.accumulate(histogram.counts))
        for bound, count in zip((*map(_number, histogram.bounds), "+Inf"), counts, strict=True):
            lines.append(f'{exposed}_bucket{{le="{bound}"}} {count}')
        lines += [f"{exposed}_sum {_number(histogram.total)}", f"{exposed}_count {counts[-1]}"]
    return "".join(line + "\n" for line in lines)


def trunk_exposition(figures: Mapping[str, Mapping[str, float]]) -> str:
    """The trunks' figures, by the names of `TRUNKS` and then by trunk, in the same format."""
    lines: list[str] = []
    for name, by_trunk in sorted(figures.items()):
        metric = TRUNKS[name]
        exposed = _exposed(name, metric.kind == "counter")
        lines += _head(exposed, metric.help, metric.kind)
        for trunk, value in sorted(by_trunk.items()):
            label = trunk.replace("\\", r"\\").replace('"', r"\"")
            lines.append(f'{exposed}{{trunk="{label}"}} {_number(int(value))}')
    return "".join(line + "\n" for line in lines)


def _exposed(name: str, grows: bool) -> str:
    safe = re.sub(r"[^a-zA-Z0-9_]", "_", name)
    return f"forkproxy_{safe}{'_total' if grows and not safe.endswith('_total') else ''}"


def _head(exposed: str, text: str, kind: str) -> list[str]:
    escaped = text.replace("\\", r"\\").replace("\n", r"\n")
    return [f"# HELP {exposed} {escaped}", f"# TYPE {exposed} {kind}"]


def _number(value: int | float) -> str:
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "+Inf" if value > 0 else "-Inf"
        return repr(value)
    return str(int(value))
