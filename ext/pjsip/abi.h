/* What we use of PJSIP 2.15.1's binary interface, declared in our own words.
 *
 * The wheel that carries PJSIP has no headers. Every struct here lists the members that we touch and skips the
 * rest; the assertions at the end pin size and offsets to those of the wheel (Linux x86_64), so that a slip does
 * not compile. What the members mean is said in PJSIP's public manual. The functions are in functions.h.
 */
#ifndef FORKPROXY_ABI_H
#define FORKPROXY_ABI_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#if !defined(__linux__) || !defined(__x86_64__)
#error "these layouts are those of PJSIP's wheel for Linux on x86_64"
#endif

#define FP_JOIN_(a, b) a##b
#define FP_JOIN(a, b) FP_JOIN_(a, b)
#define FP_SKIP(octets) char FP_JOIN(skip_, __LINE__)[octets]

enum { PJSIP_MODULES = 32 }; /* PJSIP_MAX_MODULE: the length of every mod_data table */

/* ---- pjlib ---- */

typedef int pj_status_t;
typedef int pj_bool_t;

enum {
    PJ_SUCCESS = 0,
    PJ_EPENDING = 70002,
    PJ_ETOOMANY = 70010,
    PJ_ERESOLVE = 70018,
    PJ_ESOCKETSTOP = 70024,
    PJSIP_EMSGTOOLONG = 171023,
};

typedef struct pj_lock_t pj_lock_t;
typedef struct pj_atomic_t pj_atomic_t;
typedef struct pj_timer_heap_t pj_timer_heap_t;

typedef struct pj_str_t {
    char *ptr; /* not terminated */
    ptrdiff_t slen;
} pj_str_t;

typedef struct pj_time_val {
    long sec;
    long msec;
} pj_time_val;

typedef struct pj_timer_entry {
    void *user_data;
    int id;
    void *cb;
    int timer_id;
} pj_timer_entry;

typedef struct pj_pool_t {
    struct pj_pool_t *prev, *next;
    FP_SKIP(48);
    size_t capacity; /* octets in its blocks */
    FP_SKIP(56);
} pj_pool_t;

typedef struct pj_pool_factory {
    FP_SKIP(72);
} pj_pool_factory;

typedef struct pj_caching_pool {
    pj_pool_factory factory;
    FP_SKIP(16);
    size_t used_count; /* pools in use */
    FP_SKIP(272);
    struct { pj_pool_t *prev, *next; } used_list;
    FP_SKIP(520);
} pj_caching_pool;

typedef union pj_sockaddr {
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
} pj_sockaddr;

/* ---- URIs and messages ---- */

typedef struct pjsip_uri_vptr {
    const pj_str_t *(*p_get_scheme)(const void *uri);
    void *(*p_get_uri)(void *uri); /* the URI inside a name-addr, or itself */
    ptrdiff_t (*p_print)(int context, const void *uri, char *buffer, size_t size);
    pj_status_t (*p_compare)(int context, const void *a, const void *b);
    void *(*p_clone)(pj_pool_t *pool, const void *uri);
} pjsip_uri_vptr;

typedef struct pjsip_uri {
    pjsip_uri_vptr *vptr;
} pjsip_uri;

typedef struct pjsip_param {
    struct pjsip_param *prev, *next;
    pj_str_t name, value;
} pjsip_param;

typedef struct pjsip_name_addr {
    pjsip_uri_vptr *vptr;
    pj_str_t display;
    pjsip_uri *uri;
} pjsip_name_addr;

typedef struct pjsip_sip_uri {
    pjsip_uri_vptr *vptr;
    pj_str_t user, passwd, host;
    int port; /* 0: not given */
    FP_SKIP(36);
    pj_str_t transport_param;
    FP_SKIP(4);
    int lr_param;
    pj_str_t maddr_param;
    pjsip_param other_param, header_param;
} pjsip_sip_uri;

typedef struct pjsip_tel_uri {
    pjsip_uri_vptr *vptr;
    pj_str_t number;
    FP_SKIP(96);
} pjsip_tel_uri;

enum { PJSIP_URI_IN_REQ_URI = 0, PJSIP_URI_IN_FROMTO_HDR = 1, PJSIP_URI_IN_CONTACT_HDR = 2 };

typedef struct pjsip_host_port {
    pj_str_t host;
    int port;
} pjsip_host_port;

