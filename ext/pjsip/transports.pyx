"""The sockets as PJSIP sees them: transports without I/O, listeners, and the resolver hook.

asyncio owns every socket. A Transport hands PJSIP's bytes to a Python callable, and tells PJSIP when its
connection has come about or has ended; what comes in goes to the engine (engine.pyx).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.string cimport memcpy, memset

from pjsip.pjsip cimport *
from pjsip.text cimport borrow, to_str

from forkproxy.errors import EngineError

cdef enum:
    LONGEST_DATAGRAM = 65507  # what UDP over IPv4 carries

cdef Core the_core = None


def load(str path not None):
    """Fill this module's table of PJSIP's functions (engine.pyx has checked that they are there)."""
    cdef int symbol = 0
    fp_load(path.encode(), &symbol)


cdef str explain(pj_status_t status):
    """PJSIP's own words for a status."""
    cdef char buffer[256]
    cdef pj_str_t text = pj_strerror(status, buffer, sizeof(buffer))
    return to_str(&text)


cdef int check(pj_status_t status, str what) except -1:
    """Raises EngineError: what could not be done, and PJSIP's reason."""
    if status != PJ_SUCCESS:
        raise EngineError(f"PJSIP could not {what}: {explain(status)} ({status})")
    return 0


cdef str scheme_of(int kind):
    """``udp``, ``tcp`` or ``tls``."""
    kind &= ~PJSIP_TRANSPORT_IPV6
    return "udp" if kind == PJSIP_TRANSPORT_UDP else "tcp" if kind == PJSIP_TRANSPORT_TCP else "tls"


cdef class Core:
    """What transports need of the engine, which is one of these."""

    def __cinit__(self):
        self.keep = []
        self.deferred = []
        self.transports = self.inside = 0

    cdef void install(self):
        """Be the core of all transports, and PJSIP's resolver."""
        global the_core
        the_core = self
        self.external.resolve = on_resolve

    cdef int settle(self) except -1:
        """What callbacks put off until PJSIP's stack has unwound."""
        cdef list work
        while self.deferred and not self.inside:
            work, self.deferred = self.deferred, []
            for session in work:
                session.settle()
        return 0


cdef class Agent:
    """One user agent (a SipEndpoint) in the shared engine.

    `admit(method, host, port, transport, message)` decides on a request outside dialogs: the address (bytes,
    int) to name in Contact and Via and the caller's trunk (a name or None), or the status to refuse with
    (0: without an answer) and headers for that.
    """

    def __init__(self, bytes product not None, admit not None):
        self.product = product
        self.admit = admit
        self.events = []
        self.counts = {}
        self.listeners = {}
        self.sessions = set()
        self.received = self.sent = 0

    cdef void count(self, str what):
        self.counts[what] = self.counts.get(what, 0) + 1


