"""The ring that a leg's frames are written into once and read from by any number of taps.

One writer (the relay thread), many readers (the event loop's thread), no lock: the writer publishes `written`
after a slot is whole; a reader copies a slot and then looks whether the writer has come round to it
meanwhile. A reader that is overtaken loses its own frames and can tell how many. Since the two may meet in a
slot, both go through it in atomic words.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free

from media.linux cimport fence, get_words, load_acquire, put_words, store_release

cdef enum:
    FRAME = 160          # samples, and octets of mu-law
    RING_SLOTS = 128     # 2.56 s: how long the event loop may stand still before frames are lost
    INBOUND = 0
    OUTBOUND = 1
    MOST_UNIT = 6        # octets at each of a frame's places: three linear samples

cdef struct Pair:
    # Both tracks of one 20 ms.
    uint8_t flags[2]
    uint8_t unused[6]    # to whole words
    int64_t arrival      # of its newest packet, of some moments only; 0: not known
    uint8_t payload[2 * FRAME * MOST_UNIT]  # the second track's behind the first one's

cdef struct Ring:
    uint64_t written     # pairs ever written; pair n lies in slot n % RING_SLOTS
    int32_t words        # of a pair: only as many as its frames need
    uint64_t slots[1]    # RING_SLOTS * words


cdef inline Ring *ring_new(int32_t unit) noexcept nogil:
    """A ring of frames with `unit` octets at each place; NULL: no memory."""
    cdef int32_t words = 2 + 2 * FRAME * unit // 8
    cdef Ring *ring = <Ring *>calloc(1, sizeof(Ring) + RING_SLOTS * words * sizeof(uint64_t))
    if ring != NULL:
        ring.words = words
    return ring


cdef inline void ring_write(Ring *ring, const Pair *pair) noexcept nogil:
    """Publish the next pair."""
    put_words(ring.slots + ring.written % RING_SLOTS * ring.words, pair, ring.words)
    store_release(&ring.written, ring.written + 1)
    fence()  # what is written into the next slot must not be seen before the count that gives that slot up


cdef inline uint64_t ring_first(Ring *ring, uint64_t written) noexcept nogil:
    """The oldest pair that may be read; one slot is the writer's."""
    return written - (RING_SLOTS - 1) if written > RING_SLOTS - 1 else 0


cdef inline bint ring_copy(Ring *ring, uint64_t number, Pair *to) noexcept nogil:
    """Copy a published pair. False: the writer overtook the reader, `to` is torn."""
    get_words(to, ring.slots + number % RING_SLOTS * ring.words, ring.words)
    fence()
    return number >= ring_first(ring, load_acquire(&ring.written))


cdef inline void ring_free(Ring *ring) noexcept nogil:
    free(ring)
