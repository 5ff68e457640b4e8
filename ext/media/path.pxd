"""The way of a packet: checked, counted, tapped, renumbered, sent on. Nothing here allocates, waits or knows
Python."""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from media.address cimport Address, address_read
from media.carried cimport (
    Audio,
    audio_begin,
    audio_decode,
    audio_encode,
    audio_narrow,
    audio_replace,
    audio_ulaw,
)
from media.dtmf cimport HEARD_END, HEARD_FAULT, Heard, Press, event_packet, event_silence
from media.events cimport EVENT_DTMF
from media.g711 cimport ULAW_SILENCE, alaw_ulaw, g711_translate, ulaw_alaw
from media.codec cimport (
    CN,
    MOST_SAMPLES,
    NO_CODEC,
    PCMA,
    PCMU,
    Coder,
    codec_decode,
    codec_encode,
    codec_is_audio,
    codec_is_events,
    codec_is_g711,
    codec_is_linear,
    codec_khz,
    codec_scale,
)
from media.leg cimport (
    HELD,
    LOCKS,
    MALFORMED,
    DIGITS_NS,
    MALFORMED_EVENT,
    MOST_DIGITS,
    UNTOLD_DIGIT,
    MALFORMED_RTCP,
    NOT_CONNECTED,
    NOT_NEGOTIATED,
    NOT_SENDABLE,
    NO_ROUTE,
    OCTETS_IN,
    OCTETS_OUT,
    OPEN,
    PACKETS_IN,
    PACKETS_OUT,
    REPLACED,
    RTCP_IN,
    RTCP_OUT,
    SEND_ERROR,
    SRTP_AUTH_FAILED,
    SRTP_REPLAYED,
    SRTP_UNSENT,
    STRAGGLER,
    UNKNOWN_PAYLOAD,
    UNKNOWN_SOURCE,
    Leg,
    Lock,
    Playback,
    Port,
    leg_flooded,
    leg_hear_one,
    leg_judge,
    leg_sendable,
    leg_tell,
    port_learns,
    port_lock,
)
from media.linux cimport ECONNREFUSED, MSG_DONTWAIT, MSG_NOSIGNAL, errno, monotonic_ns, send, sendto
from media.resample cimport MOST_LINEAR, rate_index, resample
from media.ring cimport FRAME, INBOUND, OUTBOUND
from media.roundtrip cimport round_trip_begin, round_trip_end
from media.rtcp cimport RTCP_SR, RtcpMap, rtcp_check, rtcp_scale_jitter, rtcp_translate
from media.rtp cimport (
    RTP_HEADER,
    RTP_IS_RTCP,
    RTP_OK,
    Rtp,
    RtpFault,
    read16,
    read32,
    rtp_parse,
    rtp_rewrite,
    rtp_type_is_rtcp,
    write16,
)
from media.rtpclock cimport leg_receive_clock, leg_received_at, leg_sent_at
from media.srtp cimport MOST_PLAIN, SRTP_REPEATED, SRTP_ROOM, srtp_open, srtp_seal
from media.stream cimport PLAYED, SPOKEN, reception_note, sending_next
from media.tapping cimport track_audio, track_g711, track_skip
from media.tones cimport EVENTS_SPEAK_NS, tones_take
from media.voice cimport speech_mix, speech_replaces

cdef enum:
    MOST_PLAYED = 480          # samples in a packet of ours: 60 ms
    MOST_PLAYED_OCTETS = 5760  # and octets, of L16 at 48,000 Hz
    PLAY_BEHIND_NS = 200000000  # further behind than this, a prompt is resumed rather than hurried


cdef inline uint64_t leg_source(const Leg *leg) noexcept nogil:
    """What a Sending and a Clock know a leg's received stream by."""
    return (<uint64_t>leg.serial << 32) | leg.rx.starts


