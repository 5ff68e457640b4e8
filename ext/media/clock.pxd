"""The clock of one track: packets in, exactly 50 frames a second out.

Packets are laid on a timeline of 8,000 samples a second by their RTP timestamps; a frame is cut from it when
its time and the reordering window are over. The rules, in the order in which a packet meets them:

- The first packet of a source (an SSRC; numbers taken up afresh make a new source too) goes where
  the timeline stands when it arrives, rounded down to a whole frame, so that 20 ms packets become frames
  octet for octet.
- Every other packet goes where its timestamp says, relative to the one before.
- A timestamp that leads off the timeline (over a second behind, or further ahead than there is room) is
  a jump: the packet is laid like a first one.
- What comes after its frame has been cut, or leaps though it is not the newest, is late: dropped. If the
  newest packets stay late for 100 ms, the network has become slower for good; the next is laid like a first.
- Over blocks of four seconds the *best* packet (the one that waited least on its way) is compared with the
  timeline. If the sender's clock and ours have drifted further apart than `EARLY_NS` or `TARDY_NS`, one frame
  is dropped or inserted. The two limits leave 36 ms, so two tracks of 20 ms packets never part by more than a
  frame.
- Holes are concealed (conceal.pxd), faded out over 60 ms; then there is silence, up to what follows.

A place on the timeline is 125 us. What lies there is an octet of mu-law, or, for those who want linear
samples, one, two or three of these (8, 16, 24 kHz): `unit` octets.

`forkproxy.media.twins.TrackClock` says the same in Python, sample by sample.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from media.conceal cimport (
    HISTORY,
    LEAD,
    Concealment,
    conceal_begin,
    conceal_lead,
    conceal_sample,
)
from media.g711 cimport ULAW_SILENCE, g711_translate, ulaw_encode, ulaw_linear
from media.ring cimport FRAME

cdef enum:
    FRAME_NS = 20000000
    SAMPLE_NS = 125000
    JUMP_NS = 1000000000
    LATE_STREAK_NS = 100000000
    EARLY_NS = 8000000
    TARDY_NS = 28000000        # EARLY_NS and the up to 20 ms that rounding down to a frame takes
    BLOCK_SECONDS = 4
    BLOCK_PACKETS = 20         # fewer say nothing about drift
    FADE = 480                 # places
    PAST = 2                   # frames that have been cut and are kept: HISTORY, and what concealment goes by
    AHEAD_FRAMES = 26          # room for what comes early: bursts, and packets of up to 200 ms

cdef enum:
    # As in forkproxy.model.FrameFlag.
    FLAG_RECEIVED = 1
    FLAG_CONCEALED = 2
    FLAG_SILENCE = 4
    FLAG_HELD = 8
    FLAG_MASKED = 16

cdef enum Mark:
    EMPTY = 0
    SAMPLE = 1
    QUIET = 2                  # known not to have been sent

cdef struct ClockFigures:
    uint64_t received          # frames, by flag
    uint64_t concealed
    uint64_t silence
    uint64_t held
    uint64_t masked
    uint64_t late              # packets
    uint64_t inserted          # frames, against drift
    uint64_t dropped
    uint64_t jumps             # times that the timeline was picked up afresh within one source

cdef struct Clock:
    int64_t start              # ns of the monotonic clock at which frame 0 begins
    int64_t emitted            # frames cut so far
    int32_t frames             # room, in frames from `emitted` on
    int32_t unit               # octets at a place; 1: mu-law, otherwise linear samples of two octets
    uint8_t *samples           # position p lies at p % ((frames + PAST) * FRAME), times `unit`
    uint8_t *marks
    bint laid                  # a packet has been laid; what follows is about the newest one
    uint64_t source
    uint16_t sequence
    uint32_t timestamp
    int64_t position
    int64_t end                # one past the last sample laid
    int64_t late_since         # arrival of the first of the newest packets that were all late; 0: none is
    int64_t block_start
    int64_t block_best         # ns that the best packet of the block was ahead of the timeline
    int32_t block_packets
    int32_t faded              # places concealed in a row, FADE: nothing left to repeat
    bint blind                 # what follows a hole must not be looked at
    ClockFigures figures
    Concealment concealment    # of the hole that the newest place cut lies in


cdef inline void figures_add(ClockFigures *to, const ClockFigures *more) noexcept nogil:
    to.received += more.received
    to.concealed += more.concealed
    to.silence += more.silence
    to.held += more.held
    to.masked += more.masked
    to.late += more.late
    to.inserted += more.inserted
    to.dropped += more.dropped
    to.jumps += more.jumps


cdef inline void figures_recount(ClockFigures *figures, int counted, int as_) noexcept nogil:
    """A frame that was counted by one flag goes by another."""
    figures.received -= counted == FLAG_RECEIVED
    figures.concealed -= counted == FLAG_CONCEALED
    figures.silence -= counted == FLAG_SILENCE
    figures.held += as_ == FLAG_HELD
    figures.masked += as_ == FLAG_MASKED


cdef inline int64_t clock_size(const Clock *clock) noexcept nogil:
    """Places of a clock's timeline: the room, and what has just been cut."""
    return (clock.frames + PAST) * <int64_t>FRAME


