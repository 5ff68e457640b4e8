/* Where a connector's own native code takes a stream's audio, without Python: see `Stream.attach`.
 *
 * A connector hands over a PyCapsule named FORKPROXY_SINK whose pointer is a `forkproxy_sink`. The sink and its context
 * must live as long as the capsule does. A package that offers one copies this file: it never changes, other than by
 * another version and another name.
 */
#ifndef FORKPROXY_SINK_H
#define FORKPROXY_SINK_H

#include <stdint.h>

#define FORKPROXY_SINK "forkproxy.connectors.sink"
#define FORKPROXY_SINK_VERSION 1

/* 20 ms of a stream. */
typedef struct {
    const uint8_t *payload[2]; /* mu-law of the inbound and the outbound track; NULL: the stream does not have it */
    uint32_t octets;           /* of each payload: 160 */
    uint8_t flags[2];          /* forkproxy.model.FrameFlag */
} forkproxy_moment;

typedef struct {
    uint32_t version; /* FORKPROXY_SINK_VERSION */
    void *context;
    /* Take moment `number` of the stream: called in order, in one thread at a time but not always the same, without
     * the GIL and never with it. What `moment` points to is valid during the call. Must not block.
     *
     * 0: taken. Anything else: not taken, and the stream goes back to Python, this moment first; the sink is not
     * called again before the connector has attached it again.
     */
    int (*write)(void *context, uint64_t number, const forkproxy_moment *moment);
} forkproxy_sink;

#endif
