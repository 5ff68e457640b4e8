"""The control calls: what the event loop's thread asks of a relay thread, each under the worker's lock."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from media.address cimport Address, address_write
from media.clock cimport ClockFigures, clock_pause, figures_add
from media.copy cimport Copy, CopyFigures, copy_end, copy_frame
from media.histogram cimport Histogram, histogram_add
from media.keys cimport leg_let_go
from media.leg cimport (
    COUNTS,
    MAX_HOSTS,
    OPEN,
    WIDES,
    Leg,
    Playback,
    Tapped,
    leg_hear_all,
    leg_heir,
    leg_keep_figures,
    leg_place,
    leg_signal,
    leg_tapped,
    tapped_rest,
)
from media.linux cimport close, monotonic_ns
from media.ring cimport INBOUND, OUTBOUND, Pair
from media.roundtrip cimport RoundTrip
from media.sender cimport Sender
from media.spans cimport Spans, spans_begin, spans_end, spans_open
from media.srtp cimport Srtp
from media.stream cimport NO_SOURCE, reception_expected
from media.tones cimport ToneReceiver
from media.voice cimport Speech, SpeechFigures, speech_clear
from media.worker cimport (
    DELAYS,
    Worker,
    worker_adopt,
    worker_lock,
    worker_play,
    worker_release,
    worker_speak,
    worker_tap,
    worker_unlock,
    worker_unplay,
    worker_unspeak,
    worker_untap,
)

cdef struct Remote:
    # What a phone's SDP says; see Leg.
    Address rtp
    Address rtcp
    Address hosts[MAX_HOSTS]
    int32_t host_count
    bint sends
    bint receives
    uint8_t codecs[128]
    uint8_t play_type
    uint8_t play_codec
    uint8_t event_type
    uint8_t event_codec
    int32_t packet_ms
    ToneReceiver *tones

cdef struct Snapshot:
    # A leg's figures at one moment.
    uint64_t counts[COUNTS]
    ClockFigures tracks[2]
    uint64_t expected
    uint64_t packets
    uint64_t duplicate
    uint64_t reordered
    uint64_t ssrc_changes
    uint32_t jitter
    RoundTrip round_trip
    bint heard
    int64_t idle_ns
    bint locked
    Address source


cdef struct Totals:
    # What a worker's legs have counted, those that are closed included, and what it holds.
    uint64_t counts[COUNTS]
    uint64_t wakeups
    uint64_t events_lost
    int32_t guards
    int32_t rings


cdef inline void worker_totals(Worker *worker, Totals *to) noexcept nogil:
    """Add a worker's part."""
    cdef int32_t i
    cdef int n
    cdef Leg *leg
    worker_lock(worker)
    to.wakeups += worker.wakeups
    to.events_lost += worker.events.lost
    to.rings += worker.rings
    for n in range(COUNTS):
        to.counts[n] += worker.closed[n]
    for i in range(worker.slot_count):
        leg = worker.slots[i].leg
        if leg != NULL:
            to.guards += leg.guard >= 0
            for n in range(COUNTS):
                to.counts[n] += leg.counts[n]
    worker_unlock(worker)


cdef inline void worker_delays(Worker *worker, Histogram *to) noexcept nogil:
    """Add what a worker has measured to DELAYS histograms."""
    cdef int i
    worker_lock(worker)
    for i in range(DELAYS):
        histogram_add(&to[i], &worker.delays[i])
    worker_unlock(worker)


cdef inline bint leg_enter(Worker *worker, Leg *leg) noexcept nogil:
    """False: no memory or no watch is left."""
    worker_lock(worker)
    cdef bint adopted = worker_adopt(worker, leg)
    worker_unlock(worker)
    return adopted


cdef inline void leg_leave(Worker *worker, Leg *leg) noexcept nogil:
    """Close the leg's sockets; what it counted stays with the worker."""
    cdef int i
    worker_lock(worker)
    worker_release(worker, leg)
    leg_hear_all(leg)
    close(leg.rtp.fd)
    close(leg.rtcp.fd)
    for i in range(COUNTS):
        worker.closed[i] += leg.counts[i]
    worker_unlock(worker)


cdef inline void leg_hold(Leg *leg, int track, bint held, int64_t now) noexcept nogil:
    """A track's direction is forbidden or allowed from now on; that it was so already changes nothing."""
    cdef int n
    if not held:
        spans_end(&leg.withheld.held[track], now)
        return
    if not spans_open(&leg.withheld.held[track]):
        for n in range(WIDES + 1):
            if leg_tapped(leg, n) != NULL:
                clock_pause(&leg_tapped(leg, n).tracks[track], now)
    spans_begin(&leg.withheld.held[track], now)


