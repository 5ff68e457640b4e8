"""RTP's fixed header and its bounds (RFC 3550 section 5.1), read and rewritten in place."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t

cdef enum:
    RTP_HEADER = 12

cdef enum RtpFault:
    RTP_OK = 0
    RTP_SHORT = 1      # shorter than the header says
    RTP_VERSION = 2    # not version 2
    RTP_PADDING = 3    # a padding length of zero, or past the header
    RTP_IS_RTCP = 4    # an RTCP packet on the RTP port (RFC 5761 section 4)

cdef struct Rtp:
    uint8_t payload_type
    bint marker
    uint16_t sequence
    uint32_t timestamp
    uint32_t ssrc
    int32_t payload       # offset of the payload
    int32_t length        # octets of payload, padding excluded


cdef inline uint16_t read16(const uint8_t *p) noexcept nogil:
    return <uint16_t>((p[0] << 8) | p[1])


cdef inline uint32_t read32(const uint8_t *p) noexcept nogil:
    return (<uint32_t>p[0] << 24) | (<uint32_t>p[1] << 16) | (<uint32_t>p[2] << 8) | p[3]


cdef inline void write16(uint8_t *p, uint16_t value) noexcept nogil:
    p[0] = value >> 8
    p[1] = value & 0xFF


cdef inline void write32(uint8_t *p, uint32_t value) noexcept nogil:
    p[0] = value >> 24
    p[1] = (value >> 16) & 0xFF
    p[2] = (value >> 8) & 0xFF
    p[3] = value & 0xFF


cdef inline bint rtp_type_is_rtcp(uint8_t octet) noexcept nogil:
    """Whether a packet whose second octet this is would be RTCP (RFC 5761 section 4)."""
    return 192 <= octet <= 223


cdef inline RtpFault rtp_parse(const uint8_t *p, int32_t size, Rtp *rtp) noexcept nogil:
    """Check and read `size` octets; `rtp` is whole only when RTP_OK is returned."""
    cdef int32_t at = RTP_HEADER
    cdef int32_t padding = 0
    if size < RTP_HEADER:
        return RTP_SHORT
    if p[0] >> 6 != 2:
        return RTP_VERSION
    if rtp_type_is_rtcp(p[1]):
        return RTP_IS_RTCP
    at += 4 * (p[0] & 0x0F)
    if p[0] & 0x10:
        if size < at + 4:
            return RTP_SHORT
        at += 4 + 4 * read16(p + at + 2)
    if size < at:
        return RTP_SHORT
    if p[0] & 0x20:
        padding = p[size - 1] if size > at else 0
        if padding == 0 or padding > size - at:
            return RTP_PADDING
    rtp.payload_type = p[1] & 0x7F
    rtp.marker = p[1] >> 7
    rtp.sequence = read16(p + 2)
    rtp.timestamp = read32(p + 4)
    rtp.ssrc = read32(p + 8)
    rtp.payload = at
    rtp.length = size - at - padding
    return RTP_OK


cdef inline void rtp_rewrite(
    uint8_t *p, uint8_t payload_type, bint marker, uint16_t sequence, uint32_t timestamp, uint32_t ssrc
) noexcept nogil:
    """Replace what belongs to the outgoing stream; version, padding, extension and CSRC count stay."""
    p[1] = payload_type | (0x80 if marker else 0)
    write16(p + 2, sequence)
    write32(p + 4, timestamp)
    write32(p + 8, ssrc)