typedef struct pjsip_method {
    int id;
    pj_str_t name;
} pjsip_method;

enum {
    PJSIP_INVITE_METHOD,
    PJSIP_CANCEL_METHOD,
    PJSIP_ACK_METHOD,
    PJSIP_BYE_METHOD,
    PJSIP_REGISTER_METHOD,
    PJSIP_OPTIONS_METHOD,
    PJSIP_OTHER_METHOD,
};

enum {
    PJSIP_H_ACCEPT = 0,
    PJSIP_H_ALLOW = 4,
    PJSIP_H_CALL_ID = 7,
    PJSIP_H_CONTACT = 9,
    PJSIP_H_CONTENT_TYPE = 14,
    PJSIP_H_FROM = 19,
    PJSIP_H_MAX_FORWARDS = 21,
    PJSIP_H_RECORD_ROUTE = 29,
    PJSIP_H_REQUIRE = 31,
    PJSIP_H_ROUTE = 33,
    PJSIP_H_SUPPORTED = 36,
    PJSIP_H_TO = 38,
};

#define FP_HEADER(self)          \
    struct self *prev, *next;    \
    int type;                    \
    pj_str_t name, short_name;   \
    void *vptr

typedef struct pjsip_hdr { FP_HEADER(pjsip_hdr); } pjsip_hdr;

typedef struct pjsip_generic_string_hdr {
    FP_HEADER(pjsip_generic_string_hdr);
    pj_str_t hvalue;
} pjsip_generic_string_hdr;

typedef struct pjsip_generic_array_hdr {
    FP_HEADER(pjsip_generic_array_hdr);
    unsigned count;
    pj_str_t values[32];
} pjsip_generic_array_hdr;

typedef struct pjsip_generic_int_hdr {
    FP_HEADER(pjsip_generic_int_hdr);
    int ivalue;
} pjsip_generic_int_hdr;

typedef struct pjsip_cid_hdr {
    FP_HEADER(pjsip_cid_hdr);
    pj_str_t id;
} pjsip_cid_hdr;

typedef struct pjsip_cseq_hdr {
    FP_HEADER(pjsip_cseq_hdr);
    int cseq;
    pjsip_method method;
} pjsip_cseq_hdr;

typedef struct pjsip_clen_hdr {
    FP_HEADER(pjsip_clen_hdr);
    int len;
} pjsip_clen_hdr;

typedef struct pjsip_fromto_hdr {
    FP_HEADER(pjsip_fromto_hdr);
    pjsip_uri *uri; /* a name-addr when it came from the network */
    pj_str_t tag;
    FP_SKIP(48);
} pjsip_fromto_hdr;

typedef struct pjsip_contact_hdr {
    FP_HEADER(pjsip_contact_hdr);
    int star;
    pjsip_uri *uri; /* null for "*" */
    FP_SKIP(56);
} pjsip_contact_hdr;

typedef struct pjsip_routing_hdr { /* Route and Record-Route */
    FP_HEADER(pjsip_routing_hdr);
    pjsip_name_addr name_addr;
    FP_SKIP(48);
} pjsip_routing_hdr;

typedef struct pjsip_via_hdr {
    FP_HEADER(pjsip_via_hdr);
    pj_str_t transport;
    pjsip_host_port sent_by;
    int ttl_param;
    int rport_param; /* -1: absent, 0: asked for, else the port */
    pj_str_t maddr_param, recvd_param, branch_param;
    FP_SKIP(64);
} pjsip_via_hdr;

typedef struct pjsip_media_type {
    pj_str_t type, subtype;
    pjsip_param param;
} pjsip_media_type;

typedef struct pjsip_ctype_hdr {
    FP_HEADER(pjsip_ctype_hdr);
    pjsip_media_type media;
} pjsip_ctype_hdr;

typedef struct pjsip_msg_body {
    pjsip_media_type content_type;
    void *data;
    unsigned len;
    int (*print_body)(struct pjsip_msg_body *body, char *buffer, size_t size);
    void *(*clone_data)(pj_pool_t *pool, const void *data, unsigned len);
} pjsip_msg_body;

typedef struct pjsip_multipart_part {
    struct pjsip_multipart_part *prev, *next;
    pjsip_hdr hdr;
    pjsip_msg_body *body;
} pjsip_multipart_part;

enum { PJSIP_REQUEST_MSG, PJSIP_RESPONSE_MSG };

