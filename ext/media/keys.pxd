"""Keys that are sent: telephone events by the relay's clock (RFC 4733), or tones where the phone knows none.

A step is a packet time. A key takes so many steps as hold KEY_MS, and a gap behind it. Each step of the key
sends its event, one packet time longer than before; the last has the E bit and is sent twice more in the gap,
a step apart, so that no short burst of loss takes all three (section 2.5.1.4). What is left of the gap is
silence, sent as audio. Sequence numbers and timestamps are those of the leg's one stream (stream.pxd).

While a key and its gap are sent, the phone hears nothing else; in a PAUSE what the other leg sends passes.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from media.codec cimport PCMA, PCMU, codec_scale
from media.g711 cimport ULAW_SILENCE, g711_translate, ulaw_alaw
from media.leg cimport NO_ROUTE, Leg, Playback, leg_sendable
from media.path cimport MOST_PLAYED_OCTETS, PLAY_BEHIND_NS, leg_encode, leg_send
from media.ring cimport OUTBOUND
from media.rtp cimport RTP_HEADER, rtp_rewrite, write16
from media.rtpclock cimport leg_sent_at
from media.stream cimport PLAYED, sending_next
from media.tapping cimport track_g711, track_skip

cdef enum:
    PAUSE = 255                # among the keys
    PAUSE_MS = 500
    KEY_MS = 100
    GAP_MS = 80
    TONE = 960                 # samples of a key's tone at hand: KEY_MS in packets of any size
    REPETITIONS = 2            # of the packet that ends an event
    EVENT_VOLUME = 10          # -10 dBm0
    EVENT_OCTETS = 4


cdef inline int32_t steps_in(int32_t milliseconds, int32_t packet_ms) noexcept nogil:
    """Packets that hold so much time."""
    return (milliseconds + packet_ms - 1) // packet_ms


cdef inline void leg_send_event(
    Leg *leg, uint8_t key, uint32_t began, int32_t duration, bint end, bint first, int64_t now
) noexcept nogil:
    """One packet of an event that began at `began` and has lasted `duration`, both at 8,000 Hz."""
    cdef uint8_t packet[RTP_HEADER + EVENT_OCTETS]
    cdef uint8_t *payload = packet + RTP_HEADER
    cdef uint16_t sequence = leg.playing.sequence
    # Events go by the audio's clock; where there has been no audio yet, by that of what will come.
    cdef uint8_t clock = leg.event_codec if leg.tx.started else leg.play_codec
    cdef bint marker = first
    leg.playing.sequence += 1
    if not leg.receives or not leg_sendable(leg, &leg.rtp):
        return
    sending_next(&leg.tx, PLAYED, &sequence, &began, &marker, duration, now)
    track_skip(leg, OUTBOUND, 0, sequence, now)
    payload[0] = key
    payload[1] = end << 7 | EVENT_VOLUME
    write16(payload + 2, <uint16_t>(duration * codec_scale[leg.event_codec]))
    packet[0] = 0x80
    rtp_rewrite(packet, leg.event_type, marker, sequence, leg_sent_at(leg, clock, began), leg.tx.ssrc)
    leg_send(leg, &leg.rtp, packet, RTP_HEADER + EVENT_OCTETS)


cdef inline void leg_send_samples(
    Leg *leg, const uint8_t *audio, int32_t samples, int64_t now
) noexcept nogil:
    """One packet of mu-law; NULL: of silence."""
    cdef uint8_t packet[RTP_HEADER + MOST_PLAYED_OCTETS]
    cdef uint8_t *payload = packet + RTP_HEADER
    cdef uint16_t sequence = leg.playing.sequence
    cdef uint32_t timestamp = leg.playing.timestamp
    cdef bint marker = False
    leg.playing.sequence += 1
    if not leg.receives or not leg_sendable(leg, &leg.rtp):
        return
    if audio == NULL:
        memset(payload, ULAW_SILENCE, samples)
    else:
        memcpy(payload, audio, samples)
    sending_next(&leg.tx, PLAYED, &sequence, &timestamp, &marker, samples, now)
    track_g711(leg, OUTBOUND, 0, sequence, timestamp, PCMU, payload, samples, now)
    if leg.play_codec == PCMA:
        g711_translate(payload, payload, samples, ulaw_alaw)
    packet[0] = 0x80
    rtp_rewrite(
        packet, leg.play_type, marker, sequence, leg_sent_at(leg, leg.play_codec, timestamp), leg.tx.ssrc
    )
    leg_send(leg, &leg.rtp, packet, RTP_HEADER + leg_encode(leg, payload, samples))


cdef inline bint keys_step(Leg *leg, Playback *keys, int64_t now) noexcept nogil:
    """Send what one step has to send, and go on to the next. True: that was the last of a key or a pause."""
    cdef uint8_t key = keys.keys[keys.position]
    cdef int32_t samples = leg.packet_ms * 8
    cdef int32_t lasts = steps_in(KEY_MS, leg.packet_ms)
    cdef int32_t gap = max(steps_in(GAP_MS, leg.packet_ms), <int32_t>REPETITIONS)
    cdef int32_t step = keys.step
    keys.pausing = key == PAUSE
    keys.step += 1
    if keys.pausing:
        return keys.step == steps_in(PAUSE_MS, leg.packet_ms)
    if step == 0:
        keys.began = keys.timestamp
        keys.told = leg.event_type != NO_ROUTE
    if keys.told and step < lasts + REPETITIONS:
        leg_send_event(
            leg, key, keys.began, min(step + 1, lasts) * samples, step + 1 >= lasts, step == 0, now
        )
    elif keys.told or step >= lasts or (step + 1) * samples > TONE:
        leg_send_samples(leg, NULL, samples, now)
    else:
        leg_send_samples(leg, keys.audio + key * TONE + step * samples, samples, now)
    return keys.step == lasts + gap


cdef inline bint leg_press(Leg *leg, int64_t now) noexcept nogil:
    """Send what is due of the keys that are being sent. True: the last one's gap is over."""
    cdef Playback *keys = leg.playing
    if now - keys.due > PLAY_BEHIND_NS:
        keys.due = now
    while keys.due <= now:
        if keys.position == keys.length:
            return True
        if keys_step(leg, keys, now):
            keys.position += 1
            keys.step = 0
        keys.timestamp += leg.packet_ms * 8
        keys.due += leg.packet_ms * <int64_t>1000000
    return False


cdef inline void leg_let_go(Leg *leg, int64_t now) noexcept nogil:
    """The keys stop here; an event that is on its way is ended, so that the phone does not wait for more."""
    cdef Playback *keys = leg.playing
    cdef int32_t lasts = steps_in(KEY_MS, leg.packet_ms)
    cdef int _i
    if keys.keys != NULL and keys.told and 0 < keys.step < lasts:
        for _i in range(1 + REPETITIONS):
            leg_send_event(
                leg, keys.keys[keys.position], keys.began, keys.step * leg.packet_ms * 8, True, False, now
            )
