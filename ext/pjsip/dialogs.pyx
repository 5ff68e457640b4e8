"""Dialogs without an invite session: requests and responses with whatever bodies their owner wants.

PJSIP's invite sessions know one session description and nothing else. Who dials a recorder (RFC 7866) sends
several parts in a body, on INVITE, UPDATE and BYE alike, and minds offer and answer himself; so he gets
PJSIP's dialog, transactions and digest, and the rest is his. What happens is appended to the agent's `events`
as (dialog, kind, status, reason, detail), as with sessions.
"""

from libc.stdint cimport uintptr_t
from libc.string cimport memset

from pjsip.pjsip cimport *
from pjsip.text cimport borrow, to_str, transport_wanted

from forkproxy.signalling._pjsip cimport Bare, Engine
from forkproxy.signalling._sessions cimport add_headers, kind_of
from forkproxy.signalling._transports cimport Agent, Listener, Transport, check, direct

from forkproxy.signalling import _pjsip

EVENT_RESPONSE = RESPONSE
EVENT_REQUEST = REQUEST

cdef enum:
    RESPONSE = 100  # to the request `detail[0]`, which is `detail[1]`, the message; b"" when nobody sent one
    REQUEST = 101   # the peer's: `reason` is the method, `detail` its number and the message

cdef Engine the_engine = None
cdef pjsip_module usage