typedef struct pjsip_msg {
    int type;
    union fp_line {
        struct fp_request_line { pjsip_method method; pjsip_uri *uri; } req;
        struct fp_status_line { int code; pj_str_t reason; } status;
    } line;
    pjsip_hdr hdr; /* the list's head */
    pjsip_msg_body *body;
} pjsip_msg;

/* ---- transports ---- */

enum {
    PJSIP_TRANSPORT_UNSPECIFIED = 0,
    PJSIP_TRANSPORT_UDP = 1,
    PJSIP_TRANSPORT_TCP = 2,
    PJSIP_TRANSPORT_TLS = 3,
    PJSIP_TRANSPORT_IPV6 = 128,
};
enum { PJSIP_TRANSPORT_RELIABLE = 1, PJSIP_TRANSPORT_SECURE = 2, PJSIP_TRANSPORT_DATAGRAM = 4 };
enum { PJSIP_TP_DIR_NONE, PJSIP_TP_DIR_OUTGOING, PJSIP_TP_DIR_INCOMING };
enum { PJSIP_TP_STATE_CONNECTED, PJSIP_TP_STATE_DISCONNECTED };
enum { PJSIP_TPSELECTOR_NONE, PJSIP_TPSELECTOR_TRANSPORT, PJSIP_TPSELECTOR_LISTENER };

typedef struct pjsip_endpoint pjsip_endpoint;
typedef struct pjsip_tpmgr pjsip_tpmgr;
typedef struct pjsip_resolver_t pjsip_resolver_t;
typedef struct pjsip_transport pjsip_transport;
typedef struct pjsip_tpfactory pjsip_tpfactory;
typedef struct pjsip_rx_data pjsip_rx_data;
typedef struct pjsip_tx_data pjsip_tx_data;

typedef struct pjsip_transport_key {
    long type;
    pj_sockaddr rem_addr;
} pjsip_transport_key;

typedef struct pjsip_transport_state_info {
    pj_status_t status;
    void *ext_info, *user_data;
} pjsip_transport_state_info;

typedef void (*pjsip_transport_callback)(pjsip_transport *transport, void *token, ptrdiff_t sent);
typedef void (*pjsip_tp_state_callback)(pjsip_transport *transport, int state,
                                        const pjsip_transport_state_info *info);

struct pjsip_transport {
    char obj_name[32];
    pj_pool_t *pool;
    pj_atomic_t *ref_cnt;
    pj_lock_t *lock;
    FP_SKIP(12);
    int is_shutdown, is_destroying;
    pjsip_transport_key key;
    char *type_name;
    unsigned flag;
    char *info;
    int addr_len;
    pj_sockaddr local_addr;
    pjsip_host_port local_name, remote_name;
    int dir;
    pjsip_endpoint *endpt;
    pjsip_tpmgr *tpmgr;
    pjsip_tpfactory *factory;
    FP_SKIP(64);
    pj_status_t (*send_msg)(pjsip_transport *transport, pjsip_tx_data *tdata, const void *address,
                            int address_length, void *token, pjsip_transport_callback callback);
    pj_status_t (*do_shutdown)(pjsip_transport *transport);
    pj_status_t (*destroy)(pjsip_transport *transport);
};

struct pjsip_tpfactory {
    pjsip_tpfactory *prev, *next;
    char obj_name[32];
    pj_pool_t *pool;
    pj_lock_t *lock;
    int type;
    char *type_name;
    unsigned flag;
    char *info;
    pj_sockaddr local_addr;
    pjsip_host_port addr_name;
    void *create_transport; /* the older form; unused where create_transport2 is set */
    pj_status_t (*create_transport2)(pjsip_tpfactory *factory, pjsip_tpmgr *manager, pjsip_endpoint *endpoint,
                                     const pj_sockaddr *remote, int length, pjsip_tx_data *tdata,
                                     pjsip_transport **transport);
    pj_status_t (*destroy)(pjsip_tpfactory *factory);
};

typedef struct pjsip_tpselector {
    int type;
    pj_bool_t disable_connection_reuse;
    void *target; /* the transport or the factory */
} pjsip_tpselector;

/* Ours: PJSIP's struct first, then the Python object (borrowed) that it stands for. */
typedef struct fp_transport { pjsip_transport base; void *owner; } fp_transport;
typedef struct fp_factory { pjsip_tpfactory base; void *owner; } fp_factory;

