"""Histograms of delays: a table of bounds, a count for each, and the sum."""

from libc.stdint cimport int64_t, uint64_t

cdef enum:
    BOUNDS = 18

cdef extern from *:
    """
    #include <stdint.h>
    static const int64_t histogram_bounds[18] = {
        2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000,
        1000000, 2000000, 5000000, 10000000, 20000000, 50000000,
        100000000, 200000000, 500000000, 1000000000,
    };
    """
    const int64_t *histogram_bounds   # ns: 2 us to 1 s

cdef struct Histogram:
    uint64_t counts[BOUNDS + 1]       # of what is not above a bound but above the one before; last: above all
    uint64_t sum_ns


cdef inline void histogram_note(Histogram *histogram, int64_t ns) noexcept nogil:
    """A clock that was set back in between makes a delay negative: it counts as none."""
    cdef int i = 0
    ns = max(ns, 0)
    while i < BOUNDS and ns > histogram_bounds[i]:
        i += 1
    histogram.counts[i] += 1
    histogram.sum_ns += ns


cdef inline void histogram_add(Histogram *to, const Histogram *more) noexcept nogil:
    cdef int i
    for i in range(BOUNDS + 1):
        to.counts[i] += more.counts[i]
    to.sum_ns += more.sum_ns
