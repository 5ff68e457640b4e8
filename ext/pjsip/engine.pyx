"""PJSIP without sockets: bytes and time in, bytes and events out.

One engine a process, because PJSIP's modules are static data in the shared object; any number of agents
(one for each SipEndpoint) share it. Everything here runs on the event loop's thread, so there are no locks.
PJSIP calls back only from within receive(), run_timers() and the methods of sessions; callbacks append to
the agent's `events` and return, and the caller of the engine delivers them after PJSIP's stack has unwound.

Session descriptions never reach PJSIP. Its negotiator sees PLACEHOLDER in both directions and keeps only
the state of offer and answer; the real bodies are taken from the received message, and put into the sent
one while it is printed. So nothing that a peer writes into SDP can reach one of the negotiator's
assertions, and what we forward is forwarded as it is.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport calloc, malloc
from libc.string cimport memcpy, memset, strlen

from pjsip.guard cimport (
    BAD_HEADER,
    BAD_LENGTH,
    BAD_SYNTAX,
    CLOSED,
    TAKEN,
    TOO_LONG,
    description,
    inspect,
    is_sdp,
)
from pjsip.pjsip cimport *

from forkproxy.signalling._transports cimport Core, Transport, check

from os import urandom

from forkproxy.errors import EngineError
from forkproxy.signalling import _transports

VERSION = "2.15.1"
WHEEL = "pjsua2-python==2.15.1.post1"
LIMIT = MESSAGE_LIMIT

VERDICT_SYNTAX = BAD_SYNTAX
VERDICT_HEADER = BAD_HEADER
VERDICT_LENGTH = BAD_LENGTH
VERDICT_TOO_LONG = TOO_LONG
VERDICT_CLOSED = CLOSED

cdef enum:
    MAX_TRANSACTIONS = 65535
    POOLED = 8 * 1024 * 1024  # octets of released pools that are kept for reuse

cdef bytes PLACEHOLDER = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 9 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)

cdef Engine the_engine = None


cdef class Engine(Core):
    """PJSIP's endpoint with its modules; `engine()` makes the only one."""

    cdef int start(self) except -1:
        pj_log_set_level(0)
        check(pj_init(), "start")
        check(pjlib_util_init(), "start its utilities")
        self.stir()
        pjsip_sip_cfg_var.tsx.max_count = MAX_TRANSACTIONS
        pjsip_sip_cfg_var.endpt.disable_tcp_switch = True  # the URI decides the transport, not the size
        pj_caching_pool_init(&self.caching, pj_pool_factory_get_default_policy(), POOLED)
        check(pjsip_endpt_create(&self.caching.factory, b"forkproxy", &self.endpt), "create its endpoint")
        self.manager = pjsip_endpt_get_tpmgr(self.endpt)
        self.heap = pjsip_endpt_get_timer_heap(self.endpt)
        pj_timer_heap_set_max_timed_out_per_poll(self.heap, 1000)
        self.install()
        check(pjsip_endpt_set_ext_resolver(self.endpt, &self.external), "take our resolver")
        check(pjsip_tsx_layer_init_module(self.endpt), "start its transaction layer")
        check(pjsip_ua_init_module(self.endpt, NULL), "start its dialog layer")
        self.dialog_module = pjsip_ua_instance().module.id
        self.rdata = <pjsip_rx_data *>calloc(1, sizeof(pjsip_rx_data))
        self.inbox = <char *>malloc(MESSAGE_LIMIT + 1)
        self.outbox = <char *>malloc(MESSAGE_LIMIT + 1)
        if self.rdata == NULL or self.inbox == NULL or self.outbox == NULL:
            raise MemoryError
        self.rdata.tp_info.pool = pjsip_endpt_create_pool(self.endpt, b"rx", 8192, 8192)
        self.placeholder_text = PLACEHOLDER
        check(pjmedia_sdp_parse(pjsip_endpt_create_pool(self.endpt, b"sdp", 4000, 4000),
                                PyBytes_AS_STRING(self.placeholder_text), len(PLACEHOLDER),
                                &self.placeholder), "parse the placeholder")
        check(pjmedia_sdp_validate2(self.placeholder, True), "accept the placeholder")
        memset(&self.printer, 0, sizeof(self.printer))
        self.printer.name.ptr = b"fp-print"
        self.printer.name.slen = 8
        self.printer.id = -1
        self.printer.priority = PJSIP_MOD_PRIORITY_TSX_LAYER - 4  # after all others, before PJSIP's printing
        self.printer.on_tx_request = on_print
        self.printer.on_tx_response = on_print
        check(pjsip_endpt_register_module(self.endpt, &self.printer), "take our printing module")
        return 0

    cdef int stir(self) except -1:
        """Fresh randomness for what PJSIP makes up next: tags, branches and Call-IDs must not be
        guessable, and its generator starts the same way in every process."""
        pj_srand(int.from_bytes(urandom(4), "little"))
        return 0

    # -- in -------------------------------------------------------------------------------------------------

    def receive(self, Transport transport not None, bytes data not None, str host not None, int port):
        """One whole message from `host`:`port`. Returns 0, or the verdict (VERDICT_...) on one not taken."""
        cdef Py_ssize_t length = PyBytes_GET_SIZE(data)
        cdef pjsip_rx_data *rdata = self.rdata
        cdef bytes literal = host.encode()
        cdef bint redirects = False
        cdef pjsip_msg_body *body
        cdef pjsip_process_rdata_param param
        cdef int verdict
        cdef Py_ssize_t head
        if not transport.alive or not transport.connected or self.inside:
            return CLOSED
        if length > MESSAGE_LIMIT:
            return TOO_LONG
        transport.agent.received += 1
        memcpy(self.inbox, PyBytes_AS_STRING(data), length + 1)
        pj_pool_reset(rdata.tp_info.pool)
        rdata.tp_info.transport = &transport.c.base
        if not fp_rx_reset(rdata, PyBytes_AS_STRING(literal), port, self.inbox, length):
            return CLOSED
        rdata.msg_info.msg = pjsip_parse_rdata(self.inbox, length, rdata)
        head = data.find(b"\r\n\r\n")
        verdict = inspect(rdata, length - (head + 4) if head >= 0 else -1, &redirects)
        if verdict != TAKEN:
            return verdict
        self.peer_host, self.peer_port, self.via, self.message = host, port, transport, data
        body = description(rdata)
        self.body = NULL
        if body != NULL:
            self.body, self.body_length = <char *>body.data, body.len
            body.data = PyBytes_AS_STRING(self.placeholder_text)
            body.len = PyBytes_GET_SIZE(self.placeholder_text)
        self.inside = 1
        try:
            if rdata.msg_info.msg.type == PJSIP_REQUEST_MSG:
                self.fix_route_back(rdata)
            if self.calls.before(rdata, redirects):
                memset(&param, 0, sizeof(param))
                param.silent = True
                pjsip_endpt_process_rx_data(self.endpt, rdata, &param, NULL)
        finally:
            self.inside = 0
            self.body = NULL
            self.via = self.message = None
        self.settle()
        return TAKEN

    cdef void fix_route_back(self, pjsip_rx_data *rdata) noexcept:
        """The response goes back by the transport that the request came by (RFC 3261 18.2.2, RFC 3581).

        PJSIP does so only where the peer asks for rport; for the others it would pick any socket of the kind.
        So they are treated as asking, with the port of their Via. A multicast address in Via is not followed.
        """
        rdata.msg_info.via.recvd_param.ptr = rdata.pkt_info.src_name
        rdata.msg_info.via.recvd_param.slen = strlen(rdata.pkt_info.src_name)
        rdata.msg_info.via.maddr_param.slen = 0
        if rdata.msg_info.via.rport_param == 0:
            rdata.msg_info.via.rport_param = rdata.pkt_info.src_port
        elif rdata.msg_info.via.rport_param < 0 and not (<Transport>self.via).stream:
            rdata.msg_info.via.rport_param = rdata.msg_info.via.sent_by.port or 5060
            fp_address(&rdata.pkt_info.src_addr, rdata.pkt_info.src_name, rdata.msg_info.via.rport_param)

    cdef bytes take_body(self):
        """The session description of the message being processed, or None."""
        if self.body == NULL:
            return None
        return PyBytes_FromStringAndSize(self.body, self.body_length)

    # -- time -----------------------------------------------------------------------------------------------

    def deadline(self):
        """When run_timers() is due, in seconds of the monotonic clock; None when nothing waits."""
        cdef pj_time_val earliest
        if pj_timer_heap_count(self.heap) == 0:
            return None
        if pj_timer_heap_earliest_time(self.heap, &earliest) != PJ_SUCCESS:
            return None
        return earliest.sec + earliest.msec / 1000.0

    def run_timers(self):
        """Runs what is due: retransmissions, time-outs, destructions."""
        cdef pj_time_val following
        if self.inside:
            return
        for _ in range(64):
            self.inside = 1
            pj_timer_heap_poll(self.heap, &following)
            self.inside = 0
            self.settle()
            if following.sec > 0 or following.msec > 0:
                break

    def set_timers(self, int t1=500, int t2=4000, int t4=5000, int td=32000):
        """RFC 3261's timers in milliseconds; `td` also stands for timers B, F, H and J. For tests."""
        pjsip_tsx_set_timers(t1, t2, t4, td)

    def counters(self):
        """What is held now; dialogs and transactions go a while after their calls, with their timers."""
        return {
            "dialogs": pjsip_ua_get_dlg_set_count(),
            "transactions": pjsip_tsx_layer_get_tsx_count(),
            "transports": self.transports,
            "timers": pj_timer_heap_count(self.heap),
            "pools": self.caching.used_count,
            "pool_bytes": fp_pool_bytes(&self.caching),
        }


