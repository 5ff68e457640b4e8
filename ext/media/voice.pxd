"""Speech: audio that somebody sends into a leg piece by piece, while it is being played.

The event loop writes octets of mu-law behind one another; the relay thread takes them from the other end, a
packet at a time. They share a chain of blocks and two positions, which count octets from the beginning and
never go back: one writer, one reader, no lock (as in ring.pxd). The event loop allocates the blocks and frees
those that have been read. What else is changed (clearing, closing) is changed under the worker's lock.

How speech is paced:

- A packet is sent when the time of the one before is over. `played` is how far the time of what was sent is
  over: where a mark is reached.
- Whole packets only. A queue that holds less than one waits for the rest, for one packet time; then that was
  the end, and silence fills it up.
- Speech that was late (the queue was short or empty when its packet was due) is not hurried afterwards: the
  pace starts anew with it, and the timestamps go on by as much as the clock did.
- An empty queue is a pause only after `PAUSE_NS`. Until then the other leg stays replaced, and the marker bit
  is not set: a writer who is late by less has not ended the sentence.

`forkproxy.media.speech_twin` says the same in Python.
"""

from libc.stdint cimport INT64_MAX, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from media.g711 cimport ULAW_SILENCE, alaw_encode, alaw_linear, ulaw_encode, ulaw_linear
from media.linux cimport load_acquire, store_release

cdef enum:
    BLOCK = 8000               # octets: a second
    MIXED_AT_ONCE = 160        # samples
    SAMPLE_TIME_NS = 125000
    PAUSE_NS = 200000000
    BEHIND_NS = 200000000      # further behind than this, speech is resumed rather than hurried
    SILENT_NS = 60000000       # so long after a packet of the other leg's was due, speech goes on by itself

cdef struct Block:
    Block *next                # set before anything of it is published
    uint64_t start             # position of its first octet
    uint8_t audio[BLOCK]

cdef struct SpeechFigures:
    uint64_t cleared           # octets that were dropped by `speech_clear`
    uint64_t underruns         # times that the writer was late by less than a pause
    uint64_t padded            # packets that silence filled up

cdef struct Speech:
    # The event loop's.
    Block *oldest
    Block *last
    # Published by the event loop,
    uint64_t written           # octets, those included that have been cleared
    uint64_t watched           # the position at which it wants to be told
    # and by the relay thread.
    uint64_t sent              # how far has been sent; nothing before is read again
    uint64_t played            # follows when the time of what was sent is over
    # The relay thread's, under the worker's lock.
    Block *reading
    bint turned                # a block has been read to its end, and nobody has been told yet
    int64_t due                # when the time of what was sent is over
    int64_t short_since        # less than a packet has waited since then; 0: it does not
    bint late                  # nothing could be sent when it was due
    bint speaking              # no pause
    bint draining              # nothing more will be written
    bint mixes                 # with the other leg's packets, instead of replacing them
    int64_t passing            # when the time of the other leg's newest packet is over
    uint16_t newest            # the newest packet's sequence number, as sent, theirs or ours
    bint heard                 # `newest` is set
    uint16_t sequence          # of our own next packet, and
    uint32_t timestamp
    SpeechFigures figures


cdef inline Block *block_new(uint64_t start) noexcept nogil:
    """NULL: no memory."""
    cdef Block *block = <Block *>malloc(sizeof(Block))
    if block != NULL:
        block.next = NULL
        block.start = start
    return block


cdef inline bint speech_open(Speech *speech, bint mixes, int64_t now) noexcept nogil:
    """False: no memory."""
    memset(speech, 0, sizeof(Speech))
    speech.mixes = mixes
    speech.passing = now
    speech.watched = INT64_MAX
    speech.oldest = speech.last = speech.reading = block_new(0)
    return speech.oldest != NULL


cdef inline void speech_free(Speech *speech) noexcept nogil:
    """The relay thread does not know it any more."""
    cdef Block *block
    while speech.oldest != NULL:
        block = speech.oldest
        speech.oldest = block.next
        free(block)


# What the event loop calls.

cdef inline int64_t speech_write(Speech *speech, const uint8_t *audio, int64_t count) noexcept nogil:
    """Append octets; how many: fewer only if there is no memory."""
    cdef int64_t done = 0
    cdef int64_t at, part
    while done < count:
        at = speech.written - speech.last.start
        if at == BLOCK:
            speech.last.next = block_new(speech.written)
            if speech.last.next == NULL:
                break
            speech.last = speech.last.next
            at = 0
        part = min(count - done, BLOCK - at)
        memcpy(speech.last.audio + at, audio + done, part)
        done += part
        store_release(&speech.written, speech.written + part)
    return done


cdef inline void speech_tidy(Speech *speech) noexcept nogil:
    """Free what has been read. The relay thread may still stand at the very end of a block."""
    cdef uint64_t sent = load_acquire(&speech.sent)
    cdef Block *block
    while speech.oldest.start + BLOCK < sent:
        block = speech.oldest
        speech.oldest = block.next
        free(block)


# What is called under the worker's lock.

cdef inline int64_t speech_left(const Speech *speech) noexcept nogil:
    """Octets that wait."""
    return load_acquire(&speech.written) - speech.sent


