# What calls.pyx shares with engine.pyx (both in ext/pjsip).

from pjsip.pjsip cimport *

cdef enum:
    MESSAGE_LIMIT = 65536  # octets of one SIP message, either way

cdef class Agent:
    cdef readonly object admit
    cdef readonly list events  # (session, kind, status, reason, sdp), in order
    cdef readonly dict counts
    cdef readonly set sessions
    cdef readonly long received, sent
    cdef bytes product
    cdef dict listeners  # transport type -> Transport or Listener
    cdef void count(self, str what)

cdef class Listener:
    cdef fp_factory c
    cdef readonly Agent agent
    cdef readonly bint alive
    cdef readonly bytes local_host
    cdef readonly int local_port
    cdef object connect

cdef class Transport:
    cdef fp_transport c
    cdef readonly Agent agent
    cdef readonly Listener listener  # streams: the one that it was accepted or opened by
    cdef readonly bint stream, alive, connected
    cdef readonly str host  # of the peer; "" on datagram sockets
    cdef readonly int port, type
    cdef readonly bytes local_host
    cdef readonly int local_port
    cdef bytes remote_host, label
    cdef object send, close
    cdef list pending  # (data, token, callback) of what waits for the connection
    cdef set sessions  # those that are bound to this connection
    cdef int open(self, Agent agent, int kind, str host, int port, Listener listener, bytes local_host,
                  int local_port, int direction) except -1
    cdef int transmit(self, bytes data) except -1

cdef class Calls:
    cdef bint before(self, pjsip_rx_data *rdata, bint redirects)
    cdef bytes local_description(self, pjsip_dialog *dialog)

cdef class Engine:
    cdef pj_caching_pool caching
    cdef pjsip_endpoint *endpt
    cdef pjsip_tpmgr *manager
    cdef pj_timer_heap_t *heap
    cdef pjsip_rx_data *rdata
    cdef char *inbox
    cdef char *outbox
    cdef pjsip_module printer
    cdef pjsip_ext_resolver external
    cdef int dialog_module
    cdef int transports, inside
    cdef bytes placeholder_text
    cdef pjmedia_sdp_session *placeholder
    cdef Calls calls
    cdef list keep, deferred
    cdef public object resolver  # called with a Resolution
    cdef public object trace  # None, or called with (transport, sent, data, host, port)
    # the message being processed
    cdef char *body
    cdef int body_length
    cdef str peer_host
    cdef int peer_port
    cdef Transport via
    cdef bytes message
    cdef int start(self) except -1
    cdef void fix_route_back(self, pjsip_rx_data *rdata) noexcept
    cdef bytes take_body(self)
    cdef int settle(self) except -1
    cdef int stir(self) except -1

cdef int check(pj_status_t status, str what) except -1
cdef str explain(pj_status_t status)
