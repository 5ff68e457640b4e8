"""One connection: octets that wait, a socket, and TLS or not. Everything is called with the wire's lock held.

Two threads write: the event loop's, what the WebSocket protocol has to say, and a sender thread, media. What
the socket does not take at once waits in `waiting`; nothing here ever blocks, and a failure is kept, not
told: whoever comes next finds it.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove, memset

from native.openssl cimport ERROR_SYSCALL, ERROR_WANT_READ, ERROR_WANT_WRITE, OpenSSL

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *mutex, const void *attributes)
    int pthread_mutex_destroy(pthread_mutex_t *mutex)
    int pthread_mutex_lock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)

cdef extern from "<sys/socket.h>" nogil:
    int MSG_DONTWAIT, MSG_NOSIGNAL
    ssize_t send(int fd, const void *octets, size_t size, int flags)
    ssize_t recv(int fd, void *octets, size_t size, int flags)

cdef extern from "<sys/random.h>" nogil:
    ssize_t getrandom(void *octets, size_t size, unsigned int flags)

cdef extern from "<errno.h>" nogil:
    int errno
    int EAGAIN, EINTR, ENOMEM, ECONNRESET

cdef extern from "<time.h>" nogil:
    int CLOCK_MONOTONIC
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec *to)

cdef enum:
    AGES = 32                  # writes of which is known when they came,
    AGE_NS = 100000000         # this far apart
    KEYS = 256                 # octets of masking keys that are fetched at once
    MOST = 1 << 20             # octets given to OpenSSL at once
    AT_END = 0                 # what wire_read returns other than a number of octets:
    LATER = -1                 # nothing is there yet
    FAILED = -2                # see `failure`

cdef enum Failure:
    NONE
    SYSTEM                     # `number` is an errno
    TLS                        # `number` is OpenSSL's

cdef struct Age:
    uint64_t until             # where the write ends, of all octets that have ever waited
    int64_t since

cdef struct Wire:
    pthread_mutex_t lock
    const OpenSSL *tls
    int fd                     # -1: closed
    void *ssl                  # NULL: plain
    Failure failure
    unsigned long number
    uint8_t *waiting           # octets [begin, end) wait
    size_t begin
    size_t end
    size_t room
    size_t limit               # with more waiting, no media is taken,
    bint sealed                # or not at all
    uint64_t waited            # octets that have ever had to wait
    Age ages[AGES]             # the oldest writes that wait, [first_age, end_age), as a ring
    uint64_t first_age
    uint64_t end_age
    uint8_t keys[KEYS]
    int keys_left


cdef inline void wire_fail(Wire *wire, int result) noexcept nogil:
    """Keep why an operation failed, unless another did before."""
    cdef unsigned long words = 0
    if wire.failure != NONE:
        return
    if wire.ssl != NULL:
        words = wire.tls.last_error()
        if wire.tls.error(wire.ssl, result) == ERROR_SYSCALL:
            words = 0
    wire.failure = TLS if words else SYSTEM
    wire.number = words if words else <unsigned long>(errno if errno else ECONNRESET)


cdef inline bint wire_later(Wire *wire, int result) noexcept nogil:
    """An operation did not succeed: only not yet?"""
    cdef int why
    if wire.ssl == NULL:
        return errno == EAGAIN
    why = wire.tls.error(wire.ssl, result)
    return why == ERROR_WANT_READ or why == ERROR_WANT_WRITE


cdef inline ssize_t wire_push(Wire *wire, const uint8_t *octets, size_t size) noexcept nogil:
    """Give octets to the socket; how many it took, 0 if none now. A failure is kept."""
    cdef ssize_t taken
    while True:
        errno = 0
        if wire.ssl == NULL:
            taken = send(wire.fd, octets, size, MSG_DONTWAIT | MSG_NOSIGNAL)
        else:
            wire.tls.clear_errors()
            taken = wire.tls.write(wire.ssl, octets, <int>min(size, <size_t>MOST))
        if taken > 0:
            return taken
        if errno == EINTR:
            continue
        if not wire_later(wire, <int>taken):
            wire_fail(wire, <int>taken)
        return 0


cdef inline size_t wire_pending(const Wire *wire) noexcept nogil:
    return wire.end - wire.begin


cdef inline int64_t wire_now() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef inline void wire_note(Wire *wire, size_t size) noexcept nogil:
    """So many octets more have to wait, from now on."""
    cdef int64_t now = wire_now()
    cdef Age *last = &wire.ages[(wire.end_age - 1) % AGES]
    wire.waited += size
    if wire.end_age > wire.first_age and (
        now - last.since < AGE_NS or wire.end_age - wire.first_age == AGES
    ):
        last.until = wire.waited
        return
    wire.ages[wire.end_age % AGES].until = wire.waited
    wire.ages[wire.end_age % AGES].since = now
    wire.end_age += 1


cdef inline int64_t wire_age(Wire *wire) noexcept nogil:
    """Nanoseconds that the oldest octet has waited, to `AGE_NS`."""
    cdef uint64_t sent = wire.waited - wire_pending(wire)
    while wire.first_age < wire.end_age and wire.ages[wire.first_age % AGES].until <= sent:
        wire.first_age += 1
    return wire_now() - wire.ages[wire.first_age % AGES].since if wire.first_age < wire.end_age else 0


cdef inline void wire_flush(Wire *wire) noexcept nogil:
    """Give the socket what waits."""
    cdef ssize_t taken
    while wire.begin < wire.end and wire.failure == NONE and wire.fd >= 0:
        taken = wire_push(wire, wire.waiting + wire.begin, wire.end - wire.begin)
        if taken == 0:
            return
        wire.begin += taken
    if wire.begin == wire.end and wire.waiting != NULL:
        wire.begin = wire.end = wire.room = 0
        wire.first_age = wire.end_age
        free(wire.waiting)
        wire.waiting = NULL


cdef inline void wire_keep(Wire *wire, const uint8_t *octets, size_t size) noexcept nogil:
    """Let octets wait behind those that do."""
    cdef size_t pending = wire.end - wire.begin
    cdef size_t room
    cdef uint8_t *more
    if wire.end + size > wire.room:
        room = max(2 * (pending + size), <size_t>4096)
        more = <uint8_t *>malloc(room)
        if more == NULL:
            wire.failure = SYSTEM
            wire.number = ENOMEM
            return
        if pending:
            memcpy(more, wire.waiting + wire.begin, pending)
        free(wire.waiting)
        wire.waiting = more
        wire.room = room
        wire.begin = 0
        wire.end = pending
    wire_note(wire, size)
    memcpy(wire.waiting + wire.end, octets, size)
    wire.end += size


cdef inline void wire_write(Wire *wire, const uint8_t *octets, size_t size) noexcept nogil:
    """Send octets behind what waits; one write if the socket takes them."""
    cdef ssize_t taken = 0
    wire_flush(wire)
    if wire.failure != NONE or wire.fd < 0:
        return
    if wire.begin == wire.end:
        taken = wire_push(wire, octets, size)
        if <size_t>taken == size or wire.failure != NONE:
            return
    wire_keep(wire, octets + taken, size - taken)
    if taken:
        wire_flush(wire)       # a TLS record is as much as one call takes


cdef inline ssize_t wire_read(Wire *wire, uint8_t *to, size_t room) noexcept nogil:
    """Octets that have come, or AT_END, LATER, FAILED."""
    cdef ssize_t taken
    if wire.fd < 0:
        return AT_END
    while wire.failure == NONE:
        errno = 0
        if wire.ssl == NULL:
            taken = recv(wire.fd, to, room, MSG_DONTWAIT)
            if taken == 0:
                return AT_END
        else:
            wire.tls.clear_errors()
            taken = wire.tls.read(wire.ssl, to, <int>room)
            if taken <= 0 and wire.tls.error(wire.ssl, <int>taken) == 6:  # ZERO_RETURN
                return AT_END
        if taken > 0:
            return taken
        if errno == EINTR:
            continue
        if wire_later(wire, <int>taken):
            return LATER
        wire_fail(wire, <int>taken)
    return FAILED


cdef inline int wire_handshake(Wire *wire, int *system) noexcept nogil:
    """Go on with TLS's; OpenSSL's result, and the errno that came with it."""
    cdef int result
    wire.tls.clear_errors()
    errno = 0
    result = wire.tls.handshake(wire.ssl)
    system[0] = errno
    return result


cdef inline void wire_key(Wire *wire, uint8_t *to) noexcept nogil:
    """Four octets that nobody can foresee (RFC 6455, section 5.3)."""
    cdef ssize_t got = 0
    if wire.keys_left == 0:
        while got < KEYS:
            got += max(<ssize_t>0, getrandom(wire.keys + got, KEYS - got, 0))
        wire.keys_left = KEYS
    wire.keys_left -= 4
    memcpy(to, wire.keys + wire.keys_left, 4)


cdef inline void wire_close(Wire *wire) noexcept nogil:
    """Say good-bye in TLS and forget the socket, which is the caller's; what waits is dropped."""
    if wire.ssl != NULL:
        if wire.fd >= 0 and wire.failure == NONE:
            wire.tls.clear_errors()
            wire.tls.shutdown(wire.ssl)
        wire.tls.free(wire.ssl)
        wire.ssl = NULL
        wire.tls.clear_errors()
    wire.fd = -1
    free(wire.waiting)
    wire.waiting = NULL
    wire.begin = wire.end = wire.room = 0
