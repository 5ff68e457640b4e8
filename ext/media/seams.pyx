"""forkproxy.media._seams: the relay's inner parts, one at a time and with the clock in the caller's hand.

For tests: ten simulated minutes of a track take milliseconds, and what the relay computes can be compared
with `forkproxy.media.twins`, which says the same in Python. Nothing else uses this module.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from media.clock cimport (
    Clock,
    clock_close,
    clock_copy,
    clock_cut,
    clock_due,
    clock_open,
    clock_push,
    clock_skip,
)
from media.dtmf cimport HEARD_END, HEARD_FAULT, EventReceiver, Heard, event_packet, event_silence
from media.events cimport EVENT_SLOTS, Event, EventQueue, events_open, events_put, events_take
from media.fuzzed cimport fuzzed
from media.g711 cimport (
    alaw_encode,
    alaw_linear,
    alaw_ulaw,
    g711_fill_tables,
    ulaw_alaw,
    ulaw_encode,
    ulaw_linear,
)
from media.pace cimport Pace, pace_note, pace_until
from media.resample cimport MOST_LINEAR, Past, resample, resample_fill
from media.ring cimport (
    FRAME,
    MOST_UNIT,
    RING_SLOTS,
    Pair,
    Ring,
    ring_copy,
    ring_first,
    ring_free,
    ring_new,
    ring_write,
)
from media.roundtrip cimport RoundTrip, round_trip_begin, round_trip_end
from media.rtcp cimport RtcpMap, rtcp_check, rtcp_translate
from media.rtp cimport RTP_OK, Rtp, rtp_parse, rtp_rewrite
from media.spans cimport Spans, spans_begin, spans_end, spans_touch
from media.stream cimport (
    Reception,
    Sending,
    reception_expected,
    reception_extend,
    reception_note,
    sending_next,
)
from media.tones cimport ToneReceiver, tones_fill, tones_open, tones_silence, tones_take
from media.voice cimport (
    Speech,
    speech_by_itself,
    speech_clear,
    speech_due,
    speech_elapse,
    speech_free,
    speech_mix,
    speech_open,
    speech_packet,
    speech_replaces,
    speech_tidy,
    speech_write,
)

g711_fill_tables()
resample_fill()
tones_fill()

G711 = {
    "ulaw_linear": [ulaw_linear[code] for code in range(256)],
    "alaw_linear": [alaw_linear[code] for code in range(256)],
    "ulaw_alaw": [ulaw_alaw[code] for code in range(256)],
    "alaw_ulaw": [alaw_ulaw[code] for code in range(256)],
}


FUZZED = ("rtp", "rtcp", "clock", "path")
"""What `fuzz` knows, in fuzzed.pxd's order."""


def fuzz(str target, bytes octets):
    """0, or the number of a claim about `target` that these octets break (see fuzzed.pxd)."""
    cdef uint8_t *copy = exact_copy(octets)
    cdef int broken = fuzzed(FUZZED.index(target), copy, len(octets))
    free(copy)
    return broken


def encode_ulaw(int sample):
    return ulaw_encode(sample)


def encode_alaw(int sample):
    return alaw_encode(sample)


def parse_rtp(bytes packet):
    """The header's fields by name, or the number of the fault (RtpFault)."""
    cdef Rtp rtp
    cdef uint8_t *copy = exact_copy(packet)
    cdef int fault = rtp_parse(copy, len(packet), &rtp)
    free(copy)
    if fault != RTP_OK:
        return fault
    return rtp


def rewrite_rtp(bytes packet, int payload_type, bint marker, int sequence, uint32_t timestamp, uint32_t ssrc):
    """`packet`, at least a header long, with other numbers."""
    cdef bytearray copy = bytearray(packet)
    rtp_rewrite(copy, payload_type, marker, sequence, timestamp, ssrc)
    return bytes(copy)


def check_rtcp(bytes packet):
    cdef uint8_t *copy = exact_copy(packet)
    cdef bint good = rtcp_check(copy, len(packet))
    free(copy)
    return good


def translate_rtcp(bytes packet, **numbers):
    """A checked compound packet, translated by the RtcpMap `numbers`."""
    cdef RtcpMap map = numbers
    cdef uint8_t *copy = exact_copy(packet)
    cdef bytes result = copy[:rtcp_translate(copy, len(packet), &map)]
    free(copy)
    return result


cdef uint8_t *exact_copy(bytes packet) except NULL:
    """Exactly as many octets as there are: a sanitizer then sees the first one read beyond."""
    cdef uint8_t *copy = <uint8_t *>malloc(max(len(packet), 1))
    if copy == NULL:
        raise MemoryError
    memcpy(copy, <const uint8_t *>packet, len(packet))
    return copy


