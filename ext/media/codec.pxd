"""Codecs beyond G.711: to linear samples and back, so that legs that differ still meet.

A packet is decoded once, for the other leg and for the taps alike, at the rate that its codec samples at. RTP
clocks and our timeline are another matter: the timeline runs at 8,000; G.722 (ITU-T G.722, RFC 3551 section
4.5.2) samples at 16,000 Hz, but its RTP clock runs at 8,000, too; L16's runs at its sample rate (section
4.5.11). G.722 and resampling remember: a leg that has negotiated more than 8 kHz has a `Coder`, with a state
for what comes and one for what goes.

The G.722 arithmetic is PJSIP's, by its functions' addresses (`forkproxy.media.codecs`); they work on samples
of 14 bits. Packets that were overtaken are decoded as they come: the state is a running estimate, and is
right again within milliseconds.
"""

from libc.stdint cimport int16_t, int32_t, uint8_t
from libc.stdlib cimport calloc, free

from media.g711 cimport alaw_encode, alaw_linear, ulaw_encode, ulaw_linear
from media.resample cimport MOST_LINEAR, RATES, Past

cdef enum Codec:
    # As in forkproxy.media.codecs.CODECS.
    NO_CODEC = 0
    PCMU = 1
    PCMA = 2
    EVENTS = 3               # telephone-event: forwarded, not audio
    G722 = 4
    L16 = 5                  # 16 bits, network order, 8,000 Hz,
    CN = 6                   # comfort noise (RFC 3389): forwarded, and silence to the taps
    L16_16 = 7               # 16,000 Hz,
    L16_24 = 8               # 24,000 Hz,
    L16_48 = 9               # and 48,000 Hz
    EVENTS_16 = 10           # telephone-event with other clocks
    EVENTS_48 = 11
    CODECS = 12

cdef enum:
    MOST_SAMPLES = 2048      # at 8,000 Hz in a packet: more octets than any that is read
    G722_STATE = 1024        # octets; PJSIP 2.15.1's are 456 long
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
    Past heard               # what comes, on its way to 8,000 Hz
    Past sent[RATES]         # what goes, by the rate that it was in

cdef extern from *:
    """
    #include <stdint.h>
    static void *media_codecs[4];
    static const uint8_t codec_khz[16] = {8, 8, 8, 8, 16, 8, 8, 16, 24, 48, 8, 8};
    static const uint8_t codec_scale[16] = {1, 1, 1, 1, 1, 1, 1, 2, 3, 6, 2, 6};
    """
    void **media_codecs
    const uint8_t *codec_khz     # that a codec samples at
    const uint8_t *codec_scale   # units of its RTP clock in 125 us


cdef inline Codecs *codecs() noexcept nogil:
    """What this extension has been given by `codecs_fill`."""
    return <Codecs *>media_codecs


cdef inline void codecs_fill(Codecs *functions) noexcept nogil:
    """Call once before anything below is used."""
    codecs()[0] = functions[0]


cdef inline bint codecs_have_g722() noexcept nogil:
    return codecs().decode != NULL


cdef inline Coder *coder_new() noexcept nogil:
    """NULL: no memory. Without PJSIP's functions it knows no G.722."""
    cdef Coder *coder = <Coder *>calloc(1, sizeof(Coder))
    if coder != NULL and codecs().decode != NULL:
        codecs().start_decoder(coder.decoder)
        codecs().start_encoder(coder.encoder)
    return coder


cdef inline void coder_free(Coder *coder) noexcept nogil:
    free(coder)


cdef inline int32_t g722_decode(
    Coder *coder, const uint8_t *payload, int32_t count, int16_t *to
) noexcept nogil:
    """The samples at 16,000 Hz of `count` octets; 0: they cannot be decoded."""
    cdef size_t made = 2 * count
    cdef int32_t i
    if codecs().decode(coder.decoder, <void *>payload, count, to, &made) or made != <size_t>(2 * count):
        return 0
    for i in range(2 * count):
        to[i] = <int16_t>(max(-8192, min(8191, to[i])) * (1 << HEADROOM))
    return 2 * count


cdef inline int32_t g722_encode(
    Coder *coder, const int16_t *samples, int32_t count, uint8_t *to
) noexcept nogil:
    """The octets of `count` samples, an even number, at 16,000 Hz; 0: they cannot be encoded."""
    cdef int16_t low[MOST_LINEAR]
    cdef size_t made = count // 2
    cdef int32_t i
    for i in range(count):
        low[i] = samples[i] >> HEADROOM
    if codecs().encode(coder.encoder, low, count, to, &made):
        return 0
    return <int32_t>made


cdef inline bint codec_is_g711(uint8_t codec) noexcept nogil:
    return codec == PCMU or codec == PCMA


cdef inline bint codec_is_events(uint8_t codec) noexcept nogil:
    return codec == EVENTS or codec == EVENTS_16 or codec == EVENTS_48


cdef inline bint codec_is_audio(uint8_t codec) noexcept nogil:
    """Whether there are samples in it: neither events nor comfort noise."""
    return codec != CN and not codec_is_events(codec)


cdef inline bint codec_is_linear(uint8_t codec) noexcept nogil:
    return codec == L16 or L16_16 <= codec <= L16_48


cdef inline bint codec_remembers(uint8_t codec) noexcept nogil:
    """Whether a leg that has it needs a `Coder`."""
    return codec_khz[codec] != 8


cdef inline int32_t codec_samples(uint8_t codec, int32_t octets) noexcept nogil:
    """How long a payload is, at 8,000 Hz."""
    return octets // (2 * codec_scale[codec]) if codec_is_linear(codec) else octets


cdef inline int32_t codec_decode(
    Coder *coder, uint8_t codec, const uint8_t *payload, int32_t octets, int16_t *to
) noexcept nogil:
    """Linear samples at the codec's own rate: how many; 0: it cannot be decoded. `to` holds MOST_LINEAR.

    What is left over of a sample at 8,000 Hz falls away.
    """
    cdef int32_t count = codec_samples(codec, octets)
    cdef int32_t i
    if not 0 < count <= MOST_SAMPLES:
        return 0                 # an empty packet would be an assertion of PJSIP's
    if codec == G722:
        return g722_decode(coder, payload, count, to) if coder != NULL else 0
    if codec_is_linear(codec):
        count *= codec_scale[codec]
        for i in range(count):
            to[i] = <int16_t>((payload[2 * i] << 8) | payload[2 * i + 1])
    else:
        for i in range(count):
            to[i] = alaw_linear[payload[i]] if codec == PCMA else ulaw_linear[payload[i]]
    return count


cdef inline int32_t codec_encode(
    Coder *coder, uint8_t codec, const int16_t *samples, int32_t count, uint8_t *to
) noexcept nogil:
    """The octets of a payload, of `count` samples at the codec's own rate; 0: it cannot be encoded. `to`
    holds 2 * MOST_LINEAR."""
    cdef int32_t i
    if count <= 0:
        return 0
    if codec == G722:
        return g722_encode(coder, samples, count, to) if coder != NULL else 0
    if codec_is_linear(codec):
        for i in range(count):
            to[2 * i] = <uint8_t>(samples[i] >> 8)
            to[2 * i + 1] = <uint8_t>(samples[i] & 0xFF)
        return 2 * count
    for i in range(count):
        to[i] = alaw_encode(samples[i]) if codec == PCMA else ulaw_encode(samples[i])
    return count
