"""What a packet carries, on its way to the taps and to the other leg: decoded once, if anybody asks."""

from libc.stdint cimport int16_t, int32_t, uint8_t

from media.codec cimport MOST_SAMPLES, PCMU, Coder, codec_decode, codec_encode, codec_khz, codec_samples
from media.resample cimport MOST_LINEAR, rate_index, resample

cdef struct Audio:
    uint8_t codec
    bint decoded
    bint narrowed
    int32_t samples              # at 8,000 Hz
    int32_t khz                  # of the linear samples, once it is `decoded`
    int32_t count
    int16_t linear[MOST_LINEAR]
    int16_t narrow[MOST_SAMPLES]  # the same at 8,000 Hz, once it is `narrowed`


cdef inline void audio_begin(Audio *audio, uint8_t codec, int32_t octets) noexcept nogil:
    audio.codec = codec
    audio.decoded = False
    audio.narrowed = False
    audio.samples = codec_samples(codec, octets)


cdef inline void audio_decode(
    Coder *coder, Audio *audio, const uint8_t *payload, int32_t octets
) noexcept nogil:
    """Have the linear samples at hand; what cannot be decoded has none. `coder` is the sender's."""
    if not audio.decoded:
        audio.decoded = True
        audio.khz = codec_khz[audio.codec]
        audio.count = codec_decode(coder, audio.codec, payload, octets, audio.linear)
        audio.samples = audio.count * 8 // audio.khz


cdef inline const int16_t *audio_narrow(Coder *coder, Audio *audio) noexcept nogil:
    """The `audio.samples` linear samples at 8,000 Hz of what has been decoded."""
    if audio.khz == 8:
        return audio.linear
    if not audio.narrowed:
        audio.narrowed = True
        resample(&coder.heard, audio.khz, 8, audio.linear, audio.count, audio.narrow)
    return audio.narrow


cdef inline void audio_ulaw(Coder *coder, Audio *audio, uint8_t *to) noexcept nogil:
    """The `audio.samples` octets of mu-law of what has been decoded."""
    codec_encode(NULL, PCMU, audio_narrow(coder, audio), audio.samples, to)


cdef inline void audio_replace(Audio *audio, const uint8_t *ulaw) noexcept nogil:
    """It is something else from now on, as long as before: mu-law."""
    audio.khz = 8
    audio.count = codec_decode(NULL, PCMU, ulaw, audio.samples, audio.linear)


cdef inline int32_t audio_encode(
    Coder *coder, Coder *to_coder, Audio *audio, uint8_t wanted, uint8_t *to
) noexcept nogil:
    """What has been decoded, in another codec: its octets; 0: it cannot be encoded. `to` holds
    2 * MOST_LINEAR."""
    cdef int16_t other[MOST_LINEAR]
    cdef int32_t khz = codec_khz[wanted]
    if khz == audio.khz:
        return codec_encode(to_coder, wanted, audio.linear, audio.count, to)
    if khz == 8:
        return codec_encode(to_coder, wanted, audio_narrow(coder, audio), audio.samples, to)
    if to_coder == NULL or audio.samples * khz // 8 > MOST_LINEAR:
        return 0
    resample(&to_coder.sent[rate_index(audio.khz)], audio.khz, khz, audio.linear, audio.count, other)
    return codec_encode(to_coder, wanted, other, audio.samples * khz // 8, to)