cdef inline int32_t leg_open(Leg *leg, uint8_t *p, int32_t size, bint rtcp) noexcept nogil:
    """Open a packet from an SRTP phone in place: its octets, or negative: counted, and not to be looked at.

    After a change of keys, the former ones hold until the first packet that the new ones open (RFC 4568
    section 7.1.4): what is on its way already is not lost.
    """
    cdef uint8_t kept[MOST_PLAIN]
    cdef int32_t opened
    if leg.former != NULL:
        memcpy(kept, p, min(size, MOST_PLAIN))
    opened = srtp_open(leg.opens, p, size, rtcp)
    if opened >= 0:
        leg.former = NULL
    elif leg.former != NULL:
        memcpy(p, kept, min(size, MOST_PLAIN))
        opened = srtp_open(leg.former, p, size, rtcp)
    if opened < 0:
        leg.counts[SRTP_REPLAYED if opened == SRTP_REPEATED else SRTP_AUTH_FAILED] += 1
    return opened


cdef inline void leg_send(Leg *leg, Port *port, const uint8_t *p, int32_t plain) noexcept nogil:
    cdef uint8_t sealed[MOST_PLAIN + SRTP_ROOM]
    cdef ssize_t sent = -1
    cdef int attempts = 2
    cdef int32_t size = plain
    if leg.silent:
        return
    if leg.seals != NULL:
        size = srtp_seal(leg.seals, p, plain, sealed, port != &leg.rtp)
        if size < 0:
            leg.counts[SRTP_UNSENT if size == SRTP_REPEATED else SEND_ERROR] += 1
            return
        p = sealed
    while attempts > 0:
        attempts -= 1
        if leg.connected and port == &leg.rtp:
            sent = send(port.fd, p, size, MSG_DONTWAIT | MSG_NOSIGNAL)
        else:
            sent = sendto(port.fd, p, size, MSG_DONTWAIT | MSG_NOSIGNAL, &port.to.any, port.to_length)
        # "Refused" speaks of an earlier packet, which an ICMP message came for; this one has not been sent
        # yet.
        if sent >= 0 or errno != ECONNREFUSED:
            break
    if sent < 0:
        leg.counts[SEND_ERROR] += 1
    elif port == &leg.rtp:
        leg.counts[PACKETS_OUT] += 1
        leg.counts[OCTETS_OUT] += plain
    else:
        leg.counts[RTCP_OUT] += 1


cdef inline void leg_rtcp(
    Leg *leg, uint8_t *p, int32_t size, const Address *source, int64_t now
) noexcept nogil:
    """One packet from the RTCP port; `source` NULL: from the RTP port (RFC 5761), whose source has been
    checked and which has been opened."""
    cdef Lock belief = OPEN
    cdef RtcpMap map
    cdef Leg *peer = leg.peer
    cdef uint32_t at
    if source != NULL:
        belief = leg_judge(leg, &leg.rtcp, source)
        if belief == OPEN:
            leg.counts[UNKNOWN_SOURCE if leg.negotiated else NOT_NEGOTIATED] += 1
            return
        if leg_flooded(leg, &leg.rtcp, now):
            return
        if leg.opens != NULL:
            size = leg_open(leg, p, size, True)
            if size < 0:
                return
    if not rtcp_check(p, size):
        leg.counts[MALFORMED_RTCP] += 1
        return
    if source != NULL and port_learns(&leg.rtcp, source, belief):
        port_lock(leg, &leg.rtcp, source, belief)
    leg.counts[RTCP_IN] += 1
    round_trip_end(&leg.round_trip, p, size, leg.tx.ssrc, monotonic_ns())
    if peer == NULL or not leg_sendable(peer, &peer.rtcp):
        leg.counts[NOT_CONNECTED if peer == NULL else NOT_SENDABLE] += 1
        return
    # While a prompt or speech is sent, the two streams that the report speaks of are not one another's
    # continuation.
    if (
        leg.playing != NULL or peer.playing != NULL
        or leg.tx.source == SPOKEN or peer.tx.source != leg_source(leg)
    ):
        leg.counts[REPLACED] += 1
        return
    map.sender = peer.tx.ssrc
    map.timestamp_shift = peer.tx.timestamp_shift
    if leg.in_scale != 1 or peer.out_scale != 1 or peer.out_shift:
        if p[1] == RTCP_SR and size >= 20:
            at = leg_received_at(leg, read32(p + 16)) + peer.tx.timestamp_shift
            map.timestamp_shift = at * peer.out_scale + peer.out_shift - read32(p + 16)
    map.reported = leg.tx.ssrc
    map.original = peer.rx.ssrc
    map.sequence_shift = leg.tx.sequence_shift
    map.highest = peer.rx.cycles + peer.rx.highest
    if leg.out_scale != peer.in_scale:
        rtcp_scale_jitter(p, size, leg.tx.ssrc, peer.in_scale, leg.out_scale)
    size = rtcp_translate(p, size, &map)
    if size:
        round_trip_begin(&peer.round_trip, p, size, monotonic_ns())
        leg_send(peer, &peer.rtcp, p, size)


