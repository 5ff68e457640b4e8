"""PJSIP for Cython: the members and functions that the engine uses.

Layouts are abi.h's business (Cython asks the C compiler), the functions are members of the table `pj` that
functions.h fills; `pj.` in their C names is that table.
"""

from libc.stdint cimport uint32_t

cdef extern from "abi.h":
    enum:
        PJ_SUCCESS, PJ_EPENDING, PJ_ETOOMANY, PJ_ERESOLVE, PJ_ESOCKETSTOP, PJSIP_EMSGTOOLONG
        PJSIP_URI_IN_REQ_URI
        PJSIP_INVITE_METHOD, PJSIP_CANCEL_METHOD, PJSIP_ACK_METHOD, PJSIP_BYE_METHOD, PJSIP_OPTIONS_METHOD
        PJSIP_REGISTER_METHOD, PJSIP_INV_STATE_CALLING
        PJSIP_OTHER_METHOD, PJSIP_H_ACCEPT, PJSIP_H_ALLOW, PJSIP_H_CONTACT, PJSIP_H_CONTENT_TYPE
        PJSIP_H_MAX_FORWARDS, PJSIP_H_CALL_ID, PJSIP_H_FROM, PJSIP_H_TO, PJSIP_H_RECORD_ROUTE
        PJSIP_H_ROUTE, PJSIP_H_REQUIRE, PJSIP_H_SUPPORTED, PJSIP_REQUEST_MSG, PJSIP_RESPONSE_MSG
        PJSIP_TRANSPORT_UNSPECIFIED, PJSIP_TRANSPORT_UDP, PJSIP_TRANSPORT_TCP, PJSIP_TRANSPORT_TLS
        PJSIP_TRANSPORT_IPV6, PJSIP_TRANSPORT_RELIABLE, PJSIP_TRANSPORT_SECURE
        PJSIP_TRANSPORT_DATAGRAM, PJSIP_TP_DIR_NONE
        PJSIP_TP_DIR_OUTGOING, PJSIP_TP_DIR_INCOMING, PJSIP_TP_STATE_DISCONNECTED
        PJSIP_TPSELECTOR_TRANSPORT, PJSIP_TPSELECTOR_LISTENER, PJSIP_MOD_PRIORITY_TSX_LAYER
        PJSIP_MOD_PRIORITY_APPLICATION, PJSIP_ROLE_UAC, PJSIP_ROLE_UAS, PJSIP_TSX_STATE_PROCEEDING
        PJSIP_EVENT_TIMER, PJSIP_EVENT_RX_MSG, PJSIP_EVENT_TRANSPORT_ERROR, PJSIP_EVENT_TSX_STATE
        PJSIP_EVENT_USER
        PJSIP_CRED_DATA_PLAIN_PASSWD, PJSIP_INV_STATE_NULL, PJSIP_INV_STATE_EARLY
        PJSIP_INV_STATE_CONNECTING, PJSIP_INV_STATE_CONFIRMED, PJSIP_INV_STATE_DISCONNECTED
        PJSIP_INV_SUPPORT_100REL, PJSIP_INV_SUPPORT_TIMER, PJSIP_INV_REQUIRE_100REL,
        PJSIP_INV_ALWAYS_USE_TIMER, FP_REFRESHER_UNKNOWN, FP_REFRESHER_UAC, FP_REFRESHER_UAS,
        PJMEDIA_SDP_NEG_STATE_LOCAL_OFFER
        PJMEDIA_SDP_NEG_STATE_REMOTE_OFFER, PJMEDIA_SDP_NEG_STATE_WAIT_NEGO, PJMEDIA_SDP_NEG_STATE_DONE
        PJSIP_TSX_STATE_COMPLETED, PJSIP_TSX_STATE_TERMINATED

    ctypedef int pj_status_t
    ctypedef int pj_bool_t
    ctypedef struct pj_pool_t
    ctypedef struct pj_lock_t
    ctypedef struct pj_atomic_t
    ctypedef struct pj_timer_heap_t
    ctypedef struct pjsip_endpoint
    ctypedef struct pjsip_tpmgr
    ctypedef struct pjsip_resolver_t
    ctypedef struct pjmedia_sdp_session
    ctypedef struct pjmedia_sdp_neg
    ctypedef struct pj_pool_factory:
        pass

    ctypedef struct pj_str_t:
        char *ptr
        ptrdiff_t slen

    ctypedef struct pj_time_val:
        long sec
        long msec

    ctypedef struct pj_caching_pool:
        pj_pool_factory factory
        size_t used_count

    ctypedef union pj_sockaddr:
        pass

    ctypedef struct pjsip_uri_vptr:
        const pj_str_t *(*p_get_scheme)(const void *uri) noexcept
        void *(*p_get_uri)(void *uri) noexcept
        ptrdiff_t (*p_print)(int context, const void *uri, char *buffer, size_t size) noexcept

    ctypedef struct pjsip_uri:
        pjsip_uri_vptr *vptr

    ctypedef struct pjsip_param:
        pjsip_param *next
        pj_str_t name

    ctypedef struct pjsip_name_addr:
        pjsip_uri_vptr *vptr
        pj_str_t display
        pjsip_uri *uri

    ctypedef struct pjsip_sip_uri:
        pj_str_t user
        pj_str_t host
        int port
        pj_str_t transport_param
        pjsip_param other_param

    ctypedef struct pjsip_tel_uri:
        pj_str_t number

    ctypedef struct pjsip_host_port:
        pj_str_t host
        int port

    ctypedef struct pjsip_method:
        int id
        pj_str_t name

    ctypedef struct pjsip_hdr:
        pjsip_hdr *prev
        pjsip_hdr *next
        int type

    ctypedef struct pjsip_generic_string_hdr:
        pj_str_t hvalue

    ctypedef struct pjsip_generic_array_hdr:
        unsigned int count
        pj_str_t values[32]

    ctypedef struct pjsip_generic_int_hdr:
        int ivalue

    ctypedef struct pjsip_cid_hdr:
        pj_str_t id

    ctypedef struct pjsip_cseq_hdr:
        int cseq
        pjsip_method method

    ctypedef struct pjsip_clen_hdr:
        int len

    ctypedef struct pjsip_fromto_hdr:
        pjsip_uri *uri
        pj_str_t tag

    ctypedef struct pjsip_contact_hdr:
        pjsip_uri *uri

    ctypedef struct pjsip_routing_hdr:
        pjsip_routing_hdr *next
        pjsip_name_addr name_addr

    ctypedef struct pjsip_via_hdr:
        pjsip_host_port sent_by
        int rport_param
        pj_str_t maddr_param
        pj_str_t recvd_param

    ctypedef struct pjsip_media_type:
        pj_str_t type
        pj_str_t subtype
        pjsip_param param

    ctypedef struct pjsip_ctype_hdr:
        pjsip_media_type media

    ctypedef struct pjsip_msg_body:
        pjsip_media_type content_type
        void *data
        unsigned int len
        int (*print_body)(pjsip_msg_body *body, char *buffer, size_t size) noexcept
        void *(*clone_data)(pj_pool_t *pool, const void *data, unsigned int len) noexcept

    ctypedef struct pjsip_multipart_part:
        pjsip_msg_body *body

    struct fp_request_line:
        pjsip_method method
        pjsip_uri *uri

    struct fp_status_line:
        int code
        pj_str_t reason

    union fp_line:
        fp_request_line req
        fp_status_line status

    ctypedef struct pjsip_msg:
        int type
        fp_line line
        pjsip_hdr hdr
        pjsip_msg_body *body

    ctypedef struct pjsip_transport_key:
        long type
        pj_sockaddr rem_addr

    ctypedef struct pjsip_transport_state_info:
        pj_status_t status

    ctypedef void (*pjsip_transport_callback)(
        pjsip_transport *transport, void *token, ptrdiff_t sent) noexcept
    ctypedef void (*pjsip_tp_state_callback)(
        pjsip_transport *transport, int state, const pjsip_transport_state_info *info) noexcept

    ctypedef struct pjsip_transport:
        char *obj_name
        pj_pool_t *pool
        pj_atomic_t *ref_cnt
        pj_lock_t *lock
        int is_shutdown
        int is_destroying
        pjsip_transport_key key
        char *type_name
        unsigned int flag
        char *info
        int addr_len
        pj_sockaddr local_addr
        pjsip_host_port local_name
        pjsip_host_port remote_name
        int dir
        pjsip_endpoint *endpt
        pjsip_tpmgr *tpmgr
        pjsip_tpfactory *factory
        pj_status_t (*send_msg)(
            pjsip_transport *transport, pjsip_tx_data *tdata, const void *address, int address_length,
            void *token, pjsip_transport_callback callback) noexcept
        pj_status_t (*do_shutdown)(pjsip_transport *transport) noexcept
        pj_status_t (*destroy)(pjsip_transport *transport) noexcept

    ctypedef struct pjsip_tpfactory:
        char *obj_name
        pj_pool_t *pool
        pj_lock_t *lock
        int type
        char *type_name
        unsigned int flag
        char *info
        pj_sockaddr local_addr
        pjsip_host_port addr_name
        pj_status_t (*create_transport2)(
            pjsip_tpfactory *factory, pjsip_tpmgr *manager, pjsip_endpoint *endpoint,
            const pj_sockaddr *remote, int length, pjsip_tx_data *tdata, pjsip_transport **transport) noexcept
        pj_status_t (*destroy)(pjsip_tpfactory *factory) noexcept

    ctypedef struct pjsip_tpselector:
        int type
        void *target

    ctypedef struct fp_transport:
        pjsip_transport base
        void *owner

    ctypedef struct fp_factory:
        pjsip_tpfactory base
        void *owner

    ctypedef struct pjsip_host_info:
        int type
        pjsip_host_port addr

    ctypedef struct pjsip_server_address_record:
        int type
        pj_sockaddr addr
        int addr_len

    ctypedef struct pjsip_server_addresses:
        unsigned int count
        pjsip_server_address_record entry[16]

    ctypedef void (*pjsip_resolver_callback)(
        pj_status_t status, void *token, const pjsip_server_addresses *addresses) noexcept

    ctypedef struct pjsip_ext_resolver:
        void (*resolve)(
            pjsip_resolver_t *resolver, pj_pool_t *pool, const pjsip_host_info *target, void *token,
            pjsip_resolver_callback callback) noexcept

    struct fp_rx_tp_info:
        pj_pool_t *pool
        pjsip_transport *transport

    struct fp_rx_pkt_info:
        ptrdiff_t len
        pj_sockaddr src_addr
        int src_addr_len
        char *src_name
        int src_port

    struct fp_rx_error_list:
        void *prev
        void *next

    struct fp_rx_msg_info:
        char *msg_buf
        int len
        pjsip_msg *msg
        pjsip_cid_hdr *cid
        pjsip_fromto_hdr *from_ "from"
        pjsip_fromto_hdr *to
        pjsip_via_hdr *via
        pjsip_cseq_hdr *cseq
        pjsip_generic_int_hdr *max_fwd
        pjsip_routing_hdr *record_route
        pjsip_ctype_hdr *ctype
        pjsip_clen_hdr *clen
        pjsip_generic_array_hdr *require
        pjsip_generic_array_hdr *supported
        fp_rx_error_list parse_err

    ctypedef struct pjsip_rx_data:
        fp_rx_tp_info tp_info
        fp_rx_pkt_info pkt_info
        fp_rx_msg_info msg_info
        void **mod_data

    struct fp_tx_buffer:
        char *start
        char *cur
        char *end

    struct fp_tx_tp_info:
        pjsip_transport *transport
        char *dst_name
        int dst_port

    struct fp_tx_dest_info:
        pj_str_t name
        pjsip_server_addresses addr
        unsigned int cur_addr

    ctypedef struct pjsip_tx_data:
        pj_pool_t *pool
        pjsip_msg *msg
        fp_tx_buffer buf
        fp_tx_dest_info dest_info
        fp_tx_tp_info tp_info
        void **mod_data
        pjsip_host_port via_addr

    ctypedef struct pjsip_module:
        pj_str_t name
        int id
        int priority
        pj_bool_t (*on_rx_request)(pjsip_rx_data *rdata) noexcept
        pj_bool_t (*on_rx_response)(pjsip_rx_data *rdata) noexcept
        pj_status_t (*on_tx_request)(pjsip_tx_data *tdata) noexcept
        pj_status_t (*on_tx_response)(pjsip_tx_data *tdata) noexcept
        void (*on_tsx_state)(pjsip_transaction *tsx, pjsip_event *event) noexcept

    ctypedef struct pjsip_process_rdata_param:
        pj_bool_t silent

    struct fp_cfg_endpt:
        pj_bool_t disable_tcp_switch

    struct fp_cfg_tsx:
        unsigned int max_count
        unsigned int t1
        unsigned int t2
        unsigned int t4
        unsigned int td

    ctypedef struct pjsip_cfg_t:
        fp_cfg_endpt endpt
        fp_cfg_tsx tsx

    ctypedef struct pjsip_transaction:
        int role
        pjsip_method method
        int status_code
        pj_str_t status_text
        int state
        pjsip_tx_data *last_tx
        void **mod_data

    struct fp_event_tsx_state:
        void *src
        pjsip_transaction *tsx
        int type

    struct fp_event_rx_msg:
        pjsip_rx_data *rdata

    union fp_event_body:
        fp_event_tsx_state tsx_state
        fp_event_rx_msg rx_msg

    ctypedef struct pjsip_event:
        int type
        fp_event_body body

    ctypedef struct pjsip_cred_info:
        pj_str_t realm
        pj_str_t scheme
        pj_str_t username
        int data_type
        pj_str_t data

    ctypedef struct pjsip_auth_clt_sess:
        pass

    ctypedef struct pjsip_user_agent:
        pjsip_module module

    ctypedef struct pjsip_dlg_party:
        pjsip_fromto_hdr *info

    ctypedef struct pjsip_dialog:
        pj_pool_t *pool
        pjsip_uri *target
        pjsip_dlg_party local
        pjsip_cid_hdr *call_id
        pjsip_routing_hdr route_set
        pjsip_auth_clt_sess auth_sess
        pjsip_tpselector tp_sel
        void **mod_data

    ctypedef struct pjsip_timer_setting:
        unsigned int min_se, sess_expires

    ctypedef struct fp_session_timer:
        int active
        pjsip_timer_setting setting
        int refresher

    ctypedef struct pjsip_inv_session:
        pj_pool_t *pool
        int state
        int cause
        pj_str_t cause_text
        pjsip_dialog *dlg
        int role
        unsigned int options
        pjmedia_sdp_neg *neg
        pjsip_transaction *invite_tsx
        pjsip_tx_data *last_answer
        pjsip_tx_data *last_ack
        int last_ack_cseq
        fp_session_timer *timer
        pj_atomic_t *ref_cnt

    ctypedef struct pjsip_inv_on_rx_offer_cb_param:
        const pjmedia_sdp_session *offer
        const pjsip_rx_data *rdata

    ctypedef struct pjsip_inv_callback:
        void (*on_state_changed)(pjsip_inv_session *inv, pjsip_event *event) noexcept
        void (*on_new_session)(pjsip_inv_session *inv, pjsip_event *event) noexcept
        void (*on_tsx_state_changed)(
            pjsip_inv_session *inv, pjsip_transaction *tsx, pjsip_event *event) noexcept
        void (*on_rx_offer2)(pjsip_inv_session *inv, pjsip_inv_on_rx_offer_cb_param *offer) noexcept
        pj_status_t (*on_rx_reinvite)(
            pjsip_inv_session *inv, const pjmedia_sdp_session *offer, pjsip_rx_data *rdata) noexcept
        void (*on_media_update)(pjsip_inv_session *inv, pj_status_t status) noexcept
        void (*on_send_ack)(pjsip_inv_session *inv, pjsip_rx_data *rdata) noexcept

