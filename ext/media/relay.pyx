"""forkproxy.media._relay: the relay as Python sees it.

Packets, clocks and rings are in the .pxd files; here are the few calls that set them up and the one that
carries frames over to Python. The classes are for one thread, the event loop's; `forkproxy.media` wraps them.

No Python object is made or dropped while a worker's lock is held: a garbage collection would run there.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyTypeObject
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_SET_ITEM
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from media.address cimport Sockaddr
from media.clock cimport FRAME_NS
from media.codec cimport (
    G722,
    Codecs,
    G722Decode,
    G722Encode,
    G722Start,
    coder_free,
    coder_new,
    codec_remembers,
    codecs_fill,
    codecs_have_g722,
)
from media.control cimport (
    CopyAim,
    Remote,
    Snapshot,
    Totals,
    copy_aim,
    copy_figures,
    copy_pause,
    leg_clear_speech,
    leg_copy,
    leg_attach,
    leg_clear_speech,
    leg_detach,
    leg_drain_speech,
    leg_enter,
    leg_leave,
    leg_mask,
    leg_set_remote,
    leg_set_route,
    leg_set_srtp,
    leg_silence,
    leg_set_watch,
    leg_snapshot,
    leg_speech_figures,
    leg_start_playing,
    leg_start_speaking,
    leg_stop_playing,
    leg_stop_speaking,
    leg_tap,
    leg_uncopy,
    leg_unmask,
    leg_untap,
    legs_join,
    legs_part,
    worker_delays,
    worker_totals,
)
from media.copy cimport MIXED, MOST_CNAME, Copy, CopyFigures, copy_free, copy_open
from media.events cimport Event, events_take
from media.g711 cimport g711_fill_tables
from media.histogram cimport BOUNDS, Histogram, histogram_add, histogram_bounds
from media.keys cimport PAUSE, TONE
from media.leg cimport COUNTS, MAX_HOSTS, Leg, Playback, Tapped, leg_place, tapped_free, tapped_new
from media.linux cimport (
    EFD_CLOEXEC,
    EFD_NONBLOCK,
    close,
    eventfd,
    exchange,
    getsockname,
    load_acquire,
    monotonic_ns,
    read,
    store_release,
    write,
)
from media.loop cimport worker_start
from media.resample cimport resample_fill
from media.ring cimport (
    FRAME,
    INBOUND,
    OUTBOUND,
    RING_SLOTS,
    Pair,
    Ring,
    ring_copy,
    ring_first,
)
from media.roundtrip cimport RoundTrip
from media.sender cimport (
    FLAGS,
    FORKPROXY_SINK,
    FORKPROXY_SINK_VERSION,
    SEND_DELAYS,
    Attached,
    Sender,
    forkproxy_sink,
    sender_attach,
    sender_close,
    sender_detach,
    sender_lock,
    sender_open,
    sender_start,
    sender_unlock,
)
from media.srtp cimport Srtp, Transform
from media.tones cimport ToneReceiver, tones_fill, tones_open
from media.voice cimport (
    Speech,
    SpeechFigures,
    speech_free,
    speech_left,
    speech_open,
    speech_tidy,
    speech_write,
)
from media.worker cimport DELAYS, TICK_NS, Worker, worker_close, worker_open

from forkproxy.media.codecs import g722_addresses
from forkproxy.model import Frame as _Frame
from forkproxy.model import Track as _Track

cdef extern from "Python.h":
    object PyType_GenericAlloc(PyTypeObject *type, Py_ssize_t items)

COUNT_NAMES = (
    "packets_in", "octets_in", "packets_out", "octets_out", "rtcp_in", "rtcp_out",
    "malformed", "malformed_rtcp", "unknown_source", "unknown_payload", "not_negotiated", "not_connected",
    "not_sendable", "held", "replaced", "straggler", "send_error",
    "srtp_auth_failed", "srtp_replayed", "srtp_unsent", "locks", "flooded", "malformed_event", "untold_digit",
)
"""What a leg counts, in leg.pxd's order."""
assert len(COUNT_NAMES) == COUNTS

cdef enum:
    MARKS_AT_ONCE = 64         # reported for one speaker before others have their turn

DELAY_NAMES = ("relay_delay", "tap_delay", "tap_lateness", "send_delay", "send_lateness")
"""What `Relay.histograms` has, in the order of worker.pxd and sender.pxd."""
assert len(DELAY_NAMES) == DELAYS + SEND_DELAYS
FLAG_NAMES = ("received", "concealed", "silence", "held", "masked")
"""The frame flags as figures name them, lowest bit first."""
assert len(FLAG_NAMES) == FLAGS
HISTOGRAM_BOUNDS = tuple([histogram_bounds[n] for n in range(BOUNDS)])
"""Nanoseconds that the counts of `Relay.histograms` go up to; the last count is of what is above all."""

cdef tuple TRACKS = (_Track.INBOUND, _Track.OUTBOUND)
cdef uint32_t last_serial = 1

g711_fill_tables()
resample_fill()
tones_fill()

cdef void fill_codecs() except *:
    cdef Codecs functions
    cdef uintptr_t start_decoder, start_encoder, decode, encode
    start_decoder, start_encoder, decode, encode = g722_addresses()
    functions.start_decoder = <G722Start>start_decoder
    functions.start_encoder = <G722Start>start_encoder
    functions.decode = <G722Decode>decode
    functions.encode = <G722Encode>encode
    codecs_fill(&functions)


fill_codecs()


cdef inline void put(object frame, Py_ssize_t at, object item):
    Py_INCREF(item)  # PyTuple_SET_ITEM takes a reference over
    PyTuple_SET_ITEM(frame, at, item)


