"""forkproxy_websocket._native: sockets and media messages without Python's part in them.

`Line` is a connection, `Tls` what wss needs, `Outlet` the media messages of a stream on a line. What is done
with them is in `forkproxy_websocket.transport` and `.lanes`; the C in wire.pxd, media.pxd and openssl.pxd.

A line may be used from the event loop's thread and from one that calls an outlet's sink; each operation holds
the line's lock, never the GIL with it.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.pycapsule cimport PyCapsule_GetContext, PyCapsule_New, PyCapsule_SetContext
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from native.media cimport (
    HOLES,
    MOST_PAYLOAD,
    MOST_TEXT,
    Template,
    base64_fill,
    message_put,
    message_room,
)
from native.openssl cimport (
    CHECK_NO_PARTIAL_WILDCARDS,
    CTRL_MODE,
    CTRL_SET_MIN_PROTO_VERSION,
    CTRL_SET_TLSEXT_HOSTNAME,
    ERROR_SSL,
    ERROR_WANT_READ,
    ERROR_WANT_WRITE,
    FILETYPE_PEM,
    HOSTNAME_MISMATCH,
    IGNORE_UNEXPECTED_EOF,
    IP_ADDRESS_MISMATCH,
    MOVING_BUFFER,
    NAMETYPE_HOST_NAME,
    NO_COMPRESSION,
    NO_RENEGOTIATION,
    PARTIAL_WRITE,
    RELEASE_BUFFERS,
    TLS_1_2,
    VERIFY_PEER,
    OpenSSL,
    openssl_load,
)
from native.past cimport Kept, Past, kept_put, past_at, past_forget, past_keep, past_new
from native.wire cimport (
    ECONNRESET,
    LATER,
    NONE,
    TLS,
    Wire,
    pthread_mutex_destroy,
    pthread_mutex_init,
    pthread_mutex_lock,
    pthread_mutex_unlock,
    wire_age,
    wire_close,
    wire_flush,
    wire_handshake,
    wire_key,
    wire_pending,
    wire_read,
    wire_write,
)

import os
import ssl

cdef extern from "sink.h" nogil:
    const char *FORKPROXY_SINK
    const uint32_t FORKPROXY_SINK_VERSION
    ctypedef struct forkproxy_moment:
        const uint8_t *payload[2]
        uint32_t octets
        uint8_t flags[2]
    ctypedef struct forkproxy_sink:
        uint32_t version
        void *context
        int (*write)(void *context, uint64_t number, const forkproxy_moment *moment) noexcept nogil

cdef enum:
    READ = 16384               # octets read at once: a TLS record
    SCRATCH = 4096             # octets of both messages of a moment, on the stack

base64_fill()

cdef OpenSSL openssl
cdef const char *missing = openssl_load(&openssl)

NO_TLS = None if missing == NULL else missing.decode(errors="replace")
"""Why there is no TLS here; None: there is."""


cdef object tls_error(unsigned long number, long verified, str host):
    """The exception that Python's ssl would raise."""
    cdef const char *words
    if verified:
        if verified == HOSTNAME_MISMATCH:
            text = f"Hostname mismatch, certificate is not valid for '{host}'."
        elif verified == IP_ADDRESS_MISMATCH:
            text = f"IP address mismatch, certificate is not valid for '{host}'."
        else:
            text = openssl.verify_words(verified).decode()
        error = ssl.SSLCertVerificationError(1, f"certificate verify failed: {text}")
        error.verify_message = text
        error.verify_code = verified
        return error
    words = openssl.error_words(number)
    text = words.decode() if words != NULL else f"error {number:#x}"
    error = ssl.SSLError(1, text)
    error.reason = text.replace(" ", "_").upper()
    return error


