"""Sinks as a connector's native code offers them (sink.h), made of Python functions."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field

from forkproxy.connectors.sinks import NAME, VERSION
from forkproxy.model import FRAME_BYTES


class _Moment(ctypes.Structure):
    _fields_ = (("payload", ctypes.c_void_p * 2), ("octets", ctypes.c_uint32), ("flags", ctypes.c_uint8 * 2))


_Write = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint64, ctypes.POINTER(_Moment))


class _Struct(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("context", ctypes.c_void_p), ("write", _Write))


_new = ctypes.pythonapi.PyCapsule_New
_new.restype, _new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


@dataclass(frozen=True, slots=True)
class Moment:
    """What a sink was given; a track that was not wanted is None."""

    number: int
    payloads: tuple[bytes | None, bytes | None]
    flags: tuple[int, int]


@dataclass
class RecordingSink:
    """Remembers what it is given, as long as `takes` says so."""

    takes: Callable[[int], bool] = lambda number: True
    version: int = VERSION
    heard: list[Moment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._struct = _Struct(self.version, None, _Write(self._write))

    @property
    def capsule(self) -> object:
        """This object must live as long as the capsule is in use."""
        return _new(ctypes.addressof(self._struct), NAME, None)

    def _write(self, _context: object, number: int, at: ctypes._Pointer[_Moment]) -> int:
        if not self.takes(number):
            return 1
        moment = at.contents
        assert moment.octets == FRAME_BYTES
        payloads = [address and ctypes.string_at(address, FRAME_BYTES) for address in moment.payload]
        self.heard.append(Moment(number, tuple(payloads), tuple(moment.flags)))
        return 0
