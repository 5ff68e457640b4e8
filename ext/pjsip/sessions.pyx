"""Call legs as PJSIP sees them: dialogs, invite sessions, and what PJSIP reports of them.

What happens to a Session is appended to its agent's `events` as (session, kind, status, reason, detail);
EVENT_ENDED is the last one of each session.
"""

from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uintptr_t
from libc.string cimport memset

from pjsip.pjsip cimport *
from pjsip.text cimport borrow, sip_uri, to_str, transport_wanted

from forkproxy.signalling._pjsip cimport Engine
from forkproxy.signalling._transports cimport Agent, Listener, Transport, check

import re

from forkproxy.errors import EngineError

EVENT_INVITE = INVITE
EVENT_PROGRESS = PROGRESS
EVENT_ANSWERED = ANSWERED
EVENT_CONFIRMED = CONFIRMED
EVENT_REOFFERED = REOFFERED
EVENT_REANSWERED = REANSWERED
EVENT_REFUSED = REFUSED
EVENT_WITHDRAWN = WITHDRAWN
EVENT_REQUESTED = REQUESTED
EVENT_RESPONDED = RESPONDED
EVENT_DESCRIBED = DESCRIBED
EVENT_ENDED = ENDED

cdef enum:
    NO_ANSWER = 406  # what PJSIP, too, calls the end of a call whose offer got no answer

cdef Engine the_engine = None
cdef int module = -1  # our index in the tables of what modules hang on to dialogs
cdef object unchanged = None  # (before, now) -> whether a new offer leaves the session as it is
cdef pjsip_inv_callback callbacks

cdef object RSEQ = re.compile(rb"^RSeq[ \t]*:\s*(\d{1,10})", re.IGNORECASE | re.MULTILINE)
cdef object names_refresher = re.compile(
    rb"^(?:Session-Expires|x)[ \t]*:[^\r\n]*;[ \t]*refresher[ \t]*=", re.IGNORECASE | re.MULTILINE
).search


def load(str path not None):
    """Fill this module's table of PJSIP's functions (engine.pyx has checked that they are there)."""
    cdef int symbol = 0
    fp_load(path.encode(), &symbol)


cdef class Request:
    """A request of the peer's within the dialog, which somebody else answers."""

    def respond(self, int status, bytes reason=None, headers=(), str kind="", bytes body=b""):
        """Answers it, once; `kind` is the body's media type."""
        cdef Session session = self.session
        cdef pj_str_t text
        cdef pj_str_t *phrase = NULL
        if session is None or session.inv == NULL:
            return
        if reason is not None:
            text = borrow(reason)
            phrase = &text
        session.requests.remove(self)
        self.session = None
        if pjsip_dlg_modify_response(session.inv.dlg, self.response, status, phrase) == PJ_SUCCESS:
            add_headers(self.response, headers)
            add_body(self.response, kind, body)
            session.bind()
            pjsip_dlg_send_response(session.inv.dlg, self.tsx, self.response)
        pjsip_tx_data_dec_ref(self.response)
        the_engine.settle()

    cdef void drop(self) noexcept:
        """Its transaction is gone."""
        self.session = None
        pjsip_tx_data_dec_ref(self.response)


