"""Addresses: one form for IPv4 and IPv6, and what the kernel wants."""

from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcmp, memcpy, memset

from media.linux cimport AF_INET, AF_INET6, htons, ntohs, sockaddr, sockaddr_in, sockaddr_in6, socklen_t

cdef struct Address:
    uint8_t host[16]     # IPv4 as ::ffff:a.b.c.d
    uint16_t port

cdef union Sockaddr:
    sockaddr any
    sockaddr_in v4
    sockaddr_in6 v6


cdef inline bint same_host(const Address *a, const Address *b) noexcept nogil:
    return memcmp(a.host, b.host, 16) == 0


cdef inline bint same_address(const Address *a, const Address *b) noexcept nogil:
    return a.port == b.port and memcmp(a.host, b.host, 16) == 0


cdef inline bint is_unspecified(const Address *a) noexcept nogil:
    """0.0.0.0 or ::, which in SDP means "send nothing here" (RFC 3264 section 8.4)."""
    cdef int i
    for i in range(16):
        if a.host[i] and not (i >= 10 and i < 12 and a.host[i] == 0xFF):
            return False
    return True


cdef inline void address_read(Address *to, const Sockaddr *socket_address) noexcept nogil:
    if socket_address.any.sa_family == AF_INET6:
        memcpy(to.host, socket_address.v6.sin6_addr.s6_addr, 16)
        to.port = ntohs(socket_address.v6.sin6_port)
    else:
        memset(to.host, 0, 10)
        memset(to.host + 10, 0xFF, 2)
        memcpy(to.host + 12, &socket_address.v4.sin_addr, 4)
        to.port = ntohs(socket_address.v4.sin_port)


cdef inline socklen_t address_write(const Address *address, int family, Sockaddr *to) noexcept nogil:
    """The octets of `to` that count, for a socket of `family`."""
    memset(to, 0, sizeof(Sockaddr))
    if family == AF_INET6:
        to.v6.sin6_family = AF_INET6
        to.v6.sin6_port = htons(address.port)
        memcpy(to.v6.sin6_addr.s6_addr, address.host, 16)
        return sizeof(sockaddr_in6)
    to.v4.sin_family = AF_INET
    to.v4.sin_port = htons(address.port)
    memcpy(&to.v4.sin_addr, address.host + 12, 4)
    return sizeof(sockaddr_in)
