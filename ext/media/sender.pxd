"""A sender thread: carries the moments of attached taps from their rings to their connectors' native code.

A relay thread wakes it when it has cut frames (5 ms apart at the closest). It then goes through all
attached taps, and gives each one's new moments to its sink. A sink that takes no more is left alone, and the
event loop, which is told, takes the tap back: whatever is slow or broken is Python's business.

The lock is as a relay thread's (worker.pxd): `state` is held for a few taps at a time, and `gate` lets a
control call in between.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from media.clock cimport FRAME_NS
from media.events cimport EventQueue, events_notify, events_open
from media.histogram cimport Histogram, histogram_note
from media.linux cimport (
    EFD_CLOEXEC,
    SIG_SETMASK,
    close,
    eventfd,
    exchange,
    load_acquire,
    monotonic_ns,
    name_thread,
    pthread_create,
    pthread_join,
    pthread_mutex_destroy,
    pthread_mutex_init,
    pthread_mutex_lock,
    pthread_mutex_t,
    pthread_mutex_unlock,
    pthread_sigmask,
    pthread_t,
    read,
    sigfillset,
    sigset_t,
    store_release,
    write,
)
from media.ring cimport INBOUND, OUTBOUND, Pair, Ring, ring_copy, ring_first

cdef extern from "sink.h" nogil:
    const char *FORKPROXY_SINK
    const uint32_t FORKPROXY_SINK_VERSION
    ctypedef struct forkproxy_moment:
        const uint8_t *payload[2]
        uint32_t octets
        uint8_t flags[2]
    ctypedef struct forkproxy_sink:
        uint32_t version
        void *context
        int (*write)(void *context, uint64_t number, const forkproxy_moment *moment) noexcept nogil

cdef enum:
    FLAGS = 5                  # as FrameFlag has them
    AT_ONCE = 8                # taps served between two looks at the lock

cdef enum:
    # What is measured; relay.pyx gives the names.
    SEND_DELAY                 # from the arrival of a frame's newest packet until its sink has it; sampled
    SEND_LATENESS              # from the end of a frame's window until its sink has taken it
    SEND_DELAYS

cdef struct Attached:
    # A tap whose moments go to a sink. All but `given_up` is guarded by the sender's lock.
    forkproxy_sink sink
    Ring *ring
    int64_t start              # of the ring's pair 0, the window included
    uint64_t cursor            # the next pair to read
    uint64_t base              # the pair that is moment 0
    uint32_t octets            # of a frame
    bint wanted[2]
    uint64_t moments           # taken
    uint64_t flagged[2][FLAGS]
    uint64_t lost              # moments that were overwritten before they were read
    uint64_t given_up          # the sink has refused one
    Attached *previous
    Attached *next

cdef struct Sender:
    pthread_t thread
    bint started
    uint64_t stopping
    pthread_mutex_t gate
    pthread_mutex_t state
    int wake
    uint64_t awake             # `wake` has been written since the thread last read it
    EventQueue events          # only to wake up the event loop
    Attached *first
    Attached *at               # the next one that is looked at in this round
    uint64_t taps
    uint64_t rounds
    Histogram delays[SEND_DELAYS]


cdef inline bint sender_open(Sender *sender, int notify, uint64_t *notified) noexcept nogil:
    """False: no descriptor is left. The sender may be closed all the same."""
    memset(sender, 0, sizeof(Sender))
    pthread_mutex_init(&sender.gate, NULL)
    pthread_mutex_init(&sender.state, NULL)
    events_open(&sender.events, notify, notified)
    sender.wake = eventfd(0, EFD_CLOEXEC)
    return sender.wake >= 0


cdef inline void sender_wake(Sender *sender) noexcept nogil:
    """There are new moments; costs nothing as long as the thread has not looked."""
    cdef uint64_t one = 1
    if exchange(&sender.awake, 1) == 0:
        write(sender.wake, &one, sizeof(one))


cdef inline void sender_close(Sender *sender) noexcept nogil:
    """End the thread; nothing is attached any more."""
    if sender.started:
        store_release(&sender.stopping, 1)
        sender_wake(sender)
        pthread_join(sender.thread, NULL)
        sender.started = False
    if sender.wake >= 0:
        close(sender.wake)
    pthread_mutex_destroy(&sender.gate)
    pthread_mutex_destroy(&sender.state)


cdef inline void sender_lock(Sender *sender) noexcept nogil:
    """For control calls."""
    pthread_mutex_lock(&sender.gate)
    pthread_mutex_lock(&sender.state)


cdef inline void sender_unlock(Sender *sender) noexcept nogil:
    pthread_mutex_unlock(&sender.state)
    pthread_mutex_unlock(&sender.gate)


cdef inline void sender_attach(Sender *sender, Attached *attached) noexcept nogil:
    """Give the tap's moments to its sink from now on."""
    sender_lock(sender)
    attached.previous = NULL
    attached.next = sender.first
    if attached.next != NULL:
        attached.next.previous = attached
    sender.first = attached
    sender.taps += 1
    sender_unlock(sender)
    sender_wake(sender)        # there may be some already


