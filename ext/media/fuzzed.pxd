"""What must hold whatever comes from the network: the claims that fuzzing tries to break.

Each function takes any octets and returns 0, or the number of a claim that they have broken. libFuzzer drives
them with the sanitizers watching (tests/fuzz/native.pyx, `make fuzz`); the tests replay what it has found
interesting (`forkproxy.media._seams.fuzz`). Where the octets are a script, a step of it is STEP octets.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from media.address cimport Address, same_address
from media.clock cimport (
    FRAME_NS,
    Clock,
    clock_close,
    clock_copy,
    clock_cut,
    clock_due,
    clock_open,
    clock_push,
    clock_skip,
)
from media.events cimport EventQueue, events_open
from media.g711 cimport alaw_ulaw
from media.codec cimport CN, EVENTS, EVENTS_16, L16_16, PCMA, PCMU, coder_free, coder_new
from media.leg cimport (
    EXACT,
    FLOODED,
    LOCKS,
    MALFORMED,
    MALFORMED_RTCP,
    NOT_NEGOTIATED,
    NO_ROUTE,
    OPEN,
    PACKETS_IN,
    RTCP_IN,
    UNKNOWN_PAYLOAD,
    UNKNOWN_SOURCE,
    Leg,
    leg_signal,
    tapped_free,
    tapped_new,
)
from media.path cimport leg_rtcp, leg_rtp
from media.ring cimport FRAME, INBOUND, OUTBOUND
from media.rtcp cimport RTCP_HEADER, RtcpMap, rtcp_check, rtcp_translate
from media.rtp cimport RTP_HEADER, RTP_OK, Rtp, read16, read32, rtp_parse, rtp_rewrite, write16, write32

cdef enum:
    STEP = 8
    MOST_STEPS = 100
    MS = 1000000


cdef inline int fuzzed_rtp(const uint8_t *p, int32_t size) noexcept nogil:
    """A packet. `p` must be exactly as long as `size`, so that a sanitizer sees a step beyond."""
    cdef Rtp rtp, again
    cdef uint8_t *copy
    cdef int broken = 0
    if rtp_parse(p, size, &rtp) != RTP_OK:
        return 0
    if rtp.payload < RTP_HEADER or rtp.length < 0 or rtp.payload + rtp.length > size:
        return 1
    copy = <uint8_t *>malloc(size)
    if copy == NULL:
        return 0
    memcpy(copy, p, size)
    rtp_rewrite(copy, rtp.payload_type ^ 8, not rtp.marker, rtp.sequence + 1, rtp.timestamp - 1, ~rtp.ssrc)
    if rtp_parse(copy, size, &again) == RTP_OK:
        if again.payload != rtp.payload or again.length != rtp.length:
            broken = 2
        elif again.sequence != <uint16_t>(rtp.sequence + 1) or again.ssrc != ~rtp.ssrc:
            broken = 3
    elif not 192 <= copy[1] <= 223:
        broken = 4
    if memcmp(copy + RTP_HEADER, p + RTP_HEADER, size - RTP_HEADER):
        broken = 5
    free(copy)
    return broken


cdef inline int fuzzed_rtcp(const uint8_t *p, int32_t size) noexcept nogil:
    """An RtcpMap, and a compound packet."""
    cdef RtcpMap map
    cdef uint8_t *copy
    cdef int32_t rest = size - <int32_t>sizeof(RtcpMap)
    cdef int32_t left
    cdef int broken = 0
    if rest < 0:
        return 0
    memcpy(&map, p, sizeof(RtcpMap))
    copy = <uint8_t *>malloc(max(rest, 1))
    if copy == NULL:
        return 0
    memcpy(copy, p + sizeof(RtcpMap), rest)
    if rtcp_check(copy, rest):
        left = rtcp_translate(copy, rest, &map)
        if left < 0 or left > rest:
            broken = 1
        elif left and not rtcp_check(copy, left):
            broken = 2
    free(copy)
    return broken


cdef inline int fuzzed_clock(const uint8_t *p, int32_t size) noexcept nogil:
    """The window in frames, and steps: kind, sequence step, timestamp step (2), wait (2), length (2)."""
    cdef Clock clock, ahead
    cdef uint8_t payload[1 << 11]
    cdef uint8_t frame[FRAME]
    cdef uint8_t foreseen[FRAME]
    cdef int64_t now = 0
    cdef uint64_t source = 1
    cdef uint16_t sequence = 65500
    cdef uint32_t timestamp = <uint32_t>-3000
    cdef int32_t window, length, i
    cdef int64_t cut = 0
    cdef int flags, broken = 0
    cdef int steps = 0
    if size < 1 or not clock_open(&clock, 0, p[0] % 30, 1):
        return 0
    window = p[0] % 30
    p += 1
    size -= 1
    for i in range(1 << 11):
        payload[i] = i * 7
    while size >= STEP and steps < MOST_STEPS and not broken:
        steps += 1
        now += (read16(p + 4) % 100) * (12 if p[0] & 0x10 else 1) * MS
        while clock_due(&clock, window * <int64_t>FRAME_NS) <= now and not broken:
            if p[0] & 0x80 and clock_copy(&ahead, &clock):
                flags = clock_cut(&ahead, foreseen)
                clock_close(&ahead)
                if clock_cut(&clock, frame) != flags or memcmp(frame, foreseen, FRAME):
                    broken = 1
            else:
                flags = clock_cut(&clock, frame)
            cut += 1
            if flags != 1 and flags != 2 and flags != 4:
                broken = 2
        sequence += <uint16_t>(<int16_t>(p[1]) - 64)
        timestamp += <uint32_t>(<int32_t>(<int16_t>read16(p + 2)) * (100000 if p[0] & 0x40 else 1))
        length = read16(p + 6) % (1 << 11)
        source += (p[0] & 0x0F) == 1
        if (p[0] & 0x0F) == 2:
            clock_skip(&clock, source, sequence, now)
        else:
            clock_push(
                &clock, source, sequence, timestamp, payload, length, alaw_ulaw if p[0] & 0x20 else NULL, now
            )
        if clock.end > (clock.emitted + clock.frames) * FRAME:
            broken = 3
        p += STEP
        size -= STEP
    if clock.emitted != cut or cut != max(now // FRAME_NS - window, 0):
        broken = 4
    if clock.figures.received + clock.figures.concealed + clock.figures.silence != <uint64_t>cut:
        broken = 5
    clock_close(&clock)
    return broken


cdef inline void fuzzed_leg(
    Leg *leg, uint32_t serial, const Address *at, EventQueue *events
) noexcept nogil:
    """A leg without sockets: what it sends is refused by the kernel, and counted."""
    memset(leg, 0, sizeof(Leg))
    leg.serial = serial
    leg.events = events
    leg.rtp.fd = leg.rtcp.fd = leg.guard = -1
    leg.family = 2
    leg.in_scale = leg.out_scale = leg.digits_scale = 1
    leg.codecs[0] = leg.route_codec[0] = leg.route_codec[8] = PCMU
    leg.codecs[8] = PCMA
    leg.codecs[101] = leg.route_codec[101] = leg.route_codec[102] = EVENTS
    leg.codecs[102] = EVENTS_16
    leg.codecs[13] = leg.route_codec[13] = CN
    leg.codecs[96] = leg.route_codec[97] = L16_16
    leg.codecs[97] = leg.route_codec[96] = PCMU
    memset(leg.route, NO_ROUTE, sizeof(leg.route))
    leg.route[0] = leg.route[8] = 0
    leg.route[101] = leg.route[102] = 101
    leg.route[13] = 13
    leg.route[96] = 97
    leg.route[97] = 96
    leg.sends = leg.receives = leg.negotiated = True
    leg.hosts[0] = at[0]
    leg.host_count = 1
    leg_signal(leg, &leg.rtp, at)
    leg_signal(leg, &leg.rtcp, at)


cdef inline uint64_t fuzzed_taken(const Leg *leg) noexcept nogil:
    """Packets by what became of them first; every one has to be among these."""
    return (
        leg.counts[PACKETS_IN] + leg.counts[RTCP_IN] + leg.counts[MALFORMED] + leg.counts[MALFORMED_RTCP]
        + leg.counts[UNKNOWN_SOURCE] + leg.counts[UNKNOWN_PAYLOAD] + leg.counts[NOT_NEGOTIATED]
        + leg.counts[FLOODED]
    )


cdef inline int fuzzed_path(const uint8_t *p, int32_t size) noexcept nogil:
    """Two connected legs, both tapped. Each packet: who (1), wait (1), length (2), and its octets."""
    cdef Leg legs[2]
    cdef EventQueue events
    cdef uint64_t notified = 1   # nobody listens
    cdef Leg *leg
    cdef Address sources[4]
    cdef uint8_t frame[FRAME]
    cdef uint8_t *copy
    cdef int64_t now = 0
    cdef uint64_t given[2]
    cdef uint64_t before
    cdef int32_t length
    cdef int i, who
    cdef int broken = 0
    cdef int steps = 0
    events_open(&events, -1, &notified)
    memset(sources, 0, sizeof(sources))
    for i in range(4):
        # Two hosts, two ports each.
        sources[i].host[10] = sources[i].host[11] = 0xFF
        sources[i].host[12] = 127
        sources[i].host[15] = 1 + i // 2
        sources[i].port = 4000 + i
    for i in range(2):
        given[i] = 0
        fuzzed_leg(&legs[i], i + 2, &sources[0], &events)
        legs[i].peer = &legs[1 - i]
        legs[i].tapped_by = 1
        legs[i].tapped = tapped_new(0, 3, 1)
        legs[i].coder = coder_new()
        if legs[i].tapped == NULL or legs[i].coder == NULL:
            broken = -1
    while size >= 4 and steps < MOST_STEPS and not broken:
        steps += 1
        i = p[0] & 1
        leg = &legs[i]
        who = p[0] >> 1 & 3
        now += p[1] * <int64_t>MS
        length = min(<int32_t>read16(p + 2) % 1600, size - 4)
        copy = <uint8_t *>malloc(max(length, 1))
        if copy == NULL:
            break
        memcpy(copy, p + 4, length)
        p += 4 + length
        size -= 4 + length
        while clock_due(&leg.tapped.tracks[INBOUND], 3 * <int64_t>FRAME_NS) <= now:
            clock_cut(&leg.tapped.tracks[INBOUND], frame)
            clock_cut(&leg.tapped.tracks[OUTBOUND], frame)
        given[i] += 1
        before = leg.counts[PACKETS_IN] + leg.counts[RTCP_IN]
        if p[-4 - length] & 8:
            leg_rtcp(leg, copy, length, &sources[who], now)
        else:
            leg_rtp(leg, copy, length, &sources[who], now)
            if leg.counts[PACKETS_IN] + leg.counts[RTCP_IN] > before and not (
                same_address(&leg.rtp.source, &sources[who]) and leg.rtp.lock != OPEN
            ):
                broken = 1
        free(copy)
        if leg.rtp.lock == EXACT and not same_address(&leg.rtp.source, &sources[0]):
            broken = 2
        if who >= 2 and leg.counts[PACKETS_IN] + leg.counts[RTCP_IN] > before:
            broken = 3    # a host that has nothing to do with the call
        if leg.counts[LOCKS] > 2:
            broken = 4
    for i in range(2):
        if broken >= 0 and fuzzed_taken(&legs[i]) != given[i]:
            broken = 5
        tapped_free(legs[i].tapped)
        coder_free(legs[i].coder)
    return max(broken, 0)


cdef inline int fuzzed(int target, const uint8_t *p, int32_t size) noexcept nogil:
    """The target by its number: the order of FUZZED in seams.pyx, and of tools/fuzz.sh."""
    if target == 0:
        return fuzzed_rtp(p, size)
    if target == 1:
        return fuzzed_rtcp(p, size)
    if target == 2:
        return fuzzed_clock(p, size)
    return fuzzed_path(p, size)