cdef inline int64_t clock_octets(const Clock *clock) noexcept nogil:
    """What a clock's timeline takes: samples and marks."""
    return clock_size(clock) * (clock.unit + 1)


cdef inline bint clock_allocate(Clock *clock) noexcept nogil:
    """A timeline of silence. False: no memory."""
    clock.samples = <uint8_t *>calloc(1, clock_octets(clock))
    if clock.samples == NULL:
        return False
    if clock.unit == 1:
        memset(clock.samples, ULAW_SILENCE, clock_size(clock))
    clock.marks = clock.samples + clock_size(clock) * clock.unit
    return True


cdef inline bint clock_open(Clock *clock, int64_t start, int32_t window_frames, int32_t unit) noexcept nogil:
    """False: no memory. `clock` may then be closed all the same."""
    memset(clock, 0, sizeof(Clock))
    clock.start = start
    clock.frames = window_frames + AHEAD_FRAMES
    clock.unit = unit
    clock.faded = FADE
    return clock_allocate(clock)


cdef inline void clock_close(Clock *clock) noexcept nogil:
    free(clock.samples)
    clock.samples = NULL


cdef inline bint clock_copy(Clock *to, const Clock *clock) noexcept nogil:
    """A second clock in the same state, to look ahead with."""
    memcpy(to, clock, sizeof(Clock))
    if not clock_allocate(to):
        return False
    memcpy(to.samples, clock.samples, clock_octets(clock))
    return True


cdef inline int64_t clock_due(const Clock *clock, int64_t window_ns) noexcept nogil:
    """When the next frame's time and the window are over."""
    return clock.start + (clock.emitted + 1) * FRAME_NS + window_ns


cdef inline void clock_quiet(Clock *clock, int64_t start, int64_t end) noexcept nogil:
    """Mark what is still empty from `start` to `end` as never sent."""
    cdef int64_t size = clock_size(clock)
    cdef int64_t p = max(start, clock.emitted * FRAME)
    end = min(end, (clock.emitted + clock.frames) * FRAME)
    while p < end:
        if clock.marks[p % size] == EMPTY:
            clock.marks[p % size] = QUIET
        p += 1


cdef inline void clock_lay(
    Clock *clock, int64_t position, const uint8_t *payload, int32_t count, const uint8_t *table
) noexcept nogil:
    """Copy `count` places to the timeline (mu-law through `table` unless NULL); what has been cut or has no
    room falls away."""
    cdef int64_t size = clock_size(clock)
    cdef int64_t begin = max(position, clock.emitted * FRAME)
    cdef int64_t end = min(position + count, (clock.emitted + clock.frames) * FRAME)
    cdef int32_t part
    if begin >= end:
        return
    payload += (begin - position) * clock.unit
    clock.end = max(clock.end, end)
    while begin < end:
        part = <int32_t>min(end - begin, size - begin % size)
        if table == NULL:
            memcpy(clock.samples + begin % size * clock.unit, payload, part * clock.unit)
        else:
            g711_translate(clock.samples + begin % size, payload, part, table)
        memset(clock.marks + begin % size, SAMPLE, part)
        payload += part * clock.unit
        begin += part


