"""Calls that come in and go out, and the requests outside calls."""

from libc.string cimport memset

from pjsip.guard cimport is_method
from pjsip.pjsip cimport *
from pjsip.text cimport borrow, equals, sip_uri, to_str, uri_text

from forkproxy.signalling._pjsip cimport Calls, Engine
from forkproxy.signalling._sessions cimport (
    DESCRIBED,
    INVITE,
    Session,
    add_headers,
    kind_of,
    options_of,
    register,
    session_of,
    start_timer,
    turn_timer,
)
from forkproxy.signalling._transports cimport Agent, Transport, check, direct, scheme_of

from forkproxy.signalling import _pjsip, _sessions

KNOWN_METHODS = frozenset({"REGISTER", "INFO", "SUBSCRIBE", "NOTIFY", "PUBLISH", "MESSAGE", "REFER"})

cdef Engine the_engine = None
cdef object is_recording = None  # message -> whether it comes from a recording client
cdef InviteCalls the_calls = None
cdef pjsip_module application


cdef bytes contact(int kind, bytes host, int port, bint secure):
    """Our Contact, such that the peer's next request finds us; sips: where the call is (RFC 3261 12.1.1)."""
    cdef str scheme = scheme_of(kind)
    name = b"[" + host + b"]" if b":" in host else host
    if secure and scheme == "tls":
        return b"<sips:%b:%d>" % (name, port)
    transport = b"" if scheme == "udp" else b";transport=" + scheme.encode()
    return b"<sip:%b:%d%b>" % (name, port, transport)


cdef bint is_sips(const pjsip_uri *uri) noexcept:
    cdef bint secure = False
    return sip_uri(uri, &secure) != NULL and secure


cdef str user_of(pjsip_uri *uri):
    """Who is meant: the user part of a SIP URI, the number of a tel: URI, or ""."""
    cdef bint secure = False
    cdef pjsip_sip_uri *sip = sip_uri(uri, &secure)
    if sip != NULL:
        return to_str(&sip.user)
    if uri != NULL and equals(uri.vptr.p_get_scheme(uri), b"tel", 3):
        return to_str(&(<pjsip_tel_uri *>uri.vptr.p_get_uri(uri)).number)
    return ""


cdef str display_of(pjsip_uri *uri):
    """The display name of a From or To, without quotes."""
    if uri == NULL or uri.vptr.p_get_uri(uri) == <void *>uri:
        return ""
    return to_str(&(<pjsip_name_addr *>uri).display)


cdef pj_bool_t on_request(pjsip_rx_data *rdata) noexcept:
    """A request that belongs to no transaction and no dialog, or one that the invite session leaves to us."""
    cdef pjsip_dialog *dialog = pjsip_rdata_get_dlg(rdata)
    cdef Session session
    if dialog != NULL:
        session = session_of(dialog)
        return (session is not None and is_passed(&rdata.msg_info.msg.line.req.method)
                and session.requested(rdata))
    if rdata.msg_info.msg.line.req.method.id == PJSIP_INVITE_METHOD:
        incoming(rdata)
    else:
        the_engine.via.agent.count("stray_requests")
    return True


cdef bint is_passed(const pjsip_method *method) noexcept:
    """Whether such a request, within a call, is passed to the application."""
    return (is_method(method, b"INFO", 4) or is_method(method, b"MESSAGE", 7)
            or is_method(method, b"REFER", 5) or is_method(method, b"NOTIFY", 6))


