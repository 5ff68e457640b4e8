"""From one sample rate to another, packet by packet: 8, 16, 24 and 48 kHz, each to each.

A windowed sinc for each place that an output sample can have between two input samples (polyphase). A packet
of whole samples at 8 kHz becomes exactly its length at the other rate; what is needed of the packet before is
kept in a `Past`. The filters reach `REACH` samples of the lower rate to both sides: a millisecond of delay at
8 kHz. `forkproxy.media.resample_twin` says the same in Python.
"""

from libc.math cimport M_PI, cos, sin
from libc.stdint cimport int16_t, int32_t
from libc.string cimport memcpy, memset

cdef enum:
    RATES = 4
    REACH = 8
    MOST_TAPS = 96           # 48 to 8 kHz
    PAST = MOST_TAPS - 1
    MOST_LINEAR = 6144       # samples of a packet at any rate: 128 ms at 48 kHz

cdef struct Past:
    # The end of what a resampler has been given.
    int32_t khz              # the rate that it was in; 0: nothing has come
    int16_t samples[PAST]

cdef extern from *:
    """
    #include <stdint.h>
    static float resample_kernels[4][4][96];
    """
    float resample_kernels[4][4][96]


cdef inline int rate_index(int khz) noexcept nogil:
    return 3 if khz == 48 else khz // 8 - 1


cdef inline int rate_of(int index) noexcept nogil:
    return 48 if index == 3 else (index + 1) * 8


cdef inline int common(int a, int b) noexcept nogil:
    """The greatest common divisor."""
    while b:
        a, b = b, a % b
    return a


cdef inline int taps_of(int khz, int to_khz) noexcept nogil:
    """How many input samples make an output sample."""
    return 2 * REACH * max(khz, to_khz) // to_khz if khz > to_khz else 2 * REACH


cdef inline void resample_fill() noexcept nogil:
    """Call once before anything below is used."""
    cdef int i, k, place, tap, taps, khz, to_khz, places
    cdef double cutoff, x, weight, total
    cdef float *kernel
    for i in range(RATES):
        for k in range(RATES):
            khz = rate_of(i)
            to_khz = rate_of(k)
            taps = taps_of(khz, to_khz)
            places = to_khz // common(khz, to_khz)
            cutoff = 0.94 * min(khz, to_khz) / khz
            for place in range(places if khz != to_khz else 0):
                kernel = resample_kernels[i][k] + place * taps
                total = 0
                for tap in range(taps):
                    x = tap + 1 - taps / 2 - <double>place / places
                    weight = 0.54 + 0.46 * cos(2 * M_PI * x / (taps + 1))
                    weight *= sin(M_PI * cutoff * x) / x if x != 0 else M_PI * cutoff
                    kernel[tap] = <float>weight
                    total += weight
                for tap in range(taps):
                    kernel[tap] = <float>(kernel[tap] / total)


cdef inline int16_t clip(float sample) noexcept nogil:
    return <int16_t>max(-32768, min(32767, <int32_t>sample))


cdef inline int32_t resample(
    Past *past, int khz, int to_khz, const int16_t *samples, int32_t count, int16_t *to
) noexcept nogil:
    """`count` samples, up to MOST_LINEAR, at the other rate: how many. `to` has room for as long an audio."""
    cdef int16_t all_[PAST + MOST_LINEAR]
    cdef const int16_t *at
    cdef const float *kernel
    cdef int taps = taps_of(khz, to_khz)
    cdef int divisor = common(khz, to_khz)
    cdef int places = to_khz // divisor
    cdef int step = khz // divisor
    cdef int32_t made = count * to_khz // khz
    cdef int32_t n, whole
    cdef int place, tap
    cdef float total
    if khz == to_khz:
        memcpy(to, samples, count * sizeof(int16_t))
        return count
    if past.khz != khz:
        past.khz = khz
        memset(past.samples, 0, sizeof(past.samples))
    memcpy(all_, past.samples, sizeof(past.samples))
    memcpy(all_ + PAST, samples, count * sizeof(int16_t))
    whole = place = 0
    for n in range(made):
        at = all_ + PAST + whole - taps + 1
        kernel = resample_kernels[rate_index(khz)][rate_index(to_khz)] + place * taps
        total = 0
        for tap in range(taps):
            total += at[tap] * kernel[tap]
        to[n] = clip(total)
        place += step
        while place >= places:
            place -= places
            whole += 1
    memcpy(past.samples, all_ + count, sizeof(past.samples))
    return made
