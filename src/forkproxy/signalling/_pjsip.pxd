# What the extensions in ext/pjsip share of engine.pyx.

from pjsip.pjsip cimport *

from forkproxy.signalling._transports cimport Core, Transport

cdef enum:
    MESSAGE_LIMIT = 65536  # octets of one SIP message, either way

cdef class Calls:
    cdef bint before(self, pjsip_rx_data *rdata, bint redirects)
    cdef bytes local_description(self, pjsip_dialog *dialog)

cdef class Bare:
    cdef bint owns(self, pjsip_dialog *dialog) noexcept

cdef class Engine(Core):
    cdef pj_caching_pool caching
    cdef pj_timer_heap_t *heap
    cdef pjsip_rx_data *rdata
    cdef char *inbox
    cdef char *outbox
    cdef pjsip_module printer
    cdef int dialog_module
    cdef bytes placeholder_text
    cdef pjmedia_sdp_session *placeholder
    cdef Calls calls
    cdef Bare bare
    # the message being processed
    cdef char *body  # its session description
    cdef int body_length
    cdef str peer_host
    cdef int peer_port
    cdef Transport via
    cdef bytes message
    cdef int start(self) except -1
    cdef void fix_route_back(self, pjsip_rx_data *rdata) noexcept
    cdef bytes take_body(self)
    cdef int stir(self) except -1