cdef int refuse(pjsip_rx_data *rdata, int status, bint capabilities=False, headers=()) except -1:
    """Answers statelessly (0: not at all); an attacker's requests must not cost memory."""
    cdef pjsip_hdr head
    cdef const pjsip_hdr *header
    cdef pj_str_t name, value
    cdef bytes seconds = b"10"
    cdef bytes retry = b"Retry-After"
    if status == 0:
        return 0
    head.prev = head.next = &head
    for each, text in headers:
        name, value = borrow(each), borrow(text)
        pj_list_insert_before(&head, pjsip_generic_string_hdr_create(rdata.tp_info.pool, &name, &value))
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
    cdef unsigned int options = options_of(agent)
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
    verdict = agent.admit("INVITE", the_engine.peer_host, the_engine.peer_port, transport, the_engine.message)
    if len(verdict) == 2:
        return refuse(rdata, verdict[0], False, verdict[1])
    host, port, trunk = verdict
    the_engine.stir()
    if pjsip_inv_verify_request(rdata, &options, NULL, NULL, the_engine.endpt, &tdata) != PJ_SUCCESS:
        agent.count("unacceptable")
        if tdata != NULL:
            pjsip_endpt_send_response2(the_engine.endpt, rdata, tdata, NULL, NULL)
        return 0
    if agent.terms.reliable and the_engine.body != NULL and accepts(rdata, b"100rel"):
        options |= PJSIP_INV_REQUIRE_100REL
    if agent.terms.timers == "always":
        options |= PJSIP_INV_ALWAYS_USE_TIMER
    address = contact(transport.type, host, port, is_sips(rdata.msg_info.msg.line.req.uri))
    recording = bool(is_recording(the_engine.message))
    if recording:
        address += b";+sip.srs"
    ours = borrow(address)
    status = pjsip_dlg_create_uas_and_inc_lock(pjsip_ua_instance(), rdata, &ours, &dialog)
    if status != PJ_SUCCESS:
        agent.count("unacceptable")
        return refuse(rdata, 503 if status == PJ_ETOOMANY else 400)
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
    pjsip_dlg_add_usage(dialog, &application, NULL)
    session.attach(inv, agent, transport.listener if transport.stream else transport)
    session.incoming, session.recording, session.trunk = True, recording, trunk
    session.transport = transport.scheme
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
    start_timer(inv, agent.terms, False)
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
    turn_timer(inv, agent.terms, session.message, accepts(rdata, b"timer"))
    session.emit(INVITE, 0, "", session.remote_sdp)
    add_headers(tdata, ((b"Server", agent.product),))
    session.send(tdata)
    return 0


cdef bint accepts(pjsip_rx_data *rdata, bytes tag):
    """Whether the peer supports an extension."""
    cdef pjsip_generic_array_hdr *found = rdata.msg_info.supported
    cdef unsigned int i
    if found == NULL:
        return False
    for i in range(found.count):
        if equals(&found.values[i], tag, len(tag)):
            return True
    return False


cdef class InviteCalls(Calls):
    """The layer's side towards the engine."""

    cdef bint before(self, pjsip_rx_data *rdata, bint redirects):
        """Keeps from PJSIP what it does not handle or would trip over; True: it may have the message."""
        cdef pjsip_method *method
        cdef pjsip_dialog *dialog = NULL
        cdef Session session
        cdef bint ours
        cdef pj_str_t nobody
        if rdata.msg_info.msg.type == PJSIP_RESPONSE_MSG:
            dialog = dialog_of_response(rdata)
            if dialog == NULL and not is_awaited(rdata):
                the_engine.via.agent.count("stray_responses")  # for nothing, or of one more forked callee
            elif redirects and dialog != NULL:
                loosen(dialog)
            return True
        method = &rdata.msg_info.msg.line.req.method
        take_siprec(rdata)
        ours = (method.id <= PJSIP_BYE_METHOD or is_method(method, b"PRACK", 5)
                or is_method(method, b"UPDATE", 6))
        if rdata.msg_info.to.tag.slen > 0:
            dialog = pjsip_ua_find_dialog(
                &rdata.msg_info.cid.id, &rdata.msg_info.to.tag, &rdata.msg_info.from_.tag, False)
            if dialog == NULL:
                nobody.ptr = NULL
                nobody.slen = 0
                dialog = pjsip_ua_find_dialog(&rdata.msg_info.cid.id, &rdata.msg_info.to.tag, &nobody, False)
        elif method.id == PJSIP_INVITE_METHOD or method.id == PJSIP_ACK_METHOD:
            return True  # a new call, or the ACK of a call that was refused
        if dialog != NULL and the_engine.bare.owns(dialog):
            return True
        if not ours:
            if dialog != NULL and is_passed(method):
                session = session_of(dialog)
                if session is not None and session.inv.state >= PJSIP_INV_STATE_EARLY:
                    return True
                return is_known(rdata) or self.other(rdata, method, dialog) != 0
            self.other(rdata, method, dialog)
            return False
        if method.id == PJSIP_CANCEL_METHOD:
            session = session_of(dialog_of_cancel(rdata))
            if session is not None:
                session.farewell = the_engine.message
            return is_known(rdata) or self.unmatched(rdata)
        if dialog == NULL:
            return is_known(rdata) or self.unmatched(rdata)
        session = session_of(dialog)
        if session is None:
            if method.id == PJSIP_ACK_METHOD or method.id == PJSIP_BYE_METHOD:
                return True
            refuse(rdata, 481)
            return False
        if method.id == PJSIP_BYE_METHOD:
            session.farewell = the_engine.message
        if method.id == PJSIP_ACK_METHOD:
            if session.bargained:
                the_engine.deferred.append(session)  # it may lack the answer
            return session.inv.state >= PJSIP_INV_STATE_EARLY
        if session.inv.state < PJSIP_INV_STATE_EARLY:
            refuse(rdata, 481)
            return False
        if method.id == PJSIP_INVITE_METHOD and session.inv.state < PJSIP_INV_STATE_CONFIRMED and (
                not is_known(rdata)):
            refuse(rdata, 491)  # RFC 5407, 3.1.5: an offer before our 200 is acknowledged
            return False
        if is_method(method, b"UPDATE", 6) and session.inv.neg == NULL:
            refuse(rdata, 491)
            return False
        if is_method(method, b"PRACK", 5) and (
                session.inv.neg == NULL
                or pjmedia_sdp_neg_get_state(session.inv.neg) != PJMEDIA_SDP_NEG_STATE_LOCAL_OFFER):
            rdata.msg_info.msg.body = NULL  # an offer in PRACK: PJSIP would assert when we do not answer it
        if session.recording and rdata.msg_info.msg.body != NULL and not is_known(rdata):
            session.emit(DESCRIBED, 0, "", the_engine.message)
            if the_engine.take_body() is None:
                rdata.msg_info.msg.body = NULL  # metadata alone: PJSIP takes every body for an offer
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
            verdict = agent.admit(name, the_engine.peer_host, the_engine.peer_port, the_engine.via,
                                  the_engine.message)
            if len(verdict) == 2:
                return refuse(rdata, verdict[0], False, verdict[1])
        if method.id == PJSIP_OPTIONS_METHOD:
            agent.count("options")
            return refuse(rdata, 200, True)
        agent.count("methods_refused")
        return refuse(rdata, 405 if name in KNOWN_METHODS else 501, True)

    cdef bytes local_description(self, pjsip_dialog *dialog):
        cdef Session session = session_of(dialog)
        return None if session is None else session.local_sdp


