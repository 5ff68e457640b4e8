"""The two ends of an RTP stream at a leg: what is received (statistics), and what is sent (one continuous
stream).

A leg sends one stream for its whole life, with an SSRC, sequence numbers and timestamps of our own. Its
*source* changes: the other leg, a prompt, speech, the next leg it is connected to. Within a source, sequence
numbers and timestamps are moved by a constant, so that losses, order and timing reach the phone as they were;
where the source changes, the constants are chosen so that the stream goes on without a gap, and the marker
bit says that speech begins anew.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint16_t, uint32_t, uint64_t

from media.clock cimport FRAME_NS
from media.ring cimport FRAME

cdef enum:
    STRAY = 1000        # sequence numbers that a packet may be behind and still belong to the stream
    DROPOUT = 3000      # RFC 3550 A.1: further ahead is a new start,
    MISORDER = 100      # and so is further behind
    NO_SOURCE = 0       # what a Sending's `source` may be besides `reception_source`
    PLAYED = 1
    SPOKEN = 2

cdef struct Reception:
    bint heard
    uint32_t ssrc
    uint16_t highest            # sequence number
    uint32_t cycles
    uint64_t seen               # bit n: highest - n has come
    int64_t arrival             # ns, of the newest packet
    uint64_t expected_before    # by earlier SSRCs and before restarts
    uint32_t base               # extended sequence number of the first packet
    uint32_t starts             # how often `ssrc` and the numbers were taken up
    uint64_t packets            # all, duplicates included
    uint64_t duplicate
    uint64_t reordered
    uint64_t changes            # of SSRC
    uint32_t transit
    bint timed                  # `transit` is set
    uint32_t jitter             # RFC 3550 A.8, in 1/16 of a sample

cdef struct Sending:
    uint32_t ssrc
    bint started
    uint64_t source
    uint16_t sequence           # of the newest packet sent
    uint32_t timestamp
    uint32_t duration           # samples in it
    uint32_t base               # the timestamp at `epoch`
    int64_t epoch
    uint16_t sequence_shift     # what to add to the source's numbers
    uint32_t timestamp_shift
    uint16_t first              # of this source's packets, as sent
    bint fresh                  # stragglers from before `first` can still come


cdef inline uint64_t reception_expected(const Reception *rx) noexcept nogil:
    """Packets that should have come, of all sources (RFC 3550 A.3)."""
    return rx.expected_before + (rx.cycles + rx.highest - rx.base + 1 if rx.heard else 0)


cdef inline uint32_t reception_extend(const Reception *rx, uint16_t sequence) noexcept nogil:
    """The extended sequence number of `sequence`, which is near the highest."""
    return rx.cycles + rx.highest + <int16_t>(sequence - rx.highest)


cdef inline void reception_restart(Reception *rx, uint32_t ssrc, uint16_t sequence) noexcept nogil:
    rx.expected_before = reception_expected(rx)
    rx.heard = True
    rx.starts += 1
    rx.ssrc = ssrc
    rx.highest = sequence
    rx.cycles = 0
    rx.base = sequence
    rx.seen = 1
    rx.timed = False


cdef inline void reception_note(
    Reception *rx, uint32_t ssrc, uint16_t sequence, uint32_t timestamp, bint audio, int64_t now
) noexcept nogil:
    """Account for one valid packet. Jitter is that of audio: an event's packets share one timestamp."""
    cdef int32_t step
    cdef uint32_t transit, moved
    rx.packets += 1
    if not rx.heard or ssrc != rx.ssrc:
        rx.changes += rx.heard
        reception_restart(rx, ssrc, sequence)
    else:
        step = <int16_t>(sequence - rx.highest)
        if step > DROPOUT or step < -MISORDER:
            reception_restart(rx, ssrc, sequence)
        elif step > 0:
            rx.cycles += (sequence < rx.highest) << 16
            rx.highest = sequence
            rx.seen = (rx.seen << step if step < 64 else 0) | 1
        elif step > -64 and rx.seen >> -step & 1:
            rx.duplicate += 1
        else:
            rx.reordered += 1
            if step > -64:
                rx.seen |= <uint64_t>1 << -step
    rx.arrival = now
    if audio:
        transit = <uint32_t>(now // 125000) - timestamp
        if rx.timed:
            moved = transit - rx.transit
            if <int32_t>moved < 0:
                moved = -moved
            if moved < 80000:      # ten seconds: the sender has set its timestamps anew
                rx.jitter += moved - ((rx.jitter + 8) >> 4)
        rx.transit = transit
        rx.timed = True


cdef inline void sending_switch(
    Sending *tx, uint64_t source, uint16_t sequence, uint32_t timestamp, int64_t now
) noexcept nogil:
    """Go over to another source, whose first packet carries `sequence` and `timestamp`.

    Time goes on by whole frames: a tap's timeline then keeps its cut, and a phone's buffer its pace.
    """
    cdef uint16_t next_sequence = tx.sequence
    cdef uint32_t next_timestamp = tx.base
    cdef uint32_t by_clock
    if tx.started:
        next_sequence += 1
        next_timestamp = tx.timestamp + tx.duration
        by_clock = tx.base + <uint32_t>((now - tx.epoch) // FRAME_NS) * FRAME
        if <int32_t>(by_clock - next_timestamp) > 0:
            next_timestamp = by_clock
    else:
        tx.started = True
        tx.epoch = now
    tx.sequence = next_sequence - 1
    tx.source = source
    tx.sequence_shift = next_sequence - sequence
    tx.timestamp_shift = next_timestamp - timestamp
    tx.first = next_sequence
    tx.fresh = True


cdef inline bint sending_next(
    Sending *tx,
    uint64_t source,
    uint16_t *sequence,
    uint32_t *timestamp,
    bint *marker,
    uint32_t duration,
    int64_t now,
) noexcept nogil:
    """Turn a source's numbers into the stream's, in place. False: a straggler that must not be sent."""
    if tx.source != source:
        sending_switch(tx, source, sequence[0], timestamp[0], now)
        marker[0] = True
    sequence[0] += tx.sequence_shift
    timestamp[0] += tx.timestamp_shift
    if tx.fresh:
        if <int16_t>(sequence[0] - tx.first) < 0:
            return False
        tx.fresh = <uint16_t>(sequence[0] - tx.first) < STRAY
    if <int16_t>(sequence[0] - tx.sequence) > 0:
        tx.sequence = sequence[0]
        tx.timestamp = timestamp[0]
        tx.duration = duration
    return True