cdef class Tls:
    """What connections of wss have in common: whom to trust, and who we are."""

    cdef void *context

    def __cinit__(
        self, bytes ciphers, list authorities, bytes ca_file, bytes ca_folder, bytes certificate, bytes key,
        bytes password=b"",
    ):
        """Verify servers against `authorities` (DER), the file and the folder; None: there is none.

        `certificate` (a chain, PEM) and its `key` are ours, if a server asks for one; None: the key is in the
        certificate's file. `password` is the key's, or empty.
        Raises OSError (ssl.SSLError among them) if something cannot be used.
        """
        cdef const char *file = NULL
        cdef const char *folder = NULL
        cdef const char *own_key
        cdef const unsigned char *octets
        cdef void *authority
        if NO_TLS is not None:
            raise OSError(NO_TLS)
        openssl.clear_errors()
        self.context = openssl.context_new(openssl.method())
        if self.context == NULL:
            raise MemoryError
        openssl.context_ctrl(self.context, CTRL_SET_MIN_PROTO_VERSION, TLS_1_2, NULL)
        openssl.context_ctrl(self.context, CTRL_MODE, PARTIAL_WRITE | MOVING_BUFFER | RELEASE_BUFFERS, NULL)
        openssl.set_options(self.context, IGNORE_UNEXPECTED_EOF | NO_COMPRESSION | NO_RENEGOTIATION)
        openssl.set_verify(self.context, VERIFY_PEER, NULL)
        if not openssl.set_ciphers(self.context, ciphers):
            raise tls_error(openssl.last_error(), 0, "")
        if ca_file is not None:
            file = ca_file
        if ca_folder is not None:
            folder = ca_folder
        if (file != NULL or folder != NULL) and not openssl.load_verify(self.context, file, folder):
            raise tls_error(openssl.last_error(), 0, "")
        for der in authorities:
            octets = der
            authority = openssl.read_certificate(NULL, &octets, len(der))
            if authority == NULL:
                raise tls_error(openssl.last_error(), 0, "")
            openssl.store_add(openssl.context_store(self.context), authority)
            openssl.certificate_free(authority)
        if certificate is not None:
            own_key = key if key is not None else certificate
            # What OpenSSL's own function for passwords takes; without one it would ask at the terminal.
            openssl.set_password(self.context, <void *><const char *>password)
            if (
                openssl.use_chain(self.context, certificate) != 1
                or openssl.use_key(self.context, own_key, FILETYPE_PEM) != 1
                or openssl.check_key(self.context) != 1
            ):
                raise tls_error(openssl.last_error(), 0, "")
            openssl.set_password(self.context, NULL)

    def __dealloc__(self):
        if self.context != NULL:
            openssl.context_free(self.context)


cdef class Line:
    """A connected, non-blocking socket, and TLS or not. After `close` it takes and gives nothing."""

    cdef Wire c
    cdef str host

    def __cinit__(self, int fd, Tls tls, str host, bint is_name, size_t limit):
        """
        `host` is whom the certificate must be for: a name, which is told to the server as well (SNI), or an
        address. Media is not taken while more than `limit` octets wait.
        """
        cdef bytes name = host.encode()
        cdef void *param
        pthread_mutex_init(&self.c.lock, NULL)
        self.c.fd = fd
        self.c.limit = limit
        self.c.tls = &openssl
        self.host = host
        if tls is None:
            return
        self.c.ssl = openssl.new(tls.context)
        if self.c.ssl == NULL:
            raise MemoryError
        param = openssl.param(self.c.ssl)
        openssl.set_host_flags(param, CHECK_NO_PARTIAL_WILDCARDS)
        if is_name:
            openssl.ctrl(
                self.c.ssl, CTRL_SET_TLSEXT_HOSTNAME, NAMETYPE_HOST_NAME, <void *><const char *>name
            )
            whole = openssl.set_host(param, name, len(name))
        else:
            whole = openssl.set_ip(param, name)
        if not whole or not openssl.set_fd(self.c.ssl, fd):
            raise tls_error(openssl.last_error(), 0, host)
        openssl.set_connect(self.c.ssl)

    def __dealloc__(self):
        wire_close(&self.c)
        pthread_mutex_destroy(&self.c.lock)

    cdef object failed(self):
        """The exception of what has failed; the lock is not needed: it is kept for good."""
        if self.c.failure == TLS:
            return tls_error(self.c.number, 0, self.host)
        return OSError(<int>self.c.number, os.strerror(<int>self.c.number))

    def handshake(self):
        """Go on with TLS's: None when it is done, otherwise whether the socket must be writable for more.

        Raises:
            OSError: it failed; ssl.SSLError where TLS did, ssl.SSLCertVerificationError for the certificate.
        """
        cdef int result, why
        cdef unsigned long number
        cdef long verified
        cdef int system = 0
        if self.c.ssl == NULL:
            return None
        with nogil:
            result = wire_handshake(&self.c, &system)
        if result == 1:
            return None
        why = openssl.error(self.c.ssl, result)
        if why == ERROR_WANT_READ or why == ERROR_WANT_WRITE:
            return why == ERROR_WANT_WRITE
        number = openssl.last_error()
        verified = openssl.verify_result(self.c.ssl)
        if why == ERROR_SSL:
            raise tls_error(number, verified, self.host)
        number = system if system else ECONNRESET
        raise OSError(<int>number, os.strerror(<int>number))

    def read(self):
        """What has come: None if nothing, b"" at the end.

        Raises:
            OSError: the connection is broken, by either direction.
        """
        cdef uint8_t octets[READ]
        cdef ssize_t size
        with nogil:
            pthread_mutex_lock(&self.c.lock)
            size = wire_read(&self.c, octets, READ)
            pthread_mutex_unlock(&self.c.lock)
        if size >= 0:
            return PyBytes_FromStringAndSize(<const char *>octets, size)
        if size == LATER:
            return None
        raise self.failed()

    def write(self, const uint8_t[::1] octets):
        """Send octets, behind what waits; how many wait then.

        Raises:
            OSError: the connection is broken, by either direction.
        """
        cdef size_t size = octets.shape[0]
        cdef const uint8_t *start = &octets[0] if size else NULL
        cdef size_t pending
        with nogil:
            pthread_mutex_lock(&self.c.lock)
            wire_flush(&self.c)
            if size:
                wire_write(&self.c, start, size)
            pending = wire_pending(&self.c)
            pthread_mutex_unlock(&self.c.lock)
        if self.c.failure != NONE:
            raise self.failed()
        return pending

    def seal(self):
        """Take no more media; the WebSocket is being closed."""
        with nogil:
            pthread_mutex_lock(&self.c.lock)
            self.c.sealed = True
            pthread_mutex_unlock(&self.c.lock)

    def close(self):
        """Forget the socket, which stays open; with TLS, say good-bye first."""
        with nogil:
            pthread_mutex_lock(&self.c.lock)
            wire_close(&self.c)
            pthread_mutex_unlock(&self.c.lock)

    @property
    def pending(self):
        """Octets that wait."""
        return self.c.end - self.c.begin

    def backlog(self):
        """Octets that wait, and the seconds that the oldest of them have waited, to a tenth."""
        cdef size_t pending
        cdef int64_t age
        with nogil:
            pthread_mutex_lock(&self.c.lock)
            pending = wire_pending(&self.c)
            age = wire_age(&self.c)
            pthread_mutex_unlock(&self.c.lock)
        return pending, age / 1e9