cdef class Session:
    """One call leg. Methods raise EngineError when PJSIP refuses; after EVENT_ENDED they do nothing."""

    def __cinit__(self):
        self.requests, self.sent, self.rseq = [], {}, {}

    @property
    def over(self):
        return self.inv == NULL

    # -- what a leg does ------------------------------------------------------------------------------------

    def ring(self, int status, bytes reason=None, bytes sdp=None):
        """A provisional response; with `sdp`, which is then our answer (or offer) for good."""
        self.respond(status, reason, sdp)

    def answer(self, bytes sdp=None):
        """200 with `sdp`, or with the description that an earlier 183 carried."""
        self.respond(200, None, sdp)

    cdef int respond(self, int status, bytes reason, bytes sdp) except -1:
        cdef pjsip_tx_data *tdata = NULL
        cdef pj_str_t text
        cdef pj_str_t *phrase = NULL
        cdef pjmedia_sdp_session *session = NULL
        if not self.can_respond():
            return 0
        if (status < 200 and sdp is None and self.remote_sdp is None and self.local_sdp is None
                and self.inv.options & PJSIP_INV_REQUIRE_100REL):
            return 0  # the first reliable response would have to carry our offer (RFC 3261, 13.2.1)
        if sdp is not None and self.local_sdp is None:
            self.local_sdp = sdp
            session = the_engine.placeholder
        if reason is not None:
            text = borrow(reason)
            phrase = &text
        check(pjsip_inv_answer(self.inv, status, phrase, session, &tdata), "answer")
        self.send(tdata)
        the_engine.settle()
        return 0

    cdef bint can_respond(self) noexcept:
        return (self.inv != NULL and self.inv.role == PJSIP_ROLE_UAS
                and self.inv.state < PJSIP_INV_STATE_CONNECTING
                and self.inv.invite_tsx != NULL and self.inv.last_answer != NULL)

    def end(self, int status, bytes reason=None, headers=()):
        """Ends the leg as fits its state: final response, CANCEL or BYE; `headers` go on a final response."""
        cdef pjsip_tx_data *tdata = NULL
        cdef pj_str_t text
        cdef pj_str_t *phrase = NULL
        if self.inv == NULL or self.closing:
            return
        self.closing = True
        if self.inv.state < PJSIP_INV_STATE_CONNECTING and self.inv.invite_tsx == NULL:
            self.terminate(status)  # between two attempts of an INVITE: there is nothing to cancel
            return
        if reason is not None:
            text = borrow(reason)
            phrase = &text
        self.bind()
        self.unask()
        check(pjsip_inv_end_session(self.inv, status, phrase, &tdata), "end a call")
        if tdata != NULL:
            add_headers(tdata, headers)
            self.send(tdata)
        the_engine.settle()

    # -- other requests within the call ---------------------------------------------------------------------

    def request(self, bytes name not None, token, headers=(), str kind="", bytes body=b""):
        """Sends a request; EVENT_RESPONDED follows with (token, message or None). False: not now."""
        cdef pjsip_tx_data *tdata = NULL
        cdef pjsip_method method
        cdef pj_status_t status
        if (self.inv == NULL or self.closing or self.inv.state < PJSIP_INV_STATE_CONNECTING
                or self.inv.state > PJSIP_INV_STATE_CONFIRMED):
            return False
        method.id, method.name = PJSIP_OTHER_METHOD, borrow(name)
        self.bind()
        the_engine.stir()
        check(pjsip_dlg_create_request(self.inv.dlg, &method, -1, &tdata), "create a request")
        add_headers(tdata, headers)
        add_body(tdata, kind, body)
        self.sending = (name, token)
        status = pjsip_dlg_send_request(self.inv.dlg, tdata, -1, NULL)
        self.sending = None
        the_engine.settle()
        return status == PJ_SUCCESS

    cdef void begun_request(self, pjsip_transaction *tsx) noexcept:
        """One of them has a transaction: the one being sent, or one that repeats a challenged one."""
        cdef bytes name = to_str(&tsx.method.name).encode()
        if self.sending is not None:
            self.sent[<uintptr_t>tsx] = self.sending
            self.sending = None
            return
        for before, (method, _) in self.sent.items():
            status = (<pjsip_transaction *><uintptr_t>before).status_code
            if method == name and (status == 401 or status == 407):
                self.sent[<uintptr_t>tsx] = self.sent.pop(before)
                return

    cdef void answered_request(self, pjsip_transaction *tsx, pjsip_rx_data *rdata) noexcept:
        """The end of one of them; nothing if another transaction carries it on."""
        entry = self.sent.pop(<uintptr_t>tsx, None)
        if entry is not None:
            self.emit(RESPONDED, tsx.status_code, to_str(&tsx.status_text),
                      (entry[1], None if rdata == NULL else the_engine.message))

    cdef bint requested(self, pjsip_rx_data *rdata) except -1:
        """Takes a request of the peer's; somebody will answer it."""
        cdef Request request = Request()
        cdef pj_status_t status
        status = pjsip_dlg_create_response(self.inv.dlg, rdata, 200, NULL, &request.response)
        if status != PJ_SUCCESS:
            return False
        request.session, request.tsx = self, pjsip_rdata_get_tsx(rdata)
        request.method = to_str(&rdata.msg_info.msg.line.req.method.name)
        request.message = the_engine.message
        self.requests.append(request)
        self.emit(REQUESTED, 0, "", request)
        return True

    cdef bint repeated(self, pjsip_rx_data *rdata) except -1:
        """Whether a reliable provisional response has been here before, or another is missing before it."""
        found = RSEQ.search(the_engine.message)
        if found is None:
            return False
        sender = rdata.msg_info.cseq.cseq, to_str(&rdata.msg_info.to.tag)
        number = int(found[1])
        if self.rseq.setdefault(sender, number - 1) != number - 1:
            return True
        self.rseq[sender] = number
        return False

    # -- changing what was agreed on ------------------------------------------------------------------------

    def accept_reoffer(self, bytes sdp not None):
        """200 to the peer's re-INVITE: `sdp` answers its offer, or is the offer that it asked for."""
        cdef pjsip_tx_data *tdata = NULL
        cdef pjmedia_sdp_session *session = NULL
        if not self.can_reanswer():
            return
        self.asked = False
        if self.asked_sdp is None:
            check(pjsip_inv_set_local_sdp(self.inv, the_engine.placeholder), "offer")
            self.bargained, self.standing = True, self.local_sdp
        else:
            session = the_engine.placeholder
            self.remote_sdp = self.asked_sdp
        self.local_sdp = sdp
        check(pjsip_inv_answer(self.inv, 200, NULL, session, &tdata), "answer a re-INVITE")
        self.send(tdata)
        the_engine.settle()

    def refuse_reoffer(self, int status, bytes reason=None, headers=()):
        """A failure for the peer's re-INVITE: all stays as it was."""
        cdef pjsip_tx_data *tdata = NULL
        cdef pj_str_t text
        cdef pj_str_t *phrase = NULL
        if not self.can_reanswer():
            return
        self.asked = False
        if reason is not None:
            text = borrow(reason)
            phrase = &text
        check(pjsip_inv_answer(self.inv, status, phrase, NULL, &tdata), "refuse a re-INVITE")
        add_headers(tdata, headers)
        self.send(tdata)
        self.drop_offer()
        the_engine.settle()

    cdef bint can_reanswer(self) noexcept:
        return (self.inv != NULL and self.asked and self.inv.state == PJSIP_INV_STATE_CONFIRMED
                and self.inv.invite_tsx != NULL and self.inv.invite_tsx.role == PJSIP_ROLE_UAS
                and self.inv.invite_tsx.state == PJSIP_TSX_STATE_PROCEEDING and self.inv.last_answer != NULL)

    @property
    def idle(self):
        """Whether reoffer() can be called: the call is up, and nothing is being negotiated."""
        return (self.inv != NULL and not self.closing and self.inv.state == PJSIP_INV_STATE_CONFIRMED
                and self.inv.invite_tsx == NULL and self.inv.neg != NULL
                and pjmedia_sdp_neg_get_state(self.inv.neg) == PJMEDIA_SDP_NEG_STATE_DONE)

    def reoffer(self, bytes sdp not None):
        """A re-INVITE with `sdp`; EVENT_REANSWERED or EVENT_REFUSED follows. False: not now (see `idle`)."""
        cdef pjsip_tx_data *tdata = NULL
        if not self.idle:
            return False
        self.bind()
        the_engine.stir()
        check(pjsip_inv_reinvite(self.inv, NULL, the_engine.placeholder, &tdata), "create a re-INVITE")
        self.asking, self.standing, self.local_sdp = True, self.local_sdp, sdp
        add_headers(tdata, ((b"User-Agent", self.agent.product),))
        self.send(tdata)
        the_engine.settle()
        return True

    def withdraw_reoffer(self):
        """CANCEL our re-INVITE; EVENT_REFUSED follows, or EVENT_REANSWERED if the answer was on its way."""
        cdef pjsip_tx_data *tdata = NULL
        if (self.inv == NULL or not self.asking or self.inv.invite_tsx == NULL
                or self.inv.invite_tsx.role != PJSIP_ROLE_UAC
                or self.inv.invite_tsx.state > PJSIP_TSX_STATE_PROCEEDING
                or self.inv.state != PJSIP_INV_STATE_CONFIRMED):
            return
        if pjsip_inv_cancel_reinvite(self.inv, &tdata) == PJ_SUCCESS and tdata != NULL:
            self.send(tdata)
        the_engine.settle()

    cdef void drop_offer(self) noexcept:
        """PJSIP forgets the offer of a re-INVITE that failed in a way that it has no eye for."""
        cdef int state
        if self.inv == NULL or self.inv.neg == NULL:
            return
        state = pjmedia_sdp_neg_get_state(self.inv.neg)
        if state == PJMEDIA_SDP_NEG_STATE_LOCAL_OFFER or state == PJMEDIA_SDP_NEG_STATE_REMOTE_OFFER:
            pjmedia_sdp_neg_cancel_offer(self.inv.neg)

    cdef void unask(self) noexcept:
        """The session is over while a re-INVITE of the peer's waits: it gets its final response."""
        cdef pjsip_tx_data *tdata = NULL
        if (self.asked and self.inv.invite_tsx != NULL and self.inv.invite_tsx.role == PJSIP_ROLE_UAS
                and self.inv.invite_tsx.state == PJSIP_TSX_STATE_PROCEEDING
                and self.inv.last_answer != NULL):
            self.asked = False
            if pjsip_inv_answer(self.inv, 487, NULL, NULL, &tdata) == PJ_SUCCESS:
                pjsip_inv_send_msg(self.inv, tdata)

    cdef int say_bye(self, int status) except -1:
        """A BYE that nobody asked for now: the peer's own fault, or its 200 crossed our CANCEL."""
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

    def give_up(self):
        """Leaves an INVITE that has got no response at all (not even 100); nothing more is told of it.

        It is not repeated, a late provisional response is answered with CANCEL, and a late 200 with BYE.
        False: there has been a response, or there is no INVITE.
        """
        if (self.inv == NULL or self.closing or self.inv.role != PJSIP_ROLE_UAC
                or self.inv.state > PJSIP_INV_STATE_CALLING or self.inv.invite_tsx == NULL
                or self.inv.invite_tsx.state >= PJSIP_TSX_STATE_PROCEEDING):
            return False
        self.owner = None
        pjsip_tsx_stop_retransmit(self.inv.invite_tsx)
        self.end(408)
        return True

    cdef int send(self, pjsip_tx_data *tdata) except -1:
        """Sends for this session; a message that cannot be sent at all ends it with 503."""
        cdef pj_status_t status = pjsip_inv_send_msg(self.inv, tdata)
        if status != PJ_SUCCESS and self.inv != NULL:
            self.stuck = True
            the_engine.deferred.append(self)
        return 0

    # -- what happens to it ---------------------------------------------------------------------------------

    cdef void attach(self, pjsip_inv_session *inv, Agent agent, object home):
        self.inv, self.agent, self.home = inv, agent, home
        inv.dlg.mod_data[module] = <void *>self
        Py_INCREF(self)
        agent.sessions.add(self)

    cdef void detach(self):
        """The session is over; PJSIP may keep its dialog for a while."""
        cdef pjsip_cred_info none
        memset(&none, 0, sizeof(none))
        # a late 401 to our BYE must not be answered: PJSIP would use a session that is gone, and assert
        pjsip_auth_clt_set_credentials(&self.inv.dlg.auth_sess, 0, &none)
        for request in self.requests[:]:
            (<Request>request).respond(487)
        self.sent.clear()
        self.inv.dlg.mod_data[module] = NULL
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
            self.say_bye(487)  # the 200 crossed our CANCEL
        elif self.inv.state == PJSIP_INV_STATE_CONFIRMED and self.remote_sdp is None:
            self.say_bye(NO_ANSWER)
        elif self.inv.state == PJSIP_INV_STATE_CONFIRMED and self.unacknowledged:
            self.unacknowledged = False
            self.say_bye(408)  # RFC 3261 14.2: nobody acknowledged the 200 to a re-INVITE
        else:
            self.bind()
        if self.bargained and self.inv != NULL and self.inv.invite_tsx == NULL:
            self.bargained = False  # the ACK is there, and had no answer
            self.local_sdp = self.standing
            self.drop_offer()
            self.emit(REFUSED, 488, "No answer in the ACK")

    cdef void adopt(self, Transport transport):
        """The peer speaks to us by this connection: it is kept open for the call, and used."""
        if transport is None or not transport.stream or not transport.connected or self.inv == NULL:
            return
        if self.connection is not None and self.connection.connected:
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


