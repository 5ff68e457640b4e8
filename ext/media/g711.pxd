"""G.711 (ITU-T): mu-law and A-law, to and from 16-bit samples, and from one to the other.

The tables are computed once, at import, from the formulas below; `forkproxy.media.twins` says the same in
Python.
"""

from libc.stdint cimport int16_t, int32_t, uint8_t

cdef enum:
    ULAW_SILENCE = 0xFF
    ALAW_SILENCE = 0xD5

cdef extern from *:
    """
    #include <stdint.h>
    static int16_t ulaw_linear[256];
    static int16_t alaw_linear[256];
    static uint8_t ulaw_alaw[256];
    static uint8_t alaw_ulaw[256];
    """
    int16_t *ulaw_linear
    int16_t *alaw_linear
    uint8_t *ulaw_alaw
    uint8_t *alaw_ulaw


cdef inline int32_t ulaw_decode(uint8_t code) noexcept nogil:
    cdef uint8_t bits = ~code
    cdef int32_t magnitude = (((bits & 0x0F) << 3) + 0x84) << ((bits & 0x70) >> 4)
    return 0x84 - magnitude if bits & 0x80 else magnitude - 0x84


cdef inline int32_t alaw_decode(uint8_t code) noexcept nogil:
    cdef uint8_t bits = code ^ 0x55
    cdef int32_t segment = (bits & 0x70) >> 4
    cdef int32_t magnitude = ((bits & 0x0F) << 4) + 8
    if segment:
        magnitude = (magnitude + 0x100) << (segment - 1)
    return magnitude if bits & 0x80 else -magnitude


cdef inline uint8_t ulaw_encode(int32_t sample) noexcept nogil:
    cdef uint8_t sign = 0
    cdef int32_t segment = 7
    cdef int32_t reach = 0x4000
    if sample < 0:
        sign = 0x80
        sample = -sample
    if sample > 32635:
        sample = 32635
    sample += 0x84
    while segment > 0 and not sample & reach:
        segment -= 1
        reach >>= 1
    return ~(sign | (segment << 4) | ((sample >> (segment + 3)) & 0x0F)) & 0xFF


cdef inline uint8_t alaw_encode(int32_t sample) noexcept nogil:
    cdef uint8_t sign = 0x80
    cdef int32_t segment = 7
    cdef int32_t reach = 0x4000
    if sample < 0:
        sign = 0
        sample = -sample - 1
    if sample > 32767:
        sample = 32767
    while segment > 0 and not sample & reach:
        segment -= 1
        reach >>= 1
    if segment:
        sample = (segment << 4) | ((sample >> (segment + 3)) & 0x0F)
    else:
        sample = sample >> 4
    return (sign | sample) ^ 0x55


cdef inline void g711_fill_tables() noexcept nogil:
    """Call once before anything below is used."""
    cdef int code
    for code in range(256):
        ulaw_linear[code] = ulaw_decode(code)
        alaw_linear[code] = alaw_decode(code)
        ulaw_alaw[code] = alaw_encode(ulaw_decode(code))
        alaw_ulaw[code] = ulaw_encode(alaw_decode(code))


cdef inline void g711_translate(
    uint8_t *to, const uint8_t *samples, int count, const uint8_t *table
) noexcept nogil:
    """`to` may be `samples`."""
    cdef int i
    for i in range(count):
        to[i] = table[samples[i]]
