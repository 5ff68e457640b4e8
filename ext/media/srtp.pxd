"""SRTP (RFC 3711, RFC 7714): a session opens what a leg receives, or seals what it sends.

The cryptography is libsrtp's, by four of its functions, whose addresses `forkproxy.media.srtp` brings along
with each session. libsrtp does not guard a session against two threads: a leg's sessions are touched under
the lock of its worker only. That holds for sending, too, since connected legs share a worker.
"""

from libc.stdint cimport int32_t, uint8_t, uint32_t
from libc.string cimport memcpy

from media.rtp cimport read32

cdef enum:
    MOST_PLAIN = 2048          # octets of a packet that can be opened or sealed
    SRTP_ROOM = 16 + 128 + 4   # that libsrtp may add: tag, MKI (we have none) and SRTCP's index
    MOST_SOURCES = 32          # SSRCs that one session hears
    SRTP_REFUSED = -1          # not sealed with these keys: plain, tampered with, or somebody else's
    SRTP_REPEATED = -2         # has come, or gone out, before; or is too old to tell

cdef enum:
    # Of libsrtp's srtp_err_status_t.
    STATUS_OK = 0
    STATUS_REPLAY_FAIL = 9
    STATUS_REPLAY_OLD = 10

ctypedef int (*Transform)(void *session, void *packet, int *octets) noexcept nogil

cdef struct Srtp:
    void *session              # libsrtp's, of one direction
    Transform rtp
    Transform rtcp
    uint32_t sources[MOST_SOURCES]
    int32_t source_count


cdef inline int32_t srtp_result(int status, int octets) noexcept nogil:
    if status == STATUS_OK:
        return octets
    return SRTP_REPEATED if status == STATUS_REPLAY_FAIL or status == STATUS_REPLAY_OLD else SRTP_REFUSED


cdef inline int32_t srtp_open(Srtp *srtp, uint8_t *p, int32_t size, bint rtcp) noexcept nogil:
    """Authenticate and decrypt a packet in place: the octets that are left, SRTP_REFUSED or SRTP_REPEATED.

    What is refused may be overwritten. libsrtp keeps a state for every SSRC that it has heard, for ever,
    since it could not tell replayed packets otherwise; so it gets to hear no more than MOST_SOURCES of them.
    """
    cdef int octets = size
    cdef int status
    cdef int32_t i
    cdef uint32_t ssrc
    cdef int32_t at = 4 if rtcp else 8
    if size < at + 4 or size > MOST_PLAIN:
        return SRTP_REFUSED
    ssrc = read32(p + at)
    i = 0
    while i < srtp.source_count and srtp.sources[i] != ssrc:
        i += 1
    if i == MOST_SOURCES:
        return SRTP_REFUSED
    status = srtp.rtcp(srtp.session, p, &octets) if rtcp else srtp.rtp(srtp.session, p, &octets)
    if status == STATUS_OK and i == srtp.source_count:
        srtp.sources[i] = ssrc
        srtp.source_count += 1
    return srtp_result(status, octets)


cdef inline int32_t srtp_seal(
    Srtp *srtp, const uint8_t *p, int32_t size, uint8_t *to, bint rtcp
) noexcept nogil:
    """Put the sealed packet into `to`, MOST_PLAIN + SRTP_ROOM octets: its size, SRTP_REFUSED or
    SRTP_REPEATED.

    A sequence number is sealed once. Two packets with one number would share one key stream, which gives away
    both (and with GCM, the key of the tags): a duplicate from a network in the clear must not do that to us.
    """
    cdef int octets = size
    cdef int status
    if size > MOST_PLAIN:
        return SRTP_REFUSED
    memcpy(to, p, size)
    status = srtp.rtcp(srtp.session, to, &octets) if rtcp else srtp.rtp(srtp.session, to, &octets)
    return srtp_result(status, octets)