cdef class Dialog:
    """One dialog that we begin. Methods raise EngineError when PJSIP refuses; once it is over they do
    nothing.
    """

    cdef pjsip_dialog *dlg   # null once it is over
    cdef Agent agent
    cdef object home         # the datagram Transport or the stream Listener that it uses
    cdef dict sent           # our requests that have no final response yet: number -> method
    cdef set cancelled       # those of them that are to be cancelled as soon as that is allowed
    cdef dict ringing        # those of them that have a provisional response: number -> transaction
    cdef dict asked          # the peer's: number -> (transaction, response) as integers
    cdef long numbers
    cdef uintptr_t accepted  # the peer's INVITE transaction whose 200 waits for its ACK
    cdef bint challenged, has_credentials
    cdef bint reached        # the peer has said where it is
    cdef str peer            # until then, where the first requests go,
    cdef int peer_port
    cdef bytes name          # and the host that the target names
    cdef public object owner
    cdef readonly str call_id
    cdef readonly bytes local_host
    cdef readonly int local_port

    @property
    def over(self):
        return self.dlg == NULL

    # -- ours -----------------------------------------------------------------------------------------------

    def request(self, bytes method not None, list headers not None, bytes kind, bytes subkind, bytes body):
        """Sends a request; its number, which its responses bear. `kind`/`subkind` is the type of `body`."""
        cdef pjsip_tx_data *tdata = NULL
        cdef pjsip_method verb
        cdef pj_str_t name = borrow(method)
        if self.dlg == NULL:
            return 0
        pjsip_method_init(&verb, self.dlg.pool, &name)
        check(pjsip_dlg_create_request(self.dlg, &verb, -1, &tdata), "create a request")
        add_headers(tdata, headers)
        add_headers(tdata, ((b"User-Agent", self.agent.product),))
        fill(tdata, kind, subkind, body)
        self.numbers += 1
        self.sent[self.numbers] = method
        self.challenged = False
        number = self.numbers
        self.aim()
        self.dispatch(tdata, number)
        the_engine.settle()
        return number

    cdef int dispatch(self, pjsip_tx_data *tdata, long number) except -1:
        """A request that cannot even be sent ends with 503, as one whose connection fails."""
        if not self.reached and self.peer:
            direct(tdata, self.local_host, self.local_port, self.name, self.peer, self.peer_port,
                   kind_of(self.home))
        if (pjsip_dlg_send_request(self.dlg, tdata, usage.id, <void *><uintptr_t>number) != PJ_SUCCESS
                and number in self.sent):
            self.finish(number, 503, "Service Unavailable", b"")
        return 0

    def cancel(self, long number):
        """Gives up an INVITE. A 200 that comes all the same is acknowledged, and is the owner's to end."""
        if self.dlg == NULL or number not in self.sent:
            return
        self.aim()
        if number in self.ringing:
            self.send_cancel(<pjsip_transaction *><uintptr_t>self.ringing.pop(number))
        else:
            self.cancelled.add(number)  # nobody may be asked to cancel before he has said something
        the_engine.settle()

    def respond(self, long number, int status, bytes reason, list headers not None, bytes kind, bytes subkind,
                bytes body):
        """Answers a request of the peer's. What was answered before, or is over, needs no answer."""
        cdef pjsip_transaction *tsx
        cdef pjsip_tx_data *tdata
        cdef pj_str_t text
        cdef pj_str_t *phrase = NULL
        if self.dlg == NULL or number not in self.asked:
            return
        at, response = self.asked.pop(number)
        tsx, tdata = <pjsip_transaction *><uintptr_t>at, <pjsip_tx_data *><uintptr_t>response
        if reason is not None:
            text = borrow(reason)
            phrase = &text
        add_headers(tdata, headers)
        add_headers(tdata, ((b"Server", self.agent.product),))
        fill(tdata, kind, subkind, body)
        self.aim()
        if tsx.method.id == PJSIP_INVITE_METHOD and 200 <= status < 300:
            self.accepted = at
        if pjsip_dlg_modify_response(self.dlg, tdata, status, phrase) == PJ_SUCCESS:
            pjsip_dlg_send_response(self.dlg, tsx, tdata)
        pjsip_tx_data_dec_ref(tdata)
        the_engine.settle()

    def close(self):
        """Lets go of the dialog, without a message; responses that are still to come find nobody."""
        cdef pjsip_dialog *dialog = self.dlg
        cdef pjsip_cred_info none
        if dialog == NULL:
            return
        memset(&none, 0, sizeof(none))
        pjsip_auth_clt_set_credentials(&dialog.auth_sess, 0, &none)
        for _, response in self.asked.values():
            pjsip_tx_data_dec_ref(<pjsip_tx_data *><uintptr_t>response)
        self.asked.clear()
        self.sent.clear()
        self.ringing.clear()
        self.dlg = NULL
        dialog.mod_data[usage.id] = NULL
        self.agent.sessions.discard(self)
        pjsip_dlg_dec_session(dialog, &usage)

    def terminate(self, int status):
        """For the end of the endpoint."""
        for number in tuple(self.sent):
            self.finish(number, status, "", b"")
        self.close()

    def settle(self):
        """What could not be done within a callback."""
        if self.dlg != NULL:
            self.aim()

    # -- what happens to it ---------------------------------------------------------------------------------

    cdef int finish(self, long number, int status, str reason, bytes message) except -1:
        """The final response of a request of ours."""
        self.sent.pop(number, None)
        self.cancelled.discard(number)
        self.ringing.pop(number, None)
        self.agent.events.append((self, RESPONSE, status, reason, (number, message)))
        return 0

    cdef int responded(self, pjsip_transaction *tsx, pjsip_rx_data *rdata) except -1:
        """A transaction of ours has gone on."""
        cdef long number = <uintptr_t>tsx.mod_data[usage.id]
        cdef int status = tsx.status_code
        cdef bytes message = the_engine.message if rdata != NULL else b""
        if number not in self.sent:
            return 0
        if tsx.state == PJSIP_TSX_STATE_PROCEEDING and rdata != NULL:
            self.agent.events.append((self, RESPONSE, status, to_str(&tsx.status_text), (number, message)))
            if tsx.method.id != PJSIP_INVITE_METHOD:
                return 0
            if number in self.cancelled:
                self.cancelled.discard(number)
                self.send_cancel(tsx)
            else:
                self.ringing[number] = <uintptr_t>tsx
        elif tsx.state >= PJSIP_TSX_STATE_COMPLETED:
            self.ringing.pop(number, None)
            if (status == 401 or status == 407) and rdata != NULL and self.retry(tsx, rdata, number):
                return 0
            self.finish(number, status, to_str(&tsx.status_text), message)
        return 0

    cdef bint retry(self, pjsip_transaction *tsx, pjsip_rx_data *rdata, long number) except -1:
        """Answers a challenge, once. True: the request is on its way again."""
        cdef pjsip_tx_data *tdata = NULL
        if self.challenged or not self.has_credentials:
            return False
        self.challenged = True
        if pjsip_auth_clt_reinit_req(&self.dlg.auth_sess, rdata, tsx.last_tx, &tdata) != PJ_SUCCESS:
            return False
        tsx.mod_data[usage.id] = NULL  # what is left of it is of no interest
        self.dispatch(tdata, number)
        return True

    cdef int send_cancel(self, pjsip_transaction *tsx) except -1:
        cdef pjsip_tx_data *tdata = NULL
        if pjsip_endpt_create_cancel(the_engine.endpt, tsx.last_tx, &tdata) == PJ_SUCCESS:
            pjsip_dlg_send_request(self.dlg, tdata, -1, NULL)
        pjsip_tsx_set_timeout(tsx, pjsip_sip_cfg_var.tsx.td)  # nobody need answer what was cancelled (9.1)
        return 0

    cdef int acknowledge(self, int cseq) except -1:
        """ACK for a 2xx, also for one that is repeated."""
        cdef pjsip_tx_data *ack = NULL
        self.reached = True
        self.aim()
        if pjsip_dlg_create_request(self.dlg, pjsip_get_ack_method(), cseq, &ack) == PJ_SUCCESS:
            pjsip_dlg_send_request(self.dlg, ack, -1, NULL)
        return 0

    cdef int asks(self, pjsip_rx_data *rdata) except -1:
        """A request of the peer's."""
        cdef pjsip_tx_data *tdata = NULL
        cdef pjsip_transaction *tsx
        cdef int method = rdata.msg_info.msg.line.req.method.id
        cdef str name = to_str(&rdata.msg_info.msg.line.req.method.name)
        if method == PJSIP_ACK_METHOD:
            if self.accepted:
                tsx = <pjsip_transaction *>self.accepted
                self.accepted = 0
                pjsip_tsx_terminate(tsx, 200)
            return 0
        tsx = pjsip_rdata_get_tsx(rdata)
        if tsx == NULL or pjsip_dlg_create_response(self.dlg, rdata, 200, NULL, &tdata) != PJ_SUCCESS:
            return 0
        self.numbers += 1
        self.asked[self.numbers] = (<uintptr_t>tsx, <uintptr_t>tdata)
        self.agent.events.append((self, REQUEST, 0, name, (self.numbers, the_engine.message)))
        return 0

    cdef int gone(self, pjsip_transaction *tsx) except -1:
        """A transaction of the peer's is over."""
        if self.accepted == <uintptr_t>tsx:
            self.accepted = 0
        for number, (at, response) in tuple(self.asked.items()):
            if at == <uintptr_t>tsx:
                del self.asked[number]
                pjsip_tx_data_dec_ref(<pjsip_tx_data *><uintptr_t>response)
        return 0

    cdef int aim(self) except -1:
        """Makes the dialog use our socket of the kind that its next hop asks for."""
        cdef pjsip_dialog *dialog = self.dlg
        cdef pjsip_uri *hop = dialog.target
        cdef pjsip_tpselector selector
        cdef int kind, mine = kind_of(self.home)
        cdef object choice = self.home
        if dialog.route_set.next != &dialog.route_set:
            hop = dialog.route_set.next.name_addr.uri
        kind = transport_wanted(hop)
        if kind == PJSIP_TRANSPORT_UNSPECIFIED:
            kind = mine & ~PJSIP_TRANSPORT_IPV6
        kind |= mine & PJSIP_TRANSPORT_IPV6
        if kind != mine:
            choice = self.agent.listeners.get(kind)
        memset(&selector, 0, sizeof(selector))
        if isinstance(choice, Transport):
            selector.type = PJSIP_TPSELECTOR_TRANSPORT
            selector.target = &(<Transport>choice).c.base
        elif choice is not None:
            selector.type = PJSIP_TPSELECTOR_LISTENER
            selector.target = &(<Listener>choice).c.base
        if dialog.tp_sel.type != selector.type or dialog.tp_sel.target != selector.target:
            pjsip_dlg_set_transport(dialog, &selector)
        return 0


