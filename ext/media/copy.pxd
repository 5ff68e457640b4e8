"""A copy of a leg's track, sent on as RTP of our own to whoever records it (RFC 7866 8.2.3, the endpoint's
role).

The relay thread hands every frame that it cuts for a leg to the leg's copies. Each keeps the newest frames,
and sends what it has not sent yet: one packet a frame, a few more while it is behind. A copy that nobody is
to get yet, or whose recorder is lost, keeps what it has room for; what it then cannot keep is a gap in the
timestamps, never one in the sequence numbers. Timestamps go by the leg's timeline, 160 a frame, over losses,
holds and pauses, so that the copies of both tracks stay in step.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from media.address cimport Sockaddr
from media.g711 cimport ulaw_alaw, ulaw_encode, ulaw_linear
from media.linux cimport (
    CLOCK_REALTIME,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    MSG_TRUNC,
    clock_gettime,
    recv,
    sendto,
    socklen_t,
    timespec,
)
from media.ring cimport FRAME, Pair
from media.roundtrip cimport RoundTrip, round_trip_begin, round_trip_end
from media.rtcp cimport (
    REPORT_BLOCK,
    RTCP_BYE,
    RTCP_RR,
    RTCP_SDES,
    RTCP_SR,
    SENDER_INFO,
    rtcp_check,
)
from media.rtp cimport RTP_HEADER, read16, read32, write16, write32
from media.srtp cimport MOST_PLAIN, SRTP_ROOM, Srtp, srtp_open, srtp_seal

cdef enum:
    MIXED = 2                  # a copy of both tracks at once; otherwise INBOUND or OUTBOUND
    MOST_CNAME = 64
    FRAMES_A_SECOND = 50
    FIRST_REPORT_NS = 500000000
    REPORT_NS = 5000000000     # RFC 3550 6.2: half to one and a half times this, at random
    KEEP_ALIVE = 15 * FRAMES_A_SECOND  # frames of a pause between two empty datagrams (RFC 6263 4.1)
    MOST_AT_ONCE = 8           # packets at one frame, however far it is behind
    MOST_AT_END = 100          # packets that are sent when it is closed
    MOST_HEARD = 32            # datagrams that are looked at in a second
    LONGEST_HEARD = 1500

cdef struct CopyFigures:
    uint64_t packets
    uint64_t octets            # of payload, as RTCP counts them
    uint64_t dropped           # frames that there was no room to keep
    uint64_t skipped           # frames of pauses, and of gaps that were asked for
    uint64_t send_errors
    uint64_t reports           # RTCP packets that came and told of our stream
    uint32_t lost              # what the newest of them says: packets lost so far (24 bits, signed),
    uint8_t fraction           # of those since the one before, in 1/256
    uint32_t jitter            # in samples
    int64_t heard              # when it came; 0: never

cdef struct Copy:
    int rtp                    # sockets
    int rtcp
    int track
    bint aimed                 # there is somebody to send to
    bint paused                # what is said now is not for the recorder
    Sockaddr to
    Sockaddr rtcp_to
    socklen_t to_length
    uint8_t payload_type
    bint alaw
    Srtp *seals                # NULL: it goes out plain
    Srtp *opens                # what the recorder's RTCP is sealed with
    uint32_t ssrc
    uint16_t sequence          # of the next packet
    uint32_t base              # timestamp of frame 0
    bint marker                # the next packet begins anew
    uint8_t *kept              # frame n lies at n % room
    int64_t room
    int64_t written            # frames since the beginning,
    int64_t sent               # and how many of them need not be sent any more
    int32_t hurry              # packets that are sent in addition, for 100 frames, while it is behind
    int32_t credit
    int64_t report_due         # 0: nothing has been sent yet
    uint32_t random
    uint8_t cname[MOST_CNAME]
    int32_t cname_length
    RoundTrip round_trip
    CopyFigures figures
    Copy *next


cdef inline bint copy_open(Copy *copy, int64_t room) noexcept nogil:
    """False: no memory."""
    copy.room = max(room, 1)
    copy.kept = <uint8_t *>malloc(copy.room * FRAME)
    copy.marker = True
    return copy.kept != NULL


cdef inline void copy_free(Copy *copy) noexcept nogil:
    free(copy.kept)
    copy.kept = NULL


cdef inline uint32_t copy_random(Copy *copy) noexcept nogil:
    """xorshift: enough to keep reports of many copies apart."""
    copy.random ^= copy.random << 13
    copy.random ^= copy.random >> 17
    copy.random ^= copy.random << 5
    return copy.random


cdef inline void copy_put(
    Copy *copy, const uint8_t *packet, int32_t size, const Sockaddr *to, bint rtcp
) noexcept nogil:
    """Seal and send."""
    cdef uint8_t sealed[MOST_PLAIN + SRTP_ROOM]
    if copy.seals != NULL and size > 0:
        size = srtp_seal(copy.seals, packet, size, sealed, rtcp)
        packet = sealed
        if size < 0:
            copy.figures.send_errors += 1
            return
    if sendto(copy.rtcp if rtcp else copy.rtp, packet, size, MSG_DONTWAIT | MSG_NOSIGNAL, &to.any,
              copy.to_length) < 0:
        copy.figures.send_errors += 1


cdef inline void copy_send(Copy *copy) noexcept nogil:
    """Send the oldest frame that has not been sent."""
    cdef uint8_t packet[RTP_HEADER + FRAME]
    cdef const uint8_t *frame = copy.kept + copy.sent % copy.room * FRAME
    cdef int i
    packet[0] = 0x80
    packet[1] = copy.payload_type | (0x80 if copy.marker else 0)
    write16(packet + 2, copy.sequence)
    write32(packet + 4, copy.base + <uint32_t>(copy.sent * FRAME))
    write32(packet + 8, copy.ssrc)
    if copy.alaw:
        for i in range(FRAME):
            packet[RTP_HEADER + i] = ulaw_alaw[frame[i]]
    else:
        memcpy(packet + RTP_HEADER, frame, FRAME)
    copy_put(copy, packet, RTP_HEADER + FRAME, &copy.to, False)
    copy.marker = False
    copy.sequence += 1
    copy.sent += 1
    copy.figures.packets += 1
    copy.figures.octets += FRAME


cdef inline void copy_report(Copy *copy, bint bye, int64_t now, int64_t window_ns) noexcept nogil:
    """A sender report with our name in it, and our goodbye."""
    cdef uint8_t packet[8 + SENDER_INFO + 12 + MOST_CNAME + 8]
    cdef timespec time
    cdef int32_t size = 8 + SENDER_INFO
    cdef int32_t words
    clock_gettime(CLOCK_REALTIME, &time)
    memset(packet, 0, sizeof(packet))
    packet[0] = 0x80
    packet[1] = RTCP_SR
    write16(packet + 2, 6)
    write32(packet + 4, copy.ssrc)
    write32(packet + 8, <uint32_t>(time.tv_sec + <int64_t>2208988800))
    write32(packet + 12, <uint32_t>((<uint64_t>time.tv_nsec << 32) // 1000000000))
    # What is being said now is cut when the window has passed.
    write32(packet + 16, copy.base + <uint32_t>(copy.written * FRAME + window_ns // 125000))
    write32(packet + 20, <uint32_t>copy.figures.packets)
    write32(packet + 24, <uint32_t>copy.figures.octets)
    words = (4 + 2 + copy.cname_length + 4) // 4  # the item ends with at least one null octet
    packet[size] = 0x81
    packet[size + 1] = RTCP_SDES
    write16(packet + size + 2, words)
    write32(packet + size + 4, copy.ssrc)
    packet[size + 8] = 1
    packet[size + 9] = <uint8_t>copy.cname_length
    memcpy(packet + size + 10, copy.cname, copy.cname_length)
    size += 4 + 4 * words
    if bye:
        packet[size] = 0x81
        packet[size + 1] = RTCP_BYE
        write16(packet + size + 2, 1)
        write32(packet + size + 4, copy.ssrc)
        size += 8
    copy_put(copy, packet, size, &copy.rtcp_to, True)
    round_trip_begin(&copy.round_trip, packet, size, now)
    copy.report_due = now + REPORT_NS // 2 + <int64_t>(copy_random(copy) % 1000) * (REPORT_NS // 1000)


cdef inline void copy_heed(Copy *copy, const uint8_t *p, int32_t size, int64_t now) noexcept nogil:
    """A checked compound packet: what does it say of our stream? Others may be in it (recorders mirror
    ours)."""
    cdef int32_t at = 0
    cdef int32_t length, block, count
    while at < size:
        length = 4 * (read16(p + at + 2) + 1)
        block = at + 8 + (SENDER_INFO if p[at + 1] == RTCP_SR else 0)
        count = p[at] & 0x1F if p[at + 1] == RTCP_SR or p[at + 1] == RTCP_RR else 0
        while count > 0 and block + REPORT_BLOCK <= at + length:
            if read32(p + block) == copy.ssrc:
                copy.figures.reports += 1
                copy.figures.fraction = p[block + 4]
                copy.figures.lost = read32(p + block + 4) & 0xFFFFFF
                copy.figures.jitter = read32(p + block + 12)
                copy.figures.heard = now
            block += REPORT_BLOCK
            count -= 1
        at += length
    round_trip_end(&copy.round_trip, p, size, copy.ssrc, now)


cdef inline void copy_hear(Copy *copy, int64_t now) noexcept nogil:
    """Read what the recorder has sent; on the RTP port that is nothing to us."""
    cdef uint8_t buffer[LONGEST_HEARD]
    cdef ssize_t size
    cdef int32_t length
    cdef int left = MOST_HEARD
    while left > 0:
        left -= 1
        size = recv(copy.rtcp, buffer, LONGEST_HEARD, MSG_DONTWAIT | MSG_TRUNC)
        if size < 0:
            break
        length = <int32_t>size
        if size <= LONGEST_HEARD and copy.opens != NULL:
            length = srtp_open(copy.opens, buffer, length, True)
        if 0 < length <= LONGEST_HEARD and rtcp_check(buffer, length):
            copy_heed(copy, buffer, length, now)
    left = MOST_HEARD
    while left > 0 and recv(copy.rtp, buffer, LONGEST_HEARD, MSG_DONTWAIT | MSG_TRUNC) >= 0:
        left -= 1


cdef inline void copy_keep(Copy *copy, const Pair *pair) noexcept nogil:
    """One more frame."""
    cdef uint8_t *to = copy.kept + copy.written % copy.room * FRAME
    cdef int32_t sum
    cdef int i
    if copy.track == MIXED:
        for i in range(FRAME):
            sum = <int32_t>ulaw_linear[pair.payload[i]] + ulaw_linear[pair.payload[FRAME + i]]
            to[i] = ulaw_encode(max(-32768, min(32767, sum)))
    else:
        memcpy(to, pair.payload + copy.track * FRAME, FRAME)
    copy.written += 1
    if copy.paused:
        copy.figures.skipped += copy.written - copy.sent
        copy.sent = copy.written
        copy.marker = True
    elif copy.written - copy.sent > copy.room:
        copy.figures.dropped += copy.written - copy.sent - copy.room
        copy.sent = copy.written - copy.room
        copy.marker = True


cdef inline void copy_frame(Copy *copy, const Pair *pair, int64_t now, int64_t window_ns) noexcept nogil:
    """The leg's next frame."""
    cdef int32_t count = 1
    copy_keep(copy, pair)
    if copy.written % FRAMES_A_SECOND == 0:
        copy_hear(copy, now)
    if not copy.aimed:
        return
    if copy.written - copy.sent > 1:
        copy.credit += copy.hurry
        count += copy.credit // 100
        copy.credit %= 100
    count = min(count, MOST_AT_ONCE)
    while count > 0 and copy.sent < copy.written:
        copy_send(copy)
        count -= 1
    if copy.paused and copy.written % KEEP_ALIVE == 0:
        copy_put(copy, copy.cname, 0, &copy.to, False)
    if copy.report_due == 0:
        copy.report_due = now + FIRST_REPORT_NS
    elif now >= copy.report_due:
        copy_report(copy, False, now, window_ns)


cdef inline void copies_frame(Copy *copy, const Pair *pair, int64_t now, int64_t window_ns) noexcept nogil:
    """A frame has been cut: for all copies of a leg."""
    while copy != NULL:
        copy_frame(copy, pair, now, window_ns)
        copy = copy.next


cdef inline void copy_end(Copy *copy, int64_t now, int64_t window_ns) noexcept nogil:
    """Send what is left, and say goodbye."""
    cdef int left = MOST_AT_END
    if not copy.aimed:
        copy.figures.dropped += copy.written - copy.sent
        copy.sent = copy.written
        return
    while left > 0 and copy.sent < copy.written:
        copy_send(copy)
        left -= 1
    copy.figures.dropped += copy.written - copy.sent
    copy.sent = copy.written
    copy_hear(copy, now)
    if copy.figures.packets > 0:
        copy_report(copy, True, now, window_ns)
    copy.aimed = False
