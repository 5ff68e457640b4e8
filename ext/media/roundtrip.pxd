"""How long a packet takes to a phone and back, from the RTCP that passes (RFC 3550 section 6.4.1).

A sender report that we pass on to a phone has a time in it. The phone's next report on that stream repeats
the middle of that time (LSR) and says how long it has kept it (DLSR); the rest was spent on the way.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from media.rtcp cimport REPORT_BLOCK, RTCP_RR, RTCP_SR, SENDER_INFO
from media.rtp cimport read16, read32

cdef enum:
    LONGEST_S = 60             # longer is somebody's mistake

cdef struct RoundTrip:
    uint32_t report            # the middle 32 bits of the NTP time in the newest sender report to the phone
    int64_t sent               # when that was; 0: never
    int64_t ns                 # the newest that was measured, if `known`
    bint known


cdef inline void round_trip_begin(
    RoundTrip *trip, const uint8_t *p, int32_t size, int64_t now
) noexcept nogil:
    """A checked compound packet goes to the phone."""
    if p[1] == RTCP_SR and size >= 8 + SENDER_INFO:
        trip.report = read32(p + 10)
        trip.sent = now


cdef inline void round_trip_end(
    RoundTrip *trip, const uint8_t *p, int32_t size, uint32_t ssrc, int64_t now
) noexcept nogil:
    """A checked compound packet came from the phone, which knows our stream as `ssrc`."""
    cdef int32_t at = 0
    cdef int32_t length, block, count
    cdef int64_t ns
    while at < size:
        length = 4 * (read16(p + at + 2) + 1)
        block = at + 8 + (SENDER_INFO if p[at + 1] == RTCP_SR else 0)
        count = p[at] & 0x1F if p[at + 1] == RTCP_SR or p[at + 1] == RTCP_RR else 0
        while count > 0 and block + REPORT_BLOCK <= at + length:
            if trip.sent and read32(p + block) == ssrc and read32(p + block + 16) == trip.report:
                ns = now - trip.sent - (<int64_t>read32(p + block + 20) * 1000000000 >> 16)
                if 0 <= ns < <int64_t>LONGEST_S * 1000000000:
                    trip.ns = ns
                    trip.known = True
            block += REPORT_BLOCK
            count -= 1
        at += length