cdef class NativeHistory:
    """The moments that were sent and perhaps not read; `forkproxy_websocket.history.History` is the twin."""

    cdef Past c

    def __cinit__(self, uint64_t moments):
        """Keep so many at most."""
        pthread_mutex_init(&self.c.lock, NULL)
        self.c.most = moments

    def __dealloc__(self):
        free(self.c.slots)
        pthread_mutex_destroy(&self.c.lock)

    def __len__(self):
        """Of frames."""
        return len(self.unconfirmed())

    @property
    def next(self):
        """The number behind that of the newest frame that was added."""
        return self.c.next

    @property
    def first(self):
        """The oldest frame's number; None: there is none."""
        cdef uint64_t number = 0
        cdef bint any
        with nogil:
            pthread_mutex_lock(&self.c.lock)
            any = self.c.first < self.c.end
            if any:
                number = past_at(&self.c, self.c.first).number
            pthread_mutex_unlock(&self.c.lock)
        return number if any else None

    def add(self, frames):
        """These are being sent."""
        cdef Kept *kept
        cdef bytes payload
        cdef uint64_t number
        cdef uint32_t octets
        cdef uint8_t flags
        cdef int track
        for each in frames:
            payload = each[3]
            number, flags, octets, track = each[1], each[2], <uint32_t>len(payload), each[0] != "inbound"
            pthread_mutex_lock(&self.c.lock)
            kept = past_new(&self.c, number, octets)
            if kept != NULL:
                kept_put(kept, track, <const uint8_t *><const char *>payload, flags)
            pthread_mutex_unlock(&self.c.lock)
            if kept == NULL and self.c.most:
                raise MemoryError

    def forget(self, uint64_t before):
        """Those below that number have been read; never the newest, whatever is said."""
        with nogil:
            pthread_mutex_lock(&self.c.lock)
            past_forget(&self.c, before)
            pthread_mutex_unlock(&self.c.lock)

    def unconfirmed(self):
        """What is sent again, in order: (track 0 or 1, number, flags, payload). No sink must be attached."""
        cdef uint64_t n
        cdef int track
        cdef Kept *kept
        cdef list frames = []
        for n in range(self.c.first, self.c.end):
            kept = past_at(&self.c, n)
            for track in range(2):
                if kept.has[track]:
                    payload = PyBytes_FromStringAndSize(
                        <const char *>kept + sizeof(Kept) + track * kept.octets, kept.octets
                    )
                    frames.append((track, kept.number, kept.flags[track], payload))
        return frames


cdef struct Media:
    Wire *wire
    Past *past                 # NULL: nothing is kept
    uint64_t expected          # the number of the next moment
    Template templates[2]
    uint32_t frame_ms
    uint64_t sequence          # of the last message


