"""Dialogs and invite sessions: the calls that run in the engine.

A Session is one leg as PJSIP sees it. What happens to it is appended to its agent's `events` as
(session, kind, status, reason, sdp); EVENT_ENDED is the last one of each session.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.string cimport memset

from forkproxy.signalling._pjsip cimport Agent, Calls, Engine, Listener, Transport, check, explain
from pjsip.guard cimport is_method
from pjsip.pjsip cimport *
from pjsip.text cimport borrow, equals, sip_uri, to_str, transport_wanted, uri_text

from forkproxy.errors import EngineError
from forkproxy.signalling import _pjsip

EVENT_INVITE = INVITE
EVENT_PROGRESS = PROGRESS
EVENT_ANSWERED = ANSWERED
EVENT_CONFIRMED = CONFIRMED
EVENT_ENDED = ENDED

cdef enum:
    INVITE
    PROGRESS
    ANSWERED
    CONFIRMED
    ENDED

    NO_ANSWER = 406  # what PJSIP, too, calls the end of a call whose offer got no answer
    OPTIONS_OFFERED = PJSIP_INV_SUPPORT_100REL | PJSIP_INV_SUPPORT_TIMER

cdef Engine the_engine = None
cdef pjsip_module application
cdef pjsip_inv_callback callbacks


cdef class Session:
    """One call leg. Methods raise EngineError when PJSIP refuses; after EVENT_ENDED they do nothing."""

    cdef pjsip_inv_session *inv  # null once it is over
    cdef Agent agent
    cdef object home  # the datagram Transport or the stream Listener that it belongs to
    cdef Transport connection  # the stream that it came by, while there is one
    cdef bint closing, cancelled, stuck
    cdef int answered
    cdef str answer_reason
    cdef bytes answer_sdp
    cdef public object owner  # the leg
    cdef public bytes local_sdp  # what our offer or answer says
    cdef readonly bytes remote_sdp  # what the peer's last offer or answer said
    cdef readonly bint incoming
    cdef readonly str call_id, from_uri, from_display, from_user, to_uri, to_display, request_uri, to_user
    cdef readonly str host  # where the INVITE came from
    cdef readonly int port, max_forwards
    cdef readonly bytes local_host, message
    cdef readonly int local_port
    cdef readonly str transport

    @property
    def over(self):
        return self.inv == NULL

    # -- what a leg does -------------------------------------------------------------------------------------------

    def ring(self, int status, bytes reason=None, bytes sdp=None):
        """A provisional response; with `sdp`, which is then our answer (or offer) for good."""
        self.respond(status, reason, sdp)

    def answer(self, bytes sdp=None):
        """200 with `sdp`, or with the description that an earlier 183 carried."""
        self.respond(200, None, sdp)

    cdef int respond(self, int status, bytes reason, bytes sdp) except -1:
        cdef pjsip_tx_data *tdata = NULL
        cdef pj_str_t text
        cdef pjmedia_sdp_session *session = NULL
        if not self.can_respond():
            return 0
        if sdp is not None and self.local_sdp is None:
            self.local_sdp = sdp
            session = the_engine.placeholder
        if reason is not None:
            text = borrow(reason)
        check(pjsip_inv_answer(self.inv, status, &text if reason is not None else NULL, session, &tdata), "answer")
        self.send(tdata)
        the_engine.settle()
        return 0

    cdef bint can_respond(self) noexcept:
        return (self.inv != NULL and self.inv.role == PJSIP_ROLE_UAS and self.inv.state < PJSIP_INV_STATE_CONNECTING
                and self.inv.invite_tsx != NULL and self.inv.last_answer != NULL)

    def end(self, int status, bytes reason=None, headers=()):
        """Ends the leg as fits its state: final response, CANCEL or BYE; `headers` go on a final response."""
        cdef pjsip_tx_data *tdata = NULL
        cdef pj_str_t text
        if self.inv == NULL or (self.closing and not self.inv.state == PJSIP_INV_STATE_CONFIRMED):
            return
        self.closing = True
        if self.inv.state < PJSIP_INV_STATE_CONNECTING and self.inv.invite_tsx == NULL:
            self.terminate(status)  # between two attempts of an INVITE: there is nothing to cancel
            return
        if reason is not None:
            text = borrow(reason)
        self.bind()
        check(pjsip_inv_end_session(self.inv, status, &text if reason is not None else NULL, &tdata), "end a call")
        if tdata != NULL:
            if tdata.msg.type == PJSIP_RESPONSE_MSG:
                add_headers(tdata, headers)
            self.send(tdata)
        the_engine.settle()

    cdef int say_bye(self, int status) except -1:
        """A BYE that is the peer's own fault, and counts as its doing."""
        cdef pjsip_tx_data *tdata = NULL
        self.bind()
        if pjsip_inv_end_session(self.inv, status, NULL, &tdata) == PJ_SUCCESS and tdata != NULL:
            self.send(tdata)
        return 0

    def terminate(self, int status):
        """Ends the leg at once, without a message."""
        if self.inv != NULL:
            self.closing = True
            pjsip_inv_terminate(self.inv, status, True)
        the_engine.settle()

    cdef int send(self, pjsip_tx_data *tdata) except -1:
        """Sends for this session; a message that cannot be sent at all ends it with 503."""
        cdef pj_status_t status = pjsip_inv_send_msg(self.inv, tdata)
        if status != PJ_SUCCESS and self.inv != NULL:
            self.stuck = True
            the_engine.deferred.append(self)
        return 0

    # -- what happens to it ----------------------------------------------------------------------------------------

    cdef void attach(self, pjsip_inv_session *inv, Agent agent, object home):
        self.inv, self.agent, self.home = inv, agent, home
        inv.dlg.mod_data[application.id] = <void *>self
        Py_INCREF(self)
        agent.sessions.add(self)

    cdef void detach(self):
        """The session is over; PJSIP may keep its dialog for a while."""
        cdef pjsip_cred_info none
        memset(&none, 0, sizeof(none))
        # a late 401 to our BYE must not be answered: PJSIP would do it with a session that is gone, and assert
        pjsip_auth_clt_set_credentials(&self.inv.dlg.auth_sess, 0, &none)
        self.inv.dlg.mod_data[application.id] = NULL
        self.inv = NULL
        if self.connection is not None:
            self.connection.sessions.discard(self)
            self.connection = None
        self.agent.sessions.discard(self)
        Py_DECREF(self)

    cdef int emit(self, int kind, int status=0, str reason="", object detail=None) except -1:
        self.agent.events.append((self, kind, status, reason, detail))
        return 0

    def settle(self):
        """What could not be done within a callback."""
        if self.inv == NULL:
            return
        if self.stuck or (self.inv.state == PJSIP_INV_STATE_NULL and self.inv.invite_tsx == NULL):
            self.stuck = False
            pjsip_inv_terminate(self.inv, 503, True)
        elif self.inv.state == PJSIP_INV_STATE_CONFIRMED and self.closing and self.answered:
            self.answered = 0
            self.end(487)  # the 200 crossed our CANCEL
        elif self.inv.state == PJSIP_INV_STATE_CONFIRMED and self.remote_sdp is None:
            self.say_bye(NO_ANSWER)
        else:
            self.bind()

    cdef void adopt(self, Transport transport):
        """The peer speaks to us by this connection: it is kept open for the call, and used."""
        if (transport is None or not transport.stream or transport is self.connection or not transport.connected
                or self.inv == NULL or self.connection is not None and self.connection.connected):
            return
        if self.connection is not None:
            self.connection.sessions.discard(self)
        self.connection = transport
        transport.sessions.add(self)
        the_engine.deferred.append(self)

    cdef void bind(self) noexcept:
        """Makes the dialog use our socket, or connection, of the kind that its next hop asks for."""
        cdef pjsip_dialog *dialog = self.inv.dlg
        cdef pjsip_uri *hop = dialog.target
        cdef pjsip_tpselector selector
        cdef bint secure = False
        cdef int kind, mine
        cdef object choice = self.home
        if dialog.route_set.next != &dialog.route_set:
            hop = dialog.route_set.next.name_addr.uri
        kind = transport_wanted(hop)
        mine = kind_of(choice)
        if kind == PJSIP_TRANSPORT_UNSPECIFIED:
            kind = mine & ~PJSIP_TRANSPORT_IPV6
        if sip_uri(hop, &secure) != NULL:
            kind |= family(&sip_uri(hop, &secure).host, mine)
        if kind != mine:
            choice = self.agent.listeners.get(kind)
        memset(&selector, 0, sizeof(selector))
        if isinstance(choice, Transport):
            selector.type = PJSIP_TPSELECTOR_TRANSPORT
            selector.target = &(<Transport>choice).c.base
        elif choice is not None and self.connection is not None and self.connection.connected:
            selector.type = PJSIP_TPSELECTOR_TRANSPORT
            selector.target = &self.connection.c.base
        elif choice is not None:
            selector.type = PJSIP_TPSELECTOR_LISTENER
            selector.target = &(<Listener>choice).c.base
        if dialog.tp_sel.type != selector.type or dialog.tp_sel.target != selector.target:
            pjsip_dlg_set_transport(dialog, &selector)