cdef int fill(pjsip_tx_data *tdata, bytes kind, bytes subkind, bytes body) except -1:
    """Gives a message its body, copied; the parameters of its type are part of `subkind`."""
    cdef pj_str_t type_, subtype, text
    if body is not None:
        type_, subtype, text = borrow(kind), borrow(subkind), borrow(body)
        tdata.msg.body = pjsip_msg_body_create(tdata.pool, &type_, &subtype, &text)
    return 0


cdef Dialog dialog_of(pjsip_dialog *dlg):
    """Ours, or None."""
    cdef void *data = dlg.mod_data[usage.id] if dlg != NULL else NULL
    return <Dialog>data if data != NULL else None


# -- what PJSIP calls ---------------------------------------------------------------------------------------


cdef pj_bool_t on_request(pjsip_rx_data *rdata) noexcept:
    cdef Dialog dialog = dialog_of(<pjsip_dialog *>rdata.mod_data[the_engine.dialog_module])
    if dialog is None:
        return False
    dialog.asks(rdata)
    return True


cdef pj_bool_t on_response(pjsip_rx_data *rdata) noexcept:
    cdef Dialog dialog = dialog_of(<pjsip_dialog *>rdata.mod_data[the_engine.dialog_module])
    if (dialog is not None and rdata.msg_info.cseq.method.id == PJSIP_INVITE_METHOD
            and 200 <= rdata.msg_info.msg.line.status.code < 300):
        dialog.acknowledge(rdata.msg_info.cseq.cseq)
    return False


