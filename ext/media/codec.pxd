"""Codecs beyond G.711: to linear samples at 8,000 Hz and back, so that legs that differ still meet.

A packet is decoded once, for the other leg and for the taps alike. G.722 (ITU-T G.722, RFC 3551 section
4.5.2) samples at 16,000 Hz, but an octet of it is 125 us, as of G.711: its RTP clock and our timeline run at
8,000. It remembers: a leg that has negotiated it has a `Coder`, with a state for what comes and one for what
goes.

The G.722 arithmetic is PJSIP's, by its functions' addresses (`forkproxy.media.codecs`); they work on samples
of 14 bits. Packets that were overtaken are decoded as they come: the state is a running estimate, and is
right again within milliseconds.
"""

from libc.math cimport M_PI, cos, sin
from libc.stdint cimport int16_t, int32_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from media.g711 cimport alaw_encode, alaw_linear, ulaw_encode, ulaw_linear

cdef enum Codec:
    NO_CODEC = 0
    PCMU = 1
    PCMA = 2
    EVENTS = 3               # telephone-event: forwarded, not audio
    G722 = 4
    L16 = 5                  # 16 bits, network order, 8,000 Hz

cdef enum:
    MOST_SAMPLES = 2048      # at 8,000 Hz in a packet: more octets than any that is read
    G722_STATE = 1024        # octets; PJSIP 2.15.1's are 456 long
    HALF_BAND = 32           # taps of the filter between 8,000 and 16,000 Hz
    HALF_BAND_PAST = HALF_BAND - 1
    HEADROOM = 2             # bits between our samples and G.722's

ctypedef int (*G722Start)(void *state) noexcept nogil
ctypedef int (*G722Decode)(void *state, void *octets, size_t size, int16_t *to, size_t *count) noexcept nogil
ctypedef int (*G722Encode)(void *state, int16_t *samples, size_t count, void *to, size_t *size) noexcept nogil

cdef struct Codecs:
    # The functions; NULL: G.722 cannot be had.
    G722Start start_decoder
    G722Start start_encoder
    G722Decode decode
    G722Encode encode

cdef struct Coder:
    uint8_t decoder[G722_STATE]
    uint8_t encoder[G722_STATE]
    int16_t down[HALF_BAND_PAST]   # the newest samples at 16,000 Hz that were decoded,
    int16_t up[HALF_BAND_PAST]     # and the newest at 8,000 that are to be encoded, in the last HALF_BAND / 2

cdef extern from *:
    """
    #include <stdint.h>
    static float half_band[32];
    static void *media_codecs[4];
    """
    float *half_band
    void **media_codecs


cdef inline Codecs *codecs() noexcept nogil:
    """What this extension has been given by `codecs_fill`."""
    return <Codecs *>media_codecs


cdef inline void codecs_fill(Codecs *functions) noexcept nogil:
    """Call once before anything below is used: the functions, and the filter (a windowed sinc that adds up to
    1)."""
    cdef double x, total = 0
    cdef double taps[HALF_BAND]
    cdef int i
    codecs()[0] = functions[0]
    for i in range(HALF_BAND):
        x = i - (HALF_BAND - 1) / 2.0
        taps[i] = sin(M_PI * 0.47 * x) / x * (0.54 + 0.46 * cos(2 * M_PI * x / HALF_BAND))
        total += taps[i]
    for i in range(HALF_BAND):
        half_band[i] = <float>(taps[i] / total)


cdef inline int16_t clip(float sample) noexcept nogil:
    return <int16_t>max(-32768, min(32767, <int32_t>sample))


cdef inline Coder *coder_new() noexcept nogil:
    """NULL: no memory, or no G.722."""
    cdef Coder *coder
    if codecs().decode == NULL:
        return NULL
    coder = <Coder *>calloc(1, sizeof(Coder))
    if coder != NULL:
        codecs().start_decoder(coder.decoder)
        codecs().start_encoder(coder.encoder)
    return coder


cdef inline void coder_free(Coder *coder) noexcept nogil:
    free(coder)


