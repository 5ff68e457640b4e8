"""Keys in the audio itself: pairs of tones (ITU-T Q.23), found by Goertzel's algorithm.

The samples at 8,000 Hz of what a phone sends are looked at in blocks of 12.75 ms. A block is a key's if it
holds one tone of the keypad's rows and one of its columns, loud enough, neither much louder than the other
(twist), each far above the other three of its group, and nearly nothing besides the two: that is what speech
never keeps up for long (talk-off). A press begins with two such blocks in a row that are equally loud, so
that 40 ms always and 14 ms never are one (Q.24), and is over with three that are not, so that 40 ms of
something else always part two presses and 10 ms never do.
"""

from libc.math cimport cos
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t

from media.dtmf cimport Press

cdef enum:
    TONE_BLOCK = 102
    TONE_SILENCE_NS = 150000000  # no audio for so long ends a press, too
    EVENTS_SPEAK_NS = 500000000  # so long after an event of the phone's, its tones are the same press
    MISSES = 3
    NO_KEY = -1

cdef extern from *:
    """
    /* The coefficients of 697, 770, 852, 941, 1209, 1336, 1477 and 1633 Hz. */
    static float tone_turns[8];
    static const int tone_hertz[8] = {697, 770, 852, 941, 1209, 1336, 1477, 1633};
    /* The event of a row and a column (RFC 4733, section 3.2). */
    static const signed char tone_keys[16] = {1, 2, 3, 12, 4, 5, 6, 13, 7, 8, 9, 14, 10, 0, 11, 15};
    #define TONE_LEAST 1.35e8f      /* -40 dBm0 in a block */
    #define TONE_TWIST 8.9f        /* a row may be 8 dB louder than its column, and a measuring error more, */
    #define TONE_REVERSE 3.5f      /* and a column 4 dB louder than its row */
    #define TONE_ABOVE 4.2f         /* 6.2 dB above the others of its group */
    #define TONE_SHARE 0.68f        /* of all that is in the block */
    #define TONE_STEADY 0.58f       /* of the other block's power: 2.4 dB */
    """
    float *tone_turns
    const int *tone_hertz
    const signed char *tone_keys
    const float TONE_LEAST
    const float TONE_TWIST
    const float TONE_REVERSE
    const float TONE_ABOVE
    const float TONE_SHARE
    const float TONE_STEADY

cdef struct ToneReceiver:
    float s1[8]                # of each tone: the filter's last value, and the one before
    float s2[8]
    float energy
    int32_t count              # samples in the block
    float power                # of the block's key,
    float before               # and that of the block before
    int32_t last               # the key of the block before,
    int32_t pressed            # and that which is pressed
    int32_t misses             # blocks in a row that were not its
    int64_t duration           # in samples
    int64_t heard              # when there was audio last
    int32_t newest             # the sequence number of the packet that it came in, for those who feed it
    Press ended


cdef inline void tones_fill() noexcept nogil:
    """Call once before anything below is used."""
    cdef int i
    for i in range(8):
        tone_turns[i] = <float>(2 * cos(2 * 3.14159265358979 * tone_hertz[i] / 8000))


cdef inline void tones_begin(ToneReceiver *rx) noexcept nogil:
    """The block begins anew."""
    cdef int i
    for i in range(8):
        rx.s1[i] = rx.s2[i] = 0
    rx.energy = 0
    rx.count = 0


cdef inline void tones_open(ToneReceiver *rx) noexcept nogil:
    tones_begin(rx)
    rx.last = rx.pressed = NO_KEY
    rx.newest = -1
    rx.misses = 0


cdef inline int32_t tones_loudest(const float *power) noexcept nogil:
    """Which of four tones stands out; NO_KEY: none does."""
    cdef int32_t best = 0
    cdef int32_t i
    for i in range(1, 4):
        if power[i] > power[best]:
            best = i
    for i in range(4):
        if i != best and power[i] * TONE_ABOVE > power[best]:
            return NO_KEY
    return best if power[best] >= TONE_LEAST else NO_KEY


cdef inline int32_t tones_judge(ToneReceiver *rx) noexcept nogil:
    """The key of the whole block, or NO_KEY."""
    cdef float power[8]
    cdef int32_t row, column, i
    cdef float low, high
    if rx.energy * (TONE_BLOCK / 2) < 2 * TONE_LEAST:
        return NO_KEY
    for i in range(8):
        power[i] = rx.s1[i] * rx.s1[i] + rx.s2[i] * rx.s2[i] - tone_turns[i] * rx.s1[i] * rx.s2[i]
    row = tones_loudest(power)
    column = tones_loudest(power + 4)
    if row < 0 or column < 0:
        return NO_KEY
    low = power[row]
    high = power[4 + column]
    if low > high * TONE_TWIST or high > low * TONE_REVERSE:
        return NO_KEY
    if low + high < TONE_SHARE * (TONE_BLOCK / 2) * rx.energy:
        return NO_KEY
    rx.power = low + high
    return tone_keys[4 * row + column]


cdef inline bint tones_finish(ToneReceiver *rx) noexcept nogil:
    """True: a press is over, and `ended` is whole."""
    if rx.pressed < 0:
        return False
    rx.ended.event = <uint8_t>rx.pressed
    rx.ended.duration = rx.duration
    rx.pressed = NO_KEY
    return True


cdef inline bint tones_steady(const ToneReceiver *rx) noexcept nogil:
    """Whether two blocks of a key are wholly within its press."""
    return min(rx.power, rx.before) >= TONE_STEADY * max(rx.power, rx.before)


cdef inline bint tones_block(ToneReceiver *rx, int32_t key) noexcept nogil:
    """A block is over. True: a press is over, and `ended` is whole."""
    cdef bint over = False
    cdef bint begins = False
    if rx.pressed >= 0 and key == rx.pressed:
        rx.duration += (1 + rx.misses) * TONE_BLOCK
        rx.misses = 0
    else:
        rx.misses += 1
        begins = key >= 0 and key == rx.last and tones_steady(rx)
        if begins or rx.misses == MISSES:
            over = tones_finish(rx)
    if begins:
        rx.pressed = key
        rx.duration = 2 * TONE_BLOCK
        rx.misses = 0
    rx.last = key
    rx.before = rx.power
    return over


cdef inline bint tones_take(
    ToneReceiver *rx, const int16_t *samples, int32_t count, int32_t *taken, int64_t now
) noexcept nogil:
    """Listen to `count` samples at 8,000 Hz, of which `taken` have been. True: a press is over, `ended` is
    whole, and there may be more: call again."""
    cdef float sample, s0
    cdef bint over
    cdef int32_t i
    rx.heard = now
    while taken[0] < count:
        sample = samples[taken[0]]
        taken[0] += 1
        for i in range(8):
            s0 = sample + tone_turns[i] * rx.s1[i] - rx.s2[i]
            rx.s2[i] = rx.s1[i]
            rx.s1[i] = s0
        rx.energy += sample * sample
        rx.count += 1
        if rx.count == TONE_BLOCK:
            over = tones_block(rx, tones_judge(rx))
            tones_begin(rx)
            if over:
                return True
    return False


cdef inline bint tones_silence(ToneReceiver *rx, int64_t now) noexcept nogil:
    """Time goes by; call it now and then. As `tones_take`."""
    return now - rx.heard >= TONE_SILENCE_NS and tones_finish(rx)
