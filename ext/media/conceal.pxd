"""Filling in what was lost: the last pitch period goes on, and leads into what follows.

In the manner of ITU-T G.711 Appendix I. When a hole begins, the period of what was heard before is the lag at
which it resembles itself most; that period is repeated, its end blended into its beginning, so that no
repetition clicks. Since a frame is cut when the reordering window is over, what follows the hole is often
here already: the last 10 ms before it lead over to it, by its own samples a period later. What was received
stays as it was. The caller fades.

Lengths are in places of 125 us; `scale` is how many linear samples a place has (1, 2 or 3).
`forkproxy.media.twins.Concealment` says the same in Python.
"""

from libc.stdint cimport int16_t, int32_t, int64_t

cdef enum:
    SHORTEST_PERIOD = 40       # places: 200 Hz
    LONGEST_PERIOD = 120       # 67 Hz
    COMPARED = 160             # places
    HISTORY = 280              # COMPARED + LONGEST_PERIOD
    LEAD = 80                  # places before what follows that lead over to it
    MOST_SCALE = 3

cdef struct Concealment:
    int32_t period             # samples; 0: nothing has been lost yet
    int32_t jump               # from where the repetition would begin to where the sound was
    int16_t cycle[360]         # MOST_SCALE * LONGEST_PERIOD


cdef inline double conceal_likeness(const int16_t *newest, int32_t lag, int32_t scale) noexcept nogil:
    """How much the last COMPARED places resemble those `lag` samples before; none: 0."""
    cdef int64_t product = 0
    cdef int64_t energy = 0
    cdef int32_t i, at
    for i in range(COMPARED):
        at = i * scale
        product += newest[at] * newest[at - lag]
        energy += newest[at - lag] * newest[at - lag]
    if product <= 0 or energy == 0:
        return 0
    return <double>product * <double>product / <double>energy


cdef inline int32_t conceal_period(const int16_t *history, int32_t scale) noexcept nogil:
    """The lag of the greatest likeness, searched in steps of two places and then around the best one."""
    cdef const int16_t *newest = history + LONGEST_PERIOD * scale
    cdef int32_t best = LONGEST_PERIOD * scale
    cdef double most = 0
    cdef double likeness
    cdef int32_t lag, first, last, step
    for step in range((LONGEST_PERIOD - SHORTEST_PERIOD) // 2 + 1):
        lag = (SHORTEST_PERIOD + 2 * step) * scale
        likeness = conceal_likeness(newest, lag, scale)
        if likeness > most:
            most = likeness
            best = lag
    first = max(best - 2 * scale + 1, SHORTEST_PERIOD * scale)
    last = min(best + 2 * scale - 1, LONGEST_PERIOD * scale)
    for lag in range(first, last + 1):
        likeness = conceal_likeness(newest, lag, scale)
        if likeness > most:
            most = likeness
            best = lag
    return best


cdef inline void conceal_begin(
    Concealment *concealment, const int16_t *history, int32_t scale
) noexcept nogil:
    """A hole begins behind HISTORY places."""
    cdef int32_t period = conceal_period(history, scale)
    cdef int32_t blend = period // 4
    cdef const int16_t *last = history + HISTORY * scale - 1
    cdef int32_t i
    concealment.period = period
    concealment.jump = last[0] - last[-period]
    for i in range(period - blend):
        concealment.cycle[i] = last[1 + i - period]
    for i in range(blend):
        concealment.cycle[period - blend + i] = <int16_t>(
            (last[1 + i - blend] * (blend - i) + last[1 + i - blend - period] * (i + 1)) // (blend + 1)
        )


cdef inline int32_t conceal_sample(const Concealment *concealment, int32_t number) noexcept nogil:
    """A sample of the hole, from 0; where it begins, the jump wears off."""
    cdef int32_t sample = concealment.cycle[number % concealment.period]
    cdef int32_t blend = concealment.period // 4
    if number < blend:
        sample += concealment.jump * (blend - number) // (blend + 1)
    return sample


cdef inline int32_t conceal_lead(
    int32_t sample, int32_t following, int32_t left, int32_t scale
) noexcept nogil:
    """`sample`, `left` samples (1 to LEAD places) before what follows, on its way to `following`."""
    return (sample * left + following * (LEAD * scale + 1 - left)) // (LEAD * scale + 1)