cdef class Transport:
    """A datagram socket, or one stream connection, as PJSIP sees it.

    `send(data, (host, port))` (datagram) or `send(data)` (stream) queues bytes; `close()` ends a connection.
    """

    def __cinit__(self):
        self.alive = self.connected = False
        self.name = ""
        self.pending = []
        self.sessions = set()

    cdef int open(self, Agent agent, int kind, str host, int port, Listener listener, bytes local_host,
                  int local_port, int direction) except -1:
        cdef pjsip_transport *tp = &self.c.base
        self.agent, self.listener, self.host, self.port = agent, listener, host, port
        self.stream = (kind & ~PJSIP_TRANSPORT_IPV6) != PJSIP_TRANSPORT_UDP
        self.scheme = scheme_of(kind)
        self.type = kind
        self.local_host, self.local_port = local_host, local_port
        self.remote_host = host.encode()
        self.remote_name = self.name.encode() if self.name else self.remote_host
        self.label = self.scheme.encode()
        tp.pool = pjsip_endpt_create_pool(the_core.endpt, b"fp", 512, 512)
        check(pj_atomic_create(tp.pool, 0, &tp.ref_cnt), "create a counter")
        check(pj_lock_create_recursive_mutex(tp.pool, b"fp", &tp.lock), "create a lock")
        memcpy(tp.obj_name, PyBytes_AS_STRING(self.label), 3)
        tp.key.type = kind
        if self.stream:
            tp.addr_len = fp_address(&tp.key.rem_addr, PyBytes_AS_STRING(self.remote_host), port)
            tp.flag = listener.c.base.flag
            tp.remote_name.host = borrow(self.remote_name)  # over TLS, only requests to this name use it
            tp.remote_name.port = port
            tp.factory = &listener.c.base
            tp.type_name = tp.info = listener.c.base.type_name
        else:
            tp.addr_len = fp_any_peer(&tp.key.rem_addr, kind & PJSIP_TRANSPORT_IPV6)
            tp.flag = PJSIP_TRANSPORT_DATAGRAM
            tp.type_name = tp.info = b"UDP"
        fp_any_peer(&tp.local_addr, kind & PJSIP_TRANSPORT_IPV6)
        tp.local_name.host = borrow(local_host)
        tp.local_name.port = local_port
        tp.dir = direction
        tp.endpt = the_core.endpt
        tp.tpmgr = the_core.manager
        tp.send_msg = on_send
        tp.destroy = on_destroy
        self.c.owner = <void *>self
        check(pjsip_transport_register(the_core.manager, tp), "register a transport")
        Py_INCREF(self)
        self.alive = True
        the_core.transports += 1
        if not self.stream:
            self.connected = True
            pjsip_transport_add_ref(tp)  # so that the idle timer leaves it alone until shut()
        return 0

    def established(self, send not None, close not None):
        """The connection that create_connection() was asked for is there: what waited is sent."""
        cdef list waiting = self.pending
        self.send, self.close = send, close
        self.connected = True
        self.pending = []
        for data, token, callback in waiting:
            self.transmit(data)
            (<pjsip_transport_callback><size_t>callback)(&self.c.base, <void *><size_t>token, len(data))
        the_core.settle()

    cdef int transmit(self, bytes data) except -1:
        self.agent.sent += 1
        if the_core.trace is not None:
            the_core.trace(self, True, data, self.host, self.port)
        self.send(data)
        return 0

    def lost(self):
        """The connection has ended or never came about: transactions on it fail at once."""
        cdef pjsip_transport_state_info info
        cdef pjsip_tp_state_callback tell
        cdef list waiting = self.pending
        if not self.alive or not self.stream or self.c.base.is_shutdown:
            return
        self.connected = False
        self.send = None
        self.pending = []
        pjsip_transport_add_ref(&self.c.base)
        for _, token, callback in waiting:
            (<pjsip_transport_callback><size_t>callback)(
                &self.c.base, <void *><size_t>token, -<ptrdiff_t>PJ_ESOCKETSTOP)
        memset(&info, 0, sizeof(info))
        info.status = PJ_ESOCKETSTOP
        tell = pjsip_tpmgr_get_state_cb(the_core.manager)
        if tell != NULL:
            tell(&self.c.base, PJSIP_TP_STATE_DISCONNECTED, &info)
        pjsip_transport_shutdown(&self.c.base)
        for session in tuple(self.sessions):
            the_core.deferred.append(session)
        pjsip_transport_dec_ref(&self.c.base)
        the_core.settle()

    def shut(self):
        """The datagram socket is closed; this lives on until its last transaction has ended."""
        if self.alive and not self.stream and self.connected:
            self.connected = False
            self.send = None
            pjsip_transport_shutdown(&self.c.base)
            pjsip_transport_dec_ref(&self.c.base)

    @property
    def in_use(self):
        """Whether a call depends on this connection."""
        return bool(self.sessions) or bool(self.pending)


def datagrams(Agent agent not None, bint v6, bytes host not None, int port, send not None):
    """The transport for a UDP socket; `host`:`port` is what its Via says unless a call says otherwise."""
    cdef Transport transport = Transport()
    cdef int kind = PJSIP_TRANSPORT_UDP | (PJSIP_TRANSPORT_IPV6 if v6 else 0)
    transport.send = send
    transport.open(agent, kind, "", 0, None, host, port, PJSIP_TP_DIR_NONE)
    agent.listeners.setdefault(kind, transport)
    return transport


