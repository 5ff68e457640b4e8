"""Speech on its way out of a leg, by the clock; what is mixed goes with the other leg's packets instead."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t

from media.codec cimport NO_CODEC, PCMA
from media.g711 cimport g711_translate, ulaw_alaw
from media.leg cimport Leg, leg_sendable
from media.path cimport MOST_PLAYED_OCTETS, leg_encode, leg_send
from media.ring cimport OUTBOUND
from media.rtp cimport RTP_HEADER, rtp_rewrite
from media.rtpclock cimport leg_sent_at
from media.stream cimport NO_SOURCE, SPOKEN, sending_next
from media.tapping cimport track_g711
from media.voice cimport (
    Speech,
    speech_by_itself,
    speech_due,
    speech_elapse,
    speech_news,
    speech_packet,
)


cdef inline void leg_say(
    Leg *leg, Speech *speech, int32_t count, int32_t samples, int64_t now
) noexcept nogil:
    """Send `count` octets of speech, filled up to `samples`. On hold, time goes on and nothing is sent."""
    cdef uint8_t packet[RTP_HEADER + MOST_PLAYED_OCTETS]
    cdef uint8_t *payload = packet + RTP_HEADER
    cdef uint16_t sequence = speech.sequence
    cdef uint32_t timestamp = speech.timestamp
    cdef bint marker = False
    cdef bint resumed = speech.speaking and leg.tx.source == SPOKEN
    cdef bint sends = leg.receives and leg_sendable(leg, &leg.rtp)
    if leg.tx.source == SPOKEN and (speech.late or not sends):
        leg.tx.source = NO_SOURCE  # the next packet's timestamp catches up with the clock
    speech_packet(speech, payload, count, samples, now)
    speech.timestamp += samples
    if not sends:
        return
    speech.sequence += 1
    sending_next(&leg.tx, SPOKEN, &sequence, &timestamp, &marker, samples, now)
    speech.newest = sequence
    speech.heard = True
    if leg.play_codec == PCMA:
        g711_translate(payload, payload, samples, ulaw_alaw)
    track_g711(leg, OUTBOUND, 0, sequence, timestamp, leg.play_codec, payload, samples, now)
    packet[0] = 0x80
    rtp_rewrite(
        packet, leg.play_type, marker and not resumed, sequence,
        leg_sent_at(leg, leg.play_codec, timestamp), leg.tx.ssrc,
    )
    leg_send(leg, &leg.rtp, packet, RTP_HEADER + leg_encode(leg, payload, samples))


cdef inline bint leg_speak(Leg *leg, int64_t now) noexcept nogil:
    """Send what is due of the leg's speech. True: the event loop has something to do for it.

    Speech waits while a prompt plays, and until a codec has been negotiated.
    """
    cdef Speech *speech = leg.speech
    cdef int32_t samples = leg.packet_ms * 8
    cdef int32_t count
    if leg.playing != NULL or not leg.negotiated or leg.play_codec == NO_CODEC:
        speech_elapse(speech, now)
        speech.late = True
    elif not speech_by_itself(speech, now):
        speech_elapse(speech, now)
    else:
        count = speech_due(speech, samples, now)
        while count > 0:
            leg_say(leg, speech, count, samples, now)
            count = speech_due(speech, samples, now)
    return speech_news(speech)