cdef void on_tsx_state(pjsip_transaction *tsx, pjsip_event *event) noexcept:
    cdef Dialog dialog = dialog_of(pjsip_tsx_get_dlg(tsx))
    cdef pjsip_rx_data *rdata = NULL
    if dialog is None:
        return
    if event.type == PJSIP_EVENT_TSX_STATE and event.body.tsx_state.type == PJSIP_EVENT_RX_MSG:
        rdata = <pjsip_rx_data *>event.body.tsx_state.src
    if tsx.role == PJSIP_ROLE_UAC:
        dialog.responded(tsx, rdata)
    elif tsx.state == PJSIP_TSX_STATE_TERMINATED:
        dialog.gone(tsx)


cdef class BareDialogs(Bare):
    """The layer's side towards the engine."""

    cdef bint owns(self, pjsip_dialog *dialog) noexcept:
        return dialog.mod_data[usage.id] != NULL


def open_dialog(Agent agent not None, home not None, bytes target not None, bytes local not None,
                bytes remote not None, bytes contact not None, bytes host not None, int port,
                bytes username=None, bytes password=None, owner=None,
                str peer="", int peer_port=0, bytes name=b""):
    """A dialog with `target`; `local` and `remote` are what From and To say, `contact` the header of that
    name, `host`:`port` what Via says. Raises EngineError when PJSIP cannot use one of them.
    """
    cdef pjsip_dialog *dlg = NULL
    cdef pjsip_cred_info credentials
    cdef pjsip_host_port sent_by
    cdef pj_str_t from_, to, uri, ours
    cdef bytes any_realm = b"*"
    cdef bytes digest = b"digest"
    cdef Dialog dialog
    the_engine.stir()
    from_, to, uri, ours = borrow(local), borrow(remote), borrow(target), borrow(contact)
    cdef pj_status_t status = pjsip_dlg_create_uac(pjsip_ua_instance(), &from_, &ours, &to, &uri, &dlg)
    check(status, f"reach {target.decode()}")
    dialog = Dialog()
    dialog.dlg, dialog.agent, dialog.home, dialog.owner = dlg, agent, home, owner
    dialog.sent, dialog.asked, dialog.ringing, dialog.cancelled = {}, {}, {}, set()
    dialog.local_host, dialog.local_port = host, port
    dialog.call_id = to_str(&dlg.call_id.id)
    dialog.peer, dialog.peer_port, dialog.name = peer, peer_port, name
    sent_by.host, sent_by.port = borrow(host), port
    pjsip_dlg_set_via_sent_by(dlg, &sent_by, NULL)
    if username is not None:
        memset(&credentials, 0, sizeof(credentials))
        credentials.realm, credentials.scheme = borrow(any_realm), borrow(digest)
        credentials.username, credentials.data = borrow(username), borrow(password or b"")
        credentials.data_type = PJSIP_CRED_DATA_PLAIN_PASSWD
        pjsip_auth_clt_set_credentials(&dlg.auth_sess, 1, &credentials)
        dialog.has_credentials = True
    pjsip_dlg_inc_session(dlg, &usage)
    pjsip_dlg_add_usage(dlg, &usage, <void *>dialog)
    agent.sessions.add(dialog)  # keeps it alive, as PJSIP's pointer to it does not
    return dialog


def start():
    """Takes part in the engine that calls.pyx has started."""
    global the_engine
    cdef int symbol = 0
    if the_engine is not None:
        return
    fp_load(_pjsip.library().encode(), &symbol)
    engine = _pjsip.engine()
    memset(&usage, 0, sizeof(usage))
    usage.name.ptr = b"fp-dialogs"
    usage.name.slen = 10
    usage.id = -1
    usage.priority = PJSIP_MOD_PRIORITY_APPLICATION + 1
    usage.on_rx_request = on_request
    usage.on_rx_response = on_response
    usage.on_tsx_state = on_tsx_state
    the_engine = engine
    check(pjsip_endpt_register_module(the_engine.endpt, &usage), "take our module for dialogs")
    the_engine.bare = BareDialogs()