cdef int kind_of(object home):
    return (<Transport>home).c.base.key.type if isinstance(home, Transport) else (<Listener>home).c.base.type


cdef int family(const pj_str_t *host, int usual) noexcept:
    """The address family's flag for a host: by the literal, or as usual for a name."""
    cdef ptrdiff_t i
    cdef bint digits = True
    for i in range(host.slen):
        if host.ptr[i] == c":":
            return PJSIP_TRANSPORT_IPV6
        if not (c"0" <= host.ptr[i] <= c"9" or host.ptr[i] == c"."):
            digits = False
    return 0 if digits else usual & PJSIP_TRANSPORT_IPV6


cdef int add_headers(pjsip_tx_data *tdata, headers) except -1:
    """Appends (name, value) pairs of bytes, which the caller has checked."""
    cdef pj_str_t name, value
    for key, text in headers:
        name, value = borrow(key), borrow(text)
        pj_list_insert_before(&tdata.msg.hdr, pjsip_generic_string_hdr_create(tdata.pool, &name, &value))
    return 0


cdef bytes contact(int kind, bytes host, int port):
    """Our Contact, such that the peer's next request finds us."""
    name = b"[" + host + b"]" if b":" in host else host
    transport = b";transport=tcp" if (kind & ~PJSIP_TRANSPORT_IPV6) == PJSIP_TRANSPORT_TCP else b""
    return b"<sip:%b:%d%b>" % (name, port, transport)