cdef object make_frame(int track, uint64_t number, const Pair *pair, int octets):
    """A `forkproxy.model.Frame`, put together by hand: a quarter of what calling the class costs."""
    cdef object frame = PyType_GenericAlloc(<PyTypeObject *>_Frame, 4)
    put(frame, 0, TRACKS[track])
    put(frame, 1, number)
    put(frame, 2, pair.flags[track])
    put(frame, 3, PyBytes_FromStringAndSize(<const char *>pair.payload + track * octets, octets))
    return frame


cdef class Relay:
    """The relay threads, their eventfd, and the taps, prompts and speakers that the event loop serves."""

    cdef Worker *workers
    cdef Sender *senders
    cdef int threads
    cdef int event
    cdef uint64_t notified
    cdef readonly int window_ms
    cdef dict legs               # by serial
    cdef list taps
    cdef list playbacks
    cdef list speakers
    cdef list copies
    cdef CopyFigures ended_copies  # what copies have counted that are closed
    cdef object failed
    cdef uint64_t ended_wakeups
    cdef uint64_t ended_events_lost
    cdef uint64_t ended[COUNTS]  # what was counted by workers that are gone
    cdef uint64_t ended_rounds
    cdef Histogram ended_delays[DELAYS + SEND_DELAYS]
    cdef readonly uint64_t frames_lost
    cdef readonly uint64_t callbacks_failed
    cdef readonly uint64_t srtp_sessions
    cdef readonly uint64_t speech_refused
    cdef readonly uint64_t marks_refused

    def __cinit__(self, int threads, int window_ms, failed):
        """`failed` is called with an exception that a tap's, a prompt's or a speaker's callback raised."""
        cdef int i
        cdef bint whole
        self.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        self.window_ms = window_ms
        self.legs = {}
        self.taps = []
        self.playbacks = []
        self.speakers = []
        self.copies = []
        self.failed = failed
        self.workers = <Worker *>calloc(threads, sizeof(Worker))
        self.senders = <Sender *>calloc(threads, sizeof(Sender))
        if self.workers == NULL or self.senders == NULL:
            raise MemoryError
        for i in range(threads):
            self.threads += 1
            whole = worker_open(&self.workers[i], self.event, &self.notified, window_ms * <int64_t>1000000)
            whole = sender_open(&self.senders[i], self.event, &self.notified) and whole
            if not whole:
                raise OSError("no file descriptor is left for the relay")

    def __dealloc__(self):
        self.shut()

    cdef void shut(self) noexcept:
        cdef int i, n
        if self.workers != NULL:
            with nogil:
                for i in range(self.threads):
                    worker_close(&self.workers[i])
                    sender_close(&self.senders[i])
                    self.ended_rounds += self.senders[i].rounds
                    self.ended_wakeups += self.workers[i].wakeups
                    self.ended_events_lost += self.workers[i].events.lost
                    for n in range(COUNTS):
                        self.ended[n] += self.workers[i].closed[n]
                    for n in range(DELAYS):
                        histogram_add(&self.ended_delays[n], &self.workers[i].delays[n])
                    for n in range(SEND_DELAYS):
                        histogram_add(&self.ended_delays[DELAYS + n], &self.senders[i].delays[n])
            free(self.workers)
            self.workers = NULL
            close(self.event)
        free(self.senders)
        self.senders = NULL

    def start(self):
        """Start the threads."""
        cdef int i, error
        cdef bytes name
        for i in range(self.threads):
            name = b"relay-%d" % i
            error = worker_start(&self.workers[i], name)
            if error:
                raise OSError(error, "the relay thread cannot be started")
            name = b"sender-%d" % i
            error = sender_start(&self.senders[i], name)
            if error:
                raise OSError(error, "the sender thread cannot be started")

    def close(self):
        """Close all legs and end the threads. Nothing may be called afterwards."""
        cdef RelayLeg leg
        for leg in list(self.legs.values()):
            leg.close()
        self.shut()

    def fileno(self):
        """Readable when `dispatch` has something to do."""
        return self.event

    cdef Sender *sender_of(self, Tapped *tapped) noexcept:
        """That of the leg's other taps, or the one with the fewest."""
        cdef Sender *best = self.senders
        cdef int i
        if tapped.sender != NULL:
            return tapped.sender
        for i in range(1, self.threads):
            if self.senders[i].taps < best.taps:
                best = &self.senders[i]
        return best

    cdef Worker *quietest(self) except NULL:
        cdef Worker *best = self.workers
        cdef int i
        if best == NULL:
            raise ValueError("the relay is closed")
        for i in range(1, self.threads):
            if self.workers[i].legs < best.legs:
                best = &self.workers[i]
        return best

    def dispatch(self):
        """Hand new frames to the taps, one batch each; events, ends of prompts and marks in speech to whoever
        waits for them."""
        cdef uint64_t ignored
        cdef RelayTap tap
        cdef RelayPlayback playback
        cdef RelaySpeaker speaker
        cdef RelayLeg leg
        read(self.event, &ignored, sizeof(ignored))
        store_release(&self.notified, 0)
        for tap in self.taps.copy():
            if tap.sink is not None:
                if not load_acquire(&tap.attached.given_up):
                    continue
                tap.detach()
            if tap.tapped != NULL and load_acquire(&tap.tapped.ring.written) > tap.cursor:
                self.call(tap.on_frames, tap.collect())
        for serial, event in self.take_events():
            leg = self.legs.get(serial)
            if leg is not None and leg.on_event is not None:
                self.call(leg.on_event, event)
        for playback in self.playbacks.copy():
            if playback.leg is not None and load_acquire(&playback.c.done):
                playback.leave()
                if playback.on_done is not None:
                    self.call(playback.on_done, None)
        for speaker in self.speakers.copy():
            speaker.attend()

    cdef void notify(self) noexcept:
        """Have `dispatch` called by the event loop."""
        cdef uint64_t one = 1
        if exchange(&self.notified, 1) == 0:
            write(self.event, &one, sizeof(one))

    cdef list take_events(self):
        """What the workers have told, each as a leg's serial and (kind, a, b, c)."""
        cdef list events = []
        cdef Event event
        cdef int i
        for i in range(self.threads if self.workers != NULL else 0):
            while events_take(&self.workers[i].events, &event):
                events.append((event.leg, (event.kind, event.a, event.b, event.c)))
        return events

    cdef int call(self, object callback, object argument) except -1:
        try:
            if argument is None:
                callback()
            elif argument:
                callback(argument)
        except Exception as error:
            self.callbacks_failed += 1
            self.failed(error)
        return 0

    def histograms(self):
        """What was measured since the start, by name: counts by HISTOGRAM_BOUNDS, and the sum in ns."""
        cdef Histogram delays[DELAYS + SEND_DELAYS]
        cdef int i, n
        memcpy(delays, self.ended_delays, sizeof(delays))
        with nogil:
            for i in range(self.threads if self.workers != NULL else 0):
                worker_delays(&self.workers[i], delays)
                sender_lock(&self.senders[i])
                for n in range(SEND_DELAYS):
                    histogram_add(&delays[DELAYS + n], &self.senders[i].delays[n])
                sender_unlock(&self.senders[i])
        result = {}
        for n, name in enumerate(DELAY_NAMES):
            result[name] = ([delays[n].counts[i] for i in range(BOUNDS + 1)], delays[n].sum_ns)
        return result

    def counters(self):
        """Totals of all legs that are or were, by name, and what stands open."""
        cdef Totals totals
        cdef uint64_t attached = 0
        cdef uint64_t rounds = self.ended_rounds
        cdef int i
        memset(&totals, 0, sizeof(Totals))
        totals.wakeups = self.ended_wakeups
        totals.events_lost = self.ended_events_lost
        memcpy(totals.counts, self.ended, sizeof(self.ended))
        with nogil:
            for i in range(self.threads if self.workers != NULL else 0):
                worker_totals(&self.workers[i], &totals)
                sender_lock(&self.senders[i])
                attached += self.senders[i].taps
                rounds += self.senders[i].rounds
                sender_unlock(&self.senders[i])
        result = {name: totals.counts[n] for n, name in enumerate(COUNT_NAMES)}
        result.update(self.copied())
        result.update(
            legs=len(self.legs), sockets=2 * (len(self.legs) + len(self.copies)) + totals.guards,
            taps=len(self.taps), taps_attached=attached, sender_wakeups=rounds,
            rings=totals.rings, playbacks=len(self.playbacks), speakers=len(self.speakers),
            wakeups=totals.wakeups, speech_refused=self.speech_refused, marks_refused=self.marks_refused,
            frames_lost=self.frames_lost, events_lost=totals.events_lost,
            callbacks_failed=self.callbacks_failed, srtp_sessions=self.srtp_sessions,
        )
        return result

    cdef dict copied(self):
        """What copies have counted, those included that are closed."""
        cdef CopyFigures sum = self.ended_copies
        cdef RelayCopy copy
        for copy in self.copies:
            copy.add_to(&sum)
        return {
            "copies": len(self.copies), "copy_packets": sum.packets, "copy_octets": sum.octets,
            "copy_frames_dropped": sum.dropped, "copy_send_errors": sum.send_errors,
            "copy_reports": sum.reports,
        }


