# What the extensions in ext/pjsip share of transports.pyx.

from pjsip.pjsip cimport *

cdef class Core:
    cdef pjsip_endpoint *endpt
    cdef pjsip_tpmgr *manager
    cdef pjsip_ext_resolver external
    cdef list keep  # listeners: PJSIP's old transports point to them
    cdef list deferred  # sessions that want settle()
    cdef int transports  # how many there are
    cdef int inside  # 1 while PJSIP's stack is on ours
    cdef public object resolver  # called with a Resolution
    cdef public object trace  # None, or called with (transport, sent, data, host, port)
    cdef void install(self)
    cdef int settle(self) except -1

cdef class Agent:
    cdef readonly object admit
    cdef readonly list events  # (session, kind, status, reason, detail), in order
    cdef readonly dict counts
    cdef readonly set sessions
    cdef readonly long received, sent
    cdef public object terms  # what calls agree to beside audio
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
    cdef readonly str scheme  # udp, tcp or tls
    cdef readonly str host  # of the peer; "" on datagram sockets
    cdef readonly str name  # of the peer, as it was dialled: what its certificate must be for
    cdef readonly int port, type
    cdef readonly bytes local_host
    cdef readonly int local_port
    cdef bytes remote_host, remote_name, label
    cdef object send, close
    cdef list pending  # (data, token, callback) of what waits for the connection
    cdef set sessions  # those that are bound to this connection
    cdef int open(self, Agent agent, int kind, str host, int port, Listener listener, bytes local_host,
                  int local_port, int direction) except -1
    cdef int transmit(self, bytes data) except -1

cdef int direct(pjsip_tx_data *tdata, bytes host, int port, bytes name, str address, int peer_port,
                int kind) except -1
cdef int check(pj_status_t status, str what) except -1
cdef str scheme_of(int kind)