# -- out ----------------------------------------------------------------------------------------------------


cdef int print_bytes(pjsip_msg_body *body, char *buffer, size_t size) noexcept:
    if size < body.len:
        return -1
    memcpy(buffer, body.data, body.len)
    return body.len


cdef pjsip_dialog *dialog_of(pjsip_tx_data *tdata) noexcept:
    """The dialog that a message is sent in, or null. (PJSIP's copies of responses forget theirs.)"""
    cdef pjsip_cid_hdr *call_id
    cdef pjsip_fromto_hdr *ours
    cdef pjsip_fromto_hdr *theirs
    if tdata.msg.type == PJSIP_REQUEST_MSG:
        return <pjsip_dialog *>tdata.mod_data[the_engine.dialog_module]
    call_id = <pjsip_cid_hdr *>pjsip_msg_find_hdr(tdata.msg, PJSIP_H_CALL_ID, NULL)
    ours = <pjsip_fromto_hdr *>pjsip_msg_find_hdr(tdata.msg, PJSIP_H_TO, NULL)
    theirs = <pjsip_fromto_hdr *>pjsip_msg_find_hdr(tdata.msg, PJSIP_H_FROM, NULL)
    if call_id == NULL or ours == NULL or theirs == NULL or ours.tag.slen <= 0:
        return NULL
    return pjsip_ua_find_dialog(&call_id.id, &ours.tag, &theirs.tag, False)