cdef pj_status_t on_send(pjsip_transport *tp, pjsip_tx_data *tdata, const void *address, int length,
                         void *token, pjsip_transport_callback callback) noexcept:
    cdef Transport transport = <Transport>(<fp_transport *>tp).owner
    cdef bytes data
    cdef str host
    data = PyBytes_FromStringAndSize(tdata.buf.start, tdata.buf.cur - tdata.buf.start)
    if transport.connected:
        try:
            if transport.stream:
                transport.transmit(data)
            elif PyBytes_GET_SIZE(data) > LONGEST_DATAGRAM:
                return PJSIP_EMSGTOOLONG
            else:
                transport.agent.sent += 1
                host = tdata.tp_info.dst_name.decode("ascii", "replace")
                if the_core.trace is not None:
                    the_core.trace(transport, True, data, host, tdata.tp_info.dst_port)
                transport.send(data, (host, tdata.tp_info.dst_port))
        except Exception:
            transport.agent.count("send_errors")
            return PJ_ESOCKETSTOP
        return PJ_SUCCESS
    if transport.stream and transport.alive and not tp.is_shutdown:
        transport.pending.append((data, <size_t>token, <size_t>callback))
        return PJ_EPENDING
    transport.agent.count("send_errors")
    return PJ_ESOCKETSTOP


cdef pj_status_t on_destroy(pjsip_transport *tp) noexcept:
    cdef Transport transport = <Transport>(<fp_transport *>tp).owner
    transport.alive = transport.connected = False
    the_core.transports -= 1
    pj_lock_destroy(tp.lock)
    pj_atomic_destroy(tp.ref_cnt)
    pjsip_endpt_release_pool(the_core.endpt, tp.pool)
    if transport.close is not None:
        try:
            transport.close()
        finally:
            transport.close = transport.send = None
    Py_DECREF(transport)
    return PJ_SUCCESS


cdef class Listener:
    """A stream listener: the factory for connections that we open, and the parent of those that we accept."""

    def __init__(self, Agent agent not None, bint secure, bint v6, bytes host not None, int port,
                 connect not None):
        cdef pjsip_tpfactory *factory = &self.c.base
        cdef int kind = PJSIP_TRANSPORT_TLS if secure else PJSIP_TRANSPORT_TCP
        if v6:
            kind |= PJSIP_TRANSPORT_IPV6
        self.agent, self.connect, self.local_host, self.local_port = agent, connect, host, port
        factory.pool = pjsip_endpt_create_pool(the_core.endpt, b"fpl", 512, 512)
        check(pj_lock_create_recursive_mutex(factory.pool, b"fpl", &factory.lock), "create a lock")
        memcpy(factory.obj_name, b"tlslis" if secure else b"tcplis", 6)
        factory.type = kind
        factory.type_name = factory.info = b"TLS" if secure else b"TCP"
        factory.flag = PJSIP_TRANSPORT_RELIABLE | (PJSIP_TRANSPORT_SECURE if secure else 0)
        fp_any_peer(&factory.local_addr, kind & PJSIP_TRANSPORT_IPV6)
        factory.addr_name.host = borrow(host)
        factory.addr_name.port = port
        factory.create_transport2 = on_connect
        factory.destroy = on_factory_destroy
        self.c.owner = <void *>self
        check(pjsip_tpmgr_register_tpfactory(the_core.manager, factory), "register a listener")
        self.alive = True
        the_core.keep.append(self)
        agent.listeners.setdefault(kind, self)

    def accept(self, str host not None, int port, send not None, close not None):
        """The transport for a connection that a peer opened."""
        cdef Transport transport = Transport()
        transport.send, transport.close = send, close
        transport.open(self.agent, self.c.base.type, host, port, self, self.local_host, self.local_port,
                       PJSIP_TP_DIR_INCOMING)
        transport.connected = True
        return transport

    def shut(self):
        """No new connection is made through it. (Its memory stays: old connections point to it.)"""
        if self.alive:
            self.alive = False
            pjsip_tpmgr_unregister_tpfactory(the_core.manager, &self.c.base)
            pj_lock_destroy(self.c.base.lock)
            pjsip_endpt_release_pool(the_core.endpt, self.c.base.pool)


cdef pj_status_t on_connect(pjsip_tpfactory *factory, pjsip_tpmgr *manager, pjsip_endpoint *endpoint,
                            const pj_sockaddr *remote, int length, pjsip_tx_data *tdata,
                            pjsip_transport **created) noexcept:
    cdef Listener listener = <Listener>(<fp_factory *>factory).owner
    cdef Transport transport = Transport()
    cdef char host[64]
    cdef int port = 0
    fp_address_text(remote, host, &port)
    if tdata != NULL:
        transport.name = to_str(&tdata.dest_info.name)
    try:
        transport.open(listener.agent, factory.type, host.decode(), port, listener, listener.local_host,
                       listener.local_port, PJSIP_TP_DIR_OUTGOING)
        listener.connect(transport)
    except Exception:
        listener.agent.count("send_errors")
        transport.lost()
        return PJ_ESOCKETSTOP
    created[0] = &transport.c.base
    return PJ_SUCCESS