cdef inline int64_t clock_afresh(Clock *clock, int64_t now) noexcept nogil:
    """The position of a packet that has nothing to be measured by: now, behind what was just laid."""
    cdef int64_t position = max((now - clock.start) // FRAME_NS, clock.emitted) * FRAME
    cdef int64_t behind = (clock.end + FRAME - 1) // FRAME * FRAME
    if position < behind <= position + 2 * FRAME:
        position = behind
    clock_quiet(clock, clock.end, position)
    clock.end = position
    clock.late_since = 0
    clock.block_start = now
    clock.block_best = -JUMP_NS
    clock.block_packets = 0
    return position


cdef inline int64_t clock_drift(Clock *clock, int64_t ahead, int64_t now) noexcept nogil:
    """Judge a block when it is over; the frames by which the timeline has to be corrected (negative:
    dropped)."""
    cdef int64_t frames = 0
    clock.block_best = max(clock.block_best, ahead)
    clock.block_packets += 1
    if clock.block_packets < BLOCK_PACKETS or now - clock.block_start < <int64_t>BLOCK_SECONDS * 1000000000:
        return 0
    if clock.block_best > EARLY_NS:
        frames = -(clock.block_best // FRAME_NS + 1)
        clock.figures.dropped += -frames
    elif clock.block_best < -TARDY_NS:
        frames = -clock.block_best // FRAME_NS
        clock.figures.inserted += frames
    clock.block_start = now
    clock.block_best = -JUMP_NS
    clock.block_packets = 0
    return frames


cdef inline void clock_push(
    Clock *clock,
    uint64_t source,
    uint16_t sequence,
    uint32_t timestamp,
    const uint8_t *payload,
    int32_t count,
    const uint8_t *table,
    int64_t now,
) noexcept nogil:
    """Lay one packet, `count` places long, that arrived at `now` (`table`: see `clock_lay`)."""
    cdef int64_t position, ahead, frames
    cdef int64_t cut = clock.emitted * FRAME
    cdef bint newest = True
    cdef bint off
    if count <= 0:
        return
    if not clock.laid or source != clock.source:
        position = clock_afresh(clock, now)
        clock.laid = True
        clock.source = source
    else:
        newest = <int16_t>(sequence - clock.sequence) > 0
        position = clock.position + <int32_t>(timestamp - clock.timestamp)
        ahead = position * SAMPLE_NS - (now - clock.start)
        off = ahead < -JUMP_NS or position + count > cut + <int64_t>clock.frames * FRAME
        if not newest:
            if off or position + count <= cut:
                clock.figures.late += 1
                return
        elif off:
            position = clock_afresh(clock, now)
            clock.figures.jumps += 1
        else:
            frames = clock_drift(clock, ahead, now)
            position += frames * FRAME
            if position + count > cut:
                clock.late_since = 0
                if frames == 0 and sequence == <uint16_t>(clock.sequence + 1):
                    clock_quiet(clock, clock.end, position)
            elif clock.late_since and now - clock.late_since >= LATE_STREAK_NS:
                position = clock_afresh(clock, now)
                clock.figures.jumps += 1
            else:
                if clock.late_since == 0:
                    clock.late_since = now
                clock.figures.late += 1
    if newest:
        clock.sequence = sequence
        clock.timestamp = timestamp
        clock.position = position
    clock_lay(clock, position, payload, count, table)


cdef inline void clock_skip(Clock *clock, uint64_t source, uint16_t sequence, int64_t now) noexcept nogil:
    """A packet that took the place of audio (a telephone-event): no audio was lost with it."""
    if clock.laid and source == clock.source and <int16_t>(sequence - clock.sequence) > 0:
        if sequence == <uint16_t>(clock.sequence + 1):
            clock_quiet(clock, clock.end, ((now - clock.start) // FRAME_NS + 1) * FRAME)
        clock.sequence = sequence


cdef inline void clock_pause(Clock *clock, int64_t now) noexcept nogil:
    """Nothing is sent any more: what is missing until now was not lost."""
    clock_quiet(clock, clock.end, ((now - clock.start) // FRAME_NS + 1) * FRAME)


cdef inline void frame_silence(uint8_t *to, int32_t unit) noexcept nogil:
    """A frame of nothing."""
    memset(to, ULAW_SILENCE if unit == 1 else 0, FRAME * unit)


cdef inline void clock_forget(Clock *clock) noexcept nogil:
    """Nothing of what has been cut may be repeated where something is lost."""
    cdef int64_t frames = clock_size(clock) // FRAME
    cdef int64_t frame
    for frame in range(max(clock.emitted - PAST, 0), clock.emitted):
        frame_silence(clock.samples + frame % frames * FRAME * clock.unit, clock.unit)
    clock.faded = FADE


cdef inline bint clock_whole(const uint8_t *marks) noexcept nogil:
    """Whether every sample of a frame has come; eight at a time, for this is looked at 50 times a second."""
    cdef uint64_t word
    cdef uint64_t missing = 0
    cdef int i
    for i in range(0, FRAME, 8):
        memcpy(&word, marks + i, 8)
        missing |= word ^ <uint64_t>0x0101010101010101  # SAMPLE
    return missing == 0


cdef inline int32_t clock_linear(const Clock *clock, int64_t position, int32_t n) noexcept nogil:
    """The n-th linear sample of a place."""
    cdef int64_t place = position % clock_size(clock)
    if clock.unit == 1:
        return ulaw_linear[clock.samples[place]]
    return (<const int16_t *>(clock.samples + place * clock.unit))[n]


cdef inline void place_silent(Clock *clock, uint8_t *at) noexcept nogil:
    memset(at, ULAW_SILENCE if clock.unit == 1 else 0, clock.unit)


cdef inline int64_t clock_hole_end(const Clock *clock, int64_t position, int64_t limit) noexcept nogil:
    """Where the hole at `position` ends, as far as that is known and before `limit`."""
    cdef int64_t size = clock_size(clock)
    limit = min(limit, clock.end)
    while position < limit and clock.marks[position % size] == EMPTY:
        position += 1
    return position


cdef inline void clock_lose(Clock *clock, int64_t position, int32_t scale) noexcept nogil:
    """A hole begins at `position`; all that is before it has been filled."""
    cdef int16_t history[840]  # MOST_SCALE * HISTORY
    cdef int32_t i
    for i in range(HISTORY * scale):
        if position - HISTORY + i // scale < 0:
            history[i] = 0
        else:
            history[i] = <int16_t>clock_linear(clock, position - HISTORY + i // scale, i % scale)
    conceal_begin(&clock.concealment, history, scale)


cdef inline int32_t clock_fill(
    Clock *clock, int64_t position, int32_t n, int64_t end, int32_t scale
) noexcept nogil:
    """The n-th linear sample of a place in the hole, which goes on to `end`."""
    cdef int64_t following = position * scale + n
    cdef int32_t number = clock.faded * scale + n
    cdef int32_t sample = 0
    cdef int32_t left
    if clock.faded < FADE:
        sample = conceal_sample(&clock.concealment, number) * (FADE * scale - number) // (FADE * scale)
    left = <int32_t>(end * scale - following)
    if clock.blind or left > LEAD * scale or end >= clock.end or clock.concealment.period == 0:
        return sample
    if clock.marks[end % clock_size(clock)] != SAMPLE:
        return sample
    while following < end * scale:
        following += clock.concealment.period
    if following >= clock.end * scale or clock.marks[following // scale % clock_size(clock)] != SAMPLE:
        return sample
    sample = conceal_lead(
        sample, clock_linear(clock, following // scale, following % scale), left, scale
    )
    return sample


cdef inline void clock_conceal(
    Clock *clock, int64_t position, int64_t end, uint8_t *at
) noexcept nogil:
    """Write a place of the hole that goes on to `end`."""
    cdef int32_t scale = max(clock.unit // 2, 1)
    cdef int32_t n, sample
    if clock.faded == 0:
        clock_lose(clock, position, scale)
    for n in range(scale):
        sample = clock_fill(clock, position, n, end, scale)
        if clock.unit == 1:
            at[0] = ulaw_encode(sample)
        else:
            (<int16_t *>at)[n] = <int16_t>max(-32768, min(32767, sample))
    clock.faded = min(clock.faded + 1, <int32_t>FADE)


cdef inline int clock_cut(Clock *clock, uint8_t *to) noexcept nogil:
    """Write the next frame, FRAME places, to `to`; its flags."""
    cdef int64_t begin = clock.emitted * FRAME
    cdef int64_t end = begin   # of the hole, once it has been looked for
    cdef int64_t at = begin % clock_size(clock)
    cdef uint8_t *samples = clock.samples + at * clock.unit
    cdef uint8_t *marks = clock.marks + at
    cdef bint some = False
    cdef bint hole = False
    cdef bint faded_out = clock.faded >= FADE
    cdef int i
    clock.emitted += 1
    if clock_whole(marks):
        memcpy(to, samples, FRAME * clock.unit)
        memset(marks, EMPTY, FRAME)
        clock.faded = 0
        clock.figures.received += 1
        return FLAG_RECEIVED
    for i in range(FRAME):
        if marks[i] == SAMPLE:
            clock.faded = 0
            some = True
        elif marks[i] == EMPTY:
            if end <= begin + i:
                end = clock_hole_end(clock, begin + i, begin + FRAME + LEAD)
            clock_conceal(clock, begin + i, end, samples + i * clock.unit)
            hole = True
        else:
            place_silent(clock, samples + i * clock.unit)
            clock.faded = FADE
    memcpy(to, samples, FRAME * clock.unit)
    memset(marks, EMPTY, FRAME)
    # A hole with something behind it was lost; one with nothing behind it may be the end of what is sent.
    if some or (hole and (clock.end > clock.emitted * FRAME or not faded_out)):
        clock.figures.concealed += 1
        return FLAG_CONCEALED
    clock.figures.silence += 1
    return FLAG_SILENCE