cdef str user_of(pjsip_uri *uri):
    """Who is meant: the user part of a SIP URI, the number of a tel: URI, or ""."""
    cdef bint secure = False
    cdef pjsip_sip_uri *sip = sip_uri(uri, &secure)
    if sip != NULL:
        return to_str(&sip.user)
    if uri != NULL and equals(uri.vptr.p_get_scheme(uri), b"tel", 3):
        return to_str(&(<pjsip_tel_uri *>uri.vptr.p_get_uri(uri)).number)
    return ""


cdef Session session_of(pjsip_dialog *dialog):
    """The live session of a dialog, or None."""
    cdef void *data = dialog.mod_data[application.id] if dialog != NULL else NULL
    return <Session>data if data != NULL else None


# -- what PJSIP calls ----------------------------------------------------------------------------------------------------


cdef pjsip_rx_data *received(pjsip_event *event) noexcept:
    """The message that caused the event, or null."""
    if event.type == PJSIP_EVENT_TSX_STATE and event.body.tsx_state.type == PJSIP_EVENT_RX_MSG:
        return <pjsip_rx_data *>event.body.tsx_state.src
    if event.type == PJSIP_EVENT_RX_MSG:
        return event.body.rx_msg.rdata
    return NULL


cdef void on_state(pjsip_inv_session *inv, pjsip_event *event) noexcept:
    cdef Session session = session_of(inv.dlg)
    cdef pjsip_rx_data *rdata = received(event)
    if session is None or session.inv != inv:
        return
    if inv.state == PJSIP_INV_STATE_CONNECTING and inv.role == PJSIP_ROLE_UAC and rdata != NULL:
        session.answered = rdata.msg_info.msg.line.status.code
        session.answer_reason = to_str(&rdata.msg_info.msg.line.status.reason)
        session.answer_sdp = the_engine.take_body()
        session.remote_sdp = session.answer_sdp or session.remote_sdp
    elif inv.state == PJSIP_INV_STATE_CONFIRMED:
        if inv.role == PJSIP_ROLE_UAS:
            if session.remote_sdp is not None:
                session.emit(CONFIRMED)
                return
            session.remote_sdp = the_engine.take_body()
            if session.remote_sdp is None:
                the_engine.deferred.append(session)
            else:
                session.emit(CONFIRMED, 0, "", session.remote_sdp)
        elif session.closing:
            the_engine.deferred.append(session)
        else:
            session.emit(ANSWERED, session.answered, session.answer_reason, session.answer_sdp)
            session.answered = 0
    elif inv.state == PJSIP_INV_STATE_DISCONNECTED:
        session.emit(ENDED, inv.cause, to_str(&inv.cause_text), ended_by(session, event))
        session.detach()