cdef class RelaySrtp:
    """A session of libsrtp for one direction of one leg."""

    cdef Srtp c
    cdef Relay relay
    cdef object session

    def __cinit__(self, RelayLeg leg not None, session, uintptr_t pointer, uintptr_t rtp, uintptr_t rtcp):
        """`session` keeps the `pointer` (srtp_t) alive; `rtp` and `rtcp` are what to call with it."""
        self.c.session = <void *>pointer
        self.c.rtp = <Transform>rtp
        self.c.rtcp = <Transform>rtcp
        self.session = session
        self.relay = leg.relay
        self.relay.srtp_sessions += 1

    def __dealloc__(self):
        if self.relay is not None:  # a garbage collection may have cleared it
            self.relay.srtp_sessions -= 1


cdef class RelayLeg:
    """A leg's two sockets in a relay thread. Every method but close() raises ValueError once it is closed."""

    cdef Leg *c
    cdef Worker *worker
    cdef Relay relay
    cdef RelayLeg peer
    cdef RelayPlayback playback
    cdef RelaySrtp opens
    cdef RelaySrtp former
    cdef RelaySrtp seals
    cdef RelaySpeaker speaker
    cdef ToneReceiver tones
    cdef bint listened
    cdef bint is_open
    cdef public object on_event
    """Called on the event loop with (kind, a, b, c) of each event of the leg; None: nobody."""

    def __cinit__(self, Relay relay, int rtp, int rtcp, uint32_t ssrc, uint16_t sequence, uint32_t timestamp):
        """Takes over two bound, non-blocking sockets; on failure (OSError) they stay the caller's."""
        global last_serial
        self.c = <Leg *>calloc(1, sizeof(Leg))
        if self.c == NULL:
            raise MemoryError
        last_serial += 1
        self.relay = relay
        self.worker = relay.quietest()
        self.c.serial = last_serial
        self.c.rtp.fd = rtp
        self.c.rtcp.fd = rtcp
        self.c.guard = -1
        self.c.tx.ssrc = ssrc
        self.c.tx.sequence = sequence
        self.c.tx.base = timestamp
        self.c.in_scale = self.c.out_scale = self.c.digits_scale = 1
        self.c.here_length = sizeof(Sockaddr)
        if getsockname(rtp, &self.c.here.any, &self.c.here_length):
            raise OSError("the RTP socket has no name")
        self.c.family = self.c.here.any.sa_family
        with nogil:
            self.is_open = leg_enter(self.worker, self.c)
        if not self.is_open:
            raise OSError("the relay cannot watch another socket")
        relay.legs[self.c.serial] = self

    def __dealloc__(self):
        if self.c != NULL:
            coder_free(self.c.coder)
        free(self.c)  # what is open is closed by close(); the relay holds every open leg until then

    cdef Leg *opened(self) except NULL:
        if not self.is_open:
            raise ValueError("the leg is closed")
        return self.c

    def set_remote(
        self, bytes rtp_host, uint16_t rtp_port, bytes rtcp_host, uint16_t rtcp_port, bytes hosts,
        bint sends, bint receives, bytes codecs, uint8_t play_type, uint8_t play_codec, int packet_ms,
        uint8_t event_type, uint8_t event_codec, bint listens,
    ):
        """Hosts are 16 octets each (IPv4 mapped); `codecs` is 128 octets, the Codec of each payload type.
        Keys are sent as `event_type`; 255: as tones. `listens`: they are looked for in the audio, too."""
        cdef Remote remote
        cdef const uint8_t *octets = hosts
        cdef int i
        cdef Leg *c = self.opened()
        memset(&remote, 0, sizeof(remote))
        remote.host_count = len(hosts) // 16
        if len(rtp_host) != 16 or len(rtcp_host) != 16 or len(codecs) != 128 or remote.host_count > MAX_HOSTS:
            raise ValueError("hosts are 16 octets, codecs 128")
        for i in range(remote.host_count):
            memcpy(remote.hosts[i].host, octets + 16 * i, 16)
        memcpy(remote.rtp.host, <const uint8_t *>rtp_host, 16)
        remote.rtp.port = rtp_port
        memcpy(remote.rtcp.host, <const uint8_t *>rtcp_host, 16)
        remote.rtcp.port = rtcp_port
        remote.sends = sends
        remote.receives = receives
        memcpy(remote.codecs, <const uint8_t *>codecs, 128)
        remote.play_type = play_type
        remote.play_codec = play_codec
        remote.packet_ms = packet_ms
        remote.event_type, remote.event_codec = event_type, event_codec
        if listens and not self.listened:
            tones_open(&self.tones)
        self.listened = listens
        remote.tones = &self.tones if listens else NULL
        if G722 in codecs and not codecs_have_g722():
            raise OSError("PJSIP's library has no G.722")
        if c.coder == NULL and any([codec_remembers(codec) for codec in codecs]):
            c.coder = coder_new()  # the relay thread looks at it only for a codec that it is told of below
            if c.coder == NULL:
                raise MemoryError
        with nogil:
            leg_set_remote(self.worker, c, &remote)

    @property
    def ssrc(self):
        """Of the stream that the leg sends."""
        return self.c.tx.ssrc

    def set_srtp(self, RelaySrtp opens, RelaySrtp seals):
        """The sessions for what is received and what is sent; None: plain. Those in use may come again."""
        cdef Leg *c = self.opened()
        cdef Srtp *opens_c = &opens.c if opens is not None else NULL
        cdef Srtp *seals_c = &seals.c if seals is not None else NULL
        with nogil:
            leg_set_srtp(self.worker, c, opens_c, seals_c)
        if opens is not self.opens:
            self.former = self.opens if opens is not None else None
        self.opens = opens
        self.seals = seals

    def set_route(self, bytes types, bytes codecs):
        """128 octets each: what a payload type is called on the other leg (255: nothing), and its Codec."""
        cdef Leg *c = self.opened()
        cdef const uint8_t *type_octets = types
        cdef const uint8_t *codec_octets = codecs
        if len(types) != 128 or len(codecs) != 128:
            raise ValueError("a route is 128 octets")
        with nogil:
            leg_set_route(self.worker, c, type_octets, codec_octets)

    def connect(self, RelayLeg other):
        """Forward both ways; both have been disconnected from others."""
        cdef Leg *c = self.opened()
        cdef Leg *d = other.opened()
        cdef bint joined
        if self.peer is not None or other.peer is not None or self is other:
            raise ValueError("a leg is connected already")
        with nogil:
            joined = legs_join(self.worker, c, other.worker, d)
        if not joined:
            raise OSError("the relay cannot watch another socket")
        other.worker = self.worker
        self.peer = other
        other.peer = self

    def silence(self):
        """Send nothing to the phone, ever."""
        cdef Leg *c = self.opened()
        with nogil:
            leg_silence(self.worker, c)

    def disconnect(self):
        """Forward no more, in either direction."""
        if self.peer is not None:
            with nogil:
                legs_part(self.worker, self.c)
            self.peer.peer = None
            self.peer = None

    def mask(self):
        """Withhold the audio of both tracks from all taps from this moment on. False: that is so already."""
        cdef Leg *c = self.opened()
        cdef bint fresh
        with nogil:
            fresh = leg_mask(self.worker, c)
        return bool(fresh)

    def unmask(self):
        """Withhold no more. When the first and the last masked frame begin, in ns of the monotonic clock, and
        the number of frames on each track; None: nothing was masked. Without a tap there are no frames, and
        the times are those of the two calls.
        """
        cdef Leg *c = self.opened()
        cdef int64_t begin, end, start
        cdef bint was
        with nogil:
            was = leg_unmask(self.worker, c, &begin, &end)
        if not was:
            return None
        if c.counted == NULL:
            return begin, end, 0
        start = c.counted.tracks[INBOUND].start
        begin = max(begin - start, 0) // FRAME_NS
        end = (end - start) // FRAME_NS
        return start + begin * FRAME_NS, start + end * FRAME_NS, end - begin + 1

    def watch(self, int64_t ns):
        """Tell `on_event` when the phone should send and has not for so long, and when that is over.

        0: no more.
        """
        cdef Leg *c = self.opened()
        with nogil:
            leg_set_watch(self.worker, c, ns)

    def figures(self):
        """What the leg has counted, received and put on its tracks, by name."""
        cdef Snapshot snapshot
        with nogil:
            leg_snapshot(self.worker, self.c, self.is_open, &snapshot)
        result = {name: snapshot.counts[n] for n, name in enumerate(COUNT_NAMES)}
        result.update(
            expected=snapshot.expected, packets=snapshot.packets, duplicate=snapshot.duplicate,
            reordered=snapshot.reordered, ssrc_changes=snapshot.ssrc_changes, jitter=snapshot.jitter,
            round_trip_ns=snapshot.round_trip.ns if snapshot.round_trip.known else None,
            idle_ns=snapshot.idle_ns if snapshot.heard else None,
            source=(snapshot.source.host[:16], snapshot.source.port) if snapshot.locked else None,
            inbound=snapshot.tracks[INBOUND], outbound=snapshot.tracks[OUTBOUND],
        )
        return result

    def close(self):
        """Close the sockets; taps, prompt and speaker end without further calls. Later calls do nothing."""
        cdef RelayTap tap
        if not self.is_open:
            return
        self.disconnect()
        if self.playback is not None:
            self.playback.leave()
        if self.speaker is not None:
            self.speaker.close()
        for tap in self.relay.taps.copy():
            if tap.leg is self:
                tap.close()
        for copy in self.relay.copies.copy():
            if (<RelayCopy>copy).leg is self:
                copy.close()
        self.is_open = False
        with nogil:
            leg_leave(self.worker, self.c)
        self.opens = self.former = self.seals = None
        self.on_event = None
        self.relay.legs.pop(self.c.serial, None)


