"""What is written down of a call when it is over: the call-detail record, docs/operations.md has its schema.

A record holds plain values only, and is filled in as things happen: it is whole however the call ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from forkproxy import logs
from forkproxy.media import LegFigures
from forkproxy.model import CallInfo
from forkproxy.signalling import IncomingLeg, OutgoingLeg
from forkproxy.signalling import events as sip
from forkproxy.signalling.sdp import AudioSession

VERSION = 1
"""Of the schema. A new key does not change it; a key that goes, or means something else, does."""
MOST_WARNINGS = 20
"""Warnings of one call that are kept; a flow in a circle must not fill the memory."""
MOST_PARTS = 200
"""Legs, and streams, of one call that are kept, the first ones; for the same reason."""

Entry = dict[str, Any]
Sink = Callable[[Mapping[str, Any]], None]


class CallRecord:
    """One call's record. `clock` is the loop's; `epoch` is the wall clock's time at its 0."""

    def __init__(
        self, info: CallInfo, leg: IncomingLeg, trunk: str | None, clock: Callable[[], float], epoch: float
    ) -> None:
        self._clock = clock
        self._epoch = epoch
        self._began = clock()
        self._answered: float | None = None
        self._caller = self._leg("caller", leg.from_uri, trunk)
        self._caller |= {"sip_call_id": leg.call_id, "remote": str(leg.remote)}
        self._callees: dict[int, Entry] = {}
        self._legs = [self._caller]
        self._streams: list[Entry] = []
        self._warnings: list[Entry] = []
        self._of_call: Entry = {
            "version": VERSION,
            "sid": info.sid,
            "account_sid": info.account_sid,
            "direction": info.direction,
            "from": info.from_,
            "to": info.to,
            "trunk": trunk,
            "flow": None,
            "widget": None,
        }
        self.keys = 0
        """Keys that the caller pressed."""
        self.masked = False
        """Whether the call was masked at any time."""

    def _leg(self, name: str, uri: str, trunk: str | None) -> Entry:
        return {
            "leg": name,
            "sip_call_id": "",
            "uri": uri,
            "remote": "",
            "trunk": trunk,
            "began": self._stamp(self._clock()),
            "rang": None,
            "answered": None,
            "ended": None,
            "status": None,
            "reason": "",
            "by": None,
            "codec": None,
            "srtp": False,
            "media": None,
        }

    # What happens to the legs

    def caller(self, event: sip.LegEvent) -> None:
        """Something of the caller's leg; its answer is `answered`."""
        if isinstance(event, sip.Ended):
            self._ended(self._caller, event.status, event.reason, event.by)

    def answered(self) -> None:
        """The caller has been answered."""
        if self._answered is None:
            self._answered = self._clock()
            self._caller["answered"] = self._stamp(self._answered)

    def dialled(self, key: int, uri: str, trunk: str | None) -> None:
        """A second leg is begun."""
        self._callees[key] = self._leg(f"callee_{key}", uri, trunk)
        if len(self._legs) < MOST_PARTS:
            self._legs.append(self._callees[key])

    def callee(self, key: int, event: sip.LegEvent, leg: OutgoingLeg | None) -> None:
        """Something of a second leg."""
        entry = self._callees.get(key)
        if entry is None:
            return
        if leg is not None:
            entry |= {"sip_call_id": leg.call_id, "remote": str(leg.remote)}
        match event:
            case sip.Progress() if event.status in (180, 181, 182, 183) and entry["rang"] is None:
                entry["rang"] = self._stamp(self._clock())
            case sip.Answered():
                entry["answered"] = self._stamp(self._clock())
            case sip.Ended():
                self._ended(entry, event.status, event.reason, event.by)
            case _:
                pass

    def not_dialled(self, key: int, status: int, reason: str) -> None:
        """A second leg could not be begun."""
        entry = self._callees.pop(key, None)
        if entry is not None:
            self._ended(entry, status, reason, "local")

    def agreed(self, key: int | None, session: AudioSession | None, encrypted: bool) -> None:
        """What a leg speaks; `key` None: the caller's."""
        entry = self._caller if key is None else self._callees.get(key)
        if entry is not None and session is not None:
            codecs = [codec.key for codec in session.codecs if codec.is_audio]
            entry |= {"codec": codecs[0] if codecs else None, "srtp": encrypted}

    def heard(self, key: int | None, figures: LegFigures) -> None:
        """A leg's packets, when it is closed; of a second leg it is the last that is told."""
        entry = self._caller if key is None else self._callees.pop(key, None)
        if entry is not None:
            entry["media"] = media(figures)

    def _ended(self, entry: Entry, status: int, reason: str, by: str) -> None:
        entry |= {"ended": self._stamp(self._clock()), "status": status, "reason": reason, "by": by}

    # What happens to the streams and in the flow

    def stream(self, **entry: Any) -> None:
        """A stream has ended, or could not be created."""
        if len(self._streams) < MOST_PARTS:
            self._streams.append(entry)

    def warned(self, code: int | None, message: str, widget: str) -> None:
        """The flow's author was warned."""
        if len(self._warnings) < MOST_WARNINGS:
            self._warnings.append({"code": code, "message": message, "widget": widget})

    def at(self, flow: str, widget: str | None) -> None:
        """The flow, and where in it the call is."""
        self._of_call |= {"flow": flow, "widget": widget or self._of_call["widget"]}

    # The end

    def finish(self, reason: str) -> Mapping[str, Any]:
        """The record as it is written."""
        now = self._clock()
        talked = 0.0 if self._answered is None else now - self._answered
        status = 200 if self._answered is not None else self._caller["status"]
        return self._of_call | {
            "began": self._stamp(self._began),
            "answered": self._caller["answered"],
            "ended": self._stamp(now),
            "seconds": round(now - self._began, 3),
            "talk_seconds": round(talked, 3),
            "status": status,
            "reason": reason,
            "ended_by": self._ended_by(),
            "keys": self.keys,
            "masked": self.masked,
            "legs": self._legs,
            "streams": self._streams,
            "warnings": self._warnings,
        }

    def _ended_by(self) -> str:
        """Who or what ended the call, seen from the caller."""
        match self._caller["by"]:
            case "remote":
                return "caller"
            case "timeout" | "transport" as network:
                return str(network)
        last = self._legs[-1]
        if last is not self._caller and last["by"] == "remote":
            return "callee"
        return "forkproxy"

    def _stamp(self, moment: float) -> str:
        return logs.stamp(moment + self._epoch)