cdef str ended_by(Session session, pjsip_event *event):
    """Who ended it, from what caused the last state."""
    cdef int kind = event.body.tsx_state.type if event.type == PJSIP_EVENT_TSX_STATE else event.type
    if session.closing:
        return "local"
    if session.cancelled:
        return "remote"
    if kind == PJSIP_EVENT_TRANSPORT_ERROR or kind == PJSIP_EVENT_USER:
        return "transport"
    if kind == PJSIP_EVENT_RX_MSG and not hung_up_by_us(event):
        return "remote"
    # what is left is PJSIP's own doing: a transaction's or session's timer, no ACK, no PRACK; or a 200 without a
    # session description, which the peer is to blame for
    return "remote" if session.inv.cause == NO_ANSWER else "timeout"


cdef bint hung_up_by_us(pjsip_event *event) noexcept:
    """Whether the end is the response to a BYE that PJSIP sent."""
    return (event.type == PJSIP_EVENT_TSX_STATE and event.body.tsx_state.tsx.role == PJSIP_ROLE_UAC
            and event.body.tsx_state.tsx.method.id == PJSIP_BYE_METHOD)


cdef void on_tsx_state(pjsip_inv_session *inv, pjsip_transaction *tsx, pjsip_event *event) noexcept:
    """Provisional responses, CANCEL, an INVITE that could not be repeated, and the connection that the peer uses."""
    cdef Session session = session_of(inv.dlg)
    cdef pjsip_rx_data *rdata = received(event)
    cdef bytes sdp
    if session is None or session.inv != inv:
        return
    if rdata != NULL:
        session.adopt(the_engine.via)
    if inv.role == PJSIP_ROLE_UAS and tsx.method.id == PJSIP_CANCEL_METHOD:
        session.cancelled = True
    if inv.role != PJSIP_ROLE_UAC or tsx.method.id != PJSIP_INVITE_METHOD:
        return
    if inv.state == PJSIP_INV_STATE_NULL and inv.invite_tsx == NULL:
        the_engine.deferred.append(session)
    elif (tsx.state == PJSIP_TSX_STATE_PROCEEDING and rdata != NULL and inv.state < PJSIP_INV_STATE_CONNECTING
          and rdata.msg_info.msg.line.status.code > 100 and not session.closing):
        sdp = the_engine.take_body()
        session.remote_sdp = sdp or session.remote_sdp
        session.emit(PROGRESS, rdata.msg_info.msg.line.status.code,
                     to_str(&rdata.msg_info.msg.line.status.reason), sdp)


cdef void on_offer(pjsip_inv_session *inv, pjsip_inv_on_rx_offer_cb_param *offer) noexcept:
    """An offer within the call: one that changes nothing is accepted, without an answer PJSIP says 488."""
    cdef Session session = session_of(inv.dlg)
    cdef bytes sdp = the_engine.take_body()
    if session is None or session.local_sdp is None or sdp is None:
        return
    if the_calls.unchanged(session.remote_sdp, sdp):
        pjsip_inv_set_sdp_answer(inv, the_engine.placeholder)
        session.agent.count("refreshed")
    else:
        session.agent.count("reoffers_refused")


cdef void on_send_ack(pjsip_inv_session *inv, pjsip_rx_data *rdata) noexcept:
    """ACK for a 2xx. Ours, because PJSIP asserts when its own cannot be sent."""
    cdef Session session = session_of(inv.dlg)
    cdef pjsip_tx_data *ack = NULL
    cdef int cseq = rdata.msg_info.cseq.cseq
    if session is None or inv.ref_cnt == NULL or inv.state == PJSIP_INV_STATE_DISCONNECTED:
        if pjsip_dlg_create_request(inv.dlg, pjsip_get_ack_method(), cseq, &ack) == PJ_SUCCESS:
            pjsip_dlg_send_request(inv.dlg, ack, -1, NULL)
        return
    session.bind()
    if (pjsip_inv_create_ack(inv, cseq, &ack) != PJ_SUCCESS or pjsip_inv_send_msg(inv, ack) != PJ_SUCCESS):
        session.stuck = True
        the_engine.deferred.append(session)
        return
    if session.inv != NULL:
        inv.last_ack_cseq = -1  # a repeated 2xx comes here again, rather than to PJSIP's cached ACK


