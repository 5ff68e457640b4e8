"""The formats of an audio stream in session descriptions: names, clock rates, payload types (RFC 3551)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

_STATIC = {0: ("PCMU", 8000), 3: ("GSM", 8000), 4: ("G723", 8000), 8: ("PCMA", 8000), 9: ("G722", 8000),
           13: ("CN", 8000), 15: ("G728", 8000), 18: ("G729", 8000)}  # fmt: skip
"""Payload types that need no rtpmap (RFC 3551, table 4)."""
TELEPHONE_EVENT = "TELEPHONE-EVENT"
_NUMBERS = {"PCMU": 0, "PCMA": 8, "G722": 9, "CN": 13}
_RATES = {
    "PCMU": (8000,),
    "PCMA": (8000,),
    "G722": (8000,),  # it samples at 16 kHz, but its RTP clock stays at 8 by an old mistake (RFC 3551, 4.5.2)
    "L16": (8000, 16000, 24000, 48000),
    "OPUS": (48000,),
    "CN": (8000,),
    TELEPHONE_EVENT: (8000, 16000, 48000),
}
_RTPMAP = re.compile(r"(\d{1,3})\s+([\w.+-]{1,40})/(\d{1,6})(?:/(\d{1,2}))?", re.ASCII)


def _key(name: str, rate: int) -> str:
    return f"{name}/{rate}" if name == "L16" or (name == TELEPHONE_EVENT and rate != 8000) else name


CARRIED = tuple(_key(name, rate) for name, rates in _RATES.items() for rate in rates)
"""The codecs that can be negotiated, by key."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One format of an audio stream."""

    payload_type: int
    name: str
    """Upper case: ``PCMU``, ``L16``, ``TELEPHONE-EVENT``."""
    rate: int = 8000
    """Of the RTP clock."""
    fmtp: str | None = None

    @property
    def key(self) -> str:
        """What the relay calls it: the name, with the rate where a name has several.

        >>> Codec(97, "L16", 16000).key, Codec(101, "TELEPHONE-EVENT").key, Codec(0, "PCMU").key
        ('L16/16000', 'TELEPHONE-EVENT', 'PCMU')
        """
        return _key(self.name, self.rate)

    @property
    def is_audio(self) -> bool:
        """Whether speech can be sent in it: it is neither events nor comfort noise."""
        return self.name not in (TELEPHONE_EVENT, "CN")

    def lines(self) -> list[str]:
        """Its attributes in a description."""
        # Opus is always written as stereo, whatever is sent (RFC 7587, 7).
        written = {TELEPHONE_EVENT: "telephone-event", "OPUS": "opus"}.get(self.name, self.name)
        channels = "/2" if self.name == "OPUS" else ""
        lines = [f"a=rtpmap:{self.payload_type} {written}/{self.rate}{channels}"]
        if self.fmtp:
            lines.append(f"a=fmtp:{self.payload_type} {self.fmtp}")
        return lines


def event_key(rate: int) -> str | None:
    """The telephone-event that goes with audio of this clock rate (RFC 4733, 2.1); None: there is none."""
    return _key(TELEPHONE_EVENT, rate) if rate in _RATES[TELEPHONE_EVENT] else None


def rate_of(key: str) -> int:
    """The clock rate of a codec.

    >>> rate_of("OPUS"), rate_of("L16/16000"), rate_of("G722")
    (48000, 16000, 8000)
    """
    name, _, rate = key.partition("/")
    return int(rate) if rate else _RATES[name][0]


def numbered(keys: Iterable[str], taken: Collection[int] = ()) -> list[Codec]:
    """Codecs by key, with payload types that are not `taken`; those for which none is left are left out.

    >>> numbered(["PCMU", "L16/16000", "TELEPHONE-EVENT"], {96})
    [Codec(payload_type=0, name='PCMU', rate=8000, fmtp=None), \
Codec(payload_type=97, name='L16', rate=16000, fmtp=None), \
Codec(payload_type=101, name='TELEPHONE-EVENT', rate=8000, fmtp='0-16')]
    """
    used = set(taken)
    codecs = []
    for key in keys:
        name = key.partition("/")[0]
        usual = 101 if name == TELEPHONE_EVENT else _NUMBERS.get(key)
        candidates = [] if usual is None else [usual]
        # 101 last: most phones expect events there
        candidates += [*range(96, 101), *range(102, 128), 101]
        number = next((each for each in candidates if each not in used), None)
        if number is not None:
            used.add(number)
            codecs.append(Codec(number, name, rate_of(key), "0-16" if name == TELEPHONE_EVENT else None))
    return codecs


def read(formats: Sequence[str], attributes: Sequence[tuple[str, str]]) -> Iterator[Codec]:
    """The codecs of an m= line with these attributes, in its order; unknown names too, for messages.

    What has a carried name but a clock rate or channels that are not carried is left out.
    """
    names: dict[int, tuple[str, int]] = dict(_STATIC)
    fmtps: dict[int, str] = {}
    for attribute, value in attributes:
        if attribute == "rtpmap":
            match = _RTPMAP.fullmatch(value)
            if match is not None and match[4] in (("2",) if match[2].upper() == "OPUS" else (None, "1")):
                names[int(match[1])] = match[2].upper(), int(match[3])
            elif match is not None:
                names.pop(int(match[1]), None)  # stereo: not ours
        elif attribute == "fmtp":
            number, _, parameters = value.partition(" ")
            if _is_number(number):
                fmtps[int(number)] = parameters.strip()
    seen = set()
    for text in formats:
        payload_type = int(text) if _is_number(text) else -1
        if not 0 <= payload_type <= 127 or payload_type not in names or payload_type in seen:
            continue
        seen.add(payload_type)
        name, rate = names[payload_type]
        if rate in _RATES.get(name, (rate,)):
            yield Codec(payload_type, name, rate, fmtps.get(payload_type))


def _is_number(text: str) -> bool:
    """Short enough to be a payload type: Python refuses to convert thousands of digits."""
    return len(text) <= 3 and text.isascii() and text.isdigit()