cdef void take_siprec(pjsip_rx_data *rdata) noexcept:
    """Takes `siprec` out of Require: PJSIP refuses what it does not know, and would tell everybody of it in
    Supported if it did."""
    cdef pjsip_hdr *header = rdata.msg_info.msg.hdr.next
    cdef pjsip_generic_array_hdr *require
    cdef unsigned int i, kept
    while header != &rdata.msg_info.msg.hdr:
        if header.type == PJSIP_H_REQUIRE:
            require = <pjsip_generic_array_hdr *>header
            kept = 0
            for i in range(require.count):
                if not equals(&require.values[i], b"siprec", 6):
                    require.values[kept] = require.values[i]
                    kept += 1
            require.count = kept
        header = header.next


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


cdef bint is_awaited(pjsip_rx_data *rdata) noexcept:
    """Whether a response is for a request that we sent, outside of dialogs or within."""
    cdef pj_str_t key
    cdef pjsip_method *method = &rdata.msg_info.cseq.method
    return (pjsip_tsx_create_key(rdata.tp_info.pool, &key, PJSIP_ROLE_UAC, method, rdata) == PJ_SUCCESS
            and pjsip_tsx_layer_find_tsx(&key, False) != NULL)


cdef pjsip_dialog *dialog_of_cancel(pjsip_rx_data *rdata) noexcept:
    """The dialog of the INVITE that a CANCEL is for, or null."""
    cdef pj_str_t key
    cdef pjsip_method invite
    cdef pjsip_transaction *tsx = NULL
    invite.id = PJSIP_INVITE_METHOD
    invite.name = rdata.msg_info.cseq.method.name
    if pjsip_tsx_create_key(rdata.tp_info.pool, &key, PJSIP_ROLE_UAS, &invite, rdata) == PJ_SUCCESS:
        tsx = pjsip_tsx_layer_find_tsx(&key, False)
    return pjsip_tsx_get_dlg(tsx) if tsx != NULL else NULL


cdef pjsip_dialog *dialog_of_response(pjsip_rx_data *rdata) noexcept:
    """The dialog that a response is for, or null."""
    cdef pj_str_t key
    cdef pjsip_transaction *tsx = NULL
    cdef pjsip_method *method = &rdata.msg_info.cseq.method
    if pjsip_tsx_create_key(rdata.tp_info.pool, &key, PJSIP_ROLE_UAC, method, rdata) == PJ_SUCCESS:
        tsx = pjsip_tsx_layer_find_tsx(&key, False)
    if tsx != NULL:
        return pjsip_tsx_get_dlg(tsx)
    return pjsip_ua_find_dialog(
        &rdata.msg_info.cid.id, &rdata.msg_info.from_.tag, &rdata.msg_info.to.tag, False)


cdef void loosen(pjsip_dialog *dialog) noexcept:
    """Before a message that may move the peer to another transport: PJSIP refuses to send where the dialog's
    choice and the peer's new URI differ, so there is no choice until settle() makes the next one."""
    cdef Session session = session_of(dialog)
    cdef pjsip_tpselector selector
    if session is not None:
        memset(&selector, 0, sizeof(selector))
        pjsip_dlg_set_transport(dialog, &selector)
        the_engine.deferred.append(session)