cdef void on_new_session(pjsip_inv_session *inv, pjsip_event *event) noexcept:
    """(PJSIP demands the callback; we create no forked sessions.)"""


cdef pj_bool_t on_request(pjsip_rx_data *rdata) noexcept:
    """A request that belongs to no transaction and no dialog."""
    if rdata.msg_info.msg.line.req.method.id == PJSIP_INVITE_METHOD:
        incoming(rdata)
    else:
        the_engine.via.agent.count("stray_requests")
    return True


cdef int refuse(pjsip_rx_data *rdata, int status, bint capabilities=False) except -1:
    """Answers statelessly; an attacker's requests must not cost memory."""
    cdef pjsip_hdr head
    cdef const pjsip_hdr *header
    cdef pj_str_t name, value
    cdef bytes seconds = b"10"
    cdef bytes retry = b"Retry-After"
    head.prev = head.next = &head
    if capabilities:
        for kind in (PJSIP_H_ALLOW, PJSIP_H_ACCEPT, PJSIP_H_SUPPORTED):
            header = pjsip_endpt_get_capability(the_engine.endpt, kind, NULL)
            if header != NULL:
                pj_list_insert_before(&head, pjsip_hdr_clone(rdata.tp_info.pool, header))
    if status == 503:
        name, value = borrow(retry), borrow(seconds)
        pj_list_insert_before(&head, pjsip_generic_string_hdr_create(rdata.tp_info.pool, &name, &value))
    pjsip_endpt_respond_stateless(the_engine.endpt, rdata, status, NULL, &head, NULL)
    return 0


cdef int incoming(pjsip_rx_data *rdata) except -1:
    """A new call."""
    cdef Transport transport = the_engine.via
    cdef Agent agent = transport.agent
    cdef pjsip_dialog *dialog = NULL
    cdef pjsip_inv_session *inv = NULL
    cdef pjsip_tx_data *tdata = NULL
    cdef unsigned int options = OPTIONS_OFFERED
    cdef pjsip_host_port sent_by
    cdef pj_str_t ours
    cdef bytes address
    cdef pj_status_t status
    cdef Session session
    if pjsip_tsx_detect_merged_requests(rdata) != NULL:
        agent.count("merged")
        return refuse(rdata, 482)
    if rdata.msg_info.max_fwd != NULL and rdata.msg_info.max_fwd.ivalue <= 0:
        agent.count("too_many_hops")
        return refuse(rdata, 483)
    verdict = agent.admit("INVITE", the_engine.peer_host, the_engine.peer_port, transport)
    if isinstance(verdict, int):
        return refuse(rdata, verdict)
    host, port = verdict
    the_engine.stir()
    if pjsip_inv_verify_request(rdata, &options, NULL, NULL, the_engine.endpt, &tdata) != PJ_SUCCESS:
        agent.count("unacceptable")
        if tdata != NULL:
            pjsip_endpt_send_response2(the_engine.endpt, rdata, tdata, NULL, NULL)
        return 0
    address = contact(transport.type, host, port)
    ours = borrow(address)
    if pjsip_dlg_create_uas_and_inc_lock(pjsip_ua_instance(), rdata, &ours, &dialog) != PJ_SUCCESS:
        agent.count("unacceptable")
        return refuse(rdata, 400)
    sent_by.host, sent_by.port = borrow(host), port
    pjsip_dlg_set_via_sent_by(dialog, &sent_by, NULL)
    status = pjsip_inv_create_uas(dialog, rdata, NULL, options, &inv)
    if status != PJ_SUCCESS:
        agent.count("unacceptable")
        pjsip_dlg_respond(dialog, rdata, 500, NULL, NULL, NULL)
        pjsip_dlg_dec_lock(dialog)
        return 0
    pjsip_dlg_dec_lock(dialog)
    session = Session()
    session.attach(inv, agent, transport.listener if transport.stream else transport)
    session.incoming = True
    session.transport = "tcp" if transport.stream else "udp"
    session.adopt(transport)
    session.host, session.port = the_engine.peer_host, the_engine.peer_port
    session.local_host, session.local_port = host, port
    session.message = the_engine.message
    session.remote_sdp = the_engine.take_body()
    session.call_id = to_str(&rdata.msg_info.cid.id)
    session.from_uri = uri_text(rdata.msg_info.from_.uri)
    session.from_user = user_of(rdata.msg_info.from_.uri)
    session.from_display = display_of(rdata.msg_info.from_.uri)
    session.to_uri = uri_text(rdata.msg_info.to.uri)
    session.to_display = display_of(rdata.msg_info.to.uri)
    session.request_uri = uri_text(rdata.msg_info.msg.line.req.uri)
    session.to_user = user_of(rdata.msg_info.msg.line.req.uri)
    session.max_forwards = rdata.msg_info.max_fwd.ivalue if rdata.msg_info.max_fwd != NULL else 70
    session.bind()
    status = pjsip_inv_initial_answer(inv, rdata, 100, NULL, NULL, &tdata)
    if status != PJ_SUCCESS:  # the session timer is too short for us, for one
        agent.count("unacceptable")
        if tdata != NULL:
            pjsip_inv_send_msg(inv, tdata)
        if session.inv != NULL:
            pjsip_inv_terminate(session.inv, 500, False)
            if session.inv != NULL:
                session.detach()
        agent.events[:] = [event for event in agent.events if event[0] is not session]
        return 0
    session.emit(INVITE, 0, "", session.remote_sdp)
    add_headers(tdata, ((b"Server", agent.product),))
    session.send(tdata)
    return 0


