"""Digits in telephone-event packets (RFC 4733): each key press is told once, when it is over.

An event is known by the RTP timestamp that all its packets share. It is over with the first packet that has
the E bit; where all of these are lost, when the next event begins, or when nothing of it has come for
`EVENT_SILENCE_NS`. Packets of an event that is over, or older, change nothing: they are repetitions or were
overtaken. An event too long for its 16-bit duration goes on as another segment, whose timestamp is 0xFFFF
further (section 2.5.1.3). `forkproxy.media.twins.EventReceiver` says the same in Python.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from media.rtp cimport read16

cdef enum:
    DIGITS = 16                # events 0-9, *, #, A-D
    FLASH = 16
    SEGMENT = 0xFFFF
    EVENT_STALE = 480000       # units that a packet may be older than the newest event; further: a new start
    EVENT_SILENCE_NS = 150000000  # three packets of 50 ms, the slowest usual pace

cdef enum Heard:
    HEARD_NOTHING = 0
    HEARD_END = 1              # `ended` is whole
    HEARD_FAULT = 2            # shorter than an event

cdef struct Press:
    uint8_t event
    int64_t duration           # units of the event's clock

cdef struct EventReceiver:
    bint known                 # there has been an event: what follows is about the newest
    bint active                # it is not over
    uint64_t source
    uint32_t timestamp         # of its newest segment
    uint8_t event
    int64_t before             # units in earlier segments
    int64_t duration           # and in this one
    int64_t heard              # arrival of its newest packet
    Press ended


cdef inline Heard event_finish(EventReceiver *rx) noexcept nogil:
    if not rx.active:
        return HEARD_NOTHING
    rx.active = False
    rx.ended.event = rx.event
    rx.ended.duration = rx.before + rx.duration
    return HEARD_END


cdef inline Heard event_silence(EventReceiver *rx, int64_t now) noexcept nogil:
    """Time goes by; call it now and then."""
    return event_finish(rx) if rx.active and now - rx.heard >= EVENT_SILENCE_NS else HEARD_NOTHING


cdef inline Heard event_packet(
    EventReceiver *rx, uint64_t source, uint32_t timestamp, bint marker, const uint8_t *p, int32_t size,
    int64_t now,
) noexcept nogil:
    """A packet's payload. The first event of a payload counts; events beyond FLASH are not of a telephone."""
    cdef Heard result = HEARD_NOTHING
    cdef int32_t step
    cdef bint same, goes_on
    if size < 4:
        return HEARD_FAULT
    if p[0] > FLASH:
        return HEARD_NOTHING
    step = <int32_t>(timestamp - rx.timestamp)
    same = rx.known and source == rx.source
    if same and step < 0 and step > -EVENT_STALE:
        return HEARD_NOTHING
    if not same or step != 0:
        goes_on = same and rx.active and step == SEGMENT and p[0] == rx.event and not marker
        if not goes_on:
            result = event_finish(rx)
        rx.before = rx.before + SEGMENT if goes_on else 0
        rx.known = True
        rx.active = True
        rx.source = source
        rx.timestamp = timestamp
        rx.event = p[0]
        rx.duration = 0
    if not rx.active:
        return result
    rx.heard = now
    rx.duration = max(rx.duration, <int64_t>read16(p + 2))
    # A packet can end one event (whose end was lost) or its own; both at once where the next one's first
    # packets were lost too: its repetitions, or the silence, end it then.
    if p[1] & 0x80 and result == HEARD_NOTHING:
        result = event_finish(rx)
    return result