cdef class TrackClock:
    """A track's clock; times are nanoseconds of any clock."""

    cdef Clock c
    cdef int64_t window_ns

    def __cinit__(self, int window_ms=60, int64_t start=0, int unit=1):
        """`unit`: octets at a place; 1: mu-law."""
        self.window_ns = window_ms * <int64_t>1000000
        if not clock_open(&self.c, start, (window_ms + 19) // 20, unit):
            raise MemoryError

    def __dealloc__(self):
        clock_close(&self.c)

    def push(
        self, uint64_t source, int sequence, uint32_t timestamp, bytes payload, int64_t now, bint alaw=False
    ):
        """A packet arrives."""
        cdef const uint8_t *table = alaw_ulaw if alaw else NULL
        clock_push(&self.c, source, sequence, timestamp, payload, len(payload) // self.c.unit, table, now)

    def skip(self, uint64_t source, int sequence, int64_t now):
        """A telephone-event's packet arrives."""
        clock_skip(&self.c, source, sequence, now)

    @property
    def due(self):
        """When the next frame is to be cut."""
        return clock_due(&self.c, self.window_ns)

    def cut(self):
        """The next frame's flags and octets."""
        cdef uint8_t frame[FRAME * MOST_UNIT]
        cdef int flags = clock_cut(&self.c, frame)
        return flags, frame[:FRAME * self.c.unit]

    def copy(self):
        """Another clock in the same state."""
        cdef TrackClock other = TrackClock()
        clock_close(&other.c)
        other.window_ns = self.window_ns
        if not clock_copy(&other.c, &self.c):
            raise MemoryError
        return other

    @property
    def figures(self):
        return self.c.figures


cdef class Resampler:
    """From one rate to another, packet by packet."""

    cdef Past c
    cdef int khz
    cdef int to_khz

    def __cinit__(self, int khz, int to_khz):
        self.khz = khz
        self.to_khz = to_khz

    def packet(self, samples):
        """A packet's samples at the other rate."""
        cdef int16_t given[MOST_LINEAR]
        cdef int16_t made[MOST_LINEAR * 6]
        cdef int32_t count = len(samples)
        cdef int32_t i
        if count > MOST_LINEAR:
            raise ValueError("too long a packet")
        for i in range(count):
            given[i] = samples[i]
        count = resample(&self.c, self.khz, self.to_khz, given, count, made)
        return [made[i] for i in range(count)]


cdef class FrameRing:
    """A leg's ring; pairs are known by one octet, which fills all of their inbound frame."""

    cdef Ring *c
    SLOTS = RING_SLOTS

    def __cinit__(self):
        self.c = ring_new(1)
        if self.c == NULL:
            raise MemoryError

    def __dealloc__(self):
        ring_free(self.c)

    def write(self, int octet):
        cdef Pair pair
        memset(&pair, octet, sizeof(Pair))
        ring_write(self.c, &pair)

    @property
    def first(self):
        """The oldest pair that may be read."""
        return ring_first(self.c, self.c.written)

    def read(self, uint64_t number):
        """The octet of a pair, or None: it has been overwritten."""
        cdef Pair pair
        return pair.payload[0] if ring_copy(self.c, number, &pair) else None


cdef class Events:
    """A worker's event queue."""

    cdef EventQueue c
    SLOTS = EVENT_SLOTS

    def __cinit__(self):
        events_open(&self.c, -1, NULL)

    def put(self, uint32_t leg, uint32_t kind, int64_t a, int64_t b, int64_t c):
        """Whether there was room."""
        return bool(events_put(&self.c, leg, kind, a, b, c))

    def take(self):
        """The oldest event's leg, kind, a, b and c; None: there is none."""
        cdef Event event
        if events_take(&self.c, &event):
            return event.leg, event.kind, event.a, event.b, event.c
        return None

    @property
    def lost(self):
        return self.c.lost


cdef class Digits:
    """Key presses in a leg's telephone-event packets."""

    cdef EventReceiver c

    cdef object result(self, Heard heard):
        if heard == HEARD_FAULT:
            raise ValueError("too short for an event")
        return (self.c.ended.event, self.c.ended.duration) if heard == HEARD_END else None

    def packet(self, uint64_t source, uint32_t timestamp, bint marker, bytes payload, int64_t now):
        """A packet arrives; the event that is over with it and its duration in units of its clock."""
        cdef uint8_t *copy = exact_copy(payload)
        cdef Heard heard = event_packet(&self.c, source, timestamp, marker, copy, len(payload), now)
        free(copy)
        return self.result(heard)

    def silence(self, int64_t now):
        """Time goes by."""
        return self.result(event_silence(&self.c, now))


cdef class Tones:
    """Key presses in audio."""

    cdef ToneReceiver c

    def __cinit__(self):
        tones_open(&self.c)

    def take(self, list samples, int64_t now):
        """Samples at 8,000 Hz; the presses that are over with them, and their durations in samples."""
        cdef int16_t some[MOST_LINEAR]
        cdef int32_t count = len(samples)
        cdef int32_t taken = 0
        cdef int32_t i
        cdef list found = []
        if count > MOST_LINEAR:
            raise ValueError("too many samples")
        for i in range(count):
            some[i] = samples[i]
        while tones_take(&self.c, some, count, &taken, now):
            found.append((self.c.ended.event, self.c.ended.duration))
        return found

    def silence(self, int64_t now):
        """Time goes by."""
        return (self.c.ended.event, self.c.ended.duration) if tones_silence(&self.c, now) else None


cdef class MaskedSpans:
    """When something held for a leg."""

    cdef Spans c

    def begin(self, int64_t now):
        spans_begin(&self.c, now)

    def end(self, int64_t now):
        spans_end(&self.c, now)

    def touch(self, int64_t begin, int64_t end):
        """Whether a moment of `begin` <= moment < `end` lies in any span."""
        return bool(spans_touch(&self.c, begin, end))


cdef class RoundTrips:
    """The way to a phone and back, by checked RTCP packets."""

    cdef RoundTrip c

    def sent(self, bytes packet, int64_t now):
        cdef uint8_t *copy = exact_copy(packet)
        round_trip_begin(&self.c, copy, len(packet), now)
        free(copy)

    def heard(self, bytes packet, uint32_t ssrc, int64_t now):
        cdef uint8_t *copy = exact_copy(packet)
        round_trip_end(&self.c, copy, len(packet), ssrc, now)
        free(copy)

    @property
    def ns(self):
        """The newest that was measured; None: none."""
        return self.c.ns if self.c.known else None


cdef class Received:
    """Statistics of a received stream."""

    cdef Reception c

    def note(self, uint32_t ssrc, int sequence, uint32_t timestamp, int64_t now, bint audio=True):
        reception_note(&self.c, ssrc, sequence, timestamp, audio, now)

    def extend(self, int sequence):
        return reception_extend(&self.c, sequence)

    @property
    def figures(self):
        return dict(
            expected=reception_expected(&self.c), packets=self.c.packets, duplicate=self.c.duplicate,
            reordered=self.c.reordered, changes=self.c.changes, starts=self.c.starts,
            jitter=self.c.jitter / 16,
        )


cdef class Sent:
    """The numbers of a leg's outgoing stream."""

    cdef Sending c

    def __cinit__(self, uint16_t sequence=0, uint32_t timestamp=0):
        self.c.sequence = sequence
        self.c.base = timestamp

    def next(
        self, uint64_t source, uint16_t sequence, uint32_t timestamp, int64_t now, bint marker=False,
        int duration=160,
    ):
        """Sequence number, timestamp and marker of a source's packet as sent; None: it is not to be sent."""
        if sending_next(&self.c, source, &sequence, &timestamp, &marker, duration, now):
            return sequence, timestamp, bool(marker)
        return None


cdef class SpeechQueue:
    """A leg's speech, without the leg; times are nanoseconds of any clock."""

    cdef Speech c

    def __cinit__(self, bint mixes=False, int64_t now=0):
        if not speech_open(&self.c, mixes, now):
            raise MemoryError

    def __dealloc__(self):
        speech_free(&self.c)

    def write(self, bytes audio):
        """Append; then free what has been read."""
        cdef int64_t taken = speech_write(&self.c, audio, len(audio))
        speech_tidy(&self.c)
        return taken

    def clear(self):
        speech_clear(&self.c)
        speech_tidy(&self.c)

    def drain(self):
        self.c.draining = True

    def tick(self, int64_t now, int samples=160):
        """The packets that are sent now: of each, whether it comes late, and its octets."""
        cdef uint8_t packet[480]
        cdef list packets = []
        cdef int count
        cdef bint late
        if not speech_by_itself(&self.c, now):
            speech_elapse(&self.c, now)
            return packets
        count = speech_due(&self.c, samples, now)
        while count > 0:
            late = self.c.late
            speech_packet(&self.c, packet, count, samples, now)
            packets.append((late, packet[:samples]))
            count = speech_due(&self.c, samples, now)
        return packets

    def mix(self, bytes payload, int sequence, int64_t now, bint alaw=False):
        """A packet of the other leg's, as it is sent on."""
        cdef bytearray copy = bytearray(payload)
        speech_mix(&self.c, copy, len(copy), alaw, sequence, now)
        return bytes(copy)

    @property
    def blocks(self):
        """Blocks of memory that are held."""
        cdef int count = 1
        block = self.c.oldest
        while block.next != NULL:
            count += 1
            block = block.next
        return count

    @property
    def replaces(self):
        """Whether the other leg's packets have to stay behind."""
        return bool(speech_replaces(&self.c))

    @property
    def state(self):
        """Positions and figures, by name."""
        return dict(
            self.c.figures, written=self.c.written, sent=self.c.sent, played=self.c.played, due=self.c.due
        )


cdef class Pacing:
    """What decides about a relay thread's naps."""

    cdef Pace c

    def __cinit__(self):
        memset(&self.c, 0, sizeof(Pace))

    def note(self, int packets, int64_t waited, int64_t now):
        pace_note(&self.c, packets, waited, now)

    def until(self, int64_t looked, int64_t due):
        """Until when to sleep; 0: not at all."""
        return pace_until(&self.c, looked, due)