cdef str display_of(pjsip_uri *uri):
    """The display name of a From or To, without quotes."""
    if uri == NULL or uri.vptr.p_get_uri(uri) == <void *>uri:
        return ""
    return to_str(&(<pjsip_name_addr *>uri).display)


cdef class InviteCalls(Calls):
    """The layer's side towards the engine."""

    cdef object compare

    cdef bint before(self, pjsip_rx_data *rdata, bint redirects):
        """Keeps from PJSIP what it does not handle or would trip over; True: it may have the message."""
        cdef pjsip_method *method
        cdef pjsip_dialog *dialog = NULL
        cdef Session session
        cdef bint ours
        cdef pj_str_t nobody
        if rdata.msg_info.msg.type == PJSIP_RESPONSE_MSG:
            dialog = dialog_of_response(rdata)
            if dialog == NULL:
                the_engine.via.agent.count("stray_responses")  # for nothing, or of one more forked callee
            elif redirects:
                loosen(dialog)
            return True
        method = &rdata.msg_info.msg.line.req.method
        ours = method.id <= PJSIP_BYE_METHOD or is_method(method, b"PRACK", 5) or is_method(method, b"UPDATE", 6)
        if rdata.msg_info.to.tag.slen > 0:
            dialog = pjsip_ua_find_dialog(
                &rdata.msg_info.cid.id, &rdata.msg_info.to.tag, &rdata.msg_info.from_.tag, False)
            if dialog == NULL:
                nobody.ptr = NULL
                nobody.slen = 0
                dialog = pjsip_ua_find_dialog(&rdata.msg_info.cid.id, &rdata.msg_info.to.tag, &nobody, False)
        elif method.id == PJSIP_INVITE_METHOD or method.id == PJSIP_ACK_METHOD:
            return True  # a new call, or the ACK of a call that was refused
        if not ours:
            self.other(rdata, method, dialog)
            return False
        if method.id == PJSIP_CANCEL_METHOD:
            return is_known(rdata) or self.unmatched(rdata)
        if dialog == NULL:
            return is_known(rdata) or self.unmatched(rdata)
        session = session_of(dialog)
        if session is None:
            if method.id == PJSIP_ACK_METHOD or method.id == PJSIP_BYE_METHOD:
                return True
            refuse(rdata, 481)
            return False
        if method.id == PJSIP_ACK_METHOD:
            return session.inv.state >= PJSIP_INV_STATE_EARLY
        if session.inv.state < PJSIP_INV_STATE_EARLY:
            refuse(rdata, 481)
            return False
        if is_method(method, b"UPDATE", 6) and session.inv.neg == NULL:
            refuse(rdata, 491)
            return False
        if is_method(method, b"PRACK", 5) and (
                session.inv.neg == NULL
                or pjmedia_sdp_neg_get_state(session.inv.neg) != PJMEDIA_SDP_NEG_STATE_LOCAL_OFFER):
            rdata.msg_info.msg.body = NULL  # an offer in PRACK: PJSIP would assert when we do not answer it
        if redirects:
            loosen(dialog)
        return True

    cdef bint unmatched(self, pjsip_rx_data *rdata) except -1:
        """A request for a call that there is not."""
        the_engine.via.agent.count("unmatched")
        if rdata.msg_info.msg.line.req.method.id != PJSIP_ACK_METHOD:
            refuse(rdata, 481)
        return False

    cdef int other(self, pjsip_rx_data *rdata, pjsip_method *method, pjsip_dialog *dialog) except -1:
        """OPTIONS, and what we do not do."""
        cdef Agent agent = the_engine.via.agent
        cdef str name = to_str(&method.name)
        if dialog == NULL:
            if rdata.msg_info.to.tag.slen > 0:
                return refuse(rdata, 481)
            verdict = agent.admit(name, the_engine.peer_host, the_engine.peer_port, the_engine.via)
            if isinstance(verdict, int):
                return refuse(rdata, verdict)
        if method.id == PJSIP_OPTIONS_METHOD:
            agent.count("options")
            return refuse(rdata, 200, True)
        agent.count("methods_refused")
        return refuse(rdata, 405 if name in KNOWN_METHODS else 501, True)

    cdef bint unchanged(self, bytes before, bytes now):
        return before is not None and (before == now or bool(self.compare(before, now)))

    cdef bytes local_description(self, pjsip_dialog *dialog):
        cdef Session session = session_of(dialog)
        return None if session is None else session.local_sdp