cdef int add_body(pjsip_tx_data *tdata, str kind, bytes body) except -1:
    """Adds a body of this media type; its parameters are part of the subtype as far as PJSIP knows."""
    cdef pj_str_t type, subtype, text
    if not body or "/" not in kind:
        return 0
    main, _, rest = kind.partition("/")
    first, second = main.strip().encode(), rest.strip().encode()
    type, subtype, text = borrow(first), borrow(second), borrow(body)
    tdata.msg.body = pjsip_msg_body_create(tdata.pool, &type, &subtype, &text)
    return 0


cdef unsigned int options_of(Agent agent):
    """The extensions that we support in a call, as PJSIP's bits."""
    timer = agent.terms.timers != "off"
    return PJSIP_INV_SUPPORT_100REL | (PJSIP_INV_SUPPORT_TIMER if timer else 0)


cdef int start_timer(pjsip_inv_session *inv, object terms, bint caller) except -1:
    """Prepares a session timer as `terms` (a Terms) want it; `caller`: for an INVITE of ours.

    PJSIP takes nothing under RFC 4028's 90 seconds, and nobody's word on who refreshes; both can be written
    into its struct, where that looks as it must.
    """
    cdef pjsip_timer_setting setting
    cdef fp_session_timer *timer
    setting.min_se, setting.sess_expires = 90, 1800
    if terms.timers == "off":
        return 0
    check(pjsip_timer_init_session(inv, &setting), "start a session timer")
    timer = inv.timer
    if (timer == NULL or timer.active or timer.setting.min_se != 90 or timer.setting.sess_expires != 1800
            or timer.refresher != FP_REFRESHER_UNKNOWN):
        raise EngineError("PJSIP's session timers are not what they were")
    timer.setting.min_se, timer.setting.sess_expires = terms.min_expires, terms.expires
    if caller and terms.refresher != "any":
        timer.refresher = FP_REFRESHER_UAC if terms.refresher == "self" else FP_REFRESHER_UAS
    return 0


