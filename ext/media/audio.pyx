"""forkproxy.media._audio: samples of any kind to mu-law at 8,000 Hz, without the interpreter while it takes.

A prompt may be minutes of CD quality: in Python that would hold the event loop back for seconds.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.math cimport M_PI, ceil, cos, isfinite, lrintf, sin
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from media.g711 cimport alaw_decode, ulaw_decode, ulaw_encode
from media.resample cimport MOST_LINEAR, Past, resample, resample_fill

cdef enum:
    PCM = 1
    FLOAT = 3
    ALAW = 6
    ULAW = 7
    RATE = 8000
    TAPS = 16       # half the length of the resampling filter, in samples of the lower rate


resample_fill()


cdef class Narrower:
    """Linear samples of 16 bits, little-endian, at 8, 16 or 24 kHz, in pieces, to mu-law at 8,000 Hz."""

    cdef Past past
    cdef int khz
    cdef bytes rest

    def __cinit__(self, int khz):
        if khz not in (8, 16, 24):
            raise ValueError(f"{khz} kHz is not 8, 16 or 24")
        self.khz = khz
        self.rest = b""

    def feed(self, bytes audio):
        """The next piece, cut anywhere: its mu-law, and that of what was left over of the piece before."""
        cdef int16_t narrow[MOST_LINEAR]
        cdef bytes whole = self.rest + audio
        cdef int width = self.khz // 8
        cdef int64_t count = len(whole) // (2 * width)
        cdef bytes result = PyBytes_FromStringAndSize(NULL, count)
        cdef uint8_t *to = <uint8_t *>PyBytes_AS_STRING(result)
        cdef const int16_t *samples = <const int16_t *>PyBytes_AS_STRING(whole)
        cdef int64_t at = 0
        cdef int32_t part, i
        self.rest = whole[count * 2 * width:]
        while at < count:
            part = <int32_t>min(count - at, MOST_LINEAR // width)
            resample(&self.past, self.khz, 8, samples + at * width, part * width, narrow)
            for i in range(part):
                to[at + i] = ulaw_encode(narrow[i])
            at += part
        return result


cdef float sample_at(const uint8_t *p, int code, int bits) noexcept nogil:
    """One sample (little-endian, as WAV files have them), scaled to 16 bits."""
    cdef float single
    cdef double double_
    cdef int16_t word
    cdef int32_t long_
    if code == ULAW:
        return ulaw_decode(p[0])
    if code == ALAW:
        return alaw_decode(p[0])
    if code == FLOAT:
        if bits == 32:
            memcpy(&single, p, 4)
            double_ = single
        else:
            memcpy(&double_, p, 8)
        return double_ * 32767 if isfinite(double_) else 0
    if bits == 8:
        return (p[0] - 128) * 256
    if bits == 16:
        memcpy(&word, p, 2)
        return word
    if bits == 24:
        return <float>(
            <int32_t>((<uint32_t>p[0] << 8) | (<uint32_t>p[1] << 16) | (<uint32_t>p[2] << 24)) / 65536.0
        )
    memcpy(&long_, p, 4)
    return long_ / 65536.0


cdef void fill_kernel(float *kernel, double fraction, double cutoff, int reach) noexcept nogil:
    """A windowed sinc's coefficients for a point `fraction` of a sample after the middle, adding up to 1."""
    cdef double total = 0
    cdef double x, angle, weight
    cdef int tap
    for tap in range(2 * reach):
        x = tap - reach + 1 - fraction
        angle = M_PI * cutoff * x
        weight = (0.5 + 0.5 * cos(M_PI * x / (reach + 1))) * (sin(angle) / angle if angle != 0 else 1)
        kernel[tap] = weight
        total += weight
    for tap in range(2 * reach):
        kernel[tap] /= total


cdef uint8_t as_ulaw(float sample) noexcept nogil:
    return ulaw_encode(lrintf(min(max(sample, -32768), 32767)))


cdef int64_t gcd(int64_t a, int64_t b) noexcept nogil:
    while b:
        a, b = b, a % b
    return a


cdef bint convert(
    const float *samples, int64_t count, int64_t rate, uint8_t *to, int64_t out
) noexcept nogil:
    """`out` mu-law samples at 8,000 Hz from `count` at `rate`: one kernel for each phase between the two.

    `samples` has zeros on both sides, as many as half a kernel is long (`reach_of`). False: no memory.
    """
    cdef int64_t common = gcd(rate, RATE)
    cdef int64_t up = RATE // common
    cdef int64_t down = rate // common
    cdef int reach = reach_of(rate)
    cdef double cutoff = cutoff_of(rate)
    cdef float *kernels = <float *>malloc(up * 2 * reach * sizeof(float))
    cdef const float *at
    cdef const float *kernel
    cdef float total
    cdef int64_t n
    cdef int tap
    if kernels == NULL:
        return False
    for n in range(up):
        fill_kernel(kernels + n * 2 * reach, <double>n / up, cutoff, reach)
    for n in range(out):
        at = samples + n * down // up - reach + 1
        kernel = kernels + n * down % up * 2 * reach
        total = 0
        for tap in range(2 * reach):
            total += at[tap] * kernel[tap]
        to[n] = as_ulaw(total)
    free(kernels)
    return True


cdef double cutoff_of(int64_t rate) noexcept nogil:
    # Leaves the filter room to fall off below half of the lower rate.
    return 0.95 * min(1.0, <double>RATE / rate)


cdef int reach_of(int64_t rate) noexcept nogil:
    return <int>ceil(TAPS / cutoff_of(rate))


def to_ulaw(bytes body, int code, int bits, int channels, int64_t rate):
    """Interleaved samples, averaged over the channels, as mu-law at 8,000 Hz.

    `code` and `bits` are a WAV file's, and known to fit: PCM (1) of 8, 16, 24, 32 bits, float (3) of 32, 64,
    A-law (6) and mu-law (7) of 8. What does not fill a sample of all channels is left out.
    """
    cdef int octets = bits // 8
    cdef int64_t count = len(body) // (octets * channels)
    cdef int64_t out = count * RATE // rate
    cdef int margin = reach_of(rate) + 1
    cdef const uint8_t *p = body
    cdef float *samples
    cdef uint8_t *to
    cdef int64_t n
    cdef int left
    cdef float total
    cdef bint done = True
    cdef bytes result = PyBytes_FromStringAndSize(NULL, out)
    to = <uint8_t *>PyBytes_AS_STRING(result)
    with nogil:
        samples = <float *>calloc(count + 2 * margin, sizeof(float))
        if samples == NULL:
            done = False
        else:
            for n in range(count):
                total = 0
                left = channels
                while left > 0:
                    total += sample_at(p, code, bits)
                    p += octets
                    left -= 1
                samples[margin + n] = total / channels
            if rate == RATE:
                for n in range(out):
                    to[n] = as_ulaw(samples[margin + n])
            else:
                done = convert(samples + margin, count, rate, to, out)
            free(samples)
    if not done:
        raise MemoryError
    return result