KNOWN_METHODS = frozenset({"REGISTER", "INFO", "SUBSCRIBE", "NOTIFY", "PUBLISH", "MESSAGE", "REFER"})

cdef InviteCalls the_calls = None


cdef bint is_known(pjsip_rx_data *rdata) noexcept:
    """Whether the request repeats one that has a transaction, or cancels or acknowledges such an INVITE."""
    cdef pj_str_t key
    cdef pjsip_method invite
    invite.id = rdata.msg_info.cseq.method.id
    invite.name = rdata.msg_info.cseq.method.name
    if invite.id == PJSIP_CANCEL_METHOD:
        invite.id = PJSIP_INVITE_METHOD
    return (pjsip_tsx_create_key(rdata.tp_info.pool, &key, PJSIP_ROLE_UAS, &invite, rdata) == PJ_SUCCESS
            and pjsip_tsx_layer_find_tsx(&key, False) != NULL)


cdef pjsip_dialog *dialog_of_response(pjsip_rx_data *rdata) noexcept:
    """The dialog that a response is for, or null."""
    cdef pj_str_t key
    cdef pjsip_transaction *tsx = NULL
    if pjsip_tsx_create_key(rdata.tp_info.pool, &key, PJSIP_ROLE_UAC, &rdata.msg_info.cseq.method, rdata) == PJ_SUCCESS:
        tsx = pjsip_tsx_layer_find_tsx(&key, False)
    if tsx != NULL:
        return pjsip_tsx_get_dlg(tsx)
    return pjsip_ua_find_dialog(&rdata.msg_info.cid.id, &rdata.msg_info.from_.tag, &rdata.msg_info.to.tag, False)


cdef void loosen(pjsip_dialog *dialog) noexcept:
    """Before a message that may move the peer to another transport: PJSIP refuses to send where the dialog's choice
    and the peer's new URI differ, so there is no choice until settle() makes the next one."""
    cdef Session session = session_of(dialog)
    cdef pjsip_tpselector selector
    if session is not None:
        memset(&selector, 0, sizeof(selector))
        pjsip_dlg_set_transport(dialog, &selector)
        the_engine.deferred.append(session)