cdef int turn_timer(pjsip_inv_session *inv, object terms, bytes message, bint able) except -1:
    """Says who refreshes where a caller leaves it to us; `able`: it supports session timers."""
    if (inv.timer == NULL or not inv.timer.active or terms.refresher == "any"
            or names_refresher(message) is not None):
        return 0
    if terms.refresher == "self" or able:
        inv.timer.refresher = FP_REFRESHER_UAS if terms.refresher == "self" else FP_REFRESHER_UAC
    return 0


cdef Session session_of(pjsip_dialog *dialog):
    """The live session of a dialog, or None."""
    cdef void *data = dialog.mod_data[module] if dialog != NULL else NULL
    return <Session>data if data != NULL else None


# -- what PJSIP calls ---------------------------------------------------------------------------------------


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
        if rdata != NULL and rdata.msg_info.msg.type == PJSIP_RESPONSE_MSG and not hung_up_by_us(event):
            session.farewell = the_engine.message
        session.unask()
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
    # what is left is PJSIP's own doing: a transaction's or session's timer, no ACK, no PRACK; or a 200
    # without a session description, which the peer is to blame for
    return "remote" if session.inv.cause == NO_ANSWER else "timeout"


cdef bint hung_up_by_us(pjsip_event *event) noexcept:
    """Whether the end is the response to a BYE that PJSIP sent."""
    return (event.type == PJSIP_EVENT_TSX_STATE and event.body.tsx_state.tsx.role == PJSIP_ROLE_UAC
            and event.body.tsx_state.tsx.method.id == PJSIP_BYE_METHOD)


