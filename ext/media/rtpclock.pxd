"""RTP clocks that do not run at 8,000 Hz, and the timeline that does."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from media.codec cimport codec_is_audio, codec_scale
from media.leg cimport Leg


cdef inline uint32_t leg_received_at(const Leg *leg, uint32_t timestamp) noexcept nogil:
    """A timestamp of the phone's on the timeline of 8,000 units a second.

    The phone's own wraps around sooner than the timeline's; so it is counted on from the newest one.
    """
    if leg.in_scale == 1:
        return timestamp
    return <uint32_t>((leg.in_extended + <int32_t>(timestamp - leg.in_timestamp)) // leg.in_scale)


cdef inline void leg_receive_clock(Leg *leg, uint8_t codec, uint32_t timestamp) noexcept nogil:
    """Keep count of the phone's RTP clock. Audio of another rate than before is another source: nobody knows
    how the two clocks lie to each other. Events and comfort noise go by the audio's, whatever their names
    say.
    """
    cdef int32_t step
    if codec_is_audio(codec) and codec_scale[codec] != leg.in_scale:
        leg.rx.starts += leg.rx.heard
        leg.in_scale = codec_scale[codec]
        leg.in_timestamp = timestamp
        leg.in_extended = timestamp + leg.in_scale * (<int64_t>1 << 32)
    step = <int32_t>(timestamp - leg.in_timestamp)
    if step > 0:
        leg.in_timestamp = timestamp
        leg.in_extended += step


cdef inline uint32_t leg_sent_at(Leg *leg, uint8_t codec, uint32_t timestamp) noexcept nogil:
    """What the phone reads where our stream's timeline has `timestamp`. Where the rate changes, the numbers
    go on (RFC 7160 section 4.1 tells why they should)."""
    if codec_scale[codec] != leg.out_scale and codec_is_audio(codec):
        leg.out_shift += timestamp * (<uint32_t>leg.out_scale - codec_scale[codec])
        leg.out_scale = codec_scale[codec]
    return timestamp * leg.out_scale + leg.out_shift
