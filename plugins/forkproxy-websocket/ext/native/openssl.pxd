"""What we use of OpenSSL 3, found in the system's library when the module is loaded.

No headers are needed to build, and no library to run: without one (`openssl_load` says why) there is no TLS
here, and Python's carries wss. Constants and prototypes are those of OpenSSL 3.x's documented interface.
"""

from libc.stddef cimport size_t
from libc.string cimport memset

cdef extern from "<dlfcn.h>" nogil:
    int RTLD_NOW, RTLD_LOCAL
    void *dlopen(const char *name, int flags)
    void *dlsym(void *library, const char *symbol)
    const char *dlerror()

cdef enum:
    VERIFY_PEER = 1
    ERROR_SSL = 1
    ERROR_WANT_READ = 2
    ERROR_WANT_WRITE = 3
    ERROR_SYSCALL = 5
    ERROR_ZERO_RETURN = 6
    CTRL_MODE = 33
    CTRL_SET_TLSEXT_HOSTNAME = 55
    CTRL_SET_MIN_PROTO_VERSION = 123
    NAMETYPE_HOST_NAME = 0
    TLS_1_2 = 0x0303
    PARTIAL_WRITE = 1
    MOVING_BUFFER = 2
    RELEASE_BUFFERS = 0x10
    CHECK_NO_PARTIAL_WILDCARDS = 4
    HOSTNAME_MISMATCH = 62
    IP_ADDRESS_MISMATCH = 64
    FILETYPE_PEM = 1

cdef enum:
    # SSL_OP_*: an end without close_notify is an end; no compression, no renegotiation.
    IGNORE_UNEXPECTED_EOF = 1 << 7
    NO_COMPRESSION = 1 << 17
    NO_RENEGOTIATION = 1 << 30

ctypedef void *(*ssl_new)(void *) noexcept nogil
ctypedef void (*ssl_free)(void *) noexcept nogil
ctypedef int (*ssl_do)(void *) noexcept nogil
ctypedef int (*ssl_int)(void *, int) noexcept nogil
ctypedef long (*ssl_ctrl)(void *, int, long, void *) noexcept nogil
ctypedef int (*ssl_text)(void *, const char *) noexcept nogil
ctypedef int (*ssl_text_int)(void *, const char *, int) noexcept nogil
ctypedef unsigned long (*ssl_error)() noexcept nogil
ctypedef const char *(*ssl_word)(unsigned long) noexcept nogil
ctypedef const char *(*ssl_long_word)(long) noexcept nogil

cdef struct OpenSSL:
    void *(*method)() noexcept nogil
    ssl_new context_new
    ssl_free context_free
    ssl_ctrl context_ctrl
    unsigned long long (*set_options)(void *, unsigned long long) noexcept nogil
    void (*set_verify)(void *, int, void *) noexcept nogil
    int (*load_verify)(void *, const char *, const char *) noexcept nogil
    ssl_text set_ciphers
    ssl_text use_chain
    ssl_text_int use_key
    ssl_do check_key
    void (*set_password)(void *, void *) noexcept nogil
    void *(*context_store)(void *) noexcept nogil
    int (*store_add)(void *, void *) noexcept nogil
    void *(*read_certificate)(void *, const unsigned char **, long) noexcept nogil
    ssl_free certificate_free
    ssl_new new
    ssl_free free
    ssl_ctrl ctrl
    ssl_int set_fd
    void *(*param)(void *) noexcept nogil
    int (*set_host)(void *, const char *, size_t) noexcept nogil
    ssl_text set_ip
    void (*set_host_flags)(void *, unsigned int) noexcept nogil
    ssl_free set_connect
    ssl_do handshake
    int (*read)(void *, void *, int) noexcept nogil
    int (*write)(void *, const void *, int) noexcept nogil
    ssl_do shutdown
    ssl_int error
    long (*verify_result)(void *) noexcept nogil
    ssl_long_word verify_words
    void (*clear_errors)() noexcept nogil
    ssl_error last_error
    ssl_word error_words

cdef extern from *:
    """
    static const char *const openssl_names[] = {
        "TLS_client_method", "SSL_CTX_new", "SSL_CTX_free", "SSL_CTX_ctrl", "SSL_CTX_set_options",
        "SSL_CTX_set_verify", "SSL_CTX_load_verify_locations", "SSL_CTX_set_cipher_list",
        "SSL_CTX_use_certificate_chain_file", "SSL_CTX_use_PrivateKey_file", "SSL_CTX_check_private_key",
        "SSL_CTX_set_default_passwd_cb_userdata",
        "SSL_CTX_get_cert_store", "X509_STORE_add_cert", "d2i_X509", "X509_free",
        "SSL_new", "SSL_free", "SSL_ctrl", "SSL_set_fd", "SSL_get0_param", "X509_VERIFY_PARAM_set1_host",
        "X509_VERIFY_PARAM_set1_ip_asc", "X509_VERIFY_PARAM_set_hostflags", "SSL_set_connect_state",
        "SSL_do_handshake", "SSL_read", "SSL_write", "SSL_shutdown", "SSL_get_error", "SSL_get_verify_result",
        "X509_verify_cert_error_string", "ERR_clear_error", "ERR_peek_last_error", "ERR_reason_error_string",
    };
    """
    const char **openssl_names


cdef inline const char *openssl_load(OpenSSL *to) noexcept nogil:
    """Fill the table; NULL: it is whole. Otherwise what is missing."""
    cdef void *library = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL)
    cdef void **slots = <void **>to
    cdef size_t i
    memset(to, 0, sizeof(OpenSSL))
    if library == NULL:
        return dlerror()
    for i in range(sizeof(OpenSSL) // sizeof(void *)):
        slots[i] = dlsym(library, openssl_names[i])  # what belongs to libcrypto is found through libssl
        if slots[i] == NULL:
            return openssl_names[i]
    return NULL