def invite(Agent agent not None, home not None, bytes target not None, bytes local not None,
           bytes remote not None, bytes host not None, int port, bytes sdp not None, list headers not None,
           bytes username=None, bytes password=None, int max_forwards=70, owner=None, str peer=None,
           int peer_port=0, bytes name=b""):
    """Dials `target`; `local` and `remote` are what From and To say, `host`:`port` what Contact and Via say.

    `peer`:`peer_port` is where to, an IP literal; without it PJSIP asks the resolver. `name` is who is meant.

    Raises EngineError when PJSIP cannot use one of them; what goes wrong later is an event.
    """
    cdef pjsip_dialog *dialog = NULL
    cdef pjsip_inv_session *inv = NULL
    cdef pjsip_tx_data *tdata = NULL
    cdef pjsip_cred_info credentials
    cdef pjsip_host_port sent_by
    cdef pjsip_generic_int_hdr *hops
    cdef pj_str_t from_, to, uri, ours
    cdef bytes address = contact(kind_of(home), host, port, target[:5].lower() == b"sips:")
    cdef bytes any_realm = b"*"
    cdef bytes digest = b"digest"
    cdef pj_status_t status
    cdef Session session
    the_engine.stir()
    from_, to, uri, ours = borrow(local), borrow(remote), borrow(target), borrow(address)
    status = pjsip_dlg_create_uac(pjsip_ua_instance(), &from_, &ours, &to, &uri, &dialog)
    check(status, f"call {target.decode()}")
    sent_by.host, sent_by.port = borrow(host), port
    pjsip_dlg_set_via_sent_by(dialog, &sent_by, NULL)
    if username is not None:
        memset(&credentials, 0, sizeof(credentials))
        credentials.realm, credentials.scheme = borrow(any_realm), borrow(digest)
        credentials.username, credentials.data = borrow(username), borrow(password or b"")
        credentials.data_type = PJSIP_CRED_DATA_PLAIN_PASSWD
        pjsip_auth_clt_set_credentials(&dialog.auth_sess, 1, &credentials)
    status = pjsip_inv_create_uac(dialog, the_engine.placeholder, options_of(agent), &inv)
    if status != PJ_SUCCESS:
        pjsip_dlg_terminate(dialog)
        check(status, "create a call")
    session = Session()
    session.owner, session.local_sdp = owner, sdp
    pjsip_dlg_add_usage(dialog, &application, NULL)
    session.attach(inv, agent, home)
    session.call_id = to_str(&dialog.call_id.id)
    session.local_host, session.local_port = host, port
    session.transport = scheme_of(kind_of(home))
    start_timer(inv, agent.terms, True)
    session.bind()
    status = pjsip_inv_invite(inv, &tdata)
    if status != PJ_SUCCESS:
        pjsip_inv_terminate(inv, 500, False)
        session.detach()
        check(status, "create an INVITE")
    hops = <pjsip_generic_int_hdr *>pjsip_msg_find_hdr(tdata.msg, PJSIP_H_MAX_FORWARDS, NULL)
    if hops != NULL:
        hops.ivalue = max_forwards
    if peer is not None:
        direct(tdata, host, port, name, peer, peer_port, kind_of(home))
    add_headers(tdata, headers)
    add_headers(tdata, ((b"User-Agent", agent.product),))
    session.send(tdata)
    the_engine.settle()
    return session


def start(compare, records):
    """The engine with calls in it.

    `compare(before, now)`: whether a new offer changes nothing; `records(message)`: whether an INVITE comes
    from a recording client.
    """
    global the_engine, the_calls, is_recording
    cdef int symbol = 0
    cdef pj_str_t tags[2]
    cdef bytes info = b"INFO"
    cdef bytes message = b"MESSAGE"
    if the_engine is not None:
        return the_engine
    is_recording = records
    engine = _pjsip.engine()
    _sessions.load(_pjsip.library())  # (each extension module has a table of functions of its own)
    fp_load(_pjsip.library().encode(), &symbol)
    the_engine = engine
    memset(&application, 0, sizeof(application))
    application.name.ptr = b"fp-calls"
    application.name.slen = 8
    application.id = -1
    application.priority = PJSIP_MOD_PRIORITY_APPLICATION
    application.on_rx_request = on_request
    check(pjsip_endpt_register_module(the_engine.endpt, &application), "take our module")
    register(the_engine, application.id, compare)
    tags[0], tags[1] = borrow(info), borrow(message)
    check(pjsip_endpt_add_capability(the_engine.endpt, &application, PJSIP_H_ALLOW, NULL, 2, tags),
          "tell of INFO and MESSAGE")
    the_calls = InviteCalls()
    the_engine.calls = the_calls
    return the_engine