cdef void on_tsx_state(pjsip_inv_session *inv, pjsip_transaction *tsx, pjsip_event *event) noexcept:
    """Provisional responses, CANCEL, the peer's connection, and an INVITE that could not be repeated."""
    cdef Session session = session_of(inv.dlg)
    cdef pjsip_rx_data *rdata = received(event)
    cdef bytes sdp
    if session is None or session.inv != inv:
        return
    if rdata != NULL:
        session.adopt(the_engine.via)
    if tsx.method.id == PJSIP_OTHER_METHOD:
        if tsx.role == PJSIP_ROLE_UAC:
            if tsx.state < PJSIP_TSX_STATE_PROCEEDING:
                session.begun_request(tsx)
            elif tsx.state >= PJSIP_TSX_STATE_COMPLETED:
                session.answered_request(tsx, rdata)
        elif tsx.state >= PJSIP_TSX_STATE_TERMINATED:
            for request in session.requests[:]:
                if (<Request>request).tsx == tsx:
                    session.requests.remove(request)
                    (<Request>request).drop()
    if inv.state == PJSIP_INV_STATE_CONFIRMED:
        if tsx.method.id == PJSIP_INVITE_METHOD:
            on_reinvite_state(session, tsx, event, rdata)
        return
    if inv.role == PJSIP_ROLE_UAS and tsx.method.id == PJSIP_CANCEL_METHOD:
        session.cancelled = True
    if inv.role != PJSIP_ROLE_UAC or tsx.method.id != PJSIP_INVITE_METHOD:
        return
    if inv.state == PJSIP_INV_STATE_NULL and inv.invite_tsx == NULL:
        the_engine.deferred.append(session)
    elif (tsx.state == PJSIP_TSX_STATE_PROCEEDING and rdata != NULL and inv.state < PJSIP_INV_STATE_CONNECTING
          and rdata.msg_info.msg.line.status.code > 100 and not session.closing
          and not (rdata.msg_info.require != NULL and session.repeated(rdata))):
        sdp = the_engine.take_body()
        session.remote_sdp = sdp or session.remote_sdp
        session.emit(PROGRESS, rdata.msg_info.msg.line.status.code,
                     to_str(&rdata.msg_info.msg.line.status.reason), sdp)


