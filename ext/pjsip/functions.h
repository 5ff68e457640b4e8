/* The functions that we call in PJSIP, as a table that load() fills from the wheel's shared object.
 *
 * dlsym instead of linking: the wheel has no import library, and a symbol that is missing becomes one sentence
 * that names it. RTLD_LOCAL keeps the codecs and resamplers inside the wheel from shadowing those of others.
 */
#ifndef FORKPROXY_FUNCTIONS_H
#define FORKPROXY_FUNCTIONS_H

#include <dlfcn.h>

#include "abi.h"

#define FP_FUNCTIONS(F) \
    /* pjlib */ \
    F(const char *, pj_get_version, (void)) \
    F(pj_status_t, pj_init, (void)) \
    F(pj_status_t, pjlib_util_init, (void)) \
    F(void, pj_log_set_level, (int level)) \
    F(void, pj_srand, (unsigned seed)) \
    F(pj_str_t, pj_strerror, (pj_status_t status, char *buffer, size_t size)) \
    F(void, pj_caching_pool_init, (pj_caching_pool *pool, const void *policy, size_t max_capacity)) \
    F(const void *, pj_pool_factory_get_default_policy, (void)) \
    F(void *, pj_pool_alloc, (pj_pool_t *pool, size_t size)) \
    F(void, pj_pool_reset, (pj_pool_t *pool)) \
    F(pj_status_t, pj_atomic_create, (pj_pool_t *pool, long initial, pj_atomic_t **atomic)) \
    F(pj_status_t, pj_atomic_destroy, (pj_atomic_t *atomic)) \
    F(pj_status_t, pj_lock_create_recursive_mutex, (pj_pool_t *pool, const char *name, pj_lock_t **lock)) \
    F(pj_status_t, pj_lock_destroy, (pj_lock_t *lock)) \
    F(unsigned, pj_timer_heap_poll, (pj_timer_heap_t *heap, pj_time_val *next)) \
    F(pj_status_t, pj_timer_heap_earliest_time, (pj_timer_heap_t *heap, pj_time_val *earliest)) \
    F(size_t, pj_timer_heap_count, (pj_timer_heap_t *heap)) \
    F(unsigned, pj_timer_heap_set_max_timed_out_per_poll, (pj_timer_heap_t *heap, unsigned count)) \
    F(void, pj_list_insert_before, (void *position, void *node)) \
    F(void, pj_list_erase, (void *node)) \
    /* the endpoint and its modules */ \
    F(pj_status_t, pjsip_endpt_create, \
      (pj_pool_factory *factory, const char *name, pjsip_endpoint **endpoint)) \
    F(pj_timer_heap_t *, pjsip_endpt_get_timer_heap, (pjsip_endpoint *endpoint)) \
    F(pjsip_tpmgr *, pjsip_endpt_get_tpmgr, (pjsip_endpoint *endpoint)) \
    F(pj_pool_t *, pjsip_endpt_create_pool, \
      (pjsip_endpoint *endpoint, const char *name, size_t initial, size_t increment)) \
    F(void, pjsip_endpt_release_pool, (pjsip_endpoint *endpoint, pj_pool_t *pool)) \
    F(pj_status_t, pjsip_endpt_register_module, (pjsip_endpoint *endpoint, pjsip_module *module)) \
    F(pj_status_t, pjsip_endpt_add_capability, \
      (pjsip_endpoint *endpoint, pjsip_module *module, int type, const pj_str_t *name, unsigned count, \
       const pj_str_t *tags)) \
    F(pj_status_t, pjsip_endpt_set_ext_resolver, (pjsip_endpoint *endpoint, pjsip_ext_resolver *resolver)) \
    F(const pjsip_hdr *, pjsip_endpt_get_capability, \
      (pjsip_endpoint *endpoint, int type, const pj_str_t *name)) \
    F(pj_status_t, pjsip_endpt_process_rx_data, \
      (pjsip_endpoint *endpoint, pjsip_rx_data *rdata, pjsip_process_rdata_param *param, pj_bool_t *handled)) \
    F(pj_status_t, pjsip_endpt_respond_stateless, \
      (pjsip_endpoint *endpoint, pjsip_rx_data *rdata, int status, const pj_str_t *reason, \
       const pjsip_hdr *headers, const pjsip_msg_body *body)) \
    F(pj_status_t, pjsip_endpt_send_response2, \
      (pjsip_endpoint *endpoint, pjsip_rx_data *rdata, pjsip_tx_data *tdata, void *token, void *callback)) \
    F(pj_status_t, pjsip_tsx_layer_init_module, (pjsip_endpoint *endpoint)) \
    F(pj_status_t, pjsip_ua_init_module, (pjsip_endpoint *endpoint, const void *param)) \
    F(pj_status_t, pjsip_inv_usage_init, (pjsip_endpoint *endpoint, const pjsip_inv_callback *callback)) \
    F(pj_status_t, pjsip_100rel_init_module, (pjsip_endpoint *endpoint)) \
    F(pj_status_t, pjsip_timer_init_module, (pjsip_endpoint *endpoint)) \
    F(pjsip_user_agent *, pjsip_ua_instance, (void)) \
    F(uint32_t, pjsip_ua_get_dlg_set_count, (void)) \
    F(pjsip_dialog *, pjsip_ua_find_dialog, \
      (const pj_str_t *call_id, const pj_str_t *local_tag, const pj_str_t *remote_tag, pj_bool_t lock)) \
    /* messages */ \
    F(pjsip_msg *, pjsip_parse_rdata, (char *buffer, size_t size, pjsip_rx_data *rdata)) \
    F(ptrdiff_t, pjsip_msg_print, (const pjsip_msg *message, char *buffer, size_t size)) \
    F(void *, pjsip_msg_find_hdr, (const pjsip_msg *message, int type, const void *start)) \
    F(void *, pjsip_hdr_clone, (pj_pool_t *pool, const void *header)) \
    F(pjsip_generic_string_hdr *, pjsip_generic_string_hdr_create, \
      (pj_pool_t *pool, const pj_str_t *name, const pj_str_t *value)) \
    F(pjsip_multipart_part *, pjsip_multipart_find_part, \
      (const pjsip_msg_body *body, const pjsip_media_type *type, const pjsip_multipart_part *start)) \
    F(pjsip_msg_body *, pjsip_msg_body_create, \
      (pj_pool_t *pool, const pj_str_t *type, const pj_str_t *subtype, const pj_str_t *text)) \
    F(int, pjsip_print_text_body, (pjsip_msg_body *body, char *buffer, size_t size)) \
    F(void, pjsip_method_init, (pjsip_method *method, pj_pool_t *pool, const pj_str_t *name)) \
    F(void, pjsip_tx_data_dec_ref, (pjsip_tx_data *tdata)) \
    /* transports */ \
    F(pj_status_t, pjsip_transport_register, (pjsip_tpmgr *manager, pjsip_transport *transport)) \
    F(pj_status_t, pjsip_transport_add_ref, (pjsip_transport *transport)) \
    F(pj_status_t, pjsip_transport_dec_ref, (pjsip_transport *transport)) \
    F(pj_status_t, pjsip_transport_shutdown, (pjsip_transport *transport)) \
    F(pjsip_tp_state_callback, pjsip_tpmgr_get_state_cb, (const pjsip_tpmgr *manager)) \
    F(pj_status_t, pjsip_tpmgr_register_tpfactory, (pjsip_tpmgr *manager, pjsip_tpfactory *factory)) \
    F(pj_status_t, pjsip_tpmgr_unregister_tpfactory, (pjsip_tpmgr *manager, pjsip_tpfactory *factory)) \
    /* transactions, dialogs, invite sessions */ \
    F(unsigned, pjsip_tsx_layer_get_tsx_count, (void)) \
    F(pj_status_t, pjsip_tsx_stop_retransmit, (pjsip_transaction *tsx)) \
    F(pj_status_t, pjsip_tx_data_set_transport, (pjsip_tx_data *tdata, const pjsip_tpselector *selector)) \
    F(pj_status_t, pjsip_endpt_create_request, \
      (pjsip_endpoint *endpoint, const pjsip_method *method, const pj_str_t *target, const pj_str_t *from, \
       const pj_str_t *to, const pj_str_t *contact, const pj_str_t *call_id, int cseq, const pj_str_t *text, \
       pjsip_tx_data **tdata)) \
    F(pj_status_t, pjsip_endpt_send_request, \
      (pjsip_endpoint *endpoint, pjsip_tx_data *tdata, int timeout, void *token, \
       void (*callback)(void *token, pjsip_event *event))) \
    F(void, pjsip_tsx_set_timers, (unsigned t1, unsigned t2, unsigned t4, unsigned td)) \
    F(pj_status_t, pjsip_tsx_create_key, \
      (pj_pool_t *pool, pj_str_t *key, int role, const pjsip_method *method, const pjsip_rx_data *rdata)) \
    F(pjsip_transaction *, pjsip_tsx_layer_find_tsx, (const pj_str_t *key, pj_bool_t lock)) \
    F(pjsip_transaction *, pjsip_tsx_detect_merged_requests, (pjsip_rx_data *rdata)) \
    F(pjsip_dialog *, pjsip_tsx_get_dlg, (pjsip_transaction *tsx)) \
    F(pj_status_t, pjsip_dlg_create_uas_and_inc_lock, \
      (pjsip_user_agent *agent, pjsip_rx_data *rdata, const pj_str_t *contact, pjsip_dialog **dialog)) \
    F(pj_status_t, pjsip_dlg_create_uac, \
      (pjsip_user_agent *agent, const pj_str_t *local_uri, const pj_str_t *contact, \
       const pj_str_t *remote_uri, const pj_str_t *target, pjsip_dialog **dialog)) \
    F(void, pjsip_dlg_dec_lock, (pjsip_dialog *dialog)) \
    F(pj_status_t, pjsip_dlg_terminate, (pjsip_dialog *dialog)) \
    F(pj_status_t, pjsip_dlg_set_transport, (pjsip_dialog *dialog, const pjsip_tpselector *selector)) \
    F(pj_status_t, pjsip_dlg_set_via_sent_by, \
      (pjsip_dialog *dialog, pjsip_host_port *address, pjsip_transport *transport)) \
    F(pj_status_t, pjsip_dlg_create_request, \
      (pjsip_dialog *dialog, const pjsip_method *method, int cseq, pjsip_tx_data **tdata)) \
    F(pj_status_t, pjsip_dlg_send_request, \
      (pjsip_dialog *dialog, pjsip_tx_data *tdata, int module, void *module_data)) \
    F(pjsip_dialog *, pjsip_rdata_get_dlg, (pjsip_rx_data *rdata)) \
    F(pj_status_t, pjsip_dlg_respond, \
      (pjsip_dialog *dialog, pjsip_rx_data *rdata, int status, const pj_str_t *reason, \
       const pjsip_hdr *headers, const pjsip_msg_body *body)) \
    F(const pjsip_method *, pjsip_get_ack_method, (void)) \
    /* dialogs without an invite session (dialogs.pyx) */ \
    F(pj_status_t, pjsip_dlg_add_usage, (pjsip_dialog *dialog, pjsip_module *module, void *data)) \
    F(pj_status_t, pjsip_dlg_inc_session, (pjsip_dialog *dialog, pjsip_module *module)) \
    F(pj_status_t, pjsip_dlg_dec_session, (pjsip_dialog *dialog, pjsip_module *module)) \
    F(pj_status_t, pjsip_dlg_create_response, \
      (pjsip_dialog *dialog, pjsip_rx_data *rdata, int status, const pj_str_t *reason, pjsip_tx_data **tdata)) \
    F(pj_status_t, pjsip_dlg_modify_response, \
      (pjsip_dialog *dialog, pjsip_tx_data *tdata, int status, const pj_str_t *reason)) \
    F(pj_status_t, pjsip_dlg_send_response, \
      (pjsip_dialog *dialog, pjsip_transaction *tsx, pjsip_tx_data *tdata)) \
    F(pj_status_t, pjsip_endpt_create_cancel, \
      (pjsip_endpoint *endpoint, const pjsip_tx_data *request, pjsip_tx_data **tdata)) \
    F(pj_status_t, pjsip_tsx_terminate, (pjsip_transaction *tsx, int status)) \
    F(pj_status_t, pjsip_tsx_set_timeout, (pjsip_transaction *tsx, unsigned milliseconds)) \
    F(pjsip_transaction *, pjsip_rdata_get_tsx, (pjsip_rx_data *rdata)) \
    F(pj_status_t, pjsip_auth_clt_reinit_req, \
      (pjsip_auth_clt_sess *session, const pjsip_rx_data *rdata, pjsip_tx_data *request, \
       pjsip_tx_data **tdata)) \
    F(pj_status_t, pjsip_auth_clt_set_credentials, \
      (pjsip_auth_clt_sess *session, int count, const pjsip_cred_info *credentials)) \
    F(pj_status_t, pjsip_inv_verify_request, \
      (pjsip_rx_data *rdata, unsigned *options, const pjmedia_sdp_session *answer, pjsip_dialog *dialog, \
       pjsip_endpoint *endpoint, pjsip_tx_data **tdata)) \
    F(pj_status_t, pjsip_inv_create_uas, \
      (pjsip_dialog *dialog, pjsip_rx_data *rdata, const pjmedia_sdp_session *answer, unsigned options, \
       pjsip_inv_session **inv)) \
    F(pj_status_t, pjsip_inv_create_uac, \
      (pjsip_dialog *dialog, const pjmedia_sdp_session *offer, unsigned options, pjsip_inv_session **inv)) \
    F(pj_status_t, pjsip_inv_initial_answer, \
      (pjsip_inv_session *inv, pjsip_rx_data *rdata, int status, const pj_str_t *reason, \
       const pjmedia_sdp_session *sdp, pjsip_tx_data **tdata)) \
    F(pj_status_t, pjsip_inv_answer, \
      (pjsip_inv_session *inv, int status, const pj_str_t *reason, const pjmedia_sdp_session *sdp, \
       pjsip_tx_data **tdata)) \
    F(pj_status_t, pjsip_inv_invite, (pjsip_inv_session *inv, pjsip_tx_data **tdata)) \
    F(pj_status_t, pjsip_inv_reinvite, \
      (pjsip_inv_session *inv, const pj_str_t *contact, const pjmedia_sdp_session *offer, \
       pjsip_tx_data **tdata)) \
    F(pj_status_t, pjsip_inv_cancel_reinvite, (pjsip_inv_session *inv, pjsip_tx_data **tdata)) \
    F(pj_status_t, pjsip_inv_create_ack, (pjsip_inv_session *inv, int cseq, pjsip_tx_data **tdata)) \
    F(pj_status_t, pjsip_inv_send_msg, (pjsip_inv_session *inv, pjsip_tx_data *tdata)) \
    F(pj_status_t, pjsip_inv_end_session, \
      (pjsip_inv_session *inv, int status, const pj_str_t *reason, pjsip_tx_data **tdata)) \
    F(pj_status_t, pjsip_inv_terminate, (pjsip_inv_session *inv, int status, pj_bool_t notify)) \
    F(pj_status_t, pjsip_inv_set_sdp_answer, (pjsip_inv_session *inv, const pjmedia_sdp_session *sdp)) \
    F(pj_status_t, pjsip_inv_set_local_sdp, (pjsip_inv_session *inv, const pjmedia_sdp_session *sdp)) \
    F(pj_status_t, pjsip_timer_init_session, (pjsip_inv_session *inv, const void *setting)) \
    /* session descriptions: only our own constant one (see PLACEHOLDER in engine.pyx) */ \
    F(pj_status_t, pjmedia_sdp_parse, \
      (pj_pool_t *pool, char *buffer, size_t length, pjmedia_sdp_session **sdp)) \
    F(pj_status_t, pjmedia_sdp_validate2, (const pjmedia_sdp_session *sdp, pj_bool_t strict)) \
    F(int, pjmedia_sdp_neg_get_state, (pjmedia_sdp_neg *negotiator)) \
    F(pj_status_t, pjmedia_sdp_neg_cancel_offer, (pjmedia_sdp_neg *negotiator))

#define FP_MEMBER(result, name, arguments) result(*name) arguments;
static struct {
    FP_FUNCTIONS(FP_MEMBER)
    pjsip_cfg_t *pjsip_sip_cfg_var;
} pj;
#undef FP_MEMBER

/* Opens the wheel's library and fills the table. Returns null, or what is wrong: a loader's message (*symbol is
 * 0) or the name of the *symbol-th function, which is missing; the first one tells the version. */
static const char *fp_load(const char *path, int *symbol)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    *symbol = 0;
    if (!library)
        return dlerror();
#define FP_LOOK_UP(result, name, arguments) \
    ++*symbol; \
    *(void **)&pj.name = dlsym(library, #name); \
    if (!pj.name) \
        return #name;
    FP_FUNCTIONS(FP_LOOK_UP)
#undef FP_LOOK_UP
    pj.pjsip_sip_cfg_var = dlsym(library, "pjsip_sip_cfg_var");
    return pj.pjsip_sip_cfg_var ? NULL : "pjsip_sip_cfg_var";
}

#endif