typedef struct pjsip_host_info {
    unsigned flag;
    int type;
    pjsip_host_port addr;
} pjsip_host_info;

typedef struct pjsip_server_address_record {
    int type;
    unsigned priority, weight;
    pj_sockaddr addr;
    int addr_len;
} pjsip_server_address_record;

typedef struct pjsip_server_addresses {
    unsigned count;
    pjsip_server_address_record entry[16];
} pjsip_server_addresses;

typedef void (*pjsip_resolver_callback)(pj_status_t status, void *token,
                                        const pjsip_server_addresses *addresses);

typedef struct pjsip_ext_resolver {
    void (*resolve)(pjsip_resolver_t *resolver, pj_pool_t *pool, const pjsip_host_info *target, void *token,
                    pjsip_resolver_callback callback);
} pjsip_ext_resolver;

/* ---- received and sent messages ---- */

struct pjsip_rx_data {
    struct fp_rx_tp_info { pj_pool_t *pool; pjsip_transport *transport; FP_SKIP(288); } tp_info;
    struct fp_rx_pkt_info {
        pj_time_val timestamp;
        char packet[4000]; /* unused: we parse in a buffer of our own */
        FP_SKIP(8);
        ptrdiff_t len;
        pj_sockaddr src_addr;
        int src_addr_len;
        char src_name[46];
        int src_port;
    } pkt_info;
    struct fp_rx_msg_info {
        char *msg_buf;
        int len;
        pjsip_msg *msg;
        char *info;
        pjsip_cid_hdr *cid;
        pjsip_fromto_hdr *from, *to;
        pjsip_via_hdr *via;
        pjsip_cseq_hdr *cseq;
        pjsip_generic_int_hdr *max_fwd;
        pjsip_routing_hdr *route, *record_route;
        pjsip_ctype_hdr *ctype;
        pjsip_clen_hdr *clen;
        pjsip_generic_array_hdr *require, *supported;
        struct fp_rx_error_list { void *prev, *next; FP_SKIP(32); } parse_err; /* empty: no syntax error */
    } msg_info;
    void *mod_data[PJSIP_MODULES];
};

struct pjsip_tx_data {
    FP_SKIP(16);
    pj_pool_t *pool;
    FP_SKIP(368);
    pjsip_msg *msg;
    FP_SKIP(8);
    struct fp_tx_buffer { char *start, *cur, *end; } buf; /* printed when cur > start */
    FP_SKIP(32);
    struct fp_tx_dest_info { pj_str_t name; pjsip_server_addresses addr; unsigned cur_addr; } dest_info;
    struct fp_tx_tp_info {
        pjsip_transport *transport;
        pj_sockaddr dst_addr;
        int dst_addr_len;
        char dst_name[46];
        int dst_port;
    } tp_info;
    FP_SKIP(24);
    void *mod_data[PJSIP_MODULES];
    pjsip_host_port via_addr; /* what Via says instead of the transport's own name */
    const void *via_tp;
};

/* ---- modules, transactions, dialogs, invite sessions ---- */

enum { PJSIP_MOD_PRIORITY_TSX_LAYER = 16, PJSIP_MOD_PRIORITY_APPLICATION = 64 };

struct pjsip_transaction;
struct pjsip_event;

typedef struct pjsip_module {
    struct pjsip_module *prev, *next;
    pj_str_t name;
    int id, priority;
    void *load, *start, *stop, *unload;
    pj_bool_t (*on_rx_request)(pjsip_rx_data *rdata);
    pj_bool_t (*on_rx_response)(pjsip_rx_data *rdata);
    pj_status_t (*on_tx_request)(pjsip_tx_data *tdata);
    pj_status_t (*on_tx_response)(pjsip_tx_data *tdata);
    void (*on_tsx_state)(struct pjsip_transaction *tsx, struct pjsip_event *event);
} pjsip_module;

typedef struct pjsip_process_rdata_param {
    unsigned start_prio;
    void *start_mod;
    unsigned idx_after_start;
    pj_bool_t silent;
} pjsip_process_rdata_param;

typedef struct pjsip_cfg_t {
    struct fp_cfg_endpt {
        FP_SKIP(16);
        pj_bool_t disable_tcp_switch; /* true: a long request stays on UDP */
        FP_SKIP(32);
    } endpt;
    struct fp_cfg_tsx { unsigned max_count, t1, t2, t4, td; } tsx;
    FP_SKIP(24);
} pjsip_cfg_t;