cdef inline int32_t leg_encode(Leg *leg, uint8_t *payload, int32_t samples) noexcept nogil:
    """Turn a mu-law payload of ours into what the phone is played, in place, unless that is G.711: its
    octets, up to MOST_PLAYED_OCTETS."""
    cdef int16_t linear[MOST_PLAYED]
    cdef int16_t other[MOST_PLAYED * 6]
    cdef int32_t khz = codec_khz[leg.play_codec]
    cdef int32_t count
    if codec_is_g711(leg.play_codec):
        return samples
    codec_decode(NULL, PCMU, payload, samples, linear)
    if khz == 8:
        return codec_encode(NULL, leg.play_codec, linear, samples, payload)
    count = resample(&leg.coder.sent[rate_index(8)], 8, khz, linear, samples, other)
    return codec_encode(leg.coder, leg.play_codec, other, count, payload)


cdef inline int32_t leg_convert(
    Leg *leg, Audio *audio, uint8_t wanted, uint16_t sequence, uint8_t *to, int64_t now
) noexcept nogil:
    """Write a packet's payload in a codec that the other leg speaks: its octets; 0: it cannot be sent.

    Speech that is mixed in is mu-law: what passes meanwhile has 8,000 Hz.
    """
    cdef Leg *peer = leg.peer
    cdef uint8_t ulaw[MOST_SAMPLES]
    if leg_mixes(peer) and not codec_is_g711(wanted):
        audio_ulaw(leg.coder, audio, ulaw)
        speech_mix(peer.speech, ulaw, audio.samples, False, sequence, now)
        audio_replace(audio, ulaw)
    if codec_is_linear(wanted) and 2 * audio.samples * codec_scale[wanted] > MOST_PLAIN - RTP_HEADER:
        return 0
    return audio_encode(leg.coder, peer.coder, audio, wanted, to)


cdef inline void event_rescale(
    uint8_t *payload, int32_t length, uint8_t codec, uint8_t wanted
) noexcept nogil:
    """Give an event's duration in another clock; one too long for that has the longest that there is."""
    cdef int32_t duration
    if length >= 4:
        duration = read16(payload + 2) * codec_scale[wanted] // codec_scale[codec]
        write16(payload + 2, <uint16_t>min(duration, 0xFFFF))


cdef inline bint leg_plays(const Leg *leg) noexcept nogil:
    """Whether something is played to the phone, in place of what would pass to it."""
    return leg.playing != NULL and not leg.playing.pausing


cdef inline bint leg_mixes(const Leg *leg) noexcept nogil:
    """Whether speech is added to what passes to the phone."""
    return leg.speech != NULL and leg.speech.mixes


