"""The checks that a received message must pass before PJSIP's layers see it; header-only.

The wheel asserts, and an assertion ends the process: whatever PJSIP takes for granted is checked here.
"""

from libc.string cimport memcmp

from pjsip.pjsip cimport (
    PJSIP_H_CONTACT,
    PJSIP_H_CONTENT_TYPE,
    PJSIP_H_RECORD_ROUTE,
    PJSIP_H_ROUTE,
    PJSIP_INVITE_METHOD,
    PJSIP_OTHER_METHOD,
    PJSIP_REQUEST_MSG,
    PJSIP_TRANSPORT_UNSPECIFIED,
    pj_list_erase,
    pjsip_contact_hdr,
    pjsip_hdr,
    pjsip_method,
    pjsip_msg_body,
    pjsip_multipart_find_part,
    pjsip_multipart_part,
    pjsip_media_type,
    pjsip_routing_hdr,
    pjsip_rx_data,
    pjsip_sip_uri,
    pjsip_uri,
)
from pjsip.text cimport equals, has_parameter, same, sip_uri, transport_wanted

cdef enum:
    # what receive() returns
    TAKEN = 0
    BAD_SYNTAX = 1  # the parser gave up
    BAD_HEADER = 2  # a mandatory header is missing, or two contradict each other
    BAD_LENGTH = 3  # truncated, or Content-Length says more than there is
    TOO_LONG = 4  # past our own limit
    CLOSED = 5  # for a transport that is gone

    MAX_HEADERS = 256


cdef inline bint is_method(const pjsip_method *method, const char *name, ptrdiff_t length) noexcept:
    return method.id == PJSIP_OTHER_METHOD and method.name.slen == length and (
        memcmp(method.name.ptr, name, length) == 0)


cdef inline bint makes_target(const pjsip_method *method) noexcept:
    """Whether Contact in such a request or its response may become the peer's address in the dialog."""
    return method.id == PJSIP_INVITE_METHOD or method.id == PJSIP_OTHER_METHOD  # UPDATE, REFER, NOTIFY ...


cdef inline int inspect(pjsip_rx_data *rdata, ptrdiff_t body_there, bint *redirects) noexcept:
    """The verdict on a parsed message of whose octets `body_there` follow the headers (-1: no blank line).

    A Contact that we could not send to is taken out of a response (the dialog keeps its old target).
    `redirects` tells whether a Contact or Record-Route asks for a transport by name.
    """
    cdef int count = 0
    cdef int types = 0
    cdef bint secure = False
    cdef bint request
    cdef bint target
    cdef pjsip_hdr *header
    cdef pjsip_hdr *following
    cdef pjsip_uri *uri
    cdef pjsip_sip_uri *sip
    redirects[0] = False
    if rdata.msg_info.msg == NULL or rdata.msg_info.parse_err.next != <void *>&rdata.msg_info.parse_err:
        return BAD_SYNTAX
    if (rdata.msg_info.cid == NULL or rdata.msg_info.cid.id.slen <= 0 or rdata.msg_info.via == NULL
            or rdata.msg_info.via.sent_by.host.slen <= 0 or rdata.msg_info.cseq == NULL
            or rdata.msg_info.cseq.cseq < 0
            or rdata.msg_info.from_ == NULL or rdata.msg_info.from_.uri == NULL
            or rdata.msg_info.to == NULL or rdata.msg_info.to.uri == NULL):
        return BAD_HEADER
    request = rdata.msg_info.msg.type == PJSIP_REQUEST_MSG
    if request:
        if (rdata.msg_info.msg.line.req.uri == NULL
                or rdata.msg_info.msg.line.req.method.id != rdata.msg_info.cseq.method.id
                or not same(&rdata.msg_info.msg.line.req.method.name, &rdata.msg_info.cseq.method.name)
                or rdata.msg_info.from_.tag.slen <= 0):
            return BAD_HEADER
    elif rdata.msg_info.msg.line.status.code < 100 or rdata.msg_info.msg.line.status.code > 699:
        return BAD_HEADER
    target = makes_target(&rdata.msg_info.cseq.method)
    header = rdata.msg_info.msg.hdr.next
    while header != &rdata.msg_info.msg.hdr:
        following = header.next
        count += 1
        if count > MAX_HEADERS:
            return BAD_HEADER
        if header.type == PJSIP_H_CONTENT_TYPE:
            types += 1  # with two, PJSIP would look for parts in a body that has none, and assert
            if types > 1:
                return BAD_HEADER
        elif header.type == PJSIP_H_CONTACT and target:
            uri = (<pjsip_contact_hdr *>header).uri
            sip = sip_uri(uri, &secure)
            if sip == NULL or sip.host.slen <= 0:
                if request:
                    return BAD_HEADER
                if rdata.msg_info.msg.line.status.code < 300:
                    pj_list_erase(header)
            elif transport_wanted(uri) != PJSIP_TRANSPORT_UNSPECIFIED:
                redirects[0] = True
        elif header.type == PJSIP_H_RECORD_ROUTE or header.type == PJSIP_H_ROUTE:
            uri = (<pjsip_routing_hdr *>header).name_addr.uri
            sip = sip_uri(uri, &secure)
            # PJSIP asserts that ";hide" goes with ";lr"; nobody else knows the parameter
            if sip == NULL or sip.host.slen <= 0 or has_parameter(sip, b"hide", 4):
                return BAD_HEADER
            if transport_wanted(uri) != PJSIP_TRANSPORT_UNSPECIFIED:
                redirects[0] = True
        header = following
    if body_there < 0:
        return BAD_LENGTH
    if rdata.msg_info.clen != NULL:
        if rdata.msg_info.clen.len < 0 or rdata.msg_info.clen.len > body_there:
            return BAD_LENGTH
        if rdata.msg_info.clen.len == 0:
            rdata.msg_info.msg.body = NULL
        elif rdata.msg_info.msg.body != NULL and rdata.msg_info.clen.len < body_there and (
                rdata.msg_info.msg.body.len > <unsigned int>rdata.msg_info.clen.len):
            rdata.msg_info.msg.body.len = rdata.msg_info.clen.len
    return TAKEN


cdef inline bint is_sdp(const pjsip_media_type *media) noexcept:
    return equals(&media.type, b"application", 11) and equals(&media.subtype, b"sdp", 3)


cdef inline pjsip_msg_body *description(pjsip_rx_data *rdata) noexcept:
    """The session description in the message, alone or as a part of several; null when it has none."""
    cdef pjsip_msg_body *body = rdata.msg_info.msg.body
    cdef pjsip_multipart_part *part
    cdef pjsip_media_type wanted
    if body == NULL or rdata.msg_info.ctype == NULL:
        return NULL
    if is_sdp(&rdata.msg_info.ctype.media):
        return body if body.len > 0 else NULL
    if not equals(&rdata.msg_info.ctype.media.type, b"multipart", 9):
        return NULL  # (the guard has seen to it that this is the type by which the body was parsed)
    wanted.type.ptr = b"application"
    wanted.type.slen = 11
    wanted.subtype.ptr = b"sdp"
    wanted.subtype.slen = 3
    part = pjsip_multipart_find_part(body, &wanted, NULL)
    if part == NULL or part.body == NULL or part.body.len == 0:
        return NULL
    return part.body