enum { PJSIP_ROLE_UAC, PJSIP_ROLE_UAS };
enum {
    PJSIP_TSX_STATE_PROCEEDING = 3,
    PJSIP_TSX_STATE_COMPLETED,
    PJSIP_TSX_STATE_CONFIRMED,
    PJSIP_TSX_STATE_TERMINATED,
};

typedef struct pjsip_transaction {
    FP_SKIP(80);
    int role;
    pjsip_method method;
    int cseq;
    FP_SKIP(60);
    int status_code;
    pj_str_t status_text;
    int state;
    FP_SKIP(180);
    pjsip_tx_data *last_tx;
    FP_SKIP(72);
    void *mod_data[PJSIP_MODULES];
} pjsip_transaction;

enum {
    PJSIP_EVENT_UNKNOWN,
    PJSIP_EVENT_TIMER,
    PJSIP_EVENT_TX_MSG,
    PJSIP_EVENT_RX_MSG,
    PJSIP_EVENT_TRANSPORT_ERROR,
    PJSIP_EVENT_TSX_STATE,
    PJSIP_EVENT_USER,
};

typedef struct pjsip_event {
    FP_SKIP(16);
    int type;
    union fp_event_body {
        struct fp_event_tsx_state { void *src; pjsip_transaction *tsx; int prev_state; int type; } tsx_state;
        struct fp_event_rx_msg { pjsip_rx_data *rdata; } rx_msg;
        FP_SKIP(32);
    } body;
} pjsip_event;

enum { PJSIP_CRED_DATA_PLAIN_PASSWD = 0 };

typedef struct pjsip_cred_info {
    pj_str_t realm, scheme, username;
    int data_type;
    pj_str_t data;
    int algorithm_type; /* 0: whichever the challenge names */
    FP_SKIP(56);
} pjsip_cred_info;

typedef struct pjsip_auth_clt_sess { FP_SKIP(144); } pjsip_auth_clt_sess;
typedef struct pjsip_user_agent { pjsip_module module; } pjsip_user_agent;

typedef struct pjsip_dlg_party {
    pjsip_fromto_hdr *info;
    FP_SKIP(24);
    pjsip_contact_hdr *contact;
    FP_SKIP(8);
} pjsip_dlg_party;

typedef struct pjsip_dialog {
    FP_SKIP(48);
    pj_pool_t *pool;
    FP_SKIP(40);
    pjsip_uri *target;
    FP_SKIP(120);
    pjsip_dlg_party local, remote;
    FP_SKIP(64);
    int role;
    FP_SKIP(20);
    pjsip_cid_hdr *call_id;
    pjsip_routing_hdr route_set; /* the list's head */
    FP_SKIP(8);
    pjsip_auth_clt_sess auth_sess;
    FP_SKIP(16);
    int sess_count, tsx_count;
    pjsip_tpselector tp_sel;
    FP_SKIP(264);
    void *mod_data[PJSIP_MODULES];
    FP_SKIP(32);
} pjsip_dialog;

enum {
    PJSIP_INV_STATE_NULL,
    PJSIP_INV_STATE_CALLING,
    PJSIP_INV_STATE_INCOMING,
    PJSIP_INV_STATE_EARLY,
    PJSIP_INV_STATE_CONNECTING,
    PJSIP_INV_STATE_CONFIRMED,
    PJSIP_INV_STATE_DISCONNECTED,
};
enum {
    PJSIP_INV_SUPPORT_100REL = 1,
    PJSIP_INV_SUPPORT_TIMER = 2,
    PJSIP_INV_REQUIRE_100REL = 32,
    PJSIP_INV_ALWAYS_USE_TIMER = 128
};

typedef struct pjmedia_sdp_session pjmedia_sdp_session;
typedef struct pjmedia_sdp_neg pjmedia_sdp_neg;
enum {
    PJMEDIA_SDP_NEG_STATE_NULL,
    PJMEDIA_SDP_NEG_STATE_LOCAL_OFFER,
    PJMEDIA_SDP_NEG_STATE_REMOTE_OFFER,
    PJMEDIA_SDP_NEG_STATE_WAIT_NEGO,
    PJMEDIA_SDP_NEG_STATE_DONE,
};

typedef struct pjsip_timer_setting {
    unsigned min_se, sess_expires; /* seconds */
} pjsip_timer_setting;

