"""Media messages as masked WebSocket frames: text around holes, into which numbers and base64 are put.

A template is what a dialect has between its holes; `forkproxy_websocket.templates` is its readable twin.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

cdef enum:
    HOLES = 8                  # in a message, at most
    HEADER = 8                 # octets of a frame's header: 2, a length of 2, a key of 4
    DIGITS = 20                # of a number
    MOST_TEXT = 1024           # octets of a template's text
    MOST_PAYLOAD = 4096

cdef enum Hole:
    SEQUENCE                   # the message's own number, counted over the whole stream
    CHUNK                      # the frame's number, from 1
    TIMESTAMP                  # where it begins on the stream's clock, in ms
    PAYLOAD                    # the audio, in base64

cdef struct Template:
    uint8_t text[MOST_TEXT]    # the pieces, one behind the other
    uint16_t pieces[HOLES + 1]  # the length of each
    uint8_t holes[HOLES]       # what comes behind each, but the last
    int count                  # of holes
    uint32_t size              # of all pieces

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    static uint8_t base64_pairs[4096][2];
    static void base64_fill(void) {
        static const char alphabet[] =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for (int i = 0; i < 4096; i++) {
            base64_pairs[i][0] = (uint8_t)alphabet[i >> 6];
            base64_pairs[i][1] = (uint8_t)alphabet[i & 63];
        }
    }
    /* RFC 4648, section 4; returns where it ends. */
    static inline uint8_t *base64_put(uint8_t *to, const uint8_t *from, uint32_t size) {
        while (size >= 3) {
            uint32_t bits = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
            memcpy(to, base64_pairs[bits >> 12], 2);
            memcpy(to + 2, base64_pairs[bits & 4095], 2);
            from += 3, size -= 3, to += 4;
        }
        if (size) {
            uint32_t bits = (uint32_t)from[0] << 16 | (size == 2 ? (uint32_t)from[1] << 8 : 0);
            memcpy(to, base64_pairs[bits >> 12], 2);
            to[2] = size == 2 ? base64_pairs[bits & 4095][0] : '=';
            to[3] = '=';
            to += 4;
        }
        return to;
    }
    static inline uint8_t *decimal_put(uint8_t *to, uint64_t value) {
        uint8_t digits[20];
        int count = 0;
        do {
            digits[count++] = (uint8_t)('0' + value % 10);
            value /= 10;
        } while (value);
        while (count)
            *to++ = digits[--count];
        return to;
    }
    /* RFC 6455, section 5.3. */
    static inline void mask_apply(uint8_t *octets, uint32_t size, const uint8_t *key) {
        uint64_t wide, eight;
        memcpy(&wide, key, 4);
        memcpy((uint8_t *)&wide + 4, key, 4);
        while (size >= 8) {
            memcpy(&eight, octets, 8);
            eight ^= wide;
            memcpy(octets, &eight, 8);
            octets += 8, size -= 8;
        }
        for (uint32_t i = 0; i < size; i++)
            octets[i] ^= key[i & 3];
    }
    """
    void base64_fill()
    uint8_t *base64_put(uint8_t *to, const uint8_t *octets, uint32_t size) nogil
    uint8_t *decimal_put(uint8_t *to, uint64_t value) nogil
    void mask_apply(uint8_t *octets, uint32_t size, const uint8_t *key) nogil


cdef inline uint32_t message_room(const Template *template, uint32_t payload) noexcept nogil:
    """Octets that a frame may take."""
    cdef uint32_t room = HEADER + template.size
    cdef int i
    for i in range(template.count):
        room += (payload + 2) // 3 * 4 if template.holes[i] == PAYLOAD else DIGITS
    return room


cdef inline uint32_t message_put(
    uint8_t *to,
    const Template *template,
    uint64_t sequence,
    uint64_t number,
    uint32_t frame_ms,
    const uint8_t *payload,
    uint32_t octets,
    const uint8_t *key,
) noexcept nogil:
    """Write a frame with the message of one payload; how long it is."""
    cdef const uint8_t *text = &template.text[0]
    cdef uint8_t *at = to + HEADER
    cdef uint32_t length
    cdef int i
    for i in range(template.count):
        memcpy(at, text, template.pieces[i])
        at += template.pieces[i]
        text += template.pieces[i]
        if template.holes[i] == PAYLOAD:
            at = base64_put(at, payload, octets)
        elif template.holes[i] == SEQUENCE:
            at = decimal_put(at, sequence)
        elif template.holes[i] == CHUNK:
            at = decimal_put(at, number + 1)
        else:
            at = decimal_put(at, number * frame_ms)
    memcpy(at, text, template.pieces[template.count])
    at += template.pieces[template.count]
    length = <uint32_t>(at - to) - HEADER
    mask_apply(to + HEADER, length, key)
    to[0] = 0x81               # FIN, text
    if length >= 126:
        to[1] = 0x80 | 126
        to[2] = <uint8_t>(length >> 8)
        to[3] = <uint8_t>(length & 0xff)
        memcpy(to + 4, key, 4)
        return HEADER + length
    to[1] = <uint8_t>(0x80 | length)
    memcpy(to + 2, key, 4)
    memmove(to + 6, to + HEADER, length)
    return 6 + length
