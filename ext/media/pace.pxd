"""When a relay thread lets packets gather before it looks at them.

Waking up costs about as much as handling a packet. As long as there are few calls that does not matter, and
every packet is handled at once. Under load, with packets that come one by one, the thread would wake up for
one or two at a time; it then sleeps until `NAP_NS` after its last look, and has a handful to do. What is due
at a certain time (frames, prompts, speech) is never put off: a nap ends there.

Naps pay only where they save wake-ups: packets that come in bursts are waited for already. A thread that naps
cannot tell any more, so every `NAPPING` periods it stays awake for one and counts. A call is 100 packets a
second.
"""

from libc.stdint cimport int32_t, int64_t

cdef enum:
    PERIOD_NS = 20000000
    BUSY = 400                 # packets in a period, 200 calls: from here on naps are thought of,
    CALM = 300                 # and below this they end
    RESTLESS = 40              # times in a period that the thread fell asleep: two a millisecond
    NAPPING = 50               # periods before the next look at whether naps pay
    NAP_NS = 900000            # and what the kernel's timers are late by: a millisecond at most
    ASLEEP_NS = 20000          # a wait of so long was one

cdef struct Pace:
    int64_t began              # of the period
    int32_t packets            # in it
    int32_t sleeps
    int32_t naps               # periods left with naps; 0: the thread stays awake


cdef inline void pace_judge(Pace *pace, int64_t lasted) noexcept nogil:
    """A period is over; it may have lasted longer, where nothing came."""
    cdef int64_t packets = pace.packets * <int64_t>PERIOD_NS // lasted
    cdef int64_t sleeps = pace.sleeps * <int64_t>PERIOD_NS // lasted
    if pace.naps > 0:
        pace.naps = pace.naps - 1 if packets >= CALM else 0
    elif packets >= BUSY and sleeps >= RESTLESS:
        pace.naps = NAPPING


cdef inline void pace_note(Pace *pace, int32_t packets, int64_t waited, int64_t now) noexcept nogil:
    """Account for a look at `now` that found so many packets, after a wait of `waited` ns."""
    if now - pace.began >= PERIOD_NS:
        pace_judge(pace, now - pace.began)
        pace.began = now
        pace.packets = 0
        pace.sleeps = 0
    pace.packets += packets
    pace.sleeps += waited >= ASLEEP_NS


cdef inline int64_t pace_until(const Pace *pace, int64_t looked, int64_t due) noexcept nogil:
    """Until when to sleep after a look at `looked`, if something else is due at `due`; 0: not at all."""
    return min(looked + NAP_NS, due) if pace.naps > 0 else 0
