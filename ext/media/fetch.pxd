"""Asking for memory before it is needed.

Between two packets of a leg, 20 ms go by in which hundreds of others use the caches. What is asked for a few
packets ahead comes in while the kernel is busy with the packets before; nobody has to wait for it, and
nothing else changes. What is asked for in vain costs next to nothing.
"""

from media.leg cimport Leg
from media.linux cimport prefetch

cdef enum:
    AHEAD = 2                # packets, for each of the two steps


cdef inline void fetch_leg(const Leg *leg) noexcept nogil:
    """First step: the leg. NULL: it has gone."""
    if leg != NULL:
        prefetch(leg, sizeof(Leg))


cdef inline void fetch_peer(const Leg *leg) noexcept nogil:
    """Second step, with the leg there: the one that its packet goes to."""
    if leg != NULL and leg.peer != NULL:
        prefetch(leg.peer, sizeof(Leg))