cdef pj_status_t on_factory_destroy(pjsip_tpfactory *factory) noexcept:
    return PJ_SUCCESS


cdef class Resolution:
    """A host name that PJSIP wants resolved; call done() exactly once."""

    cdef void *token
    cdef pjsip_resolver_callback callback
    cdef int kind
    cdef readonly str host
    cdef readonly int port

    def done(self, addresses):
        """Hands back IP literals, best first; none: the transaction fails with 502."""
        cdef pjsip_server_addresses found
        cdef bytes literal
        cdef pjsip_resolver_callback callback = self.callback
        if callback == NULL:
            return
        self.callback = NULL
        found.count = 0
        for address in addresses:
            literal = address.encode()
            if found.count < 16 and place(&found, PyBytes_AS_STRING(literal), self.port, self.kind):
                found.count += 1
        callback(PJ_SUCCESS if found.count else PJ_ERESOLVE, self.token, &found)
        the_core.settle()


cdef int direct(pjsip_tx_data *tdata, bytes host, int port, bytes name, str address, int peer_port,
                int kind) except -1:
    """Sends a request to one address, past PJSIP's resolver; Via says `host`:`port`, `name` is who is meant.

    The address is an IP literal. What PJSIP sends for the same transaction, a CANCEL say, goes there, too.
    """
    cdef bytes literal = address.encode()
    tdata.dest_info.name = keep_text(tdata.pool, name)
    tdata.dest_info.addr.count = 0
    tdata.dest_info.cur_addr = 0
    if place(&tdata.dest_info.addr, PyBytes_AS_STRING(literal), peer_port, kind):
        tdata.dest_info.addr.count = 1
    tdata.via_addr.host, tdata.via_addr.port = keep_text(tdata.pool, host), port
    return 0


cdef pj_str_t keep_text(pj_pool_t *pool, bytes text):
    """A copy that lives as long as the pool."""
    cdef pj_str_t kept
    kept.slen = PyBytes_GET_SIZE(text)
    kept.ptr = <char *>pj_pool_alloc(pool, kept.slen + 1)
    memcpy(kept.ptr, PyBytes_AS_STRING(text), kept.slen + 1)
    return kept


cdef bint place(pjsip_server_addresses *found, const char *literal, int port, int kind) noexcept:
    """Writes one address behind the `count` that are there; False when `literal` is no IP literal."""
    cdef pjsip_server_address_record *entry = &found.entry[found.count]
    memset(entry, 0, sizeof(entry[0]))
    entry.addr_len = fp_address(&entry.addr, literal, port)
    entry.type = (kind & ~PJSIP_TRANSPORT_IPV6) | (PJSIP_TRANSPORT_IPV6 if fp_is_v6(&entry.addr) else 0)
    return entry.addr_len > 0


cdef void on_resolve(pjsip_resolver_t *resolver, pj_pool_t *pool, const pjsip_host_info *target, void *token,
                     pjsip_resolver_callback callback) noexcept:
    cdef pjsip_server_addresses found
    cdef Resolution resolution
    cdef str name = to_str(&target.addr.host)
    cdef bytes literal = name.encode()
    cdef int kind = target.type if target.type != PJSIP_TRANSPORT_UNSPECIFIED else PJSIP_TRANSPORT_UDP
    cdef int port = target.addr.port
    if port == 0:
        port = 5061 if (kind & ~PJSIP_TRANSPORT_IPV6) == PJSIP_TRANSPORT_TLS else 5060
    found.count = 0
    if place(&found, PyBytes_AS_STRING(literal), port, kind):
        found.count = 1
        callback(PJ_SUCCESS, token, &found)
        return
    resolution = Resolution()
    resolution.token, resolution.callback = token, callback
    resolution.kind, resolution.host, resolution.port = kind, name, port
    try:
        the_core.resolver(resolution)
    except Exception:
        if resolution.callback != NULL:
            resolution.callback = NULL
            callback(PJ_ERESOLVE, token, &found)
