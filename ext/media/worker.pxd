"""A relay thread: one epoll, its share of the legs, and the clock that taps and prompts run by.

The lock. A worker holds its `state` lock while it handles one batch (64 events at most), and gives it up
while it waits. A control call takes it for a moment. Packets therefore meet no lock, only batches do, and a
control call waits for one batch at the longest: `gate` sees to that, since the worker has to pass it before
every batch and cannot overtake a caller who stands in it. (A queue of commands would save the lock, but every
call that returns something, and closing above all, would have to wait for the thread to wake up.)

Stale events. epoll may have reported a socket just before a control call closed it or moved it to another
worker; so events name a slot and its generation, never a pointer.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from media.events cimport EventQueue, events_open
from media.histogram cimport Histogram
from media.leg cimport COUNTS, WIDES, Leg, Tapped, leg_hear_all, leg_tapped
from media.linux cimport (
    EFD_CLOEXEC,
    EFD_NONBLOCK,
    EPOLL_CLOEXEC,
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLLIN,
    close,
    epoll_create1,
    epoll_ctl,
    epoll_event,
    eventfd,
    pthread_join,
    pthread_mutex_destroy,
    pthread_mutex_init,
    pthread_mutex_lock,
    pthread_mutex_t,
    pthread_mutex_unlock,
    pthread_t,
    store_release,
    write,
)
from media.pace cimport Pace
from media.ring cimport INBOUND

cdef enum:
    TICK_NS = 5000000
    BUCKETS = 4                # ticks in a frame

cdef enum Kind:
    AT_RTP = 0
    AT_RTCP = 1
    AT_WAKE = 2

cdef enum:
    # What is measured; relay.pyx gives the names.
    RELAY_DELAY                # from a packet's arrival at the kernel to when it has been sent on; sampled
    TAP_DELAY                  # from the arrival of a frame's newest packet to the ring; sampled
    TAP_LATENESS               # from the end of a frame's window to the ring
    DELAYS

cdef struct Slot:
    Leg *leg
    uint32_t generation
    int32_t next_free

cdef struct Worker:
    pthread_t thread
    bint started
    uint64_t stopping
    pthread_mutex_t gate
    pthread_mutex_t state
    int epoll
    int guards                 # an epoll that is only looked at now and then: a flood wakes nobody
    int wake
    EventQueue events          # for the event loop
    int64_t window_ns
    Slot *slots
    int32_t slot_count
    int32_t first_free
    int32_t legs
    int32_t rings
    Tapped *buckets[BUCKETS]   # by the tick in which their frames fall due
    Leg *playing
    Leg *speaking
    int64_t tick
    bint ticking               # there are taps, prompts or speech
    int64_t sweep
    Pace pace
    uint64_t closed[COUNTS]    # of the legs that are gone
    uint64_t wakeups
    uint64_t packets           # read from RTP sockets
    Histogram delays[DELAYS]


cdef inline bint worker_open(
    Worker *worker, int notify, uint64_t *notified, int64_t window_ns
) noexcept nogil:
    """False: a descriptor is missing. The worker may be closed all the same."""
    cdef epoll_event event
    memset(worker, 0, sizeof(Worker))
    pthread_mutex_init(&worker.gate, NULL)
    pthread_mutex_init(&worker.state, NULL)
    worker.epoll = epoll_create1(EPOLL_CLOEXEC)
    worker.guards = epoll_create1(EPOLL_CLOEXEC)
    worker.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
    events_open(&worker.events, notify, notified)
    worker.window_ns = window_ns
    worker.first_free = -1
    event.events = EPOLLIN
    event.data.u64 = AT_WAKE
    if worker.epoll < 0 or worker.guards < 0:
        return False
    return epoll_ctl(worker.epoll, EPOLL_CTL_ADD, worker.wake, &event) == 0


cdef inline void worker_close(Worker *worker) noexcept nogil:
    """Stop the thread and give everything back; its legs have been closed."""
    if worker.started:
        store_release(&worker.stopping, 1)
        worker_wake(worker)
        pthread_join(worker.thread, NULL)
        worker.started = False
    if worker.epoll >= 0:
        close(worker.epoll)
    if worker.guards >= 0:
        close(worker.guards)
    if worker.wake >= 0:
        close(worker.wake)
    free(worker.slots)
    worker.slots = NULL
    pthread_mutex_destroy(&worker.gate)
    pthread_mutex_destroy(&worker.state)


cdef inline void worker_wake(Worker *worker) noexcept nogil:
    cdef uint64_t one = 1
    write(worker.wake, &one, sizeof(one))


cdef inline void worker_lock(Worker *worker) noexcept nogil:
    """For control calls; see the module's text."""
    pthread_mutex_lock(&worker.gate)
    pthread_mutex_lock(&worker.state)


cdef inline void worker_unlock(Worker *worker) noexcept nogil:
    pthread_mutex_unlock(&worker.state)
    pthread_mutex_unlock(&worker.gate)


# What follows is called with the lock held.