cdef extern from "functions.h":
    const char *fp_load(const char *path, int *symbol)
    pjsip_cfg_t *pjsip_sip_cfg_var "pj.pjsip_sip_cfg_var"

    const char *pj_get_version "pj.pj_get_version" ()
    pj_status_t pj_init "pj.pj_init" ()
    pj_status_t pjlib_util_init "pj.pjlib_util_init" ()
    void pj_log_set_level "pj.pj_log_set_level" (int level)
    void pj_srand "pj.pj_srand" (unsigned int seed)
    pj_str_t pj_strerror "pj.pj_strerror" (pj_status_t status, char *buffer, size_t size)
    void pj_caching_pool_init "pj.pj_caching_pool_init" (
        pj_caching_pool *pool, const void *policy, size_t max_capacity)
    const void *pj_pool_factory_get_default_policy "pj.pj_pool_factory_get_default_policy" ()
    void *pj_pool_alloc "pj.pj_pool_alloc" (pj_pool_t *pool, size_t size)
    void pj_pool_reset "pj.pj_pool_reset" (pj_pool_t *pool)
    pj_status_t pj_atomic_create "pj.pj_atomic_create" (pj_pool_t *pool, long initial, pj_atomic_t **atomic)
    pj_status_t pj_atomic_destroy "pj.pj_atomic_destroy" (pj_atomic_t *atomic)
    pj_status_t pj_lock_create_recursive_mutex "pj.pj_lock_create_recursive_mutex" (
        pj_pool_t *pool, const char *name, pj_lock_t **lock)
    pj_status_t pj_lock_destroy "pj.pj_lock_destroy" (pj_lock_t *lock)
    unsigned int pj_timer_heap_poll "pj.pj_timer_heap_poll" (pj_timer_heap_t *heap, pj_time_val *next)
    pj_status_t pj_timer_heap_earliest_time "pj.pj_timer_heap_earliest_time" (
        pj_timer_heap_t *heap, pj_time_val *earliest)
    size_t pj_timer_heap_count "pj.pj_timer_heap_count" (pj_timer_heap_t *heap)
    unsigned int pj_timer_heap_set_max_timed_out_per_poll "pj.pj_timer_heap_set_max_timed_out_per_poll" (
        pj_timer_heap_t *heap, unsigned int count)
    void pj_list_insert_before "pj.pj_list_insert_before" (void *position, void *node)
    void pj_list_erase "pj.pj_list_erase" (void *node)
    pj_status_t pjsip_endpt_create "pj.pjsip_endpt_create" (
        pj_pool_factory *factory, const char *name, pjsip_endpoint **endpoint)
    pj_timer_heap_t *pjsip_endpt_get_timer_heap "pj.pjsip_endpt_get_timer_heap" (pjsip_endpoint *endpoint)
    pjsip_tpmgr *pjsip_endpt_get_tpmgr "pj.pjsip_endpt_get_tpmgr" (pjsip_endpoint *endpoint)
    pj_pool_t *pjsip_endpt_create_pool "pj.pjsip_endpt_create_pool" (
        pjsip_endpoint *endpoint, const char *name, size_t initial, size_t increment)
    void pjsip_endpt_release_pool "pj.pjsip_endpt_release_pool" (pjsip_endpoint *endpoint, pj_pool_t *pool)
    pj_status_t pjsip_endpt_register_module "pj.pjsip_endpt_register_module" (
        pjsip_endpoint *endpoint, pjsip_module *module)
    pj_status_t pjsip_endpt_add_capability "pj.pjsip_endpt_add_capability" (
        pjsip_endpoint *endpoint, pjsip_module *module, int type, const pj_str_t *name, unsigned int count,
        const pj_str_t *tags)
    pj_status_t pjsip_endpt_set_ext_resolver "pj.pjsip_endpt_set_ext_resolver" (
        pjsip_endpoint *endpoint, pjsip_ext_resolver *resolver)
    const pjsip_hdr *pjsip_endpt_get_capability "pj.pjsip_endpt_get_capability" (
        pjsip_endpoint *endpoint, int type, const pj_str_t *name)
    pj_status_t pjsip_endpt_process_rx_data "pj.pjsip_endpt_process_rx_data" (
        pjsip_endpoint *endpoint, pjsip_rx_data *rdata, pjsip_process_rdata_param *param,
        pj_bool_t *handled)
    pj_status_t pjsip_endpt_respond_stateless "pj.pjsip_endpt_respond_stateless" (
        pjsip_endpoint *endpoint, pjsip_rx_data *rdata, int status, const pj_str_t *reason,
        const pjsip_hdr *headers, const pjsip_msg_body *body)
    pj_status_t pjsip_endpt_send_response2 "pj.pjsip_endpt_send_response2" (
        pjsip_endpoint *endpoint, pjsip_rx_data *rdata, pjsip_tx_data *tdata, void *token, void *callback)
    pj_status_t pjsip_tsx_layer_init_module "pj.pjsip_tsx_layer_init_module" (pjsip_endpoint *endpoint)
    pj_status_t pjsip_ua_init_module "pj.pjsip_ua_init_module" (pjsip_endpoint *endpoint, const void *param)
    pj_status_t pjsip_inv_usage_init "pj.pjsip_inv_usage_init" (
        pjsip_endpoint *endpoint, const pjsip_inv_callback *callback)
    pj_status_t pjsip_100rel_init_module "pj.pjsip_100rel_init_module" (pjsip_endpoint *endpoint)
    pj_status_t pjsip_timer_init_module "pj.pjsip_timer_init_module" (pjsip_endpoint *endpoint)
    pjsip_user_agent *pjsip_ua_instance "pj.pjsip_ua_instance" ()
    uint32_t pjsip_ua_get_dlg_set_count "pj.pjsip_ua_get_dlg_set_count" ()
    pjsip_dialog *pjsip_ua_find_dialog "pj.pjsip_ua_find_dialog" (
        const pj_str_t *call_id, const pj_str_t *local_tag, const pj_str_t *remote_tag, pj_bool_t lock)
    pjsip_msg *pjsip_parse_rdata "pj.pjsip_parse_rdata" (char *buffer, size_t size, pjsip_rx_data *rdata)
    ptrdiff_t pjsip_msg_print "pj.pjsip_msg_print" (const pjsip_msg *message, char *buffer, size_t size)
    void *pjsip_msg_find_hdr "pj.pjsip_msg_find_hdr" (const pjsip_msg *message, int type, const void *start)
    void *pjsip_hdr_clone "pj.pjsip_hdr_clone" (pj_pool_t *pool, const void *header)
    pjsip_generic_string_hdr *pjsip_generic_string_hdr_create "pj.pjsip_generic_string_hdr_create" (
        pj_pool_t *pool, const pj_str_t *name, const pj_str_t *value)
    pjsip_multipart_part *pjsip_multipart_find_part "pj.pjsip_multipart_find_part" (
        const pjsip_msg_body *body, const pjsip_media_type *type, const pjsip_multipart_part *start)
    pj_status_t pjsip_transport_register "pj.pjsip_transport_register" (
        pjsip_tpmgr *manager, pjsip_transport *transport)
    pj_status_t pjsip_transport_add_ref "pj.pjsip_transport_add_ref" (pjsip_transport *transport)
    pj_status_t pjsip_transport_dec_ref "pj.pjsip_transport_dec_ref" (pjsip_transport *transport)
    pj_status_t pjsip_transport_shutdown "pj.pjsip_transport_shutdown" (pjsip_transport *transport)
    pjsip_tp_state_callback pjsip_tpmgr_get_state_cb "pj.pjsip_tpmgr_get_state_cb" (
        const pjsip_tpmgr *manager)
    pj_status_t pjsip_tpmgr_register_tpfactory "pj.pjsip_tpmgr_register_tpfactory" (
        pjsip_tpmgr *manager, pjsip_tpfactory *factory)
    pj_status_t pjsip_tpmgr_unregister_tpfactory "pj.pjsip_tpmgr_unregister_tpfactory" (
        pjsip_tpmgr *manager, pjsip_tpfactory *factory)
    unsigned int pjsip_tsx_layer_get_tsx_count "pj.pjsip_tsx_layer_get_tsx_count" ()
    void pjsip_tsx_set_timers "pj.pjsip_tsx_set_timers" (
        unsigned int t1, unsigned int t2, unsigned int t4, unsigned int td)
    pj_status_t pjsip_tsx_create_key "pj.pjsip_tsx_create_key" (
        pj_pool_t *pool, pj_str_t *key, int role, const pjsip_method *method, const pjsip_rx_data *rdata)
    pjsip_transaction *pjsip_tsx_layer_find_tsx "pj.pjsip_tsx_layer_find_tsx" (
        const pj_str_t *key, pj_bool_t lock)
    pjsip_msg_body *pjsip_msg_body_create "pj.pjsip_msg_body_create" (
        pj_pool_t *pool, const pj_str_t *type, const pj_str_t *subtype, const pj_str_t *text)
    int pjsip_print_text_body "pj.pjsip_print_text_body" (
        pjsip_msg_body *body, char *buffer, size_t size) noexcept
    void pjsip_method_init "pj.pjsip_method_init" (
        pjsip_method *method, pj_pool_t *pool, const pj_str_t *name)
    void pjsip_tx_data_dec_ref "pj.pjsip_tx_data_dec_ref" (pjsip_tx_data *tdata)
    pj_status_t pjsip_dlg_add_usage "pj.pjsip_dlg_add_usage" (
        pjsip_dialog *dialog, pjsip_module *module, void *data)
    pj_status_t pjsip_dlg_inc_session "pj.pjsip_dlg_inc_session" (pjsip_dialog *dialog, pjsip_module *module)
    pj_status_t pjsip_dlg_dec_session "pj.pjsip_dlg_dec_session" (pjsip_dialog *dialog, pjsip_module *module)
    pj_status_t pjsip_dlg_create_response "pj.pjsip_dlg_create_response" (
        pjsip_dialog *dialog, pjsip_rx_data *rdata, int status, const pj_str_t *reason, pjsip_tx_data **tdata)
    pj_status_t pjsip_dlg_modify_response "pj.pjsip_dlg_modify_response" (
        pjsip_dialog *dialog, pjsip_tx_data *tdata, int status, const pj_str_t *reason)
    pj_status_t pjsip_dlg_send_response "pj.pjsip_dlg_send_response" (
        pjsip_dialog *dialog, pjsip_transaction *tsx, pjsip_tx_data *tdata)
    pj_status_t pjsip_endpt_create_cancel "pj.pjsip_endpt_create_cancel" (
        pjsip_endpoint *endpoint, const pjsip_tx_data *request, pjsip_tx_data **tdata)
    pj_status_t pjsip_tsx_terminate "pj.pjsip_tsx_terminate" (pjsip_transaction *tsx, int status)
    pj_status_t pjsip_tsx_set_timeout "pj.pjsip_tsx_set_timeout" (
        pjsip_transaction *tsx, unsigned int milliseconds)
    pjsip_transaction *pjsip_rdata_get_tsx "pj.pjsip_rdata_get_tsx" (pjsip_rx_data *rdata)
    pj_status_t pjsip_auth_clt_reinit_req "pj.pjsip_auth_clt_reinit_req" (
        pjsip_auth_clt_sess *session, const pjsip_rx_data *rdata, pjsip_tx_data *request,
        pjsip_tx_data **tdata)
    pjsip_transaction *pjsip_tsx_detect_merged_requests "pj.pjsip_tsx_detect_merged_requests" (
        pjsip_rx_data *rdata)
    pjsip_dialog *pjsip_tsx_get_dlg "pj.pjsip_tsx_get_dlg" (pjsip_transaction *tsx)
    pj_status_t pjsip_dlg_create_uas_and_inc_lock "pj.pjsip_dlg_create_uas_and_inc_lock" (
        pjsip_user_agent *agent, pjsip_rx_data *rdata, const pj_str_t *contact, pjsip_dialog **dialog)
    pj_status_t pjsip_dlg_create_uac "pj.pjsip_dlg_create_uac" (
        pjsip_user_agent *agent, const pj_str_t *local_uri, const pj_str_t *contact,
        const pj_str_t *remote_uri, const pj_str_t *target, pjsip_dialog **dialog)
    void pjsip_dlg_dec_lock "pj.pjsip_dlg_dec_lock" (pjsip_dialog *dialog)
    pj_status_t pjsip_dlg_terminate "pj.pjsip_dlg_terminate" (pjsip_dialog *dialog)
    pj_status_t pjsip_dlg_set_transport "pj.pjsip_dlg_set_transport" (
        pjsip_dialog *dialog, const pjsip_tpselector *selector)
    pj_status_t pjsip_dlg_set_via_sent_by "pj.pjsip_dlg_set_via_sent_by" (
        pjsip_dialog *dialog, pjsip_host_port *address, pjsip_transport *transport)
    pj_status_t pjsip_dlg_create_request "pj.pjsip_dlg_create_request" (
        pjsip_dialog *dialog, const pjsip_method *method, int cseq, pjsip_tx_data **tdata)
    pj_status_t pjsip_dlg_send_request "pj.pjsip_dlg_send_request" (
        pjsip_dialog *dialog, pjsip_tx_data *tdata, int module, void *module_data)
    pjsip_dialog *pjsip_rdata_get_dlg "pj.pjsip_rdata_get_dlg" (pjsip_rx_data *rdata)
    pj_status_t pjsip_dlg_respond "pj.pjsip_dlg_respond" (
        pjsip_dialog *dialog, pjsip_rx_data *rdata, int status, const pj_str_t *reason,
        const pjsip_hdr *headers, const pjsip_msg_body *body)
    const pjsip_method *pjsip_get_ack_method "pj.pjsip_get_ack_method" ()
    pj_status_t pjsip_auth_clt_set_credentials "pj.pjsip_auth_clt_set_credentials" (
        pjsip_auth_clt_sess *session, int count, const pjsip_cred_info *credentials)
    pj_status_t pjsip_inv_verify_request "pj.pjsip_inv_verify_request" (
        pjsip_rx_data *rdata, unsigned int *options, const pjmedia_sdp_session *answer,
        pjsip_dialog *dialog, pjsip_endpoint *endpoint, pjsip_tx_data **tdata)
    pj_status_t pjsip_inv_create_uas "pj.pjsip_inv_create_uas" (
        pjsip_dialog *dialog, pjsip_rx_data *rdata, const pjmedia_sdp_session *answer,
        unsigned int options, pjsip_inv_session **inv)
    pj_status_t pjsip_inv_create_uac "pj.pjsip_inv_create_uac" (
        pjsip_dialog *dialog, const pjmedia_sdp_session *offer, unsigned int options,
        pjsip_inv_session **inv)
    pj_status_t pjsip_inv_initial_answer "pj.pjsip_inv_initial_answer" (
        pjsip_inv_session *inv, pjsip_rx_data *rdata, int status, const pj_str_t *reason,
        const pjmedia_sdp_session *sdp, pjsip_tx_data **tdata)
    pj_status_t pjsip_inv_answer "pj.pjsip_inv_answer" (
        pjsip_inv_session *inv, int status, const pj_str_t *reason, const pjmedia_sdp_session *sdp,
        pjsip_tx_data **tdata)
    pj_status_t pjsip_inv_invite "pj.pjsip_inv_invite" (pjsip_inv_session *inv, pjsip_tx_data **tdata)
    pj_status_t pjsip_inv_reinvite "pj.pjsip_inv_reinvite" (
        pjsip_inv_session *inv, const pj_str_t *contact, const pjmedia_sdp_session *offer,
        pjsip_tx_data **tdata)
    pj_status_t pjsip_inv_cancel_reinvite "pj.pjsip_inv_cancel_reinvite" (
        pjsip_inv_session *inv, pjsip_tx_data **tdata)
    pj_status_t pjsip_inv_create_ack "pj.pjsip_inv_create_ack" (
        pjsip_inv_session *inv, int cseq, pjsip_tx_data **tdata)
    pj_status_t pjsip_inv_send_msg "pj.pjsip_inv_send_msg" (pjsip_inv_session *inv, pjsip_tx_data *tdata)
    pj_status_t pjsip_inv_end_session "pj.pjsip_inv_end_session" (
        pjsip_inv_session *inv, int status, const pj_str_t *reason, pjsip_tx_data **tdata)
    pj_status_t pjsip_inv_terminate "pj.pjsip_inv_terminate" (
        pjsip_inv_session *inv, int status, pj_bool_t notify)
    pj_status_t pjsip_inv_set_sdp_answer "pj.pjsip_inv_set_sdp_answer" (
        pjsip_inv_session *inv, const pjmedia_sdp_session *sdp)
    pj_status_t pjsip_inv_set_local_sdp "pj.pjsip_inv_set_local_sdp" (
        pjsip_inv_session *inv, const pjmedia_sdp_session *sdp)
    pj_status_t pjsip_timer_init_session "pj.pjsip_timer_init_session" (
        pjsip_inv_session *inv, const void *setting)
    pj_status_t pjmedia_sdp_parse "pj.pjmedia_sdp_parse" (
        pj_pool_t *pool, char *buffer, size_t length, pjmedia_sdp_session **sdp)
    pj_status_t pjmedia_sdp_validate2 "pj.pjmedia_sdp_validate2" (
        const pjmedia_sdp_session *sdp, pj_bool_t strict)
    pj_status_t pjsip_tsx_stop_retransmit "pj.pjsip_tsx_stop_retransmit" (pjsip_transaction *tsx)
    pj_status_t pjsip_tx_data_set_transport "pj.pjsip_tx_data_set_transport" (
        pjsip_tx_data *tdata, const pjsip_tpselector *selector)
    pj_status_t pjsip_endpt_create_request "pj.pjsip_endpt_create_request" (
        pjsip_endpoint *endpoint, const pjsip_method *method, const pj_str_t *target,
        const pj_str_t *from_, const pj_str_t *to, const pj_str_t *contact, const pj_str_t *call_id,
        int cseq, const pj_str_t *text, pjsip_tx_data **tdata)
    pj_status_t pjsip_endpt_send_request "pj.pjsip_endpt_send_request" (
        pjsip_endpoint *endpoint, pjsip_tx_data *tdata, int timeout, void *token,
        void (*callback)(void *token, pjsip_event *event) noexcept)
    int pjmedia_sdp_neg_get_state "pj.pjmedia_sdp_neg_get_state" (pjmedia_sdp_neg *negotiator)
    pj_status_t pjmedia_sdp_neg_cancel_offer "pj.pjmedia_sdp_neg_cancel_offer" (pjmedia_sdp_neg *negotiator)

cdef extern from "network.h":
    int fp_address(pj_sockaddr *address, const char *host, int port)
    int fp_is_v6(const pj_sockaddr *address)
    int fp_any_peer(pj_sockaddr *address, int v6)
    void fp_address_text(const pj_sockaddr *address, char *host, int *port)
    int fp_rx_reset(pjsip_rx_data *rdata, const char *host, int port, char *message, int length)
    size_t fp_pool_bytes(const pj_caching_pool *caching)