cdef class RelayPlayback:
    """mu-law audio on its way to a leg, or keys."""

    cdef Playback c
    cdef RelayLeg leg
    cdef bytes audio
    cdef bytes keys
    cdef object on_done

    def __cinit__(self, RelayLeg leg, bytes audio, uint32_t loops, on_done, bytes keys=b""):
        """Starts at once, in place of what the leg was playing. `loops` 0: until stopped.

        `keys`: octets of 0 to 15, or 255 for a pause; `audio` then has the 16 keys' tones, 960 samples each.
        """
        cdef Leg *c = leg.opened()
        if not audio:
            raise ValueError("there is nothing to play")
        if keys and (len(audio) != 16 * TONE or any([key > 15 and key != PAUSE for key in keys])):
            raise ValueError("no such keys")
        if leg.playback is not None:
            leg.playback.leave()
        self.audio = audio
        self.on_done = on_done
        self.c.audio = audio
        self.c.length = len(audio)
        if keys:
            self.keys = keys
            self.c.keys = keys
            self.c.length = len(keys)
        self.c.loops = loops
        self.c.due = monotonic_ns()
        self.leg = leg
        leg.playback = self
        leg.relay.playbacks.append(self)
        with nogil:
            leg_start_playing(leg.worker, c, &self.c)

    cdef int leave(self) except -1:
        """Stop, done or not. The relay thread does not know `c` any more afterwards."""
        cdef RelayPlayback held = self  # what follows may drop the last reference to it
        cdef RelayLeg leg = self.leg
        with nogil:
            leg_stop_playing(leg.worker, leg.c, &self.c)
        held.leg = None
        leg.playback = None
        leg.relay.playbacks.remove(held)
        return 0

    def stop(self):
        """Send no more of it. Later calls do nothing."""
        if self.leg is not None:
            self.leave()

    @property
    def playing(self):
        """Whether there is anything left to send."""
        return self.leg is not None and not load_acquire(&self.c.done)


