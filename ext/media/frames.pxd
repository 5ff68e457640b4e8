"""Frames as taps get them: both tracks cut at once, and what is masked or on hold withheld."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t

from media.clock cimport (
    FLAG_HELD,
    FLAG_MASKED,
    FLAG_RECEIVED,
    FRAME_NS,
    Clock,
    clock_cut,
    clock_forget,
    figures_recount,
    frame_silence,
)
from media.ring cimport FRAME, Pair
from media.spans cimport Withheld, spans_touch

cdef struct Noted:
    # One packet of a track at a time, from its arrival until its frame is cut: for the histogram of delays.
    bint pending
    int64_t frame
    int64_t arrival


cdef inline void note_packet(Noted *noted, const Clock *clock, uint16_t sequence, int64_t now) noexcept nogil:
    """A packet has just been laid. Where a frame has several, its newest counts."""
    cdef int64_t frame
    if sequence != clock.sequence:
        return
    frame = clock.position // FRAME
    if not noted.pending and frame >= clock.emitted:
        noted.pending = True
        noted.frame = frame
        noted.arrival = now
    elif noted.pending and noted.frame == frame:
        noted.arrival = now


cdef inline void pair_cut(Clock *tracks, const Withheld *withheld, Pair *to) noexcept nogil:
    """Cut the next frame of both tracks.

    A masked frame is silence on both, and concealment does not bring back what it hid, neither later nor
    ahead of it. A frame that a
    hold touches is held, unless all of its samples came before.
    """
    cdef int64_t begin = tracks[0].start + tracks[0].emitted * FRAME_NS
    cdef bint masked = spans_touch(&withheld.masked, begin, begin + FRAME_NS)
    cdef int32_t unit = tracks[0].unit
    cdef uint8_t *frame
    cdef int track, flags
    cdef bint blind = withheld.masked.count and spans_touch(&withheld.masked, begin, begin + 3 * FRAME_NS)
    for track in range(2):
        tracks[track].blind = blind
        frame = to.payload + track * FRAME * unit
        flags = clock_cut(&tracks[track], frame)
        if masked:
            frame_silence(frame, unit)
            clock_forget(&tracks[track])
            figures_recount(&tracks[track].figures, flags, FLAG_MASKED)
            flags = FLAG_MASKED
        elif flags != FLAG_RECEIVED and spans_touch(&withheld.held[track], begin, begin + FRAME_NS):
            figures_recount(&tracks[track].figures, flags, FLAG_HELD)
            flags = FLAG_HELD
        to.flags[track] = flags
