"""The rules of ext/media/voice.pxd once more, in plain Python; see `forkproxy.media.twins`."""

from __future__ import annotations

from dataclasses import dataclass, field

from forkproxy.media.g711 import (
    decode_alaw_sample,
    decode_ulaw_sample,
    encode_alaw_sample,
    encode_ulaw_sample,
)

SAMPLE_NS = 125_000
PAUSE_NS = 200_000_000
BEHIND_NS = 200_000_000
SILENT_NS = 60_000_000
SILENCE = 0xFF


@dataclass(slots=True)
class SpeechQueue:
    """One leg's speech. Times are nanoseconds of any clock, positions octets from the beginning."""

    mixes: bool = False
    passing: int = 0
    """When the time of the other leg's newest packet is over; at first, when the queue was opened."""
    waiting: bytearray = field(default_factory=bytearray)
    written: int = 0
    sent: int = 0
    played: int = 0
    due: int = 0
    short_since: int | None = None
    late: bool = False
    speaking: bool = False
    draining: bool = False
    newest: int | None = None
    cleared: int = 0
    underruns: int = 0
    padded: int = 0

    def write(self, audio: bytes) -> int:
        """Append mu-law."""
        self.waiting += audio
        self.written += len(audio)
        return len(audio)

    def clear(self) -> None:
        """Drop what waits."""
        self.cleared += len(self.waiting)
        self.waiting.clear()
        self.sent = self.played = self.written
        self.short_since = None
        self.speaking = False

    def drain(self) -> None:
        """Nothing more will be written."""
        self.draining = True

    def tick(self, now: int, samples: int = 160) -> list[tuple[bool, bytes]]:
        """The packets that are sent now: of each, whether it comes late, and its octets."""
        packets: list[tuple[bool, bytes]] = []
        if self.mixes and now - self.passing < SILENT_NS:
            self._elapse(now)
            return packets
        while now >= self.due:
            self._elapse(now)
            count = self._amount(samples, now)
            self.late = self.late or count == 0 or now - self.due > BEHIND_NS
            if count == 0:
                break
            packets.append((self.late, self._take(count).ljust(samples, bytes([SILENCE]))))
            self.padded += count < samples
            if self.late:
                self.underruns += self.speaking and not self.mixes
                self.due = now
            self.due += samples * SAMPLE_NS
            self.late, self.speaking = False, True
        return packets

    def mix(self, payload: bytes, sequence: int, now: int, alaw: bool = False) -> bytes:
        """A packet of the other leg's, as it is sent on."""
        self.passing = now + len(payload) * SAMPLE_NS
        if self.newest is not None and (sequence - self.newest - 1) % 65536 >= 32767:
            return payload
        self.newest = sequence
        self._elapse(now)
        count = self._amount(len(payload), now)
        if count == 0:
            return payload
        self.played = self.sent
        decode = decode_alaw_sample if alaw else decode_ulaw_sample
        encode = encode_alaw_sample if alaw else encode_ulaw_sample
        both = (
            max(-32768, min(32767, decode(theirs) + decode_ulaw_sample(ours)))
            for theirs, ours in zip(payload, self._take(count), strict=False)
        )
        self.due = now + len(payload) * SAMPLE_NS
        self.late = self.speaking = True
        return bytes(map(encode, both)) + payload[count:]

    @property
    def replaces(self) -> bool:
        """Whether the other leg's packets have to stay behind."""
        return not self.mixes and (self.speaking or bool(self.waiting))

    @property
    def state(self) -> dict[str, int]:
        """Positions and figures, by name."""
        names = ("written", "sent", "played", "due", "cleared", "underruns", "padded")
        return {name: getattr(self, name) for name in names}

    def _elapse(self, now: int) -> None:
        if now >= self.due:
            self.played = self.sent
            if now - self.due >= PAUSE_NS or (self.draining and not self.waiting):
                self.speaking = False

    def _amount(self, samples: int, now: int) -> int:
        left = len(self.waiting)
        if 0 < left < samples and not self.draining:
            if self.short_since is None:
                self.short_since = now
            if now - self.short_since < samples * SAMPLE_NS:
                return 0
        if left:
            self.short_since = None
        return min(left, samples)

    def _take(self, count: int) -> bytes:
        audio = bytes(self.waiting[:count])
        del self.waiting[:count]
        self.sent += count
        return audio