def invite(Agent agent not None, home not None, bytes target not None, bytes local not None, bytes remote not None,
           bytes host not None, int port, bytes sdp not None, list headers not None, bytes username=None,
           bytes password=None, int max_forwards=70, owner=None):
    """Dials `target`; `local` and `remote` are what From and To say, `host`:`port` what Contact and Via say.

    Raises EngineError when PJSIP cannot use one of them; what goes wrong later is an event.
    """
    cdef pjsip_dialog *dialog = NULL
    cdef pjsip_inv_session *inv = NULL
    cdef pjsip_tx_data *tdata = NULL
    cdef pjsip_cred_info credentials
    cdef pjsip_host_port sent_by
    cdef pjsip_generic_int_hdr *hops
    cdef pj_str_t from_, to, uri, ours
    cdef bytes address = contact(kind_of(home), host, port)
    cdef bytes any_realm = b"*"
    cdef bytes digest = b"digest"
    cdef pj_status_t status
    cdef Session session
    the_engine.stir()
    from_, to, uri, ours = borrow(local), borrow(remote), borrow(target), borrow(address)
    check(pjsip_dlg_create_uac(pjsip_ua_instance(), &from_, &ours, &to, &uri, &dialog), f"call {target.decode()}")
    sent_by.host, sent_by.port = borrow(host), port
    pjsip_dlg_set_via_sent_by(dialog, &sent_by, NULL)
    if username is not None:
        memset(&credentials, 0, sizeof(credentials))
        credentials.realm, credentials.scheme = borrow(any_realm), borrow(digest)
        credentials.username, credentials.data = borrow(username), borrow(password or b"")
        credentials.data_type = PJSIP_CRED_DATA_PLAIN_PASSWD
        pjsip_auth_clt_set_credentials(&dialog.auth_sess, 1, &credentials)
    status = pjsip_inv_create_uac(dialog, the_engine.placeholder, OPTIONS_OFFERED, &inv)
    if status != PJ_SUCCESS:
        pjsip_dlg_terminate(dialog)
        check(status, "create a call")
    session = Session()
    session.owner, session.local_sdp = owner, sdp
    session.attach(inv, agent, home)
    session.call_id = to_str(&dialog.call_id.id)
    session.local_host, session.local_port = host, port
    session.transport = "udp" if isinstance(home, Transport) else "tcp"
    pjsip_timer_init_session(inv, NULL)
    session.bind()
    status = pjsip_inv_invite(inv, &tdata)
    if status != PJ_SUCCESS:
        pjsip_inv_terminate(inv, 500, False)
        session.detach()
        check(status, "create an INVITE")
    hops = <pjsip_generic_int_hdr *>pjsip_msg_find_hdr(tdata.msg, PJSIP_H_MAX_FORWARDS, NULL)
    if hops != NULL:
        hops.ivalue = max_forwards
    add_headers(tdata, headers)
    add_headers(tdata, ((b"User-Agent", agent.product),))
    session.send(tdata)
    the_engine.settle()
    return session


def start(compare):
    """The engine with calls in it; `compare(before, now)` says whether a new offer leaves the session as it is."""
    global the_engine, the_calls
    cdef int symbol = 0
    if the_engine is not None:
        the_calls.compare = compare
        return the_engine
    engine = _pjsip.engine()
    fp_load(_pjsip.library().encode(), &symbol)  # (each extension module has a table of its own)
    the_engine = engine
    memset(&callbacks, 0, sizeof(callbacks))
    callbacks.on_state_changed = on_state
    callbacks.on_new_session = on_new_session
    callbacks.on_tsx_state_changed = on_tsx_state
    callbacks.on_rx_offer2 = on_offer
    callbacks.on_send_ack = on_send_ack
    check(pjsip_inv_usage_init(the_engine.endpt, &callbacks), "start its invite sessions")
    check(pjsip_100rel_init_module(the_engine.endpt), "start reliable provisional responses")
    check(pjsip_timer_init_module(the_engine.endpt), "start session timers")
    memset(&application, 0, sizeof(application))
    application.name.ptr = b"fp-calls"
    application.name.slen = 8
    application.id = -1
    application.priority = PJSIP_MOD_PRIORITY_APPLICATION
    application.on_rx_request = on_request
    check(pjsip_endpt_register_module(the_engine.endpt, &application), "take our module")
    the_calls = InviteCalls()
    the_calls.compare = compare
    the_engine.calls = the_calls
    return the_engine