cdef class RelaySpeaker:
    """mu-law audio that is written piece by piece and sent to a leg; see voice.pxd.

    Positions count octets from the beginning, those that were cleared included.
    """

    cdef Speech c
    cdef RelayLeg leg            # None: closed
    cdef object on_progress
    cdef uint64_t limit
    cdef readonly uint64_t refused
    """Octets that did not fit."""

    def __cinit__(self, RelayLeg leg, bint mixes, uint64_t limit, on_progress):
        """One a leg; it holds up to `limit` octets. `on_progress` is called as long as the position watched
        has been reached."""
        cdef Leg *c = leg.opened()
        if leg.speaker is not None:
            raise ValueError("somebody speaks to the leg already")
        if not speech_open(&self.c, mixes, monotonic_ns()):
            raise MemoryError
        self.limit = limit
        self.on_progress = on_progress
        self.leg = leg
        leg.speaker = self
        leg.relay.speakers.append(self)
        with nogil:
            leg_start_speaking(leg.worker, c, &self.c)

    def __dealloc__(self):
        speech_free(&self.c)

    cdef int leave(self) except -1:
        """Stop. The relay thread does not know `c` any more afterwards."""
        cdef RelaySpeaker held = self  # what follows may drop the last reference to it
        cdef RelayLeg leg = self.leg
        with nogil:
            leg_stop_speaking(leg.worker, leg.c)
        held.leg = None
        held.on_progress = None
        leg.speaker = None
        leg.relay.speakers.remove(held)
        return 0

    cdef int attend(self) except -1:
        """For `dispatch`: tell of marks, see whether it has drained, free what has been read."""
        cdef Relay relay
        cdef int left = MARKS_AT_ONCE
        if self.leg is None:
            return 0
        relay = self.leg.relay
        speech_tidy(&self.c)
        while self.leg is not None and load_acquire(&self.c.played) >= self.c.watched:
            if left == 0:
                relay.notify()
                return 0
            left -= 1
            relay.call(self.on_progress, None)
        if self.leg is not None and self.c.draining and load_acquire(&self.c.played) == self.c.written:
            self.leave()
        return 0

    def write(self, bytes audio):
        """Append as much as there is room for, and return how much that is."""
        cdef uint64_t taken = 0
        cdef uint64_t size = len(audio)
        if self.leg is not None and not self.c.draining:
            taken = min(size, self.limit - <uint64_t>speech_left(&self.c))
            taken = speech_write(&self.c, audio, taken)
            self.leg.relay.speech_refused += size - taken
        self.refused += size - taken
        return taken

    def watch(self, position):
        """Call `on_progress` when `position` has been played, None: not at all."""
        store_release(&self.c.watched, INT64_MAX if position is None else <uint64_t>position)
        if self.leg is not None and load_acquire(&self.c.played) >= self.c.watched:
            self.leg.relay.notify()

    def refuse_mark(self):
        """Count a mark that was one too many."""
        if self.leg is not None:
            self.leg.relay.marks_refused += 1

    def clear(self):
        """Drop what waits, and return the position up to which it had been sent."""
        cdef uint64_t sent = self.c.sent
        if self.leg is not None:
            with nogil:
                sent = leg_clear_speech(self.leg.worker, self.leg.c)
            speech_tidy(&self.c)
        return sent

    def drain(self):
        """Take no more, and close when all has been played."""
        if self.leg is not None:
            with nogil:
                leg_drain_speech(self.leg.worker, self.leg.c)

    def close(self):
        """Drop what waits, and end; `on_progress` is not called any more. Later calls do nothing."""
        if self.leg is not None:
            self.clear()
            self.leave()

    @property
    def closed(self):
        return self.leg is None

    @property
    def written(self):
        return self.c.written

    @property
    def sent(self):
        return load_acquire(&self.c.sent)

    @property
    def played(self):
        return load_acquire(&self.c.played)

    def figures(self):
        """What has been counted, by name."""
        cdef SpeechFigures figures = self.c.figures
        if self.leg is not None:
            with nogil:
                leg_speech_figures(self.leg.worker, self.leg.c, &figures)
        return figures