cdef inline void leg_set_remote(Worker *worker, Leg *leg, const Remote *remote) noexcept nogil:
    cdef int64_t now
    worker_lock(worker)
    now = monotonic_ns()
    memcpy(leg.hosts, remote.hosts, sizeof(leg.hosts))
    leg.host_count = remote.host_count
    memcpy(leg.codecs, remote.codecs, sizeof(leg.codecs))
    if remote.sends and not leg.sends:
        leg.watch_from = now
    if remote.receives and not leg.receives:
        leg.tx.source = NO_SOURCE  # what was held back is no loss to the phone
    leg.sends = remote.sends
    leg.receives = remote.receives
    leg_hold(leg, INBOUND, not leg.sends, now)
    leg_hold(leg, OUTBOUND, not leg.receives, now)
    leg.play_type = remote.play_type
    leg.play_codec = remote.play_codec
    leg.event_type = remote.event_type
    leg.event_codec = remote.event_codec
    leg.packet_ms = remote.packet_ms
    leg.tones = remote.tones
    leg_signal(leg, &leg.rtp, &remote.rtp)
    leg_signal(leg, &leg.rtcp, &remote.rtcp)
    if leg.rtp.lock == OPEN:
        leg_hear_all(leg)
    leg.negotiated = True
    worker_unlock(worker)


cdef inline void leg_silence(Worker *worker, Leg *leg) noexcept nogil:
    worker_lock(worker)
    leg.silent = True
    worker_unlock(worker)


cdef inline void leg_set_srtp(Worker *worker, Leg *leg, Srtp *opens, Srtp *seals) noexcept nogil:
    """From now on the relay thread knows these sessions, the one that `opens` replaces, and no others."""
    worker_lock(worker)
    if leg.opens != opens:
        leg.former = leg.opens if opens != NULL else NULL
    leg.opens = opens
    leg.seals = seals
    worker_unlock(worker)


cdef inline void leg_set_route(
    Worker *worker, Leg *leg, const uint8_t *types, const uint8_t *codecs
) noexcept nogil:
    worker_lock(worker)
    memcpy(leg.route, types, sizeof(leg.route))
    memcpy(leg.route_codec, codecs, sizeof(leg.route_codec))
    worker_unlock(worker)


cdef inline bint legs_join(Worker *worker, Leg *leg, Worker *others, Leg *other) noexcept nogil:
    """Connect two unconnected legs; `other` moves to `worker`. False: it cannot, and nothing has changed."""
    cdef Worker *first = min(worker, others)
    cdef Worker *second = max(worker, others)
    cdef bint moved = True
    worker_lock(first)
    if second != first:
        worker_lock(second)
        worker_release(others, other)
        moved = worker_adopt(worker, other)
        if not moved:
            worker_adopt(others, other)  # into the slot that it has just left
    if moved:
        leg.tx.source = NO_SOURCE
        other.tx.source = NO_SOURCE
        leg.peer = other
        other.peer = leg
    if second != first:
        worker_unlock(second)
    worker_unlock(first)
    return moved


cdef inline void legs_part(Worker *worker, Leg *leg) noexcept nogil:
    worker_lock(worker)
    leg.peer.peer = NULL
    leg.peer = NULL
    worker_unlock(worker)


cdef inline void leg_start_playing(Worker *worker, Leg *leg, Playback *playback) noexcept nogil:
    """The leg plays nothing yet. `playback` must live until it has been stopped."""
    worker_lock(worker)
    leg.tx.source = NO_SOURCE
    leg.playing = playback
    worker_play(worker, leg)
    worker_unlock(worker)


cdef inline void leg_stop_playing(Worker *worker, Leg *leg, const Playback *playback) noexcept nogil:
    """Done or not, the relay thread does not know `playback` any more afterwards."""
    worker_lock(worker)
    if leg.playing == playback:
        leg_let_go(leg, monotonic_ns())
        worker_unplay(worker, leg)
        leg.playing = NULL
    worker_unlock(worker)


cdef inline void leg_start_speaking(Worker *worker, Leg *leg, Speech *speech) noexcept nogil:
    """Nobody else speaks to the leg. `speech` must live until this has been stopped."""
    worker_lock(worker)
    leg.speech = speech
    worker_speak(worker, leg)
    worker_unlock(worker)