cdef void on_reinvite_state(
        Session session, pjsip_transaction *tsx, pjsip_event *event, pjsip_rx_data *rdata) noexcept:
    """What becomes of a re-INVITE, the peer's or ours."""
    cdef bytes sdp
    if tsx.role == PJSIP_ROLE_UAS:
        if session.asked and tsx == session.inv.invite_tsx and tsx.status_code >= 300:
            session.asked = False  # a CANCEL of the peer's: PJSIP has answered 487
            session.drop_offer()
            session.emit(WITHDRAWN)
        elif (tsx.state == PJSIP_TSX_STATE_TERMINATED and event.type == PJSIP_EVENT_TSX_STATE
              and event.body.tsx_state.type == PJSIP_EVENT_TIMER and tsx.status_code == 408):
            session.unacknowledged = True
            the_engine.deferred.append(session)
        return
    if tsx.state < PJSIP_TSX_STATE_COMPLETED or tsx.status_code < 200:
        return
    if tsx.status_code < 300:
        if rdata == NULL:
            return
        sdp = the_engine.take_body()
        if session.asking:
            session.asking = False
            session.remote_sdp = sdp or session.remote_sdp
            session.emit(REANSWERED, tsx.status_code, to_str(&tsx.status_text), sdp)
        elif sdp is not None and not is_unchanged(session.remote_sdp, sdp):
            session.remote_sdp = sdp  # the answer to a refresh tells something new
            session.emit(REANSWERED, tsx.status_code, to_str(&tsx.status_text), sdp)
    elif session.inv.invite_tsx == NULL or session.inv.invite_tsx == tsx:  # it is not being repeated
        session.drop_offer()
        if session.asking:
            session.asking = False
            session.local_sdp = session.standing
            session.emit(REFUSED, tsx.status_code, to_str(&tsx.status_text))