cdef inline void speech_clear(Speech *speech) noexcept nogil:
    """Drop what waits. The time of what has been sent goes on."""
    speech.figures.cleared += speech_left(speech)
    speech.reading = speech.last
    store_release(&speech.sent, speech.written)
    store_release(&speech.played, speech.written)
    speech.short_since = 0
    speech.speaking = False


cdef inline void speech_take(Speech *speech, uint8_t *to, int32_t count) noexcept nogil:
    """Move `count` octets, which are there, out of the queue."""
    cdef uint64_t sent = speech.sent
    cdef int32_t at, part
    while count > 0:
        at = <int32_t>(sent - speech.reading.start)
        if at == BLOCK:
            speech.reading = speech.reading.next
            speech.turned = True
            at = 0
        part = min(count, BLOCK - at)
        memcpy(to, speech.reading.audio + at, part)
        to += part
        count -= part
        sent += part
    store_release(&speech.sent, sent)


cdef inline int32_t speech_amount(Speech *speech, int32_t samples, int64_t now) noexcept nogil:
    """How much of a packet of `samples` there is, all of it or the end of speech; 0: nothing yet."""
    cdef int64_t left = speech_left(speech)
    if 0 < left < samples and not speech.draining:
        if speech.short_since == 0:
            speech.short_since = now
        if now - speech.short_since < samples * <int64_t>SAMPLE_TIME_NS:
            return 0
    if left > 0:
        speech.short_since = 0
    return <int32_t>min(left, samples)


cdef inline void speech_elapse(Speech *speech, int64_t now) noexcept nogil:
    """Let time pass for what has been sent, and for a pause."""
    if now < speech.due:
        return
    store_release(&speech.played, speech.sent)
    if now - speech.due >= PAUSE_NS or (speech.draining and speech_left(speech) == 0):
        speech.speaking = False


cdef inline int32_t speech_due(Speech *speech, int32_t samples, int64_t now) noexcept nogil:
    """How much of a packet of `samples` is to be sent now; 0: nothing. `late` says how the packet comes."""
    cdef int32_t count
    if now < speech.due:
        return 0
    speech_elapse(speech, now)
    count = speech_amount(speech, samples, now)
    if count == 0 or now - speech.due > BEHIND_NS:
        speech.late = True
    return count


cdef inline void speech_packet(
    Speech *speech, uint8_t *to, int32_t count, int32_t samples, int64_t now
) noexcept nogil:
    """Fill a packet of `samples` with the `count` that are due."""
    speech_take(speech, to, count)
    if count < samples:
        memset(to + count, ULAW_SILENCE, samples - count)
        speech.figures.padded += 1
    if speech.late:
        speech.figures.underruns += speech.speaking and not speech.mixes
        speech.due = now
    speech.due += samples * <int64_t>SAMPLE_TIME_NS
    speech.late = False
    speech.speaking = True


cdef inline bint speech_by_itself(const Speech *speech, int64_t now) noexcept nogil:
    """Whether speech goes by the clock, and not along with the other leg's packets."""
    return not speech.mixes or now - speech.passing >= SILENT_NS


cdef inline bint speech_replaces(const Speech *speech) noexcept nogil:
    """Whether the other leg's packets have to stay behind."""
    return speech != NULL and not speech.mixes and (speech.speaking or speech_left(speech) > 0)


cdef inline bint speech_news(Speech *speech) noexcept nogil:
    """Whether the event loop has something to do: a mark is reached, a block can be freed, all is played."""
    cdef bint turned = speech.turned
    speech.turned = False
    if turned or speech.played >= load_acquire(&speech.watched):
        return True
    return speech.draining and speech.played == load_acquire(&speech.written)


cdef inline void speech_add(Speech *speech, int16_t *linear, int32_t count) noexcept nogil:
    """Add the next `count` samples, which are there, to `linear`: 8,000 Hz, at most MIXED_AT_ONCE."""
    cdef uint8_t audio[MIXED_AT_ONCE]
    cdef int32_t i
    speech_take(speech, audio, count)
    for i in range(count):
        linear[i] = <int16_t>max(-32768, min(32767, <int32_t>linear[i] + ulaw_linear[audio[i]]))


cdef inline void speech_mix(
    Speech *speech, uint8_t *payload, int32_t length, bint alaw, uint16_t sequence, int64_t now
) noexcept nogil:
    """A packet of the other leg's passes, in G.711, with the `sequence` that it is sent with.

    One that was overtaken stays as it is: its samples would come before those that are out already.
    """
    cdef int16_t linear[MIXED_AT_ONCE]
    cdef int32_t count, part, i
    speech.passing = now + length * <int64_t>SAMPLE_TIME_NS
    if speech.heard and <int16_t>(sequence - speech.newest) <= 0:
        return
    speech.heard = True
    speech.newest = sequence
    speech_elapse(speech, now)
    count = speech_amount(speech, length, now)
    if count == 0:
        return
    store_release(&speech.played, speech.sent)
    while count > 0:
        part = min(count, MIXED_AT_ONCE)
        for i in range(part):
            linear[i] = alaw_linear[payload[i]] if alaw else ulaw_linear[payload[i]]
        speech_add(speech, linear, part)
        for i in range(part):
            payload[i] = alaw_encode(linear[i]) if alaw else ulaw_encode(linear[i])
        payload += part
        count -= part
    speech.late = True         # by itself it would go on from then, not from here
    speech.due = now + length * <int64_t>SAMPLE_TIME_NS
    speech.speaking = True