cdef inline bint worker_adopt(Worker *worker, Leg *leg) noexcept nogil:
    """Take a leg's sockets into the epoll. False: no memory or no watch is left, and nothing has changed."""
    cdef epoll_event event
    cdef Slot *slots
    cdef int32_t i, count
    cdef uint64_t key
    cdef int n
    if worker.first_free < 0:
        count = max(64, 2 * worker.slot_count)
        slots = <Slot *>realloc(worker.slots, count * sizeof(Slot))
        if slots == NULL:
            return False
        memset(slots + worker.slot_count, 0, (count - worker.slot_count) * sizeof(Slot))
        for i in range(count - 1, worker.slot_count - 1, -1):
            slots[i].next_free = worker.first_free
            worker.first_free = i
        worker.slots = slots
        worker.slot_count = count
    i = worker.first_free
    key = (<uint64_t>worker.slots[i].generation << 32) | (<uint64_t>i << 2)
    event.events = EPOLLIN
    event.data.u64 = key | AT_RTP
    if epoll_ctl(worker.epoll, EPOLL_CTL_ADD, leg.rtp.fd, &event):
        return False
    event.data.u64 = key | AT_RTCP
    if epoll_ctl(worker.epoll, EPOLL_CTL_ADD, leg.rtcp.fd, &event):
        epoll_ctl(worker.epoll, EPOLL_CTL_DEL, leg.rtp.fd, &event)
        return False
    leg.events = &worker.events
    leg.guards = worker.guards
    leg.guard_key = key
    event.data.u64 = key
    if leg.guard >= 0 and epoll_ctl(worker.guards, EPOLL_CTL_ADD, leg.guard, &event):
        leg_hear_all(leg)
    worker.first_free = worker.slots[i].next_free
    worker.slots[i].leg = leg
    leg.slot = i
    worker.legs += 1
    for n in range(WIDES + 1):
        if leg_tapped(leg, n) != NULL:
            worker_tap(worker, leg_tapped(leg, n))
    if leg.playing != NULL:
        worker_play(worker, leg)
    if leg.speech != NULL:
        worker_speak(worker, leg)
    return True


cdef inline void worker_release(Worker *worker, Leg *leg) noexcept nogil:
    """Forget a leg; its sockets stay open."""
    cdef epoll_event event
    cdef Slot *slot = &worker.slots[leg.slot]
    cdef int n
    epoll_ctl(worker.epoll, EPOLL_CTL_DEL, leg.rtp.fd, &event)
    epoll_ctl(worker.epoll, EPOLL_CTL_DEL, leg.rtcp.fd, &event)
    if leg.guard >= 0:
        epoll_ctl(worker.guards, EPOLL_CTL_DEL, leg.guard, &event)
    slot.leg = NULL
    slot.generation += 1
    slot.next_free = worker.first_free
    worker.first_free = leg.slot
    worker.legs -= 1
    for n in range(WIDES + 1):
        if leg_tapped(leg, n) != NULL:
            worker_untap(worker, leg_tapped(leg, n))
    if leg.playing != NULL:
        worker_unplay(worker, leg)
    if leg.speech != NULL:
        worker_unspeak(worker, leg)


cdef inline void worker_tap(Worker *worker, Tapped *tapped) noexcept nogil:
    """Cut the leg's frames from now on."""
    tapped.bucket = (tapped.tracks[INBOUND].start + worker.window_ns) // TICK_NS % BUCKETS
    tapped.previous = NULL
    tapped.next = worker.buckets[tapped.bucket]
    if tapped.next != NULL:
        tapped.next.previous = tapped
    worker.buckets[tapped.bucket] = tapped
    worker.rings += 1
    worker_wake(worker)


cdef inline void worker_untap(Worker *worker, Tapped *tapped) noexcept nogil:
    if tapped.next != NULL:
        tapped.next.previous = tapped.previous
    if tapped.previous != NULL:
        tapped.previous.next = tapped.next
    else:
        worker.buckets[tapped.bucket] = tapped.next
    worker.rings -= 1


cdef inline void worker_play(Worker *worker, Leg *leg) noexcept nogil:
    """Play the leg's prompt from now on."""
    leg.play_previous = NULL
    leg.play_next = worker.playing
    if leg.play_next != NULL:
        leg.play_next.play_previous = leg
    worker.playing = leg
    worker_wake(worker)


cdef inline void worker_unplay(Worker *worker, Leg *leg) noexcept nogil:
    if leg.play_next != NULL:
        leg.play_next.play_previous = leg.play_previous
    if leg.play_previous != NULL:
        leg.play_previous.play_next = leg.play_next
    else:
        worker.playing = leg.play_next


cdef inline void worker_speak(Worker *worker, Leg *leg) noexcept nogil:
    """Send the leg's speech from now on."""
    leg.speech_previous = NULL
    leg.speech_next = worker.speaking
    if leg.speech_next != NULL:
        leg.speech_next.speech_previous = leg
    worker.speaking = leg
    worker_wake(worker)


cdef inline void worker_unspeak(Worker *worker, Leg *leg) noexcept nogil:
    if leg.speech_next != NULL:
        leg.speech_next.speech_previous = leg.speech_previous
    if leg.speech_previous != NULL:
        leg.speech_previous.speech_next = leg.speech_next
    else:
        worker.speaking = leg.speech_next