/* How PJSIP's private struct pjsip_timer begins; start_timer() in sessions.pyx checks that it does. */
typedef struct fp_session_timer {
    int active;
    pjsip_timer_setting setting;
    int refresher;
} fp_session_timer;

enum { FP_REFRESHER_UNKNOWN, FP_REFRESHER_UAC, FP_REFRESHER_UAS };

typedef struct pjsip_inv_session {
    FP_SKIP(32);
    pj_pool_t *pool;
    FP_SKIP(16);
    int state;
    FP_SKIP(20);
    int cause; /* a SIP status */
    pj_str_t cause_text;
    FP_SKIP(16);
    pjsip_dialog *dlg;
    int role;
    unsigned options;
    pjmedia_sdp_neg *neg; /* null until there is an offer */
    FP_SKIP(8);
    pjsip_transaction *invite_tsx;
    FP_SKIP(8);
    pjsip_tx_data *last_answer, *last_ack;
    int last_ack_cseq;
    FP_SKIP(256);
    fp_session_timer *timer;
    FP_SKIP(8);
    pj_atomic_t *ref_cnt; /* null once the session is over */
    FP_SKIP(8);
} pjsip_inv_session;

typedef struct pjsip_inv_on_rx_offer_cb_param {
    const pjmedia_sdp_session *offer;
    const pjsip_rx_data *rdata;
} pjsip_inv_on_rx_offer_cb_param;

typedef struct pjsip_inv_callback {
    void (*on_state_changed)(pjsip_inv_session *inv, pjsip_event *event);
    void (*on_new_session)(pjsip_inv_session *inv, pjsip_event *event);
    void (*on_tsx_state_changed)(pjsip_inv_session *inv, pjsip_transaction *tsx, pjsip_event *event);
    void *on_rx_offer; /* the older form */
    void (*on_rx_offer2)(pjsip_inv_session *inv, pjsip_inv_on_rx_offer_cb_param *offer);
    pj_status_t (*on_rx_reinvite)(
        pjsip_inv_session *inv, const pjmedia_sdp_session *offer, pjsip_rx_data *rdata);
    void *on_create_offer;
    void (*on_media_update)(pjsip_inv_session *inv, pj_status_t status);
    void (*on_send_ack)(pjsip_inv_session *inv, pjsip_rx_data *rdata);
    void *on_redirected;
} pjsip_inv_callback;

/* ---- the wheel's numbers ---- */

#define FP_SIZE(type, octets) _Static_assert(sizeof(type) == (octets), "size of " #type)
#define FP_AT(type, member, offset) _Static_assert(offsetof(type, member) == (offset), #type "." #member)

