"""A call's audio in figures, for the log and for the operator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from forkproxy.media import LegFigures, MaskReport, TapFigures


def summary(figures: LegFigures) -> str:
    """A leg's packets in one line; what is nought and means trouble otherwise is left out."""
    trouble = {
        "lost": figures.lost,
        "late": figures.late,
        "reordered": figures.reordered,
        "duplicate": figures.duplicate,
        "concealed": figures.concealed,
        "masked": figures.inbound.masked,
        "malformed": figures.malformed,
        "unknown_source": figures.unknown_source,
        "unknown_payload": figures.unknown_payload,
        "flooded": figures.flooded,
        "send_errors": figures.send_errors,
        "srtp_auth_failed": figures.srtp_auth_failed,
        "srtp_replayed": figures.srtp_replayed,
        "srtp_unsent": figures.srtp_unsent,
    }
    parts = [f"in {figures.packets_in}", f"out {figures.packets_out}", f"jitter {figures.jitter_ms:.1f} ms"]
    if figures.round_trip_ms is not None:
        parts.append(f"round trip {figures.round_trip_ms:.0f} ms")
    if figures.mos is not None:
        parts.append(f"mos {figures.mos:.2f}")
    return ", ".join(parts + [f"{name} {count}" for name, count in trouble.items() if count])


def leg(name: str, figures: LegFigures) -> dict[str, Any]:
    """A leg for `/calls`."""
    return {
        "leg": name,
        "mos": None if figures.mos is None else round(figures.mos, 2),
        "jitter_ms": round(figures.jitter_ms, 1),
        "round_trip_ms": None if figures.round_trip_ms is None else round(figures.round_trip_ms, 1),
        "idle": None if figures.idle is None else round(figures.idle, 1),
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
    }


def stream(figures: TapFigures | None) -> dict[str, Any]:
    """A stream's frames for `/calls`: on each track, and by flag on each."""
    if figures is None:
        return {}
    flags = {
        name: {str(track): count for track, count in getattr(figures, name).items()}
        for name in ("received", "concealed", "silence", "held", "masked")
    }
    return {"frames": figures.frames, "frames_dropped": figures.dropped, **flags}


def masked(reports: Iterable[MaskReport]) -> tuple[int, float]:
    """Frames on each track of the leg that has the most, and seconds."""
    found = list(reports)
    frames = max((each.frames for each in found), default=0)
    seconds = max(((each.last_ns - each.first_ns) / 1e9 for each in found), default=0.0)
    return frames, seconds