cdef inline void leg_stop_speaking(Worker *worker, Leg *leg) noexcept nogil:
    """The relay thread does not know the leg's speech any more afterwards."""
    worker_lock(worker)
    worker_unspeak(worker, leg)
    leg.speech = NULL
    worker_unlock(worker)


cdef inline uint64_t leg_clear_speech(Worker *worker, Leg *leg) noexcept nogil:
    """Drop what has been written and not sent yet; how far had been sent."""
    worker_lock(worker)
    cdef uint64_t sent = leg.speech.sent
    speech_clear(leg.speech)
    worker_unlock(worker)
    return sent


cdef inline void leg_drain_speech(Worker *worker, Leg *leg) noexcept nogil:
    """Nothing more will be written."""
    worker_lock(worker)
    leg.speech.draining = True
    worker_unlock(worker)


cdef inline void leg_speech_figures(Worker *worker, Leg *leg, SpeechFigures *to) noexcept nogil:
    worker_lock(worker)
    to[0] = leg.speech.figures
    worker_unlock(worker)


cdef inline Tapped *leg_tap(Worker *worker, Leg *leg, int32_t unit, Tapped *fresh) noexcept nogil:
    """One more tap of a format; its first one brings the clocks and the ring."""
    cdef Tapped **place = leg_place(leg, unit)
    worker_lock(worker)
    if fresh != NULL:
        fresh.withheld = &leg.withheld
        place[0] = fresh
        leg.wides += unit != 1
        leg.tapped_by += 1
        if leg.counted == NULL:
            leg.counted = fresh
        worker_tap(worker, fresh)
    place[0].taps += 1
    place[0].readers += 1
    worker_unlock(worker)
    return place[0]


cdef inline void leg_attach(Worker *worker, Tapped *tapped, Sender *sender) noexcept nogil:
    """One of the taps is read by `sender` from now on, as all that are not read by the event loop."""
    worker_lock(worker)
    tapped.readers -= 1
    tapped.attached += 1
    tapped.sender = sender
    worker_unlock(worker)


cdef inline void leg_detach(Worker *worker, Tapped *tapped) noexcept nogil:
    """One of the taps is read by the event loop again."""
    worker_lock(worker)
    tapped.readers += 1
    tapped.attached -= 1
    if tapped.attached == 0:
        tapped.sender = NULL
    worker_unlock(worker)


cdef inline bint leg_mask(Worker *worker, Leg *leg) noexcept nogil:
    """Withhold the audio from now on. False: that is so already."""
    cdef bint fresh
    worker_lock(worker)
    fresh = not spans_open(&leg.withheld.masked)
    spans_begin(&leg.withheld.masked, monotonic_ns())
    worker_unlock(worker)
    return fresh


cdef inline bint leg_unmask(Worker *worker, Leg *leg, int64_t *begin, int64_t *end) noexcept nogil:
    """Withhold it no more; from when to when it was. False: it was not."""
    cdef Spans *masked = &leg.withheld.masked
    cdef bint was
    worker_lock(worker)
    was = spans_open(masked)
    if was:
        spans_end(masked, monotonic_ns())
        begin[0] = masked.begin[masked.count - 1]
        end[0] = masked.end[masked.count - 1]
    worker_unlock(worker)
    return was


cdef inline void leg_set_watch(Worker *worker, Leg *leg, int64_t watch_ns) noexcept nogil:
    """Begin to watch for silence, with a clean slate; 0: no more."""
    worker_lock(worker)
    leg.watch_ns = watch_ns
    leg.watch_from = monotonic_ns()
    leg.inactive = False
    worker_unlock(worker)


cdef inline int32_t leg_untap(
    Worker *worker, Leg *leg, Tapped *tapped, int64_t now, Pair *rest, int32_t most, uint64_t *written
) noexcept nogil:
    """One tap less. `written` pairs are in the ring; those that follow are put into `rest`: their number,
    or -1: no memory for them. With the last tap of its format the leg lets go of `tapped`, which is the
    caller's then.
    """
    cdef int32_t unit = tapped.tracks[INBOUND].unit
    cdef int32_t count = -1
    cdef bint counted
    worker_lock(worker)
    written[0] = tapped.ring.written
    counted = tapped.taps == 1 and leg.counted == tapped
    if counted and leg.tapped_by > 1:
        leg_keep_figures(leg, tapped)  # now: those who go on count the frames that are cut below
        counted = False
    if rest != NULL:
        count = tapped_rest(tapped, now, rest, most)
    tapped.taps -= 1
    tapped.readers -= 1
    if tapped.taps == 0:
        worker_untap(worker, tapped)
        leg_place(leg, unit)[0] = NULL
        leg.wides -= unit != 1
        leg.tapped_by -= 1
        if counted:
            leg_keep_figures(leg, tapped)
        if leg.counted == tapped:
            leg.counted = leg_heir(leg)
    worker_unlock(worker)
    return count