cdef Tapped *fresh_tapped(RelayLeg leg, int64_t now, int unit) except? NULL:
    """What a leg needs for its first tap of a format, or its first copy; NULL: it has it."""
    cdef Tapped *fresh
    cdef int64_t start
    if leg_place(leg.c, unit)[0] != NULL:
        return NULL
    # Frames begin on the worker's ticks, so that many legs share one wake-up, and with those of other
    # formats: what is masked is the same for all.
    start = now // TICK_NS * TICK_NS
    if leg.c.counted != NULL:
        start = leg.c.counted.tracks[INBOUND].start
        start += (now - start) // FRAME_NS * FRAME_NS
    fresh = tapped_new(start, (leg.relay.window_ms + 19) // 20, unit)
    if fresh == NULL:
        raise MemoryError
    return fresh


cdef class RelayCopy:
    """A track of a leg on its way to a recorder, from two sockets of its own."""

    cdef Copy c
    cdef RelayLeg leg            # None: closed
    cdef Tapped *tapped
    cdef RelaySrtp opens
    cdef RelaySrtp seals

    def __cinit__(
        self, RelayLeg leg, int rtp, int rtcp, int track, uint32_t ssrc, uint16_t sequence,
        uint32_t timestamp, bytes cname, int frames,
    ):
        """Takes over two bound, non-blocking sockets; on failure they stay the caller's. `track`: 0 inbound,
        1 outbound, 2 both in one. It keeps up to `frames` that could not be sent yet."""
        cdef Leg *c = leg.opened()
        cdef Tapped *fresh
        if not 0 <= track <= MIXED or len(cname) > MOST_CNAME:
            raise ValueError("no such track, or too long a name")
        if not copy_open(&self.c, frames):
            raise MemoryError
        fresh = fresh_tapped(leg, monotonic_ns(), 1)
        self.c.rtp, self.c.rtcp, self.c.track = rtp, rtcp, track
        self.c.ssrc, self.c.sequence, self.c.base = ssrc, sequence, timestamp
        self.c.random = ssrc | 1
        self.c.cname_length = len(cname)
        memcpy(self.c.cname, <const uint8_t *>cname, len(cname))
        with nogil:
            leg_copy(leg.worker, c, fresh, &self.c)
        self.tapped = c.tapped
        self.leg = leg
        leg.relay.copies.append(self)

    def __dealloc__(self):
        copy_free(&self.c)

    @property
    def relay_leg(self):
        """The leg; None: closed."""
        return self.leg

    @property
    def ssrc(self):
        """Of the stream that is sent."""
        return self.c.ssrc

    def aim(
        self, bytes rtp_host, uint16_t rtp_port, bytes rtcp_host, uint16_t rtcp_port, uint8_t payload_type,
        bint alaw, int hurry, bint skip, RelaySrtp opens, RelaySrtp seals,
    ):
        """Send to these addresses (16 octets, IPv4 mapped) from now on, what has been kept first, with
        `hurry` per cent more packets than frames; with `skip` it stays out."""
        cdef CopyAim aim
        cdef Srtp *opens_c = &opens.c if opens is not None else NULL
        cdef Srtp *seals_c = &seals.c if seals is not None else NULL
        if len(rtp_host) != 16 or len(rtcp_host) != 16:
            raise ValueError("hosts are 16 octets")
        if self.leg is None:
            return
        memcpy(aim.rtp.host, <const uint8_t *>rtp_host, 16)
        memcpy(aim.rtcp.host, <const uint8_t *>rtcp_host, 16)
        aim.rtp.port, aim.rtcp.port = rtp_port, rtcp_port
        aim.payload_type, aim.alaw, aim.hurry, aim.skip = payload_type, alaw, hurry, skip
        with nogil:
            copy_aim(self.leg.worker, self.leg.c, &self.c, &aim, opens_c, seals_c)
        self.opens, self.seals = opens, seals

    def lose(self):
        """Send to nobody, and keep what there is room for."""
        if self.leg is not None:
            with nogil:
                copy_aim(self.leg.worker, self.leg.c, &self.c, NULL, NULL, NULL)
            self.opens = self.seals = None

    def pause(self, bint paused):
        """Leave out what is said from now on, or no more."""
        if self.leg is not None:
            with nogil:
                copy_pause(self.leg.worker, &self.c, paused)

    cdef int add_to(self, CopyFigures *sum) except -1:
        cdef CopyFigures figures
        cdef RoundTrip trip
        if self.leg is None:
            figures = self.c.figures
        else:
            with nogil:
                copy_figures(self.leg.worker, &self.c, &figures, &trip)
        sum.packets += figures.packets
        sum.octets += figures.octets
        sum.dropped += figures.dropped
        sum.send_errors += figures.send_errors
        sum.reports += figures.reports
        return 0

    def figures(self):
        """What has been counted, by name; of what the recorder reports, the newest."""
        cdef CopyFigures figures = self.c.figures
        cdef RoundTrip trip = self.c.round_trip
        cdef int64_t behind = self.c.written - self.c.sent
        cdef dict result
        if self.leg is not None:
            with nogil:
                copy_figures(self.leg.worker, &self.c, &figures, &trip)
        result = figures
        result["lost"] = figures.lost - (1 << 24) if figures.lost & 1 << 23 else figures.lost
        result["waiting"] = behind
        result["heard_ns"] = monotonic_ns() - figures.heard if figures.heard else None
        result["round_trip_ns"] = trip.ns if trip.known else None
        return result

    def close(self):
        """Send what is left and RTCP's goodbye, and close the sockets. Later calls do nothing."""
        cdef RelayLeg leg = self.leg
        cdef Tapped *tapped = self.tapped
        cdef Pair rest[32]
        cdef int64_t now = monotonic_ns()
        if leg is None:
            return
        with nogil:
            leg_uncopy(leg.worker, leg.c, &self.c, now, rest)
            close(self.c.rtp)
            close(self.c.rtcp)
        if leg.c.tapped != tapped:
            tapped_free(tapped)
        self.tapped = NULL
        leg.relay.copies.remove(self)
        self.leg = None
        self.add_to(&leg.relay.ended_copies)
        self.opens = self.seals = None
        copy_free(&self.c)


cdef class RelayTap:
    """A reader of a leg's ring."""

    cdef RelayLeg leg
    cdef Tapped *tapped          # NULL: closed
    cdef uint64_t cursor         # the next pair to read
    cdef uint64_t base           # the pair that is this tap's frame 0
    cdef bint wanted[2]
    cdef int octets              # of a frame
    cdef object on_frames
    cdef uint64_t frames
    cdef uint64_t flagged[2][FLAGS]  # by track, and FLAG_NAMES
    cdef object sink             # the capsule that it is attached to; None: the event loop reads
    cdef Attached attached
    cdef Sender *sender
    cdef readonly uint64_t sent
    """Frames that sinks have taken, as of the last `detach` or `figures`."""
    cdef readonly uint64_t dropped
    """Frames that were overwritten before they were read."""

    def __cinit__(self, RelayLeg leg, bint inbound, bint outbound, on_frames, int unit=1):
        """`unit`: 1 for mu-law, 2, 4 and 6 for linear samples at 8, 16 and 24 kHz."""
        cdef Leg *c = leg.opened()
        cdef int64_t now = monotonic_ns()
        cdef Tapped *fresh
        if unit not in (1, 2, 4, 6):
            raise ValueError("a unit is 1, 2, 4 or 6 octets")
        self.octets = FRAME * unit
        self.wanted[INBOUND] = inbound
        self.wanted[OUTBOUND] = outbound
        self.on_frames = on_frames
        fresh = fresh_tapped(leg, now, unit)
        with nogil:
            self.tapped = leg_tap(leg.worker, c, unit, fresh)
        self.base = (now - self.tapped.tracks[INBOUND].start) // FRAME_NS
        self.cursor = self.base
        self.leg = leg
        leg.relay.taps.append(self)

    cdef int add(self, list frames, uint64_t number, const Pair *pair) except -1:
        """Append a pair's frames, as far as they are wanted."""
        cdef int track
        cdef int bit
        for track in range(2):
            if self.wanted[track]:
                for bit in range(FLAGS):
                    self.flagged[track][bit] += pair.flags[track] >> bit & 1
                frames.append(make_frame(track, number - self.base, pair, self.octets))
        self.frames += 1
        return 0

    cdef list collect(self):
        """Everything that is new."""
        cdef list frames = []
        cdef Pair pair
        cdef Ring *ring = self.tapped.ring
        cdef uint64_t written = load_acquire(&ring.written)
        cdef uint64_t first, lost
        while self.cursor < written:
            if ring_copy(ring, self.cursor, &pair):
                self.add(frames, self.cursor, &pair)
                self.cursor += 1
                continue
            first = max(ring_first(ring, load_acquire(&ring.written)), self.cursor + 1)
            lost = (first - self.cursor) * (self.wanted[INBOUND] + self.wanted[OUTBOUND])
            self.cursor = first
            self.dropped += lost
            self.leg.relay.frames_lost += lost
        return frames

    def attach(self, sink):
        """Have a sender thread give what has not been handed over yet to `sink`, a capsule as sink.h has it.

        False: the tap is closed, or attached already. A sink that refuses a moment gets no more: the next
        `dispatch` hands over what follows, as before.
        """
        cdef forkproxy_sink *c = <forkproxy_sink *>PyCapsule_GetPointer(sink, FORKPROXY_SINK)
        cdef Sender *sender
        if c.version != FORKPROXY_SINK_VERSION:
            raise ValueError(f"a sink of version {c.version}, not {FORKPROXY_SINK_VERSION}")
        if self.tapped == NULL or self.sink is not None:
            return False
        memset(&self.attached, 0, sizeof(Attached))
        self.attached.sink = c[0]
        self.attached.ring = self.tapped.ring
        self.attached.start = self.tapped.tracks[INBOUND].start
        self.attached.start += self.leg.relay.window_ms * <int64_t>1000000
        self.attached.cursor = self.cursor
        self.attached.base = self.base
        self.attached.octets = self.octets
        self.attached.wanted[INBOUND] = self.wanted[INBOUND]
        self.attached.wanted[OUTBOUND] = self.wanted[OUTBOUND]
        sender = self.sender = self.leg.relay.sender_of(self.tapped)
        self.sink = sink
        with nogil:
            leg_attach(self.leg.worker, self.tapped, sender)
            sender_attach(sender, &self.attached)
        return True

    def detach(self):
        """Read by the event loop again, beginning with the first moment that the sink has not taken.

        False: it was not attached.
        """
        cdef Attached *attached = &self.attached
        cdef Sender *sender = self.sender
        if self.sink is None:
            return False
        with nogil:
            sender_detach(sender, attached)
            leg_detach(self.leg.worker, self.tapped)
        self.cursor = attached.cursor
        self.settle()
        self.sink = None
        self.leg.relay.notify()
        return True

    cdef void settle(self) noexcept:
        """Count what the sink has taken since the last time; nobody else touches `attached`."""
        cdef Attached *attached = &self.attached
        cdef uint64_t tracks = self.wanted[INBOUND] + self.wanted[OUTBOUND]
        cdef int track, bit
        self.frames += attached.moments
        self.sent += attached.moments * tracks
        self.dropped += attached.lost * tracks
        self.leg.relay.frames_lost += attached.lost * tracks
        for track in range(2):
            for bit in range(FLAGS):
                self.flagged[track][bit] += attached.flagged[track][bit]
        attached.moments = attached.lost = 0
        memset(attached.flagged, 0, sizeof(attached.flagged))

    cdef void look(self) noexcept:
        """Count what the sink has taken, while it goes on."""
        if self.sink is not None:
            with nogil:
                sender_lock(self.sender)
            self.settle()
            with nogil:
                sender_unlock(self.sender)

    @property
    def is_attached(self):
        return self.sink is not None

    def close(self):
        """Hand over what is there, and what is over but held back by the window; then read no more."""
        cdef list frames
        cdef Tapped *tapped = self.tapped
        cdef Pair *rest
        cdef uint64_t written
        cdef int32_t count, i
        cdef int64_t now = monotonic_ns()
        if tapped == NULL:
            return
        self.detach()
        rest = <Pair *>calloc(RING_SLOTS, sizeof(Pair))
        with nogil:
            count = leg_untap(self.leg.worker, self.leg.c, tapped, now, rest, RING_SLOTS, &written)
        frames = self.collect()
        for i in range(count):
            if written + i >= self.cursor:
                self.add(frames, written + i, &rest[i])
                self.cursor += 1
        free(rest)
        if leg_place(self.leg.c, self.octets // FRAME)[0] != tapped:
            tapped_free(tapped)
        self.tapped = NULL
        self.leg.relay.taps.remove(self)
        self.leg.relay.call(self.on_frames, frames)
        if count < 0:
            raise MemoryError

    def figures(self):
        """Frames handed over on each track, by flag, frames lost to a slow reader, and frames sinks took."""
        self.look()
        result = {"frames": self.frames, "dropped": self.dropped, "sent": self.sent}
        for bit, name in enumerate(FLAG_NAMES):
            result[name] = self.flagged[INBOUND][bit], self.flagged[OUTBOUND][bit]
        return result

    def frame_at(self, int64_t ns):
        """The number of the frame whose 20 ms hold a moment of the monotonic clock; negative: before the tap.

        Raises:
            ValueError: the tap is closed.
        """
        if self.tapped == NULL:
            raise ValueError("the tap is closed")
        return (ns - self.tapped.tracks[INBOUND].start) // FRAME_NS - <int64_t>self.base
