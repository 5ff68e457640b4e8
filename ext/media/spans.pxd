"""Spans of time: when a leg was masked, when one of its directions was on hold.

A frame is cut when its time and the reordering window are over, so it is judged by how things stood in its
20 ms, not by how they stand when it is cut.

There is room for a few spans. When it is used up, the two oldest become one with what lies between them. That
touches frames that are still to be cut only if masks come and go faster than once in an eighth of the window,
and then more is masked rather than less.
"""

from libc.stdint cimport INT64_MAX, int32_t, int64_t
from libc.string cimport memmove

cdef enum:
    SPANS = 8

cdef struct Spans:
    int32_t count
    int64_t begin[SPANS]       # ns of the monotonic clock, oldest first
    int64_t end[SPANS]         # INT64_MAX: not over

cdef struct Withheld:
    # What keeps a leg's audio from its taps.
    Spans masked
    Spans held[2]              # by track


cdef inline bint spans_open(const Spans *spans) noexcept nogil:
    """Whether the newest span is not over."""
    return spans.count > 0 and spans.end[spans.count - 1] == INT64_MAX


cdef inline void spans_begin(Spans *spans, int64_t now) noexcept nogil:
    """Begin a span, unless there is one."""
    if spans_open(spans):
        return
    if spans.count == SPANS:
        spans.end[0] = spans.end[1]
        memmove(spans.begin + 1, spans.begin + 2, (SPANS - 2) * sizeof(int64_t))
        memmove(spans.end + 1, spans.end + 2, (SPANS - 2) * sizeof(int64_t))
        spans.count -= 1
    spans.begin[spans.count] = now
    spans.end[spans.count] = INT64_MAX
    spans.count += 1


cdef inline void spans_end(Spans *spans, int64_t now) noexcept nogil:
    """End the span that is not over, if there is one."""
    if spans_open(spans):
        spans.end[spans.count - 1] = now


cdef inline bint spans_touch(const Spans *spans, int64_t begin, int64_t end) noexcept nogil:
    """Whether a moment of any span lies in `begin` <= moment < `end`."""
    cdef int32_t i
    for i in range(spans.count):
        if spans.begin[i] < end and spans.end[i] >= begin:
            return True
    return False