cdef pj_status_t on_print(pjsip_tx_data *tdata) noexcept:
    """Prints a message that is about to be sent, with the real description, into a buffer of its size.

    (PJSIP itself would take 4,000 octets for each, and refuse longer ones.)
    """
    cdef pjsip_msg_body *body = tdata.msg.body
    cdef pjsip_msg_body kept
    cdef pjsip_dialog *dialog
    cdef bytes text = None
    cdef ptrdiff_t length
    if tdata.buf.start != NULL and tdata.buf.cur != tdata.buf.start:
        return PJ_SUCCESS
    if body != NULL and is_sdp(&body.content_type) and body.print_body != pjsip_print_text_body:
        dialog = dialog_of(tdata)
        if dialog != NULL:
            text = the_engine.calls.local_description(dialog)
        if text is None:
            tdata.msg.body = NULL  # the placeholder must not be seen
        else:
            kept = body[0]
            body.data = PyBytes_AS_STRING(text)
            body.len = PyBytes_GET_SIZE(text)
            body.print_body = print_bytes
    length = pjsip_msg_print(tdata.msg, the_engine.outbox, MESSAGE_LIMIT)
    if text is not None:
        body.data, body.len, body.print_body = kept.data, kept.len, kept.print_body
    tdata.msg.body = body
    if length <= 0:
        return PJSIP_EMSGTOOLONG
    if tdata.buf.start == NULL or tdata.buf.end - tdata.buf.start < length + 1:
        tdata.buf.start = <char *>pj_pool_alloc(tdata.pool, length + 1)
        tdata.buf.end = tdata.buf.start + length + 1
    memcpy(tdata.buf.start, the_engine.outbox, length)
    tdata.buf.start[length] = 0
    tdata.buf.cur = tdata.buf.start + length
    return PJ_SUCCESS


cdef class Calls:
    """What the engine needs of the layer above it (calls.pyx)."""

    cdef bint before(self, pjsip_rx_data *rdata, bint redirects):
        return True

    cdef bytes local_description(self, pjsip_dialog *dialog):
        return None


cdef class Bare:
    """What the engine needs of dialogs without an invite session (dialogs.pyx)."""

    cdef bint owns(self, pjsip_dialog *dialog) noexcept:
        return False


def engine():
    """The process's engine, started at the first call.

    Raises EngineError when the wheel is missing, of another version, or lacks a symbol.
    """
    global the_engine
    if the_engine is not None:
        return the_engine
    load()
    _transports.load(library())
    the_engine = Engine()
    the_engine.calls = Calls()
    the_engine.bare = Bare()
    the_engine.start()
    return the_engine


cdef int load() except -1:
    cdef int symbol = 0
    cdef const char *problem
    cdef bytes path = library().encode()
    problem = fp_load(path, &symbol)
    if problem == NULL or symbol > 1:
        found = pj_get_version().decode()
        if found != VERSION:
            wanted = f"forkproxy is built for {VERSION}: install {WHEEL}"
            raise EngineError(f"PJSIP {found} is installed, {wanted}")
    if problem != NULL:
        what = f"has no symbol {problem.decode()}" if symbol else f"cannot be opened: {problem.decode()}"
        raise EngineError(f"PJSIP's library {path.decode()} {what}; install {WHEEL}")
    return 0


def library():
    """The path of the wheel's shared object. Raises EngineError when the wheel is not there."""
    try:
        import pjsua2

        pjsua2.Endpoint  # noqa: B018 (the package loads its library at the first attribute)
        return pjsua2._pjsua2.__file__
    except (ImportError, AttributeError) as error:
        raise EngineError(f"PJSIP cannot be loaded ({error}); install {WHEEL}") from error