cdef struct CopyAim:
    # Where a copy goes to, and what it is sent as.
    Address rtp
    Address rtcp
    uint8_t payload_type
    bint alaw
    bint skip                  # what has been kept stays out
    int32_t hurry


cdef inline void leg_copy(Worker *worker, Leg *leg, Tapped *fresh, Copy *copy) noexcept nogil:
    """One more copy, which counts as a tap."""
    leg_tap(worker, leg, 1, fresh)
    worker_lock(worker)
    copy.next = leg.tapped.copies
    leg.tapped.copies = copy
    leg.tapped.readers -= 1    # the relay thread reads it
    worker_unlock(worker)


cdef inline void leg_uncopy(Worker *worker, Leg *leg, Copy *copy, int64_t now, Pair *rest) noexcept nogil:
    """One copy less; it gets what the window holds back, up to 32 pairs, and says goodbye. As `leg_untap`."""
    cdef Tapped *tapped = leg.tapped
    cdef Copy **at = &tapped.copies
    cdef uint64_t written
    cdef int32_t count, i
    worker_lock(worker)
    count = tapped_rest(tapped, now, rest, 32)
    for i in range(count):
        copy_frame(copy, &rest[i], now, worker.window_ns)
    copy_end(copy, now, worker.window_ns)
    while at[0] != copy:
        at = &at[0].next
    at[0] = copy.next
    tapped.readers += 1        # `leg_untap` takes it
    worker_unlock(worker)
    leg_untap(worker, leg, tapped, now, NULL, 0, &written)


cdef inline void copy_aim(
    Worker *worker, Leg *leg, Copy *copy, const CopyAim *aim, Srtp *opens, Srtp *seals
) noexcept nogil:
    """Send it there from now on; NULL: nowhere, but keep what there is room for."""
    worker_lock(worker)
    copy.aimed = aim != NULL
    copy.opens = opens
    copy.seals = seals
    if aim != NULL:
        copy.to_length = address_write(&aim.rtp, leg.family, &copy.to)
        address_write(&aim.rtcp, leg.family, &copy.rtcp_to)
        copy.payload_type = aim.payload_type
        copy.alaw = aim.alaw
        copy.hurry = aim.hurry
        if aim.skip:
            copy.figures.skipped += copy.written - copy.sent
            copy.sent = copy.written
            copy.marker = True
    worker_unlock(worker)


cdef inline void copy_pause(Worker *worker, Copy *copy, bint paused) noexcept nogil:
    worker_lock(worker)
    copy.paused = paused
    worker_unlock(worker)


cdef inline void copy_figures(
    Worker *worker, const Copy *copy, CopyFigures *to, RoundTrip *trip
) noexcept nogil:
    worker_lock(worker)
    to[0] = copy.figures
    trip[0] = copy.round_trip
    worker_unlock(worker)


cdef inline void leg_snapshot(Worker *worker, Leg *leg, bint is_open, Snapshot *to) noexcept nogil:
    if is_open:
        worker_lock(worker)
    memcpy(to.counts, leg.counts, sizeof(to.counts))
    memcpy(to.tracks, leg.figures, sizeof(to.tracks))
    if leg.counted != NULL:
        figures_add(&to.tracks[INBOUND], &leg.counted.tracks[INBOUND].figures)
        figures_add(&to.tracks[OUTBOUND], &leg.counted.tracks[OUTBOUND].figures)
    to.expected = reception_expected(&leg.rx)
    to.packets = leg.rx.packets
    to.duplicate = leg.rx.duplicate
    to.reordered = leg.rx.reordered
    to.ssrc_changes = leg.rx.changes
    to.jitter = leg.rx.jitter
    to.round_trip = leg.round_trip
    to.heard = leg.rx.heard
    to.idle_ns = monotonic_ns() - leg.rx.arrival
    to.locked = leg.rtp.lock != OPEN
    to.source = leg.rtp.source
    if is_open:
        worker_unlock(worker)
