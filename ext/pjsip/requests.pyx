"""Requests outside calls that we send, REGISTER and OPTIONS: each is one transaction with one outcome.

What comes of a Request is appended to its agent's `events` as (request, RESPONSE, status, reason, message):
`message` is the response as it came, or None where there was none (408 and 503 are then PJSIP's own).
"""

from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.string cimport memset

from pjsip.pjsip cimport *
from pjsip.text cimport borrow, to_str

from forkproxy.signalling._pjsip cimport Engine
from forkproxy.signalling._sessions cimport add_headers, kind_of
from forkproxy.signalling._transports cimport Agent, Listener, Transport, check, direct

from forkproxy.signalling import _pjsip

RESPONSE = 100
METHODS = {b"REGISTER": PJSIP_REGISTER_METHOD, b"OPTIONS": PJSIP_OPTIONS_METHOD}

cdef Engine the_engine = None


cdef class Request:
    """One that is on its way, or was; `owner` is the sender's."""

    cdef Agent agent
    cdef bint done
    cdef readonly object owner

    cdef int finish(self, int status, str reason, bytes message) except -1:
        if not self.done:
            self.done = True
            self.agent.events.append((self, RESPONSE, status, reason, message))
            Py_DECREF(self)
        return 0


cdef void on_final(void *token, pjsip_event *event) noexcept:
    """The transaction has got its final response, or has ended without."""
    cdef Request request = <Request>token
    cdef pjsip_transaction *tsx = event.body.tsx_state.tsx
    cdef bytes message = None
    if event.type == PJSIP_EVENT_TSX_STATE and event.body.tsx_state.type == PJSIP_EVENT_RX_MSG:
        message = the_engine.message
    request.finish(tsx.status_code, to_str(&tsx.status_text), message)


def send(Agent agent not None, home not None, bytes method not None, bytes target not None,
         bytes local not None, bytes remote not None, bytes contact, bytes call_id not None, int cseq,
         bytes host not None, int port, str address not None, int peer_port, list headers not None,
         owner=None):
    """Sends `method` to `target` at `address`:`peer_port`, by the socket or listener `home`.

    `local` and `remote` are what From and To say, `host`:`port` what Via says. Raises EngineError when PJSIP
    cannot use one of them; what goes wrong later is an event.
    """
    global the_engine
    cdef pjsip_tx_data *tdata = NULL
    cdef pjsip_tpselector selector
    cdef pjsip_method kind
    cdef pj_str_t uri, from_, to, ours, identifier
    cdef pj_status_t status
    cdef Request request = Request()
    if the_engine is None:
        fp_load_all()
    the_engine.stir()
    kind.id = METHODS[method]
    kind.name = borrow(method)
    uri, from_, to, identifier = borrow(target), borrow(local), borrow(remote), borrow(call_id)
    if contact is not None:
        ours = borrow(contact)
    status = pjsip_endpt_create_request(
        the_engine.endpt, &kind, &uri, &from_, &to, &ours if contact is not None else NULL, &identifier,
        cseq, NULL, &tdata)
    check(status, f"create a {method.decode()} request for {target.decode()}")
    memset(&selector, 0, sizeof(selector))
    if isinstance(home, Transport):
        selector.type = PJSIP_TPSELECTOR_TRANSPORT
        selector.target = &(<Transport>home).c.base
    else:
        selector.type = PJSIP_TPSELECTOR_LISTENER
        selector.target = &(<Listener>home).c.base
    pjsip_tx_data_set_transport(tdata, &selector)
    direct(tdata, host, port, uri_host(target), address, peer_port, kind_of(home))
    add_headers(tdata, headers)
    add_headers(tdata, ((b"User-Agent", agent.product),))
    request.agent, request.owner, request.done = agent, owner, False
    Py_INCREF(request)
    status = pjsip_endpt_send_request(the_engine.endpt, tdata, -1, <void *>request, on_final)
    if status != PJ_SUCCESS:
        request.finish(503, "Service Unavailable", None)
    the_engine.settle()
    return request


cdef bytes uri_host(bytes uri):
    """The host that a SIP URI names, for the certificate that it must show."""
    rest = uri.partition(b":")[2].rpartition(b"@")[2]
    if rest.startswith(b"["):
        return rest[1:].partition(b"]")[0]
    return rest.partition(b";")[0].partition(b":")[0]


cdef int fp_load_all() except -1:
    """Fill this module's table of PJSIP's functions (engine.pyx has checked that they are there)."""
    global the_engine
    cdef int symbol = 0
    engine = _pjsip.engine()
    fp_load(_pjsip.library().encode(), &symbol)
    the_engine = engine
    return 0