cdef inline uint32_t media_put(
    Media *media, uint8_t *to, int track, uint64_t number, const uint8_t *payload, uint32_t octets
) noexcept nogil:
    cdef uint8_t key[4]
    wire_key(media.wire, key)
    media.sequence += 1
    return message_put(
        to, &media.templates[track], media.sequence, number, media.frame_ms, payload, octets, key
    )


cdef int media_write(void *context, uint64_t number, const forkproxy_moment *moment) noexcept nogil:
    """The sink: both messages of a moment in one write."""
    cdef Media *media = <Media *>context
    cdef Wire *wire = media.wire
    cdef uint8_t scratch[SCRATCH]
    cdef uint32_t size = 0
    cdef int track
    pthread_mutex_lock(&wire.lock)
    wire_flush(wire)
    if (
        wire.fd < 0
        or wire.sealed
        or wire.failure != NONE
        or wire_pending(wire) > wire.limit
        or number != media.expected  # Python tells gaps
        or message_room(&media.templates[0], moment.octets) + message_room(&media.templates[1], moment.octets)
        > SCRATCH
        or (
            media.past != NULL
            and not past_keep(media.past, number, moment.payload, moment.octets, moment.flags)
        )
    ):
        pthread_mutex_unlock(&wire.lock)
        return 1
    media.expected = number + 1
    for track in range(2):
        if moment.payload[track] == NULL:
            continue
        size += media_put(media, scratch + size, track, number, moment.payload[track], moment.octets)
    wire_write(wire, scratch, size)
    pthread_mutex_unlock(&wire.lock)
    return 0


cdef void release(object capsule) noexcept:
    Py_DECREF(<object>PyCapsule_GetContext(capsule))


cdef int template_read(Template *to, list pieces, list holes) except -1:
    cdef Py_ssize_t length, i
    cdef bytes piece
    memset(to, 0, sizeof(Template))
    if len(holes) > HOLES or len(pieces) != len(holes) + 1 or sum(map(len, pieces)) > MOST_TEXT:
        raise ValueError("a template has too many holes or too much text")
    to.count = <int>len(holes)
    for i, piece in enumerate(pieces):
        length = len(piece)
        memcpy(to.text + to.size, <const uint8_t *><const char *>piece, length)
        to.size += <uint32_t>length
        to.pieces[i] = length
    for i, hole in enumerate(holes):
        to.holes[i] = hole
    return 0


cdef class Outlet:
    """The media messages of one stream on a line."""

    cdef Media c
    cdef forkproxy_sink sink
    cdef Line line
    cdef NativeHistory history

    def __cinit__(self, Line line not None, inbound, outbound, uint32_t frame_ms, NativeHistory history=None):
        """
        `inbound` and `outbound` are templates: the pieces of text, and the holes between them. What the sink
        takes is added to `history`.
        """
        self.line = line
        self.history = history
        if history is not None:
            self.c.past = &history.c
        self.c.wire = &line.c
        self.c.frame_ms = frame_ms
        template_read(&self.c.templates[0], inbound[0], inbound[1])
        template_read(&self.c.templates[1], outbound[0], outbound[1])
        self.sink.version = FORKPROXY_SINK_VERSION
        self.sink.context = &self.c
        self.sink.write = media_write

    @property
    def capsule(self):
        """The sink, for `Stream.attach`."""
        made = PyCapsule_New(&self.sink, FORKPROXY_SINK, release)
        PyCapsule_SetContext(made, <void *>self)
        Py_INCREF(self)
        return made

    @property
    def sequence(self):
        """The number of the last message. To be used only while the sink is not attached."""
        return self.c.sequence

    @sequence.setter
    def sequence(self, uint64_t value):
        self.c.sequence = value

    @property
    def expected(self):
        """The number of the next moment; the sink refuses any other. To be used as `sequence` is."""
        return self.c.expected

    @expected.setter
    def expected(self, uint64_t value):
        self.c.expected = value

    def messages(self, list frames):
        """The frames' messages, masked, for `Line.write`: all in one. To be used only as `sequence` is."""
        cdef uint32_t octets, size = 0
        cdef size_t room = 0
        cdef bytes payload
        cdef uint8_t *made
        cdef int track
        for each in frames:
            if len(each[3]) > MOST_PAYLOAD:
                raise ValueError("a frame is too long")
            room += message_room(&self.c.templates[each[0] != "inbound"], <uint32_t>len(each[3]))
        made = <uint8_t *>calloc(1, room + 1)
        if made == NULL:
            raise MemoryError
        try:
            for each in frames:
                payload = each[3]
                octets = <uint32_t>len(payload)
                track = each[0] != "inbound"
                size += media_put(
                    &self.c, made + size, track, each[1], <const uint8_t *><const char *>payload, octets
                )
            return PyBytes_FromStringAndSize(<const char *>made, size)
        finally:
            free(made)
