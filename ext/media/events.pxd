"""What a relay thread tells the event loop: a short queue, one for each worker.

One writer (whoever holds the worker's lock), one reader (the event loop's thread), no lock between them: the
writer publishes `written` after an event is whole, the reader gives slots back by `read`. An event that finds
no room is counted and gone; the packet path never waits for the event loop.

An event names its leg by the serial, never by a pointer: the leg may be closed before the event is read.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from media.linux cimport exchange, load_acquire, store_release, write

cdef enum:
    EVENT_SLOTS = 512

cdef enum EventKind:
    # What `a`, `b` and `c` of an event mean is said where it is told.
    EVENT_DTMF = 1
    EVENT_INACTIVE = 2
    EVENT_MARK = 3

cdef struct Event:
    uint32_t leg               # serial
    uint32_t kind              # EventKind
    int64_t a
    int64_t b
    int64_t c

cdef struct EventQueue:
    int notify                 # the engine's eventfd,
    uint64_t *notified         # and whether it has been written since it was last read
    uint64_t written           # events ever written; event n lies in slot n % EVENT_SLOTS
    uint64_t read              # events ever read
    uint64_t lost              # found no room
    Event slots[EVENT_SLOTS]


cdef inline void events_open(EventQueue *queue, int notify, uint64_t *notified) noexcept nogil:
    memset(queue, 0, sizeof(EventQueue))
    queue.notify = notify
    queue.notified = notified


cdef inline void events_notify(const EventQueue *queue) noexcept nogil:
    """Wake the event loop up, once until it has looked."""
    cdef uint64_t one = 1
    if exchange(queue.notified, 1) == 0:
        write(queue.notify, &one, sizeof(one))


cdef inline bint events_put(
    EventQueue *queue, uint32_t leg, uint32_t kind, int64_t a, int64_t b, int64_t c
) noexcept nogil:
    """False: no room, counted. Does not wake anybody up."""
    cdef Event *event = &queue.slots[queue.written % EVENT_SLOTS]
    if queue.written - load_acquire(&queue.read) >= EVENT_SLOTS:
        queue.lost += 1
        return False
    event.leg = leg
    event.kind = kind
    event.a = a
    event.b = b
    event.c = c
    store_release(&queue.written, queue.written + 1)
    return True


cdef inline bint events_take(EventQueue *queue, Event *to) noexcept nogil:
    """The oldest event. False: there is none."""
    if queue.read == load_acquire(&queue.written):
        return False
    to[0] = queue.slots[queue.read % EVENT_SLOTS]
    store_release(&queue.read, queue.read + 1)
    return True
