"""Laying what a leg hears and says on the tracks of whoever taps it.

Most taps want mu-law, and G.711 goes there octet for octet. Those that want linear samples have timelines of
their own, one for each rate: nobody else pays for them.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from media.carried cimport Audio, audio_decode, audio_ulaw
from media.clock cimport clock_push, clock_skip
from media.codec cimport MOST_SAMPLES, PCMA, Coder, codec_decode, codec_is_audio, codec_is_g711
from media.frames cimport note_packet
from media.g711 cimport alaw_ulaw
from media.leg cimport WIDES, Leg, Tapped
from media.resample cimport MOST_LINEAR, resample
from media.rtp cimport Rtp


cdef inline void track_skip(
    Leg *leg, int track, uint64_t source, uint16_t sequence, int64_t now
) noexcept nogil:
    """A packet without audio."""
    cdef int i
    if leg.tapped != NULL:
        clock_skip(&leg.tapped.tracks[track], source, sequence, now)
    for i in range(WIDES):
        if leg.wide[i] != NULL:
            clock_skip(&leg.wide[i].tracks[track], source, sequence, now)


cdef inline void wide_push(
    Tapped *tapped, int track, uint64_t source, uint16_t sequence, uint32_t timestamp, const int16_t *linear,
    int32_t khz, int32_t count, int32_t samples, int64_t now,
) noexcept nogil:
    """Lay `count` linear samples at any rate, `samples` at 8,000 Hz, on a track of linear samples."""
    cdef int16_t made[MOST_LINEAR]
    cdef int32_t wanted = 4 * tapped.tracks[track].unit
    if khz != wanted:
        resample(&tapped.pasts[track], khz, wanted, linear, count, made)
        linear = made
    clock_push(
        &tapped.tracks[track], source, sequence, timestamp, <const uint8_t *>linear, samples, NULL, now
    )
    note_packet(&tapped.noted[track], &tapped.tracks[track], sequence, now)


cdef inline void wides_push(
    Leg *leg, int track, uint64_t source, uint16_t sequence, uint32_t timestamp, const int16_t *linear,
    int32_t khz, int32_t count, int32_t samples, int64_t now,
) noexcept nogil:
    """Lay linear samples on every timeline of such."""
    cdef int i
    for i in range(WIDES):
        if leg.wide[i] != NULL:
            wide_push(leg.wide[i], track, source, sequence, timestamp, linear, khz, count, samples, now)


cdef inline void wides_push_g711(
    Leg *leg, int track, uint64_t source, uint16_t sequence, uint32_t timestamp, uint8_t codec,
    const uint8_t *payload, int32_t samples, int64_t now,
) noexcept nogil:
    cdef int16_t linear[MOST_SAMPLES]
    if codec_decode(NULL, codec, payload, samples, linear):
        wides_push(leg, track, source, sequence, timestamp, linear, 8, samples, samples, now)


cdef inline void track_audio(
    Leg *leg, int track, uint64_t source, const Rtp *rtp, const uint8_t *payload, Coder *coder, Audio *audio,
    int64_t now,
) noexcept nogil:
    """Lay a packet on a track: G.711 as it is, anything else as what its linear samples make. `coder` is that
    of the leg that the audio came from."""
    cdef uint8_t ulaw[MOST_SAMPLES]
    cdef const uint8_t *table = NULL
    if not codec_is_audio(audio.codec):
        track_skip(leg, track, source, rtp.sequence, now)
        return
    if not codec_is_g711(audio.codec):
        audio_decode(coder, audio, payload, rtp.length)
        if leg.wides:
            wides_push(
                leg, track, source, rtp.sequence, rtp.timestamp, audio.linear, audio.khz, audio.count,
                audio.samples, now,
            )
        if leg.tapped == NULL:
            return
        audio_ulaw(coder, audio, ulaw)
        payload = ulaw
    else:
        if leg.wides:
            wides_push_g711(
                leg, track, source, rtp.sequence, rtp.timestamp, audio.codec, payload, audio.samples, now
            )
        if leg.tapped == NULL:
            return
        table = alaw_ulaw if audio.codec == PCMA else NULL
    clock_push(
        &leg.tapped.tracks[track], source, rtp.sequence, rtp.timestamp, payload, audio.samples, table, now
    )
    note_packet(&leg.tapped.noted[track], &leg.tapped.tracks[track], rtp.sequence, now)


cdef inline void track_g711(
    Leg *leg, int track, uint64_t source, uint16_t sequence, uint32_t timestamp, uint8_t codec,
    const uint8_t *payload, int32_t samples, int64_t now,
) noexcept nogil:
    """Lay audio of ours on a track: A-law, if `codec` says so, or mu-law."""
    if leg.tapped != NULL:
        clock_push(
            &leg.tapped.tracks[track], source, sequence, timestamp, payload, samples,
            alaw_ulaw if codec == PCMA else NULL, now,
        )
    if leg.wides:
        wides_push_g711(leg, track, source, sequence, timestamp, codec, payload, samples, now)
