"""RTCP (RFC 3550 section 6): checked, and translated as section 7.2 asks of whoever rewrites RTP.

A leg's phone knows the streams by the numbers that we gave them; the other leg's phone knows its own. A
report that travels from one to the other has its SSRCs, its timestamp and the sequence numbers that it
reports on moved accordingly.
"""

from libc.stdint cimport int16_t, int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from media.rtp cimport read16, read32, write32

cdef enum:
    RTCP_HEADER = 8
    RTCP_SR = 200
    RTCP_RR = 201
    RTCP_SDES = 202
    RTCP_BYE = 203
    RTCP_APP = 204
    RTCP_FEEDBACK = 205
    RTCP_PAYLOAD_FEEDBACK = 206
    RTCP_XR = 207
    SENDER_INFO = 20
    REPORT_BLOCK = 24

cdef struct RtcpMap:
    uint32_t sender             # the SSRC that the sender's stream has on the other leg
    uint32_t timestamp_shift    # the sender's RTP timestamps there, less its own
    uint32_t reported           # the SSRC that the sender receives from us,
    uint32_t original           # the one that the other leg gave that stream,
    uint16_t sequence_shift     # what was added to its sequence numbers,
    uint32_t highest            # and its extended highest sequence number


cdef inline bint rtcp_check(const uint8_t *p, int32_t size) noexcept nogil:
    """RFC 3550 A.2, but any type may come first (RFC 5506): versions, types and lengths add up."""
    cdef int32_t at = 0
    cdef int32_t length
    if size < RTCP_HEADER:
        return False
    while at < size:
        if size - at < 4 or p[at] >> 6 != 2 or not RTCP_SR <= p[at + 1] <= 223:
            return False
        length = 4 * (read16(p + at + 2) + 1)
        if length > size - at:
            return False
        if p[at] & 0x20 and at + length != size:
            return False
        at += length
    return True


cdef inline void rtcp_report(uint8_t *block, const RtcpMap *map) noexcept nogil:
    cdef uint32_t highest
    cdef uint16_t sequence
    if read32(block) == map.reported:
        write32(block, map.original)
        # The reporter counted cycles from our first number, the sender of the stream from its own.
        sequence = <uint16_t>(read32(block + 8) - map.sequence_shift)
        highest = map.highest + <int32_t>(<int16_t>(sequence - <uint16_t>map.highest))
        write32(block + 8, highest)


cdef inline void rtcp_scale_jitter(
    uint8_t *p, int32_t size, uint32_t reported, uint32_t up, uint32_t down
) noexcept nogil:
    """Give the jitter that a checked compound packet reports of one stream in units of another RTP clock."""
    cdef int32_t at = 0
    cdef int32_t length, block, count
    while at < size:
        length = 4 * (read16(p + at + 2) + 1)
        count = p[at] & 0x1F
        block = at + 8 + (SENDER_INFO if p[at + 1] == RTCP_SR else 0)
        if p[at + 1] == RTCP_SR or p[at + 1] == RTCP_RR:
            while count > 0 and block + REPORT_BLOCK <= at + length:
                if read32(p + block) == reported:
                    write32(p + block + 12, <uint32_t>(<uint64_t>read32(p + block + 12) * up // down))
                block += REPORT_BLOCK
                count -= 1
        at += length


cdef inline int32_t rtcp_translate(uint8_t *p, int32_t size, const RtcpMap *map) noexcept nogil:
    """Rewrite a checked compound packet in place; the octets to send (0: nothing is left).

    BYE is taken out with all that follows: the stream of ours that it speaks of goes on.
    """
    cdef int32_t at = 0
    cdef int32_t length, block, count
    while at < size:
        length = 4 * (read16(p + at + 2) + 1)
        count = p[at] & 0x1F
        if p[at + 1] == RTCP_BYE:
            return at if at >= RTCP_HEADER else 0
        if length >= 8 and (p[at + 1] != RTCP_SDES or count):
            write32(p + at + 4, map.sender)
        block = at + 8
        if p[at + 1] == RTCP_SR and length >= 8 + SENDER_INFO:
            write32(p + at + 16, read32(p + at + 16) + map.timestamp_shift)
            block += SENDER_INFO
        if p[at + 1] == RTCP_SR or p[at + 1] == RTCP_RR:
            while count > 0 and block + REPORT_BLOCK <= at + length:
                rtcp_report(p + block, map)
                block += REPORT_BLOCK
                count -= 1
        elif p[at + 1] == RTCP_FEEDBACK or p[at + 1] == RTCP_PAYLOAD_FEEDBACK:
            if length >= 12 and read32(p + at + 8) == map.reported:
                write32(p + at + 8, map.original)
        at += length
    return size
