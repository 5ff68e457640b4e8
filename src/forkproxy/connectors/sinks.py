"""Calls a connector's native sink from Python, as a relay's sender thread would: for connectors' tests."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter

from forkproxy.model import Frame, Track

NAME, VERSION = b"forkproxy.connectors.sink", 1
"""As sink.h has them."""


class _Moment(ctypes.Structure):
    _fields_ = (("payload", ctypes.c_char_p * 2), ("octets", ctypes.c_uint32), ("flags", ctypes.c_uint8 * 2))


_Write = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint64, ctypes.POINTER(_Moment))


class _Sink(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("context", ctypes.c_void_p), ("write", _Write))


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)


class Sink:
    """A capsule as sink.h describes it."""

    def __init__(self, capsule: object) -> None:
        """
        Raises:
            ValueError: it is none, or one of another version.
        """
        self._capsule = capsule  # keeps what it points to alive
        self._c = _Sink.from_address(_pointer(capsule, NAME))
        if self._c.version != VERSION:
            raise ValueError(f"a sink of version {self._c.version}, not {VERSION}")

    def write(self, moment: Sequence[Frame]) -> bool:
        """Give it the frames of one number; False: it has refused them. The GIL is not held meanwhile."""
        c = _Moment()
        for frame in moment:
            track = int(frame.track is Track.OUTBOUND)
            c.payload[track] = frame.payload
            c.flags[track] = frame.flags
            c.octets = len(frame.payload)
        return not self._c.write(self._c.context, moment[0].number, ctypes.byref(c))


class FakeTap:
    """A tap whose frames the test makes: they go to `on_frames`, or to the sink that has been attached."""

    def __init__(self, on_frames: Callable[[list[Frame]], None], tracks: Sequence[Track]) -> None:
        self.sent = 0
        """Frames that sinks have taken."""
        self._on_frames = on_frames
        self._tracks = tracks
        self._sink: Sink | None = None

    @property
    def is_attached(self) -> bool:
        return self._sink is not None

    def attach(self, sink: object) -> bool:
        """`Source.attach`."""
        if self._sink is not None:
            return False
        self._sink = Sink(sink)
        return True

    def detach(self) -> None:
        """`Source.detach`."""
        self._sink = None

    def feed(self, frames: list[Frame]) -> None:
        """Frames of both tracks, in order; those of tracks that the stream does not have are left out."""
        rest = [frame for frame in frames if frame.track in self._tracks]
        while rest and self._sink is not None:
            _, members = next(groupby(rest, attrgetter("number")))
            moment = list(members)
            if not self._sink.write(moment):
                self.detach()
                break
            self.sent += len(moment)
            del rest[: len(moment)]
        self._on_frames(rest)