cdef inline void leg_forward(
    Leg *leg, uint8_t *p, int32_t size, Rtp *rtp, Audio *audio, int64_t now
) noexcept nogil:
    """Send a checked packet on to the other leg, as part of the stream that its phone gets from us."""
    cdef Leg *peer = leg.peer
    cdef uint8_t payload_type = leg.route[rtp.payload_type]
    cdef uint8_t wanted = leg.route_codec[rtp.payload_type]
    cdef bint marker = rtp.marker
    cdef uint8_t *payload = p + rtp.payload
    cdef uint32_t at
    cdef uint8_t made[RTP_HEADER + 2 * MOST_LINEAR]
    cdef int32_t octets
    if peer == NULL:
        leg.counts[NOT_CONNECTED] += 1
        return
    if payload_type == NO_ROUTE or not leg_sendable(peer, &peer.rtp):
        leg.counts[NOT_SENDABLE] += 1
        return
    if not peer.receives:
        leg.counts[HELD] += 1
        return
    if leg_plays(peer) or speech_replaces(peer.speech):
        leg.counts[REPLACED] += 1
        return
    if not sending_next(
        &peer.tx, leg_source(leg), &rtp.sequence, &rtp.timestamp, &marker,
        audio.samples if codec_is_audio(audio.codec) else FRAME, now,
    ):
        leg.counts[STRAGGLER] += 1
        return
    if codec_is_g711(audio.codec) and codec_is_g711(wanted):
        if audio.codec != wanted:
            g711_translate(payload, payload, rtp.length, ulaw_alaw if wanted == PCMA else alaw_ulaw)
            audio.codec = wanted
    elif codec_is_events(audio.codec):
        if audio.codec != wanted:
            event_rescale(payload, rtp.length, audio.codec, wanted)
    elif audio.codec != CN and (audio.codec != wanted or leg_mixes(peer)):
        audio_decode(leg.coder, audio, payload, rtp.length)
        octets = leg_convert(leg, audio, wanted, rtp.sequence, made + RTP_HEADER, now)
        if octets == 0:
            leg.counts[NOT_SENDABLE] += 1
            return
        audio.codec = wanted
        made[0] = 0x80
        p = made
        payload = made + RTP_HEADER
        size = RTP_HEADER + octets
    if leg_mixes(peer) and codec_is_g711(wanted):
        speech_mix(peer.speech, payload, audio.samples, wanted == PCMA, rtp.sequence, now)
    at = leg_sent_at(peer, wanted, rtp.timestamp)
    rtp_rewrite(p, payload_type, marker, rtp.sequence, at, peer.tx.ssrc)
    if peer.tapped_by:
        track_audio(peer, OUTBOUND, 0, rtp, payload, leg.coder, audio, now)
    leg_send(peer, &peer.rtp, p, size)


cdef inline void leg_tell_digit(Leg *leg, const Press *press, uint8_t scale, int64_t now) noexcept nogil:
    """Tell a press that is over: EVENT_DTMF, `a` the event, `b` its duration in units of its clock, of which
    there are `c` in 125 us."""
    if now - leg.digits_from >= DIGITS_NS:
        leg.digits_from = now
        leg.digits_told = 0
    if leg.digits_told >= MOST_DIGITS:
        leg.counts[UNTOLD_DIGIT] += 1
        return
    leg.digits_told += 1
    leg_tell(leg, EVENT_DTMF, press.event, press.duration, scale)


cdef inline void leg_heard(Leg *leg, Heard heard, int64_t now) noexcept nogil:
    """What an event's packet, or time, has brought."""
    if heard == HEARD_END:
        leg_tell_digit(leg, &leg.digits.ended, leg.digits_scale, now)
    elif heard == HEARD_FAULT:
        leg.counts[MALFORMED_EVENT] += 1


cdef inline void leg_tell_tone(Leg *leg, int64_t now) noexcept nogil:
    """A key's tones are over; where the phone sends events, too, they were the same press."""
    if not leg.digits.known or now - leg.digits.heard >= EVENTS_SPEAK_NS:
        leg_tell_digit(leg, &leg.tones.ended, 1, now)


cdef inline void leg_listen(
    Leg *leg, Audio *audio, const Rtp *rtp, const uint8_t *payload, int64_t now
) noexcept nogil:
    """Look for keys in a packet's audio, once; one that was overtaken is left out."""
    cdef const int16_t *samples
    cdef int32_t taken = 0
    if rtp.sequence != leg.rx.highest or rtp.sequence == leg.tones.newest:
        return
    leg.tones.newest = rtp.sequence
    audio_decode(leg.coder, audio, payload, rtp.length)
    samples = audio_narrow(leg.coder, audio)
    while tones_take(leg.tones, samples, audio.samples, &taken, now):
        leg_tell_tone(leg, now)