FP_SIZE(pj_str_t, 16);
FP_SIZE(pj_time_val, 16);
FP_SIZE(pj_timer_entry, 32);
FP_AT(pj_timer_entry, cb, 16);
FP_SIZE(pj_pool_factory, 72);
FP_SIZE(pj_pool_t, 128);
FP_AT(pj_pool_t, capacity, 64);
FP_SIZE(pj_caching_pool, 904);
FP_AT(pj_caching_pool, used_count, 88); FP_AT(pj_caching_pool, used_list, 368);
FP_SIZE(pj_sockaddr, 28);
FP_SIZE(pjsip_uri_vptr, 40);
FP_SIZE(pjsip_uri, 8);
FP_SIZE(pjsip_param, 48);
FP_SIZE(pjsip_name_addr, 32);
FP_SIZE(pjsip_sip_uri, 232);
FP_AT(pjsip_sip_uri, transport_param, 96); FP_AT(pjsip_sip_uri, lr_param, 116);
FP_SIZE(pjsip_tel_uri, 120);
FP_SIZE(pjsip_host_port, 24);
FP_SIZE(pjsip_method, 24);
FP_AT(pjsip_method, name, 8);
FP_SIZE(pjsip_hdr, 64);
FP_SIZE(pjsip_generic_string_hdr, 80);
FP_AT(pjsip_generic_string_hdr, hvalue, 64);
FP_SIZE(pjsip_generic_array_hdr, 584);
FP_AT(pjsip_generic_array_hdr, count, 64); FP_AT(pjsip_generic_array_hdr, values, 72);
FP_SIZE(pjsip_generic_int_hdr, 72);
FP_AT(pjsip_generic_int_hdr, ivalue, 64);
FP_SIZE(pjsip_cid_hdr, 80);
FP_AT(pjsip_cid_hdr, id, 64);
FP_SIZE(pjsip_cseq_hdr, 96);
FP_AT(pjsip_cseq_hdr, cseq, 64); FP_AT(pjsip_cseq_hdr, method, 72);
FP_SIZE(pjsip_clen_hdr, 72);
FP_AT(pjsip_clen_hdr, len, 64);
FP_SIZE(pjsip_fromto_hdr, 136);
FP_AT(pjsip_fromto_hdr, name, 24); FP_AT(pjsip_fromto_hdr, uri, 64);
FP_SIZE(pjsip_contact_hdr, 136);
FP_AT(pjsip_contact_hdr, star, 64); FP_AT(pjsip_contact_hdr, uri, 72);
FP_SIZE(pjsip_routing_hdr, 144);
FP_AT(pjsip_routing_hdr, name_addr, 64);
FP_SIZE(pjsip_via_hdr, 224);
FP_AT(pjsip_via_hdr, transport, 64);
FP_SIZE(pjsip_media_type, 80);
FP_SIZE(pjsip_ctype_hdr, 144);
FP_AT(pjsip_ctype_hdr, media, 64);
FP_SIZE(pjsip_msg_body, 112);
FP_AT(pjsip_msg_body, print_body, 96);
FP_SIZE(pjsip_multipart_part, 88);
FP_SIZE(pjsip_msg, 112);
FP_AT(pjsip_msg, line.req, 8); FP_AT(pjsip_msg, line.status, 8); FP_AT(pjsip_msg, hdr, 40);
FP_SIZE(pjsip_transport_key, 40);
FP_SIZE(pjsip_transport_state_info, 24);
FP_AT(pjsip_transport_state_info, ext_info, 8);
FP_SIZE(pjsip_transport, 344);
FP_AT(pjsip_transport, is_shutdown, 68); FP_AT(pjsip_transport, key, 80); FP_AT(pjsip_transport, info, 136);
FP_AT(pjsip_transport, endpt, 232); FP_AT(pjsip_transport, send_msg, 320);
FP_SIZE(pjsip_tpfactory, 176);
FP_AT(pjsip_tpfactory, type_name, 72); FP_AT(pjsip_tpfactory, info, 88);
FP_AT(pjsip_tpfactory, addr_name, 128);
FP_SIZE(pjsip_tpselector, 16);
FP_SIZE(pjsip_host_info, 32);
FP_SIZE(pjsip_server_address_record, 44);
FP_SIZE(pjsip_server_addresses, 708);
FP_SIZE(pjsip_ext_resolver, 8);
FP_SIZE(pjsip_rx_data, 4856);
FP_AT(pjsip_rx_data, tp_info.transport, 8); FP_AT(pjsip_rx_data, pkt_info.timestamp, 304);
FP_AT(pjsip_rx_data, pkt_info.packet, 320); FP_AT(pjsip_rx_data, pkt_info.len, 4328);
FP_AT(pjsip_rx_data, pkt_info.src_addr, 4336); FP_AT(pjsip_rx_data, pkt_info.src_addr_len, 4364);
FP_AT(pjsip_rx_data, pkt_info.src_name, 4368); FP_AT(pjsip_rx_data, pkt_info.src_port, 4416);
FP_AT(pjsip_rx_data, msg_info.msg_buf, 4424); FP_AT(pjsip_rx_data, msg_info.len, 4432);
FP_AT(pjsip_rx_data, msg_info.msg, 4440); FP_AT(pjsip_rx_data, msg_info.info, 4448);
FP_AT(pjsip_rx_data, msg_info.cid, 4456); FP_AT(pjsip_rx_data, msg_info.from, 4464);
FP_AT(pjsip_rx_data, msg_info.to, 4472); FP_AT(pjsip_rx_data, msg_info.via, 4480);
FP_AT(pjsip_rx_data, msg_info.cseq, 4488); FP_AT(pjsip_rx_data, msg_info.max_fwd, 4496);
FP_AT(pjsip_rx_data, msg_info.route, 4504); FP_AT(pjsip_rx_data, msg_info.record_route, 4512);
FP_AT(pjsip_rx_data, msg_info.ctype, 4520); FP_AT(pjsip_rx_data, msg_info.clen, 4528);
FP_AT(pjsip_rx_data, msg_info.require, 4536); FP_AT(pjsip_rx_data, msg_info.supported, 4544);
FP_AT(pjsip_rx_data, msg_info.parse_err, 4552); FP_AT(pjsip_rx_data, mod_data, 4600);
FP_SIZE(pjsip_tx_data, 1600);
FP_AT(pjsip_tx_data, pool, 16); FP_AT(pjsip_tx_data, msg, 392); FP_AT(pjsip_tx_data, buf, 408);
FP_AT(pjsip_tx_data, dest_info.name, 464); FP_AT(pjsip_tx_data, dest_info.addr, 480);
FP_AT(pjsip_tx_data, dest_info.cur_addr, 1188); FP_AT(pjsip_tx_data, tp_info.transport, 1192);
FP_AT(pjsip_tx_data, tp_info.dst_addr, 1200); FP_AT(pjsip_tx_data, tp_info.dst_addr_len, 1228);
FP_AT(pjsip_tx_data, tp_info.dst_name, 1232); FP_AT(pjsip_tx_data, tp_info.dst_port, 1280);
FP_AT(pjsip_tx_data, mod_data, 1312); FP_AT(pjsip_tx_data, via_addr, 1568);
FP_SIZE(pjsip_module, 112);
FP_SIZE(pjsip_process_rdata_param, 24);
FP_AT(pjsip_process_rdata_param, start_mod, 8);
FP_SIZE(pjsip_cfg_t, 96);
FP_AT(pjsip_cfg_t, endpt.disable_tcp_switch, 16);
FP_AT(pjsip_cfg_t, tsx.max_count, 52);
FP_AT(pjsip_cfg_t, tsx.t1, 56); FP_AT(pjsip_cfg_t, tsx.t2, 60); FP_AT(pjsip_cfg_t, tsx.t4, 64);
FP_AT(pjsip_cfg_t, tsx.td, 68);
FP_SIZE(pjsip_transaction, 720);
FP_AT(pjsip_transaction, role, 80); FP_AT(pjsip_transaction, method, 88);
FP_AT(pjsip_transaction, status_code, 176); FP_AT(pjsip_transaction, status_text, 184);
FP_AT(pjsip_transaction, last_tx, 384); FP_AT(pjsip_transaction, mod_data, 464);
FP_AT(pjsip_module, on_tsx_state, 104);
FP_SIZE(pjsip_event, 56);
FP_AT(pjsip_event, type, 16); FP_AT(pjsip_event, body.tsx_state.src, 24);
FP_AT(pjsip_event, body.tsx_state.tsx, 32); FP_AT(pjsip_event, body.tsx_state.prev_state, 40);
FP_AT(pjsip_event, body.tsx_state.type, 44); FP_AT(pjsip_event, body.rx_msg.rdata, 24);
FP_SIZE(pjsip_cred_info, 136);
FP_AT(pjsip_cred_info, data, 56);
FP_SIZE(pjsip_auth_clt_sess, 144);
FP_SIZE(pjsip_dlg_party, 48);
FP_AT(pjsip_dlg_party, contact, 32);
FP_SIZE(pjsip_dialog, 1304);
FP_AT(pjsip_dialog, pool, 48); FP_AT(pjsip_dialog, target, 96); FP_AT(pjsip_dialog, local, 224);
FP_AT(pjsip_dialog, role, 384); FP_AT(pjsip_dialog, call_id, 408); FP_AT(pjsip_dialog, auth_sess, 568);
FP_AT(pjsip_dialog, sess_count, 728); FP_AT(pjsip_dialog, mod_data, 1016);
FP_SIZE(pjsip_inv_session, 480);
FP_AT(pjsip_inv_session, pool, 32); FP_AT(pjsip_inv_session, state, 56); FP_AT(pjsip_inv_session, cause, 80);
FP_AT(pjsip_inv_session, cause_text, 88); FP_AT(pjsip_inv_session, dlg, 120);
FP_AT(pjsip_inv_session, invite_tsx, 152); FP_AT(pjsip_inv_session, last_answer, 168);
FP_AT(pjsip_inv_session, timer, 448); FP_AT(pjsip_inv_session, ref_cnt, 464);
FP_SIZE(pjsip_timer_setting, 8);
FP_SIZE(pjsip_inv_on_rx_offer_cb_param, 16);
FP_SIZE(pjsip_inv_callback, 80);
FP_SIZE(pjsip_user_agent, 112);

#undef FP_SIZE
#undef FP_AT

#endif
