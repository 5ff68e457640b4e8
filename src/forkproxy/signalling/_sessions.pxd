# What calls.pyx uses of sessions.pyx.

from pjsip.pjsip cimport *

from forkproxy.signalling._pjsip cimport Engine
from forkproxy.signalling._transports cimport Agent, Transport

cdef enum:
    INVITE
    PROGRESS
    ANSWERED
    CONFIRMED
    REOFFERED
    REANSWERED
    REFUSED
    WITHDRAWN
    REQUESTED
    RESPONDED
    DESCRIBED
    ENDED

cdef class Session

cdef class Request:
    cdef Session session  # None once it is answered, or cannot be any more
    cdef pjsip_transaction *tsx
    cdef pjsip_tx_data *response
    cdef readonly str method
    cdef readonly bytes message
    cdef void drop(self) noexcept

cdef class Session:
    cdef pjsip_inv_session *inv  # null once it is over
    cdef Agent agent
    cdef object home  # the datagram Transport or the stream Listener that it belongs to
    cdef Transport connection  # the stream that the peer uses, while there is one
    cdef bint closing, cancelled, stuck
    cdef bint asked  # a re-INVITE of the peer's waits for our answer
    cdef bint asking  # one of ours waits for the peer's
    cdef bint bargained  # our 200 had an offer, which the ACK answers
    cdef bint unacknowledged  # nobody acknowledged our 200 to a re-INVITE
    cdef list requests  # those of the peer within the dialog that wait for an answer
    cdef dict sent  # our requests within the dialog: their transactions -> (method, token)
    cdef tuple sending  # the same of the one that has no transaction yet
    cdef public bytes farewell  # the BYE, CANCEL or failure that the peer sent
    cdef bytes asked_sdp  # what it offers; None: it wants our offer
    cdef bytes standing  # local_sdp as it was before our offer
    cdef int answered
    cdef str answer_reason
    cdef dict rseq  # (CSeq, tag) -> RSeq of the last reliable provisional response
    cdef bytes answer_sdp
    cdef public object owner  # the leg
    cdef public bytes local_sdp  # what our offer or answer says
    cdef readonly bytes remote_sdp  # what the peer's last offer or answer said
    cdef readonly bint incoming
    cdef readonly object trunk  # the name of the one that the caller belongs to, or None
    cdef readonly bint recording  # the peer is a recording client (RFC 7866)
    cdef readonly str call_id, from_uri, from_display, from_user, to_uri, to_display, request_uri, to_user
    cdef readonly str host  # where the INVITE came from
    cdef readonly int port, max_forwards
    cdef readonly bytes local_host, message
    cdef readonly int local_port
    cdef readonly str transport  # "udp" or "tcp"
    cdef int respond(self, int status, bytes reason, bytes sdp) except -1
    cdef bint can_respond(self) noexcept
    cdef int say_bye(self, int status) except -1
    cdef int send(self, pjsip_tx_data *tdata) except -1
    cdef bint can_reanswer(self) noexcept
    cdef void unask(self) noexcept
    cdef void begun_request(self, pjsip_transaction *tsx) noexcept
    cdef void answered_request(self, pjsip_transaction *tsx, pjsip_rx_data *rdata) noexcept
    cdef bint repeated(self, pjsip_rx_data *rdata) except -1
    cdef bint requested(self, pjsip_rx_data *rdata) except -1
    cdef void drop_offer(self) noexcept
    cdef void attach(self, pjsip_inv_session *inv, Agent agent, object home)
    cdef void detach(self)
    cdef int emit(self, int kind, int status=*, str reason=*, object detail=*) except -1
    cdef void adopt(self, Transport transport)
    cdef void bind(self) noexcept

cdef Session session_of(pjsip_dialog *dialog)
cdef int kind_of(object home)
cdef unsigned int options_of(Agent agent)
cdef int start_timer(pjsip_inv_session *inv, object terms, bint caller) except -1
cdef int turn_timer(pjsip_inv_session *inv, object terms, bytes message, bint able) except -1
cdef int add_headers(pjsip_tx_data *tdata, headers) except -1
cdef int register(Engine engine, int index, object compare) except -1