cdef inline void sender_detach(Sender *sender, Attached *attached) noexcept nogil:
    """No more of it; the thread does not know `attached` any more afterwards."""
    sender_lock(sender)
    if sender.at == attached:
        sender.at = attached.next
    if attached.next != NULL:
        attached.next.previous = attached.previous
    if attached.previous != NULL:
        attached.previous.next = attached.next
    else:
        sender.first = attached.next
    sender.taps -= 1
    sender_unlock(sender)


cdef inline void attached_note(Sender *sender, Attached *attached, const Pair *pair) noexcept nogil:
    """A moment has been taken."""
    cdef int64_t now = monotonic_ns()
    cdef int track, bit
    for track in range(2):
        if attached.wanted[track]:
            for bit in range(FLAGS):
                attached.flagged[track][bit] += pair.flags[track] >> bit & 1
    attached.moments += 1
    histogram_note(
        &sender.delays[SEND_LATENESS], now - attached.start - <int64_t>(attached.cursor + 1) * FRAME_NS
    )
    if pair.arrival:
        histogram_note(&sender.delays[SEND_DELAY], now - pair.arrival)


cdef inline void attached_serve(Sender *sender, Attached *attached) noexcept nogil:
    """Give the sink what is new."""
    cdef Pair pair
    cdef forkproxy_moment moment
    cdef int track
    cdef uint64_t first
    cdef Ring *ring = attached.ring
    if attached.given_up:
        return
    moment.octets = attached.octets
    while attached.cursor < load_acquire(&ring.written):
        if not ring_copy(ring, attached.cursor, &pair):
            first = max(ring_first(ring, load_acquire(&ring.written)), attached.cursor + 1)
            attached.lost += first - attached.cursor
            attached.cursor = first
            continue
        for track in range(2):
            moment.payload[track] = pair.payload + track * attached.octets if attached.wanted[track] else NULL
            moment.flags[track] = pair.flags[track]
        if attached.sink.write(attached.sink.context, attached.cursor - attached.base, &moment):
            store_release(&attached.given_up, 1)
            events_notify(&sender.events)
            return
        attached_note(sender, attached, &pair)
        attached.cursor += 1


cdef inline bint sender_serve(Sender *sender) noexcept nogil:
    """Serve some taps. False: the round is over."""
    cdef int left = AT_ONCE
    cdef Attached *attached
    while left > 0 and sender.at != NULL:
        attached = sender.at
        sender.at = attached.next
        attached_serve(sender, attached)
        left -= 1
    return sender.at != NULL


cdef inline void *sender_run(void *argument) noexcept nogil:
    """The thread's body; returns when `stopping` is set."""
    cdef Sender *sender = <Sender *>argument
    cdef uint64_t ignored
    cdef bint more
    while not load_acquire(&sender.stopping):
        read(sender.wake, &ignored, sizeof(ignored))
        exchange(&sender.awake, 0)  # before we look: whoever publishes a moment from now on wakes us again
        more = True
        pthread_mutex_lock(&sender.state)
        sender.at = sender.first
        sender.rounds += 1
        pthread_mutex_unlock(&sender.state)
        while more:
            pthread_mutex_lock(&sender.gate)
            pthread_mutex_unlock(&sender.gate)
            pthread_mutex_lock(&sender.state)
            more = sender_serve(sender)
            pthread_mutex_unlock(&sender.state)
    return NULL


cdef inline int sender_start(Sender *sender, const char *name) noexcept nogil:
    """Start the thread; 0 or an errno. Signals stay with the interpreter's threads."""
    cdef sigset_t all, before
    cdef int result
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, &before)
    result = pthread_create(&sender.thread, NULL, sender_run, sender)
    pthread_sigmask(SIG_SETMASK, &before, NULL)
    sender.started = result == 0
    if sender.started:
        name_thread(sender.thread, name)
    return result
