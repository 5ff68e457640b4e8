"""The moments that were sent and that the consumer has perhaps not read, for a new connection.

`forkproxy_websocket.history` is the readable twin. A sender thread adds while the event loop looks and
forgets; the memory grows with what is kept, up to a bound.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from native.wire cimport pthread_mutex_lock, pthread_mutex_t, pthread_mutex_unlock

cdef enum:
    FEWEST = 64                # moments that there is room for once there are any

cdef struct Kept:
    # Behind it: both tracks' payloads.
    uint64_t number
    uint8_t has[2]
    uint8_t flags[2]
    uint32_t octets            # of each payload

cdef struct Past:
    pthread_mutex_t lock
    uint8_t *slots             # moment n lies in slot n % room
    uint32_t stride            # octets of a slot
    uint64_t room
    uint64_t most              # moments that are kept
    uint64_t first             # moments [first, end) are kept, by how many have been added before
    uint64_t end
    uint64_t next              # behind the newest moment's number


cdef inline Kept *past_at(const Past *past, uint64_t n) noexcept nogil:
    return <Kept *>(past.slots + n % past.room * past.stride)


cdef inline void past_forget(Past *past, uint64_t before) noexcept nogil:
    """Forget the moments with numbers below `before`."""
    while past.first < past.end and past_at(past, past.first).number < before:
        past.first += 1
    if past.first == past.end and past.slots != NULL:
        free(past.slots)
        past.slots = NULL
        past.room = past.first = past.end = 0


cdef inline bint past_grow(Past *past, uint32_t stride) noexcept nogil:
    """Have room for one more moment; False: there is no memory."""
    cdef uint64_t room = max(2 * (past.end - past.first), <uint64_t>FEWEST)
    cdef uint8_t *slots
    cdef uint64_t n
    if past.slots != NULL and past.end - past.first < past.room and stride <= past.stride:
        return True
    stride = max(stride, past.stride)
    slots = <uint8_t *>calloc(room, stride)
    if slots == NULL:
        return False
    for n in range(past.first, past.end):
        memcpy(slots + n % room * stride, past_at(past, n), past.stride)
    free(past.slots)
    past.slots = slots
    past.room = room
    past.stride = stride
    return True


cdef inline Kept *past_new(Past *past, uint64_t number, uint32_t octets) noexcept nogil:
    """The place of the moment `number`: a new one, or the newest, if it is that. NULL: no memory."""
    cdef Kept *kept
    if past.end > past.first and past_at(past, past.end - 1).number == number:
        kept = past_at(past, past.end - 1)
        return kept if kept.octets == octets else NULL
    past.next = number + 1
    if past.most == 0:
        return NULL
    if past.next > past.most:
        past_forget(past, past.next - past.most)
    if not past_grow(past, (sizeof(Kept) + 2 * octets + 7) // 8 * 8):
        return NULL
    kept = past_at(past, past.end)
    kept.number = number
    kept.has[0] = kept.has[1] = 0
    kept.octets = octets
    past.end += 1
    return kept


cdef inline void kept_put(Kept *kept, int track, const uint8_t *payload, uint8_t flags) noexcept nogil:
    kept.has[track] = 1
    kept.flags[track] = flags
    memcpy(<uint8_t *>kept + sizeof(Kept) + track * kept.octets, payload, kept.octets)


cdef inline bint past_keep(
    Past *past, uint64_t number, const uint8_t *const *payloads, uint32_t octets, const uint8_t *flags
) noexcept nogil:
    """Add a moment that is being sent; False: there is no memory."""
    cdef Kept *kept
    cdef int track
    cdef bint whole = True
    pthread_mutex_lock(&past.lock)
    kept = past_new(past, number, octets)
    if kept == NULL:
        whole = past.most == 0
    else:
        for track in range(2):
            if payloads[track] != NULL:
                kept_put(kept, track, payloads[track], flags[track])
    pthread_mutex_unlock(&past.lock)
    return whole