cdef inline int32_t g722_decode(
    Coder *coder, const uint8_t *payload, int32_t count, int16_t *to
) noexcept nogil:
    """`count` samples at 8,000 Hz; less: it cannot be decoded."""
    cdef int16_t wide[HALF_BAND_PAST + 2 * MOST_SAMPLES]
    cdef size_t made = 2 * count
    cdef float total
    cdef int32_t i, k
    memcpy(wide, coder.down, sizeof(coder.down))
    if codecs().decode(coder.decoder, <void *>payload, count, wide + HALF_BAND_PAST, &made):
        return 0
    if made != <size_t>(2 * count):
        return 0
    for i in range(HALF_BAND_PAST, HALF_BAND_PAST + 2 * count):
        wide[i] = <int16_t>(max(-8192, min(8191, wide[i])) * (1 << HEADROOM))
    for i in range(count):
        total = 0
        for k in range(HALF_BAND):
            total += half_band[k] * wide[2 * i + k]
        to[i] = clip(total)
    memcpy(coder.down, wide + 2 * count, sizeof(coder.down))
    return count


cdef inline int32_t g722_encode(
    Coder *coder, const int16_t *samples, int32_t count, uint8_t *to
) noexcept nogil:
    """`count` octets; less: it cannot be encoded."""
    cdef int16_t narrow[HALF_BAND_PAST + MOST_SAMPLES]
    cdef int16_t wide[2 * MOST_SAMPLES]
    cdef size_t made = count
    cdef float even, odd
    cdef int32_t i, k
    cdef int past = HALF_BAND // 2
    memcpy(narrow, coder.up + HALF_BAND_PAST - past, past * sizeof(int16_t))
    memcpy(narrow + past, samples, count * sizeof(int16_t))
    for i in range(count):
        even = odd = 0
        for k in range(past):
            even += half_band[2 * k] * narrow[i + 1 + k]
            odd += half_band[2 * k + 1] * narrow[i + 1 + k]
        wide[2 * i] = clip(2 * odd) >> HEADROOM
        wide[2 * i + 1] = clip(2 * even) >> HEADROOM
    memcpy(coder.up + HALF_BAND_PAST - past, narrow + count, past * sizeof(int16_t))
    if codecs().encode(coder.encoder, wide, 2 * count, to, &made):
        return 0
    return <int32_t>made


cdef inline bint codec_is_g711(uint8_t codec) noexcept nogil:
    return codec == PCMU or codec == PCMA


cdef inline int32_t codec_samples(uint8_t codec, int32_t octets) noexcept nogil:
    """How long a payload is, at 8,000 Hz."""
    return octets // 2 if codec == L16 else octets


cdef inline int32_t codec_decode(
    Coder *coder, uint8_t codec, const uint8_t *payload, int32_t octets, int16_t *to
) noexcept nogil:
    """Linear samples at 8,000 Hz: how many; 0: it cannot be decoded. `to` holds MOST_SAMPLES."""
    cdef int32_t count = codec_samples(codec, octets)
    cdef int32_t i
    if not 0 < count <= MOST_SAMPLES:
        return 0                 # an empty packet would be an assertion of PJSIP's
    if codec == G722:
        return g722_decode(coder, payload, count, to) if coder != NULL else 0
    if codec == L16:
        for i in range(count):
            to[i] = <int16_t>((payload[2 * i] << 8) | payload[2 * i + 1])
    else:
        for i in range(count):
            to[i] = alaw_linear[payload[i]] if codec == PCMA else ulaw_linear[payload[i]]
    return count


cdef inline int32_t codec_encode(
    Coder *coder, uint8_t codec, const int16_t *samples, int32_t count, uint8_t *to
) noexcept nogil:
    """The octets of a payload; 0: it cannot be encoded. `to` holds 2 * MOST_SAMPLES."""
    cdef int32_t i
    if count <= 0:
        return 0
    if codec == G722:
        return g722_encode(coder, samples, count, to) if coder != NULL else 0
    if codec == L16:
        for i in range(count):
            to[2 * i] = <uint8_t>(samples[i] >> 8)
            to[2 * i + 1] = <uint8_t>(samples[i] & 0xFF)
        return 2 * count
    for i in range(count):
        to[i] = alaw_encode(samples[i]) if codec == PCMA else ulaw_encode(samples[i])
    return count