cdef void on_offer(pjsip_inv_session *inv, pjsip_inv_on_rx_offer_cb_param *offer) noexcept:
    """An offer within the call. One that changes nothing is accepted, a re-INVITE's waits for on_reinvite(),
    and an UPDATE's is answered by the leg at once (RFC 3311, 5.2); without an answer PJSIP says 488."""
    cdef Session session = session_of(inv.dlg)
    cdef bytes sdp = the_engine.take_body()
    cdef bytes answer
    if session is None or session.local_sdp is None or sdp is None:
        return
    if not session.recording and is_unchanged(session.remote_sdp, sdp):
        pjsip_inv_set_sdp_answer(inv, the_engine.placeholder)
        session.agent.count("refreshed")
        return
    if (offer.rdata.msg_info.msg.line.req.method.id == PJSIP_INVITE_METHOD or session.closing
            or session.owner is None):
        return
    answer = session.owner.update(sdp)
    if answer is None:
        session.agent.count("reoffers_refused")
        return
    session.remote_sdp, session.local_sdp = sdp, answer
    pjsip_inv_set_sdp_answer(inv, the_engine.placeholder)
    session.agent.count("updated")


cdef pj_status_t on_reinvite(
        pjsip_inv_session *inv, const pjmedia_sdp_session *offer, pjsip_rx_data *rdata) noexcept:
    """A re-INVITE that wants something: the leg answers when it knows. (PJ_SUCCESS: PJSIP waits for that.)"""
    cdef Session session = session_of(inv.dlg)
    cdef pjsip_tx_data *tdata = NULL
    if (session is None or session.inv != inv or session.closing
            or pjmedia_sdp_neg_get_state(inv.neg) == PJMEDIA_SDP_NEG_STATE_WAIT_NEGO):
        return PJ_EPENDING
    if pjsip_inv_initial_answer(inv, rdata, 100, NULL, NULL, &tdata) != PJ_SUCCESS:
        return PJ_EPENDING
    session.asked, session.asked_sdp = True, the_engine.take_body() if offer != NULL else None
    session.send(tdata)
    session.emit(REOFFERED, 0, "", session.asked_sdp)
    return PJ_SUCCESS


cdef void on_media_update(pjsip_inv_session *inv, pj_status_t status) noexcept:
    """An offer has been answered: here it is the ACK that answers ours (the others are seen elsewhere)."""
    cdef Session session = session_of(inv.dlg)
    cdef bytes sdp
    if session is None or not session.bargained:
        return
    sdp = the_engine.take_body()
    if sdp is not None:
        session.bargained = False
        session.remote_sdp = sdp
        session.emit(REANSWERED, 200, "", sdp)


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


cdef bint is_unchanged(bytes before, bytes now):
    return before is not None and (before == now or bool(unchanged(before, now)))


cdef int register(Engine engine, int index, object compare) except -1:
    """Make PJSIP report to us; `index` is our module's."""
    global the_engine, module, unchanged
    the_engine, module, unchanged = engine, index, compare
    memset(&callbacks, 0, sizeof(callbacks))
    callbacks.on_state_changed = on_state
    callbacks.on_new_session = on_new_session
    callbacks.on_tsx_state_changed = on_tsx_state
    callbacks.on_rx_offer2 = on_offer
    callbacks.on_rx_reinvite = on_reinvite
    callbacks.on_media_update = on_media_update
    callbacks.on_send_ack = on_send_ack
    check(pjsip_inv_usage_init(engine.endpt, &callbacks), "start its invite sessions")
    check(pjsip_100rel_init_module(engine.endpt), "start reliable provisional responses")
    check(pjsip_timer_init_module(engine.endpt), "start session timers")
    return 0
