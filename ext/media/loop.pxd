"""What a relay thread does: wait, read, cut frames, send prompts and speech, look at the guards."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from media.address cimport Address, Sockaddr, address_read
from media.clock cimport clock_due
from media.copy cimport copies_frame
from media.dtmf cimport event_silence
from media.events cimport events_notify
from media.fetch cimport AHEAD, fetch_leg, fetch_peer
from media.frames cimport pair_cut
from media.histogram cimport histogram_note
from media.keys cimport leg_press
from media.leg cimport MALFORMED, MALFORMED_RTCP, PACKETS_OUT, UNKNOWN_SOURCE, Leg, Tapped, leg_watch
from media.linux cimport (
    CLOCK_REALTIME,
    EAGAIN,
    ENOENT,
    MSG_DONTWAIT,
    MSG_TRUNC,
    SIG_SETMASK,
    SIOCGSTAMPNS,
    SO_MEMINFO,
    SOL_SOCKET,
    clock_gettime,
    epoll_event,
    epoll_pwait2,
    epoll_wait,
    errno,
    getsockopt,
    ioctl,
    load_acquire,
    monotonic_ns,
    name_thread,
    pthread_create,
    pthread_mutex_lock,
    pthread_mutex_unlock,
    pthread_sigmask,
    read,
    recv,
    recvfrom,
    sigfillset,
    sigset_t,
    sleep_until,
    socklen_t,
    store_release,
    timespec,
)
from media.pace cimport pace_note, pace_until
from media.path cimport leg_heard, leg_play, leg_rtcp, leg_rtp, leg_tell_tone
from media.ring cimport INBOUND, Pair, ring_write
from media.sender cimport Sender, sender_wake
from media.speak cimport leg_speak
from media.tones cimport tones_silence
from media.worker cimport (
    AT_RTCP,
    AT_RTP,
    AT_WAKE,
    BUCKETS,
    RELAY_DELAY,
    TAP_DELAY,
    TAP_LATENESS,
    TICK_NS,
    Worker,
    worker_unplay,
)

cdef enum:
    BATCH = 64                 # events handled between two looks at the lock
    PACKET = 2048              # octets; nothing longer is RTP
    BURST = 16                 # packets read from one socket in a row, where there may be more than one
    STALL_NS = 10000000        # the thread did not run: what has piled up is read before frames are cut,
    FULL_BATCHES = 64          # for so many batches at most
    SWEEP_NS = 100000000       # between two looks at the guards
    GUARD_BURST = 32
    SAMPLED = 61               # one packet in so many has its delay measured; a prime meets every leg
    MEMINFO_WORDS = 9
    MEMINFO_DROPS = 8          # SK_MEMINFO_DROPS of linux/sock_diag.h


cdef inline void note_relay_delay(Worker *worker, Leg *leg) noexcept nogil:
    """The packet that was read last has just been sent on: how long has it been here?

    The kernel notes arrivals at a socket once it has been asked for one; so the first packet asked about says
    nothing.
    """
    cdef timespec arrival, sent
    cdef int result = ioctl(leg.rtp.fd, SIOCGSTAMPNS, &arrival)
    if leg.stamped and result == 0:
        clock_gettime(CLOCK_REALTIME, &sent)
        histogram_note(
            &worker.delays[RELAY_DELAY],
            (sent.tv_sec - arrival.tv_sec) * <int64_t>1000000000 + sent.tv_nsec - arrival.tv_nsec,
        )
    leg.stamped = result == 0 or errno == ENOENT


cdef inline void handle_rtp(
    Worker *worker, Leg *leg, uint8_t *p, int32_t size, const Address *source, int64_t now
) noexcept nogil:
    cdef Leg *peer = leg.peer
    cdef uint64_t sent
    worker.packets += 1
    if peer == NULL or worker.packets % SAMPLED:
        leg_rtp(leg, p, size, source, now)
        return
    sent = peer.counts[PACKETS_OUT]
    leg_rtp(leg, p, size, source, now)
    if peer.counts[PACKETS_OUT] != sent:
        note_relay_delay(worker, leg)


cdef inline void read_rtp(
    Worker *worker, Leg *leg, uint8_t *buffer, int32_t most, int64_t now
) noexcept nogil:
    """One packet as a rule; up to `most` where several may wait."""
    cdef Sockaddr from_
    cdef socklen_t length
    cdef Address source
    cdef ssize_t size
    if leg.draining:
        most = BURST
    while most > 0:
        most -= 1
        if leg.connected and not leg.draining:
            size = recv(leg.rtp.fd, buffer, PACKET, MSG_DONTWAIT | MSG_TRUNC)
        else:
            length = sizeof(Sockaddr)
            size = recvfrom(leg.rtp.fd, buffer, PACKET, MSG_DONTWAIT | MSG_TRUNC, &from_.any, &length)
        if size < 0:
            if errno == EAGAIN:
                leg.draining = False
                return
            continue           # "refused": an ICMP message about a packet of ours, and now it is told
        if size > PACKET:
            leg.counts[MALFORMED] += 1
        elif leg.connected and not leg.draining:
            handle_rtp(worker, leg, buffer, <int32_t>size, NULL, now)
        else:
            address_read(&source, &from_)
            handle_rtp(worker, leg, buffer, <int32_t>size, &source, now)


cdef inline void read_rtcp(Leg *leg, uint8_t *buffer, int64_t now) noexcept nogil:
    cdef Sockaddr from_
    cdef socklen_t length = sizeof(Sockaddr)
    cdef Address source
    cdef ssize_t size = recvfrom(leg.rtcp.fd, buffer, PACKET, MSG_DONTWAIT | MSG_TRUNC, &from_.any, &length)
    if size > PACKET:
        leg.counts[MALFORMED_RTCP] += 1
    elif size >= 0:
        address_read(&source, &from_)
        leg_rtcp(leg, buffer, <int32_t>size, &source, now)


cdef inline void read_guard(Leg *leg, uint8_t *buffer, int64_t now) noexcept nogil:
    """Count who is not wanted. The signalled address itself may turn up here, late, and is then believed."""
    cdef Sockaddr from_
    cdef socklen_t length
    cdef Address source
    cdef uint32_t meminfo[MEMINFO_WORDS]
    cdef ssize_t size
    cdef int left = GUARD_BURST
    length = sizeof(meminfo)
    if getsockopt(leg.guard, SOL_SOCKET, SO_MEMINFO, meminfo, &length) == 0 and length == sizeof(meminfo):
        leg.counts[UNKNOWN_SOURCE] += <uint32_t>(meminfo[MEMINFO_DROPS] - leg.guard_drops)
        leg.guard_drops = meminfo[MEMINFO_DROPS]
    while left > 0 and leg.guard >= 0:
        left -= 1
        length = sizeof(Sockaddr)
        size = recvfrom(leg.guard, buffer, PACKET, MSG_DONTWAIT | MSG_TRUNC, &from_.any, &length)
        if size < 0:
            return
        address_read(&source, &from_)
        leg_rtp(leg, buffer, <int32_t>min(size, PACKET), &source, now)


cdef inline Leg *leg_of(Worker *worker, uint64_t key) noexcept nogil:
    """The leg that an event is about; NULL: it has gone since."""
    cdef uint64_t slot = <uint32_t>key >> 2
    if slot >= <uint64_t>worker.slot_count or worker.slots[slot].generation != key >> 32:
        return NULL
    return worker.slots[slot].leg


cdef inline void worker_sweep(
    Worker *worker, epoll_event *events, uint8_t *buffer, int64_t now
) noexcept nogil:
    cdef int count, i
    cdef int32_t slot
    cdef Leg *leg
    for slot in range(worker.slot_count):
        leg = worker.slots[slot].leg
        if leg == NULL:
            continue
        if leg.digits.active:
            leg_heard(leg, event_silence(&leg.digits, now), now)
        if leg.tones != NULL and tones_silence(leg.tones, now):
            leg_tell_tone(leg, now)
        leg_watch(leg, now)
    count = epoll_wait(worker.guards, events, BATCH, 0)
    for i in range(count):
        leg = leg_of(worker, events[i].data.u64)
        if leg != NULL and leg.guard >= 0:
            read_guard(leg, buffer, now)


cdef inline int64_t noted_arrival(const Tapped *tapped, int64_t number) noexcept nogil:
    """When the newest packet of the frames `number` came, if one of them is followed; 0: none is."""
    cdef int track
    cdef int64_t arrival = 0
    for track in range(2):
        if tapped.noted[track].pending and tapped.noted[track].frame == number:
            arrival = max(arrival, tapped.noted[track].arrival)
    return arrival


cdef inline bint cut_frames(Worker *worker, Tapped *tapped, int64_t now) noexcept nogil:
    """Move the frames whose time is up to the ring. True: there were any."""
    cdef Pair pair
    cdef int64_t due = clock_due(&tapped.tracks[INBOUND], worker.window_ns)
    cdef int64_t published, number
    cdef int track
    cdef bint any = False
    while due <= now:
        number = tapped.tracks[INBOUND].emitted
        pair_cut(tapped.tracks, tapped.withheld, &pair)
        pair.arrival = noted_arrival(tapped, number)
        ring_write(tapped.ring, &pair)
        if tapped.copies != NULL:
            copies_frame(tapped.copies, &pair, now, worker.window_ns)
        published = monotonic_ns()
        histogram_note(&worker.delays[TAP_LATENESS], published - due)
        for track in range(2):
            if tapped.noted[track].pending and tapped.noted[track].frame <= number:
                histogram_note(&worker.delays[TAP_DELAY], published - tapped.noted[track].arrival)
                tapped.noted[track].pending = False
        due = clock_due(&tapped.tracks[INBOUND], worker.window_ns)
        any = True
    return any


cdef inline void worker_tick(Worker *worker, int64_t now) noexcept nogil:
    """What happens every 5 ms: a quarter of the tapped legs get their frame, prompts and speech are sent,
    the event loop is told."""
    cdef int64_t tick = now // TICK_NS
    cdef int64_t at = max(worker.tick, tick - BUCKETS) + 1
    cdef Tapped *tapped
    cdef Leg *leg
    cdef Leg *following
    cdef Sender *sender = NULL
    cdef bint any = False
    while at <= tick:
        tapped = worker.buckets[at % BUCKETS]
        while tapped != NULL:
            if cut_frames(worker, tapped, now):
                any = any or tapped.readers > 0
                if tapped.sender != NULL and tapped.sender != sender:
                    if sender != NULL:
                        sender_wake(sender)
                    sender = tapped.sender
            tapped = tapped.next
        at += 1
    if sender != NULL:
        sender_wake(sender)
    worker.tick = tick
    leg = worker.playing
    while leg != NULL:
        following = leg.play_next
        if leg_press(leg, now) if leg.playing.keys != NULL else leg_play(leg, now):
            worker_unplay(worker, leg)
            store_release(&leg.playing.done, 1)
            leg.playing = NULL
            any = True
        leg = following
    leg = worker.speaking
    while leg != NULL:
        any = leg_speak(leg, now) or any
        leg = leg.speech_next
    if any:
        events_notify(&worker.events)


cdef inline bint is_ticking(const Worker *worker) noexcept nogil:
    cdef int i
    for i in range(BUCKETS):
        if worker.buckets[i] != NULL:
            return True
    return worker.playing != NULL or worker.speaking != NULL


cdef inline void worker_handle(
    Worker *worker, const epoll_event *events, int count, uint8_t *buffer, int32_t most, int64_t now
) noexcept nogil:
    cdef uint64_t key, ignored
    cdef Leg *leg
    cdef int i
    for i in range(-2 * AHEAD, count):
        if 0 <= i + 2 * AHEAD < count:
            fetch_leg(leg_of(worker, events[i + 2 * AHEAD].data.u64))
        if 0 <= i + AHEAD < count:
            fetch_peer(leg_of(worker, events[i + AHEAD].data.u64))
        if i < 0:
            continue
        key = events[i].data.u64
        if key & 3 == AT_WAKE:
            read(worker.wake, &ignored, sizeof(ignored))
            continue
        leg = leg_of(worker, key)
        if leg == NULL:
            continue
        if key & 3 == AT_RTP:
            read_rtp(worker, leg, buffer, most, now)
        else:
            read_rtcp(leg, buffer, now)


cdef inline void *worker_run(void *argument) noexcept nogil:
    """The thread's body; returns when `stopping` is set."""
    cdef Worker *worker = <Worker *>argument
    cdef epoll_event events[BATCH]
    cdef uint8_t buffer[PACKET]
    cdef timespec timeout
    cdef int64_t now = monotonic_ns()
    cdef int64_t before, due, asleep, wait
    cdef int count
    cdef int full = 0
    worker.tick = now // TICK_NS
    worker.sweep = now + SWEEP_NS
    while not load_acquire(&worker.stopping):
        due = worker.sweep if not worker.ticking else min(worker.sweep, (worker.tick + 1) * TICK_NS)
        if full == 0:
            sleep_until(pace_until(&worker.pace, now, due))
        asleep = monotonic_ns()
        wait = max(due - asleep, 0)
        timeout.tv_sec = wait // 1000000000
        timeout.tv_nsec = wait % 1000000000
        count = epoll_pwait2(worker.epoll, events, BATCH, &timeout, NULL)
        pthread_mutex_lock(&worker.gate)
        pthread_mutex_unlock(&worker.gate)
        pthread_mutex_lock(&worker.state)
        before = now
        now = monotonic_ns()
        worker.wakeups += 1
        pace_note(&worker.pace, count, now - asleep, now)
        worker_handle(worker, events, count, buffer, BURST if now - before > STALL_NS else 1, now)
        full = full + 1 if count == BATCH and full < FULL_BATCHES else 0
        if full == 0 and now >= (worker.tick + 1) * TICK_NS:
            worker_tick(worker, now)
        if now >= worker.sweep:
            worker_sweep(worker, events, buffer, now)
            worker.sweep = now + SWEEP_NS
        worker.ticking = is_ticking(worker)
        pthread_mutex_unlock(&worker.state)
    return NULL


cdef inline int worker_start(Worker *worker, const char *name) noexcept nogil:
    """Start the thread; 0 or an errno. Signals stay with the interpreter's threads."""
    cdef sigset_t all, before
    cdef int result
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, &before)
    result = pthread_create(&worker.thread, NULL, worker_run, worker)
    pthread_sigmask(SIG_SETMASK, &before, NULL)
    worker.started = result == 0
    if worker.started:
        name_thread(worker.thread, name)
    return result