cdef inline void leg_rtp(
    Leg *leg, uint8_t *p, int32_t size, const Address *source, int64_t now
) noexcept nogil:
    """One packet from the RTP port. `source` NULL: the kernel has matched it, it is the locked one."""
    cdef Rtp rtp
    cdef RtpFault fault
    cdef Lock belief = OPEN
    cdef uint8_t codec
    cdef uint32_t timestamp
    cdef Audio audio
    if source != NULL:
        belief = leg_judge(leg, &leg.rtp, source)
        if belief == OPEN:
            leg.counts[UNKNOWN_SOURCE if leg.negotiated else NOT_NEGOTIATED] += 1
            return
    if leg_flooded(leg, &leg.rtp, now):
        return
    if leg.opens != NULL:
        size = leg_open(leg, p, size, size > 1 and rtp_type_is_rtcp(p[1]))
        if size < 0:
            return
    fault = rtp_parse(p, size, &rtp)
    if fault == RTP_IS_RTCP and leg.rtp.lock != OPEN:
        leg_rtcp(leg, p, size, NULL, now)
        return
    if fault != RTP_OK:
        leg.counts[MALFORMED] += 1
        return
    codec = leg.codecs[rtp.payload_type]
    if codec == NO_CODEC:
        leg.counts[UNKNOWN_PAYLOAD] += 1
        return
    if source != NULL and port_learns(&leg.rtp, source, belief):
        port_lock(leg, &leg.rtp, source, belief)
        leg_hear_one(leg)
        leg.counts[LOCKS] += 1
    leg.counts[PACKETS_IN] += 1
    leg.counts[OCTETS_IN] += size
    timestamp = rtp.timestamp
    if codec_scale[codec] != 1 or leg.in_scale != 1:
        leg_receive_clock(leg, codec, timestamp)
        rtp.timestamp = leg_received_at(leg, timestamp)
    reception_note(&leg.rx, rtp.ssrc, rtp.sequence, rtp.timestamp, not codec_is_events(codec), now)
    if not leg.sends:
        leg.counts[HELD] += 1
        track_skip(leg, INBOUND, leg_source(leg), rtp.sequence, now)
        return
    if codec_is_events(codec):
        leg.digits_scale = codec_scale[codec]
        leg_heard(
            leg,
            event_packet(
                &leg.digits, leg_source(leg), timestamp, rtp.marker, p + rtp.payload, rtp.length, now
            ),
            now,
        )
    elif leg.digits.active:
        leg_heard(leg, event_silence(&leg.digits, now), now)
    audio_begin(&audio, codec, rtp.length)
    if leg.tones != NULL and codec_is_audio(codec):
        leg_listen(leg, &audio, &rtp, p + rtp.payload, now)
    if leg.tapped_by:
        track_audio(leg, INBOUND, leg_source(leg), &rtp, p + rtp.payload, leg.coder, &audio, now)
    leg_forward(leg, p, size, &rtp, &audio, now)


cdef inline bint leg_play(Leg *leg, int64_t now) noexcept nogil:
    """Send what is due of the leg's prompt. True: the last packet is out."""
    cdef Playback *playback = leg.playing
    cdef int32_t samples = leg.packet_ms * 8
    cdef int32_t filled, part
    cdef uint8_t packet[RTP_HEADER + MOST_PLAYED_OCTETS]
    cdef uint8_t *payload = packet + RTP_HEADER
    cdef uint16_t sequence
    cdef uint32_t timestamp
    cdef bint marker
    if now - playback.due > PLAY_BEHIND_NS:
        playback.due = now
    while playback.due <= now:
        filled = 0
        while filled < samples:
            if playback.position == playback.length:
                if playback.loops == 1:
                    break
                playback.loops -= playback.loops > 1
                playback.position = 0
            part = <int32_t>min(samples - filled, playback.length - playback.position)
            memcpy(payload + filled, playback.audio + playback.position, part)
            playback.position += part
            filled += part
        if filled == 0:
            return True
        while filled < samples:
            payload[filled] = ULAW_SILENCE
            filled += 1
        sequence = playback.sequence
        timestamp = playback.timestamp
        marker = False
        playback.sequence += 1
        playback.timestamp += samples
        playback.due += leg.packet_ms * <int64_t>1000000
        if not leg.receives or not leg_sendable(leg, &leg.rtp):
            continue
        sending_next(&leg.tx, PLAYED, &sequence, &timestamp, &marker, samples, now)
        track_g711(leg, OUTBOUND, 0, sequence, timestamp, PCMU, payload, samples, now)
        if leg.play_codec == PCMA:
            g711_translate(payload, payload, samples, ulaw_alaw)
        packet[0] = 0x80
        timestamp = leg_sent_at(leg, leg.play_codec, timestamp)
        rtp_rewrite(packet, leg.play_type, marker, sequence, timestamp, leg.tx.ssrc)
        leg_send(leg, &leg.rtp, packet, RTP_HEADER + leg_encode(leg, payload, samples))
    return False
