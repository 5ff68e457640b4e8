"""Between PJSIP's strings and URIs and Python's; header-only."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp
from posix.strings cimport strncasecmp

from pjsip.pjsip cimport (
    PJSIP_TRANSPORT_TCP,
    PJSIP_TRANSPORT_TLS,
    PJSIP_TRANSPORT_UDP,
    PJSIP_TRANSPORT_UNSPECIFIED,
    PJSIP_URI_IN_REQ_URI,
    pj_str_t,
    pjsip_param,
    pjsip_sip_uri,
    pjsip_uri,
)

cdef enum:
    OTHER = 255


cdef inline pj_str_t borrow(bytes text) noexcept:
    """PJSIP's view of `text`; `text` must outlive its use."""
    cdef pj_str_t view
    view.ptr = PyBytes_AS_STRING(text)
    view.slen = PyBytes_GET_SIZE(text)
    return view


cdef inline str to_str(const pj_str_t *text):
    """A copy as str; octets that are not UTF-8 become U+FFFD."""
    if text.ptr == NULL or text.slen <= 0:
        return ""
    return PyBytes_FromStringAndSize(text.ptr, text.slen).decode("utf-8", "replace")


cdef inline bint equals(const pj_str_t *text, const char *word, ptrdiff_t length) noexcept nogil:
    """Whether `text` is `word`, whatever the case."""
    return text.slen == length and strncasecmp(text.ptr, word, length) == 0


cdef inline bint same(const pj_str_t *a, const pj_str_t *b) noexcept nogil:
    return a.slen == b.slen and memcmp(a.ptr, b.ptr, a.slen) == 0


cdef inline str uri_text(const pjsip_uri *uri):
    """The URI with port and parameters, without display name; "" when it is absurdly long."""
    cdef char buffer[2048]
    cdef ptrdiff_t length
    cdef pjsip_uri *inner
    if uri == NULL:
        return ""
    inner = <pjsip_uri *>uri.vptr.p_get_uri(<void *>uri)
    length = inner.vptr.p_print(PJSIP_URI_IN_REQ_URI, inner, buffer, sizeof(buffer))
    if length < 1:
        return ""
    return PyBytes_FromStringAndSize(buffer, length).decode("utf-8", "replace")


cdef inline pjsip_sip_uri *sip_uri(const pjsip_uri *uri, bint *secure) noexcept:
    """The sip: or sips: URI in `uri`, or null when the scheme is another."""
    cdef const pj_str_t *scheme
    if uri == NULL:
        return NULL
    scheme = uri.vptr.p_get_scheme(uri)
    secure[0] = equals(scheme, b"sips", 4)
    if not secure[0] and not equals(scheme, b"sip", 3):
        return NULL
    return <pjsip_sip_uri *>uri.vptr.p_get_uri(<void *>uri)


cdef inline int transport_wanted(const pjsip_uri *uri) noexcept:
    """The transport type that a URI asks for: UNSPECIFIED where it leaves it open, OTHER if not ours."""
    cdef bint secure = False
    cdef pjsip_sip_uri *sip = sip_uri(uri, &secure)
    if sip == NULL:
        return OTHER
    if secure:
        return PJSIP_TRANSPORT_TLS
    if sip.transport_param.slen <= 0:
        return PJSIP_TRANSPORT_UNSPECIFIED
    if equals(&sip.transport_param, b"udp", 3):
        return PJSIP_TRANSPORT_UDP
    if equals(&sip.transport_param, b"tcp", 3):
        return PJSIP_TRANSPORT_TCP
    if equals(&sip.transport_param, b"tls", 3):
        return PJSIP_TRANSPORT_TLS
    return OTHER


cdef inline bint has_parameter(pjsip_sip_uri *uri, const char *name, ptrdiff_t length) noexcept:
    cdef pjsip_param *parameter = uri.other_param.next
    while parameter != &uri.other_param:
        if equals(&parameter.name, name, length):
            return True
        parameter = parameter.next
    return False
