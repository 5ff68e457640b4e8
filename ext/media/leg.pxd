"""A leg: its sockets, whom it listens to, where its packets go, its taps and its figures.

Everything here is touched with the worker's lock held: by the relay thread for a batch of packets at a time,
by control calls for a moment.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from media.address cimport Address, Sockaddr, address_write, is_unspecified, same_address, same_host
from media.codec cimport Coder
from media.clock cimport (
    Clock,
    ClockFigures,
    clock_close,
    clock_copy,
    clock_due,
    clock_open,
    figures_add,
)
from media.copy cimport Copy
from media.dtmf cimport EventReceiver
from media.events cimport EVENT_INACTIVE, EventQueue, events_notify, events_put
from media.frames cimport Noted, pair_cut
from media.linux cimport (
    AF_INET6,
    AF_UNSPEC,
    EPOLL_CTL_ADD,
    EPOLLIN,
    IPPROTO_IPV6,
    IPV6_V6ONLY,
    SO_RCVBUF,
    SO_REUSEADDR,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOL_SOCKET,
    bind,
    close,
    connect,
    epoll_ctl,
    epoll_event,
    setsockopt,
    socket,
    socklen_t,
)
from media.resample cimport Past
from media.ring cimport INBOUND, OUTBOUND, Pair, Ring, ring_free, ring_new
from media.roundtrip cimport RoundTrip
from media.sender cimport Sender
from media.spans cimport Withheld
from media.srtp cimport Srtp
from media.stream cimport Reception, Sending
from media.tones cimport ToneReceiver
from media.voice cimport Speech

cdef enum Lock:
    OPEN = 0                 # nobody has been heard yet
    BY_HOST = 1              # the first valid packet came from a right host, but another port
    EXACT = 2                # from the very address signalled: final

cdef enum:
    MAX_HOSTS = 2
    WIDES = 3
    NO_ROUTE = 0xFF
    MOST_PACKETS = 128       # taken from a phone in FLOOD_NS: it sends one to four, after a stall many
    FLOOD_NS = 20000000
    # Key presses of a phone that are told in DIGITS_NS, so that none fills the queue that all share.
    MOST_DIGITS = 25
    DIGITS_NS = 1000000000

cdef enum:
    # What a leg counts; relay.pyx gives the names.
    PACKETS_IN
    OCTETS_IN
    PACKETS_OUT
    OCTETS_OUT
    RTCP_IN
    RTCP_OUT
    MALFORMED
    MALFORMED_RTCP
    UNKNOWN_SOURCE
    UNKNOWN_PAYLOAD
    NOT_NEGOTIATED           # came before set_remote
    NOT_CONNECTED            # no other leg
    NOT_SENDABLE             # the other leg has no address or no codec for it
    HELD                     # a direction forbids it
    REPLACED                 # a prompt or speech was being sent to the other leg
    STRAGGLER                # belonged to a source that is over
    SEND_ERROR
    SRTP_AUTH_FAILED         # not sealed with the leg's keys
    SRTP_REPLAYED            # sealed with them, but has come before
    SRTP_UNSENT              # its sequence number has been sealed before
    LOCKS                    # times that a source was learned
    FLOODED                  # more than a phone can have to say
    MALFORMED_EVENT          # a telephone-event too short to be one; forwarded all the same
    UNTOLD_DIGIT             # pressed faster than MOST_DIGITS; forwarded all the same
    COUNTS

cdef struct Port:
    int fd
    Address signalled        # what the SDP says
    Address source           # where packets come from, once locked
    Lock lock
    Sockaddr to              # where packets go: the source, or what was signalled as long as there is none
    socklen_t to_length
    int64_t flood            # the FLOOD_NS that `flood_packets` have come in
    int32_t flood_packets

cdef struct Playback:
    const uint8_t *audio     # mu-law
    const uint8_t *keys      # what is sent instead, see keys.pxd, `audio` having their tones; else NULL
    int32_t step             # packet times into the key at `position`
    uint32_t began           # the key's timestamp
    bint told                # it is sent as an event
    bint pausing             # what the other leg sends is heard
    int64_t length
    int64_t position
    uint32_t loops           # still to begin, the one that plays included; 0: endless
    int64_t due              # of the next packet
    uint16_t sequence
    uint32_t timestamp
    uint64_t done            # set by the relay thread when the last packet is out

cdef struct Tapped:
    # What a leg has while anybody taps it, for each format that is asked for.
    Clock tracks[2]
    Noted noted[2]           # by track
    Past pasts[2]            # what linear samples are resampled with
    const Withheld *withheld  # the leg's
    Ring *ring
    Tapped *previous
    Tapped *next
    int32_t bucket
    int32_t taps               # copies included
    Copy *copies
    int32_t readers            # taps that the event loop reads,
    int32_t attached           # and those that `sender` does; NULL: there are none
    Sender *sender

cdef struct Leg:
    uint32_t slot            # in the worker's table
    EventQueue *events       # the worker's
    int guards               # the worker's epoll of guards,
    uint64_t guard_key       # and what it calls this leg's
    uint32_t serial          # never given twice
    int family
    Sockaddr here            # what the RTP socket is bound to
    socklen_t here_length
    Port rtp
    Port rtcp
    int guard                # gets what is not from the locked source, once `rtp` is connected; else -1
    uint32_t guard_drops     # what did not even fit into its queue
    bint connected
    bint draining            # connected, but packets from before that may still be in its queue
    bint negotiated          # set_remote has been called
    bint sends               # the remote may send,
    bint receives            # and wants to receive
    bint silent              # nothing is ever sent to it, only its taps hear what would be
    Address hosts[MAX_HOSTS]  # from where a source may be learned; ports do not count
    int32_t host_count
    uint8_t codecs[128]      # Codec of a payload type, as received
    uint8_t route[128]       # payload type on the other leg, or NO_ROUTE
    uint8_t route_codec[128]  # Codec that it must have there
    uint8_t play_type        # what prompts are sent as,
    uint8_t play_codec
    uint8_t event_type       # what keys are sent as; NO_ROUTE: as tones
    uint8_t event_codec
    int32_t packet_ms        # and how much of them in one packet
    Coder *coder             # for codecs that remember; NULL: none has been negotiated
    uint8_t in_scale         # units of the phone's RTP clock in 125 us,
    uint32_t in_timestamp    # its newest timestamp, and the same counted on past 32 bits;
    int64_t in_extended      # both hold where `in_scale` is not 1
    uint8_t out_scale        # units of our RTP clock in 125 us,
    uint32_t out_shift       # and what is added to the timeline that `tx` keeps, multiplied
    Srtp *opens              # what is received; NULL: it is plain
    Srtp *former             # opened it before, and still may; else NULL
    Srtp *seals              # what is sent; NULL: it goes out plain
    Leg *peer
    Reception rx
    Sending tx
    EventReceiver digits
    ToneReceiver *tones      # looks for keys in the audio; NULL: nobody asks
    uint8_t digits_scale     # units of the newest event's clock in 125 us
    int64_t digits_from      # the DIGITS_NS that `digits_told` have been told in
    int32_t digits_told
    RoundTrip round_trip
    Withheld withheld
    Tapped *tapped           # by those who want mu-law,
    Tapped *wide[WIDES]      # and linear samples at 8, 16 and 24 kHz
    int32_t wides            # how many of these there are,
    int32_t tapped_by        # and how many in all
    Tapped *counted          # the one whose tracks' figures count: all are of the same packets
    Playback *playing
    Leg *play_previous
    Leg *play_next
    Speech *speech           # what is said to the phone piece by piece; NULL: nobody may
    Leg *speech_previous
    Leg *speech_next
    uint64_t counts[COUNTS]
    ClockFigures figures[2]  # of the tracks, from taps that are closed
    int64_t watch_ns         # the phone may send nothing for so long before that is told; 0: it is not
    int64_t watch_from       # from when on that counts
    bint inactive            # it has been told
    bint stamped             # the kernel notes when packets arrive at `rtp`


cdef inline bint leg_tell(Leg *leg, uint32_t kind, int64_t a, int64_t b, int64_t c) noexcept nogil:
    """Tell the event loop something about the leg; it comes out at `RelayLeg.on_event`. False: no room."""
    if not events_put(leg.events, leg.serial, kind, a, b, c):
        return False
    events_notify(leg.events)
    return True


cdef inline void leg_watch(Leg *leg, int64_t now) noexcept nogil:
    """Tell when a phone that should send has sent nothing for `watch_ns`, and when that is over.

    It is an EVENT_INACTIVE: `a` whether it is so, `b` the ns since the last packet. What finds no room
    is told the next time.
    """
    cdef int64_t idle = now - max(leg.rx.arrival, leg.watch_from)
    cdef bint inactive = leg.sends and leg.watch_ns > 0 and idle >= leg.watch_ns
    if inactive != leg.inactive and leg_tell(leg, EVENT_INACTIVE, inactive, idle, 0):
        leg.inactive = inactive


cdef inline void port_aim(Port *port, const Address *at, int family) noexcept nogil:
    port.to_length = address_write(at, family, &port.to)


cdef inline int leg_open_guard(Leg *leg) noexcept nogil:
    """A second socket on the RTP port, for everything that the connected one does not match; -1: none to be
    had.

    The port stays ours alone: it may be shared only for the moment that the second socket takes to join.
    """
    cdef int yes = 1
    cdef int no = 0
    cdef epoll_event event
    cdef int room = 16384    # nobody needs what is in there; it only has to be counted
    cdef int guard = socket(leg.family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    if guard < 0:
        return -1
    setsockopt(leg.rtp.fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(int))
    setsockopt(guard, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(int))
    setsockopt(guard, SOL_SOCKET, SO_RCVBUF, &room, sizeof(int))
    if leg.family == AF_INET6:  # behind [::], strangers may come by IPv4, too
        setsockopt(guard, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(int))
    event.events = EPOLLIN
    event.data.u64 = leg.guard_key
    if bind(guard, &leg.here.any, leg.here_length) or epoll_ctl(leg.guards, EPOLL_CTL_ADD, guard, &event):
        close(guard)
        guard = -1
    else:
        setsockopt(guard, SOL_SOCKET, SO_REUSEADDR, &no, sizeof(int))
    setsockopt(leg.rtp.fd, SOL_SOCKET, SO_REUSEADDR, &no, sizeof(int))
    return guard


cdef inline void leg_hear_all(Leg *leg) noexcept nogil:
    """Let the RTP socket hear everybody again."""
    cdef Sockaddr nobody
    if leg.guard >= 0:
        close(leg.guard)
        leg.guard = -1
    if leg.connected:
        memset(&nobody, 0, sizeof(Sockaddr))
        nobody.any.sa_family = AF_UNSPEC
        connect(leg.rtp.fd, &nobody.any, sizeof(Sockaddr))
        leg.connected = False
        leg.draining = False


cdef inline void leg_hear_one(Leg *leg) noexcept nogil:
    """Connect the RTP socket to where it sends: the kernel then keeps others away, and sending is cheaper.

    Where that is not to be had (no file descriptor is left), every packet's source is looked at instead.
    """
    leg.connected = connect(leg.rtp.fd, &leg.rtp.to.any, leg.rtp.to_length) == 0
    leg.draining = leg.connected
    if leg.connected and leg.guard < 0:
        leg.guard = leg_open_guard(leg)
        leg.guard_drops = 0
    if leg.guard < 0 or not leg.connected:
        leg_hear_all(leg)


cdef inline Lock leg_judge(Leg *leg, const Port *port, const Address *source) noexcept nogil:
    """How far `source` may be believed: OPEN means not at all.

    The signalled address always may, and ends all learning; another port of a host that may be learned from
    (NAT changes ports) only as long as nobody has been heard. After that the one that was heard, and nobody
    else: whoever sprays packets over our ports neither gets the audio nor enters it.
    """
    cdef int i
    if port.lock == EXACT:
        return EXACT if same_address(source, &port.source) else OPEN
    if same_address(source, &port.signalled):
        return EXACT
    if port.lock == BY_HOST:
        return BY_HOST if same_address(source, &port.source) else OPEN
    for i in range(leg.host_count):
        if same_host(source, &leg.hosts[i]):
            return BY_HOST
    if port == &leg.rtcp and leg.rtp.lock and same_host(source, &leg.rtp.source):
        return BY_HOST
    return OPEN


cdef inline bint leg_flooded(Leg *leg, Port *port, int64_t now) noexcept nogil:
    """Account for a packet from whom the leg believes; True: it is one too many and dropped.

    A phone gone mad, or somebody who can forge its address, then costs the worker a read per packet and no
    more, and the other phone's link next to nothing.
    """
    if now // FLOOD_NS != port.flood:
        port.flood = now // FLOOD_NS
        port.flood_packets = 0
    port.flood_packets += 1
    if port.flood_packets <= MOST_PACKETS:
        return False
    leg.counts[FLOODED] += 1
    return True


cdef inline bint port_learns(const Port *port, const Address *source, Lock belief) noexcept nogil:
    """Whether a valid packet from `source`, believed so far, changes what is known."""
    return belief > port.lock or not same_address(source, &port.source)


cdef inline void port_lock(Leg *leg, Port *port, const Address *source, Lock belief) noexcept nogil:
    port.lock = belief
    port.source = source[0]
    port_aim(port, source, leg.family)


cdef inline void leg_signal(Leg *leg, Port *port, const Address *signalled) noexcept nogil:
    """Take over a signalled address; a changed one starts learning afresh."""
    if port.lock != OPEN and same_address(&port.signalled, signalled):
        return
    port.signalled = signalled[0]
    port.lock = OPEN
    port_aim(port, signalled, leg.family)


cdef inline bint leg_sendable(const Leg *leg, const Port *port) noexcept nogil:
    """Whether there is anywhere to send to."""
    if port.lock != OPEN:
        return True
    return leg.negotiated and port.signalled.port and not is_unspecified(&port.signalled)


cdef inline void tapped_free(Tapped *tapped) noexcept nogil:
    if tapped != NULL:
        clock_close(&tapped.tracks[INBOUND])
        clock_close(&tapped.tracks[OUTBOUND])
        ring_free(tapped.ring)
        free(tapped)


cdef inline Tapped *tapped_new(int64_t start, int32_t window_frames, int32_t unit) noexcept nogil:
    """Two tracks with `unit` octets at a place (see clock.pxd); NULL: no memory."""
    cdef Tapped *tapped = <Tapped *>calloc(1, sizeof(Tapped))
    cdef bint whole
    if tapped == NULL:
        return NULL
    whole = clock_open(&tapped.tracks[INBOUND], start, window_frames, unit)
    whole = clock_open(&tapped.tracks[OUTBOUND], start, window_frames, unit) and whole
    tapped.ring = ring_new(unit)
    if not whole or tapped.ring == NULL:
        tapped_free(tapped)
        return NULL
    return tapped


cdef inline int32_t tapped_rest(Tapped *tapped, int64_t now, Pair *to, int32_t most) noexcept nogil:
    """The frames that are over by `now` but are still held back by the window, cut ahead of their time.

    Other taps go on: the clocks are not touched then. Returns the number of pairs, or -1: no memory.
    """
    cdef Clock ahead[2]
    cdef Clock *tracks = tapped.tracks
    cdef int32_t count = 0
    cdef bint shared = tapped.taps > 1
    cdef bint whole = True
    if shared:
        whole = clock_copy(&ahead[INBOUND], &tracks[INBOUND])
        whole = clock_copy(&ahead[OUTBOUND], &tracks[OUTBOUND]) and whole
        tracks = ahead
    while whole and count < most and clock_due(&tracks[INBOUND], 0) <= now:
        pair_cut(tracks, tapped.withheld, &to[count])
        count += 1
    if shared:
        clock_close(&ahead[INBOUND])
        clock_close(&ahead[OUTBOUND])
    return count if whole else -1


cdef inline Tapped **leg_place(Leg *leg, int32_t unit) noexcept nogil:
    """Where a leg has its taps of a format."""
    return &leg.tapped if unit == 1 else &leg.wide[unit // 2 - 1]


cdef inline Tapped *leg_tapped(const Leg *leg, int n) noexcept nogil:
    """The taps of one format or another, 0 to WIDES; NULL: there are none."""
    return <Tapped *>(leg.tapped if n == 0 else leg.wide[n - 1])


cdef inline void leg_keep_figures(Leg *leg, const Tapped *tapped) noexcept nogil:
    figures_add(&leg.figures[INBOUND], &tapped.tracks[INBOUND].figures)
    figures_add(&leg.figures[OUTBOUND], &tapped.tracks[OUTBOUND].figures)


cdef inline Tapped *leg_heir(Leg *leg) noexcept nogil:
    """The taps whose figures count from now on, those before being gone; NULL: there are none."""
    cdef Tapped *heir
    cdef int n
    for n in range(WIDES + 1):
        heir = leg_tapped(leg, n)
        if heir != NULL:
            memset(&heir.tracks[INBOUND].figures, 0, sizeof(ClockFigures))
            memset(&heir.tracks[OUTBOUND].figures, 0, sizeof(ClockFigures))
            return heir
    return NULL