def refused(
    info: CallInfo, leg: IncomingLeg, trunk: str | None, status: int, reason: str, now: float
) -> Mapping[str, Any]:
    """The record of a call that no flow was run for; `now` is the wall clock's time."""
    record = CallRecord(info, leg, trunk, lambda: now, 0.0)
    record.caller(sip.Ended(status, reason, "local"))
    return record.finish(reason)


def media(figures: LegFigures) -> Entry:
    """A leg's packets and how good its audio arrived."""
    expected = figures.packets_in - figures.duplicate + figures.lost
    return {
        "mos": None if figures.mos is None else round(figures.mos, 2),
        "loss_percent": round(100 * figures.lost / expected, 2) if expected > 0 else 0.0,
        "jitter_ms": round(figures.jitter_ms, 1),
        "round_trip_ms": None if figures.round_trip_ms is None else round(figures.round_trip_ms, 1),
        "packets_in": figures.packets_in,
        "octets_in": figures.octets_in,
        "packets_out": figures.packets_out,
        "octets_out": figures.octets_out,
        "lost": figures.lost,
        "late": figures.late,
        "reordered": figures.reordered,
        "duplicate": figures.duplicate,
        "concealed": figures.concealed,
        "unknown_source": figures.unknown_source,
        "srtp_auth_failed": figures.srtp_auth_failed,
    }
